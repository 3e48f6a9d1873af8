"""What every point chooses for itself: its ridge by cross-validation, its neighbours by the straightness of paths."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

import jaxlle
from jaxlle.regularizers import CrossValidatedRidge


def regression(x, i, ids):
    """The ridge regression that weights summing to one are: differences from the neighbours' mean, one row a feature."""
    around = x[ids]
    basis = np.linalg.svd(np.eye(len(ids)) - 1 / len(ids))[0][:, :-1]  # of the weights that sum to zero
    return around.T @ basis, x[i] - around.mean(axis=0), basis


@pytest.mark.parametrize(("d", "k"), [(3, 8), (8, 8), (20, 8)])
def test_the_score_is_generalised_cross_validation_by_its_definition(x64, d, k):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(k + 1, d))
    a, b, _ = regression(x, 0, np.arange(1, k + 1))
    spokes = x[1:] - x[0]
    gram, ridges = spokes @ spokes.T, np.array([1e-3, 0.1, 1.0, 30.0])
    found = CrossValidatedRidge(d).scores(jnp.asarray(gram), jnp.asarray(ridges))
    for ridge, score in zip(ridges, found, strict=True):
        hat = a @ np.linalg.solve(a.T @ a + ridge * np.eye(k - 1), a.T)
        expected = d * ((b - hat @ b) ** 2).sum() / np.trace(np.eye(d) - hat) ** 2
        np.testing.assert_allclose(score, expected, rtol=1e-7)


def test_the_weights_are_those_of_the_ridge_of_least_score(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4))
    neighbors = jaxlle.knn(x, 6)
    weights = jaxlle.barycentric_weights(x, neighbors, reg=CrossValidatedRidge(4, candidates=9, floor=1e-4))
    for i, ids in enumerate(np.asarray(neighbors.indices)):
        a, b, basis = regression(x, i, ids)
        ridges = ((x[ids] - x[i]) ** 2).sum() * 1e-4 ** np.linspace(1, 0, 9)
        scores, own = [], []
        for ridge in ridges:
            inverse = np.linalg.solve(a.T @ a + ridge * np.eye(5), a.T)
            scores.append(((b - a @ inverse @ b) ** 2).sum() / np.trace(np.eye(4) - a @ inverse) ** 2)
            own.append(1 / 6 + basis @ inverse @ b)
        np.testing.assert_allclose(weights[i], own[int(np.argmin(scores))], rtol=1e-6, atol=1e-9)


def test_masked_neighbours_and_scale_do_not_change_the_choice():
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    own, near = CrossValidatedRidge(5), jaxlle.knn(x, 9)
    few = jaxlle.Neighbors(near.indices[:, :6], near.distances[:, :6])
    masked = near._replace(mask=jnp.broadcast_to(jnp.arange(9) < 6, (40, 9)))
    narrow = jaxlle.barycentric_weights(x, few, reg=own)
    wide = jaxlle.barycentric_weights(x, masked, reg=own)
    np.testing.assert_allclose(wide[:, :6], narrow, atol=2e-4)
    assert float(jnp.abs(wide[:, 6:]).max()) == 0
    far = jaxlle.barycentric_weights(1e15 * x, few._replace(distances=None), reg=own)
    np.testing.assert_allclose(far, narrow, atol=2e-4)


def test_the_choice_is_differentiated_as_fixed_and_bad_options_are_refused(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(12, 3)))
    near = jaxlle.knn(x, 5)
    own = CrossValidatedRidge(3)
    grad = jax.grad(lambda x: jnp.sum(jaxlle.barycentric_weights(x, near, reg=own) ** 2))(x)
    assert np.isfinite(grad).all()
    assert float(jnp.abs(grad).max()) > 0
    with pytest.raises(ValueError, match="features = 0"):
        CrossValidatedRidge(0)
    with pytest.raises(ValueError, match="reg = 0"):
        jaxlle.barycentric_weights(x, near, reg=dataclasses.replace(own, floor=0.0))


def sheets(n=150, apart=0.12, seed=0):
    """Two parallel sheets, so close that nearest neighbours reach across, joined along one edge."""
    rng = np.random.default_rng(seed)
    flat = np.column_stack([rng.uniform(size=n), rng.uniform(size=n)])
    over = np.column_stack([rng.uniform(size=n), rng.uniform(size=n)])
    return np.concatenate([np.insert(flat, 2, 0, axis=1), np.insert(over, 2, apart, axis=1)])


def by_dijkstra(x, k_min, k_max, detour):
    far = cdist(x, x)
    near = np.argsort(far + np.diag(np.full(len(x), np.inf)), axis=1, kind="stable")[:, :k_max]
    looks = np.zeros(far.shape, bool)
    np.put_along_axis(looks, near[:, :k_min], True, axis=1)
    edges = np.where(looks | looks.T, far, 0)
    keep = np.zeros(near.shape, bool)
    for i, ids in enumerate(near):
        members = np.concatenate([[i], ids])
        length = dijkstra(edges[np.ix_(members, members)], directed=False, indices=0)[1:]
        keep[i] = (length <= detour * far[i, ids]) | (np.arange(k_max) < k_min)
    return near, keep


def test_the_neighbours_that_stay_are_those_that_dijkstra_keeps(x64):
    x = sheets()
    near, keep = by_dijkstra(x, 5, 16, 1.3)
    found = jaxlle.neighbors.local_neighborhoods(x, k_min=5, k_max=16)
    np.testing.assert_array_equal(found.indices, near)
    np.testing.assert_array_equal(found.mask, keep)
    np.testing.assert_allclose(found.distances, np.sort(cdist(x, x), axis=1)[:, 1:17], rtol=1e-9)
    assert 0.2 < keep.mean() < 0.95
    blocked = jaxlle.neighbors.local_neighborhoods(x, k_min=5, k_max=16, block_bytes=50_000)
    np.testing.assert_array_equal(blocked.mask, keep)


def test_neighbours_across_a_fold_go_and_those_on_a_plane_stay():
    x = sheets().astype(np.float32)
    found = jaxlle.neighbors.local_neighborhoods(x, k_min=5, k_max=16)
    across = np.asarray(found.indices) // 150 != np.arange(300)[:, None] // 150
    kept = np.asarray(found.mask)
    assert kept[across].mean() < 0.5 * kept[~across].mean()
    plane = jaxlle.neighbors.local_neighborhoods(x[:150, :2], k_min=6, k_max=16, detour=1.5)
    assert float(plane.mask.mean()) > 0.9


def test_selection_runs_under_jit_and_vmap_and_refuses_bad_requests():
    x = jnp.asarray(np.stack([sheets(40, seed=s) for s in range(2)]), jnp.float32)
    select = lambda x: jaxlle.neighbors.local_neighborhoods(x, k_min=4, k_max=10)  # noqa: E731
    batched = jax.jit(jax.vmap(select))(x)
    for i in range(2):
        np.testing.assert_array_equal(batched.mask[i], select(x[i]).mask)
    for options, message in (
        ({"k_min": 0, "k_max": 5}, "k_min = 0"),
        ({"k_min": 6, "k_max": 5}, "at most k_max = 5"),
        ({"k_min": 4, "k_max": 80}, r"k \(n_neighbors\) = 80"),
        ({"k_min": 4, "k_max": 9, "detour": 0.9}, "detour = 0.9"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxlle.neighbors.local_neighborhoods(x[0], **options)
