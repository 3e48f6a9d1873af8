"""What the command needs before and after its work: optional packages, files that appear whole or not at all, warnings."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PICTURES = (".png", ".pdf", ".svg")


def require(module: str, extra: str) -> None:
    """Raise where an optional package is missing, with the command that installs it."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise ModuleNotFoundError(f"{module} is not installed: pip install 'jaxlle[{extra}]'.")


def check_output(path: Path | None, suffixes: tuple[str, ...], option: str, data: str) -> None:
    """Find out before the work whether its result can be written."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} {path}: the name must end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OSError(f"{option} {path}: the folder {path.parent} does not exist or cannot be written to.")
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        raise OSError(f"{option} {path}: there is a folder of this name, or a file that cannot be written to.")
    if path.resolve() == Path(data).resolve():
        raise ValueError(f"{option} {path}: this would replace the data.")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` that takes its place once it is complete."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)  # the only way to read it; mkstemp's own files are for their owner alone
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def collected_warnings(precision: str) -> Iterator[list[str]]:
    """Yield a list that holds, at the end, what was warned of."""
    from ..warnings import JaxlleWarning, PrecisionWarning

    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", JaxlleWarning)
        if precision == "float32":  # asked for
            warnings.simplefilter("ignore", PrecisionWarning)
        yield messages
    messages.extend(str(w.message) for w in caught)
