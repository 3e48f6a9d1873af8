"""Distances and ranks of a block of points to all points, exact: what the metrics over all pairs share."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.blocks import Progress, on_cpu
from .._core.linear import matmul

_DIRECT_MAX_FEATURES = 16  # up to here direct differences, accurate in any dtype, take no longer than a product
_SORTED_ROWS = 64  # of a block on a CPU


@contextmanager
def exact_distances(*points: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the points, those of many features in float64.

    Distances of many features are computed by products, whose rounding in float32 would exchange the ranks of points in tight
    clusters that are far from the center.
    """
    wide = [p.shape[1] > _DIRECT_MAX_FEATURES for p in points]
    with jax.enable_x64(True) if any(wide) else nullcontext():
        yield tuple(p.astype(np.float64) if many else p for p, many in zip(points, wide, strict=True))


def row_bytes(arrays: int, *points: Array) -> int:
    """Return the memory that one row of a block takes: a number of arrays of a row's length, and its direct differences."""
    direct = max([p.shape[1] for p in points if p.shape[1] <= _DIRECT_MAX_FEATURES], default=0)
    return points[0].shape[0] * (arrays + direct) * max(p.dtype.itemsize for p in points)


def sorting_budget(block_bytes: int, bytes_per_row: int, points: Array) -> int:
    """Return the memory that a block may take whose rows are sorted, on the device of the points.

    On a CPU sorting does not gain from larger blocks, and the system has to clear the memory of large arrays for each block.
    """
    return min(block_bytes, _SORTED_ROWS * bytes_per_row) if on_cpu(points) else block_bytes


def row_blocks(
    n: int, block_bytes: int, bytes_per_row: int, progress: Progress | None = None
) -> Iterator[tuple[Int[np.ndarray, " b"], Bool[np.ndarray, " b"]]]:
    """Yield the row numbers of each block, as many as the budget allows, and which of them count.

    The last block is padded with repetitions of the last row, which do not count, so that all blocks have one shape and a
    function of them is compiled once.
    """
    size = max(1, min(n, block_bytes // bytes_per_row))
    for start in range(0, n, size):
        ids = np.arange(start, start + size, dtype=np.int32)
        yield np.minimum(ids, n - 1), ids < n
        if progress is not None:
            progress(min(start + size, n), n)


def squared_distances(points: Float[Array, "n d"], ids: Int[Array, " b"]) -> Float[Array, "b n"]:
    """Return the squared distances of a block of points to all points."""
    if points.shape[1] <= _DIRECT_MAX_FEATURES:
        return jnp.sum((points[ids][:, None, :] - points[None, :, :]) ** 2, axis=2)
    squares = jnp.sum(points**2, axis=1)
    return squares[ids][:, None] + squares[None, :] - 2 * matmul(points[ids], points.T)


def ranks_of_all(points: Float[Array, "n d"], ids: Int[Array, " b"]) -> Int[Array, "b n"]:
    """Return the ranks of all points by distance from a block of points, by sorting.

    A point has rank 0 from itself, also if it has duplicates; equal distances are ranked by index.
    """
    order = jnp.argsort(_rank_keys(points, ids), axis=1, stable=True)
    rank = jnp.broadcast_to(jnp.arange(points.shape[0], dtype=jnp.int32), order.shape)
    return jnp.zeros(order.shape, jnp.int32).at[jnp.arange(len(ids))[:, None], order].set(rank)


def ranks_of_listed(points: Float[Array, "n d"], ids: Int[Array, " b"], listed: Int[Array, "b k"]) -> Int[Array, "k b"]:
    """Return the ranks, as in `ranks_of_all`, of a few listed points by distance from a block of points.

    They are counted without sorting, which is faster for few: one pass over the distances per listed point.
    """
    keys = _rank_keys(points, ids)
    columns = jnp.arange(points.shape[0], dtype=jnp.int32)[None, :]

    def rank(pair: tuple[Array, Array]) -> Int[Array, " b"]:
        index, key = pair  # of the j-th listed point of each row
        # Equal keys with a lower index come first, and `keys <= key` is equivalent to `keys < nextafter(key)`. The float after
        # 0 is denormal and may be flushed to 0.
        above = jnp.maximum(jnp.nextafter(key, jnp.inf), jnp.finfo(key.dtype).tiny)
        limit = jnp.where(columns < index[:, None], above[:, None], key[:, None])
        # Counted by a product with ones, exact below 2^24 points: XLA's reductions of rows are far slower on a CPU.
        return matmul((keys < limit).astype(keys.dtype), jnp.ones(points.shape[0], keys.dtype)).astype(jnp.int32)

    return lax.map(rank, (listed.T, jnp.take_along_axis(keys, listed, axis=1).T))


def _rank_keys(points: Float[Array, "n d"], ids: Int[Array, " b"]) -> Float[Array, "b n"]:
    """Return what ranks are ordered by: squared distances, with each point before all others from itself."""
    columns = jnp.arange(points.shape[0], dtype=jnp.int32)[None, :]
    return jnp.where(columns == ids[:, None], -jnp.inf, squared_distances(points, ids))
