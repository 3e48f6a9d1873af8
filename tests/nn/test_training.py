"""The training step and the training loop: the graph, progress, custom steps."""

import io
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoders import N, ellipse, linear_model
from flax import nnx

import jaxlle
from jaxlle.nn import train, train_step


@pytest.fixture(scope="module")
def ring():
    return ellipse()


@pytest.mark.slow
def test_a_new_graph_takes_effect_in_its_epoch_and_an_equal_one_changes_nothing(ring):
    neighbors, weights = linear_model().graph(ring)
    graphs = {"none": None, "same": (neighbors, weights), "other": (neighbors, jnp.full_like(weights, 1 / 6))}

    def costs(name):
        history = linear_model().fit(ring, epochs=3, batch_size=N, graph=lambda e: graphs[name] if e == 1 else None)
        return [metrics["cost"] for metrics in history]

    none, same, other = map(costs, graphs)
    assert none == same
    assert none[0] == other[0]
    assert other[1] > 2 * none[1]


def test_progress_is_printed_on_a_terminal_only(ring, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for kind, expected in ((Terminal, ["epoch 1/2", "epoch 2/2"]), (io.StringIO, [])):
        monkeypatch.setattr("sys.stderr", kind())
        linear_model().fit(ring, epochs=2, batch_size=N)
        printed = sys.stderr.getvalue()
        assert [line.split("  ")[0] for line in printed.split("\r")[1:]] == expected
        assert printed.endswith("\n") == bool(expected)


def test_a_batch_with_nan_is_visible_in_the_metrics_of_the_step(ring):
    model = linear_model()
    batch = jaxlle.neighborhood_batches(ring, *model.graph(ring), batch_size=N).batch(0)
    assert np.isnan(train_step(model, batch._replace(points=batch.points.at[3].set(jnp.nan)))["loss"])


@pytest.mark.slow
def test_a_step_on_a_rank_deficient_batch_with_repeated_points_is_finite():
    x = np.repeat(np.random.default_rng(0).normal(size=(8, 3)), 4, axis=0).astype(np.float32)
    x[:, 2] = x[:, 0]
    model = linear_model(k=4)
    with jax.debug_nans(True):
        metrics = model.partial_fit(x)
    assert np.isfinite(list(metrics.values())).all()
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(nnx.state(model, nnx.Param)))


@pytest.mark.slow
def test_a_custom_loop_over_the_step_decreases_the_cost(ring):
    model = linear_model()
    batches = jaxlle.neighborhood_batches(ring, *model.graph(ring), batch_size=24)
    costs = [float(train_step(model, batches.batch(s))["cost"]) for s in range(60)]
    assert np.mean(costs[-6:]) < np.mean(costs[:6])


def test_the_loop_without_fit_takes_the_same_steps(ring):
    fitted, model = linear_model(), linear_model()
    history = fitted.fit(ring, epochs=3, batch_size=24, progress=False)
    batches = jaxlle.neighborhood_batches(ring, *model.graph(ring), batch_size=24)
    assert train(model, train_step, batches, epochs=3, progress=False) == history
    jax.tree.map(np.testing.assert_array_equal, nnx.state(fitted, nnx.Param), nnx.state(model, nnx.Param))


def test_the_loop_takes_any_step_and_any_module_that_counts_its_steps():
    class Counter(nnx.Module):
        def __init__(self):
            self.step = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def step(counter, batch):
        counter.step[...] = counter.step[...] + 1
        return {"loss": batch.where.sum(), "cost": batch.where.sum()}

    x = ellipse()
    neighbors = jaxlle.knn(x, 6)
    batches = jaxlle.neighborhood_batches(x, neighbors, jaxlle.barycentric_weights(x, neighbors), batch_size=24)
    history = train(Counter(), step, batches, epochs=2, progress=False)
    assert history == [{"epoch": e, "step": 3 * (e + 1), "loss": N / 3, "cost": N / 3} for e in range(2)]
