"""The cost of locally linear embedding, and of any other alignment, as a loss."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float

from ..neighbors import Neighbors, knn
from ..neighbors.graph import prepare_graph
from ..regularizers import RegularizerLike
from ..weights import barycentric_weights
from .reduce import (
    AxisName,
    Reduction,
    at_least_float32,
    check_finite,
    check_neighborhoods,
    check_weights,
    counted,
    mask_out,
    read_masks,
    reduce_anchors,
)


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

    ``mean_i |y_i - sum_j w_ij y_{n_ij}|^2`` (Roweis and Saul 2000, equation 2). The call is the same for the full batch and
    for a mini-batch: `y_neighbors` is ``model(x[neighbors.indices[rows]])``. A constant output has zero cost, so the loss
    needs a guard against collapse, such as `log_det_penalty`.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbors, shape (b, k, d).
        weights: barycentric weights, shape (b, k); rows sum to 1.
        mask: True where a neighbor exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        weight_gradient: whether to differentiate with respect to the weights. This makes a difference only if the weights
            depend on trained parameters; it then favors features that are trivial to reconstruct, and so collapse.
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not match; outside jit also for NaN, and for weights that do not sum to one.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0], [7.0]])
        >>> neighbors = jaxlle.knn(x, 2)
        >>> weights = jaxlle.barycentric_weights(x, neighbors, reg=1e-6)
        >>> float(jaxlle.losses.lle_loss(5 * x + 1, (5 * x + 1)[neighbors.indices], weights)) < 1e-6
        True
    """
    y, y_neighbors, weights = at_least_float32(y=y, y_neighbors=y_neighbors, weights=weights)
    check_neighborhoods(y, y_neighbors, weights)
    where, mask = read_masks(where, mask, y_neighbors.shape)
    y, y_neighbors = counted(y, "y", where), counted(y_neighbors, "y_neighbors", where, mask)
    weights = counted(weights, "weights", where, mask)
    check_weights(weights, mask if where is None else _anchors_in_mask(mask, where, weights))
    weights = weights if weight_gradient else lax.stop_gradient(weights)
    # Since the weights sum to one, differences give the same value, and an offset of y does not cost accuracy.
    errors = jnp.einsum("bk,bkd->bd", weights, y[:, None] - y_neighbors, precision=lax.Precision.HIGHEST)
    return reduce_anchors(jnp.sum(errors**2, axis=1), where, reduction, axis_name)


def alignment_loss(
    y_neighborhoods: Float[Array, "b m d"],
    blocks: Float[Array, "b r m"],
    *,
    where: Bool[ArrayLike, " b"] | None = None,
    block_gradient: bool = False,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the cost of any alignment (LTSA, Hessian LLE, modified LLE, ...) for outputs of a model.

    ``mean_i |block_i y_{nbrs(i)}|^2``: for LLE, whose block is [1, -w], this is `lle_loss`.

    Args:
        y_neighborhoods: outputs at the points of each neighborhood, ``y[alignment.indices[rows]]``, shape (b, m, d).
        blocks: the local maps, ``alignment.blocks[rows]``, shape (b, r, m).
        where: True where an anchor counts, shape (b,).
        block_gradient: whether to differentiate with respect to the blocks; see `lle_loss`.
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not match, and outside jit for NaN.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> b = jaxlle.lle_alignment(x, k=8)
        >>> y = jaxlle.embed(b, 2).points
        >>> float(jaxlle.losses.alignment_loss(y[b.indices], b.blocks, reduction="sum")) < 1
        True
    """
    y, blocks = at_least_float32(y_neighborhoods=y_neighborhoods, blocks=blocks)
    matching = y.ndim == 3 and blocks.ndim == 3 and blocks.shape[::2] == y.shape[:2]
    if not matching or 0 in (*y.shape, *blocks.shape):
        raise ValueError(
            f"Outputs of shape {y.shape} and blocks of shape {blocks.shape} do not match: they must be (b, m, d) and (b, r, m), "
            f"such as y[alignment.indices[rows]] and alignment.blocks[rows]."
        )
    where, _ = read_masks(where, None, y.shape)
    y, blocks = counted(y, "y_neighborhoods", where), counted(blocks, "blocks", where)
    blocks = blocks if block_gradient else lax.stop_gradient(blocks)
    # The rows of a block sum to zero, so subtracting the first point changes only the rounding error of an offset.
    errors = jnp.einsum("brm,bmd->brd", blocks, y - y[:, :1], precision=lax.Precision.HIGHEST)
    return reduce_anchors(jnp.sum(errors**2, axis=(1, 2)), where, reduction, axis_name)


def batch_lle_loss(
    x: Float[Array, "b D"],
    y: Float[Array, "b d"],
    *,
    k: int,
    reg: RegularizerLike = 1e-3,
    neighbors: Neighbors | None = None,
    weight_gradient: bool = False,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the cost of LLE with neighbors and weights computed within the batch.

    ``mean_i |y_i - sum_j w_ij(x) y_{n_ij(x)}|^2`` over the rows of one batch. The neighbors within a random batch are not those
    of the data: a batch of 256 out of 60,000 points contains 0.4 % of a point's neighbors. The loss is meant for full
    batches, batches of nearby points, and graphs of features that change during training. With `neighborhood_batches`
    every anchor comes with its true neighbors.

    Args:
        x: points that define the neighborhoods, shape (b, D): inputs, or features (by default without gradient).
        y: outputs at these points, shape (b, d).
        k: number of neighbors per point, 1 <= k <= b - 1.
        reg: strength of the trace ridge of the weights, or an object of `jaxlle.regularizers`.
        neighbors: a precomputed graph within the batch, masked or not, in place of the k nearest neighbors.
        weight_gradient: whether to differentiate with respect to x through the weights; see `lle_loss`.
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over; neighbors are searched within each device's part of the batch.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for k out of range; outside jit also for NaN.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> bool(jaxlle.losses.batch_lle_loss(x, x @ x.T[:, :2], k=8) < 0.3)
        True
    """
    x, y = at_least_float32(x=x, y=y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[0] != y.shape[0] or 0 in (*x.shape, *y.shape):
        raise ValueError(
            f"x of shape {x.shape} and y of shape {y.shape} must be of shapes (b, D) and (b, d): a row per point."
        )
    x = x if weight_gradient else lax.stop_gradient(x)
    neighbors = knn(lax.stop_gradient(x), k) if neighbors is None else prepare_graph(neighbors, x.shape[0])
    weights = barycentric_weights(x, neighbors, reg=reg)
    return lle_loss(
        y,
        y.at[neighbors.indices].get(
            mode="fill", fill_value=jnp.nan
        ),  # an index out of range must be visible inside jit
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

    ``mean_i |p_i - sum_j w_ij p_{n_ij}|^2`` with p the softmax of the logits; neither anchors nor neighbors need labels. The
    cross-entropy acts as the guard against collapse: it separates the probabilities of the labeled points.

    Args:
        logits: at the anchors, shape (b, c).
        logits_neighbors: at their neighbors, shape (b, k, c).
        weights: barycentric weights, shape (b, k).
        mask: True where a neighbor exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none"; at most 2 per anchor where the weights are nonnegative.

    Raises:
        ValueError: as `lle_loss`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> logits, near = jnp.array([[9.0, -9.0]]), jnp.array([[[-9.0, 9.0], [-9.0, 9.0]]])
        >>> float(jaxlle.losses.probability_lle_loss(logits, near, jnp.array([[0.5, 0.5]])))
        2.000
    """
    logits, logits_neighbors, weights = at_least_float32(
        logits=logits, logits_neighbors=logits_neighbors, weights=weights
    )
    check_neighborhoods(logits, logits_neighbors, weights)
    where, mask = read_masks(where, mask, logits_neighbors.shape)
    p = jax.nn.softmax(mask_out(logits, where), axis=-1)
    p_neighbors = jax.nn.softmax(mask_out(mask_out(logits_neighbors, mask), where), axis=-1)
    # A logit may be -inf, the probability 0; all that must be finite is the probabilities.
    check_finite(p, "logits")
    check_finite(p_neighbors, "logits_neighbors")
    return lle_loss(p, p_neighbors, weights, mask=mask, where=where, reduction=reduction, axis_name=axis_name)


def _anchors_in_mask(mask: Any, where: Any, like: Array) -> Bool[Array, "b k"]:
    rows = jnp.broadcast_to(jnp.asarray(where)[:, None], like.shape)
    return rows if mask is None else rows & jnp.asarray(mask)
