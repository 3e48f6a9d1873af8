"""Projection onto a bank of points: by weights from one bank, values from another, and how far off it is."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import without_derivative
from .._core.points import as_points, prepare_points
from ..neighbors import Neighbors, knn
from ..regularizers import Regularizer
from ..weights import barycentric_weights


class Projection(NamedTuple):
    """Points written by their neighbours in a bank.

    Attributes:
        points: ``sum_j w_j v_j``, shape (q, c).
        residuals: ``|z - sum_j w_j a_j|`` in the bank's space, shape (q,).
        neighbors: which rows of the bank, shape (q, k).
        weights: their barycentric weights, shape (q, k).
    """

    points: Float[Array, "q c"]
    residuals: Float[Array, " q"]
    neighbors: Neighbors
    weights: Float[Array, "q k"]


def project(
    z: Any,
    bank: Any,
    k: int,
    values: Any = None,
    *,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Projection:
    """Write points by their neighbours in a bank, and carry the weights over to the values of another.

    ``z -> sum_j w_j v_j`` with ``w = argmin |z - sum_j w_j a_j|^2``, sum w = 1, over the k nearest rows a_j of the bank (Chang,
    Yeung and Xiong 2004, neighbour embedding for super-resolution). With the bank as its own values it projects onto the bank's
    manifold, and the residual is the distance to it: a score for outliers and attacks. Runs under jit and vmap (over
    queries, or over banks), differentiable in z, bank and values with the neighbours held.

    Args:
        z: points to project, shape (q, d).
        bank: where neighbours and weights come from, shape (n, d).
        k: neighbours of each point.
        values: what is combined, one row for each of the bank, shape (n, c); None: the bank itself.
        reg: strength of the trace ridge, or one of `jaxlle.regularizers`.
        neighbors: of the points in the bank, if known.
        block_bytes: memory that one block may take.

    Returns:
        Projection.

    Raises:
        ValueError: for points that are not finite numbers, k out of range, or values that are not one a row of the bank.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> bank = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
        >>> out = jaxlle.extension.project(jnp.array([[0.5, 2.0]]), bank, 2, values=10 * bank[:, :1], reg=1e-6)
        >>> float(out.points[0, 0]), float(out.residuals[0])
        (5.0, 2.0)
    """
    z, points = as_points(z, "z"), prepare_points(bank, name="bank")
    bank = points.values
    values = bank if values is None else as_points(values, "values")
    if values.shape[0] != bank.shape[0]:
        raise ValueError(
            f"values has {values.shape[0]} rows and the bank {bank.shape[0]}: there must be one for each row."
        )
    if z.shape[1] != bank.shape[1]:
        raise ValueError(f"z has {z.shape[1]} features and the bank {bank.shape[1]}: both must live in the same space.")
    found = neighbors
    if found is None:
        found = knn(without_derivative(points), k, query=without_derivative(z), block_bytes=block_bytes)
    weights = barycentric_weights(points, found, query=z, reg=reg, block_bytes=block_bytes)
    z, bank, values = (jnp.asarray(a, weights.dtype) for a in (z, bank, values))
    away = _combine(weights, bank[found.indices] - z[:, None])  # differences: no digits lost to an offset
    squares = jnp.sum(away**2, axis=1)
    off = squares > 0
    residuals = jnp.where(off, jnp.sqrt(jnp.where(off, squares, 1)), 0)
    return Projection(_combine(weights, values[found.indices]), residuals, found, weights)


def _combine(weights: Float[Array, "q k"], rows: Float[Array, "q k c"]) -> Float[Array, "q c"]:
    return jnp.einsum("qk,qkc->qc", weights, rows, precision=lax.Precision.HIGHEST)
