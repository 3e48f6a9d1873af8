"""The steps that the variants share: validation, duplicates, neighbors, alignment, embedding."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._core import sparse
from .._core.checks import check_bytes, check_count, check_dim, is_traced
from .._core.points import Points, check_spread, prepare_points
from .._core.sparse import SparsePoints
from ..alignment import Alignment
from ..choosing import auto_grid
from ..distances import PRECOMPUTED, Metric, euclidean
from ..embedding import Embedding, EmbedOptions, embed
from ..neighbors import Neighbors, knn
from ..neighbors.graph import prepare_graph, warn_of_duplicates
from ..regularizers import as_regularizer
from ..solvers import SolverLike

_DEFAULT_K = 12


def prepare(x: Any, metric: Metric = "euclidean") -> Points:
    """Validate, center and scale the points of a variant, and raise if they are all equal."""
    points = _prepare_dense(x, metric)
    check_spread(points)
    return points


def _prepare_dense(x: Any, metric: Metric) -> Points:
    return prepare_points(x, metric=metric, drop_constant=True)


def prepare_any(x: Any, metric: Metric = "euclidean") -> Points | SparsePoints:
    """Validate dense or sparse points, and raise if they are all equal."""
    if not sparse.is_sparse(x):
        return prepare(x, metric)
    points = sparse.prepare_sparse(x, metric)
    sparse.check_spread(points)
    return points


def find_neighbors(points: Points | SparsePoints, k: int, neighbors: Neighbors | None, block_bytes: int) -> Neighbors:
    """Return the given graph, validated, or find the k nearest neighbors and warn of duplicates."""
    block_bytes = check_bytes(block_bytes)
    if neighbors is not None:
        return prepare_graph(neighbors, points.shape[0])
    found = knn(points, k, block_bytes=block_bytes)
    warn_of_duplicates(found)
    return found


def find_neighborhoods(
    x: Any, k: int, least: int, why: str, metric: Metric, neighbors: Neighbors | None, block_bytes: int
) -> tuple[Points, Neighbors]:
    """Check that neighborhoods are large enough for an alignment, prepare the points, and find their neighbors.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        k: neighbors per point.
        least: the smallest k that the alignment allows.
        why: reason for it, for the message of the error.
        metric: as for `knn`.
        neighbors: the given graph, if any, whose width replaces k.
        block_bytes: memory limit of one block of points, in bytes.
    """
    k = k if neighbors is None else prepare_graph(neighbors).indices.shape[1]
    check_count(k, "k (n_neighbors)", least, None, why)
    points = prepare(x, metric)
    return points, find_neighbors(points, k, neighbors, block_bytes)


def run_pipeline(
    align: Callable[..., Alignment],
    x: Any,
    dim: int,
    k: int,
    metric: Metric,
    solver: SolverLike,
    options: EmbedOptions,
    neighbors: Neighbors | None = None,
) -> Embedding:
    """Embed points by any variant: validate them, remove duplicates if requested, align, and embed.

    Args:
        align: function that computes the alignment of the variant from prepared points, k, neighbors and block_bytes.
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value; or sparse points,
            which the function `align` may reject.
        dim: dimensions of the embedding.
        k: neighbors per point.
        metric: as for `knn`.
        solver: as for `embed`.
        options: as for `lle`.
        neighbors: the given graph, if any, whose width replaces k.

    Returns:
        Embedding.
    """
    points = sparse.prepare_sparse(x, metric) if sparse.is_sparse(x) else _prepare_dense(x, metric)
    k = k if neighbors is None else prepare_graph(neighbors, points.shape[0]).indices.shape[1]
    dim = check_dim(dim, k, points.shape, points.metric)
    align = partial(align, k=k, neighbors=neighbors, block_bytes=options.block_bytes)
    if not options.dedupe:
        return _embed(align, points, dim, solver, options)
    if isinstance(points, SparsePoints):
        raise ValueError("dedupe=True needs dense points: remove duplicate rows of a sparse matrix before the call.")
    distinct, copies = _distinct(points)
    if neighbors is not None and distinct.shape[0] < len(copies):
        raise ValueError(
            f"dedupe=True drops {len(copies) - distinct.shape[0]} copies, to which the given neighbors refer: drop the copies "
            f"before the neighbors are computed, or do not pass neighbors."
        )
    return _restore_copies(_embed(align, distinct, dim, solver, replace(options, dedupe=False)), copies)


def reject_largest(options: EmbedOptions) -> None:
    """Raise if only the largest component is to be embedded, in functions that need all points."""
    if options.disconnected == "largest":
        raise ValueError(
            "disconnected = 'largest' is not available here, because it drops points: drop them before the call, or use lle."
        )


def require_euclidean(points: Points) -> None:
    """Raise if points were prepared for another metric than the Euclidean, in functions that know no other."""
    if points.metric is not euclidean:
        raise ValueError(
            f"Only the Euclidean metric is available here, but the points were prepared for {points.metric!r}: pass an array."
        )


def choose_k(
    k: int | str | None, x: Any, dim: int, reg: Any, metric: Metric, neighbors: Neighbors | None, options: Any
) -> int:
    """Return k: by default 12, or fewer for few points; chosen by `auto_grid` if it is "auto" and no graph is given."""
    if k is None:
        if sparse.is_sparse(x):
            return max(1, min(_DEFAULT_K, x.shape[0] - 1))
        return max(1, min(_DEFAULT_K, len(x) - 1)) if hasattr(x, "__len__") else _DEFAULT_K
    if not isinstance(k, str):
        return k
    if k != "auto":
        raise ValueError(f"k (n_neighbors) = {k!r} is not known: use a whole number or 'auto'.")
    if neighbors is not None:
        return prepare_graph(neighbors).indices.shape[1]
    if is_traced(x, reg):
        raise TypeError("k = 'auto' compares embeddings on the host: choose k outside jit, with jaxlle.choose.")
    if metric != "euclidean" or (isinstance(x, Points) and x.metric is not euclidean):
        raise ValueError(f"k = 'auto' requires the Euclidean metric: with metric = {metric!r}, use a whole number.")
    strength = float(getattr(as_regularizer(reg), "strength", 1e-3))
    return auto_grid(x, dim, reg=strength, key=options.key, block_bytes=options.block_bytes).best()[0]


def _embed(align: Callable[[Any], Alignment], points: Any, dim: int, solver: Any, options: Any) -> Embedding:
    hint = None if isinstance(points, SparsePoints) or points.metric == PRECOMPUTED else points
    return embed(align(points), dim, solver=solver, options=options, points=hint)


def _distinct(points: Points) -> tuple[Points, np.ndarray]:
    """Return the distinct points, in order of first occurrence, and for every point the index of its distinct point."""
    if is_traced(points.values):
        raise TypeError(
            "dedupe=True changes the number of points, so it is not available inside jit: remove duplicates before, outside jit."
        )
    if points.metric == PRECOMPUTED:
        raise ValueError(
            "dedupe=True needs points: with precomputed distances, remove the rows and columns of the copies first."
        )
    _, first, copies = np.unique(np.asarray(points.values), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    distinct = prepare_points(points.values[first[order]], metric=points.metric, drop_constant=True)
    return distinct, np.argsort(order)[copies.ravel()]


def _restore_copies(embedding: Embedding, copies: np.ndarray) -> Embedding:
    """Return the embedding of distinct points with every copy added at the position of its distinct point."""
    position = np.full(int(copies.max()) + 1, -1)
    position[np.asarray(embedding.rows)] = np.arange(len(embedding.rows))
    rows = np.flatnonzero(position[copies] >= 0)
    return replace(embedding, points=embedding.points[position[copies[rows]]], rows=jnp.asarray(rows, jnp.int32))
