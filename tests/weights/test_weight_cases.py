"""Ridges, masks and queries for every source of weights: coordinates, kernels, metrics, distances and Gram matrices."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

import jaxlle
from jaxlle import regularizers, weights

N, K = 40, 6
REGULARIZERS = [
    regularizers.TraceRidge(0.01),
    regularizers.MeanTraceRidge(0.01),
    regularizers.AbsoluteRidge(0.05),
]


@pytest.fixture
def x(x64):
    return 3 * np.random.default_rng(0).normal(size=(N, 3)) + 5


def euclidean(a, b):
    return jnp.sqrt(jnp.sum((a - b) ** 2))


def sources(x, neighbors, reg):
    """Return the weights from every source that determines the same Gram matrices."""
    steps = x[np.asarray(neighbors.indices)] - x[:, None]
    gram = jnp.asarray(steps @ steps.transpose(0, 2, 1))
    far = cdist(x, x)
    return {
        "kernel": weights.kernel_weights(x, neighbors, jnp.dot, reg=reg),
        "metric": weights.metric_weights(x, neighbors, euclidean, reg=reg),
        "distances": weights.distance_weights(far, neighbors, reg=reg),
        "precomputed": jaxlle.barycentric_weights(
            jaxlle.neighbors.prepare_points(far, metric="precomputed"), neighbors, reg=reg
        ),
        "gram": weights.gram_weights(gram, neighbors.mask, reg=reg),
    }


@pytest.mark.parametrize("reg", REGULARIZERS, ids=lambda reg: type(reg).__name__)
def test_all_sources_give_the_weights_of_the_coordinates_for_every_ridge(x, reg):
    neighbors = jaxlle.knn(x, K)
    expected = jaxlle.barycentric_weights(x, neighbors, reg=reg)
    assert np.abs(expected - jaxlle.barycentric_weights(x, neighbors, reg=1e-3)).max() > 0.01
    for name, found in sources(x, neighbors, reg).items():
        np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("reg", REGULARIZERS, ids=lambda reg: type(reg).__name__)
def test_masked_neighbors_change_no_weight_for_any_ridge_and_source(x, reg):
    neighbors, wide = jaxlle.knn(x, K - 2), jaxlle.knn(x, K)
    order = np.array([3, 0, 5, 1, 4, 2])  # masked entries between the others
    mask = jnp.broadcast_to(jnp.asarray(order < K - 2), (N, K))
    graph = jaxlle.Neighbors(wide.indices[:, order], None, mask)
    expected = np.zeros((N, K))
    expected[:, order < K - 2] = np.asarray(jaxlle.barycentric_weights(x, neighbors, reg=reg))[:, order[order < K - 2]]
    for name, found in {"points": jaxlle.barycentric_weights(x, graph, reg=reg), **sources(x, graph, reg)}.items():
        np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=name)


def test_queries_are_reconstructed_from_their_own_neighbors(x):
    query = np.random.default_rng(1).normal(size=(7, 3)) + 5
    near = jaxlle.knn(x, K, query=query)
    expected = jaxlle.barycentric_weights(x, near, query=query, reg=0.05)
    far, to_points = cdist(x, x), cdist(query, x)
    for found in (
        weights.kernel_weights(x, near, jnp.dot, query=query, reg=0.05),
        weights.distance_weights(far, near, query=to_points, reg=0.05),
        jaxlle.barycentric_weights(
            jaxlle.neighbors.prepare_points(far, metric="precomputed"), near, query=to_points, reg=0.05
        ),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-9)
    steps = x[np.asarray(near.indices[2])] - query[2]
    gram = steps @ steps.T
    w = np.linalg.solve(gram + 0.05 * np.trace(gram) * np.eye(K), np.ones(K))
    np.testing.assert_allclose(expected[2], w / w.sum(), atol=1e-9)


def test_uncentered_regression_depends_on_the_origin_and_solves_its_normal_equations(x):
    neighbors = jaxlle.knn(x, K)
    found = weights.ridge_regression_weights(x + 20, neighbors, reg=0.01)
    around = x[np.asarray(neighbors.indices[4])] + 20
    gram = around @ around.T
    w = np.linalg.solve(gram + 0.01 * np.trace(gram) * np.eye(K), around @ (x[4] + 20))
    np.testing.assert_allclose(found[4], w / w.sum(), rtol=1e-9)
    assert np.abs(found - weights.ridge_regression_weights(x, neighbors, reg=0.01)).max() > 1e-3


def test_the_local_condition_of_neighbors_in_fewer_dimensions_is_that_of_the_ridge(x):
    neighbors = jaxlle.knn(x, K)  # six neighbors in three dimensions: the smallest eigenvalue is the ridge
    steps = x[np.asarray(neighbors.indices)] - x[:, None]
    gram = steps @ steps.transpose(0, 2, 1)
    trace = np.trace(gram, axis1=1, axis2=2)
    expected = (np.linalg.eigvalsh(gram)[:, -1] + 0.01 * trace) / (0.01 * trace)
    np.testing.assert_allclose(weights.local_condition(x, neighbors, reg=0.01), expected, rtol=1e-9)


def test_few_projected_gradient_steps_are_not_enough_for_convex_weights():
    line = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32) ** 3
    neighbors = jaxlle.knn(line, 12)
    converged = weights.simplex_weights(line, neighbors, iterations=400)
    np.testing.assert_allclose(weights.simplex_weights(line, neighbors), converged, atol=1e-4)
    assert np.abs(weights.simplex_weights(line, neighbors, iterations=1) - converged).max() > 1e-3


def test_masked_neighbors_need_no_ridge(x):
    wide = jaxlle.knn(x, 3)
    mask = jnp.broadcast_to(jnp.array([True, False, True]), (N, 3))
    found = jaxlle.barycentric_weights(x, wide._replace(mask=mask), reg=regularizers.NoRidge())
    steps = x[np.asarray(wide.indices)[:, ::2]] - x[:, None]
    gram = steps @ steps.transpose(0, 2, 1)
    w = np.linalg.solve(gram, np.ones((N, 2, 1)))[..., 0]
    np.testing.assert_allclose(found[:, ::2], w / w.sum(axis=1, keepdims=True), rtol=1e-8)
    np.testing.assert_array_equal(found[:, 1::2], 0)


def test_the_local_condition_of_few_neighbors_is_that_of_their_gram_matrix(x):
    neighbors = jaxlle.knn(x, 2)
    steps = x[np.asarray(neighbors.indices)] - x[:, None]
    gram = steps @ steps.transpose(0, 2, 1)
    ridge = 0.01 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(2)
    np.testing.assert_allclose(weights.local_condition(x, neighbors, reg=0.01), np.linalg.cond(gram + ridge), rtol=1e-8)
