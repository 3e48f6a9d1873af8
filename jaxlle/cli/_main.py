"""The entry point: the parser of all subcommands, and the one-line message and exit status of a failure."""

import argparse
import sys
import traceback
from typing import NoReturn

from .. import __version__
from . import _choose, _doctor, _embed, _interruption, _papers, _report, _transform
from ._wording import with_options

# Errors caused by the input, the files or the installation. Any other error is a bug, and its traceback is shown.
_EXPECTED_ERRORS = (ValueError, TypeError, ArithmeticError, NotImplementedError, OSError, ImportError, MemoryError)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the error in one line; argparse would print the usage first."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def command() -> NoReturn:
    """Run the command as a process: exit with the status of `main`, and with 130 if interrupted at any moment."""
    interruption = _interruption.current
    status = 1
    try:
        interruption.install()
        status = main()
        interruption.ending = True
    except SystemExit as stop:  # of argparse
        status = stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:  # outside of the part of `main` that handles it
        status = _interruption.STATUS
    except BrokenPipeError:  # of a message on standard error
        status = _interruption.CLOSED
    except BaseException:
        traceback.print_exc()
    _interruption.leave(status)


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Return 0, 1 for invalid data, 130 if interrupted, or 141 if the reader of a pipe ends, as `head` does.

    Invalid usage exits with status 2.
    """
    interruption = _interruption.current
    interruption.written = False
    try:
        args = _parser().parse_args(arguments)
        status = args.run(args)
        return _fail(interruption.message(), _interruption.STATUS) if interruption.happened else status
    except KeyboardInterrupt as interrupt:
        interruption.ending = interruption.happened
        return _fail(str(interrupt) or interruption.message(), _interruption.STATUS)
    except BrokenPipeError:
        return _interruption.CLOSED
    except Exception as error:
        if interruption.happened:  # a library has turned the interruption into an error of its own
            return _fail(interruption.message(), _interruption.STATUS)
        line = _explain(error)
        if line is None:
            raise
        return _fail(line, 1)


def _explain(error: Exception) -> str | None:
    """Return one line for an error that the input, the files, the installation or lack of memory causes, and None for a bug."""
    text = str(error)
    if isinstance(error, _EXPECTED_ERRORS):
        return with_options(" ".join(text.split())) or type(error).__name__
    # JAX reports lack of memory as RESOURCE_EXHAUSTED on a GPU and as INTERNAL on a CPU.
    if isinstance(error, RuntimeError) and ("RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()):
        reason = text.splitlines()[0].split(": ")[-1].strip(". ")
        advice = "try --solver sparse, --precision float32, fewer points, or JAX_PLATFORMS=cpu"
        return f"the device has too little memory ({reason}): {advice}."
    return None


def _fail(message: str, status: int) -> int:
    print(f"jaxlle: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="jaxlle", description="Locally linear embedding in JAX.")
    parser.add_argument("--version", action="version", version=f"jaxlle {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (_embed, _transform, _report, _choose, _papers, _doctor):
        command.add(commands)
    return parser
