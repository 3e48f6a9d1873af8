"""Projection onto the manifold of a bank of points: barycentric weights, combined values and residuals."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import without_derivative
from .._core.integers import is_integer
from .._core.ladder import call_padded, to_device
from .._core.linear import matmul
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
    dtype = weights.dtype
    if is_integer(bank):  # the values would be rounded, the coordinates are not
        query, bank, unit = points.apply(z), points.coordinates, points.unit
    else:
        query, bank, unit = to_device(z, dtype), to_device(bank, dtype), 1
    combined, residuals = call_padded(
        lambda rows, *fixed: _reconstruct(*rows, *fixed, block_bytes=block_bytes),
        (query, found.indices, weights),
        bank,
        jnp.asarray(unit, dtype),
        to_device(values, dtype),
    )
    return Projection(combined, residuals, found, weights)


@partial(jax.jit, static_argnames=("block_bytes",))
def _reconstruct(
    query: Float[Array, "q d"],
    indices: Int[Array, "q k"],
    weights: Float[Array, "q k"],
    bank: Float[Array, "n d"],
    unit: Float[Array, ""],
    values: Float[Array, "n c"],
    block_bytes: int,
) -> tuple[Float[Array, "q c"], Float[Array, " q"]]:
    """Return the combined values, and the distances of the queries to the combinations of the bank."""

    def one(row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        here, ids, weight = row
        errors = matmul(weight, bank[ids] - here) * unit  # differences, because an offset would cost digits
        square = jnp.sum(errors**2)
        positive = square > 0
        return matmul(weight, values[ids]), jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)

    row_bytes = 2 * indices.shape[1] * (bank.shape[1] + values.shape[1]) * weights.dtype.itemsize
    return map_rows(one, (query, indices, weights), block_bytes, row_bytes)
