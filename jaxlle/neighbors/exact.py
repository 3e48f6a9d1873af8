"""Stage 1: the k nearest neighbours of every point, exact and in bounded memory.

No n x n array exists at any time: queries are taken in blocks whose size follows from a byte budget. A point
is never its own neighbour, by index, so duplicates do no harm; equal distances are ordered by index.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import distances
from .._core.blocks import BLOCK_BYTES, Progress
from .._core.checks import all_finite, check_count, is_traced
from .._core.points import Standardized, apply_standard, as_points, standardize, working_dtype
from ..distances import PRECOMPUTED, Metric
from . import _kdtree, blockwise
from .graph import Neighbors, in_units, require_distances

Algorithm = Literal["auto", "brute", "kd_tree"]
_TREE_MAX_FEATURES = 10  # above, a k-d tree visits most of its leaves and a matrix product is faster


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
    """Find the k nearest neighbours of every point, or of every query among the points.

    Euclidean and cosine neighbours are selected by matrix products of centred and scaled points, widened by a
    bound on their rounding error, and re-ranked by direct differences; the few rows that the bound leaves
    undecided are searched again by direct differences, so the answer is exact in the dtype. On a CPU with few
    features a k-d tree (SciPy) is faster and is chosen, outside jit.

    Args:
        x: points, shape (n, d); with metric="precomputed", distances of shape (n, n).
        k: number of neighbours, 1 <= k <= n - 1 (<= n for queries).
        query: points to find neighbours for, shape (q, d); None for the points themselves, each without
            itself. With metric="precomputed", distances from the queries to the points, shape (q, n).
        metric: "euclidean", "cosine" (1 - cos), "manhattan", "chebyshev", "precomputed", or a JAX function of
            two vectors.
        algorithm: "auto", "brute" (blocks on the device) or "kd_tree" (host; not for cosine or functions).
        block_bytes: memory that one block of queries may take.
        progress: called with (rows done, rows in all) after each block; not called under jit.

    Returns:
        Neighbors of shape (n, k) or (q, k). Distances are differentiable in the points.

    Raises:
        ValueError: for points that are not finite numbers, k out of range, an unknown metric, zero vectors
            under the cosine metric, negative precomputed distances, or a metric that returns NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.knn(jnp.array([[0.0], [1.0], [3.0]]), 1).indices
        Array([[1],
               [0],
               [1]], dtype=int32)
    """
    x = as_points(x)
    query = None if query is None else as_points(query, "query")
    found, unit, squared = find(x, k, query, metric, algorithm, block_bytes, progress)
    dtype = require_distances(found).dtype
    if not is_traced(unit) and not float(jnp.finfo(dtype).tiny) <= unit <= float(jnp.finfo(dtype).max):
        raise ValueError(f"The distances, around {unit:.3g}, are beyond {dtype}: rescale x, or enable x64.")
    return in_units(found, jnp.asarray(unit, dtype), squared)


def find(
    x: Any,
    k: int,
    query: Any = None,
    metric: Metric = "euclidean",
    algorithm: Algorithm = "auto",
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
    standard: Standardized | None = None,
) -> tuple[Neighbors, Any, bool]:
    """Find neighbours of points that have passed the door.

    Args:
        x: points, or distances with the precomputed metric.
        k: number of neighbours.
        query: other points.
        metric: as for `knn`.
        algorithm: as for `knn`.
        block_bytes: as for `knn`.
        progress: as for `knn`.
        standard: x standardised, if that is at hand.

    Returns:
        Neighbors, the unit of their distances, and whether the metric is half the squared distance.
    """
    metric = distances.resolve(metric)
    k = check_shapes(x, query, k, metric)
    if metric == PRECOMPUTED:
        return _from_distances(x if query is None else query, k, query is None, block_bytes), 1.0, False
    geometry = _geometry(x, query, metric, standard)
    found = search(geometry.points, geometry.query, k, geometry.metric, algorithm, block_bytes, progress)
    if not is_traced(found) and not all_finite(found.distances):
        raise ValueError(
            f"The metric {getattr(metric, '__name__', metric)!r} returned NaN or infinity between finite points: it must "
            f"be a finite number for every pair."
        )
    return found, geometry.unit, geometry.squared


class Geometry(NamedTuple):
    """Points in the coordinates that a metric is searched in, and the unit of distances there."""

    points: Float[Array, "n d"]
    query: Float[Array, "q d"] | None
    metric: Callable
    unit: Any
    squared: bool


def _geometry(x: Any, query: Any, metric: Any, standard: Standardized | None) -> Geometry:
    if metric is distances.cosine:  # the angle's metric is the chord between unit vectors
        unit = standardize(_unit_rows(x, "x"))
        other = None if query is None else apply_standard(_unit_rows(query, "query"), unit)
        return Geometry(unit.points, other, distances.euclidean, unit.unit, True)
    if metric in (distances.euclidean, distances.manhattan, distances.chebyshev):
        standard = standardize(x) if standard is None else standard
        other = None if query is None else apply_standard(query, standard)
        return Geometry(standard.points, other, metric, standard.unit, False)
    dtype = working_dtype(x)  # a function may mean anything: its points stay as they are
    return Geometry(jnp.asarray(x, dtype), None if query is None else jnp.asarray(query, dtype), metric, 1.0, False)


def _unit_rows(x: Any, name: str) -> Any:
    host = isinstance(x, np.ndarray)
    xp = np if host else jnp
    x = x.astype(np.float64) if host else x
    top = xp.max(xp.abs(x), axis=1, keepdims=True)
    if not is_traced(x) and bool((top == 0).any()):
        raise ValueError(
            f"{int((top == 0).sum())} rows of {name} are zero, and the cosine metric has no angle for them: remove "
            f"those rows or use another metric."
        )
    x = x / xp.where(top > 0, top, 1)
    length = xp.sqrt((x**2).sum(axis=1, keepdims=True))
    return x / xp.where(length > 0, length, 1)


def check_shapes(x: Any, query: Any, k: int, metric: Metric) -> int:
    """Return k, or say how the shapes of points, queries and k do not fit."""
    n, d = x.shape
    if metric == PRECOMPUTED and query is None and n != d:
        raise ValueError(f"Precomputed distances should be a square matrix, got shape {x.shape}.")
    if query is not None and query.shape[1] != (n if metric == PRECOMPUTED else d):
        raise ValueError(
            f"query has {query.shape[1]} columns, but must have {n if metric == PRECOMPUTED else d}: one per "
            f"{'point, its distance' if metric == PRECOMPUTED else 'feature of x'}."
        )
    if query is None and n < 2:
        raise ValueError(f"Found array with {n} sample(s) (shape={x.shape}) while a minimum of 2 is required.")
    high = n - 1 if query is None else n
    return check_count(
        k, "k (n_neighbors)", 1, high, f"x has n_samples = {n} points" + " less itself" * (query is None)
    )


def search(
    points: Float[Array, "n d"],
    query: Float[Array, "q d"] | None,
    k: int,
    metric: Callable,
    algorithm: Algorithm = "auto",
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Neighbors:
    """Find neighbours among points that have passed the door; distances are in their units."""
    if algorithm not in ("auto", "brute", "kd_tree"):
        raise ValueError(f"algorithm = {algorithm!r} is not known: use 'auto', 'brute' or 'kd_tree'.")
    traced = is_traced(points, query)
    fits = metric in _kdtree.ORDERS and not traced
    if algorithm == "kd_tree" and not fits:
        raise ValueError(
            "algorithm = 'kd_tree' needs the euclidean, cosine, manhattan or chebyshev metric, outside jit: use 'auto'."
        )
    cheap = fits and points.shape[1] <= _TREE_MAX_FEATURES and _on_cpu(points)
    if algorithm == "kd_tree" or (algorithm == "auto" and cheap):
        return Neighbors(*_kdtree.nearest(points, query, k, metric, progress))
    if traced:
        return Neighbors(*blockwise.nearest_traced(points, query, k, metric, block_bytes))
    return Neighbors(*blockwise.nearest(points, query, k, metric, block_bytes, progress))


def _on_cpu(x: Array) -> bool:
    return all(device.platform == "cpu" for device in x.devices())


def _from_distances(matrix: Any, k: int, exclude_self: bool, block_bytes: int) -> Neighbors:
    if not is_traced(matrix) and bool((matrix < 0).any()):
        raise ValueError("Precomputed distances must not be negative: pass distances, not similarities or a kernel.")
    matrix = jnp.asarray(matrix, working_dtype(matrix))
    return Neighbors(*blockwise.nearest_in_rows(matrix, k, exclude_self, block_bytes))
