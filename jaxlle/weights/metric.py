"""Barycentric weights from distances, which are given by a metric or a matrix."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes, check_features
from .._core.ladder import call_padded, to_device
from .._core.points import as_points, prepare_points
from ..distances import PRECOMPUTED, Kernel
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ..regularizers import Regularizer, RegularizerLike, as_regularizer, check_reg
from .gram import require_finite_weights, solve_grams


def metric_weights(
    x: Any, neighbors: Neighbors, metric: Kernel, *, reg: RegularizerLike = 1e-3, block_bytes: int = BLOCK_BYTES
) -> Float[Array, "n k"]:
    """Compute barycentric weights in the geometry of a metric.

    The local Gram matrix is ``G_jl = (m(x, x_j)^2 + m(x, x_l)^2 - m(x_j, x_l)^2) / 2`` (Saul and Roweis 2003, section 4.1), which
    is exact if the metric is Euclidean in some coordinates. The weights are ``w = C^-1 1 / (1^T C^-1 1)`` with
    ``C = G + ridge I``.

    Args:
        x: points, shape (n, d), or a `Points` value; the metric is evaluated on the values, without centering or scaling.
        neighbors: neighborhoods of the points, usually in the same metric; a mask is respected.
        metric: JAX function of two vectors that returns their distance; may close over traced parameters inside jit.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Weights of shape (n, k) whose rows sum to 1; differentiable with respect to the points and to values that the metric
        closes over, where the metric is differentiable.

    Raises:
        ValueError: as for `barycentric_weights`; also if the metric is so far from Euclidean that a regularized Gram matrix is
            not positive definite.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.weights.metric_weights(x, jaxlle.knn(x, 2), jaxlle.distances.euclidean, reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    points = prepare_points(x)
    neighbors, block_bytes = prepare_graph(neighbors, points.shape[0]), check_bytes(block_bytes)
    k = neighbors.indices.shape[1]
    check_reg(reg, k, k)  # the dimension of the metric's space is unknown; k neighbors span at most k dimensions
    values = jnp.asarray(points.values, points.dtype)
    return require_finite_weights(_solve_metric(values, neighbors, as_regularizer(reg), metric, block_bytes), reg)


@partial(jax.jit, static_argnames=("metric", "block_bytes"))
def _solve_metric(
    points: Array, neighbors: Neighbors, ridge: Regularizer, metric: Kernel, block_bytes: int
) -> Float[Array, "n k"]:
    k = neighbors.indices.shape[1]

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        around = points[ids]
        to_point = jax.vmap(lambda a: metric(points[i], a))(around)
        # Only pairs of different neighbors, because a metric need not be differentiable where two points coincide.
        pairs = jax.vmap(metric)(around[first], around[second])
        pairwise = jnp.zeros((k, k), to_point.dtype).at[first, second].set(pairs).at[second, first].set(pairs)
        extent = lax.stop_gradient(jnp.maximum(to_point.max(), pairwise.max()))
        extent = jnp.where(extent > 0, extent, 1)
        to_point, pairwise = (to_point / extent) ** 2, (pairwise / extent) ** 2
        return (to_point[:, None] + to_point[None, :] - pairwise) / 2, jnp.ones(ids.shape, points.dtype), extent

    first, second = jnp.triu_indices(k, 1)
    row = 2 * k * points.shape[1] * points.dtype.itemsize
    return solve_grams(gram, neighbors, ridge, 1.0, row, block_bytes)


def distance_weights(
    distances: Any,
    neighbors: Neighbors,
    *,
    query: Any = None,
    reg: RegularizerLike = 1e-3,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Compute barycentric weights from a matrix of distances.

    The local Gram matrix of point i is ``G_jl = (d_ij^2 + d_il^2 - d_jl^2) / 2`` (Saul and Roweis 2003, section 4.1). The weights
    are ``w = C^-1 1 / (1^T C^-1 1)`` with ``C = G + ridge I``. For Euclidean distances they equal the weights of the coordinates.

    Args:
        distances: distances between all points, shape (n, n), or a `Points` value of precomputed distances.
        neighbors: neighborhoods of the points, or of the queries; a mask is respected.
        query: distances from the queries to all points, shape (q, n); None for the points themselves.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Weights of shape (n, k) whose rows sum to 1.

    Raises:
        ValueError: as for `barycentric_weights`; also if the distances are so far from Euclidean that C is not positive definite.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> d = abs(x - x.T)
        >>> jaxlle.weights.distance_weights(d, jaxlle.knn(d, 2, metric="precomputed"), reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    points = prepare_points(distances, metric=PRECOMPUTED, name="distances")
    n, block_bytes = points.shape[0], check_bytes(block_bytes)
    query = None if query is None else as_points(query, "query")
    check_features(query, n, "query", "distances")
    neighbors = prepare_graph(neighbors, n, n if query is None else query.shape[0])
    k = neighbors.indices.shape[1]
    check_reg(reg, k, k)
    matrix, ridge = to_device(points.values, points.dtype), as_regularizer(reg)
    rows = matrix if query is None else to_device(query, points.dtype)
    if query is None:
        return require_finite_weights(solve_distances(matrix, rows, neighbors, ridge, block_bytes), reg)
    weights = call_padded(
        lambda rows, matrix, ridge: solve_distances(matrix, *rows, ridge, block_bytes),
        (rows, neighbors._replace(distances=None)),
        matrix,
        ridge,
    )
    return require_finite_weights(weights, reg)


@partial(jax.jit, static_argnames=("block_bytes",))
def solve_distances(
    matrix: Float[Array, "n n"], rows: Float[Array, "q n"], neighbors: Neighbors, ridge: Regularizer, block_bytes: int
) -> Float[Array, "q k"]:
    """Compute the weights from a matrix of distances; the traceable part of `distance_weights`."""

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        to_point, pairwise = rows[i, ids], matrix[ids[:, None], ids[None, :]]
        extent = lax.stop_gradient(jnp.maximum(to_point.max(), pairwise.max()))
        extent = jnp.where(extent > 0, extent, 1)
        to_point, pairwise = (to_point / extent) ** 2, (pairwise / extent) ** 2
        return (to_point[:, None] + to_point[None, :] - pairwise) / 2, jnp.ones(ids.shape, matrix.dtype), extent

    row = 2 * neighbors.indices.shape[1] * matrix.dtype.itemsize
    return solve_grams(gram, neighbors, ridge, 1.0, row, block_bytes)
