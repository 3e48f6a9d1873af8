"""The cost of locally linear embedding as a loss."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from ..neighbors import Neighbors, knn
from ..regularizers import Regularizer, trace_ridge
from ..weights import barycentric_weights
from .reduce import AxisName, Reduction, blank, check_finite, check_neighborhoods, check_weights, reduce_anchors, widen


def lle_loss(
    y: Float[Array, "b d"],
    y_neighbors: Float[Array, "b k d"],
    weights: Float[Array, "b k"],
    *,
    mask: Bool[ArrayLike, "b k"] | None = None,
    where: Bool[ArrayLike, " b"] | None = None,
    weight_gradient: bool = False,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the cost of locally linear embedding for outputs of a model.

    ``mean_i |y_i - sum_j w_ij y_{n_ij}|^2`` (Roweis and Saul 2000, equation 2). Full batch and mini-batch are the same call:
    `y_neighbors` is ``model(x[neighbors.indices[rows]])``. A constant output costs nothing, so add a guard.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbours, shape (b, k, d).
        weights: barycentric weights, shape (b, k); rows sum to 1.
        mask: True where a neighbour exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        weight_gradient: let the gradient through the weights. It rewards features that are trivial to reconstruct, and so
            collapse; it matters only if the weights were computed from what is trained.
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not fit; outside jit also for NaN and weights that do not sum to one.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0], [7.0]])
        >>> neighbors = jaxlle.knn(x, 2)
        >>> weights = jaxlle.barycentric_weights(x, neighbors, reg=1e-6)
        >>> float(jaxlle.losses.lle_loss(5 * x + 1, (5 * x + 1)[neighbors.indices], weights)) < 1e-6
        True
    """
    y, y_neighbors, weights = widen(y, y_neighbors, weights)
    check_neighborhoods(y, y_neighbors, weights)
    check_finite(y, "y", where)
    check_weights(blank(weights, where), mask if where is None else _both(mask, where, weights))
    weights = weights if weight_gradient else lax.stop_gradient(weights)
    weights = blank(blank(weights, mask), where)
    y, y_neighbors = blank(y, where), blank(blank(y_neighbors, mask), where)
    # As differences: with weights that sum to one it is the same, and no offset of y costs digits.
    rebuilt = jnp.einsum("bk,bkd->bd", weights, y[:, None] - y_neighbors, precision=lax.Precision.HIGHEST)
    return reduce_anchors(jnp.sum(rebuilt**2, axis=1), where, reduction, axis_name)


def alignment_loss(
    y_neighborhoods: Float[Array, "b m d"],
    blocks: Float[Array, "b r m"],
    *,
    where: Bool[ArrayLike, " b"] | None = None,
    block_gradient: bool = False,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the cost of any alignment (LTSA, Hessian, modified LLE, ...) for outputs of a model.

    ``mean_i |block_i y_{nbrs(i)}|^2``: for LLE, whose block is [1, -w], this is `lle_loss`.

    Args:
        y_neighborhoods: outputs at the points of each neighbourhood, ``y[alignment.indices[rows]]``, shape (b, m, d).
        blocks: their local maps, ``alignment.blocks[rows]``, shape (b, r, m).
        where: True where an anchor counts, shape (b,).
        block_gradient: let the gradient through the blocks; see `lle_loss`.
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not fit, and outside jit for NaN.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> b = jaxlle.lle_alignment(x, k=8)
        >>> y = jaxlle.embed(b, 2).points
        >>> float(jaxlle.losses.alignment_loss(y[b.indices], b.blocks, reduction="sum")) < 1
        True
    """
    y, blocks = widen(y_neighborhoods, blocks)
    if y.ndim != 3 or blocks.ndim != 3 or blocks.shape[::2] != y.shape[:2]:
        raise ValueError(
            f"Outputs of shape {y.shape} and blocks of shape {blocks.shape} do not fit: they must be (b, m, d) and (b, r, m), as "
            f"y[alignment.indices[rows]] and alignment.blocks[rows] are."
        )
    check_finite(y, "y_neighborhoods", where)
    blocks = blank(blocks if block_gradient else lax.stop_gradient(blocks), where)
    y = blank(y, where)
    # The rows of a block sum to zero: taking the first point off changes nothing but the rounding of an offset.
    errors = jnp.einsum("brm,bmd->brd", blocks, y - y[:, :1], precision=lax.Precision.HIGHEST)
    return reduce_anchors(jnp.sum(errors**2, axis=(1, 2)), where, reduction, axis_name)


def batch_lle_loss(
    x: Float[Array, "b D"],
    y: Float[Array, "b d"],
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    regularizer: Regularizer = trace_ridge,
    neighbors: Neighbors | None = None,
    weight_gradient: bool = False,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the cost of LLE with neighbours and weights found inside the batch.

    ``mean_i |y_i - sum_j w_ij(x) y_{n_ij(x)}|^2`` over the rows of one batch. Neighbours within a random batch are not those of
    the data: of 60,000 points a batch of 256 holds 0.4 % of a point's neighbours, so this is for full batches, batches of
    near points, and graphs of features that change as they train. `jaxlle.batches` brings true neighbours along.

    Args:
        x: what the geometry is taken from, shape (b, D): inputs, or features (no gradient reaches them by default).
        y: outputs that should have it, shape (b, d).
        k: neighbours a point, 1 <= k <= b - 1.
        reg: strength of the regularizer of the weights.
        regularizer: one of `jaxlle.regularizers`.
        neighbors: a ready graph within the batch (a mask is honoured), in place of the k nearest.
        weight_gradient: let the gradient through the weights to x; see `lle_loss`.
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over; each finds neighbours in its own part of the batch.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for k larger than the batch allows; outside jit for NaN.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> bool(jaxlle.losses.batch_lle_loss(x, x @ x.T[:, :2], k=8) < 0.3)
        True
    """
    (x, y) = widen(x, y)
    x = x if weight_gradient else lax.stop_gradient(x)
    neighbors = knn(lax.stop_gradient(x), k) if neighbors is None else neighbors
    weights = barycentric_weights(x, neighbors, reg=reg, regularizer=regularizer)
    return lle_loss(
        y,
        y.at[neighbors.indices].get(mode="fill", fill_value=jnp.nan),  # inside jit an index out of range shows
        weights,
        mask=neighbors.mask,
        weight_gradient=weight_gradient,
        reduction=reduction,
        axis_name=axis_name,
    )


def probability_lle_loss(
    logits: Float[Array, "b c"],
    logits_neighbors: Float[Array, "b k c"],
    weights: Float[Array, "b k"],
    *,
    mask: Bool[ArrayLike, "b k"] | None = None,
    where: Bool[ArrayLike, " b"] | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the cost of LLE for class probabilities, to add to the cross-entropy of a few labels.

    ``mean_i |p_i - sum_j w_ij p_{n_ij}|^2`` with p the softmax of the logits; anchors and neighbours need no labels. The
    cross-entropy is the guard: it keeps the probabilities of the labelled points apart.

    Args:
        logits: at the anchors, shape (b, c).
        logits_neighbors: at their neighbours, shape (b, k, c).
        weights: barycentric weights, shape (b, k).
        mask: True where a neighbour exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none"; at most 4 an anchor where the weights are positive.

    Raises:
        ValueError: as `lle_loss`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> logits, near = jnp.array([[9.0, -9.0]]), jnp.array([[[-9.0, 9.0], [-9.0, 9.0]]])
        >>> float(jaxlle.losses.probability_lle_loss(logits, near, jnp.array([[0.5, 0.5]])))
        2.000
    """
    logits, logits_neighbors, weights = widen(logits, logits_neighbors, weights)
    check_neighborhoods(logits, logits_neighbors, weights)
    p = jax.nn.softmax(blank(logits, where), axis=-1)
    p_neighbors = jax.nn.softmax(blank(blank(logits_neighbors, mask), where), axis=-1)
    return lle_loss(p, p_neighbors, weights, mask=mask, where=where, reduction=reduction, axis_name=axis_name)


def _both(mask: Any, where: Any, like: Array) -> Bool[Array, "b k"]:
    rows = jnp.broadcast_to(jnp.asarray(where)[:, None], like.shape)
    return rows if mask is None else rows & jnp.asarray(mask)
