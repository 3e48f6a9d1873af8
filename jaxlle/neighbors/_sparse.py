"""Exact nearest neighbors of sparse points, by products of blocks of rows.

The squared distances ``|q|^2 + |x|^2 - 2 q.x`` of a block of queries to all points have a known bound on their rounding error.
All points that could be among the k nearest within this bound are ranked. Distances so small that the formula loses digits are
measured again by sparse differences. Equal distances are ordered by index; the cosine distance of rows without a common entry
is exactly 1.
"""

from typing import Any

import jax
import numpy as np

from .. import distances
from .._core.blocks import Progress
from .._core.checks import check_count
from .._core.sparse import SparsePoints, squared_lengths, unit_rows
from .graph import Neighbors

_BYTES = 40  # of a pair of points: an entry of the product in CSR format, the distance, its copy for the selection, two flags


def nearest(points: SparsePoints, query: Any, k: int, block_bytes: int, progress: Progress | None) -> Neighbors:
    """Return the k nearest points of every query, or of every point if query is None, each without itself."""
    rows, queries = points.rows, None if query is None else points.apply(query)
    if query is None:
        check_count(points.shape[0], "n_samples", 2, None, "x needs at least two points")
    n = points.shape[0] - (query is None)
    k = check_count(k, "k (n_neighbors)", 1, n, f"x has n_samples = {points.shape[0]} points")
    if points.metric is distances.cosine:
        rows = unit_rows(rows, "x")
        queries = None if queries is None else unit_rows(queries, "query")
    search = _Search(rows, queries, k, points.metric is distances.cosine)
    total = search.queries.shape[0]
    size = max(1, min(total, block_bytes // (_BYTES * rows.shape[0])))
    found = []
    for start in range(0, total, size):
        found.append(search.block(start, min(start + size, total)))
        if progress is not None:
            progress(min(start + size, total), total)
    indices, squares = (np.concatenate(parts) for parts in zip(*found, strict=True))
    lengths = squares / 2 if points.metric is distances.cosine else np.sqrt(squares) * points.unit
    return Neighbors(jax.device_put(indices.astype(np.int32)), jax.device_put(lengths.astype(points.dtype)))


class _Search:
    """The search among rows for the neighbors of queries, which are the rows themselves if None; all have length 1 if `unit`."""

    def __init__(self, rows: Any, queries: Any, k: int, unit: bool):
        self.rows, self.k, self.exclude_self = rows, k, queries is None
        self.queries = queries = rows if queries is None else queries
        self.columns = rows.T.tocsr()
        self.squares = np.ones(rows.shape[0]) if unit else squared_lengths(rows)
        self.query_squares = np.ones(queries.shape[0]) if unit else squared_lengths(queries)
        # A sum of m products has a relative error of at most m eps, whatever their order (Higham 2002, section 3.1).
        entries = int(np.diff(queries.indptr).max(initial=0)) + 8
        self.error = 4 * entries * np.finfo(np.float64).eps * (self.query_squares + self.squares.max())

    def block(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices and the squared distances of the neighbors of some queries."""
        square = (self.queries[start:stop] @ self.columns).toarray()
        square *= -2
        square += self.squares
        square += self.query_squares[start:stop, None]
        if self.exclude_self:
            square[np.arange(stop - start), np.arange(start, stop)] = np.inf
        limit = np.partition(square, self.k - 1, axis=1)[:, self.k - 1] + 2 * self.error[start:stop]
        queries, candidates = np.nonzero(square <= limit[:, None])
        measured = square[queries, candidates]
        (close,) = np.nonzero(measured < (self.query_squares[queries + start] + self.squares[candidates]) / 4)
        measured[close] = self._measure(queries[close] + start, candidates[close])
        order = np.lexsort((candidates, measured, queries))
        first = np.searchsorted(queries, np.arange(stop - start))
        chosen = order[first[:, None] + np.arange(self.k)]
        return candidates[chosen], measured[chosen]

    def _measure(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return the squared distances of pairs, from differences, a part of the pairs at a time."""
        size = max(1, 2**22 // (1 + self.rows.nnz // self.rows.shape[0]))
        parts = [slice(start, start + size) for start in range(0, len(queries), size)]
        found = [squared_lengths(self.queries[queries[p]] - self.rows[candidates[p]]) for p in parts]
        return np.concatenate(found) if found else np.empty(0)
