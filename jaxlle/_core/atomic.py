"""Atomic replacement of files: a reader finds the previous file or the new one, complete, whatever happens to the writer."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside a file; what is written there replaces the file if no exception is raised.

    A symbolic link is written through: its target is replaced, and the link stays. After an exception the temporary file is
    removed. A killed process leaves it: a hidden file named .jaxlle-*, which can be deleted.

    Args:
        path: the file, which need not exist. If it does, its permissions are kept.

    Raises:
        OSError: if the folder does not exist or cannot be written to, or the disk is full.
    """
    target = resolve_link(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target} cannot be written: the folder {target.parent} does not exist.")
    temporary = target.with_name(f".jaxlle-{secrets.token_hex(8)}{target.suffix}")
    try:  # before the file exists, so that an interruption leaves none
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        with temporary.open("rb+") as file:  # data that reach the disk after the new name could be lost in a crash
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def resolve_link(path: Path) -> Path:
    """Return the path of the file that a symbolic link points to, whether it exists or not; other paths are unchanged."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(f"{path} is a symbolic link that leads back to itself: remove it, or choose another name.")
    return target
