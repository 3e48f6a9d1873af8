"""The entry point: the parser of all subcommands, and the one-line message and exit status of a failure."""

import argparse
import sys
from typing import NoReturn

from .. import __version__
from . import _choose, _doctor, _embed, _papers, _report

# Errors caused by the input, the files or the installation. Any other error is a bug, and its traceback is shown.
_EXPECTED_ERRORS = (ValueError, TypeError, ArithmeticError, NotImplementedError, OSError, ImportError, MemoryError)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the error in one line; argparse would print the usage first."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Return 0, 1 for invalid data, or 130 if interrupted; invalid usage exits with status 2."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args)
    except KeyboardInterrupt as interrupt:
        return _fail(str(interrupt) or "interrupted; nothing was written.", 130)
    except _EXPECTED_ERRORS as error:
        return _fail(" ".join(str(error).split()) or type(error).__name__, 1)
    except RuntimeError as error:  # JAX reports lack of memory as RESOURCE_EXHAUSTED on a GPU and as INTERNAL on a CPU
        text = str(error)
        if "RESOURCE_EXHAUSTED" not in text and "out of memory" not in text.lower():
            raise
        reason = text.splitlines()[0].split(": ")[-1].strip(". ")
        advice = "try --solver sparse, --precision float32, fewer points, or JAX_PLATFORMS=cpu"
        return _fail(f"the device has too little memory ({reason}): {advice}.", 1)


def _fail(message: str, status: int) -> int:
    print(f"jaxlle: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="jaxlle", description="Locally linear embedding in JAX.")
    parser.add_argument("--version", action="version", version=f"jaxlle {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (_embed, _report, _choose, _papers, _doctor):
        command.add(commands)
    return parser
