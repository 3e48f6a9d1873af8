"""Reliability, weighted costs and convex weights: compared with oracles, and on a roll with outliers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import swiss_roll
from jax.test_util import check_grads
from scipy.optimize import nnls

import jaxlle
from jaxlle.metrics import subspace_angle


def roll_with_outliers(n=600, share=0.05):
    x = swiss_roll(n)
    rng = np.random.default_rng(1)
    outliers = rng.choice(n, int(share * n), replace=False)
    x[outliers] = rng.uniform(x.min(axis=0), x.max(axis=0), (len(outliers), 3))
    return x.astype(np.float32), outliers


def test_outliers_have_the_lowest_scores():
    x, outliers = roll_with_outliers()
    scores = np.asarray(jaxlle.variants.reliability(x, 2, jaxlle.knn(x, 12)))
    assert scores.max() == 1
    assert np.median(scores[outliers]) < 0.5 * np.median(np.delete(scores, outliers))


def scores_of(x, members, dim, iterations):
    """Score points by iteratively reweighted local PCA in NumPy, one neighborhood at a time."""

    def distances(around, weights):
        centered = around - weights @ around / weights.sum()
        axes = np.linalg.eigh((centered * weights[:, None]).T @ centered)[1][:, -dim:]
        return np.linalg.norm(centered - centered @ axes @ axes.T, axis=1)

    total, count = np.zeros(len(x)), np.zeros(len(x))
    for ids in members:
        weights = np.ones(len(ids))
        limit = distances(x[ids], weights).mean() / 2
        for _ in range(iterations):
            weights = np.minimum(1, limit / distances(x[ids], weights))
        total[ids] += weights / weights.sum()
        count[ids] += 1
    return total / count / (total / count).max()


@pytest.mark.parametrize("iterations", [2, 7])
def test_scores_are_those_of_iteratively_reweighted_local_pca(x64, iterations):
    x = np.random.default_rng(0).normal(size=(40, 3)) * [3, 2, 0.5]
    graph = jaxlle.knn(x, 8)
    members = [[i, *ids] for i, ids in enumerate(np.asarray(graph.indices))]
    found = jaxlle.variants.reliability(x, 2, graph, iterations=iterations)
    np.testing.assert_allclose(found, scores_of(x, members, 2, iterations), rtol=1e-7)
    mask = np.random.default_rng(1).random((40, 8)) < 0.7
    kept = [[ids[0], *np.array(ids[1:])[keep]] for ids, keep in zip(members, mask, strict=True)]
    masked = jaxlle.variants.reliability(x, 2, graph._replace(mask=jnp.asarray(mask)), iterations=iterations)
    np.testing.assert_allclose(masked, scores_of(x, kept, 2, iterations), rtol=1e-7)


def test_robust_lle_embeds_a_weighted_alignment_on_the_reliable_points_of_which_copies_are_neighbors(monkeypatch):
    from jaxlle.variants import robust

    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32) * np.array([3, 2, 0.5], np.float32)
    x = np.concatenate([x, x[:10]])
    kept, out = [], jaxlle.lle(x, 2, k=8)
    monkeypatch.setattr(robust, "embed", lambda alignment, dim, **options: kept.append(alignment) or out)
    robust.robust_lle(x, 2, k=8, threshold=0.8, reg=1e-2)
    scores = np.asarray(jaxlle.variants.reliability(x, 2, jaxlle.knn(x, 8)))
    reliable = np.flatnonzero(scores > 0.8 * np.median(scores))
    assert 20 < len(reliable) < 45
    far = np.linalg.norm(x[:, None] - x[None, reliable], axis=2)
    far[reliable, np.arange(len(reliable))] = np.inf
    ids = reliable[np.argsort(far, axis=1, kind="stable")[:, :8]]
    graph = jaxlle.neighbors.as_neighbors(np.sort(ids, axis=1))
    weights = np.asarray(jaxlle.weights_alignment(graph, jaxlle.barycentric_weights(x, graph, reg=1e-2)).to_dense())
    np.testing.assert_allclose(kept[0].to_dense(), np.sqrt(scores)[:, None] * weights, atol=2e-3)


def test_robust_lle_is_closer_than_lle_to_the_embedding_without_outliers():
    x, outliers = roll_with_outliers()
    clean = np.delete(np.arange(len(x)), outliers)
    expected = jaxlle.lle(x[clean], 2, k=12).points

    def angle(y):
        y = y[clean]
        return float(subspace_angle(y - y.mean(axis=0), expected))

    assert angle(jaxlle.variants.robust_lle(x, 2, k=12).points) < 0.5 * angle(jaxlle.lle(x, 2, k=12).points)


def test_all_points_of_a_plane_are_reliable(x64):
    x = np.random.default_rng(0).uniform(size=(80, 2)) @ np.array([[1.0, 0, 1], [0, 1, 1]])
    scores = jaxlle.variants.reliability(x, 2, jaxlle.knn(x, 8))
    assert scores.min() > 0.1


def test_a_weighted_cost_is_the_weighted_sum_of_the_costs_per_point(x64):
    x = swiss_roll(80)
    rng = np.random.default_rng(0)
    scores, y = rng.uniform(size=80), jnp.asarray(rng.normal(size=(80, 2)))
    for alignment in (jaxlle.lle_alignment(x, k=8), jaxlle.ltsa_alignment(x, 2, k=8)):
        parts = np.asarray(alignment.matvec(y) ** 2).reshape(80, -1).sum(axis=1)
        found = (jaxlle.variants.weighted_alignment(alignment, scores).matvec(y) ** 2).sum()
        np.testing.assert_allclose(found, (scores * parts).sum(), rtol=1e-12)


def test_convex_weights_equal_those_of_nonnegative_least_squares(x64):
    x = np.random.default_rng(0).normal(size=(50, 3))
    neighbors = jaxlle.knn(x, 9)
    found = np.asarray(jaxlle.weights.simplex_weights(x, neighbors))
    for i in range(50):
        z = x[np.asarray(neighbors.indices[i])] - x[i]
        g = z @ z.T
        root = np.linalg.cholesky(g + 1e-3 * np.trace(g) * np.eye(9)).T
        heavy = 1e5 * np.sqrt(np.trace(g))  # enforces that the weights sum to one
        w = nnls(np.vstack([root, np.full(9, heavy)]), np.append(np.zeros(9), heavy))[0]
        np.testing.assert_allclose(found[i], w / w.sum(), atol=1e-6)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


@pytest.mark.slow
def test_convex_weights_respect_a_mask_and_are_differentiable(x64):
    x = np.random.default_rng(0).normal(size=(30, 4))
    wide = jaxlle.knn(x, 7)
    masked = wide._replace(mask=jnp.arange(7)[None, :] < jnp.full((30, 1), 5))
    expected = jaxlle.weights.simplex_weights(x, jaxlle.knn(x, 5))
    np.testing.assert_allclose(jaxlle.weights.simplex_weights(x, masked)[:, :5], expected, atol=1e-10)
    check_grads(lambda x: jaxlle.weights.simplex_weights(x, masked), (jnp.asarray(x),), order=1, modes=["rev"])


def test_invalid_arguments_of_robust_lle_raise(cloud):
    neighbors = jaxlle.knn(cloud, 8)
    alignment = jaxlle.lle_alignment(cloud, k=8)
    with pytest.raises(ValueError, match="one score per point"):
        jaxlle.variants.weighted_alignment(alignment, jnp.ones(119))
    with pytest.raises(ValueError, match="nonnegative"):
        jaxlle.variants.weighted_alignment(alignment, -jnp.ones(120))
    with pytest.raises(ValueError, match=r"dim \(n_components\) = 6"):
        jaxlle.variants.reliability(cloud, 6, neighbors)
    with pytest.raises(ValueError, match="Only 0 points are reliable"):
        jaxlle.variants.robust_lle(cloud, 2, k=8, threshold=9)
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda a: jaxlle.variants.robust_lle(a, 2, k=8).points)(cloud)
    with pytest.raises(ValueError, match="reg = -1"):
        jaxlle.weights.simplex_weights(cloud, neighbors, reg=-1.0)
