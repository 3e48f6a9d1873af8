"""Exact k nearest neighbors in bounded memory.

No n x n array is formed: queries are processed in blocks whose size is limited by a memory budget. A point is excluded from its
own neighbors by its index, which is correct also for duplicates; equal distances are ordered by index.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import distances
from .._core.blocks import BLOCK_BYTES, Progress, map_rows, on_cpu
from .._core.checks import all_finite, check_bytes, check_count, is_traced
from .._core.ladder import call_padded, to_device
from .._core.points import Points, as_points, as_rows, prepare_points, rescale, standardize, working_dtype
from .._core.sparse import is_sparse, prepare_sparse
from ..distances import PRECOMPUTED, Metric
from . import _kdtree, _sparse, blockwise, streams
from ._selection import smallest
from .graph import Neighbors, require_distances, rescale_distances

Algorithm = Literal["auto", "brute", "kd_tree"]

_TREE_MAX_FEATURES = 10  # with more features a matrix product is faster than a k-d tree


def knn(
    x: Any,
    k: int,
    *,
    query: Any = None,
    metric: Metric = "euclidean",
    algorithm: Algorithm = "auto",
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Neighbors:
    """Find the k nearest neighbors of every point, or of every query among the points.

    The neighborhood of point i is the set of k indices ``j != i`` with the smallest distances ``m(x_i, x_j)``. Euclidean and
    cosine candidates are selected by matrix products of the centered and scaled points, with a bound on the rounding error,
    and then ranked by direct differences. The few rows for which the bound is not conclusive are searched again by direct
    differences, so that the result is exact in the dtype. Outside jit, on a CPU and with few features, a k-d tree (SciPy) is
    faster and is used instead.

    Memory maps, such as ``numpy.load("x.npy", mmap_mode="r")``, of more than 16 MiB in float32 or float64 are not copied, with
    the Euclidean, Manhattan and Chebyshev metrics: parts of the queries are searched in parts of the points. A part takes an
    eighth of the map, at least 16 MiB and at most `block_bytes`, so that the peak of the memory is less than 1.5 times a map
    of several hundred megabytes. The neighbors are the same, but the search lacks the shortcuts for a whole array: pass
    ``numpy.array(x)`` where memory suffices. Maps of other dtypes, and maps with other metrics, are copied.

    Args:
        x: points, shape (n, d), or a `Points` value; with metric="precomputed", distances of shape (n, n). A sparse matrix of
            SciPy is searched by blocks without making it dense, on the host in float64, by the metric "euclidean" or "cosine".
        k: number of neighbors, 1 <= k <= n - 1 (k <= n for queries).
        query: points whose neighbors are sought, shape (q, d), sparse if x is; None for the points themselves, each without
            itself. With metric="precomputed", distances from the queries to the points, shape (q, n).
        metric: "euclidean", "cosine" (1 - cos), "manhattan", "chebyshev", "precomputed", or a JAX function of two vectors. For
            a `Points` value its own metric is used.
        algorithm: "auto", "brute" (blocks on the device) or "kd_tree" (on the host; not for metrics that are functions).
        block_bytes: memory limit of one block of queries, in bytes. Outside jit, the default value means a fortieth of the
            memory of a GPU or TPU if that is more, such as 2 GiB of 80.
        progress: function that is called with (finished rows, all rows) after each block; not called under jit.

    Returns:
        Neighbors of shape (n, k) or (q, k). The distances are differentiable with respect to the points and in the units of the
        metric. For a `Points` value, Euclidean, Manhattan and Chebyshev distances are those of its coordinates, which do not
        overflow at any scale of the data: multiply them by its unit.

    Raises:
        ValueError: if points are not finite numbers, k is out of range, the metric or the algorithm is unknown, a vector is zero
            under the cosine metric, precomputed distances are negative, or, outside jit, a metric that is a function returns NaN
            or infinity for any pair of points, neighbors or not; if the file of a memory map was truncated, or `block_bytes` is
            less than k + 1 of its rows.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.knn(jnp.array([[0.0], [1.0], [3.0]]), 1).indices
        Array([[1],
               [0],
               [1]], dtype=int32)
    """
    if is_sparse(x):
        _check_algorithm(algorithm, ("auto", "brute"))
        return _sparse.nearest(prepare_sparse(x, metric), query, k, check_bytes(block_bytes), progress)
    points = prepare_points(x, metric=metric)
    if query is not None:
        query = as_points(query, "query") if points.metric == PRECOMPUTED else as_rows(query, "query")
    k, block_bytes = check_shapes(points, query, k), check_bytes(block_bytes)
    if points.metric == PRECOMPUTED:
        return _from_distances(points.values if query is None else query, k, query is None, block_bytes)
    if points.metric is distances.cosine:  # 1 - cos is half the squared distance between unit vectors
        sphere, center, unit = standardize(_unit_rows(points.values, "x"))
        other = None if query is None else _unit_rows(_placed_as(points.values, query), "query")
        other = None if other is None else rescale(other, center, unit, sphere.dtype)
        found = _search(sphere, other, k, distances.euclidean, algorithm, block_bytes, progress)
        halves = call_padded(_half_squares, require_distances(found), jnp.asarray(unit, sphere.dtype))
        return found._replace(distances=halves)
    if points.metric in (distances.euclidean, distances.manhattan, distances.chebyshev):
        if points.is_streamed(block_bytes, query):
            search = partial(_search, metric=points.metric, algorithm=algorithm)
            found = streams.nearest(points, query, k, search, block_bytes, progress)
        else:
            other = None if query is None else points.apply(query)
            found = _search(points.coordinates, other, k, points.metric, algorithm, block_bytes, progress)
        return found if isinstance(x, Points) else in_data_units(found, points)
    # Other metrics need not be invariant to translation and scaling, so the points are passed to them unchanged.
    values = to_device(points.values, points.dtype)
    other = None if query is None else to_device(query, points.dtype)
    return _search(values, other, k, points.metric, algorithm, block_bytes, progress)


def in_data_units(neighbors: Neighbors, points: Points) -> Neighbors:
    """Return neighbors that `knn` computed for a `Points` value, with distances in the units of the data."""
    scaled = points.metric in (distances.euclidean, distances.manhattan, distances.chebyshev)
    return rescale_distances(neighbors, points.unit) if scaled else neighbors


def check_shapes(points: Points, query: Any, k: int, name: str = "k (n_neighbors)") -> int:
    """Validate k and the number of columns of the queries."""
    n, d = points.shape
    precomputed = points.metric == PRECOMPUTED
    if query is not None and query.shape[1] != d:
        raise ValueError(
            f"query has {query.shape[1]} columns, but must have {d}: one "
            f"{'distance per point' if precomputed else 'per feature'} of x."
        )
    if query is None and n < 2:
        raise ValueError(f"Found array with {n} sample(s) (shape={points.shape}) while a minimum of 2 is required.")
    high = n - 1 if query is None else n
    return check_count(
        k, name, 1, high, f"x has n_samples = {n} points" + " excluding the point itself" * (query is None)
    )


def _placed_as(points: Any, query: Any) -> Any:
    """Return the queries on the host or on the device as the points are, so that the lengths of equal rows are rounded alike."""
    if isinstance(points, np.ndarray):
        return query if is_traced(query) else np.asarray(query)
    return jnp.asarray(query)


def _unit_rows(x: Any, name: str) -> Any:
    if isinstance(x, np.ndarray):
        rows, top = _divide_by_length(x.astype(np.float64), np)
    else:
        rows, top = call_padded(_divide_on_device, x.astype(working_dtype(x)))
    if not is_traced(top) and bool((np.asarray(top) == 0).any()):
        raise ValueError(
            f"{int((np.asarray(top) == 0).sum())} rows of {name} are zero, for which the cosine metric is undefined: remove "
            f"those rows or use another metric."
        )
    return rows


def _divide_by_length(x: Any, xp: Any) -> tuple[Any, Any]:
    """Return the rows divided by their lengths, and their largest absolute entries."""
    top = xp.max(xp.abs(x), axis=1, keepdims=True)
    x = x / xp.where(top > 0, top, 1)
    length = xp.sqrt((x**2).sum(axis=1, keepdims=True))
    return x / xp.where(length > 0, length, 1), top


_divide_on_device = jax.jit(partial(_divide_by_length, xp=jnp))


@jax.jit
def _half_squares(chords: Float[Array, "q k"], unit: Float[Array, ""]) -> Float[Array, "q k"]:
    return (chords * unit) ** 2 / 2


def _search(
    points: Float[Array, "n d"],
    query: Float[Array, "q d"] | None,
    k: int,
    metric: Any,
    algorithm: Algorithm = "auto",
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Neighbors:
    """Find neighbors among arrays on the device, by the requested or the fastest algorithm."""
    _check_algorithm(algorithm, ("auto", "brute", "kd_tree"))
    traced = is_traced(points, query)
    supported = metric in _kdtree.ORDERS and not traced
    if algorithm == "kd_tree" and not supported:
        raise ValueError(
            "algorithm = 'kd_tree' requires the euclidean, cosine, manhattan or chebyshev metric, outside jit: use 'auto'."
        )
    faster = supported and points.shape[1] <= _TREE_MAX_FEATURES and on_cpu(points)
    if algorithm == "kd_tree" or (algorithm == "auto" and faster):
        return Neighbors(*_kdtree.nearest(points, query, k, metric, progress))
    if traced:
        return Neighbors(*blockwise.nearest_traced(points, query, k, metric, block_bytes))
    return require_finite_metric(Neighbors(*blockwise.nearest(points, query, k, metric, block_bytes, progress)), metric)


def _check_algorithm(algorithm: str, allowed: tuple[str, ...]) -> None:
    if algorithm not in allowed:
        raise ValueError(f"algorithm = {algorithm!r} is not known here: use {' or '.join(map(repr, allowed))}.")


def require_finite_metric(found: Neighbors, metric: Any) -> Neighbors:
    """Return neighbors; raise, outside jit, if the metric was not finite for a pair, which the search reports as NaN."""
    if not is_traced(found.distances) and not all_finite(found.distances):
        raise ValueError(
            f"The metric {getattr(metric, '__name__', metric)!r} returned NaN or infinity between finite points: it must "
            f"return a finite number for every pair."
        )
    return found


def _from_distances(matrix: Any, k: int, exclude_self: bool, block_bytes: int) -> Neighbors:
    if not is_traced(matrix) and bool((matrix < 0).any()):
        raise ValueError("Precomputed distances must not be negative: pass distances, not similarities or a kernel.")
    matrix = to_device(matrix, working_dtype(matrix))
    if exclude_self:
        return Neighbors(*_nearest_in_rows(matrix, k, True, block_bytes))
    return Neighbors(*call_padded(lambda rows: _nearest_in_rows(rows, k, False, block_bytes), matrix))


@partial(jax.jit, static_argnames=("k", "exclude_self", "block_bytes"))
def _nearest_in_rows(matrix: Float[Array, "q n"], k: int, exclude_self: bool, block_bytes: int) -> tuple[Array, Array]:
    """Return the k smallest entries of each row of a distance matrix, in blocks of rows."""
    q, n = matrix.shape

    def one(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        row, own = pair
        return smallest(jnp.where((jnp.arange(n) == own) & exclude_self, jnp.inf, row)[None], k)

    indices, dist = map_rows(one, (matrix, jnp.arange(q)), block_bytes, 3 * n * matrix.dtype.itemsize)
    return indices[:, 0], dist[:, 0]
