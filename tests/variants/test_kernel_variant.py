"""Weights and embeddings under kernels and metrics: identities, derivatives in their parameters, and invalid kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxlle
from jaxlle.metrics import subspace_angle


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(60, 4))


def gaussian(scale):
    return lambda a, b: jnp.exp(-scale * jnp.sum((a - b) ** 2))


@pytest.mark.slow
def test_the_linear_kernel_gives_lle(x64, points):
    out = jaxlle.variants.kernel_lle(points, 2, jnp.dot, k=10)
    assert subspace_angle(out.points, jaxlle.lle(points, 2, k=10).points) < 1e-8


def test_a_polynomial_kernel_gives_lle_in_its_features(x64, points):
    a, b = np.triu_indices(4)
    features = points[:, a] * points[:, b] * np.where(a == b, 1, np.sqrt(2))
    out = jaxlle.variants.kernel_lle(points, 2, lambda a, b: jnp.dot(a, b) ** 2, k=10)
    assert subspace_angle(out.points, jaxlle.lle(features, 2, k=10).points) < 1e-8


def test_a_metric_that_is_euclidean_in_other_coordinates_gives_the_weights_of_those_coordinates(x64):
    # Log-Euclidean distances of covariance matrices are Euclidean in the matrix logarithms.
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(40, 3, 3)) / 3
    logs = (roots + roots.transpose(0, 2, 1)) / 2
    spd = np.asarray(jax.vmap(jax.scipy.linalg.expm)(logs)).reshape(40, 9)

    def logarithm(a):
        values, vectors = jnp.linalg.eigh(a.reshape(3, 3))
        return (vectors * jnp.log(values)) @ vectors.T

    def far(a, b):
        return jnp.linalg.norm(logarithm(a) - logarithm(b))

    neighbors = jaxlle.knn(spd, 6, metric=far)
    flat = logs.reshape(40, 9)
    np.testing.assert_array_equal(neighbors.indices, jaxlle.knn(flat, 6).indices)
    expected = jaxlle.barycentric_weights(flat, neighbors)
    np.testing.assert_allclose(jaxlle.weights.metric_weights(spd, neighbors, far), expected, atol=1e-8)


@pytest.mark.slow
def test_weights_are_differentiable_in_the_parameters_of_kernels_and_metrics(x64, points):
    neighbors = jaxlle.knn(points, 6)

    def by_kernel(scale):
        return jaxlle.variants.kernel_alignment(points, gaussian(scale), k=6, neighbors=neighbors).blocks

    def by_metric(stretch):
        return jaxlle.weights.metric_weights(
            points, neighbors, lambda a, b: jaxlle.distances.euclidean(stretch * a, stretch * b)
        )

    check_grads(by_kernel, (0.3,), order=1)
    check_grads(by_metric, (jnp.array([1.0, 2.0, 0.5, 1.0]),), order=1, modes=["rev"])
    jitted = jax.jit(jax.grad(lambda s: jnp.sum(by_kernel(s) ** 3)))
    np.testing.assert_allclose(jitted(0.3), jax.grad(lambda s: jnp.sum(by_kernel(s) ** 3))(0.3), rtol=1e-9)


def test_kernel_distances_compare_equal_and_have_a_zero_gradient_at_equal_points():
    assert jaxlle.distances.KernelDistance(jnp.dot) == jaxlle.distances.KernelDistance(jnp.dot)
    a = jnp.ones(3)
    assert not jax.grad(jaxlle.distances.KernelDistance(jnp.dot))(a, a).any()


def test_functions_that_are_not_kernels_or_metrics_raise(points):
    x = points.astype(np.float32)
    neighbors = jaxlle.knn(x, 6)
    with pytest.raises(ValueError, match="not positive definite"):
        jaxlle.variants.kernel_alignment(x, lambda a, b: -jnp.dot(a, b), k=6, neighbors=neighbors)
    with pytest.raises(ValueError, match="not positive definite"):
        jaxlle.weights.metric_weights(x, neighbors, lambda a, b: jnp.sum((a - b) ** 2) ** 4)
    with pytest.raises(ValueError, match=r"returned NaN or infinity|not finite"):
        jaxlle.variants.kernel_lle(x, 2, lambda a, b: jnp.sqrt(jnp.dot(a, b)), k=6)
    with pytest.raises(ValueError, match="reg = 0"):
        jaxlle.weights.kernel_weights(x, neighbors, jnp.dot, reg=0)
