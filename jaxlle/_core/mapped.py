"""Memory maps of files, such as those of ``numpy.load(path, mmap_mode="r")``, read in blocks of rows.

The pages of a block are released after it was read: they count as memory of the process otherwise, until the whole file does. The
size of the file is compared with that of the map before each block, because reading beyond the end of a file that another process
has truncated ends the process with a bus error.
"""

import math
import mmap
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.lib.array_utils import byte_bounds

_BLOCK_ENTRIES = 2**21  # entries read at a time, 16 MiB in float64
_LEAST_PART = 2**24  # bytes of the smallest part of a memory map
_PARTS = 8  # number of parts of a memory map that is not large
_SCATTERED_ROWS = 2**11  # rows in any order that are read at a time: the system maps up to 64 KiB around each
_ALIGNMENT = 64  # bytes; on a CPU `jax.device_put` copies arrays that are not aligned


def memory_map(x: Any) -> np.memmap | None:
    """Return the memory map whose entries an array views, or None if its entries are not in a file."""
    while isinstance(x, np.ndarray):
        if isinstance(x, np.memmap) and isinstance(x.base, mmap.mmap):
            return x
        x = x.base
    return None


def check_file(x: Any, name: str = "x") -> None:
    """Raise a ValueError if an array views a file that has become shorter than the array."""
    held = memory_map(x)
    if held is None or not x.size:
        return
    end, size = held.offset + byte_bounds(x)[1] - held.ctypes.data, cast(mmap.mmap, held.base).size()
    if size < end:
        raise ValueError(
            f"The file {held.filename} of {name} was truncated after it was opened: it has {size} bytes, but the rows to read "
            f"end at byte {end}. Write the file again, under another name while it is in use, and open it again."
        )


def release(x: Any) -> None:
    """Release the pages of the file that an array views from the memory of the process; they are read again when needed."""
    held = memory_map(x)
    # In mode "c" changes are kept in memory only, and would be lost.
    if held is not None and held.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
        cast(mmap.mmap, held.base).madvise(mmap.MADV_DONTNEED)


def row_blocks(x: np.ndarray, name: str = "x") -> Iterator[tuple[slice, np.ndarray]]:
    """Yield consecutive rows of an array, a few megabytes at a time; those of a memory map are checked and released."""
    rows = max(1, _BLOCK_ENTRIES // max(1, math.prod(x.shape[1:])))
    for start in range(0, x.shape[0], rows):
        block = slice(start, start + rows)
        check_file(x, name)
        yield block, x[block]
        release(x)


def scattered_rows(x: np.ndarray, ids: np.ndarray, name: str = "x") -> Iterator[tuple[slice, np.ndarray]]:
    """Yield copies of rows with the given, ascending numbers, a few at a time, with their places among the numbers."""
    for start in range(0, len(ids), _SCATTERED_ROWS):
        block = slice(start, min(start + _SCATTERED_ROWS, len(ids)))
        check_file(x, name)
        yield block, x[ids[block]]
        release(x)


def equal_parts(total: int, rows: int) -> list[slice]:
    """Return slices of at most `rows` of `total` rows, as few and of sizes as equal as possible."""
    size = -(-total // -(-total // rows))
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def is_in_parts(x: Any, itemsize: int, block_bytes: int) -> bool:
    """Return whether an array is a memory map that is read in parts, because it is not small."""
    return memory_map(x) is not None and x.size * itemsize > min(block_bytes, _LEAST_PART)


def rows_per_part(size: int, row_bytes: int, least: int, block_bytes: int, what: str) -> int:
    """Return how many rows the parts have in which a memory map is read.

    A part takes an eighth of the map, at least 16 MiB, and at most `block_bytes`.

    Args:
        size: bytes of the coordinates of the map.
        row_bytes: bytes that one row of a part requires.
        least: smallest number of rows; a ValueError is raised if they exceed `block_bytes`.
        block_bytes: memory limit.
        what: name of `least` rows, in its message.
    """
    if least * row_bytes > block_bytes:
        raise ValueError(
            f"block_bytes = {block_bytes} is too small for points in a memory map: {what} take {least * row_bytes} bytes. "
            f"Raise block_bytes to at least that number."
        )
    return min(block_bytes, max(_LEAST_PART, size // _PARTS, least * row_bytes)) // row_bytes


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an uninitialized array that `jax.device_put` does not copy on a CPU."""
    size = math.prod(shape) * dtype.itemsize
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)
