"""Mapping over rows in blocks, so that memory is limited by a budget and does not grow with the number of points."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Progress = Callable[[int, int], None]  # called with (done, total)

BLOCK_BYTES = 2**27  # default memory limit of a block
CACHE_BYTES = 2**22  # size of a block that fits in the cache of a CPU core
# XLA on a CPU sums so many rows of a matrix at a time, and those that remain in another order. Numbers of rows are multiples of
# it, so that the distances to duplicates are equal, and ordered by index, wherever they are computed.
ROWS_AT_A_TIME = 16
_MEMORY_SHARE = 40  # the default limit on an accelerator is its memory divided by this number: 2 GiB of 80


class Budget(NamedTuple):
    """Memory limit of one block in bytes, on a CPU and on an accelerator."""

    cpu: int
    accelerator: int

    def rows(self, bytes_per_row: int, n: int) -> "Budget":
        """Return how many of n rows a block has."""
        return Budget(*(max(1, min(n, limit // max(1, bytes_per_row))) for limit in self))


def cache_budget(block_bytes: int) -> Budget:
    """Return the memory limit of a block that is read several times.

    On a CPU such a block should fit in the cache; on an accelerator larger blocks amortize kernel launches.
    """
    block_bytes = int(block_bytes)  # products of NumPy integers of few bits overflow
    return Budget(min(block_bytes, CACHE_BYTES), block_bytes)


def on_cpu(x: jax.Array) -> bool:
    """Return whether all devices of a concrete array are CPUs."""
    return all(device.platform == "cpu" for device in x.devices())


def device_limit(block_bytes: int, devices: Iterable[Any]) -> int:
    """Return the memory limit of a block on some devices, which this process can address.

    The default limit is that of a CPU, whose blocks should not be much larger than its caches. On a device that states its
    memory, as GPUs and TPUs do, the default is a share of it if that is more: larger blocks amortize the launches of kernels
    and the reading of all points by each block. Other limits are those of the user, and stay as they are.
    """
    stats = [device.memory_stats() for device in devices]
    if block_bytes != BLOCK_BYTES or not all(stats):
        return block_bytes
    return max(BLOCK_BYTES, min(s.get("bytes_limit", 0) for s in stats if s) // _MEMORY_SHARE)


def whole_groups(rows: Budget, total: int) -> Budget:
    """Round numbers of rows per block to multiples of those summed at a time: up if they are all rows, else down."""

    def rounded(size: int) -> int:
        if size == total:
            return -(-size // ROWS_AT_A_TIME) * ROWS_AT_A_TIME
        return size // ROWS_AT_A_TIME * ROWS_AT_A_TIME or size

    return Budget(*map(rounded, rows))


def by_platform(function: Callable, sizes: Budget, *operands: Any) -> Any:
    """Return ``function(size, *operands)`` with the size for the platform on which the program will run.

    The platform is known when a program is compiled, not when it is traced: it may be exported for another machine.
    """
    if sizes.cpu == sizes.accelerator:
        return function(sizes.cpu, *operands)
    cpu, accelerator = (partial(function, size) for size in sizes)
    return lax.platform_dependent(*operands, cpu=cpu, default=accelerator)


def take_rows(a: jax.Array, ids: jax.Array) -> jax.Array:
    """Return the rows ``a[ids]`` for ids that are in range and not negative.

    Indexing also accepts negative numbers, whose conversion is a kernel of its own for each set of ids. In an unrolled sum of
    rows these kernels take most of the compile time.
    """
    return gather_rows(a, ids[..., None])


def gather_rows(a: jax.Array, ids: jax.Array) -> jax.Array:
    """Return the rows of `take_rows` for ids with a last axis of length 1, which a sum of many terms need not remove."""
    axes = tuple(range(ids.ndim - 1, ids.ndim - 1 + a.ndim - 1))
    numbers = lax.GatherDimensionNumbers(axes, collapsed_slice_dims=(0,), start_index_map=(0,))
    return lax.gather(a, ids, numbers, (1, *a.shape[1:]), mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS)


def map_rows(function: Callable, rows: Any, budget: int | Budget, bytes_per_row: int) -> Any:
    """Apply a function of one row to all rows, as many at a time as the budget allows.

    This is `lax.map` with a batch size, except that the last block is padded with copies of the last row, whereas `lax.map`
    compiles (and, on a CPU, runs) a second program for a shorter block.

    Args:
        function: function of one row of each array in `rows`.
        rows: pytree of arrays with the same leading dimension.
        budget: memory limit of one block, in bytes; it may differ between platforms.
        bytes_per_row: memory that the function needs for one row, in bytes.
    """
    return map_blocks(jax.vmap(function), rows, budget, bytes_per_row)


def map_blocks(function: Callable, rows: Any, budget: int | Budget, bytes_per_row: int) -> Any:
    """Apply a function of a block of rows to all rows, block by block; `map_rows` passes the `vmap` of its function."""
    n = jax.tree.leaves(rows)[0].shape[0]
    budget = budget if isinstance(budget, Budget) else Budget(int(budget), int(budget))
    return by_platform(partial(_map_batches, function), budget.rows(bytes_per_row, n), rows)


def _map_batches(function: Callable, batch: int, rows: Any) -> Any:
    n = jax.tree.leaves(rows)[0].shape[0]
    if batch == n:
        return function(rows)

    def block(start: jax.Array) -> Any:
        ids = jnp.minimum(start + jnp.arange(batch), n - 1)
        return function(jax.tree.map(lambda a: take_rows(a, ids), rows))

    out = lax.map(block, jnp.arange(0, n, batch))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n], out)


@contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Re-raise an out-of-memory error of the device as a MemoryError with advice on how to avoid it."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) and "Out of memory" not in str(error):
            raise
        raise MemoryError(f"The device ran out of memory: {advice}.") from error
