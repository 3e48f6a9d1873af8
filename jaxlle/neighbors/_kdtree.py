"""Exact nearest neighbors on the host by SciPy's k-d tree, which is the fastest method for few features."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from .. import distances

ORDERS = {distances.euclidean: 2.0, distances.manhattan: 1.0, distances.chebyshev: np.inf}
_QUERY_ENTRIES = 2**22  # entries per call: 64 MB of distances and indices


def nearest(
    points: Float[Array, "n d"],
    query: Float[Array, "q d"] | None,
    k: int,
    metric: Callable,
    progress: Callable[[int, int], None] | None,
) -> tuple[Int[Array, "q k"], Float[Array, "q k"]]:
    """Return indices and distances of the k nearest points; ties are ordered by index, and no point is its own neighbor."""
    from scipy.spatial import KDTree

    host = np.asarray(points, np.float64)
    source = host if query is None else np.asarray(query, np.float64)
    tree = KDTree(host, balanced_tree=False)
    total = source.shape[0]
    indices, dist = np.empty((total, k), np.int32), np.empty((total, k), points.dtype)
    rows = max(1, _QUERY_ENTRIES // (k + 2))
    for start in range(0, total, rows):
        ids = np.arange(start, min(start + rows, total))
        indices[ids], dist[ids] = _query(tree, source, ids, k, query is None, ORDERS[metric])
        if progress is not None:
            progress(int(ids[-1]) + 1, total)
    return jax.device_put((indices, dist))  # jnp.asarray compiles a program for every shape


def _query(tree: Any, source: np.ndarray, ids: np.ndarray, k: int, exclude_self: bool, order: float) -> tuple:
    """Query k + 1 points, and more for the rows in which the last one is tied with the k-th."""
    available = tree.n - exclude_self
    width = min(available, k + 1)
    indices, dist = _ranked(tree, source, ids, width, exclude_self, order)
    chosen = indices[:, :k], dist[:, :k]
    tied = np.flatnonzero(dist[:, k - 1] == dist[:, -1]) if width > k else np.array([], int)
    while tied.size and width < available:  # ties with the k-th distance: the lowest indices are kept
        width = min(available, 2 * width)
        unresolved = []
        for chunk in np.array_split(tied, max(1, tied.size * width // _QUERY_ENTRIES)):
            indices, dist = _ranked(tree, source, ids[chunk], width, exclude_self, order)
            chosen[0][chunk], chosen[1][chunk] = indices[:, :k], dist[:, :k]
            unresolved.append(chunk[dist[:, k - 1] == dist[:, -1]])
        tied = np.concatenate(unresolved)
    return chosen


def _ranked(tree: Any, source: np.ndarray, ids: np.ndarray, width: int, exclude_self: bool, order: float) -> tuple:
    """Return the `width` nearest points of each query, without itself, ordered by distance, then index."""
    dist, indices = tree.query(source[ids], width + exclude_self, p=order, workers=-1)
    dist, indices = dist.reshape(len(ids), -1), indices.reshape(len(ids), -1)
    if not np.isfinite(dist).all():  # squares of the differences overflow
        raise ValueError(
            "Some points are so far from each other that their distances overflow: check the units of the query."
        )
    if exclude_self:
        keep = indices != ids[:, None]
        keep[keep.all(axis=1), -1] = False  # absent if it has many copies: they are its neighbors
        dist, indices = (a[keep].reshape(len(ids), width) for a in (dist, indices))
    rank = np.lexsort((indices, dist), axis=1)
    return np.take_along_axis(indices, rank, axis=1), np.take_along_axis(dist, rank, axis=1)
