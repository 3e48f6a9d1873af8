"""Checkpoints: resumed runs, damaged checkpoints, checkpoints of another architecture."""

import json
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from encoders import ellipse, linear_model
from flax import nnx

import jaxlle
from jaxlle.nn import FitOptions, ParametricLLE, train, train_step
from jaxlle.nn._fingerprint import check_fingerprint, compared_updates, fingerprint
from jaxlle.nn.metrics_log import read_metrics


@pytest.fixture(scope="module")
def ring():
    return ellipse()


@pytest.mark.slow
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


@pytest.mark.slow
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
    meta.write_text(json.dumps({**found, "format": 2}))  # without a fingerprint of the run
    with pytest.raises(ValueError, match=r"format 2; this jaxlle reads format 3: use another directory"):
        linear_model().fit(ring, epochs=2, **options)
    for text, message in (
        ("{", "cannot be restored"),
        ("3", "format None"),
        ('{"arrays": {}}', "format None"),
        ('{"format": 3, "arrays": 4}', "lacks the description of its arrays or of its run"),
        ("[" * 10**5, "cannot be restored"),
    ):
        meta.write_text(text)
        with pytest.raises(ValueError, match=message):
            linear_model().fit(ring, epochs=2, **options)


@pytest.mark.parametrize("line", ["{", "3", "[]", "{}", '{"epoch": "1"}', "[" * 10**5], ids=lambda line: line[:12])
def test_a_line_without_the_metrics_of_an_epoch_raises_unless_it_is_the_last(tmp_path, line):
    path, first = tmp_path / "metrics.jsonl", {"epoch": 0, "cost": 1.0}
    path.write_text(f"{json.dumps(first)}\n{line}")
    assert read_metrics(path) == [first]
    path.write_text(f"{json.dumps(first)}\n{line}\n{json.dumps(first)}\n")
    with pytest.raises(ValueError, match=r"Line 2 of .*metrics\.jsonl does not hold the metrics of an epoch"):
        read_metrics(path)


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


@pytest.mark.slow
def test_a_loss_that_is_not_finite_leaves_the_checkpoints_intact(ring, tmp_path):
    options = {"batch_size": 32, "progress": False, "options": FitOptions(checkpoint_dir=tmp_path)}
    linear_model().fit(ring, epochs=2, **options)
    model = linear_model()
    batches = jaxlle.neighborhood_batches(ring, *model.graph(ring), batch_size=32)

    def without_loss(model, batch):
        return {**train_step(model, batch), "loss": np.nan}

    with pytest.raises(FloatingPointError, match="in epoch 2"):
        train(model, without_loss, batches, epochs=9, progress=False, options=options["options"])
    assert [m["epoch"] for m in linear_model().fit(ring, epochs=3, **options)] == [2]


def model_of_curve(k=6, reg=1e-3, rate=1e-2, penalty=1.0, momentum=0.9):
    decoder = nnx.Linear(2, 3, rngs=nnx.Rngs(1))
    return linear_model(k=k, reg=reg, optimizer=optax.adam(rate), decoder=decoder, penalty=penalty, momentum=momentum)


@pytest.fixture(scope="module")
def saved(ring, tmp_path_factory):
    """Return the folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp("run")
    options = FitOptions(checkpoint_dir=folder)
    model_of_curve().fit(ring, epochs=2, batch_size=32, progress=False, options=options)
    return folder


def changed(x):
    x = x.copy()
    x[17, 1] += 1e-3
    return x


@pytest.mark.slow_cases("k")
@pytest.mark.parametrize(
    ("model", "data", "fit", "message"),
    [
        ({"k": 7}, None, {}, r"k is 6 in the checkpoint and 7 here"),
        ({"reg": 1e-2}, None, {}, r"reg is 0\.001 in the checkpoint and 0\.01 here"),
        ({"reg": jaxlle.regularizers.MeanTraceRidge(1e-3)}, None, {}, r"reg is 0\.001 in .* and MeanTraceRidge"),
        ({"momentum": 0.5}, None, {}, r"momentum is 0\.9 in the checkpoint and 0\.5 here"),
        ({"rate": 2e-2}, None, {}, r"optimizer \(test updates\) has -\S+ in the checkpoint and -\S+ here"),
        ({"penalty": 2.0}, None, {}, r"penalty has 1 in the checkpoint and 2 here"),
        ({}, None, {"batch_size": 16}, r"batch_size is 32 in the checkpoint and 16 here"),
        ({}, None, {"key": jax.random.key(1)}, r"key has 0 in the checkpoint and 1 here"),
        ({}, changed, {}, r"points \(checksum\) is \w{12} in the checkpoint and \w{12} here"),
        ({}, lambda x: x[:-1], {}, r"number of points is 64 in the checkpoint and 63 here"),
        ({}, lambda x: np.roll(x, 1, axis=0), {}, r"points \(checksum\).*neighbors \(checksum\).*weights \(checksum\)"),
    ],
    ids=["k", "reg", "regularizer", "momentum", "optimizer", "penalty", "batch", "key", "point", "points", "order"],
)
def test_a_run_with_another_setting_or_other_data_is_not_resumed(ring, saved, model, data, fit, message):
    other = model_of_curve(**model)
    before = jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(other)))
    x = ring if data is None else data(ring)
    options = {"epochs": 3, "batch_size": 32, "progress": False, "options": FitOptions(checkpoint_dir=saved), **fit}
    with pytest.raises(ValueError, match=rf"cannot be resumed: .*{message}.*another checkpoint_dir"):
        other.fit(x, **options)
    jax.tree.map(np.testing.assert_array_equal, before, nnx.to_pure_dict(nnx.state(other)))


@pytest.mark.slow
def test_more_epochs_and_other_options_of_the_loop_are_resumed(ring, saved, tmp_path):
    folder = tmp_path / "steps"
    shutil.copytree(saved, folder)
    options = FitOptions(
        patience=50, checkpoint_dir=folder, checkpoint_every=5, metrics_path=tmp_path / "metrics.jsonl"
    )
    model = model_of_curve()
    history = model.fit(jnp.asarray(ring), epochs=4, batch_size=32, progress=False, options=options)
    assert [m["epoch"] for m in history] == [2, 3]
    whole = model_of_curve()
    whole.fit(ring, epochs=4, batch_size=32, progress=False)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(whole, nnx.Param), nnx.state(model, nnx.Param))


@pytest.mark.slow
def test_another_graph_of_the_same_points_is_not_resumed(ring, saved):
    model = model_of_curve()
    neighbors, weights = model.graph(ring)
    first = np.flatnonzero(np.arange(6) == 0)
    lists = {
        "neighbors": (neighbors._replace(indices=neighbors.indices[:, ::-1]), weights),
        "weights": (neighbors, weights.at[5].set(1 / 6)),
        "neighbors per point": (jaxlle.Neighbors(neighbors.indices[:, first], None), jnp.ones((64, 1))),
    }
    for name, graph in lists.items():
        batches = jaxlle.neighborhood_batches(ring, *graph, batch_size=32)
        with pytest.raises(ValueError, match=rf"cannot be resumed: .*{name}"):
            train(model, train_step, batches, epochs=3, progress=False, options=FitOptions(checkpoint_dir=saved))


@pytest.mark.slow
def test_a_replaced_graph_must_be_returned_again_after_resuming(ring, tmp_path):
    model = linear_model()
    neighbors, weights = model.graph(ring)
    other = neighbors, jnp.full_like(weights, 1 / 6)
    options = {"batch_size": 32, "progress": False}
    saving = FitOptions(checkpoint_dir=tmp_path)
    whole = linear_model()
    whole.fit(ring, epochs=4, graph=lambda epoch: other if epoch == 1 else None, **options)
    model.fit(ring, epochs=2, graph=lambda epoch: other if epoch == 1 else None, options=saving, **options)
    for graph in (None, lambda epoch: None):
        with pytest.raises(ValueError, match="`graph` must return it for epoch 2"):
            linear_model().fit(ring, epochs=4, graph=graph, options=saving, **options)
    resumed = linear_model()
    resumed.fit(ring, epochs=4, graph=lambda epoch: other if epoch == 2 else None, options=saving, **options)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(whole, nnx.Param), nnx.state(resumed, nnx.Param))


@pytest.mark.slow
def test_masked_entries_and_the_kind_of_array_do_not_change_the_fingerprint(ring):
    model = linear_model()
    neighbors, weights = model.graph(ring)
    mask = jnp.ones((64, 6), bool).at[3, 2].set(False)
    weights = weights.at[3].set(jnp.where(mask[3], 0.2, 0.0))
    first = neighbors._replace(mask=mask)
    second = first._replace(indices=first.indices.at[3, 2].set(0))
    prints = [
        fingerprint(model, jaxlle.neighborhood_batches(x, graph, weights, batch_size=16))
        for x, graph in ((ring, first), (jnp.asarray(ring), second), (ring.astype(np.float64), first))
    ]
    for other in prints[1:]:
        check_fingerprint(json.loads(json.dumps(prints[0])), other, "Checkpoint")
    changed = fingerprint(model, jaxlle.neighborhood_batches(ring, neighbors, weights, batch_size=16))
    with pytest.raises(ValueError, match="neighbors"):
        check_fingerprint(prints[0], changed, "Checkpoint")


@pytest.mark.slow
def test_large_arrays_are_represented_by_evenly_spaced_rows(ring, monkeypatch):
    monkeypatch.setattr("jaxlle.nn._fingerprint._CHECKED_BYTES", 12 * 8)  # eight rows of the points
    model = linear_model()
    graph = model.graph(ring)
    at = {row: ring.copy() for row in (0, 9, 63, 1)}
    for row, x in at.items():
        x[row] += 1
    sums = {
        row: fingerprint(model, jaxlle.neighborhood_batches(x, *graph, batch_size=16))["points (checksum)"]
        for row, x in {None: ring, **at}.items()
    }
    assert sums[1] == sums[None]  # between the rows that are read
    assert len({sums[row] for row in (None, 0, 9, 63)}) == 4


@pytest.mark.slow
def test_settings_of_an_optimizer_are_compared_by_what_it_computes():
    decay = optax.exponential_decay(1e-2, 1000, 0.5, staircase=True)
    optimizers = [
        optax.adam(1e-2),
        optax.adam(1.1e-2),
        optax.adam(1e-2, b1=0.8),
        optax.adam(1e-2, b2=0.99),
        optax.adam(1e-2, eps=1e-16),
        optax.adamw(1e-2),
        optax.adam(decay),
        optax.sgd(1e-2),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1e-2)),
    ]
    models = [linear_model(optimizer=optimizer) for optimizer in (*optimizers, *optimizers[:1])]
    found = [{"optimizer": compared_updates(model.optimizer, model)} for model in models]
    for i, one in enumerate(found):
        for j, other in enumerate(found):
            if i == j or {i, j} == {0, len(optimizers)}:
                check_fingerprint(one, other, "Checkpoint")
            else:
                with pytest.raises(ValueError, match="optimizer has"):
                    check_fingerprint(one, other, "Checkpoint")
    plateau = linear_model(optimizer=optax.chain(optax.sgd(1e-2), optax.contrib.reduce_on_plateau()))
    assert compared_updates(plateau.optimizer, plateau) is None  # needs the loss
