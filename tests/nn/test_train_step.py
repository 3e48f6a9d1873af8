"""One training step in NumPy, early stopping and checkpoints at the epochs that the options name, and parameters of the model."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from encoders import N, ellipse, linear_model
from flax import nnx

import jaxlle
from jaxlle.nn import FitOptions, OrthonormalHead, parametric, train, train_step
from jaxlle.nn.evaluation import evaluate_blocks


@pytest.fixture(scope="module")
def ring():
    return ellipse()


def whiten(y, rows, eps=1e-4):
    """Return features whitened by the statistics of some rows, with a ridge relative to the mean variance."""
    mean, spread = y[rows].mean(axis=0), np.cov(y[rows].T, bias=True)
    ridge = eps * np.trace(spread) / len(spread)
    return np.linalg.solve(np.linalg.cholesky(spread + ridge * np.eye(len(spread))), (y - mean).T).T


def test_a_step_computes_its_metrics_from_the_anchors_and_adds_the_scheduled_error_of_the_decoder(ring, monkeypatch):
    decoder = nnx.Linear(2, 3, rngs=nnx.Rngs(1))
    schedule = optax.linear_schedule(3.0, 1.0, 2)
    model = linear_model(decoder=decoder, penalty=schedule, optimizer=optax.sgd(0.0))
    batches = jaxlle.neighborhood_batches(ring, *model.graph(ring), batch_size=9)
    batch = batches.batch(0)
    points, anchors = np.asarray(batch.points, np.float64), np.asarray(batch.anchors)
    assert 9 < batch.valid.sum() < N  # points that are not anchors must not count
    features = points @ np.asarray(model.encoder.kernel[...], np.float64) + np.asarray(model.encoder.bias[...])
    z = whiten(features, anchors)
    near = np.einsum("bk,bkd->bd", batch.weights, z[np.asarray(batch.gather)])
    cost = ((z[anchors] - near) ** 2).sum(axis=1).mean()
    decoded = z @ np.asarray(decoder.kernel[...], np.float64) + np.asarray(decoder.bias[...])
    error = ((points - decoded) ** 2).sum(axis=1)[anchors].mean()
    spread = np.cov(features[anchors].T, bias=True)
    for step in range(3):  # the same batch, so that the running averages stay as they are
        metrics = train_step(model, batch)
        np.testing.assert_allclose(metrics["cost"], cost, rtol=1e-3)
        np.testing.assert_allclose(metrics["error"], error, rtol=1e-4)
        np.testing.assert_allclose(metrics["loss"], cost + (3 - step) * error, rtol=1e-4)
        np.testing.assert_allclose(metrics["directions"], np.trace(spread) ** 2 / np.trace(spread @ spread), rtol=1e-4)
        assert int(model.step[...]) == step + 1
    np.testing.assert_allclose(model.head.mean[...], features[anchors].mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(model.head.covariance[...], spread, rtol=1e-4)
    model.eval()
    np.testing.assert_allclose(model.inverse_transform(z.astype(np.float32)), decoded, rtol=1e-4, atol=1e-5)
    sizes = []
    monkeypatch.setattr(parametric, "evaluate_blocks", lambda *given: sizes.append(given[2]) or evaluate_blocks(*given))
    np.testing.assert_allclose(model.transform(ring, block=30), model(jnp.asarray(ring)), atol=1e-5)
    assert sizes == [30]
    assert [len(block) for block in evaluate_blocks(model, ring, 30)] == [30, 30, 4]


def test_the_head_uses_the_rows_that_count_its_ridge_and_its_momentum():
    rng = np.random.default_rng(0)
    y = (rng.normal(size=(40, 2)) @ [[2.0, 1.0], [0.0, 0.5]] + 3).astype(np.float32)
    counts = np.arange(40) % 3 > 0
    y[~counts] += 100
    head = OrthonormalHead(2, eps=0.5, momentum=0.75)
    z = head(jnp.asarray(y), counts)
    np.testing.assert_allclose(z, whiten(y.astype(np.float64), counts, 0.5), rtol=1e-3, atol=1e-4)
    for _ in range(7):
        head(jnp.asarray(y), counts)
    head(jnp.asarray(y + 8), counts)  # after four steps the new batch has the weight 1 - momentum
    np.testing.assert_allclose(head.mean[...] - y[counts].mean(axis=0), 8 * 0.25, rtol=1e-3)


class Scripted(nnx.Module):
    """Counts the steps; each step has the next cost of a list."""

    def __init__(self, costs):
        self.step = nnx.BatchStat(jnp.zeros((), jnp.int32))
        self.costs = tuple(costs)


def scripted_step(model, batch):
    model.step[...] = model.step[...] + 1
    cost = model.costs[int(model.step[...]) - 1]
    return {"loss": cost, "cost": cost}


@pytest.fixture(scope="module")
def one_batch(ring):
    neighbors = jaxlle.knn(ring, 6)
    return jaxlle.neighborhood_batches(ring, neighbors, jaxlle.barycentric_weights(ring, neighbors), batch_size=N)


COSTS = (3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 1.2, 0.5, 9.0, 9.0, 9.0)  # the lowest so far at epochs 0, 1, 3 and 7


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 6), (3, 7), (4, 11), (None, 11)])
def test_training_stops_after_as_many_epochs_without_a_new_lowest_cost_as_the_patience(one_batch, patience, epochs):
    options = FitOptions(patience=patience)
    history = train(Scripted(COSTS), scripted_step, one_batch, epochs=11, progress=False, options=options)
    assert [metrics["cost"] for metrics in history] == list(COSTS[:epochs])


def test_numbers_of_epochs_below_one_raise():
    for name in ("patience", "checkpoint_every"):
        with pytest.raises(ValueError, match=f"{name} = 0 is not allowed: it must be at least 1"):
            FitOptions(**{name: 0})


def test_checkpoints_are_saved_at_multiples_of_checkpoint_every_and_at_the_end_and_keep_the_patience(
    one_batch, tmp_path
):
    def run(epochs, **options):
        options = FitOptions(checkpoint_dir=tmp_path, **options)
        history = train(Scripted(COSTS), scripted_step, one_batch, epochs=epochs, progress=False, options=options)
        return [metrics["epoch"] for metrics in history]

    assert run(5, checkpoint_every=3) == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "5"]
    assert run(11, patience=3) == [5, 6]  # the epoch without a new lowest cost before the interruption counts


def test_the_graph_of_the_model_and_the_one_given_to_a_step_are_used(ring):
    neighbors, weights = linear_model(reg=0.01).graph(ring)
    expected = jaxlle.knn(ring, 6)
    np.testing.assert_array_equal(neighbors.indices, expected.indices)
    np.testing.assert_array_equal(weights, jaxlle.barycentric_weights(ring, expected, reg=0.01))
    given = {"none": None, "same": (neighbors, weights), "other": (neighbors, jnp.full_like(weights, 1 / 6))}
    costs = {name: linear_model(reg=0.01).partial_fit(ring, graph=graph)["cost"] for name, graph in given.items()}
    assert costs["same"] == costs["none"]
    assert costs["other"] > 1.2 * costs["none"]


def test_every_training_updates_the_head_and_leaves_the_model_in_evaluation_mode(ring, one_batch):
    model = linear_model(reg=0.01)
    assert not model.head.use_running_average
    for count in (1, 2):
        model.partial_fit(ring)
        assert (int(model.head.count[...]), model.head.use_running_average) == (count, True)
    for count in (3, 4):
        train(model, train_step, one_batch, epochs=1, progress=False)
        assert (int(model.head.count[...]), model.head.use_running_average) == (count, True)
