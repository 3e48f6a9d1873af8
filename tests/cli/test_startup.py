"""`jaxlle --help` and `jaxlle --version`: their output, and what they do not import."""

import subprocess
import sys

import pytest
from cli_helpers import run

import jaxlle


def test_help_lists_commands_and_arguments(capsys):
    for arguments, words in [
        (["--help"], ["embed", "report", "choose", "doctor"]),
        (["embed", "--help"], ["--dim", "--k", "--out", "--plot", "--components", "--precision"]),
    ]:
        status, out, err = run(capsys, *arguments)
        assert (status, err) == (0, "")
        assert all(word in out for word in words)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_no_framework_and_no_optional_package(argument):
    code = f"""
import sys
from jaxlle.cli import main
try:
    main([{argument!r}])
except SystemExit as stop:
    print(stop.code, [m for m in ("jax", "numpy", "flax", "sklearn", "matplotlib", "optax", "rich") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_version_is_that_of_the_package(capsys):
    assert run(capsys, "--version") == (0, f"jaxlle {jaxlle.__version__}\n", "")
