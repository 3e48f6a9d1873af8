"""Losses: comparison with NumPy in float64, identities, closed forms, and collapse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import swiss_roll
from jax.test_util import check_grads

import jaxlle
from jaxlle import losses
from jaxlle.losses.reduce import check_neighborhoods, reduce_anchors


@pytest.fixture(scope="module")
def batch():
    """Return outputs, neighbors' outputs, weights that sum to one, and masks."""
    rng = np.random.default_rng(0)
    y, near, w = rng.normal(size=(6, 3)), rng.normal(size=(6, 4, 3)), rng.normal(size=(6, 4))
    mask, where = rng.random((6, 4)) < 0.7, np.array([True, True, False, True, True, False])
    mask[:, 0] = True
    w = w * mask
    return y, near, w / w.sum(axis=1, keepdims=True), mask, where


def f32(*arrays):
    return tuple(jnp.asarray(a, jnp.float32) for a in arrays)


def test_the_lle_loss_is_its_formula(batch):
    y, near, w, mask, where = batch
    errors = ((y - np.einsum("bk,bkd->bd", w, near)) ** 2).sum(axis=1)
    a, b, c = f32(y, near, w)
    np.testing.assert_allclose(losses.lle_loss(a, b, c), errors.mean(), rtol=1e-5)
    np.testing.assert_allclose(losses.lle_loss(a, b, c, reduction="sum"), errors.sum(), rtol=1e-5)
    np.testing.assert_allclose(losses.lle_loss(a, b, c, reduction="none"), errors, rtol=1e-4)
    masked_with_nan = a.at[2].set(jnp.nan), jnp.where(mask[..., None], b, jnp.nan), jnp.where(mask, c, jnp.nan)
    value, grads = jax.value_and_grad(losses.lle_loss, argnums=(0, 1))(*masked_with_nan, mask=mask, where=where)
    np.testing.assert_allclose(value, errors[where].mean(), rtol=1e-5)
    assert all(np.isfinite(g).all() for g in grads)
    assert (grads[1][~mask] == 0).all()


def test_a_row_without_neighbors_has_no_cost(batch):
    y, near, w, _, _ = batch
    mask = np.ones((6, 4), bool)
    mask[3] = False
    errors = losses.lle_loss(*f32(y, near, w * mask), mask=mask, reduction="none")
    assert errors[3] == 0
    assert (errors[:3] > 0).all()


def test_an_offset_of_the_outputs_does_not_reduce_the_accuracy(batch):
    y, near, w, _, _ = f32(*batch)
    near = y[:, None] + 1e-2 * near
    np.testing.assert_allclose(
        losses.lle_loss(jnp.round(y * 8) / 8 + 4096, jnp.round(near * 512) / 512 + 4096, w),
        losses.lle_loss(jnp.round(y * 8) / 8, jnp.round(near * 512) / 512, w),
        rtol=1e-5,
    )


@pytest.mark.slow
def test_the_loss_at_the_embedding_is_the_sum_of_squared_singular_values(x64):
    x = swiss_roll(60)
    neighbors = jaxlle.knn(x, 10)
    weights = jaxlle.barycentric_weights(x, neighbors)
    out = jaxlle.embed(jaxlle.weights_alignment(neighbors, weights), 3)
    cost = losses.lle_loss(out.points, out.points[neighbors.indices], weights)
    np.testing.assert_allclose(cost, (out.singular_values**2).sum() / 60, rtol=1e-6)


def test_the_loss_of_any_alignment_equals_the_dense_product(batch):
    y, near, w, _, where = batch
    blocks = np.random.default_rng(1).normal(size=(6, 2, 4))
    blocks -= blocks.mean(axis=2, keepdims=True)
    expected = ((blocks @ near) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(losses.alignment_loss(*f32(near, blocks)), expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        losses.alignment_loss(*f32(near, blocks), where=where, reduction="sum"), expected[where].sum(), rtol=1e-5
    )
    both = np.concatenate([y[:, None], near], axis=1), np.concatenate([np.ones((6, 1)), -w], axis=1)[:, None]
    np.testing.assert_allclose(losses.alignment_loss(*f32(*both)), losses.lle_loss(*f32(y, near, w)), rtol=1e-5)


@pytest.mark.slow
def test_the_batch_loss_of_the_full_batch_is_the_loss_with_its_graph():
    x = jnp.asarray(swiss_roll(120), jnp.float32)
    y = x[:, :2]
    neighbors = jaxlle.knn(x, 8)
    expected = losses.lle_loss(y, y[neighbors.indices], jaxlle.barycentric_weights(x, neighbors))
    np.testing.assert_allclose(losses.batch_lle_loss(x, y, k=8), expected, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(lambda a, b: losses.batch_lle_loss(a, b, k=8))(x, y), expected, rtol=1e-4)
    np.testing.assert_allclose(losses.batch_lle_loss(x, y, k=8, neighbors=neighbors), expected, rtol=1e-4)


@pytest.mark.slow
def test_the_weights_are_differentiated_only_on_request(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(20, 3)))
    y = x[:, :2]
    assert (jax.grad(lambda a: losses.batch_lle_loss(a, y, k=6))(x) == 0).all()
    check_grads(lambda a: losses.batch_lle_loss(jnp.asarray(a), y, k=6, reg=0.1, weight_gradient=True), (x,), order=1)


def test_the_probability_loss_compares_probabilities_instead_of_logits(batch):
    y, near, w, mask, where = batch
    p, q = (np.exp(a) / np.exp(a).sum(axis=-1, keepdims=True) for a in (y, near))
    expected = ((p - np.einsum("bk,bkd->bd", w, q)) ** 2).sum(axis=1)
    np.testing.assert_allclose(losses.probability_lle_loss(*f32(y + 7, near - 3, w)), expected.mean(), rtol=1e-5)
    out = losses.probability_lle_loss(*f32(y, near, w), mask=mask, where=where)
    np.testing.assert_allclose(out, expected[where].mean(), rtol=1e-5)


def test_the_reconstruction_loss_is_its_formula(batch):
    y, near, w, _, where = batch
    x = y + 1
    expected = ((x - np.einsum("bk,bkd->bd", w, near)) ** 2).sum(axis=1)
    np.testing.assert_allclose(losses.reconstruction_loss(*f32(x, y, near, w)), expected.mean(), rtol=1e-5)
    unnormalized = 2 * w
    expected = ((x - y - np.einsum("bk,bkd->bd", unnormalized, near - y[:, None])) ** 2).sum(axis=1)
    out = losses.reconstruction_loss(*f32(x, y, near, unnormalized), where=where)
    np.testing.assert_allclose(out, expected[where].mean(), rtol=1e-5)


def test_the_reconstruction_map_minimizes_the_reconstruction_loss(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(40, 3)))
    neighbors = jaxlle.knn(x, 6)
    w = jaxlle.barycentric_weights(x, neighbors)

    def loss(a, ridge=0.0):
        return losses.reconstruction_loss(x, x @ a, (x @ a)[neighbors.indices], w) + ridge * jnp.sum(a**2)

    for ridge in (0.0, 0.3):
        best = losses.fit_reconstruction_map(x, x[neighbors.indices], w, ridge=ridge)
        np.testing.assert_allclose(jax.grad(loss)(best, ridge), 0, atol=1e-12)
    assert loss(losses.fit_reconstruction_map(x, x[neighbors.indices], w)) < loss(jnp.eye(3))


@pytest.mark.parametrize("solver", [jaxlle.solvers.DenseQR(), jaxlle.solvers.SparseLU()])
def test_the_spectral_loss_is_the_sum_of_eigenvalues_and_its_gradient_is_exact(x64, solver):
    ring = jnp.arange(40)[:, None] + jnp.array([[0, -1, 1, -2, 2]])
    rng = np.random.default_rng(0)
    weights = rng.random((40, 4))

    def alignment(w):
        w = w / w.sum(axis=1, keepdims=True)
        return jaxlle.weights_alignment(jaxlle.Neighbors((ring % 40)[:, 1:].astype(jnp.int32), None), w)

    def loss(w):
        return losses.spectral_loss(alignment(w), 2, solver=solver)

    values = np.linalg.svd(np.asarray(alignment(weights).to_dense()) @ (np.eye(40) - 1 / 40))[1]
    np.testing.assert_allclose(loss(jnp.asarray(weights)), (values[-3:-1] ** 2).sum(), rtol=1e-8)
    direction = jnp.asarray(rng.normal(size=weights.shape))
    slope = (loss(weights + 1e-5 * direction) - loss(weights - 1e-5 * direction)) / 2e-5
    np.testing.assert_allclose(jnp.sum(jax.grad(loss)(jnp.asarray(weights)) * direction), slope, rtol=1e-5)
    equal = jnp.full((40, 4), 0.25)  # every eigenvalue of a regular ring has multiplicity two
    assert np.isfinite(jax.grad(loss)(equal)).all()


def test_the_laplacian_and_margin_losses_are_their_formulas(batch):
    y, near, w, mask, where = batch
    far = np.sqrt(((y[:, None] - near) ** 2).sum(-1))
    np.testing.assert_allclose(losses.laplacian_loss(*f32(y, near)), (far**2).mean(), rtol=1e-5)
    np.testing.assert_allclose(losses.laplacian_loss(*f32(y, near, abs(w))), (abs(w) * far**2).sum(1).mean(), rtol=1e-5)
    hinge = np.maximum(2 - far, 0) ** 2
    np.testing.assert_allclose(losses.margin_loss(*f32(y, near), margin=2.0), hinge.mean(), rtol=1e-5)
    masked = np.array([h[m].mean() for h, m in zip(hinge, mask, strict=True)])
    out = losses.margin_loss(*f32(y, near), margin=2.0, mask=mask, where=where)
    np.testing.assert_allclose(out, masked[where].mean(), rtol=1e-5)
    both = losses.embednn_loss(*f32(y, near, near), margin=2.0)
    np.testing.assert_allclose(both, (far**2).mean() + hinge.mean(), rtol=1e-5)
    supervised = losses.lle_margin_loss(
        *f32(y, near, w), losses.Impostors(*f32(near), margin=2.0, strength=3.0), reduction="none"
    )
    expected = ((y - np.einsum("bk,bkd->bd", w, near)) ** 2).sum(1) + 3 * hinge.mean(1)
    np.testing.assert_allclose(supervised, expected, rtol=1e-4)


def test_guards_are_their_formulas(batch):
    y, _, _, _, where = batch
    for rows, given in ((y, None), (y[where], where)):
        c = np.cov(rows.T, bias=True)
        (a,) = f32(y)
        hinge = np.maximum(1 - np.sqrt(np.diag(c) + 1e-4), 0).mean()
        np.testing.assert_allclose(losses.variance_hinge(a, where=given), hinge, rtol=1e-5)
        off = (c**2).sum() - (np.diag(c) ** 2).sum()
        np.testing.assert_allclose(losses.covariance_penalty(a, where=given), off / 3, rtol=1e-5)
        stein = np.trace(c) - np.log(np.linalg.det(c)) - 3
        np.testing.assert_allclose(losses.log_det_penalty(a, where=given, eps=0.0), stein, rtol=1e-4)
        np.testing.assert_allclose(losses.relative_cost(2.0, a, where=given), 2 / np.trace(c), rtol=1e-5)
        ratio = np.trace(c) ** 2 / np.trace(c @ c)
        np.testing.assert_allclose(losses.participation_ratio(a, where=given), ratio, rtol=1e-5)


@pytest.mark.slow
def test_every_guard_is_zero_for_white_outputs():
    white = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(50, 4)) @ np.eye(4))[0])
    white = (white - white.mean(0)) @ jnp.linalg.inv(jnp.linalg.cholesky(jnp.cov(white.T, bias=True))).T
    for guard in (losses.variance_hinge, losses.covariance_penalty, losses.log_det_penalty):
        assert abs(guard(white)) < 1e-5
    np.testing.assert_allclose(losses.participation_ratio(white), 4, rtol=1e-5)
    lines = np.random.default_rng(3).normal(size=(200, 6, 1)) * np.random.default_rng(4).normal(size=(200, 1, 3))
    ratios = jax.vmap(losses.participation_ratio)(jnp.asarray(lines, jnp.float32))
    assert ratios.min() >= 1  # rounding errors would otherwise give less
    np.testing.assert_allclose(ratios, 1, rtol=1e-5)


@pytest.mark.slow
def test_several_devices_give_the_values_of_one_device(batch):
    y, near, w, mask, where = batch
    y, near, w = f32(y, near, w)

    def split(a):
        return a.reshape(3, 2, *a.shape[1:])

    def total(y, near, w, mask, where):
        loss = losses.lle_loss(y, near, w, mask=mask, where=where, axis_name="devices")
        guards = (
            losses.variance_hinge(y, where=where, axis_name="devices"),
            losses.covariance_penalty(y, where=where, axis_name="devices"),
            losses.log_det_penalty(y, where=where, axis_name="devices"),
            losses.relative_cost(loss, y, where=where, axis_name="devices"),
        )
        return jnp.stack([loss, *guards])

    parts = jax.vmap(total, axis_name="devices")(*map(split, (y, near, w, mask, where)))
    loss = losses.lle_loss(y, near, w, mask=mask, where=where)
    expected = [
        loss,
        losses.variance_hinge(y, where=where),
        losses.covariance_penalty(y, where=where),
        losses.log_det_penalty(y, where=where),
        losses.relative_cost(loss, y, where=where),
    ]
    for part in parts:
        np.testing.assert_allclose(part, jnp.stack(expected), rtol=1e-5)


def test_the_relative_cost_reveals_a_collapse(batch):
    y, near, w, _, _ = f32(*batch)
    small = losses.relative_cost(losses.lle_loss(1e-3 * y, 1e-3 * near, w), 1e-3 * y)
    np.testing.assert_allclose(small, losses.relative_cost(losses.lle_loss(y, near, w), y), rtol=1e-4)
    assert losses.relative_cost(0.0, jnp.ones((5, 2))) == jnp.inf
    assert losses.participation_ratio(jnp.ones((5, 2))) == 0


@pytest.mark.slow
def test_every_loss_has_the_derivative_of_finite_differences(x64, batch):
    y, near, w, mask, where = (jnp.asarray(a) for a in batch)

    @jax.jit
    def everything(y, n):
        return jnp.stack(
            [
                losses.lle_loss(y, n, w, mask=mask, where=where),
                losses.alignment_loss(n, w[:, None] - 0.25),
                losses.probability_lle_loss(y, n, w),
                losses.reconstruction_loss(2 * y, y, n, w),
                losses.embednn_loss(y, n, n, margin=2.0),
                losses.lle_margin_loss(y, n, w, losses.Impostors(n, margin=2.0)),
                losses.variance_hinge(y, where=where),
                losses.covariance_penalty(y),
                losses.log_det_penalty(y),
                losses.relative_cost(1.0, y),
                losses.participation_ratio(y),
            ]
        )

    check_grads(everything, (y, near), order=1, rtol=1e-3)


@pytest.mark.slow
def test_gradients_are_finite_where_points_coincide():
    y, near, w = jnp.ones((4, 2)), jnp.ones((4, 3, 2)), jnp.full((4, 3), 1 / 3)
    x = jnp.repeat(jnp.eye(3), 4, axis=0)

    def everything(y, near, x):
        return (
            losses.lle_loss(y, near, w)
            + losses.embednn_loss(y, near, near)
            + losses.variance_hinge(y)
            + losses.covariance_penalty(y)
            + losses.log_det_penalty(y)
            + losses.participation_ratio(y)
            + losses.batch_lle_loss(x, x, k=3, weight_gradient=True)
        )

    with jax.debug_nans(True):
        grads = jax.jit(jax.grad(everything, argnums=(0, 1, 2)))(y, near, x)
    assert all(np.isfinite(g).all() for g in grads)


def test_half_precision_is_computed_in_float32(batch):
    y, near, w, _, _ = batch
    half = tuple(a.astype(jnp.bfloat16) for a in f32(y, near, w))
    out = losses.lle_loss(*half)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, losses.lle_loss(*(a.astype(jnp.float32) for a in half)), rtol=1e-6)
    assert jax.grad(lambda a: losses.variance_hinge(a))(half[0]).dtype == jnp.bfloat16


def test_losses_are_batched_by_vmap_and_compiled_once(batch):
    y, near, w, _, _ = f32(*batch)
    many = jax.vmap(lambda s: losses.lle_loss(s * y, s * near, w))(jnp.arange(3.0))
    np.testing.assert_allclose(many, jnp.arange(3.0) ** 2 * losses.lle_loss(y, near, w), rtol=1e-5)
    count = 0

    @jax.jit
    def step(y, margin):
        nonlocal count
        count += 1
        return losses.embednn_loss(y, near, near, margin=margin)

    step(y, 1.0)
    step(2 * y, 2.0)
    assert count == 1


def test_bad_batches_raise(batch):
    y, near, w, _, _ = f32(*batch)
    with pytest.raises(ValueError, match="y contains NaN"):
        losses.lle_loss(y.at[0].set(jnp.nan), near, w)
    for factor in (0.98, 1.02):
        with pytest.raises(ValueError, match=f"6 anchors do not sum to one .row 0: {factor}"):
            losses.lle_loss(y, near, factor * w)
    assert np.isfinite(losses.lle_loss(y, near, 1.005 * w))  # as after rounding to half precision
    with pytest.raises((ValueError, TypeError), match="reduction"):
        reduce_anchors(y[:, 0], None, "total", None)
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 6"):
        losses.batch_lle_loss(y, y, k=6)
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 6"):
        jax.jit(lambda a: losses.batch_lle_loss(a, a, k=6))(y)
    with pytest.raises(ValueError, match="NaN or infinity"):
        losses.batch_lle_loss(y.at[0].set(jnp.nan), y, k=2)
    assert np.isnan(jax.jit(losses.lle_loss)(y.at[0].set(jnp.nan), near, w))


def test_a_neighbor_out_of_range_raises_and_gives_nan_inside_jit(batch):
    y = jnp.asarray(batch[0], jnp.float32)
    neighbors = jaxlle.knn(y, 2)
    bad = neighbors._replace(indices=neighbors.indices.at[0, 0].set(6))
    with pytest.raises(ValueError, match="indices from 0 to 6, but x has 6 rows"):
        losses.batch_lle_loss(y, y, k=2, neighbors=bad)
    loss = jax.jit(lambda graph: losses.batch_lle_loss(y, y, k=2, neighbors=graph))
    assert np.isnan(loss(bad))
    assert np.isfinite(loss(neighbors))


def test_the_message_contains_shapes_that_do_not_match(batch):
    y, near, w, _, _ = batch
    with pytest.raises(ValueError, match=r"\(6, 3\).*\(5, 4, 3\) do not match"):
        check_neighborhoods(y, near[:5], w)
    with pytest.raises(ValueError, match=r"\(6, 2\).*do not match"):
        check_neighborhoods(y[:, :2], near, w)
    with pytest.raises(ValueError, match=r"weights must be of shape \(6, 4\)"):
        check_neighborhoods(y, near, w[:, :3])


def test_the_isometry_loss_is_its_formula_and_zero_for_rotations(batch):
    y, near, _, mask, where = batch
    lengths = np.linalg.norm(y[:, None] - near, axis=2)
    wanted = lengths + np.random.default_rng(1).normal(size=lengths.shape)
    errors = (lengths - wanted) ** 2
    a, b, d = f32(y, near, wanted)
    np.testing.assert_allclose(losses.isometry_loss(a, b, d), errors.mean(), rtol=1e-5)
    shares = (errors * mask).sum(axis=1) / mask.sum(axis=1)
    masked_with_nan = a.at[2].set(jnp.nan), jnp.where(mask[..., None], b, jnp.nan), jnp.where(mask, d, jnp.nan)
    value, grads = jax.value_and_grad(losses.isometry_loss, argnums=(0, 1))(*masked_with_nan, mask=mask, where=where)
    np.testing.assert_allclose(value, shares[where].mean(), rtol=1e-5)
    assert all(np.isfinite(g).all() for g in grads)
    turn = jnp.linalg.qr(jnp.asarray(np.random.default_rng(2).normal(size=(3, 3)), jnp.float32))[0]
    assert losses.isometry_loss(a @ turn + 1, b @ turn + 1, f32(lengths)[0]) < 1e-10
    many = jax.vmap(lambda scale: losses.isometry_loss(scale * a, scale * b, d))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(many[0], errors.mean(), rtol=1e-5)


@pytest.mark.slow
def test_the_gradient_of_the_isometry_loss_is_zero_where_outputs_coincide(batch, x64):
    y, near, w = (jnp.asarray(a) for a in batch[:3])
    check_grads(
        lambda y, near: losses.isometry_loss(jnp.asarray(y), jnp.asarray(near), jnp.abs(w)),
        (y, near),
        order=2,
        modes=["rev"],
    )
    grads = jax.grad(losses.isometry_loss)(y, y[:, None], jnp.ones((6, 1)))
    assert (grads == 0).all()


def test_the_isometry_loss_raises_for_nan(batch):
    y, near, w = f32(*batch[:3])
    with pytest.raises(ValueError, match="NaN"):
        losses.isometry_loss(jnp.nan * y, near, w)
