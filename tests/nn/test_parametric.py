"""ParametricLLE: the embedding that it learns, its decoder, white outputs, bad arguments."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from encoders import N, ellipse, linear_model
from flax import nnx

import jaxlle
from jaxlle.nn import ParametricLLE


@pytest.fixture(scope="module")
def ring():
    return ellipse()


@pytest.mark.slow
def test_an_encoder_learns_the_exact_embedding(ring):
    model = linear_model()
    history = model.fit(ring, epochs=150, batch_size=32, progress=False)
    exact = jaxlle.lle(ring, 2, k=6)
    z = model.transform(ring)
    cosine = np.linalg.svd(np.linalg.qr(z - z.mean(axis=0))[0].T @ exact.points, compute_uv=False).min()
    assert cosine > 0.99
    assert history[-1]["cost"] < history[0]["cost"]
    assert 1 <= history[-1]["directions"] <= 2
    np.testing.assert_allclose(model(jnp.asarray(ring[:3])), z[:3], atol=1e-5)  # with and without jit, in float32


@pytest.mark.slow
def test_the_training_points_are_white_after_a_short_training(ring):
    model = linear_model(optimizer=optax.adam(0.3))  # so that the features change much in every step
    model.fit(ring, epochs=3, batch_size=16, progress=False)
    z = model.transform(ring)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(z.T @ z / N, np.eye(2), atol=1e-2)


@pytest.mark.slow
def test_a_decoder_with_a_schedule_a_new_graph_and_a_half_precision_encoder(ring):
    encoder = nnx.Linear(3, 2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    decoder = nnx.Linear(2, 3, rngs=nnx.Rngs(1))
    schedule = optax.linear_schedule(1.0, 0.0, 10)
    model = ParametricLLE(encoder, 2, k=6, decoder=decoder, penalty=schedule, optimizer=optax.adam(1e-1))
    epochs = []

    def graph(epoch):
        epochs.append(epoch)
        return model.graph(ring) if epoch == 1 else None

    history = model.fit(ring, epochs=6, batch_size=32, graph=graph, progress=False)
    assert epochs == list(range(6))
    first, last = history[0], history[-1]
    np.testing.assert_allclose(last["loss"], last["cost"], rtol=1e-2)  # the schedule has reached zero
    assert first["loss"] > first["cost"]
    z = model.transform(ring)
    assert z.dtype == jnp.float32
    assert model.inverse_transform(z).shape == ring.shape
    assert last["error"] < first["error"]
    before = float(model.step[...])
    assert model.partial_fit(ring[:20])["cost"] > 0
    assert model.step[...] == before + 1


def test_bad_arguments_raise(ring):
    with pytest.raises(ValueError, match=r"shape \(1, 2\) for one point, but dim = 3"):
        ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 3, k=6).fit(ring, epochs=1)
    with pytest.raises(ValueError, match="batch_size = 1 is smaller than dim = 2"):
        linear_model().fit(ring, epochs=1, batch_size=1)
    with pytest.raises(ValueError, match="k \\(n_neighbors\\) = 64"):
        linear_model(k=64).fit(ring, epochs=1)
    with pytest.raises(ValueError, match="k \\(n_neighbors\\) = 6"):
        linear_model().partial_fit(ring[:6])
    neighbors, weights = linear_model().graph(ring)
    with pytest.raises(ValueError, match="do not sum to one"):
        linear_model().fit(ring, epochs=1, graph=lambda epoch: (neighbors, 2 * weights))
    outside = neighbors._replace(indices=neighbors.indices.at[0, 0].set(N))
    with pytest.raises(ValueError, match="indices from"):
        linear_model().partial_fit(ring, graph=(outside, weights))
    with pytest.raises(ValueError, match="NaN"):
        linear_model().fit(np.where(np.arange(3) == 1, np.nan, ring), epochs=1)
    with pytest.raises(ValueError, match="no decoder"):
        linear_model().inverse_transform(ring[:, :2])
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        linear_model(optimizer=optax.sgd(float("nan"))).fit(ring, epochs=2, batch_size=32, progress=False)


@pytest.mark.slow
def test_an_encoder_reaches_the_exact_embedding_of_a_swiss_roll_and_maps_new_points_as_accurately_as_transform(
    monkeypatch,
):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    from learning import encoder

    random, trained = encoder(n=1500, held_out=300, seeds=1, graphs=("LLE, k = 20, reg 0.1",))
    assert random["encoder cosine"] < 0.9 < 0.99 < random["solved cosine"]
    assert trained["encoder cosine"] > 0.99
    for row in (random, trained):
        assert row["matched cosine"] > 0.999
        assert row["matched"] < 1.25 * row["transform"]
