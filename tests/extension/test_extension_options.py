"""Every option of the extensions, compared with NumPy at new points, far from the origin, with weights from scikit-learn."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.manifold._locally_linear import barycenter_weights

import jaxlle
from jaxlle import extension

K, REG = 7, 0.2
RNG = np.random.default_rng(0)
X, NEW, Y = RNG.normal(size=(60, 3)) + 5, RNG.normal(size=(9, 3)) + 5, RNG.normal(size=(60, 2)) - 3


def nearest(new, data, metric="euclidean", first=0):
    return np.argsort(cdist(new, data, metric), axis=1)[:, first : first + K]


def combined(new, data, values, ids):
    weights = barycenter_weights(new, data, ids, reg=REG)
    return np.einsum("qk,qkc->qc", weights, values[ids])


def test_transforms_use_the_number_of_neighbors_the_ridge_and_the_metric(x64):
    for metric, name in (("manhattan", "cityblock"), ("chebyshev", "chebyshev")):
        expected = combined(NEW, X, Y, nearest(NEW, X, name))
        np.testing.assert_allclose(jaxlle.transform(NEW, X, Y, k=K, reg=REG, metric=metric), expected, atol=1e-10)
    between = (Y[:9] + Y[9:18]) / 2
    expected = combined(between, Y, X, nearest(between, Y))
    np.testing.assert_allclose(jaxlle.inverse_transform(between, Y, X, k=K, reg=REG), expected, atol=1e-10)


def test_the_eigenfunction_map_scales_the_barycentric_map(x64):
    values = np.array([0.5, 1.5])
    flags = {"residuals": np.zeros(2), "gap": np.ones(()), "num_components": np.ones((), np.int32)}
    embedding = jaxlle.Embedding(
        points=Y, singular_values=values, converged=np.array(True), rows=np.arange(60), solver="none", **flags
    )
    mapped = combined(NEW, X, Y, nearest(NEW, X))
    for shift, given in ((16.0, {}), (4.0, {"shift": 4.0})):
        found = extension.eigenfunction_transform(NEW, X, embedding, k=K, reg=REG, **given)
        np.testing.assert_allclose(found, mapped * (shift - 1) / (shift - values**2), atol=1e-10)


def test_a_projection_uses_the_ridge_and_the_given_neighbors(x64):
    ids = nearest(NEW, X)
    for k, given in ((K, {}), (3, {"neighbors": jaxlle.knn(X, K, query=NEW)})):
        found = extension.project(NEW, X, k, Y, reg=REG, **given)
        np.testing.assert_array_equal(found.neighbors.indices, ids)
        np.testing.assert_allclose(found.points, combined(NEW, X, Y, ids), atol=1e-10)
        residuals = np.linalg.norm(NEW - combined(NEW, X, X, ids), axis=1)
        np.testing.assert_allclose(found.residuals, residuals, atol=1e-10)


def test_training_residuals_leave_out_the_point_itself_and_quantiles_count_the_smaller_ones(x64):
    own = np.linalg.norm(X - combined(X, X, X, nearest(X, X, first=1)), axis=1)
    np.testing.assert_allclose(extension.training_residuals(X, K, reg=REG), own, atol=1e-10)
    residuals = np.linalg.norm(NEW - combined(NEW, X, X, nearest(NEW, X)), axis=1)
    quantiles = (own < residuals[:, None]).mean(axis=1)
    assert len(set(quantiles)) > 4
    for level in (0.99, np.sort(quantiles)[-3]):  # a point whose quantile is the level is outside
        found = extension.drift(NEW, X, K, level=level, reg=REG)
        np.testing.assert_allclose(found.quantiles, quantiles, rtol=1e-12)
        np.testing.assert_array_equal(found.outside, quantiles >= level)
        assert found.rate == pytest.approx((quantiles >= level).mean())
    ties = np.repeat(np.asarray(found.residuals), 2)  # equal residuals are not smaller
    found = extension.drift(NEW, X, K, reg=REG, reference=ties)
    np.testing.assert_allclose(found.quantiles, np.argsort(np.argsort(residuals)) / 9, rtol=1e-12)


def test_a_kernel_map_uses_its_landmarks_and_its_width(x64):
    key = jax.random.key(4)
    made = extension.kernel_map(X, Y, width=1.7, k=K, num_landmarks=20, key=key)
    landmarks = np.asarray(made.landmarks * made.points.unit + made.points.center)
    rows = cdist(landmarks, X).argmin(axis=1)
    assert len(set(rows)) == 20
    np.testing.assert_allclose(landmarks, X[rows], atol=1e-12)
    widths = 1.7 * np.sort(cdist(X, X), axis=1)[rows, K]

    def responses(a):
        kernels = np.exp(-((cdist(a, X[rows]) / widths) ** 2) / 2)
        return kernels / kernels.sum(axis=1, keepdims=True)

    expected = responses(NEW) @ np.linalg.lstsq(responses(X), Y)[0]
    np.testing.assert_allclose(made.transform(NEW), expected, atol=1e-8)
    default = extension.kernel_map(X, Y, width=1.7, k=K, num_landmarks=20)
    assert (default.landmarks != made.landmarks).any()
    np.testing.assert_array_equal(made.transform(X[:9]), Y[:9])


@pytest.mark.parametrize("dim", [None, 1])
def test_a_tangent_map_fits_the_embedding_to_tangent_coordinates_of_its_dimension(x64, dim):
    expected = []
    for new, ids in zip(NEW, nearest(NEW, X), strict=True):
        patch = np.concatenate([new[None], X[ids]])
        axes = np.linalg.svd(patch - patch.mean(axis=0))[2][: dim or 2]
        design = np.column_stack([np.ones(K + 1), (patch - patch.mean(axis=0)) @ axes.T])
        expected.append(design[0] @ np.linalg.lstsq(design[1:], Y[ids])[0])
    found = extension.tangent_transform(NEW, X, Y, k=K, dim=dim)
    np.testing.assert_allclose(found, expected, atol=1e-9)
