"""Options of the losses, each for every loss that has it: reductions, masks, devices, gradients of weights, parameters."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_cases import BLOCKS, CASES, FAR, LENGTHS, MASK, MASKED, NEAR, PAIRS, WEIGHTS, WHERE, B, Y, options

import jaxlle
from jaxlle import losses


def having(option):
    """Return the cases of the losses that have an option."""
    return [case for case in CASES if option in inspect.signature(getattr(losses, case.split()[0])).parameters]


def call(case, arrays, **given):
    return CASES[case][0](**arrays, **given)


def assert_each_close(found, expected):
    for case, value in expected.items():
        np.testing.assert_allclose(found[case], value, rtol=1e-5, err_msg=case)


@pytest.fixture(scope="module")
def per_anchor():
    """Return the losses of the anchors, without a reduction, of every case."""
    cases = [case for case in having("reduction") if case != "batch_lle_loss"]  # the one with a graph compiles faster

    @jax.jit
    def compute():
        return {case: call(case, CASES[case][1], **options(case), reduction="none") for case in cases}

    return compute()


def test_the_sum_and_the_mean_are_those_of_the_anchors_that_count(per_anchor):
    @jax.jit
    def compute():
        return [
            {case: call(case, CASES[case][1], **options(case), **given) for case in per_anchor}
            for given in ({"reduction": "sum"}, {})
        ]

    total, mean = compute()
    for case, costs in per_anchor.items():
        assert costs.shape == (B,)
        where = WHERE if "where" in CASES[case][2] else np.ones(B, bool)
        assert not costs[~where].any(), case
        assert np.sum(costs) > 0, case
        np.testing.assert_allclose(total[case], np.sum(costs), rtol=1e-5, err_msg=case)
        np.testing.assert_allclose(mean[case], np.sum(costs) / where.sum(), rtol=1e-5, err_msg=case)


def test_masked_neighbors_are_the_same_as_absent_ones(per_anchor):
    row, kept = 1, np.flatnonzero(MASK[1])
    assert 0 < len(kept) < MASK.shape[1]

    def without(array):
        if not array.ndim:
            return array
        return array[row : row + 1, kept] if array.shape[:2] == MASK.shape else array[row : row + 1]

    @jax.jit
    def compute():
        few = {case: {name: without(a) for name, a in CASES[case][1].items()} for case in PAIRS}
        return {case: call(case, few[case], reduction="none")[0] for case in PAIRS}

    assert_each_close(compute(), {case: per_anchor[case][row] for case in PAIRS})


def test_masked_anchors_are_the_same_as_absent_ones():
    @jax.jit
    def compute():
        few = {
            case: {n: a[np.flatnonzero(WHERE)] if a.ndim else a for n, a in CASES[case][1].items()} for case in MASKED
        }
        masks = {case: {"mask": MASK[WHERE]} if case in PAIRS else {} for case in MASKED}
        masked = {case: call(case, CASES[case][1], **options(case)) for case in MASKED}
        return masked, {case: call(case, few[case], **masks[case]) for case in MASKED}

    assert_each_close(*compute())


def test_one_anchor_per_device_gives_the_value_of_one_device():
    cases = [case for case in having("axis_name") if CASES[case][2]]

    @jax.jit
    def compute():
        return {case: call(case, CASES[case][1], **options(case)) for case in cases}, {
            case: jax.vmap(
                lambda arrays, masks, case=case: call(case, arrays, **masks, axis_name="devices"),
                in_axes=({name: 0 if a.ndim else None for name, a in CASES[case][1].items()}, 0),
                axis_name="devices",
            )(
                {name: a[:, None] if a.ndim else a for name, a in CASES[case][1].items()},
                {name: jnp.asarray(a)[:, None] for name, a in options(case).items()},
            )
            for case in cases
        }

    whole, parts = compute()
    assert len(cases) == len(MASKED)
    assert_each_close(parts, {case: np.full(B, value) for case, value in whole.items()})


def test_the_loss_within_a_batch_uses_its_ridge_its_mask_and_its_devices():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 3)), jnp.float32)
    ring = (jnp.arange(6)[:, None] + jnp.arange(1, 5)) % 6
    mask = jnp.arange(4) < 4 - (jnp.arange(6) % 2)[:, None]
    graph = jaxlle.Neighbors(ring, None, mask)
    given = graph._replace(indices=jnp.where(mask, ring, 9))  # masked entries may have any value

    @jax.jit
    def compute():
        def loss(x, **options):
            return losses.batch_lle_loss(x, jnp.tanh(x[:, :2]), k=4, reg=0.5, neighbors=given, **options)

        def expected(x):
            y, weights = jnp.tanh(x[:, :2]), jaxlle.barycentric_weights(x, graph, reg=0.5)
            return losses.lle_loss(y, y[graph.indices], weights, mask=graph.mask)

        return (
            jax.vmap(loss)(x),
            jax.vmap(expected)(x),
            jax.vmap(partial(loss, axis_name="parts"), axis_name="parts")(x),
        )

    alone, expected, together = compute()
    np.testing.assert_allclose(alone, expected, rtol=1e-5)
    np.testing.assert_allclose(together, np.full(2, np.mean(alone)), rtol=1e-5)


def test_weights_and_blocks_are_differentiated_only_on_request():
    errors = jnp.einsum("bk,bkd->bd", WEIGHTS, Y[:, None] - NEAR)
    expected = 2 / B * jnp.einsum("bd,bkd->bk", errors, Y[:, None] - NEAR)
    moved = NEAR - NEAR[:, :1]
    expected_blocks = 2 / B * jnp.einsum("brd,bmd->brm", jnp.einsum("brm,bmd->brd", BLOCKS, moved), moved)
    impostors = losses.Impostors(FAR)

    @jax.jit
    def gradients():
        fixed = {
            "lle_loss": jax.grad(losses.lle_loss, 2)(Y, NEAR, WEIGHTS),
            "probability_lle_loss": jax.grad(losses.probability_lle_loss, 2)(Y, NEAR, WEIGHTS),
            "lle_margin_loss": jax.grad(losses.lle_margin_loss, 2)(Y, NEAR, WEIGHTS, impostors),
            "reconstruction_loss": jax.grad(losses.reconstruction_loss, 3)(Y, Y + 1, NEAR, WEIGHTS),
            "alignment_loss": jax.grad(losses.alignment_loss, 1)(NEAR, BLOCKS),
        }
        free = jax.grad(lambda w: losses.lle_loss(Y, NEAR, w, weight_gradient=True))(WEIGHTS)
        return fixed, free, jax.grad(lambda b: losses.alignment_loss(NEAR, b, block_gradient=True))(BLOCKS)

    fixed, free, free_blocks = gradients()
    for name, gradient in fixed.items():
        assert not gradient.any(), name
    np.testing.assert_allclose(free, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(free_blocks, expected_blocks, rtol=1e-4, atol=1e-6)


def test_the_parameters_of_the_guards_are_those_of_their_formulas():
    y = jnp.asarray(np.random.default_rng(0).normal(size=(9, 2)) @ [[2.0, 0.3], [0.0, 0.5]], jnp.float32)
    c = np.cov(np.asarray(y, np.float64).T, bias=True)
    hinge = np.maximum(1.5 - np.sqrt(np.diag(c) + 0.3), 0)
    assert (hinge == 0).sum() == 1
    np.testing.assert_allclose(losses.variance_hinge(y, target=1.5, eps=0.3), hinge.mean(), rtol=1e-5)
    c = c + 0.3 * np.eye(2)
    stein = np.trace(c) - np.log(np.linalg.det(c)) - 2
    np.testing.assert_allclose(losses.log_det_penalty(y, eps=0.3), stein, rtol=1e-5)


def test_impostors_have_a_mask_a_margin_and_a_strength_of_their_own():
    far = np.linalg.norm(np.asarray(Y[:, None] - FAR), axis=2)
    error = losses.lle_loss(Y, NEAR, WEIGHTS, mask=MASK, reduction="none")
    present = ~MASK | (np.arange(MASK.shape[1]) == 0)
    for margin, strength in ((1.0, 1.0), (4.0, 0.3)):
        hinge = np.where(present, np.maximum(margin - far, 0) ** 2, 0).sum(axis=1) / present.sum(axis=1)
        given = {} if margin == 1 else {"margin": margin, "strength": strength}
        found = losses.lle_margin_loss(
            Y, NEAR, WEIGHTS, losses.Impostors(FAR, present, **given), mask=MASK, reduction="none"
        )
        np.testing.assert_allclose(found, error + strength * hinge, rtol=1e-5)
    everyone = losses.margin_loss(Y, FAR, margin=4.0)
    np.testing.assert_allclose(everyone, (np.maximum(4 - far, 0) ** 2).mean(), rtol=1e-5)
    both = losses.embednn_loss(Y, NEAR, FAR, margin=4.0, reduction="none")
    near = (np.asarray(Y[:, None] - NEAR) ** 2).sum(axis=2).mean(axis=1)
    np.testing.assert_allclose(both, near + (np.maximum(4 - far, 0) ** 2).mean(axis=1), rtol=1e-5)
    lengths = np.linalg.norm(np.asarray(Y[:, None] - NEAR), axis=2)
    np.testing.assert_allclose(losses.isometry_loss(Y, NEAR, LENGTHS), ((lengths - LENGTHS) ** 2).mean(), rtol=1e-5)
