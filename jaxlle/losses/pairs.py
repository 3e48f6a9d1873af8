"""Losses over pairs of points: distances to neighbors are minimized or preserved, distances to others exceed a margin."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from ..distances import square_root
from .lle import lle_loss
from .reduce import (
    AxisName,
    Reduction,
    at_least_float32,
    check_neighborhoods,
    check_parameter,
    counted,
    read_masks,
    reduce_anchors,
)


def laplacian_loss(
    y: Float[Array, "b d"],
    y_neighbors: Float[Array, "b k d"],
    affinities: Float[Array, "b k"] | None = None,
    *,
    mask: Bool[ArrayLike, "b k"] | None = None,
    where: Bool[ArrayLike, " b"] | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the cost of the graph Laplacian: the mean squared distance of each output to its neighbors' outputs.

    ``mean_i sum_j a_ij |y_i - y_{n_ij}|^2`` (Belkin, Niyogi and Sindhwani 2006), with a_ij = 1 / (number of
    neighbors) by default.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbors, shape (b, k, d).
        affinities: weights of the edges, shape (b, k), used without normalization; None for equal weights that sum to one.
        mask: True where a neighbor exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not match, and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.laplacian_loss(jnp.zeros((1, 2)), jnp.array([[[3.0, 4.0], [0.0, 1.0]]])))
        13.0
    """
    y, y_neighbors, affinities = at_least_float32(y=y, y_neighbors=y_neighbors, affinities=affinities)
    check_neighborhoods(y, y_neighbors, affinities, "affinities")
    where, mask = read_masks(where, mask, y_neighbors.shape)
    y, y_neighbors = counted(y, "y", where), counted(y_neighbors, "y_neighbors", where, mask)
    squares = _squared_distances(y, y_neighbors, mask)
    if affinities is not None:
        affinities = counted(affinities, "affinities", where, mask)
        squares = jnp.where((affinities == 0) & jnp.isinf(squares), 0, squares)  # no NaN from edges without weight
        costs = jnp.sum(affinities * squares, axis=1)
    else:
        costs = squares.sum(axis=1) / _neighbor_counts(mask, squares)
    return reduce_anchors(costs, where, reduction, axis_name)


def margin_loss(
    y: Float[Array, "b d"],
    y_others: Float[Array, "b m d"],
    *,
    margin: Real[ArrayLike, ""] = 1.0,
    mask: Bool[ArrayLike, "b m"] | None = None,
    where: Bool[ArrayLike, " b"] | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the hinge loss of distances to the outputs of other points, which is zero beyond a margin.

    ``mean_i mean_j max(0, margin - |y_i - y_j|)^2`` (Hadsell, Chopra and LeCun 2006). Where two outputs coincide, the
    distance has no derivative; the gradient is defined as 0 there.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_others: outputs at points that are not neighbors, such as random points, shape (b, m, d).
        margin: distance beyond which a pair has no loss.
        mask: True where another point exists, shape (b, m).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not match, and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.margin_loss(jnp.zeros((1, 2)), jnp.array([[[0.0, 0.5], [3.0, 4.0]]])))
        0.125
    """
    return _margin_loss(y, y_others, "y_others", margin, mask, where, reduction, axis_name)


def isometry_loss(
    y: Float[Array, "b d"],
    y_neighbors: Float[Array, "b k d"],
    distances: Float[Array, "b k"],
    *,
    mask: Bool[ArrayLike, "b k"] | None = None,
    where: Bool[ArrayLike, " b"] | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the squared change of the distances to neighbors from data to outputs.

    ``mean_i mean_j (|y_i - y_{n_ij}| - d_ij)^2`` over the neighbors only (the local isometry of Markov-Lipschitz deep
    learning, Li, Zang and Wu 2020, squared). The costs of LLE and its variants are invariant to affine maps of the outputs,
    which this loss determines. Alone it has many local minima in which the manifold is folded, so use both. Where two
    outputs coincide, the distance has no derivative; the gradient is defined as 0 there.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbors, shape (b, k, d).
        distances: from the anchors to these neighbors in the data, shape (b, k): `Neighbors.distances`.
        mask: True where a neighbor exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not match, and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> y, near = jnp.zeros((1, 2)), jnp.array([[[3.0, 4.0], [0.0, 1.0]]])
        >>> float(jaxlle.losses.isometry_loss(y, near, jnp.array([[4.0, 1.0]])))
        0.5
    """
    y, y_neighbors, distances = at_least_float32(y=y, y_neighbors=y_neighbors, distances=distances)
    check_neighborhoods(y, y_neighbors, distances, "distances")
    where, mask = read_masks(where, mask, y_neighbors.shape)
    y, y_neighbors = counted(y, "y", where), counted(y_neighbors, "y_neighbors", where, mask)
    distances = counted(distances, "distances", where, mask)
    changes = (square_root(_squared_distances(y, y_neighbors, mask)) - distances) ** 2  # 0 where masked
    return reduce_anchors(changes.sum(axis=1) / _neighbor_counts(mask, changes), where, reduction, axis_name)


def embednn_loss(
    y: Float[Array, "b d"],
    y_neighbors: Float[Array, "b k d"],
    y_others: Float[Array, "b m d"],
    *,
    margin: Real[ArrayLike, ""] = 1.0,
    where: Bool[ArrayLike, " b"] | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the loss of EmbedNN (Weston, Ratle and Collobert 2008): small distances to neighbors, a margin to others.

    ``mean_i [ mean_j |y_i - y_{n_ij}|^2 + mean_l max(0, margin - |y_i - y_l|)^2 ]``: `laplacian_loss` plus `margin_loss`. It
    can be added to the loss of the task at any layer.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbors, shape (b, k, d).
        y_others: outputs at points that are not neighbors, such as random points, shape (b, m, d).
        margin: distance beyond which a pair has no loss.
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: as for `laplacian_loss`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.embednn_loss(jnp.zeros((1, 1)), jnp.array([[[2.0]]]), jnp.array([[[0.5]]])))
        4.25
    """
    near = laplacian_loss(y, y_neighbors, where=where, reduction=reduction, axis_name=axis_name)
    return near + margin_loss(y, y_others, margin=margin, where=where, reduction=reduction, axis_name=axis_name)


class Impostors(NamedTuple):
    """Points of other classes near the anchors, from which `lle_margin_loss` separates them.

    Attributes:
        outputs: outputs at these points, shape (b, m, d).
        mask: True where an impostor exists, shape (b, m).
        margin: distance beyond which an impostor has no loss.
        strength: factor of the margin loss.
    """

    outputs: Float[Array, "b m d"]
    mask: Bool[ArrayLike, "b m"] | None = None
    margin: Real[ArrayLike, ""] = 1.0
    strength: Real[ArrayLike, ""] = 1.0


def lle_margin_loss(
    y: Float[Array, "b d"],
    y_neighbors: Float[Array, "b k d"],
    weights: Float[Array, "b k"],
    impostors: Impostors,
    *,
    mask: Bool[ArrayLike, "b k"] | None = None,
    where: Bool[ArrayLike, " b"] | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the supervised loss of LLE: reconstruction from neighbors of the same class, a margin to other classes.

    ``mean_i [ |y_i - sum_j w_ij y_{n_ij}|^2 + strength mean_l max(0, margin - |y_i - y_l|)^2 ]``: `lle_loss` with neighbors
    and weights among the points of the anchor's own class, plus `margin_loss` over impostors, the nearest points of other
    classes. The margin acts as the guard against collapse.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbors in the same class, shape (b, k, d).
        weights: barycentric weights of these neighbors, shape (b, k).
        impostors: outputs at points of other classes, with the margin.
        mask: True where a neighbor exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: as for `lle_loss`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxlle.losses import Impostors, lle_margin_loss
        >>> y, near, far = jnp.zeros((1, 1)), jnp.array([[[-1.0], [1.0]]]), jnp.array([[[0.5]]])
        >>> float(lle_margin_loss(y, near, jnp.array([[0.5, 0.5]]), Impostors(far, margin=1.0)))
        0.25
    """
    check_parameter(impostors.strength, "impostors.strength")
    y_others, others, margin, strength = impostors
    error = lle_loss(y, y_neighbors, weights, mask=mask, where=where, reduction=reduction, axis_name=axis_name)
    hinge = _margin_loss(y, y_others, "impostors.outputs", margin, others, where, reduction, axis_name)
    return error + strength * hinge


def _margin_loss(
    y: Any,
    y_others: Any,
    name: str,
    margin: Any,
    mask: Any,
    where: Any,
    reduction: Reduction,
    axis_name: AxisName,
) -> Float[Array, "*s"]:
    """Compute `margin_loss` of the argument `name` of a public function."""
    y, y_others = at_least_float32(**{"y": y, name: y_others})
    check_neighborhoods(y, y_others, None)
    where, mask = read_masks(where, mask, y_others.shape, name.replace("outputs", "mask") if "." in name else "mask")
    y, y_others = counted(y, "y", where), counted(y_others, name, where, mask)
    check_parameter(margin, "margin")
    hinges = jnp.maximum(margin - square_root(_squared_distances(y, y_others, mask)), 0) ** 2
    # A product, because a selection would also remove the NaN of an anchor all of whose pairs are masked.
    hinges = hinges if mask is None else hinges * jnp.asarray(mask)
    return reduce_anchors(hinges.sum(axis=1) / _neighbor_counts(mask, hinges), where, reduction, axis_name)


def _squared_distances(y: Float[Array, "b d"], others: Float[Array, "b k d"], mask: Any) -> Float[Array, "b k"]:
    """Return the squared distances of anchors to others; where masked, 0, or NaN if the anchor is NaN."""
    own = y[:, None]
    others = others if mask is None else jnp.where(jnp.asarray(mask)[..., None], others, own)
    return jnp.sum((own - others) ** 2, axis=-1)


def _neighbor_counts(mask: object, squares: Array) -> Float[Array, "*b"]:
    if mask is None:
        return jnp.asarray(squares.shape[1], squares.dtype)
    return jnp.maximum(jnp.sum(jnp.asarray(mask), axis=1), 1).astype(squares.dtype)
