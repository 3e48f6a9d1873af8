"""Files of named arrays with a versioned header: .npz without pickles, written atomically.

The header, JSON in an array of bytes, contains the kind of the file, the version of the format that wrote it, and
`readable_from`, the oldest version that can read it. A reader accepts every file with `readable_from` up to its own version, and
ignores entries that it does not know. A version of the format that only adds entries therefore keeps old readers working;
one that changes the meaning of an entry increases `readable_from`, and old readers raise an error that names both versions.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .files import opened

_HEADER = "header"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces the file at the end; after an exception or a kill the file is as it was."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
    if path.suffix != ".npz":
        raise ValueError(f"{path} has the suffix {path.suffix!r}: a {kind} is saved as .npz.")
    host = {name: np.asarray(a) for name, a in arrays.items()}
    dtypes = {name: str(a.dtype) for name, a in host.items()}
    header = {"kind": kind, "version": version, "readable_from": readable_from, "dtypes": dtypes, **metadata}
    entries = {name: a if a.dtype.isbuiltin == 1 else a.view(f"u{a.dtype.itemsize}") for name, a in host.items()}
    entries[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **entries)  # pyright: ignore[reportArgumentType]


def read(path: str | Path, kind: str, version: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file of one kind.

    Args:
        path: the file.
        kind: name of the content.
        version: version of the format up to which this reader understands files.

    Returns:
        The header and the arrays by name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, of another kind, or needs a later version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with opened(path) as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = _header(arrays.pop(_HEADER, None))
    if header.get("kind") != kind:
        raise ValueError(f"{path} holds no {kind}: it holds {header.get('kind') or ', '.join(arrays) or 'nothing'}.")
    if header["readable_from"] > version:
        raise ValueError(
            f"{path} was written by version {header['version']} of its format and needs {header['readable_from']} or later; "
            f"this jaxlle reads up to {version}: upgrade jaxlle, or save the file again with this version."
        )
    return header, {name: _with_dtype(a, header["dtypes"].get(name)) for name, a in arrays.items()}


def _header(entry: Any) -> dict[str, Any]:
    """Return the header, or an empty dictionary if the entry is not a valid header."""
    types = {"kind": str, "version": int, "readable_from": int, "dtypes": dict}
    try:
        header = json.loads(bytes(entry))
        return header if all(isinstance(header[name], type_) for name, type_ in types.items()) else {}
    except (TypeError, ValueError, KeyError, IndexError):
        return {}


def _with_dtype(a: np.ndarray, dtype: str | None) -> np.ndarray:
    """Return an array in the dtype that the header names, whose bits it holds."""
    return a if dtype is None or dtype == str(a.dtype) else a.view(jnp.dtype(dtype))
