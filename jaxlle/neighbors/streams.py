"""Exact nearest neighbors of memory maps: parts of the queries are searched in parts of the points, one pair at a time.

The k nearest in a part are merged with the k nearest so far by distance, then by index, which is the order within a part too.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from .._core import mapped
from .._core.blocks import Progress
from .._core.points import Points
from ..distances import PRECOMPUTED
from .graph import Neighbors, require_distances

_QUERY_SHARE = 4  # parts of the points are so many times larger than those of the queries
_SEARCH_SHARE = 4  # memory limit of the search in a part, relative to the part


def nearest(
    points: Points, query: Any, k: int, search: Callable, block_bytes: int, progress: Progress | None
) -> Neighbors:
    """Return the k nearest points of every query, or of every point if `query` is None.

    Args:
        points: prepared points.
        query: validated queries, in their own units.
        k: number of neighbors.
        search: function of points, queries, k and block_bytes, on the device, that returns `Neighbors`.
        block_bytes: memory limit of a part.
        progress: function that is called with (finished queries, all queries) after each part of the queries.
    """
    itself = query is None
    total, wanted = points.shape[0] if itself else query.shape[0], k + itself
    indices = mapped.aligned_empty((total, k), np.dtype(np.int32))
    distances = mapped.aligned_empty((total, k), points.dtype)
    read_queries = points.reader(query)
    if points.is_streamed(block_bytes):
        rows = points.part_rows(points.shape[0], 1, k + 1, block_bytes, f"k + 1 = {k + 1} of them")
        parts, read = mapped.equal_parts(points.shape[0], rows), points.reader()
    else:
        whole = points.coordinates
        parts, read = [slice(0, points.shape[0])], lambda _: whole
    part_bytes = parts[0].stop * points.shape[1] * points.dtype.itemsize
    search = partial(search, block_bytes=min(block_bytes, _SEARCH_SHARE * part_bytes))
    for some in query_parts(points, points.values if itself else query, block_bytes):
        own = np.arange(some.start, some.stop)[:, None]
        best, queries = (indices[some, :0], distances[some, :0]), read_queries(some)
        for part in parts:
            found = search(read(part), queries, min(wanted, part.stop - part.start))
            ids, dist = np.asarray(found.indices) + part.start, np.asarray(require_distances(found))
            best = _merge(best, (ids, np.where(itself & (ids == own), np.inf, dist)), k)
        indices[some], distances[some] = best
        if progress is not None:
            progress(some.stop, total)
    return Neighbors(*jax.device_put((indices, distances)))


def query_parts(points: Points, query: Any, block_bytes: int) -> list[slice]:
    """Return the parts in which validated queries are searched: one, or several of a memory map that is larger than a block.

    They are smaller than those of the points, because lists of neighbors are merged for them.
    """
    num = query.shape[0]
    if points.metric == PRECOMPUTED or not mapped.is_in_parts(query, points.dtype.itemsize, block_bytes):
        return [slice(0, num)]
    rows = points.part_rows(num, 1, 1, block_bytes, "the values of one")
    return mapped.equal_parts(num, max(1, rows // _QUERY_SHARE))


def _merge(best: tuple, found: tuple, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest of two lists of neighbors per query, ordered by distance, then by index."""
    indices, distances = (np.concatenate(pair, axis=1) for pair in zip(best, found, strict=True))
    order = np.lexsort((indices, distances), axis=1)[:, :k]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(distances, order, axis=1)
