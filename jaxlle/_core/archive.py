"""Files of named arrays: .npz without pickles, written atomically, with a versioned header, and read within limits.

The header, JSON in an array of bytes, contains the kind of the file, the version of the format that wrote it, and
`readable_from`, the oldest version that can read it. A reader accepts every file with `readable_from` up to its own version, and
ignores entries that it does not know. A version of the format that only adds entries therefore keeps old readers working;
one that changes the meaning of an entry increases `readable_from`, and old readers raise an error that names both versions.
`checksums` has the SHA-256 of each array and of the rest of the header, which show that a file was changed after it was written;
files without them, from older versions, are read. A checksum is no signature: whoever changes a file can also write another one.

All .npy and .npz files are read by `read_npy` and `Npz`, which compare the sizes that a file declares with each other and with a
limit before they allocate memory.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .atomic import replacing

_HEADER, _CHECKSUMS = "header", "checksums"
_HEADER_BYTES = 2**22  # of the JSON header; a model of 10,000 arrays needs less than 1 MiB
_ARRAY_HEADER_BYTES = 2**14  # of the header of one array
_CHUNK = 2**24
FREE_BYTES, LARGEST_RATIO = 2**28, 100  # what compressed arrays may take in memory without a `max_bytes`


class FileContentError(ValueError):
    """The content of a file is not accepted; the message is complete and names the file."""


class Layout(NamedTuple):
    """The declared content of an array, from its header.

    Attributes:
        shape: its shape.
        dtype: its dtype, without references to Python objects.
        columns_first: whether the entries are stored in Fortran order.
        start: number of bytes before the entries.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    columns_first: bool
    start: int

    @property
    def nbytes(self) -> int:
        """Return the number of bytes of the entries."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file, and raise a ValueError with its name if the content cannot be read."""
    with _naming(path), path.open("rb") as file:  # not by NumPy, which does not close a file that it cannot read
        yield file


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise a ValueError that names the file for whatever exception its content causes.

    NumPy passes on the exceptions of zipfile, zlib, ast and tokenize, of many types and without the name of the file.
    """
    try:
        yield
    except (MemoryError, FileContentError):
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise FileContentError(
            f"{path} cannot be read ({reason}): it is truncated, malformed, or of another type than its suffix."
        ) from None


def read_npy(path: Path) -> np.ndarray:
    """Return the array of a .npy file.

    Raises:
        ValueError: if the file is truncated, malformed or longer than declared, or contains pickled objects.
    """
    with opened(path) as file:
        layout = _layout(file, path, "")
        size = file.seek(0, io.SEEK_END)
        if size != layout.start + layout.nbytes:
            raise _unequal(path, "", layout, size)
        file.seek(layout.start)
        return _entries(file, layout)


class Npz:
    """The arrays of a .npz file: their layouts, and those entries that are asked for.

    Args:
        path: the file.
        max_bytes: largest number of bytes that the arrays read may take in memory. None: `FREE_BYTES`, or `LARGEST_RATIO` times
            the size of the file if that is more.

    Attributes:
        layouts: the layout of each array by name, from the headers alone.

    Raises:
        ValueError: if the file is truncated or malformed, has encrypted members, a name twice or outside the archive, or contains
            pickled objects, or if the sizes in its directory and in the headers of its arrays differ.
    """

    def __init__(self, path: Path, max_bytes: int | None = None):
        self._path, self._limit = path, max_bytes
        self.layouts: dict[str, Layout] = {}

    def __enter__(self) -> "Npz":
        self._file = self._path.open("rb")
        try:
            with _naming(self._path):
                self._zip = zipfile.ZipFile(self._file)
                self._members = _members(self._zip, self._path)
                for name, member in self._members.items():
                    with self._zip.open(member) as stream:
                        self.layouts[name] = layout = _layout(stream, self._path, name)
                    if member.file_size != layout.start + layout.nbytes:
                        raise _unequal(self._path, name, layout, member.file_size)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def read(self, wanted: Callable[[str], bool]) -> dict[str, Any]:
        """Return the arrays whose names are wanted; no others are decompressed."""
        names = [name for name in self.layouts if wanted(name)]
        total, size = sum(self.layouts[name].nbytes for name in names), self._path.stat().st_size
        check_memory(self._path, size, total, self._limit, "or save its arrays again without compression (numpy.savez)")
        return {name: self.read_one(name) for name in names}

    def read_one(self, name: str) -> np.ndarray:
        """Return one array, whatever its size."""
        with _naming(self._path), self._zip.open(self._members[name]) as stream:
            stream.read(self.layouts[name].start)
            return _entries(stream, self.layouts[name])

    def describe(self) -> str:
        """Return the names and shapes of the arrays, for a message."""
        return ", ".join(f"{name} {layout.shape}" for name, layout in self.layouts.items()) or "no arrays"


def check_memory(path: Path, size: int, total: int, max_bytes: int | None, remedy: str) -> None:
    """Raise if data take more memory than allowed.

    Args:
        path: the file or folder.
        size: its number of bytes.
        total: number of bytes of the data in memory.
        max_bytes: largest number allowed. None: `FREE_BYTES`, or `LARGEST_RATIO` times the size if that is more.
        remedy: what else to do, for the message.
    """
    limit = max(FREE_BYTES, LARGEST_RATIO * size) if max_bytes is None else max_bytes
    if total > limit:
        raise FileContentError(
            f"{path} has {size:,} bytes, but its arrays take {total:,} bytes in memory, of which at most {limit:,} are "
            f"allowed, because a small file that expands without bound can exhaust the memory. If you trust the file, load "
            f"it with max_bytes={total}, {remedy}."
        )


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the members that are arrays, by name; raise for those that no .npz file contains."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename
        if name in members:
            raise FileContentError(f"{path} has two members named {name!r}: save it again with numpy.savez.")
        if ".." in PurePosixPath(name).parts or name.startswith("/") or "\\" in name or ":" in name[:2]:
            raise FileContentError(
                f"{path} has a member {name!r}, which is a path outside the archive: it is not loaded."
            )
        if member.flag_bits & 1:
            raise FileContentError(f"{path} has an encrypted member {name!r}: save it again with numpy.savez.")
        members[name] = member
    arrays = {name.removesuffix(".npy"): member for name, member in members.items() if name.endswith(".npy")}
    for name, member in arrays.items():  # the other methods can expand without a bound on the memory of one step
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileContentError(
                f"{path} stores {name} by compression method {member.compress_type}, which NumPy does not write: save it again "
                f"with numpy.savez."
            )
    return arrays


def _layout(stream: Any, path: Path, name: str) -> Layout:
    """Return the layout of an array from the start of its file."""
    head = io.BytesIO(stream.read(_ARRAY_HEADER_BYTES))
    if head.getvalue()[:1] == b"\x80":  # a pickle; no .npy file begins so
        raise _pickled(path, name)
    version = np.lib.format.read_magic(head)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the format of NumPy")
    try:
        shape, columns_first, dtype = readers[version](head)
    except (RecursionError, MemoryError):
        raise ValueError("the header of an array is nested too deeply") from None
    if dtype.hasobject:
        raise _pickled(path, name)
    if min(shape, default=0) < 0 or (dtype.itemsize == 0 and math.prod(shape)):
        raise ValueError(f"an array of shape {shape} and dtype {dtype}")
    return Layout(shape, dtype, columns_first, head.seek(0, io.SEEK_CUR))


def _pickled(path: Path, name: str) -> FileContentError:
    return FileContentError(
        f"{path} holds pickled objects{f' in {name}' if name else ''}, which can run code and are not loaded: save plain numbers."
    )


def _unequal(path: Path, name: str, layout: Layout, size: int) -> FileContentError:
    return FileContentError(
        f"{path} cannot be read: {name or 'its array'} of shape {layout.shape} and dtype {layout.dtype} takes "
        f"{layout.start + layout.nbytes:,} bytes, but the file declares {size:,}: it is truncated or malformed."
    )


def _entries(stream: Any, layout: Layout) -> np.ndarray:
    """Return the entries of an array, from a stream that is positioned at the first."""
    raw = np.empty(layout.nbytes, np.uint8)
    for start in range(0, raw.size, _CHUNK):
        part: Any = raw[start : start + _CHUNK].data
        if stream.readinto(part) < len(part):
            raise ValueError("it ends before its last array")
    if stream.read(1):  # also makes zipfile compare the checksum of an empty array
        raise ValueError("an array is longer than its header declares")
    if layout.dtype == bool and raw.size and raw.max() > 1:
        raise ValueError("a boolean is neither 0 nor 1")
    flat = raw.view(layout.dtype) if raw.size else np.empty(0, layout.dtype)
    return flat.reshape(layout.shape, order="F" if layout.columns_first else "C")


def write(
    path: str | Path, kind: str, version: int, readable_from: int, arrays: dict[str, Any], **metadata: Any
) -> None:
    """Write arrays and metadata.

    Args:
        path: the file, with the suffix .npz.
        kind: name of the content.
        version: version of the format.
        readable_from: oldest version of the format that can read the file.
        arrays: arrays by name; dtypes that NumPy's format lacks (bfloat16, float8) are stored as their bits.
        metadata: numbers and strings for the header.

    Raises:
        ValueError: if path has another suffix.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path} has the suffix {path.suffix!r}: a {kind} is saved as .npz.")
    host = {name: np.asarray(a) for name, a in arrays.items()}
    dtypes = {name: str(a.dtype) for name, a in host.items()}
    header = {"kind": kind, "version": version, "readable_from": readable_from, "dtypes": dtypes, **metadata}
    entries = {name: a if a.dtype.isbuiltin == 1 else a.view(f"u{a.dtype.itemsize}") for name, a in host.items()}
    header[_CHECKSUMS] = {**{name: _checksum(a) for name, a in entries.items()}, _HEADER: _checksum_of_header(header)}
    entries[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **entries)  # pyright: ignore[reportArgumentType]


def read(
    path: str | Path, kind: str, version: int, *, wanted: Callable[[str], bool], max_bytes: int | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file of one kind.

    Args:
        path: the file.
        kind: name of the content.
        version: version of the format up to which this reader understands files.
        wanted: whether the array of a name is read.
        max_bytes: see `Npz`.

    Returns:
        The header and the arrays by name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, of another kind, larger than allowed, needs a later version, or was changed after it
            was written.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with Npz(path, max_bytes) as file:
        header = _header(file)
        if header.get("kind") != kind:
            held = header.get("kind") or ", ".join(file.layouts) or "nothing"
            raise FileContentError(f"{path} holds no {kind}: it holds {held}.")
        if header["readable_from"] > version:
            raise FileContentError(
                f"{path} was written by version {header['version']} of its format and needs {header['readable_from']} or later; "
                f"this jaxlle reads up to {version}: upgrade jaxlle, or save the file again with this version."
            )
        arrays = file.read(lambda name: name != _HEADER and wanted(name))
    _verify(header, arrays, path)
    return header, {name: _with_dtype(a, header["dtypes"].get(name), path) for name, a in arrays.items()}


def _header(file: Npz) -> dict[str, Any]:
    """Return the header, or an empty dictionary if there is no valid one."""
    types = {"kind": str, "version": int, "readable_from": int, "dtypes": dict}
    layout = file.layouts.get(_HEADER)
    if layout is None or layout.dtype != np.uint8 or len(layout.shape) != 1 or layout.nbytes > _HEADER_BYTES:
        return {}
    text = bytes(file.read_one(_HEADER))
    try:
        header = json.loads(text)
        return header if all(isinstance(header[name], type_) for name, type_ in types.items()) else {}
    except (TypeError, ValueError, KeyError, IndexError, RecursionError):
        return {}


def _checksum(a: np.ndarray) -> str:
    """Return the SHA-256 of the dtype, the shape and the entries of an array."""
    digest = hashlib.sha256(f"{a.dtype.str} {a.shape}".encode())
    digest.update(np.ascontiguousarray(a).reshape(-1).view(np.uint8).data if a.size else b"")
    return digest.hexdigest()


def _checksum_of_header(header: dict[str, Any]) -> str:
    rest = {name: value for name, value in header.items() if name != _CHECKSUMS}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _verify(header: dict[str, Any], arrays: dict[str, np.ndarray], path: Path) -> None:
    """Raise if the header or an array is not the one that was written; accept files without checksums."""
    written = header.get(_CHECKSUMS, {})
    found = {_HEADER: _checksum_of_header(header), **{name: _checksum(a) for name, a in arrays.items()}}
    for name, checksum in found.items() if written else ():
        if not isinstance(written, dict) or written.get(name) != checksum:
            raise FileContentError(
                f"{path} was changed after it was written: its {name} does not match its checksum. Use the original file, or "
                f"save it again."
            )


def _with_dtype(a: np.ndarray, dtype: Any, path: Path) -> np.ndarray:
    """Return an array in the dtype that the header names, whose bits it holds."""
    if dtype is None or dtype == str(a.dtype):
        return a
    try:
        found = jnp.dtype(dtype)
    except (TypeError, ValueError):
        found = None
    if found is None or found.isbuiltin == 1 or found.kind != "V" or a.dtype.str[1:] != f"u{found.itemsize}":
        raise FileContentError(f"{path} declares the dtype {dtype!r} for an array of dtype {a.dtype}: it is malformed.")
    return a.view(found)
