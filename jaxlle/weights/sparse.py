"""Local Gram matrices and barycentric weights of sparse points, by blocks of neighborhoods."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._core.blocks import Budget, cache_budget, map_blocks
from .._core.ladder import call_padded
from .._core.sparse import SparsePoints
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ..regularizers import Regularizer, as_regularizer, check_reg
from .gram import require_finite_weights, solve_given

_ENTRY_BYTES = (
    64  # of an entry of a difference: its value and index, their copies, and its place in the transposed matrix
)


def sparse_weights(
    points: SparsePoints, neighbors: Neighbors, reg: Any, query: Any, block_bytes: int
) -> Float[Array, "n k"]:
    """Return the weights of `barycentric_weights` for sparse points."""
    return require_finite_weights(_solve(points, neighbors, reg, query, block_bytes)[0], reg)


def sparse_projection(
    points: SparsePoints, neighbors: Neighbors, reg: Any, query: Any, block_bytes: int
) -> tuple[Float[Array, "n k"], Float[np.ndarray, " n"]]:
    """Return the weights, and the distances of the points or queries to the combinations of their neighbors."""
    weights, grams, units = _solve(points, neighbors, reg, query, block_bytes)
    w = np.asarray(weights, np.float64)
    squares = np.einsum("nj,njl,nl->n", w, grams, w, optimize=True)
    residuals = np.sqrt(np.maximum(squares, 0)) * units * points.unit
    return require_finite_weights(weights, reg), residuals.astype(points.dtype)


def sparse_condition(points: SparsePoints, neighbors: Neighbors, reg: Any, block_bytes: int) -> Float[np.ndarray, " n"]:
    """Return the result of `local_condition` for sparse points."""
    found = []
    for grams, _ in _local_grams(points, points.rows, np.asarray(neighbors.indices), block_bytes):
        values = np.maximum(np.linalg.eigvalsh(grams), 0)
        ridge = np.asarray(reg) * np.maximum(values.sum(axis=1), np.finfo(np.float64).tiny)
        found.append((values[:, -1] + ridge) / (values[:, 0] + ridge))
    return np.concatenate(found).astype(points.dtype)


def _solve(
    points: SparsePoints, neighbors: Neighbors, reg: Any, query: Any, block_bytes: int
) -> tuple[Float[Array, "n k"], np.ndarray, np.ndarray]:
    """Return the weights, the local Gram matrices in units of their largest diagonal entry, and these units."""
    source = points.rows if query is None else points.apply(query)
    neighbors = prepare_graph(neighbors, points.shape[0], source.shape[0])
    check_reg(reg, neighbors.indices.shape[1], points.shape[1])
    parts = list(_local_grams(points, source, np.asarray(neighbors.indices), block_bytes))
    grams, units = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    mask = np.ones(grams.shape[:2], bool) if neighbors.mask is None else np.asarray(neighbors.mask)
    rows = (grams.astype(points.dtype), mask, (units * points.unit).astype(points.dtype))
    solve = partial(_solve_given, budget=cache_budget(block_bytes))
    return call_padded(lambda rows, ridge: solve(rows, ridge), rows, as_regularizer(reg)), grams, units


@partial(jax.jit, static_argnames=("budget",))
def _solve_given(
    rows: tuple[Float[Array, "n k k"], Bool[Array, "n k"], Float[Array, " n"]], ridge: Regularizer, budget: Budget
) -> Float[Array, "n k"]:
    def block(some: tuple[Array, Array, Array]) -> Array:
        grams, valid, units = some
        return solve_given(grams, jnp.ones_like(grams[:, :, 0]), valid, ridge, units)

    return map_blocks(block, rows, budget, 32 * rows[0].shape[1] ** 2)


def _local_grams(
    points: SparsePoints, source: Any, indices: np.ndarray, block_bytes: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the local Gram matrices of blocks of neighborhoods over their largest diagonal entry, and its root."""
    n, k = indices.shape
    entries = 1 + (points.rows.nnz + source.nnz) // (points.rows.shape[0] + source.shape[0])
    size = max(1, min(n, block_bytes // (2 * k * entries * _ENTRY_BYTES)))
    for start in range(0, n, size):
        ids = indices[start : start + size]
        grams = _grams_of(points.rows[ids.ravel()] - source[np.repeat(np.arange(start, start + len(ids)), k)], k)
        largest = np.diagonal(grams, axis1=1, axis2=2).max(axis=1)
        yield grams / np.where(largest > 0, largest, 1)[:, None, None], np.where(largest > 0, np.sqrt(largest), 1)


def _grams_of(differences: Any, k: int) -> np.ndarray:
    """Return the Gram matrices of groups of k rows.

    Every group gets columns of its own, so that the product of the matrix with its transpose has no entries between groups.
    """
    from scipy import sparse

    count, d = differences.shape[0] // k, differences.shape[1]
    group = np.repeat(np.arange(differences.shape[0]) // k, np.diff(differences.indptr))
    _, columns = np.unique(group * np.int64(d) + differences.indices, return_inverse=True)
    shape = (differences.shape[0], int(columns.max(initial=0)) + 1)
    separate = sparse.csr_array((differences.data, columns, differences.indptr), shape=shape)
    products = (separate @ separate.T.tocsr()).tocoo()
    rows, others = products.coords
    grams = np.zeros((count, k, k))
    grams[rows // k, rows % k, others % k] = products.data
    return grams
