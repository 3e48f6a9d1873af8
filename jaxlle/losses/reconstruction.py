"""Reconstruction of each input from the outputs of its neighbors."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .._core.spectral import least_squares
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


def reconstruction_loss(
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
    """Compute the error of reconstructing each input from the outputs of its neighbors.

    ``mean_i |x_i - y_i - sum_j w_ij (y_{n_ij} - y_i)|^2`` with outputs in input space. If the weights sum to one, each
    term is ``|x_i - sum_j w_ij y_{n_ij}|^2``. No guard against collapse is needed, because collapsed outputs do not
    reconstruct the inputs. The outputs may be those of an autoencoder; for linear outputs y = x A, `fit_reconstruction_map`
    returns the best A in closed form.

    Args:
        x: inputs at the anchors, shape (b, d).
        y: outputs at the anchors, shape (b, d).
        y_neighbors: outputs at their neighbors, shape (b, k, d).
        weights: of the neighbors, shape (b, k); usually barycentric, but they need not sum to one.
        mask: True where a neighbor exists, shape (b, k).
        where: True where an anchor counts, shape (b,).
        reduction: "mean" or "sum" over anchors, or "none".
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar, or shape (b,) with reduction="none".

    Raises:
        ValueError: for shapes that do not match, such as a wrong output size of the model, and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> neighbors = jaxlle.knn(x, 2)
        >>> weights = jaxlle.barycentric_weights(x, neighbors, reg=1e-6)
        >>> float(jaxlle.losses.reconstruction_loss(x, x, x[neighbors.indices], weights)) < 1e-6
        True
    """
    x, y, y_neighbors, weights = at_least_float32(x=x, y=y, y_neighbors=y_neighbors, weights=weights)
    check_neighborhoods(y, y_neighbors, weights)
    where, mask = read_masks(where, mask, y_neighbors.shape)
    if x.shape != y.shape:
        raise ValueError(f"The outputs must be in input space: y has shape {y.shape}, x has {x.shape}.")
    x, y, y_neighbors = counted(x, "x", where), counted(y, "y", where), counted(y_neighbors, "y_neighbors", where, mask)
    weights = lax.stop_gradient(counted(weights, "weights", where, mask))
    steps = jnp.einsum("bk,bkd->bd", weights, y_neighbors - y[:, None], precision=lax.Precision.HIGHEST)
    return reduce_anchors(jnp.sum((x - y - steps) ** 2, axis=1), where, reduction, axis_name)


def fit_reconstruction_map(
    x: Float[Array, "b d"],
    x_neighbors: Float[Array, "b k d"],
    weights: Float[Array, "b k"],
    *,
    ridge: Real[ArrayLike, ""] = 0.0,
) -> Float[Array, "d d"]:
    """Compute the linear map y = x A that minimizes `reconstruction_loss`, in closed form.

    With ``z_i = x_i + sum_j w_ij (x_{n_ij} - x_i)`` the loss is ``mean_i |x_i - z_i A|^2``, a least-squares problem; where
    the z_i do not span the space, the solution of minimum norm is returned. No linear network has a lower loss.
    `variants.reconstruction_map` solves the same problem for an affine map, optionally of low rank, from an alignment.

    Args:
        x: inputs at the anchors, shape (b, d).
        x_neighbors: inputs at their neighbors, shape (b, k, d).
        weights: of the neighbors, shape (b, k).
        ridge: strength of a penalty ``ridge |A|^2`` added to the mean; 0 for ordinary least squares.

    Returns:
        A, shape (d, d).

    Raises:
        ValueError: for shapes that do not match, and outside jit for NaN.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> neighbors = jaxlle.knn(x, 8)
        >>> weights = jaxlle.barycentric_weights(x, neighbors)
        >>> jaxlle.losses.fit_reconstruction_map(x, x[neighbors.indices], weights).shape
        (3, 3)
    """
    x, x_neighbors, weights = at_least_float32(x=x, x_neighbors=x_neighbors, weights=weights)
    check_neighborhoods(x, x_neighbors, weights)
    x, x_neighbors, weights = counted(x, "x"), counted(x_neighbors, "x_neighbors"), counted(weights, "weights")
    check_parameter(ridge, "ridge")
    b, d = x.shape
    z = x + jnp.einsum("bk,bkd->bd", weights, x_neighbors - x[:, None], precision=lax.Precision.HIGHEST)
    penalty = jnp.sqrt(jnp.asarray(ridge * b, x.dtype)) * jnp.eye(d, dtype=x.dtype)
    design, target = jnp.concatenate([z, penalty]), jnp.concatenate([x, jnp.zeros((d, d), x.dtype)])
    return least_squares(design, target)
