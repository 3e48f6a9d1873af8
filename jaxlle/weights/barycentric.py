"""Barycentric weights: every point as an affine combination of its neighbors.

For each point a small constrained least-squares problem is solved (Roweis and Saul 2000, equation 1; Saul and Roweis 2003,
section 3.2): minimize ``|x - sum_j w_j x_j|^2`` over weights that sum to one. With the local Gram matrix
``G_jl = (x_j - x) . (x_l - x)`` and ``C = G + ridge I`` the solution is ``w = C^-1 1 / (1^T C^-1 1)``. Only G is required, so
that a kernel or a matrix of distances can take the place of coordinates.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES, cache_budget, map_rows, memory_advice
from .._core.checks import check_bytes, check_features, is_traced
from .._core.ladder import call_padded
from .._core.linear import matmul
from .._core.points import as_rows, prepare_points
from .._core.sparse import SparsePoints, is_sparse, prepare_sparse
from ..distances import PRECOMPUTED
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ..regularizers import Regularizer, RegularizerLike, TraceRidge, as_regularizer, check_reg
from . import _streams
from .gram import local_gram, require_finite_weights, solve_grams
from .metric import distance_weights
from .sparse import sparse_condition, sparse_weights

_MOST_PADDED = 2**24  # bytes of points that are padded together with their neighborhoods, which takes milliseconds


def barycentric_weights(
    x: Any, neighbors: Neighbors, *, reg: RegularizerLike = 1e-3, query: Any = None, block_bytes: int = BLOCK_BYTES
) -> Float[Array, "n k"]:
    """Compute the weights of the best affine combination of neighbors for every point or query.

    The weights of point x with neighbors x_j minimize ``|x - sum_j w_j x_j|^2 + ridge |w|^2`` subject to ``sum_j w_j = 1``
    (Roweis and Saul 2000, equation 1; Saul and Roweis 2003, section 3.2). They are invariant to translation and rotation of the
    data, and to scaling unless the regularizer is an `AbsoluteRidge`. They are computed in blocks of points and are
    differentiable with respect to x and reg by the derivative of the linear system, which is finite also where points coincide.

    A memory map of more than 16 MiB in float32 or float64 is not copied: for each block of points the rows of their neighbors are
    read. The result is that of an array, in about twice the time.

    Args:
        x: points, shape (n, d), a sparse matrix of SciPy, which is not made dense, or a `Points` value; for precomputed
            distances `distance_weights` is called.
        neighbors: neighborhoods of the points, or of the queries; a mask is respected.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`; may be traced, batched and differentiated.
        query: points to reconstruct, shape (q, d), sparse if x is; None for the points themselves.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Weights of shape (n, k) whose rows sum to 1; masked entries are 0.

    Raises:
        ValueError: for invalid points or neighborhoods, if reg < 0, if reg = 0 with more neighbors than features, if weights
            are not finite in the dtype, or if the file of a memory map was truncated or `block_bytes` is less than k + 1 of its
            rows.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.barycentric_weights(x, jaxlle.knn(x, 2), reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    if is_sparse(x):
        return sparse_weights(prepare_sparse(x), neighbors, reg, query, check_bytes(block_bytes))
    points = prepare_points(x)
    if points.metric == PRECOMPUTED:
        return distance_weights(points, neighbors, query=query, reg=reg, block_bytes=block_bytes)
    query, block_bytes = None if query is None else as_rows(query, "query"), check_bytes(block_bytes)
    n, d = points.shape
    check_features(query, d, "query", "x")
    neighbors = prepare_graph(neighbors, n, n if query is None else query.shape[0])
    check_reg(reg, neighbors.indices.shape[1], d)
    streamed = points.is_streamed(block_bytes, query) and not is_traced(neighbors, reg)
    source = None if streamed else points.coordinates if query is None else points.apply(query)
    unit, limits = points.unit, jnp.finfo(points.dtype)
    if is_traced(unit):
        unit = jnp.asarray(unit, points.dtype)
    else:  # used only by absolute ridges, which are capped at these limits
        unit = np.asarray(np.clip(float(unit), float(limits.tiny), float(limits.max)), points.dtype)
    with memory_advice(f"the weights used block_bytes = {block_bytes}; try {block_bytes // 8}"):
        if source is None:
            solve = partial(solve_points, ridge=as_regularizer(reg), unit=unit, block_bytes=block_bytes)
            weights = _streams.solve_streamed(points, query, neighbors, solve, block_bytes)
        elif query is None and source.size * source.dtype.itemsize > _MOST_PADDED:
            weights = solve_points(source, source, neighbors, as_regularizer(reg), unit, block_bytes)
        else:
            weights = call_padded(
                lambda rows, known, *ridge: solve_points(
                    rows[0] if known is None else known, *rows, *ridge, block_bytes
                ),
                (source, neighbors._replace(distances=None)),
                None if query is None else points.coordinates,
                as_regularizer(reg),
                unit,
            )
    return require_finite_weights(weights, reg)


def ridge_regression_weights(
    x: Any, neighbors: Neighbors, *, reg: Real[ArrayLike, ""] = 1e-3, block_bytes: int = BLOCK_BYTES
) -> Float[Array, "n k"]:
    """Compute weights by ridge regression on the neighbors without the constraint, divided by their sum.

    ``w = (N N^T + reg tr(N N^T) I)^-1 N x`` with the neighbors as the rows of N, without centering. This formula is found in
    public implementations of LLE and is provided for comparison only: the weights change under translation of the data, and
    their sum can be zero. Use `barycentric_weights` instead.

    Args:
        x: points, shape (n, d), or a `Points` value; they are not centered.
        neighbors: neighborhoods of the points; a mask is respected.
        reg: strength of the ridge, relative to tr(N N^T).
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Weights of shape (n, k) whose rows sum to 1.

    Raises:
        ValueError: as for `barycentric_weights`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> jaxlle.weights.ridge_regression_weights(x, jaxlle.knn(x, 2), reg=1e-6)[2].tolist()
        [0.500, 0.500]
    """
    points = prepare_points(x)
    (n, d), block_bytes = points.shape, check_bytes(block_bytes)
    neighbors = prepare_graph(neighbors, n)
    check_reg(reg, neighbors.indices.shape[1], d)
    values = jnp.asarray(points.values, points.dtype)
    return require_finite_weights(_solve_regression(values, neighbors, TraceRidge(reg), block_bytes), reg)


def local_condition(x: Any, neighbors: Neighbors, *, reg: Real[ArrayLike, ""] = 1e-3) -> Float[Array, " n"]:
    """Compute the condition number of every regularized local Gram matrix.

    The condition number of ``C = G + reg tr(G) I`` with ``G_jl = (x_j - x) . (x_l - x)`` (Saul and Roweis 2003, section 3.2) is
    large where there are more neighbors than dimensions: the ridge then determines the weights. The relative error of the
    weights is about the condition number times the machine epsilon of the dtype.

    Args:
        x: points, shape (n, d), a sparse matrix of SciPy, or a `Points` value.
        neighbors: neighborhoods of the points; a mask is ignored.
        reg: strength of the trace ridge.

    Returns:
        Condition numbers, shape (n,).

    Raises:
        ValueError: for invalid points or precomputed distances, indices out of range, or if reg is not a finite number >= 0.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> float(jaxlle.weights.local_condition(x, jaxlle.knn(x, 2), reg=1e-3)[1].round())
        1001.0
    """
    points = prepare_sparse(x) if is_sparse(x) else prepare_points(x)
    if callable(reg):
        raise ValueError(f"reg = {reg!r} is not allowed: it must be a number, the strength of the trace ridge.")
    neighbors = prepare_graph(neighbors, points.shape[0])
    k = neighbors.indices.shape[1]
    check_reg(reg, k, k)  # also 0, for which the condition number shows whether the weights are unique
    if isinstance(points, SparsePoints):
        return jnp.asarray(sparse_condition(points, neighbors, reg, BLOCK_BYTES))
    return _condition(points.coordinates, neighbors.indices, reg)


@jax.jit
def _condition(points: Array, indices: Array, reg: Any) -> Float[Array, " n"]:
    def one(pair: tuple[Array, Array]) -> Array:
        i, ids = pair
        values = jnp.linalg.eigvalsh(local_gram(points, points[i], ids)[0])
        ridge = reg * jnp.maximum(values.sum(), jnp.finfo(points.dtype).tiny)
        return (values[-1] + ridge) / (jnp.maximum(values[0], 0) + ridge)

    (n, k), budget = indices.shape, cache_budget(BLOCK_BYTES)
    return map_rows(one, (jnp.arange(n), indices), budget, 2 * k * points.shape[1] * points.dtype.itemsize)


@partial(jax.jit, static_argnames=("block_bytes",))
def solve_points(
    points: Float[Array, "n d"],
    source: Float[Array, "q d"],
    neighbors: Neighbors,
    ridge: Regularizer,
    unit: Real[ArrayLike, ""],
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q k"]:
    """Compute the weights of standardized points; the traceable part of `barycentric_weights`."""
    # Queries may be far from the points; entries that are not finite must affect only their own row.
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
