"""Projection onto a bank, and drift, compared with NumPy, geometry, and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.manifold._locally_linear import barycenter_weights

import jaxlle


@pytest.fixture(scope="module")
def banks():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 3)), rng.normal(size=(80, 3)), rng.normal(size=(80, 2))


def test_weights_are_computed_in_the_bank_and_applied_to_the_values(x64, banks):
    z, bank, values = banks
    out = jaxlle.extension.project(z, bank, 6, values)
    ids = np.argsort(((z[:, None] - bank) ** 2).sum(-1), axis=1)[:, :6]
    w = barycenter_weights(z, bank, ids, reg=1e-3)
    np.testing.assert_array_equal(out.neighbors.indices, ids)
    np.testing.assert_allclose(out.points, (w[..., None] * values[ids]).sum(1), atol=1e-10)
    own = (w[..., None] * bank[ids]).sum(1)
    np.testing.assert_allclose(out.residuals, np.linalg.norm(z - own, axis=1), atol=1e-10)
    np.testing.assert_allclose(jaxlle.extension.project(z, bank, 6).points, own, atol=1e-10)


def test_projection_is_invariant_to_a_rotation_of_points_and_bank(banks):
    z, bank, values = banks
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    base = jaxlle.extension.project(
        z.astype(np.float32), bank.astype(np.float32), 6, values.astype(np.float32), reg=1e-2
    )
    turned = jaxlle.extension.project(
        *((a @ turn).astype(np.float32) for a in (z, bank)), 6, values.astype(np.float32), reg=1e-2
    )
    np.testing.assert_allclose(turned.points, base.points, atol=1e-4)
    np.testing.assert_allclose(turned.residuals, base.residuals, atol=1e-4)


@pytest.mark.slow
def test_projection_runs_under_jit_vmap_and_grad(x64, banks):
    z, bank, values = map(jnp.asarray, banks)

    def f(z, bank, values):
        out = jaxlle.extension.project(z, bank, 6, values, reg=0.1)
        return jnp.concatenate([out.points, out.residuals[:, None]], axis=1)

    expected = f(z, bank, values)
    np.testing.assert_allclose(jax.jit(f)(z, bank, values), expected, atol=1e-10)
    each = jax.jit(jax.vmap(lambda a: f(a[None], bank, values)[0]))(z)
    np.testing.assert_allclose(each, expected, atol=1e-10)
    check_grads(jax.jit(f), (z[:3], bank, values), order=1)


@pytest.mark.slow
def test_the_gradient_at_a_point_of_the_bank_is_finite():
    bank = jnp.repeat(jnp.asarray(np.random.default_rng(0).normal(size=(20, 3)), jnp.float32), 2, axis=0)
    with jax.debug_nans(True):
        grad = jax.grad(lambda z: jaxlle.extension.project(z, bank, 2).residuals.sum())(bank[:4])
    assert np.isfinite(grad).all()


def test_the_drift_rate_is_low_on_the_same_distribution_and_high_on_another():
    rng = np.random.default_rng(0)

    def plane(n):
        return np.concatenate([rng.random((n, 2)), 1e-2 * rng.normal(size=(n, 1))], axis=1).astype(np.float32)

    x, same, moved = plane(600), plane(300), plane(300) + np.array([0, 0, 0.2], np.float32)
    known = jaxlle.extension.training_residuals(x, 6)
    out = jaxlle.extension.drift(same, x, 6, level=0.95, reference=known)
    assert out.rate < 0.12
    np.testing.assert_array_equal(out.residuals, jaxlle.extension.drift(same, x, 6).residuals)
    assert jaxlle.extension.drift(moved, x, 6, level=0.95, reference=known).rate == 1
    own = (known[:, None] > known).mean(axis=1)
    assert abs((own >= 0.95).mean() - 0.05) < 0.01


def test_invalid_banks_raise(banks):
    z, bank, values = (a.astype(np.float32) for a in banks)
    with pytest.raises(ValueError, match="values has 79 rows"):
        jaxlle.extension.project(z, bank, 6, values[1:])
    with pytest.raises(ValueError, match="z has 2 features"):
        jaxlle.extension.project(z[:, :2], bank, 6)
    with pytest.raises(ValueError, match="bank contains NaN"):
        jaxlle.extension.project(z, np.full_like(bank, np.nan), 6)
    with pytest.raises(ValueError, match="k \\(n_neighbors\\) = 81"):
        jaxlle.extension.project(z, bank, 81)
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        jaxlle.extension.drift(z, bank, 6, level=2.0)


def test_reference_residuals_are_validated(banks):
    z, bank, _ = (a.astype(np.float32) for a in banks)
    whole = np.arange(80) % 3
    out = jaxlle.extension.drift(z, bank, 6, reference=whole)
    np.testing.assert_array_equal(out.quantiles, jaxlle.extension.drift(z, bank, 6, reference=whole * 1.0).quantiles)
    with pytest.raises(ValueError, match="reference contains NaN"):
        jaxlle.extension.drift(z, bank, 6, reference=np.full(80, np.nan))
    with pytest.raises(ValueError, match=r"reference has shape \(80, 1\)"):
        jaxlle.extension.drift(z, bank, 6, reference=np.ones((80, 1)))
