"""Files of named arrays with a header, that any later version can read: .npz without pickles, written at once or not at all.

The header, JSON in an array of bytes, says the kind of file, the version that wrote it, and the oldest version that can
read it. A reader takes every file whose `readable_from` it reaches, and ignores what it does not know: a later version that only
adds keeps old readers working, one that changes a meaning raises `readable_from` and is refused by name.
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
    """Yield a path to write to, that takes the file's place if all goes well; a kill meanwhile leaves the file as it was."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write(path: str | Path, kind: str, version: int, readable_from: int, arrays: dict[str, Any], **facts: Any) -> None:
    """Write arrays and facts.

    Args:
        path: the file, with the suffix .npz.
        kind: what is in it.
        version: of the writer.
        readable_from: the oldest version that understands it.
        arrays: by name; dtypes that NumPy's format lacks (bfloat16, float8) are kept as their bits.
        facts: numbers and strings for the header.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path} has the suffix {path.suffix!r}: a {kind} is saved as .npz.")
    held = {name: np.asarray(a) for name, a in arrays.items()}
    dtypes = {name: str(a.dtype) for name, a in held.items()}
    header = {"kind": kind, "version": version, "readable_from": readable_from, "dtypes": dtypes, **facts}
    entries = {name: a if a.dtype.isbuiltin == 1 else a.view(f"u{a.dtype.itemsize}") for name, a in held.items()}
    entries[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **entries)  # pyright: ignore[reportArgumentType]


def read(path: str | Path, kind: str, version: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays of a file of a kind, or say why it cannot be read."""
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
            f"this jaxlle reads up to {version}: update jaxlle, or save it again with this one."
        )
    return header, {name: _restored(a, header["dtypes"].get(name)) for name, a in arrays.items()}


def _header(entry: Any) -> dict[str, Any]:
    """Return the header, or nothing if there is none of ours."""
    kinds = {"kind": str, "version": int, "readable_from": int, "dtypes": dict}
    try:
        found = json.loads(bytes(entry))
        return found if all(isinstance(found[name], kind) for name, kind in kinds.items()) else {}
    except (TypeError, ValueError, KeyError, IndexError):
        return {}


def _restored(a: np.ndarray, dtype: str | None) -> np.ndarray:
    return a if dtype is None or dtype == str(a.dtype) else a.view(jnp.dtype(dtype))
