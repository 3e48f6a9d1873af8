"""Training runs that are killed at random times resume from their last complete checkpoint, with the same final result."""

import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import keeping_programs

EPOCHS = 240

RUN = f"""
import pathlib, sys
import jax
import numpy as np
import optax
from flax import nnx
from jaxlle.nn import FitOptions, ParametricLLE, save_model

folder = pathlib.Path(sys.argv[1])
x = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
encoder = nnx.Sequential(nnx.Linear(3, 8, rngs=nnx.Rngs(0)), jax.numpy.tanh, nnx.Linear(8, 2, rngs=nnx.Rngs(1)))
model = ParametricLLE(encoder, 2, k=6, optimizer=optax.adam(1e-2))
options = FitOptions(checkpoint_dir=folder / "steps", metrics_path=folder / "metrics.jsonl")
print("start", flush=True)
model.fit(x, epochs={EPOCHS}, batch_size=16, graph=lambda epoch: print(epoch, flush=True), progress=False, options=options)
save_model(folder / "model.npz", model)
"""


def start(folder):
    command = [sys.executable, "-W", "ignore", "-c", RUN, folder]
    kept = keeping_programs(folder / "compiled")  # otherwise most of the time is spent on repeated compilation
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **kept})


def checkpoints(folder):
    return sorted(int(path.name) for path in (folder / "steps").glob("*") if path.name.isdecimal())


def run_and_kill(folder, chance):
    """Run until a random time, while restoring or some epochs and milliseconds later; return the first epoch of the run."""
    process = start(folder)
    assert process.stdout.readline() == "start\n"
    lines = []
    if chance.random() < 0.75:
        lines = [process.stdout.readline() for _ in range(1 + chance.randrange(6))]
    time.sleep(chance.uniform(0, 0.2))
    process.kill()  # SIGKILL
    process.communicate()
    assert process.returncode == -9
    return int(lines[0]) if lines else None


@pytest.mark.exhaustive_cases("20")
@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 20])
def test_a_run_killed_several_times_gives_the_result_of_an_uninterrupted_one(tmp_path, kills):
    whole, killed, chance = tmp_path / "whole", tmp_path / "killed", random.Random(0)
    whole.mkdir()
    killed.mkdir()
    reference = start(whole)  # runs at the same time
    for _ in range(kills):
        before = checkpoints(killed)
        first = run_and_kill(killed, chance)
        assert first in (None, max(before, default=0))  # only the steps since the last complete checkpoint are lost
        assert max(checkpoints(killed), default=0) >= max(before, default=0)
    assert max(checkpoints(killed)) < EPOCHS
    newest, last = max(checkpoints(killed)), start(killed)
    assert last.communicate()[0].split()[1] == str(newest)
    reference.communicate()
    assert (last.returncode, reference.returncode) == (0, 0)
    lines = [[json.loads(a) for a in (f / "metrics.jsonl").read_text().splitlines()] for f in (whole, killed)]
    assert lines[0] == lines[1]
    assert [line["epoch"] for line in lines[1]] == list(range(EPOCHS))
    with np.load(whole / "model.npz") as a, np.load(killed / "model.npz") as b:
        assert set(a.files) == set(b.files)
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])
