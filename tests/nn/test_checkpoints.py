"""Checkpoints: resumed runs, damaged checkpoints, checkpoints of another architecture."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
from encoders import ellipse, linear_model
from flax import nnx

from jaxlle.nn import FitOptions, ParametricLLE


@pytest.fixture(scope="module")
def ring():
    return ellipse()


def test_a_resumed_run_gives_the_result_of_an_uninterrupted_one(ring, tmp_path):
    whole, options = linear_model(), {"batch_size": 32, "progress": False}
    whole.fit(ring, epochs=4, options=FitOptions(metrics_path=tmp_path / "whole.jsonl"), **options)
    options["options"] = FitOptions(checkpoint_dir=tmp_path / "steps", metrics_path=tmp_path / "parts.jsonl")
    linear_model().fit(ring, epochs=2, **options)
    with (tmp_path / "parts.jsonl").open("a") as file:
        file.write('{"epoch": 2, "co')  # as left by an interruption
    resumed = linear_model()
    assert [m["epoch"] for m in resumed.fit(ring, epochs=4, **options)] == [2, 3]
    lines = [[json.loads(a) for a in (tmp_path / f).read_text().splitlines()] for f in ("whole.jsonl", "parts.jsonl")]
    assert lines[0] == lines[1]
    events = [file.read_bytes() for file in tmp_path.glob("events*")]  # TensorBoard writes one file per run
    assert len(events) == 3
    assert all(name in data for data in events for name in (b"cost", b"directions"))
    jax.tree.map(np.testing.assert_array_equal, nnx.state(whole, nnx.Param), nnx.state(resumed, nnx.Param))
    assert resumed.fit(ring, epochs=4, **options) == []


def test_damaged_checkpoints_and_those_of_another_model_raise(ring, tmp_path):
    options = {"batch_size": 32, "progress": False, "options": FitOptions(checkpoint_dir=tmp_path)}
    linear_model().fit(ring, epochs=1, **options)
    wide = ParametricLLE(nnx.Linear(3, 3, rngs=nnx.Rngs(0)), 3, k=6)
    with pytest.raises(ValueError, match="cannot be restored"):
        wide.fit(ring, epochs=2, **options)
    meta = tmp_path / "1" / "meta" / "metadata"
    found = json.loads(meta.read_text())
    meta.write_text(json.dumps({**found, "format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        linear_model().fit(ring, epochs=2, **options)
    meta.write_text("{")
    with pytest.raises(ValueError, match="cannot be restored"):
        linear_model().fit(ring, epochs=2, **options)


def test_a_truncated_checkpoint_raises_and_the_previous_one_can_be_resumed(ring, tmp_path):
    saving = FitOptions(checkpoint_dir=tmp_path / "steps")
    logging = replace(saving, metrics_path=tmp_path / "metrics.jsonl")
    options = {"batch_size": 32, "progress": False}
    whole = linear_model()
    whole.fit(ring, epochs=3, batch_size=32, progress=False)
    linear_model().fit(ring, epochs=2, options=logging, **options)
    written = (tmp_path / "metrics.jsonl").read_text()
    for file in (tmp_path / "steps" / "2" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"it is damaged.*remove its folder to resume from the one before"):
        linear_model().fit(ring, epochs=3, options=logging, **options)
    assert (tmp_path / "metrics.jsonl").read_text() == written
    shutil.rmtree(tmp_path / "steps" / "2")
    resumed = linear_model()
    assert [m["epoch"] for m in resumed.fit(ring, epochs=3, options=saving, **options)] == [1, 2]
    jax.tree.map(np.testing.assert_array_equal, nnx.state(whole, nnx.Param), nnx.state(resumed, nnx.Param))


def test_a_loss_that_is_not_finite_leaves_the_checkpoints_intact(ring, tmp_path):
    options = {"batch_size": 32, "progress": False, "options": FitOptions(checkpoint_dir=tmp_path)}
    linear_model().fit(ring, epochs=2, **options)
    with pytest.raises(FloatingPointError, match="in epoch 2"):
        linear_model(optimizer=optax.adam(float("nan"))).fit(ring, epochs=9, **options)
    assert [m["epoch"] for m in linear_model().fit(ring, epochs=3, **options)] == [2]
