"""Training runs killed at random moments: each resumes from its last complete checkpoint, and ends as one left alone."""

import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import keeping_programs

EPOCHS, KILLS = 240, 20

RUN = f"""
import pathlib, sys
import jax
import numpy as np
import optax
from flax import nnx
from jaxlle.nn import ParametricLLE, save_model

folder = pathlib.Path(sys.argv[1])
x = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
encoder = nnx.Sequential(nnx.Linear(3, 8, rngs=nnx.Rngs(0)), jax.numpy.tanh, nnx.Linear(8, 2, rngs=nnx.Rngs(1)))
model = ParametricLLE(encoder, 2, k=6, optimizer=optax.adam(1e-2))
places = dict(checkpoint_dir=folder / "steps", metrics_path=folder / "metrics.jsonl")
print("start", flush=True)
model.fit(x, epochs={EPOCHS}, batch_size=16, graph=lambda epoch: print(epoch, flush=True), progress=False, **places)
save_model(folder / "model.npz", model)
"""


def started(folder):
    command = [sys.executable, "-W", "ignore", "-c", RUN, folder]
    kept = keeping_programs(folder / "compiled")  # or most of the time would be compiling the same again
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **kept})


def checkpoints(folder):
    return sorted(int(path.name) for path in (folder / "steps").glob("*") if path.name.isdecimal())


def lived(folder, chance):
    """Run until a random moment: in the restoring, or some epochs and some milliseconds after; return its first epoch."""
    process = started(folder)
    assert process.stdout.readline() == "start\n"
    lines = []
    if chance.random() < 0.75:
        lines = [process.stdout.readline() for _ in range(1 + chance.randrange(6))]
    time.sleep(chance.uniform(0, 0.2))
    process.kill()  # SIGKILL
    process.communicate()
    assert process.returncode == -9
    return int(lines[0]) if lines else None


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_as_one_left_alone(tmp_path):
    alone, killed, chance = tmp_path / "alone", tmp_path / "killed", random.Random(0)
    alone.mkdir()
    killed.mkdir()
    reference = started(alone)  # meanwhile
    for _ in range(KILLS):
        before = checkpoints(killed)
        first = lived(killed, chance)
        assert first in (None, max(before, default=0))  # nothing but the steps since the last complete one is lost
        assert max(checkpoints(killed), default=0) >= max(before, default=0)
    assert max(checkpoints(killed)) < EPOCHS
    newest, last = max(checkpoints(killed)), started(killed)
    assert last.communicate()[0].split()[1] == str(newest)
    reference.communicate()
    assert (last.returncode, reference.returncode) == (0, 0)
    lines = [[json.loads(a) for a in (f / "metrics.jsonl").read_text().splitlines()] for f in (alone, killed)]
    assert lines[0] == lines[1]
    assert [line["epoch"] for line in lines[1]] == list(range(EPOCHS))
    with np.load(alone / "model.npz") as a, np.load(killed / "model.npz") as b:
        assert set(a.files) == set(b.files)
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])
