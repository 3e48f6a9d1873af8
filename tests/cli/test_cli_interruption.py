"""Ctrl-C at any moment: status 130, a message that states what was written, and complete files."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_helpers import ROLL, assert_fails
from helpers import keeping_programs

from jaxlle import cli
from jaxlle.cli import _interruption


@pytest.fixture
def handler(monkeypatch):
    """The handler of the process, for the duration of a test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes of a shell ignore SIGINT
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    current = _interruption.Interruption()
    monkeypatch.setattr(_interruption, "current", current)
    current.install()
    yield current
    signal.signal(signal.SIGINT, before)


def interrupt(*_, **__):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
def test_an_interruption_while_files_are_replaced_replaces_all_of_them(capsys, tmp_path, monkeypatch, handler):
    files, replace = (tmp_path / "a.npz", tmp_path / "a.png"), pathlib.Path.replace
    for path in files:
        path.write_bytes(b"old")

    def interrupted_replace(self, target):
        interrupt()
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", interrupted_replace)
    line = assert_fails(capsys, *ROLL, "--out", files[0], "--plot", files[1], status=130)
    assert line == "jaxlle: interrupted; the files were written.\n"
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "a.png"]
    assert np.load(files[0])["points"].shape == (300, 2)
    assert files[1].read_bytes()[:4] == b"\x89PNG"


def test_the_message_of_an_interruption_after_the_files_are_written_states_that(capsys, tmp_path, monkeypatch, handler):
    monkeypatch.setattr(cli._embed, "print_summary", interrupt)
    line = assert_fails(capsys, *ROLL, "--out", tmp_path / "a.npz", status=130)
    assert line == "jaxlle: interrupted; the files were written.\n"
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("outcome", ["swallowed", "replaced by another error"])
def test_an_interruption_that_a_library_loses_still_ends_the_command(capsys, tmp_path, monkeypatch, handler, outcome):
    def lose(*_):
        try:
            interrupt()
        except KeyboardInterrupt:
            if outcome == "swallowed":
                return []
            raise RuntimeError("INTERNAL: CpuCallback error") from None

    monkeypatch.setattr(cli._embed, "quality", lose)
    line = assert_fails(capsys, *ROLL, "--out", tmp_path / "a.npz", status=130)
    assert line == "jaxlle: interrupted; nothing was written.\n"
    assert os.listdir(tmp_path) == []


def test_an_interruption_of_a_destructor_is_repeated_after_it(capsys, tmp_path, monkeypatch, handler):
    class Interrupted:
        __del__ = interrupt

    completed = []

    def lose(*_):
        del [Interrupted()][0]
        time.sleep(20)
        completed.append(True)
        return []

    monkeypatch.setattr(cli._embed, "quality", lose)
    line = assert_fails(capsys, *ROLL, "--out", tmp_path / "a.npz", status=130)
    assert completed == []
    assert line == "jaxlle: interrupted; nothing was written.\n"


def test_sigint_that_the_parent_ignores_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _interruption.Interruption().install()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


LAST_MOMENT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from jaxlle.cli import _main, command

class Stream:
    def flush(self):
        os.kill(os.getpid(), signal.SIGINT)
    def write(self, text):
        return len(text)

def ended():
    sys.stdout = Stream()  # the last flush of the process is interrupted
    return 0

_main.main = ended
command()
"""


def test_an_interruption_at_the_last_moment_exits_with_130():
    done = subprocess.run([sys.executable, "-c", LAST_MOMENT], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(("arguments", "status"), [("--version", 0), ("draw", 2), ("embed missing.npy", 1)])
def test_the_process_exits_with_the_status_of_the_command(arguments, status, tmp_path):
    command = [sys.executable, "-m", "jaxlle", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == status
    assert bool(done.stdout) == (status == 0)
    assert bool(done.stderr) == (status != 0)


RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from jaxlle.cli import command
print("ready", flush=True)
command()
"""


@pytest.mark.exhaustive
def test_an_interruption_at_any_of_forty_moments_exits_with_130(tmp_path):
    """Half of the moments are anywhere in the run, half of them just before its end."""
    path, chance = tmp_path / "out" / "a.npz", random.Random(0)
    path.parent.mkdir()
    command = [sys.executable, "-c", RUN, *map(str, ROLL), "--out", str(path)]
    environment = {**os.environ, **keeping_programs(tmp_path / "compiled")}
    taken, statuses = [], []
    for attempt in range(42):
        path.unlink(missing_ok=True)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stdout.readline() == "ready\n"
        start = time.perf_counter()
        if attempt < 2:  # the first compiles, the second is timed
            process.wait()
            taken.append(time.perf_counter() - start)
            continue
        if attempt % 2:
            time.sleep(chance.uniform(0, taken[1]))
        else:
            while process.poll() is None and not os.listdir(path.parent):
                time.sleep(1e-4)
            time.sleep(chance.uniform(0, 0.01))
        process.send_signal(signal.SIGINT)
        error = process.communicate()[1]
        statuses.append(process.returncode)
        if process.returncode == 0:  # it had ended
            assert error == ""
        else:
            assert process.returncode == 130, error
            assert (
                error == f"jaxlle: interrupted; {'the files were' if path.exists() else 'nothing was'} written.\n"
                or not error
            )
        assert not path.exists() or np.load(path)["points"].shape == (300, 2)
        assert path.exists() or process.returncode == 130
        assert os.listdir(path.parent) == ["a.npz"] * path.exists()
    assert statuses.count(130) > 15
