"""Neighbors from candidates of an approximate search: measured again, ranked, and completed where there are too few."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .. import distances
from .._core.ladder import replace_rows
from .._core.points import Points
from .blockwise import pair_distances
from .exact import knn
from .graph import Neighbors, require_distances


def rank(
    points: Float[Array, "n d"], candidates: Int[Array, "n c"], k: int, block_bytes: int
) -> tuple[Int[Array, "n k"], Float[Array, "n k"], Bool[Array, " n"]]:
    """Return the nearest k of different candidates per point, which may contain it or -1, and whether there are so many."""
    n, count = candidates.shape
    candidates = jnp.pad(candidates, ((0, 0), (0, max(0, k - count))), constant_values=-1)
    dist = pair_distances(points, points, jnp.maximum(candidates, 0), distances.euclidean, block_bytes)
    valid = (candidates >= 0) & (candidates != jnp.arange(n, dtype=candidates.dtype)[:, None])
    dist, candidates = lax.sort((jnp.where(valid, dist, jnp.inf), candidates), num_keys=2)
    return candidates[:, :k], dist[:, :k], valid.sum(axis=1) >= k


def complete(
    points: Points, indices: Int[Array, "n k"], dist: Float[Array, "n k"], is_complete: Bool[Array, " n"]
) -> Neighbors:
    """Return neighbors of concrete points; those with too few candidates are searched exactly."""
    rows = np.flatnonzero(~np.asarray(is_complete))
    if not len(rows):
        return Neighbors(indices, dist)
    new_indices, new_dist = nearest_of_rows(points, rows, indices.shape[1])
    new = jnp.asarray(new_indices), jnp.asarray(new_dist)
    return Neighbors(replace_rows(indices, rows, new[0]), replace_rows(dist, rows, new[1]))


def nearest_of_rows(points: Points, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices and distances of the exact neighbors of some of the points."""
    found = knn(points, k + 1, query=points.values[rows])  # the point itself is among them, unless it has many copies
    indices, dist = np.asarray(found.indices), np.asarray(require_distances(found))
    others = indices != rows[:, None]
    others[others.all(axis=1), -1] = False
    return indices[others].reshape(-1, k), dist[others].reshape(-1, k)
