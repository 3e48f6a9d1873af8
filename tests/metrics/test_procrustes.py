"""Procrustes analysis, subspace angles and affine residuals: agreement with SciPy and scikit-learn, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
from jax.test_util import check_grads

from jaxlle import metrics


def rotation(c, seed, reflect):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(c, c)))[0]
    flip = np.ones(c)
    flip[0] = np.sign(np.linalg.det(q)) * (-1 if reflect else 1)
    return q * flip


@pytest.mark.slow_cases("1-False", "2-False", "5-False")
@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("c", [1, 2, 5])
def test_procrustes_recovers_a_similarity(x64, c, reflect):
    a = np.random.default_rng(0).normal(size=(40, c))
    turn, scale, shift = rotation(c, 1, reflect), 2.5, np.arange(1.0, c + 1)
    found = metrics.procrustes(a, scale * a @ turn + shift)
    np.testing.assert_allclose(found.rotation, turn, atol=1e-12)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-12)
    np.testing.assert_allclose(found.shift, shift, atol=1e-12)
    np.testing.assert_allclose(found.aligned, scale * a @ turn + shift, atol=1e-12)
    assert float(found.disparity) < 1e-28
    assert np.linalg.det(found.rotation) == pytest.approx(-1 if reflect else 1)


def test_procrustes_agrees_with_scipy_and_its_fields_reproduce_the_aligned_points(x64):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    found = metrics.procrustes(a, b)
    np.testing.assert_allclose(found.disparity, scipy.spatial.procrustes(b, a)[2], rtol=1e-12)
    np.testing.assert_allclose(found.scale * a @ found.rotation + found.shift, found.aligned, atol=1e-12)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-12)
    residual = np.asarray(found.aligned - b)
    np.testing.assert_allclose((residual**2).sum() / ((b - b.mean(0)) ** 2).sum(), found.disparity, rtol=1e-12)


@pytest.mark.slow_cases("1e-18-0")
@pytest.mark.parametrize(("scale", "offset"), [(1e-18, 0), (1e18, 0), (1, 1e4)])
def test_procrustes_is_accurate_in_float32_at_any_scale_and_offset(scale, offset):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 2))
    near = (scale * a + offset).astype(np.float32)
    exact = scipy.spatial.procrustes(b, near.astype(np.float64))[2]
    found = metrics.procrustes(near, b.astype(np.float32))
    np.testing.assert_allclose(found.disparity, exact, rtol=1e-5)
    assert np.isfinite(found.aligned).all()
    np.testing.assert_allclose(metrics.procrustes(b.astype(np.float32), near).disparity, exact, rtol=1e-5)


@pytest.mark.slow
def test_procrustes_has_correct_derivatives(x64):
    a, b = jnp.asarray(np.random.default_rng(0).normal(size=(2, 12, 3)))
    check_grads(jax.jit(lambda a, b: tuple(metrics.procrustes(a, b))), (a, b), order=1)


@pytest.mark.slow
def test_procrustes_has_correct_derivatives_between_embeddings_with_orthonormal_columns(x64):
    # All singular values are equal, so that the factors U and V are not differentiable.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(15, 3))
    q = jnp.asarray(np.linalg.qr(x - x.mean(axis=0))[0])
    target = q @ rotation(3, 1, True)
    check_grads(jax.jit(lambda a: tuple(metrics.procrustes(a, target))), (q,), order=1)


def test_procrustes_has_finite_gradients_for_collinear_points(x64):
    a = jnp.outer(jnp.arange(6.0), jnp.array([1.0, 2.0, 0.0]))  # two singular values are zero
    grad = jax.jit(jax.grad(lambda a: metrics.procrustes(a, a[::-1] ** 2).disparity))(a)
    assert np.isfinite(grad).all()


@pytest.mark.slow
def test_procrustes_runs_under_jit_and_vmap():
    a, b = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 20, 2)), jnp.float32)
    batched = jax.jit(jax.vmap(metrics.procrustes))(a, b)
    for i in range(4):
        np.testing.assert_allclose(batched.disparity[i], metrics.procrustes(a[i], b[i]).disparity, rtol=1e-5)


def test_procrustes_of_invalid_input_raises():
    a = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    for b in (a[1:], a[:, :1]):
        with pytest.raises(ValueError, match=r"of one shape \(n, c\)"):
            metrics.procrustes(a, b)
    with pytest.raises(ValueError, match="Expected 2D array"):
        metrics.procrustes(a[:, 0], a[:, 0])
    with pytest.raises(ValueError, match="a contains NaN"):
        metrics.procrustes(np.full_like(a, np.nan), a)
    for pair in ((np.ones_like(a), a), (a, np.ones_like(a))):
        with pytest.raises(ValueError, match="are equal"):
            metrics.procrustes(*pair)


def bases(angle, n=30, c=3, seed=0):
    """Return two bases with a known largest principal angle, each multiplied by a random matrix."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(n, 2 * c)))[0]
    angles = angle * np.array([1, 0.5, 0.1][:c])
    turned = q[:, :c] * np.cos(angles) + q[:, c:] * np.sin(angles)
    return q[:, :c] @ rng.normal(size=(c, c)), turned @ rng.normal(size=(c, c))


@pytest.mark.parametrize("angle", [1e-12, 1e-6, 0.3, 1.2, np.pi / 2 - 1e-6, np.pi / 2])
def test_subspace_angle_agrees_with_the_known_angle_and_with_scipy(x64, angle):
    a, b = bases(angle)
    ours = float(metrics.subspace_angle(a, b))
    np.testing.assert_allclose(ours, angle, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(ours, scipy.linalg.subspace_angles(a, b)[0], rtol=1e-7, atol=1e-14)


def test_subspace_angle_is_accurate_in_float32_and_does_not_depend_on_the_bases_and_the_order():
    a, b = (c.astype(np.float32) for c in bases(0.4))
    mixed = a @ np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    assert float(metrics.subspace_angle(a, mixed)) < 1e-5
    np.testing.assert_allclose(metrics.subspace_angle(mixed, b), 0.4, rtol=1e-4)
    np.testing.assert_allclose(metrics.subspace_angle(b, a), metrics.subspace_angle(a, b), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(metrics.subspace_angle)(a, b), metrics.subspace_angle(a, b), rtol=1e-5)


def test_subspace_angle_of_invalid_input_raises():
    a = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    with pytest.raises(ValueError, match=r"of one shape \(n, c\)"):
        metrics.subspace_angle(a, a[:, :1])
    with pytest.raises(ValueError, match="Expected 2D array"):
        metrics.subspace_angle(a[:, 0], a[:, 0])
    with pytest.raises(ValueError, match="b contains NaN"):
        metrics.subspace_angle(a, np.full_like(a, np.nan))


def test_the_affine_residual_is_one_minus_the_coefficient_of_determination():
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(0)
    y = rng.normal(size=(200, 2))
    truth = np.column_stack([y[:, 0] + 0.1 * rng.normal(size=200), 1e4 * np.sin(y[:, 1]) + 1e6])
    expected = 1 - r2_score(truth, LinearRegression().fit(y, truth).predict(y))  # the mean over the columns
    found = metrics.affine_residual(truth.astype(np.float32), y.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(metrics.affine_residual)(truth.astype(np.float32), y), found, rtol=1e-4)


@pytest.mark.slow_cases("1e-18")
@pytest.mark.parametrize("scale", [1e-18, 1, 1e18])
def test_the_affine_residual_of_an_affine_map_is_zero_and_a_repeated_column_does_not_change_it(scale):
    truth = np.random.default_rng(1).normal(size=(100, 2)).astype(np.float32)
    assert float(metrics.affine_residual(truth, scale * (truth @ np.array([[1, 2], [3, -1]], np.float32) + 5))) < 1e-10
    alone = metrics.affine_residual(truth, scale * truth[:, :1])
    np.testing.assert_allclose(metrics.affine_residual(truth, scale * truth[:, [0, 0]]), alone, rtol=1e-5)


@pytest.mark.slow
def test_the_affine_residual_has_correct_gradients(x64):
    truth, y = jnp.asarray(np.random.default_rng(0).normal(size=(2, 12, 2)))
    check_grads(metrics.affine_residual, (truth, y), order=1, modes=["rev"])


def test_the_affine_residual_of_invalid_input_raises():
    with pytest.raises(ValueError, match="truth has 4, y has 3"):
        metrics.affine_residual(np.eye(4, dtype=np.float32), np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match="constant"):
        metrics.affine_residual(np.ones((4, 1), np.float32), np.eye(4, dtype=np.float32))
