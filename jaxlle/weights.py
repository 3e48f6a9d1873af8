"""Stage 2: the weights that write every point as a combination of its neighbours.

Each point solves a small constrained least-squares problem (Roweis and Saul 2000, equation 1; Saul and Roweis 2003,
section 3.2): minimise ``|x - sum_j w_j x_j|^2`` over weights that sum to one. With the local Gram matrix
``G_jl = (x_j - x) . (x_l - x)`` and ``C = G + ridge I`` the answer is ``w = C^-1 1 / (1^T C^-1 1)``. Only G is needed, so a
kernel or a matrix of distances serves as well as coordinates.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from . import _inputs
from ._blocks import CACHE_BYTES, map_blocks, map_rows
from ._linear import solve_positive
from ._search import BLOCK_BYTES
from .distances import power_of_two
from .neighbors import Neighbors
from .regularizers import no_ridge, trace_ridge

Regularizer = Callable[..., Array]


def barycentric_weights(
    x: Any,
    neighbors: Neighbors,
    *,
    reg: Real[ArrayLike, ""] = 1e-3,
    regularizer: Regularizer = trace_ridge,
    query: Any = None,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Write every point (or query) as the best affine combination of its neighbours.

    The weights do not change under translation, rotation or scaling of the data (the last unless the
    regularizer is absolute). They are computed in blocks of points and are differentiable in x and reg by the
    closed rule of the linear system, finite also where points coincide.

    Args:
        x: points, shape (n, d).
        neighbors: neighbourhoods of the points, or of the queries; a mask is honoured.
        reg: strength of the regularizer; may be traced, batched and differentiated.
        regularizer: one of `jaxlle.regularizers`: trace_ridge, mean_trace_ridge, absolute_ridge, no_ridge.
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
    x = _inputs.as_points(x)
    query = None if query is None else _inputs.as_points(query, "query")
    check_reg(reg, regularizer, neighbors.indices.shape[1], x.shape[1])
    check_indices(neighbors, x.shape[0], x if query is None else query)
    standard = _inputs.standardize(x)
    source = standard.points if query is None else _inputs.apply_standard(query, standard)
    return standard_weights(standard, source, neighbors, reg, regularizer, block_bytes)


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
        >>> jaxlle.ridge_regression_weights(x, jaxlle.knn(x, 2), reg=1e-6)[2].tolist()
        [0.500, 0.500]
    """
    x = _inputs.as_points(x)
    check_reg(reg, trace_ridge, neighbors.indices.shape[1], x.shape[1])
    check_indices(neighbors, x.shape[0], x)
    points = jnp.asarray(x, _inputs.working_dtype(x))
    return checked(_solve_regression(points, neighbors, reg, block_bytes), reg)


def distance_weights(
    distances: Any,
    neighbors: Neighbors,
    *,
    query: Any = None,
    reg: Real[ArrayLike, ""] = 1e-3,
    regularizer: Regularizer = trace_ridge,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Compute barycentric weights from distances alone.

    The local Gram matrix is ``G_jl = (d_ij^2 + d_il^2 - d_jl^2) / 2`` (Saul and Roweis 2003, section 4.1). For Euclidean
    distances these are the weights of the coordinates.

    Args:
        distances: between all points, shape (n, n).
        neighbors: neighbourhoods of the points, or of the queries.
        query: distances from the queries to all points, shape (q, n); None for the points themselves.
        reg: strength of the regularizer.
        regularizer: one of `jaxlle.regularizers`.
        block_bytes: memory that one block of points may take.

    Returns:
        Weights of shape (n, k) whose rows sum to 1.

    Raises:
        ValueError: as `barycentric_weights`; also for distances so far from Euclidean that C is not positive.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> far = abs(x - x.T)
        >>> jaxlle.distance_weights(far, jaxlle.knn(far, 2, metric="precomputed"), reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    matrix = _inputs.as_points(distances, "distances")
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"Precomputed distances should be a square matrix, got shape {matrix.shape}.")
    check_reg(reg, regularizer, neighbors.indices.shape[1], neighbors.indices.shape[1])
    rows = matrix if query is None else _inputs.as_points(query, "query")
    check_indices(neighbors, matrix.shape[0], rows)
    dtype = _inputs.working_dtype(matrix)
    matrix, rows = jnp.asarray(matrix, dtype), jnp.asarray(rows, dtype)
    return checked(solve_distances(matrix, rows, neighbors, reg, regularizer, block_bytes), reg)


def gram_weights(
    gram: Float[Array, "n k k"],
    mask: Bool[Array, "n k"] | None = None,
    *,
    reg: Real[ArrayLike, ""] = 1e-3,
    regularizer: Regularizer = trace_ridge,
) -> Float[Array, "n k"]:
    """Compute barycentric weights from ready local Gram matrices.

    Args:
        gram: one positive semi-definite matrix a point, ``G_jl = (x_j - x) . (x_l - x)`` in any inner product.
        mask: True where an entry is a neighbour.
        reg: strength of the regularizer.
        regularizer: one of `jaxlle.regularizers`.

    Returns:
        Weights of shape (n, k) whose rows sum to 1.

    Raises:
        ValueError: if reg < 0 or the weights are not finite.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.gram_weights(jnp.array([[[1.0, -2.0], [-2.0, 4.0]]]), reg=1e-6).tolist()
        [[0.667, 0.333]]
    """
    check_reg(reg, regularizer, gram.shape[-1], gram.shape[-1])
    mask = jnp.ones(gram.shape[:2], bool) if mask is None else mask
    return checked(_weights_of(gram, jnp.ones(gram.shape[:2], gram.dtype), mask, reg, 1.0, regularizer), reg)


def local_condition(x: Any, neighbors: Neighbors, *, reg: Real[ArrayLike, ""] = 1e-3) -> Float[Array, " n"]:
    """Return the condition number of every regularised local Gram matrix (trace ridge), unmasked neighbourhoods.

    Large where neighbours outnumber the dimensions: the ridge then decides the weights, and the error of the
    weights is about this number times the dtype's epsilon.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> float(jaxlle.local_condition(x, jaxlle.knn(x, 2), reg=1e-3)[1].round())
        1001.0
    """
    return _condition(_inputs.standardize(_inputs.as_points(x)).points, neighbors.indices, reg)


@jax.jit
def _condition(points: Array, indices: Array, reg: Any) -> Float[Array, " n"]:
    def one(pair: tuple[Array, Array]) -> Array:
        i, ids = pair
        values = jnp.linalg.eigvalsh(local_gram(points, points[i], ids)[0])
        ridge = reg * jnp.maximum(values.sum(), jnp.finfo(points.dtype).tiny)
        return (values[-1] + ridge) / (jnp.maximum(values[0], 0) + ridge)

    n, k = indices.shape
    return map_rows(one, (jnp.arange(n), indices), CACHE_BYTES, 2 * k * points.shape[1] * points.dtype.itemsize)


def standard_weights(
    standard: _inputs.Standardized,
    source: Float[Array, "q d"],
    neighbors: Neighbors,
    reg: Real[ArrayLike, ""],
    regularizer: Regularizer,
    block_bytes: int,
) -> Float[Array, "q k"]:
    """Compute barycentric weights of points that have passed the door and been standardised."""
    unit, dtype = standard.unit, standard.points.dtype
    if not _inputs.is_traced(unit):  # only an absolute regularizer looks at it, and saturates there
        unit = np.clip(float(unit), float(jnp.finfo(dtype).tiny), float(jnp.finfo(dtype).max))
    unit = jnp.asarray(unit, dtype)
    with _inputs.memory_advice(f"it was given block_bytes = {block_bytes} for the weights; try {block_bytes // 8}"):
        weights = solve_points(standard.points, source, neighbors, reg, unit, regularizer, block_bytes)
    return checked(weights, reg)


def check_reg(reg: Any, regularizer: Regularizer, k: int, d: int) -> None:
    """Raise at the eager door for a regularisation that cannot work."""
    if _inputs.is_traced(reg):
        return
    value = np.asarray(reg)
    if value.ndim or not np.isfinite(value) or value < 0:
        raise ValueError(f"reg = {reg} is not allowed: it must be one finite number >= 0.")
    if (value == 0 or regularizer is no_ridge) and k > d:
        raise ValueError(
            f"reg = 0 with k = {k} neighbours in {d} dimensions: the local Gram matrix is singular, so infinitely many "
            f"weights fit. reg adds a multiple of its trace to the diagonal and picks one: use reg > 0 (1e-3), or k <= {d}."
        )


def checked(weights: Float[Array, "n *k"], reg: Any) -> Float[Array, "n *k"]:
    """Return the weights, raising at the eager door if some are not finite."""
    if not _inputs.is_traced(weights) and not _inputs.all_finite(weights):
        bad = int((~jnp.isfinite(weights.reshape(weights.shape[0], -1))).any(axis=1).sum())
        raise ValueError(
            f"The weights of {bad} points are not finite in {weights.dtype} at reg = {reg}: their local Gram matrix is not "
            f"positive definite. Raise reg, use float64, or check that the kernel or the distances are valid."
        )
    return weights


def check_indices(neighbors: Neighbors, n: int, source: Any) -> None:
    """Raise at the eager door for neighbourhoods that are not those of the points."""
    rows = neighbors.indices.shape[0]
    if rows != source.shape[0]:
        raise ValueError(f"neighbors has {rows} rows, but there are {source.shape[0]} points: one neighbourhood each.")
    if _inputs.is_traced(neighbors.indices):
        return
    ids = np.asarray(neighbors.indices)
    if ids.min() < 0 or ids.max() >= n:
        raise ValueError(
            f"neighbors holds indices from {ids.min()} to {ids.max()}, but x has {n} rows (0 to {n - 1}): JAX would clamp "
            f"them silently. Check which array the graph was built on."
        )


@partial(jax.jit, static_argnames=("regularizer", "block_bytes"))
def solve_points(
    points: Float[Array, "n d"],
    source: Float[Array, "q d"],
    neighbors: Neighbors,
    reg: Real[ArrayLike, ""],
    unit: Real[ArrayLike, ""],
    regularizer: Regularizer = trace_ridge,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q k"]:
    """Solve for the weights of standardised points; the traceable body of `barycentric_weights`."""
    # Queries may be far away. What is not finite is trouble of its own row alone.
    reach = 2 + lax.stop_gradient(jnp.max(jnp.where(jnp.isfinite(source), jnp.abs(source), 0)))

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        return local_gram(points, source[i], ids, reach)

    row = 2 * points.shape[1] * points.dtype.itemsize
    return solve_grams(gram, neighbors, reg, unit, regularizer, row, block_bytes)


@partial(jax.jit, static_argnames=("regularizer", "block_bytes"))
def solve_distances(
    matrix: Float[Array, "n n"],
    rows: Float[Array, "q n"],
    neighbors: Neighbors,
    reg: Real[ArrayLike, ""],
    regularizer: Regularizer = trace_ridge,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q k"]:
    """Solve for the weights of points known by distances; the traceable body of `distance_weights`."""

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        near, among = rows[i, ids], matrix[ids[:, None], ids[None, :]]
        extent = lax.stop_gradient(jnp.maximum(near.max(), among.max()))
        extent = jnp.where(extent > 0, extent, 1)
        near, among = (near / extent) ** 2, (among / extent) ** 2
        return (near[:, None] + near[None, :] - among) / 2, jnp.ones(ids.shape, matrix.dtype), extent

    row = 2 * neighbors.indices.shape[1] * matrix.dtype.itemsize
    return solve_grams(gram, neighbors, reg, 1.0, regularizer, row, block_bytes)


@partial(jax.jit, static_argnames=("block_bytes",))
def _solve_regression(points: Array, neighbors: Neighbors, reg: Any, block_bytes: int) -> Float[Array, "n k"]:
    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        around = points[ids]
        return _product(around, around.T), _product(around, points[i]), jnp.ones((), points.dtype)

    row = 2 * points.shape[1] * points.dtype.itemsize
    return solve_grams(gram, neighbors, reg, 1.0, trace_ridge, row, block_bytes)


def local_gram(
    points: Float[Array, "n d"], here: Float[Array, " d"], ids: Array, reach: Real[ArrayLike, ""] = 4.0
) -> tuple[Array, Array, Array]:
    """Return the local Gram matrix in units of its largest diagonal entry, which no scale can underflow.

    `reach` is what no entry of a point minus `here` exceeds: 4 where both are standardised. Only neighbourhoods 1e30 times
    smaller (float32) would vanish. One factor for all spokes costs nothing, where the extent of each would be two more
    passes over them, a quarter of the stage.
    """
    limits = jnp.finfo(points.dtype)
    room = (limits.maxexp - 10 - points.shape[1].bit_length()) // 2  # d squares of this many bits do not overflow
    scale = 2.0**room / power_of_two(jnp.asarray(reach, points.dtype))
    gram, extent = _unit_gram(points[ids] - here, scale)
    return gram, jnp.ones(ids.shape, points.dtype), extent


@jax.custom_jvp
def _unit_gram(spokes: Float[Array, "k d"], scale: Float[Array, ""]) -> tuple[Float[Array, "k k"], Float[Array, ""]]:
    """Return spokes spokes^T over its largest diagonal entry, and the root of that entry, which counts as a constant."""
    scaled = spokes * scale
    gram = _product(scaled, scaled.T)
    size = jnp.max(jnp.diagonal(gram))
    some = size > 0
    return gram / jnp.where(some, size, 1), jnp.where(some, jnp.sqrt(size) / scale, 1)


@_unit_gram.defjvp
def _unit_gram_tangent(primals: tuple, tangents: tuple) -> tuple:
    # In units of the extent from the start: taken back through the scale, a cotangent would pass scale^-2, and vanish there.
    gram, extent = _unit_gram(*primals)
    unit = lax.stop_gradient(extent)
    half = _product(tangents[0] / unit, (primals[0] / unit).T)
    return (gram, extent), (half + half.T, jnp.zeros_like(extent))


def _product(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)


def solve_grams(
    gram: Callable, neighbors: Neighbors, reg: Any, unit: Any, regularizer: Regularizer, row: int, block_bytes: int
) -> Float[Array, "n k"]:
    """Map over points: Gram matrix, ridge, weights. `row` is the bytes that one neighbour takes."""
    n, k = neighbors.indices.shape
    mask = jnp.ones((n, k), bool) if neighbors.mask is None else neighbors.mask

    # On a CPU the gathered neighbours of a few points stay in the cache, three times faster than out of it, and so do the
    # systems of a few hundred points, whose solves pass over them k times.
    budget = min(block_bytes, CACHE_BYTES) if jax.default_backend() == "cpu" else block_bytes

    @jax.checkpoint  # the backward pass gathers again rather than keep n x k x d
    def block(rows: tuple[Array, Array, Array]) -> Array:
        i, ids, valid = rows
        matrices, targets, extents = map_rows(lambda pair: gram(*pair), (i, ids), budget, k * row)
        return _weights_of(matrices, targets, valid, reg, unit * extents, regularizer)

    return map_blocks(block, (jnp.arange(n), neighbors.indices, mask), budget, 32 * k * k)


def _weights_of(
    matrices: Float[Array, "n k k"],
    targets: Float[Array, "n k"],
    valid: Bool[Array, "n k"],
    reg: Any,
    units: Any,
    regularizer: Regularizer,
) -> Float[Array, "n k"]:
    keep = valid.astype(matrices.dtype)
    matrices = matrices * keep[:, :, None] * keep[:, None, :]
    counts = jnp.maximum(valid.sum(axis=1), 1)
    units = jnp.broadcast_to(units, counts.shape)
    ridges = jax.vmap(lambda matrix, count, unit: regularizer(matrix, count, reg, unit))(matrices, counts, units)
    # A masked neighbour gets its own row of the identity and a zero target: weight 0, and no part in the rest.
    diagonals = jnp.where(valid, ridges[:, None], 1).astype(matrices.dtype)
    systems = matrices + diagonals[:, :, None] * jnp.eye(valid.shape[1], dtype=matrices.dtype)
    solutions = solve_positive(systems, targets * keep)
    totals = solutions.sum(axis=1, keepdims=True)
    return solutions / jnp.where(totals == 0, 1, totals)  # a sum of 0: no neighbours, or an uncentred ridge by chance
