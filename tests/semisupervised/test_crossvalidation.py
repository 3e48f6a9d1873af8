"""The closed form of the leave-one-out error: comparison with leaving out, derivatives, and invalid arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxlle
from jaxlle.derivatives import DenseInverse, SparseInverse
from jaxlle.semisupervised import leave_one_out, propagate

N = 60
KNOWN = np.random.default_rng(1).choice(N, 8, replace=False)
TARGETS = np.random.default_rng(2).normal(size=(8, 2))
TRUST = np.random.default_rng(3).uniform(0.01, 2, 8)


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(N, 3))


def left_out(alignment, trust, solver):
    """Leave out one known point after the other."""
    out = np.empty_like(TARGETS)
    for i in range(len(KNOWN)):
        keep = np.arange(len(KNOWN)) != i
        rest = trust[keep] if np.ndim(trust) else trust
        out[i] = propagate(alignment, KNOWN[keep], TARGETS[keep], trust=rest, solver=solver).targets[KNOWN[i]]
    return out


@pytest.mark.slow_cases("laplacian-exact", "lle-exact", "ltsa-exact")
@pytest.mark.parametrize("trust", [None, 0.05, TRUST], ids=["exact", "one trust", "trust of each"])
@pytest.mark.parametrize("name", ["lle", "ltsa", "laplacian"])
def test_the_closed_form_equals_the_predictions_without_each_point(x64, cloud, name, trust):
    alignment = {
        "lle": lambda: jaxlle.lle_alignment(cloud, k=8),
        "ltsa": lambda: jaxlle.ltsa_alignment(cloud, 2, k=8),
        "laplacian": lambda: jaxlle.alignment.laplacian_alignment(jaxlle.knn(cloud, 8)),
    }[name]()
    out = leave_one_out(alignment, KNOWN, TARGETS, trust=trust, solver=SparseInverse())
    np.testing.assert_allclose(out.predictions, left_out(alignment, trust, SparseInverse()), atol=1e-8)
    np.testing.assert_allclose(out.residuals, TARGETS - out.predictions, atol=1e-12)
    np.testing.assert_allclose(out.error, np.sqrt(np.mean(np.square(out.residuals), axis=0)), rtol=1e-12)


def test_an_affine_map_of_the_targets_is_applied_to_the_predictions(x64, cloud):
    alignment = jaxlle.lle_alignment(cloud, k=8)
    turn, shift = np.array([[0.6, -0.8], [0.8, 0.6]]), np.array([1e5, -3.0])
    for trust in (None, TRUST):
        plain = leave_one_out(alignment, KNOWN, TARGETS, trust=trust).predictions
        moved = leave_one_out(alignment, KNOWN, 1e3 * TARGETS @ turn + shift, trust=trust).predictions
        np.testing.assert_allclose(moved, 1e3 * plain @ turn + shift, atol=1e-5)


@pytest.mark.slow
def test_float32_agrees_with_float64_on_a_smooth_surface(x64):
    """Products with B^T B in place of sums of squares would have fifteen times this error with SparseInverse."""
    flat = np.random.default_rng(0).uniform(size=(300, 2))
    surface = np.concatenate([flat, 0.3 * np.sin(3 * flat[:, :1])], axis=1)
    truth = np.sin(4 * flat)[KNOWN]
    for solver, tolerance in ((SparseInverse(), 8e-6), (DenseInverse(), 1e-3)):
        alignment = jaxlle.lle_alignment(surface, k=8)
        exact = leave_one_out(alignment, KNOWN, truth, solver=solver)
        single = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float64 else a, alignment)
        rounded = leave_one_out(single, KNOWN, truth.astype(np.float32), solver=solver)
        assert rounded.predictions.dtype == jnp.float32
        np.testing.assert_allclose(rounded.predictions, exact.predictions, atol=tolerance)


@pytest.mark.slow
def test_the_memory_for_columns_does_not_change_the_result(cloud):
    alignment = jaxlle.lle_alignment(cloud.astype(np.float32), k=8)
    for trust in (None, TRUST.astype(np.float32)):
        whole = leave_one_out(alignment, KNOWN, TARGETS.astype(np.float32), trust=trust)
        parts = leave_one_out(alignment, KNOWN, TARGETS.astype(np.float32), trust=trust, block_bytes=3 * 8 * N * 3 * 4)
        np.testing.assert_allclose(parts.predictions, whole.predictions, atol=1e-5)


def test_derivatives_inside_jit_match_finite_differences(x64):
    x, known = np.random.default_rng(0).normal(size=(24, 3)), np.array([1, 8, 15, 20])
    alignment = jaxlle.lle_alignment(x, k=6, reg=0.1)

    @jax.jit
    def error(blocks, targets, trust):
        moved = alignment._replace(blocks=blocks)
        return jnp.sum(leave_one_out(moved, known, targets, trust=trust, solver=DenseInverse()).residuals ** 2)

    values = alignment.blocks, jnp.asarray(TARGETS[:4]), jnp.asarray(TRUST[:4])
    check_grads(error, values, order=1, modes=["rev"], eps=1e-6, rtol=1e-5, atol=1e-6)


def test_it_runs_under_vmap_and_traces_once(cloud):
    alignment = jaxlle.lle_alignment(jnp.asarray(cloud, jnp.float32), k=8)
    traces = []

    @jax.jit
    @jax.vmap
    def predictions(targets, trust):
        traces.append(1)
        return leave_one_out(alignment, KNOWN, targets, trust=trust).predictions

    targets = jnp.asarray(np.stack([TARGETS, TARGETS[::-1]]), jnp.float32)
    many = predictions(targets, jnp.array([0.1, 1.0]))
    predictions(targets + 1, jnp.array([0.2, 1.0]))
    assert len(traces) == 1
    for one, t, trust in zip(many, targets, (0.1, 1.0), strict=True):
        np.testing.assert_allclose(one, leave_one_out(alignment, KNOWN, t, trust=trust).predictions, atol=1e-4)


@pytest.mark.slow
def test_points_that_cannot_be_left_out_raise(x64, cloud):
    alignment = jaxlle.lle_alignment(cloud, k=8)
    with pytest.raises(ValueError, match="there must be at least two"):
        leave_one_out(alignment, KNOWN[:1], TARGETS[:1])
    flat = np.random.default_rng(0).uniform(size=(N, 2))
    sheet, known = jaxlle.ltsa_alignment(flat, 2, k=9), np.array([3, 20, 41])
    for solver in (DenseInverse(), SparseInverse()):
        with pytest.raises(ValueError, match=r"Without the target of point 3 the other known points do not determine"):
            leave_one_out(sheet, known, flat[known], solver=solver)
    traced = jax.jit(lambda p: leave_one_out(sheet, known, p, solver=DenseInverse()).error)(jnp.asarray(flat[known]))
    assert bool(jnp.isnan(traced).all())
    with pytest.raises(ValueError, match="block_bytes"):
        leave_one_out(alignment, KNOWN, TARGETS, block_bytes=0)
