"""Pipes whose reader ends, as `head` does, and paths as they are displayed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import ROLL

from jaxlle import cli
from jaxlle.cli import _outputs


class Closed:
    """A stream into a pipe that nobody reads any more, after a number of characters."""

    encoding = "utf-8"

    def __init__(self, after=0):
        self.left = after

    def write(self, text):
        self.left -= len(text)
        if self.left < 0:
            raise BrokenPipeError(32, "Broken pipe")
        return len(text)

    def flush(self):
        if self.left < 0:
            raise BrokenPipeError(32, "Broken pipe")

    def isatty(self):
        return False


@pytest.mark.parametrize("after", [0, 60])
@pytest.mark.parametrize("arguments", [("doctor",), ("papers",), ("papers", "list"), (*ROLL, "--no-cache")], ids=str)
def test_a_command_ends_silently_when_the_reader_of_its_output_ends(arguments, after, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Closed(after))
    assert cli.main([str(argument) for argument in arguments]) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments", [("papers", "list"), ("--version",)], ids=str
)  # more and less than fills a buffer
def test_a_process_ends_silently_with_the_status_of_other_tools(arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "jaxlle", *arguments]
    done = subprocess.run(
        command,
        stdout=write,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        cwd=Path(cli.__file__).parents[2],
        timeout=120,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_paths_are_displayed_relative_to_the_working_directory_or_the_home_folder_and_without_their_middle(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/some/home")
    assert _outputs.short_path(tmp_path / "y.npz") == "y.npz"
    assert _outputs.short_path("y.npz") == "y.npz"
    assert _outputs.short_path("/some/home/data/y.npz") == os.path.join("~", "data", "y.npz")
    long = Path("/", "first", *("folder" for _ in range(20)), "last", "y.npz")
    assert _outputs.short_path(long) == os.path.join("/first", "...", "last", "y.npz")
    assert _outputs.short_path("/first/second/y.npz") == "/first/second/y.npz"
    assert _outputs.short_path("x" * 90) == "x" * 90
