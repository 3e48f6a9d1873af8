"""The graph Laplacian as an alignment: comparison with the loss and with SciPy, derivatives, and invalid weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.sparse import csr_array
from scipy.sparse.csgraph import laplacian

import jaxlle
from jaxlle.alignment import laplacian_alignment

N, K = 40, 5


@pytest.fixture
def graph():
    return jaxlle.knn(np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32), K)


def test_the_cost_is_the_energy_of_the_laplacian(graph):
    weights = np.random.default_rng(1).uniform(0, 2, (N, K)).astype(np.float32)
    weights[3, 2] = 0
    b = np.asarray(laplacian_alignment(graph, weights).to_dense(), np.float64)
    entries = (weights.ravel(), (np.repeat(np.arange(N), K), np.asarray(graph.indices).ravel()))
    directed = csr_array(entries, shape=(N, N)).toarray()
    np.testing.assert_allclose(b.T @ b, laplacian(directed + directed.T), atol=1e-5)


def test_with_the_default_weights_it_is_the_loss_of_the_laplacian(graph):
    y = jnp.asarray(np.random.default_rng(2).normal(size=(N, 2)), jnp.float32)
    alignment = laplacian_alignment(graph)
    near = y[graph.indices]
    cost = jaxlle.losses.alignment_loss(jnp.concatenate([y[:, None], near], axis=1), alignment.blocks)
    np.testing.assert_allclose(cost, jaxlle.losses.laplacian_loss(y, near), rtol=1e-5)
    mask = jnp.arange(K) < 3
    masked = laplacian_alignment(graph._replace(mask=jnp.broadcast_to(mask, (N, K))))
    few = laplacian_alignment(jaxlle.Neighbors(graph.indices[:, :3], None))
    np.testing.assert_allclose(masked.to_dense().T @ masked.to_dense(), few.to_dense().T @ few.to_dense(), atol=1e-5)


def test_derivatives_in_the_weights_are_finite_at_zero_and_match_finite_differences(x64):
    graph = jaxlle.knn(np.random.default_rng(0).normal(size=(N, 3)), K)
    y = jnp.asarray(np.random.default_rng(2).normal(size=(N, 2)))

    def cost(weights):
        return jnp.sum(laplacian_alignment(graph, weights).matvec(y) ** 2)

    weights = jnp.asarray(np.random.default_rng(1).uniform(0.5, 2, (N, K)))
    check_grads(cost, (weights,), order=1, modes=["rev"], eps=1e-6)
    assert bool(jnp.isfinite(jax.grad(cost)(jnp.zeros((N, K)))).all())


def test_it_runs_under_jit_and_invalid_weights_raise(graph):
    weights = jnp.ones((N, K))
    np.testing.assert_array_equal(
        jax.jit(laplacian_alignment)(graph, weights).blocks, laplacian_alignment(graph, weights).blocks
    )
    with pytest.raises(ValueError, match=r"weights has shape \(40, 4\)"):
        laplacian_alignment(graph, weights[:, :4])
    with pytest.raises(ValueError, match="contains negative numbers"):
        laplacian_alignment(graph, -weights)
    with pytest.raises(ValueError, match="contains NaN"):
        laplacian_alignment(graph, weights.at[0, 0].set(jnp.nan))
