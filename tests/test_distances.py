"""Distances between two vectors: agreement with SciPy at any scale, zero vectors, and derivatives where vectors coincide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import distance

from jaxlle import distances

A, B = np.random.default_rng(0).normal(size=(2, 7))
ORACLES = {
    distances.euclidean: distance.euclidean,
    distances.manhattan: distance.cityblock,
    distances.chebyshev: distance.chebyshev,
    distances.cosine: distance.cosine,
}
EACH = pytest.mark.parametrize("metric", ORACLES, ids=lambda f: f.__name__)


@EACH
def test_a_distance_agrees_with_scipy_and_is_found_by_its_name(metric):
    for a, b in ((A, B), (B, A)):
        np.testing.assert_allclose(metric(jnp.asarray(a), jnp.asarray(b)), ORACLES[metric](A, B), rtol=1e-5)
    assert distances.resolve(metric.__name__) is metric
    assert distances.resolve(metric) is metric


@EACH
def test_the_derivative_is_finite_where_vectors_coincide_and_agrees_with_finite_differences_elsewhere(x64, metric):
    assert np.isfinite(jax.grad(metric)(jnp.asarray(A), jnp.asarray(A))).all()
    step = 1e-6 * np.eye(7)
    slopes = [
        (metric(jnp.asarray(A + e), jnp.asarray(B)) - metric(jnp.asarray(A - e), jnp.asarray(B))) / 2e-6 for e in step
    ]
    np.testing.assert_allclose(jax.grad(metric)(jnp.asarray(A), jnp.asarray(B)), slopes, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_lengths_neither_overflow_nor_underflow(scale):
    a, b = jnp.asarray(scale * A, jnp.float32), jnp.asarray(scale * B, jnp.float32)
    np.testing.assert_allclose(distances.euclidean(a, b) / scale, distance.euclidean(A, B), rtol=1e-5)
    np.testing.assert_allclose(distances.unit_vector(a), A / np.linalg.norm(A), rtol=1e-5)
    np.testing.assert_allclose(distances.cosine(a, b), distance.cosine(A, B), rtol=1e-5)


def test_the_square_root_is_zero_with_derivative_zero_where_it_is_not_positive_and_nan_of_nan():
    x = jnp.array([4.0, 0.0, -1.0, jnp.nan])
    np.testing.assert_array_equal(distances.square_root(x), [2, 0, 0, np.nan])
    np.testing.assert_array_equal(jax.jacobian(distances.square_root)(x).diagonal()[:3], [0.25, 0, 0])


def test_the_unit_vector_of_zero_is_zero_with_a_finite_derivative():
    zero = jnp.zeros(3)
    np.testing.assert_array_equal(distances.unit_vector(zero), zero)
    assert np.isfinite(jax.jacobian(distances.unit_vector)(zero)).all()
    np.testing.assert_allclose(distances.cosine(zero, jnp.ones(3)), 0.5, rtol=1e-6)  # half the squared distance


def test_a_small_angle_keeps_its_digits():
    a = jnp.array([1.0, 0.0])
    np.testing.assert_allclose(distances.cosine(a, jnp.array([1.0, 1e-4])), 0.5e-8, rtol=1e-4)


def test_a_kernel_distance_is_that_of_the_feature_space():
    def square(a, b):  # its features are all products of two coordinates
        return jnp.dot(a, b) ** 2

    features = [np.outer(v, v).ravel() for v in (A, B)]
    found = distances.KernelDistance(square)(jnp.asarray(A), jnp.asarray(B))
    np.testing.assert_allclose(found, np.linalg.norm(features[0] - features[1]), rtol=1e-5)
    assert distances.KernelDistance(square)(jnp.ones(2), jnp.ones(2)) == 0
    assert np.isnan(distances.KernelDistance(lambda a, b: jnp.nan * a[0])(jnp.ones(2), jnp.zeros(2)))
    with pytest.raises(ValueError, match="metric = 'euclid' is not known: use one of 'euclidean', 'manhattan'"):
        distances.resolve("euclid")
