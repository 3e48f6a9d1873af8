"""Rebuilding each input from the outputs of its neighbours."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .reduce import AxisName, Reduction, blank, check_finite, check_neighborhoods, reduce_anchors, widen


def rebuild_loss(
    x: Float[Array, "b d"],
    y: Float[Array, "b d"],
    y_neighbors: Float[Array, "b k d"],
    weights: Float[Array, "b k"],
    *,
    mask: Bool[ArrayLike, "b k"] | None = None,
    where: Bool[ArrayLike, " b"] | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Float[Array, "*s"]:
    """Compute how well the outputs of its neighbours rebuild each input.

    ``mean_i |x_i - y_i - sum_j w_ij (y_{n_ij} - y_i)|^2`` with outputs in input space; where the weights sum to 1 it is
    ``|x_i - sum_j w_ij y_{n_ij}|^2``. The outputs cannot collapse: the inputs hold them apart. Deep, y is an autoencoder's
    output; linear, y = x A, the best A has a closed form: `fit_rebuilding_map`.

    Args:
        x: inputs at the anchors, shape (b, d).
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbours, shape (b, k, d).
        weights: of the neighbours, shape (b, k); any, though barycentric as a rule.
        mask: True where a neighbour exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not fit (an encoder of the wrong output size), and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> neighbors = jaxlle.knn(x, 2)
        >>> weights = jaxlle.barycentric_weights(x, neighbors, reg=1e-6)
        >>> float(jaxlle.losses.rebuild_loss(x, x, x[neighbors.indices], weights)) < 1e-6
        True
    """
    x, y, y_neighbors, weights = widen(x, y, y_neighbors, weights)
    check_neighborhoods(y, y_neighbors, weights)
    if x.shape != y.shape:
        raise ValueError(f"The outputs must be in input space: y has shape {y.shape}, x has {x.shape}.")
    check_finite(y, "y", where)
    weights = blank(blank(lax.stop_gradient(weights), mask), where)
    x, y, y_neighbors = blank(x, where), blank(y, where), blank(blank(y_neighbors, mask), where)
    steps = jnp.einsum("bk,bkd->bd", weights, y_neighbors - y[:, None], precision=lax.Precision.HIGHEST)
    return reduce_anchors(jnp.sum((x - y - steps) ** 2, axis=1), where, reduction, axis_name)


def fit_rebuilding_map(
    x: Float[Array, "b d"],
    x_neighbors: Float[Array, "b k d"],
    weights: Float[Array, "b k"],
    *,
    ridge: Real[ArrayLike, ""] = 0.0,
) -> Float[Array, "d d"]:
    """Find the linear map y = x A that minimises `rebuild_loss`, in closed form.

    With ``z_i = x_i + sum_j w_ij (x_{n_ij} - x_i)`` the loss is ``mean_i |x_i - z_i A|^2``: least squares, of least norm if the
    z do not span the space. The bottom of the loss for any linear network.

    Args:
        x: inputs at the anchors, shape (b, d).
        x_neighbors: inputs at their neighbours, shape (b, k, d).
        weights: of the neighbours, shape (b, k).
        ridge: adds ``ridge |A|^2`` to the mean; 0 gives the plain least squares.

    Returns:
        A, shape (d, d).

    Raises:
        ValueError: for shapes that do not fit, and outside jit for NaN.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> neighbors = jaxlle.knn(x, 8)
        >>> weights = jaxlle.barycentric_weights(x, neighbors)
        >>> jaxlle.losses.fit_rebuilding_map(x, x[neighbors.indices], weights).shape
        (3, 3)
    """
    x, x_neighbors, weights = widen(x, x_neighbors, weights)
    check_neighborhoods(x, x_neighbors, weights)
    check_finite(x, "x")
    b, d = x.shape
    z = x + jnp.einsum("bk,bkd->bd", weights, x_neighbors - x[:, None], precision=lax.Precision.HIGHEST)
    heavy = jnp.sqrt(jnp.asarray(ridge * b, x.dtype)) * jnp.eye(d, dtype=x.dtype)
    design, target = jnp.concatenate([z, heavy]), jnp.concatenate([x, jnp.zeros((d, d), x.dtype)])
    return jnp.linalg.lstsq(design, target)[0]
