"""Exact nearest neighbours on any device, by blocks of queries.

Wide points are selected by matrix products, whose rounding error is bounded a priori: candidates are ranked by a
lower bound of their distance, the best few are measured by direct differences, and a row is certain if its k-th
distance lies below every bound left out. Rows that are not certain are searched by direct differences.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from . import distances
from ._blocks import CACHE_BYTES, map_rows
from ._inputs import memory_advice

Progress = Callable[[int, int], None]
Found = tuple[Int[Array, "q k"], Float[Array, "q k"]]
FoundInBlock = tuple[Int[Array, "b k"], Float[Array, "b k"]]

BLOCK_BYTES = 2**27
_DIRECT_MAX_FEATURES = 16  # up to here differences cost no more than the product, and need no re-ranking
_SPARE = 4  # candidates beyond k that are measured
_REPAIR_ROWS = 8  # uncertain rows searched at a time


class _Prepared(NamedTuple):
    points: Float[Array, "n d"]
    single: Float[Array, "m d"]  # float32 copy for the products, empty where there are none
    squares: Float[Array, " m"]


def nearest(
    points: Float[Array, "n d"],
    query: Float[Array, "q d"] | None,
    k: int,
    metric: Callable,
    block_bytes: int,
    progress: Progress | None,
) -> Found:
    """Return indices and distances, block after block, so that a long search can be watched and interrupted."""
    prepared = _prepare(points, metric)
    source = points if query is None else query
    rows = _block_rows(points.shape, source.shape[0], points.dtype.itemsize, metric, block_bytes)
    found, total = [], source.shape[0]
    find = partial(_block, rows=rows, k=k, metric=metric, exclude_self=query is None, block_bytes=block_bytes)
    with memory_advice(f"it was given block_bytes = {block_bytes} for the neighbours; try {block_bytes // 8}"):
        for start in range(0, total, rows):
            block = find(prepared, source, start)
            found.append(jax.block_until_ready(block))  # one block's memory at a time
            if progress is not None:
                progress(min(start + rows, total), total)
    indices, dist = (jnp.concatenate(parts)[:total] for parts in zip(*found, strict=True))
    return indices, dist


def nearest_traced(
    points: Float[Array, "n d"], query: Float[Array, "q d"] | None, k: int, metric: Callable, block_bytes: int
) -> Found:
    """Return indices and distances inside jit; the distances are differentiable, the selection is not."""
    fixed, fixed_query = lax.stop_gradient((points, query))
    prepared = _prepare(fixed, metric)
    source = fixed if fixed_query is None else fixed_query
    rows = _block_rows(points.shape, source.shape[0], points.dtype.itemsize, metric, block_bytes)
    starts = jnp.arange(0, source.shape[0], rows)
    find = partial(_block, rows=rows, k=k, metric=metric, exclude_self=query is None, block_bytes=block_bytes)
    indices, _ = lax.map(lambda start: find(prepared, source, start), starts)
    indices = indices.reshape(-1, k)[: source.shape[0]]
    return indices, pair_distances(points, points if query is None else query, indices, metric, block_bytes)


@partial(jax.jit, static_argnames=("metric", "block_bytes"))
def pair_distances(
    points: Float[Array, "n d"],
    query: Float[Array, "q d"],
    indices: Int[Array, "q k"],
    metric: Callable,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q k"]:
    """Return the distances from each query to the points it names, in blocks."""

    @jax.checkpoint  # the backward pass gathers again rather than keep q x k x d
    def one(pair: tuple[Array, Array]) -> Array:
        q, ids = pair
        return jax.vmap(lambda j: metric(q, points[j]))(ids)

    return map_rows(one, (query, indices), block_bytes, 2 * indices.shape[1] * points.shape[1] * points.dtype.itemsize)


@partial(jax.jit, static_argnames=("k", "exclude_self", "block_bytes"))
def nearest_in_rows(matrix: Float[Array, "q n"], k: int, exclude_self: bool, block_bytes: int) -> Found:
    """Return the k smallest entries of each row of a distance matrix, in blocks of rows."""
    q, n = matrix.shape

    def one(pair: tuple[Array, Array]) -> Found:
        row, own = pair
        return _smallest(jnp.where((jnp.arange(n) == own) & exclude_self, jnp.inf, row)[None], k)

    indices, dist = map_rows(one, (matrix, jnp.arange(q)), block_bytes, 3 * n * matrix.dtype.itemsize)
    return indices[:, 0], dist[:, 0]


def _uses_products(metric: Callable, d: int) -> bool:
    return metric is distances.euclidean and d > _DIRECT_MAX_FEATURES


def _block_rows(shape: tuple[int, ...], q: int, itemsize: int, metric: Callable, block_bytes: int) -> int:
    n, d = shape
    # The products, the bounds and their negatives are float32; differences keep the points' own dtype.
    row = 12 * n if _uses_products(metric, d) else 3 * n * itemsize
    if jax.default_backend() == "cpu":  # enough rows for a fast product, few enough for the bounds to stay in the cache
        block_bytes = min(block_bytes, max(2 * CACHE_BYTES, 128 * row))
    return int(max(1, min(q, block_bytes // row)))


@partial(jax.jit, static_argnames=("metric",))
def _prepare(points: Float[Array, "n d"], metric: Callable) -> _Prepared:
    if not _uses_products(metric, points.shape[1]):
        return _Prepared(points, points[:0], points[:0, 0])
    single = points.astype(np.float32)
    return _Prepared(points, single, jnp.sum(single**2, axis=1))


@partial(jax.jit, static_argnames=("rows", "k", "metric", "exclude_self", "block_bytes"))
def _block(
    prepared: _Prepared,
    source: Float[Array, "q d"],
    start: Any,
    rows: int,
    k: int,
    metric: Callable,
    exclude_self: bool,
    block_bytes: int,
) -> FoundInBlock:
    """Return the neighbours of `rows` queries from `start` on (the last query repeats beyond the end)."""
    ids = jnp.minimum(start + jnp.arange(rows, dtype=np.int32), source.shape[0] - 1)
    own = ids if exclude_self else jnp.full_like(ids, -1)
    direct = partial(_by_differences, prepared.points, k=k, metric=metric, block_bytes=block_bytes)
    if not _uses_products(metric, source.shape[1]):
        return direct(source[ids], own)

    def repair(state: tuple) -> tuple:
        (some,) = jnp.nonzero(~state[2], size=min(_REPAIR_ROWS, rows), fill_value=rows)
        safe = jnp.minimum(some, rows - 1)
        new = (*direct(source[ids[safe]], own[safe]), True)
        return tuple(old.at[some].set(value, mode="drop") for old, value in zip(state, new, strict=True))

    # A loop and not a `cond`: under vmap a cond would always pay for both of its branches.
    state = _by_products(prepared, source[ids], own, k)
    indices, dist, _ = lax.while_loop(lambda state: ~state[2].all(), repair, state)
    return indices, dist


def _by_products(
    prepared: _Prepared, queries: Float[Array, "b d"], own: Int[Array, " b"], k: int
) -> tuple[Int[Array, "b k"], Float[Array, "b k"], Bool[Array, " b"]]:
    n, d = prepared.points.shape
    # |q|^2 + |x|^2 - 2 q.x in float32 is off by at most 2 gamma (|q|^2 + |x|^2), whatever the order of the sums
    # (Higham 2002, section 3.1), the cast included; taking that off the squares makes it a lower bound.
    gamma = (d + 8) * np.finfo(np.float32).eps / 2
    single = queries.astype(np.float32)
    squares = (1 - 2 * gamma) * (jnp.sum(single**2, axis=1)[:, None] + prepared.squares[None, :])
    bounds = squares - 2 * jnp.dot(single, prepared.single.T, precision=lax.Precision.HIGHEST)
    bounds = jnp.where(jnp.arange(n, dtype=np.int32)[None, :] == own[:, None], np.inf, bounds)
    count = min(n, k + _SPARE)
    order, candidates = _top(-bounds, count)
    dist, faint = _measure(prepared.points, queries, candidates)
    dist = jnp.where(candidates == own[:, None], jnp.inf, dist)
    dist, candidates = lax.sort((dist, candidates), num_keys=2)
    certain = (dist[:, k - 1] ** 2 < -order[:, -1]) | (count == n)
    return candidates[:, :k], dist[:, :k], certain & ~faint


def _measure(
    points: Float[Array, "n d"], queries: Float[Array, "b d"], candidates: Int[Array, "b c"]
) -> tuple[Float[Array, "b c"], Bool[Array, " b"]]:
    """Return Euclidean distances to candidates, and whether some are so small that their squares lose digits.

    Sums are products with ones, over blocks that stay in a CPU's cache: six times as fast there as a reduction.
    """
    d, ones = points.shape[1], jnp.ones(points.shape[1], points.dtype)

    def total(a: Float[Array, "c d"]) -> Float[Array, " c"]:
        return jnp.dot(a, ones, precision=lax.Precision.HIGHEST)

    def one(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        q, ids = pair
        spokes = points[ids] - q
        squares, apart = total(spokes**2), total((spokes != 0).astype(ones.dtype)) > 0
        faint = (squares < jnp.finfo(ones.dtype).tiny * 1e8) & apart
        return jnp.sqrt(squares), faint.any()

    return map_rows(one, (queries, candidates), CACHE_BYTES, 2 * candidates.shape[1] * d * points.dtype.itemsize)


def _by_differences(
    points: Float[Array, "n d"],
    queries: Float[Array, "b d"],
    own: Int[Array, " b"],
    k: int,
    metric: Callable,
    block_bytes: int,
) -> FoundInBlock:
    n, d = points.shape
    width = int(max(1, min(n, block_bytes // (2 * queries.shape[0] * d * points.dtype.itemsize))))

    def columns(start: Array) -> Float[Array, "b w"]:
        ids = jnp.minimum(start + jnp.arange(width, dtype=np.int32), n - 1)
        return jax.vmap(lambda q: jax.vmap(lambda j: metric(q, points[j]))(ids))(queries)

    dist = lax.map(columns, jnp.arange(0, n, width, dtype=np.int32))
    dist = jnp.moveaxis(dist, 0, 1).reshape(queries.shape[0], -1)[:, :n]
    dist = jnp.where(jnp.arange(n, dtype=np.int32)[None, :] == own[:, None], jnp.inf, dist)
    return _smallest(dist, k)


def _smallest(dist: Float[Array, "b n"], k: int) -> FoundInBlock:
    # top_k ranks NaN above everything, so that a NaN distance would come out nearest.
    negative, indices = _top(-jnp.where(jnp.isnan(dist), jnp.inf, dist), k)
    return indices, -negative


def _top(values: Float[Array, "b n"], count: int) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    # Without the barrier XLA moves later slices into the selection, no longer sees a top-k in it, and sorts
    # whole rows on a CPU: ten times slower.
    return tuple(lax.optimization_barrier(lax.top_k(values, count)))
