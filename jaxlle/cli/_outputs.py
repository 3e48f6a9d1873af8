"""Checks before the computation, files that are written completely or not at all, and warnings printed in one line each."""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .._core.atomic import replacing, resolve_link
from . import _interruption
from ._wording import with_options

FIGURE_SUFFIXES = (".png", ".pdf", ".svg")
PAGE_SUFFIXES = (".html",)  # of interactive figures
_WIDTH = 60  # characters of a path that are shown


def require(module: str, extra: str) -> None:
    """Raise if an optional package is missing, with the command that installs it."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise ModuleNotFoundError(f"{module} is not installed: pip install 'jaxlle[{extra}]'.")


def console(stderr: bool = False) -> Any:
    """Return a console of rich on standard output or standard error."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise  # the error that is handled, for `main`; rich would end the process

    return Piped(stderr=stderr)


def short_path(path: Path | str) -> str:
    """Return a path for display: relative to the working directory or the home folder, and without its middle if it is long."""
    path = Path(path)
    with suppress(RuntimeError, OSError):  # no home folder, no working directory
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        elif path.is_relative_to(Path.home()):
            path = "~" / path.relative_to(Path.home())
    text = str(path)
    return text if len(text) <= _WIDTH or len(path.parts) < 5 else str(Path(*path.parts[:2], "...", *path.parts[-2:]))


def check_output(path: Path | None, suffixes: tuple[str, ...], option: str, data: str) -> None:
    """Raise before the computation if its result cannot be written to `path`, or would replace the file `data`."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} {path}: the name must end in {' or '.join(suffixes)}.")
    folder = resolve_link(path).parent  # a symbolic link is written through
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(f"{option} {path}: the folder {folder} does not exist or cannot be written to.")
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        raise OSError(f"{option} {path}: this is a folder, or a file that cannot be written to.")
    if path.resolve() == Path(data).resolve():
        raise ValueError(f"{option} {path}: this would replace the data file. Choose another name.")


def check_plot(args: argparse.Namespace) -> None:
    """Raise before the computation if the figure of --plot cannot be drawn or written."""
    check_output(args.plot, args.figures, "--plot", args.data)
    if args.plot is not None:
        require("matplotlib", "plot")
        if is_page(args.plot):
            require("bokeh", "interactive")


def is_page(path: Path) -> bool:
    """Return whether the name of a figure is that of an interactive one."""
    return path.suffix.lower() in PAGE_SUFFIXES


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file written there replaces `path` if no exception is raised."""
    with atomic_files() as files:
        yield files.enter_context(replacing(path))


@contextmanager
def atomic_files() -> Iterator[ExitStack]:
    """Yield a stack for `replacing`; at the end all files are replaced, also if the command is interrupted then."""
    with ExitStack() as files:
        yield files
        with _interruption.current.held():
            files.close()


@contextmanager
def print_warnings(precision: str) -> Iterator[None]:
    """Collect the warnings of the library and print each distinct one at the end, if no exception is raised.

    The messages name the options of the command.
    """
    from ..warnings import JaxlleWarning, PrecisionWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", JaxlleWarning)
        if precision == "float32":  # the user chose to lose precision
            warnings.simplefilter("ignore", PrecisionWarning)
        yield
    for message in dict.fromkeys(with_options(str(warning.message)) for warning in caught):
        print(f"jaxlle: warning: {message}", file=sys.stderr)
