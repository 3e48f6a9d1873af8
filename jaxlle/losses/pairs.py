"""Losses over pairs: neighbours are pulled together or kept at their distances, others pushed to a margin."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .reconstruction import lle_loss
from .reduce import AxisName, Reduction, blank, check_finite, check_neighborhoods, reduce_anchors, widen


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
    """Compute the graph Laplacian's cost: each output's mean squared distance to its neighbours'.

    ``mean_i sum_j a_ij |y_i - y_{n_ij}|^2`` (Belkin, Niyogi and Sindhwani 2006), with a_ij = 1 / (number of neighbours) unless
    given.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbours, shape (b, k, d).
        affinities: weights of the edges, shape (b, k), taken as they are; None: equal, and 1 in all.
        mask: True where a neighbour exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not fit, and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.laplacian_loss(jnp.zeros((1, 2)), jnp.array([[[3.0, 4.0], [0.0, 1.0]]])))
        13.0
    """
    y, y_neighbors, affinities = widen(y, y_neighbors, affinities)
    squares = _squares(y, y_neighbors, affinities, mask, where)
    if affinities is not None:
        costs = jnp.sum(blank(affinities, mask) * squares, axis=1)
    else:
        costs = squares.sum(axis=1) / _counts(mask, squares)
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
    """Compute the hinge that keeps outputs of other points at a margin.

    ``mean_i mean_j max(0, margin - |y_i - y_j|)^2`` (Hadsell, Chopra and LeCun 2006). Where two outputs coincide the distance has
    no derivative; the gradient taken there is 0, and never NaN.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_others: outputs at points that are no neighbours, such as random ones, shape (b, m, d).
        margin: distance from which on nothing is pushed.
        mask: True where such a point exists, shape (b, m).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not fit, and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.margin_loss(jnp.zeros((1, 2)), jnp.array([[[0.0, 0.5], [3.0, 4.0]]])))
        0.125
    """
    y, y_others = widen(y, y_others)
    squares = _squares(y, y_others, None, mask, where)
    apart = squares > 0
    distances = jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)
    hinges = blank(jnp.maximum(margin - distances, 0) ** 2, mask)
    return reduce_anchors(hinges.sum(axis=1) / _counts(mask, squares), where, reduction, axis_name)


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
    """Compute by how much distances to neighbours change from data to outputs.

    ``mean_i mean_j (|y_i - y_{n_ij}| - d_ij)^2`` over the neighbours alone (the local isometry of Markov-Lipschitz deep
    learning, Li, Zang and Wu 2020, with squares). The costs of LLE and its variants are blind to affine maps of the outputs;
    this one fixes that map, and by itself it is full of folded minima: use both. Where two outputs coincide the distance has no
    derivative; the gradient taken there is 0, and never NaN.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbours, shape (b, k, d).
        distances: of the anchors to those neighbours in the data, shape (b, k): `Neighbors.distances`.
        mask: True where a neighbour exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not fit, and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> y, near = jnp.zeros((1, 2)), jnp.array([[[3.0, 4.0], [0.0, 1.0]]])
        >>> float(jaxlle.losses.isometry_loss(y, near, jnp.array([[4.0, 1.0]])))
        0.5
    """
    y, y_neighbors, distances = widen(y, y_neighbors, distances)
    squares = _squares(y, y_neighbors, distances, mask, where)
    apart = squares > 0
    reached = jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)
    changes = blank((reached - blank(distances, mask)) ** 2, mask)
    return reduce_anchors(changes.sum(axis=1) / _counts(mask, changes), where, reduction, axis_name)


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
    """Compute EmbedNN's pull on neighbours and push on others (Weston, Ratle and Collobert 2008).

    ``mean_i [ mean_j |y_i - y_{n_ij}|^2 + mean_l max(0, margin - |y_i - y_l|)^2 ]``: `laplacian_loss` plus `margin_loss`. It can be
    put on any layer beside the task's own loss.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at neighbours, shape (b, k, d).
        y_others: outputs at points that are no neighbours, such as random ones, shape (b, m, d).
        margin: distance from which on nothing is pushed.
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: as `laplacian_loss`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.embednn_loss(jnp.zeros((1, 1)), jnp.array([[[2.0]]]), jnp.array([[[0.5]]])))
        4.25
    """
    pull = laplacian_loss(y, y_neighbors, where=where, reduction=reduction, axis_name=axis_name)
    return pull + margin_loss(y, y_others, margin=margin, where=where, reduction=reduction, axis_name=axis_name)


def lle_margin_loss(
    y: Float[Array, "b d"],
    y_neighbors: Float[Array, "b k d"],
    weights: Float[Array, "b k"],
    y_impostors: Float[Array, "b m d"],
    *,
    margin: Real[ArrayLike, ""] = 1.0,
    push: Real[ArrayLike, ""] = 1.0,
    mask: Bool[ArrayLike, "b k"] | None = None,
    impostor_mask: Bool[ArrayLike, "b m"] | None = None,
    where: Bool[ArrayLike, " b"] | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute the supervised LLE loss: rebuilt by neighbours of its class, kept from those of others.

    ``mean_i [ |y_i - sum_j w_ij y_{n_ij}|^2 + push mean_l max(0, margin - |y_i - y_l|)^2 ]`` with neighbours (and weights) among
    the points of the anchor's own class, and impostors, the nearest points of other classes. The push is the guard.

    Args:
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at neighbours of the same class, shape (b, k, d).
        weights: barycentric weights of those, shape (b, k).
        y_impostors: outputs at near points of other classes, shape (b, m, d).
        margin: distance at which impostors are left alone.
        push: strength of the push.
        mask: True where a neighbour exists, shape (b, k).
        impostor_mask: True where an impostor exists, shape (b, m).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: as `lle_loss`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> y, near, far = jnp.zeros((1, 1)), jnp.array([[[-1.0], [1.0]]]), jnp.array([[[0.5]]])
        >>> float(jaxlle.losses.lle_margin_loss(y, near, jnp.array([[0.5, 0.5]]), far))
        0.25
    """
    rebuilt = lle_loss(y, y_neighbors, weights, mask=mask, where=where, reduction=reduction, axis_name=axis_name)
    pushed = margin_loss(
        y, y_impostors, margin=margin, mask=impostor_mask, where=where, reduction=reduction, axis_name=axis_name
    )
    return rebuilt + push * pushed


def _squares(y: Array, others: Array, edges: Array | None, mask: object, where: object) -> Float[Array, "b k"]:
    check_neighborhoods(y, others, edges)
    check_finite(y, "y", where)
    away = blank(blank(y[:, None] - others, mask), where)  # pyright: ignore[reportArgumentType]
    return jnp.sum(away**2, axis=-1)


def _counts(mask: object, squares: Array) -> Float[Array, "*b"]:
    if mask is None:
        return jnp.asarray(squares.shape[1], squares.dtype)
    return jnp.maximum(jnp.sum(jnp.asarray(mask), axis=1), 1).astype(squares.dtype)
