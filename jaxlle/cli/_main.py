"""The command line's door: its commands, and what a failure prints."""

import argparse
import sys
from typing import NoReturn

from . import _choose, _doctor, _embed, _papers, _report

_EXPECTED = (ValueError, TypeError, ArithmeticError, NotImplementedError, OSError, ImportError, MemoryError)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line; argparse would print the usage first."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, 1 for bad data, or 130 if interrupted. Bad usage exits with 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted; nothing was written.", 130)
    except _EXPECTED as error:
        return _fail(" ".join(str(error).split()) or type(error).__name__, 1)
    except RuntimeError as error:  # JAX's own: out of memory is RESOURCE_EXHAUSTED on a GPU, INTERNAL on a CPU
        text = str(error)
        if "RESOURCE_EXHAUSTED" not in text and "out of memory" not in text.lower():
            raise
        reason = text.splitlines()[0].split(": ")[-1].strip(". ")
        advice = "try --solver sparse, --precision float32, fewer points, or JAX_PLATFORMS=cpu"
        return _fail(f"the device's memory does not suffice ({reason}): {advice}.", 1)


def _fail(message: str, status: int) -> int:
    print(f"jaxlle: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="jaxlle", description="Locally linear embedding in JAX.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (_embed, _report, _choose, _papers, _doctor):
        command.add(commands)
    return parser
