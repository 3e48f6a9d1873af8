"""Projection onto the manifold of a bank of points: barycentric weights, combined values and residuals."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._core.blocks import BLOCK_BYTES
from .._core.checks import without_derivative
from .._core.integers import is_integer
from .._core.points import as_points, as_rows, prepare_points
from ..neighbors import Neighbors, knn
from ..regularizers import RegularizerLike
from ..weights import barycentric_weights


class Projection(NamedTuple):
    """Result of `project`.

    Attributes:
        points: combined values ``sum_j w_j v_j``, shape (q, c).
        residuals: ``|z - sum_j w_j a_j|`` in the units of the bank, shape (q,).
        neighbors: neighbors of the points in the bank, shape (q, k).
        weights: barycentric weights of the neighbors, shape (q, k).
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
    reg: RegularizerLike = 1e-3,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Projection:
    """Project points onto the manifold of a bank by barycentric weights, and apply the weights to values of the bank's rows.

    ``z -> sum_j w_j v_j`` with ``w = argmin |z - sum_j w_j a_j|^2`` subject to ``sum_j w_j = 1``, over the k nearest rows a_j of
    the bank (Chang, Yeung and Xiong 2004, neighbor embedding for super-resolution). If the values are the bank itself, this is a
    projection onto the manifold of the bank, and the residual is the distance to it, which can serve as a score for outliers and
    adversarial inputs. Supports jit and vmap (over queries or banks). The result is differentiable with respect to z, bank and
    values for fixed neighbors.

    Args:
        z: points to project, shape (q, d).
        bank: points from which neighbors and weights are computed, shape (n, d), or a `Points` value.
        k: neighbors per point.
        values: values that are combined, one row per row of the bank, shape (n, c); None means the bank itself.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.
        neighbors: neighbors of the points in the bank, if known; k is then not used.
        block_bytes: memory limit of one block, in bytes.

    Returns:
        Projection.

    Raises:
        ValueError: if points are not finite numbers, z and the bank have different numbers of features, k is out of range, or
            values does not have one row per row of the bank.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> bank = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
        >>> out = jaxlle.extension.project(jnp.array([[0.5, 2.0]]), bank, 2, values=10 * bank[:, :1], reg=1e-6)
        >>> float(out.points[0, 0]), float(out.residuals[0])
        (5.0, 2.0)
    """
    z, points = as_rows(z, "z"), prepare_points(bank, name="bank")
    bank = points.values
    values = bank if values is None else as_points(values, "values")
    if values.shape[0] != bank.shape[0]:
        raise ValueError(
            f"values has {values.shape[0]} rows, but the bank has {bank.shape[0]}: pass one row of values per row of the bank."
        )
    if z.shape[1] != bank.shape[1]:
        raise ValueError(
            f"z has {z.shape[1]} features, but the bank has {bank.shape[1]}: both must have the same features."
        )
    found = neighbors
    if found is None:
        found = knn(without_derivative(points), k, query=without_derivative(z), block_bytes=block_bytes)
    weights = barycentric_weights(points, found, query=z, reg=reg, block_bytes=block_bytes)
    if is_integer(bank):  # the values would be rounded, the coordinates are not
        differences = (points.coordinates[found.indices] - points.apply(z)[:, None]) * points.unit
    else:
        z, bank = jnp.asarray(z, weights.dtype), jnp.asarray(bank, weights.dtype)
        differences = bank[found.indices] - z[:, None]  # because an offset would cost digits
    values = jnp.asarray(values, weights.dtype)
    errors = _combine(weights, differences)
    squares = jnp.sum(errors**2, axis=1)
    positive = squares > 0
    residuals = jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
    return Projection(_combine(weights, values[found.indices]), residuals, found, weights)


def _combine(weights: Float[Array, "q k"], rows: Float[Array, "q k c"]) -> Float[Array, "q c"]:
    return jnp.einsum("qk,qkc->qc", weights, rows, precision=lax.Precision.HIGHEST)
