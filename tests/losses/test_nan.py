"""NaN in the losses: visible wherever an entry counts, in every argument of every loss, and without effect where it is masked."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import losses

B, K, D = 5, 3, 2
RNG = np.random.default_rng(0)
WHERE = np.array([True, True, False, True, True])
MASK = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1], [0, 1, 1]], bool)
Y, NEAR, FAR = (jnp.asarray(RNG.normal(size=s), jnp.float32) for s in ((B, D), (B, K, D), (B, K, D)))
LENGTHS = jnp.asarray(1 + RNG.random((B, K)), jnp.float32)
WEIGHTS = jnp.asarray(MASK / MASK.sum(axis=1, keepdims=True), jnp.float32)
BLOCKS = jnp.asarray(RNG.normal(size=(B, 2, K)), jnp.float32)
RING = jnp.asarray(np.arange(B)[:, None] + [[0, 1, -1]], jnp.int32) % B
GRAPH = jaxlle.Neighbors(RING[:, 1:], None)


def impostors(y, y_neighbors, weights, outputs, margin, strength, mask=None, **options):
    pairs = losses.Impostors(outputs, mask, margin, strength)
    return losses.lle_margin_loss(y, y_neighbors, weights, pairs, mask=mask, **options)


def eigenvalues(blocks):
    blocks = blocks - blocks.mean(axis=2, keepdims=True)
    return losses.spectral_loss(jaxlle.alignment.Alignment(RING, blocks), 1, solver=jaxlle.solvers.DenseQR())


def within_batch(x, y, **options):
    return losses.batch_lle_loss(x, y, k=2, **options)


def within_graph(x, y, **options):
    return losses.batch_lle_loss(x, y, k=2, neighbors=GRAPH, **options)


ONE = jnp.float32(1.5)
ANCHORS = {"y": Y, "y_neighbors": NEAR, "weights": WEIGHTS}
# For each loss: the function to call, its arrays by the name that the message must contain, and the masks that it takes.
CASES = {
    "lle_loss": (losses.lle_loss, ANCHORS, ("where", "mask")),
    "alignment_loss": (losses.alignment_loss, {"y_neighborhoods": NEAR, "blocks": BLOCKS}, ("where",)),
    "batch_lle_loss": (within_batch, {"x": Y, "y": Y}, ()),
    "batch_lle_loss with a graph": (within_graph, {"x": Y, "y": Y}, ()),
    "probability_lle_loss": (
        losses.probability_lle_loss,
        {"logits": Y, "logits_neighbors": NEAR, "weights": WEIGHTS},
        ("where", "mask"),
    ),
    "laplacian_loss": (losses.laplacian_loss, {"y": Y, "y_neighbors": NEAR}, ("where", "mask")),
    "laplacian_loss with affinities": (
        losses.laplacian_loss,
        {"y": Y, "y_neighbors": NEAR, "affinities": LENGTHS},
        ("where", "mask"),
    ),
    "margin_loss": (losses.margin_loss, {"y": Y, "y_others": NEAR, "margin": ONE}, ("where", "mask")),
    "isometry_loss": (losses.isometry_loss, {"y": Y, "y_neighbors": NEAR, "distances": LENGTHS}, ("where", "mask")),
    "embednn_loss": (losses.embednn_loss, {"y": Y, "y_neighbors": NEAR, "y_others": FAR, "margin": ONE}, ("where",)),
    "lle_margin_loss": (impostors, {**ANCHORS, "outputs": FAR, "margin": ONE, "strength": ONE}, ("where", "mask")),
    "reconstruction_loss": (losses.reconstruction_loss, {"x": Y, **ANCHORS}, ("where", "mask")),
    "fit_reconstruction_map": (
        losses.fit_reconstruction_map,
        {"x": Y, "x_neighbors": NEAR, "weights": WEIGHTS, "ridge": ONE},
        (),
    ),
    "spectral_loss": (eigenvalues, {"blocks": BLOCKS}, ()),
    "variance_hinge": (losses.variance_hinge, {"y": Y, "target": ONE, "eps": ONE}, ("where",)),
    "covariance_penalty": (losses.covariance_penalty, {"y": Y}, ("where",)),
    "log_det_penalty": (losses.log_det_penalty, {"y": Y, "eps": ONE}, ("where",)),
    "relative_cost": (losses.relative_cost, {"cost": ONE, "y": Y}, ("where",)),
    "participation_ratio": (losses.participation_ratio, {"y": Y}, ("where",)),
}
ARGUMENTS = [
    pytest.param(case, name, masked, id=f"{case}-{name}" + "-masked" * masked)
    for case, (_, arrays, masks) in CASES.items()
    for name in arrays
    for masked in (False, True)
    if masks or not masked
]
MASKED = [case for case, (_, _, masks) in CASES.items() if masks]
PAIRS = [case for case in MASKED if "mask" in CASES[case][2]]


def options(case):
    return {name: {"where": WHERE, "mask": MASK}[name] for name in CASES[case][2]}


def counts(case, name):
    """Return which entries of an array count: of each anchor's neighbors those that exist, of other arrays all."""
    array, masks = np.asarray(CASES[case][1][name]), CASES[case][2]
    counted = np.ones(array.shape, bool)
    if "where" in masks and array.ndim:
        counted[~WHERE] = False
    if "mask" in masks and array.shape[:2] == (B, K):
        counted[~MASK] = False
    return counted


def test_every_loss_has_a_case():
    functions = {name for name in losses.__all__ if inspect.isfunction(getattr(losses, name))}
    assert {case.split()[0] for case in CASES} == functions - {"neighborhood_batches"}


@pytest.mark.parametrize(("case", "name", "masked"), ARGUMENTS)
def test_nan_at_an_entry_that_counts_raises_and_gives_nan_inside_jit(case, name, masked):
    function, arrays, _ = CASES[case]
    given = options(case) if masked else {}
    counted = counts(case, name) if masked else np.ones(np.shape(arrays[name]), bool)
    at = tuple(np.argwhere(counted)[-1]) if counted.ndim else ()
    bad = {**arrays, name: jnp.asarray(arrays[name]).at[at].set(jnp.nan)}
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        function(**bad, **given)
    run = jax.jit(lambda arrays: function(**arrays, **given))
    assert np.isfinite(run(arrays)).all()
    assert np.isnan(run(bad)).any()


@pytest.mark.parametrize("case", MASKED)
def test_masked_entries_may_be_nan_and_affect_neither_value_nor_gradient(case):
    function, arrays, _ = CASES[case]
    given = options(case)
    hidden = {name: jnp.where(counts(case, name), a, jnp.nan) for name, a in arrays.items()}
    value, slope = jax.jit(jax.value_and_grad(lambda arrays: function(**arrays, **given)))(arrays)
    again, same = jax.jit(jax.value_and_grad(lambda arrays: function(**arrays, **given)))(hidden)
    assert np.isfinite(value)
    np.testing.assert_array_equal(again, value)
    np.testing.assert_allclose(function(**hidden, **given), value, rtol=1e-6)
    for name in arrays:
        assert np.isfinite(slope[name]).all()
        assert (np.asarray(slope[name])[~counts(case, name)] == 0).all()
        np.testing.assert_array_equal(same[name], slope[name])


@pytest.mark.parametrize("case", PAIRS)
def test_an_anchor_without_neighbors_counts(case):
    function, arrays, _ = CASES[case]
    first = next(iter(arrays))  # of shape (b, d) in every case
    mask = jnp.asarray(MASK).at[1].set(False)
    run = jax.jit(lambda arrays: function(**arrays, mask=mask))
    assert np.isfinite(run(arrays))
    assert np.isnan(run({**arrays, first: arrays[first].at[1, 0].set(jnp.nan)}))


def test_a_cost_of_nan_is_visible_where_all_outputs_are_equal():
    assert np.isnan(jax.jit(losses.relative_cost)(jnp.nan, jnp.ones((4, 2))))


def test_logits_may_be_minus_infinity():
    y = jnp.array([[0.0, -jnp.inf], [-jnp.inf, 1.0]])
    assert losses.probability_lle_loss(y, y[::-1, None], jnp.ones((2, 1))) == 2
