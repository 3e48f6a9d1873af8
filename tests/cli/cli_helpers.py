"""Helpers of the tests of the command line."""

from pathlib import Path

import matplotlib
import numpy as np

from jaxlle import cli

matplotlib.use("Agg")

ROLL = ("embed", "swiss_roll", "--points", 300)


def run(capsys, *arguments):
    """Return the exit status, standard output and standard error of a command."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:  # raised by argparse
        status = stop.code
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def assert_fails(capsys, *arguments, status=1):
    """Assert that a command fails with one line on standard error, and return that line."""
    code, out, err = run(capsys, *arguments)
    assert code == status
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("jaxlle")
    return err


def row(out, name):
    """Return the text of one row of a report."""
    (line,) = (line for line in out.splitlines() if line.startswith(name))
    return line[len(name) :].strip()


def two_clusters(n=40, distance=1000.0):
    """Return two clusters so distant that no neighborhood has points of both: n / 4 points, then the other 3 n / 4."""
    x = np.random.default_rng(0).normal(size=(n, 3))
    x[: n // 4] += distance
    return x


def write_half_and_raise(error):
    """Return a function that writes half of the file it is given, if any, and raises the error."""

    def fail(*arguments, **_):
        for file in arguments:
            if isinstance(file, Path):
                file.write_bytes(b"half")
            elif hasattr(file, "write"):
                file.write(b"half")
        raise error

    return fail
