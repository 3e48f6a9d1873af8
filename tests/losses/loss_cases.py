"""One call of every loss, with its arrays and masks, for the tests that cover all losses."""

import jax.numpy as jnp
import numpy as np

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
