"""Barycentric weights: every point as an affine combination of its neighbors.

Each point solves a small constrained least-squares problem (Roweis and Saul 2000, equation 1; Saul and Roweis 2003,
section 3.2): minimize ``|x - sum_j w_j x_j|^2`` over weights that sum to one. With the local Gram matrix
``G_jl = (x_j - x) . (x_l - x)`` and ``C = G + ridge I`` the answer is ``w = C^-1 1 / (1^T C^-1 1)``. Only G is needed, so a
kernel or a matrix of distances serves as well as coordinates.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES, CACHE_BYTES, map_rows, memory_advice
from .._core.checks import is_traced
from .._core.linear import matmul
from .._core.points import as_points, prepare_points
from ..distances import PRECOMPUTED
from ..neighbors import Neighbors
from ..neighbors.graph import check_indices
from ..regularizers import Regularizer, TraceRidge, as_regularizer, check_reg
from .gram import local_gram, require_finite_weights, solve_grams
from .metric import distance_weights


def barycentric_weights(
    x: Any,
    neighbors: Neighbors,
    *,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    query: Any = None,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Write every point (or query) as the best affine combination of its neighbours.

    The weights do not change under translation, rotation or scaling of the data (the last unless the
    regularizer is absolute). They are computed in blocks of points and are differentiable in x and reg by the
    closed rule of the linear system, finite also where points coincide.

    Args:
        x: points, shape (n, d), or a `Points` value; one of precomputed distances is passed on to `distance_weights`.
        neighbors: neighborhoods of the points, or of the queries; a mask is respected.
        reg: strength of the trace ridge, or one of `jaxlle.regularizers`; may be traced, batched and differentiated.
        query: points to reconstruct, shape (q, d), if not the points themselves.
        block_bytes: memory that one block of points may take.

    Returns:
        Weights of shape (n, k); rows sum to 1; 0 where masked.

    Raises:
        ValueError: for bad points or neighbourhoods, reg < 0, reg = 0 with more neighbours than features, or
            weights that are not finite in this dtype.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.barycentric_weights(x, jaxlle.knn(x, 2), reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    points = prepare_points(x)
    if points.metric == PRECOMPUTED:
        return distance_weights(points, neighbors, query=query, reg=reg, block_bytes=block_bytes)
    query = None if query is None else as_points(query, "query")
    (n, d), k = points.shape, neighbors.indices.shape[1]
    check_reg(reg, k, d)
    check_indices(neighbors, n, n if query is None else query.shape[0])
    source = points.coordinates if query is None else points.apply(query)
    unit, limits = points.unit, jnp.finfo(points.dtype)
    if not is_traced(unit):  # used by absolute ridges only, which are capped there
        unit = np.clip(float(unit), float(limits.tiny), float(limits.max))
    unit = jnp.asarray(unit, points.dtype)
    with memory_advice(f"it was given block_bytes = {block_bytes} for the weights; try {block_bytes // 8}"):
        weights = solve_points(points.coordinates, source, neighbors, as_regularizer(reg), unit, block_bytes)
    return require_finite_weights(weights, reg)


def ridge_regression_weights(
    x: Any, neighbors: Neighbors, *, reg: Real[ArrayLike, ""] = 1e-3, block_bytes: int = BLOCK_BYTES
) -> Float[Array, "n k"]:
    """Regress every point on its neighbours without the constraint, then divide by the sum: the uncentred ridge.

    ``w = (N N^T + reg tr(N N^T) I)^-1 N x`` with the neighbours as the rows of N. Some public code does this. It is
    here to compare with: the weights change when the data are shifted, and their sum may vanish. Use
    `barycentric_weights`.

    Args:
        x: points, shape (n, d), used as they are, uncentred.
        neighbors: neighbourhoods of the points.
        reg: strength of the ridge.
        block_bytes: memory that one block of points may take.

    Returns:
        Weights of shape (n, k) whose rows sum to 1.

    Raises:
        ValueError: as `barycentric_weights`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> jaxlle.weights.ridge_regression_weights(x, jaxlle.knn(x, 2), reg=1e-6)[2].tolist()
        [0.500, 0.500]
    """
    points = prepare_points(x)
    (n, d), k = points.shape, neighbors.indices.shape[1]
    check_reg(reg, k, d)
    check_indices(neighbors, n, n)
    values = jnp.asarray(points.values, points.dtype)
    return require_finite_weights(_solve_regression(values, neighbors, TraceRidge(reg), block_bytes), reg)


def local_condition(x: Any, neighbors: Neighbors, *, reg: Real[ArrayLike, ""] = 1e-3) -> Float[Array, " n"]:
    """Return the condition number of every regularised local Gram matrix (trace ridge), unmasked neighbourhoods.

    Large where neighbours outnumber the dimensions: the ridge then decides the weights, and the error of the
    weights is about this number times the dtype's epsilon.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> float(jaxlle.weights.local_condition(x, jaxlle.knn(x, 2), reg=1e-3)[1].round())
        1001.0
    """
    return _condition(prepare_points(x).coordinates, neighbors.indices, reg)


@jax.jit
def _condition(points: Array, indices: Array, reg: Any) -> Float[Array, " n"]:
    def one(pair: tuple[Array, Array]) -> Array:
        i, ids = pair
        values = jnp.linalg.eigvalsh(local_gram(points, points[i], ids)[0])
        ridge = reg * jnp.maximum(values.sum(), jnp.finfo(points.dtype).tiny)
        return (values[-1] + ridge) / (jnp.maximum(values[0], 0) + ridge)

    n, k = indices.shape
    return map_rows(one, (jnp.arange(n), indices), CACHE_BYTES, 2 * k * points.shape[1] * points.dtype.itemsize)


@partial(jax.jit, static_argnames=("block_bytes",))
def solve_points(
    points: Float[Array, "n d"],
    source: Float[Array, "q d"],
    neighbors: Neighbors,
    ridge: Regularizer,
    unit: Real[ArrayLike, ""],
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q k"]:
    """Solve for the weights of standardised points; the traceable body of `barycentric_weights`."""
    # Queries may be far away; entries that are not finite affect their own row only.
    reach = 2 + lax.stop_gradient(jnp.max(jnp.where(jnp.isfinite(source), jnp.abs(source), 0)))

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        return local_gram(points, source[i], ids, reach)

    row = 2 * points.shape[1] * points.dtype.itemsize
    return solve_grams(gram, neighbors, ridge, unit, row, block_bytes)


@partial(jax.jit, static_argnames=("block_bytes",))
def _solve_regression(points: Array, neighbors: Neighbors, ridge: TraceRidge, block_bytes: int) -> Float[Array, "n k"]:
    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        around = points[ids]
        return matmul(around, around.T), matmul(around, points[i]), jnp.ones((), points.dtype)

    row = 2 * points.shape[1] * points.dtype.itemsize
    return solve_grams(gram, neighbors, ridge, 1.0, row, block_bytes)
