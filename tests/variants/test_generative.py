"""Weights as random variables: their mean and covariance in closed form, and the spread of the embeddings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle

KEY = jax.random.key(0)


def gram(x, ids, i, reg):
    z = x[ids] - x[i]
    g = z @ z.T
    return g + reg * np.trace(g) * np.eye(len(ids))


def test_the_posterior_is_the_gaussian_of_the_regularized_cost_on_the_plane(x64):
    x = np.random.default_rng(0).normal(size=(40, 3))
    neighbors = jaxlle.knn(x, 6)
    posterior = jaxlle.variants.weight_posterior(x, neighbors, noise=0.1)
    np.testing.assert_allclose(posterior.mean, jaxlle.barycentric_weights(x, neighbors), atol=1e-12)
    for i in (0, 17):
        ids = np.asarray(neighbors.indices[i])
        c, one = gram(x, ids, i, 1e-3), np.ones(6)
        trace = np.trace(c) / (1 + 6e-3)
        inverse = np.linalg.inv(c)
        u = inverse @ one
        expected = 0.01 * trace / 6 * (inverse - np.outer(u, u) / (one @ u))
        np.testing.assert_allclose(posterior.factor[i] @ posterior.factor[i].T, expected, atol=1e-9)


def test_the_noise_is_the_fixed_point_of_expectation_maximization(x64):
    x = np.random.default_rng(0).normal(size=(30, 3))
    neighbors = jaxlle.knn(x, 6)
    posterior = jaxlle.variants.weight_posterior(x, neighbors)
    i, k, d = 4, 6, 3
    ids = np.asarray(neighbors.indices[i])
    c, one = gram(x, ids, i, 1e-3), np.ones(6)
    inverse = np.linalg.inv(c)
    u = inverse @ one
    w, square = u / u.sum(), 1.0
    shape = inverse - np.outer(u, u) / u.sum()
    for _ in range(200):  # the posterior of w given s^2, then s^2 given the posterior
        square = (w @ c @ w + np.trace(c @ (square * shape))) / (d + k - 1)
    np.testing.assert_allclose(posterior.factor[i] @ posterior.factor[i].T, square * shape, atol=1e-9)


@pytest.mark.slow
def test_sampled_weights_sum_to_one_and_have_the_moments_of_the_posterior():
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    posterior = jaxlle.variants.weight_posterior(x, jaxlle.knn(x, 6), noise=0.2)
    draws = np.asarray(jax.vmap(posterior.sample)(jax.random.split(KEY, 4000)))
    np.testing.assert_allclose(draws.sum(axis=2), 1, atol=1e-4)
    scale = np.sqrt(np.einsum("nkl,nkl->nk", posterior.factor, posterior.factor))
    assert (np.abs(draws.mean(axis=0) - posterior.mean) < 6 * scale / np.sqrt(4000)).all()
    np.testing.assert_allclose(draws.std(axis=0), scale, rtol=0.1)


@pytest.mark.slow
def test_the_embedding_as_a_second_view_narrows_the_posterior(x64):
    x = np.random.default_rng(0).normal(size=(40, 3))
    neighbors = jaxlle.knn(x, 6)
    alone = jaxlle.variants.weight_posterior(x, neighbors, noise=0.1)
    both = jaxlle.variants.weight_posterior(x, neighbors, noise=0.1, embedding=jaxlle.lle(x, 2, k=6).points)
    sizes = [np.asarray(p.factor**2).sum(axis=(1, 2)) for p in (alone, both)]
    assert (sizes[1] < sizes[0]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxlle.warnings.GapWarning")
def test_samples_equal_lle_without_noise_and_spread_with_noise():
    x = np.asarray(jaxlle.datasets.s_curve(KEY, 150).points)
    still = jaxlle.variants.generative_lle(
        x, 2, k=10, options=jaxlle.EmbedOptions(key=KEY), num_samples=2, noise=0.0, solver=jaxlle.solvers.DenseQR()
    )
    np.testing.assert_allclose(still.samples[0], still.embedding.points, atol=2e-3)
    assert still.spread.max() < 2e-3
    small, large = (
        jaxlle.variants.generative_lle(
            x, 2, k=10, options=jaxlle.EmbedOptions(key=KEY), num_samples=8, noise=s, reg=1e-2
        ).spread.mean()
        for s in (0.003, 0.03)
    )
    assert 0 < small < large
    same = [
        jaxlle.variants.generative_lle(x, 2, k=10, options=jaxlle.EmbedOptions(key=KEY), num_samples=2).samples
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*same)


@pytest.mark.slow
def test_generative_lle_runs_under_jit_with_the_dense_solver():
    x = jnp.asarray(jaxlle.datasets.s_curve(KEY, 60).points)
    out = jax.jit(
        lambda a, key: jaxlle.variants.generative_lle(a, 2, k=8, options=jaxlle.EmbedOptions(key=key), num_samples=2)
    )(x, KEY)
    assert out.samples.shape == (2, 60, 2)
    assert np.isfinite(out.spread).all()


def test_invalid_arguments_of_generative_lle_raise():
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    neighbors = jaxlle.knn(x, 6)
    with pytest.raises(ValueError, match="noise = -1"):
        jaxlle.variants.weight_posterior(x, neighbors, noise=-1.0)
    with pytest.raises(ValueError, match="equal size"):
        jaxlle.variants.weight_posterior(x, neighbors._replace(mask=jnp.ones((30, 6), bool)))
    with pytest.raises(ValueError, match="embedding has 29 rows"):
        jaxlle.variants.weight_posterior(x, neighbors, embedding=x[1:])
    with pytest.raises(ValueError, match="num_samples = 0"):
        jaxlle.variants.generative_lle(x, 2, k=6, options=jaxlle.EmbedOptions(key=KEY), num_samples=0)
