"""Exact nearest neighbours on any device, by blocks of queries.

Wide points are selected by matrix products, whose rounding error is bounded a priori: candidates are ranked by a
lower bound of their distance, the best few are measured by direct differences, and a row is certain if its k-th
distance lies below every bound left out. Rows that are not certain are searched by direct differences.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from .. import distances
from .._core.blocks import BLOCK_BYTES, CACHE_BYTES, Progress, map_rows, memory_advice
from .._core.checks import x64_is_on
from . import _projection

Found = tuple[Int[Array, "q k"], Float[Array, "q k"]]
FoundInBlock = tuple[Int[Array, "b k"], Float[Array, "b k"]]
_DIRECT_MAX_FEATURES = 16  # up to here differences cost no more than the product, and need no re-ranking
_SPARE = 4  # candidates beyond k that are measured
_GROUP = 64  # points are filled up to a multiple, so that a selection can go by groups
_REPAIR_ROWS = 8  # uncertain rows searched at a time
_SIDE_BY_SIDE = 2  # blocks that a CPU's host searches at once


class _Prepared(NamedTuple):
    points: Float[Array, "n d"]
    factor: Float[Array, "p m"]  # float32 rows whose products bound distances, filled up; empty where there are none
    squares: Float[Array, " p"]  # squared norms, infinite where filled up


class _Options(NamedTuple):
    """What is static in a search."""

    k: int
    metric: Callable
    exclude_self: bool
    block_bytes: int
    spare: int = _SPARE
    how: Literal["products", "differences", "both"] = "products"


class _Report:
    """Counts the rows that are settled, and tells."""

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def add(self, rows: int) -> None:
        self.done += rows
        if self.progress is not None:
            self.progress(self.done, self.total)


def nearest(
    points: Float[Array, "n d"],
    query: Float[Array, "q d"] | None,
    k: int,
    metric: Callable,
    block_bytes: int,
    progress: Progress | None,
) -> Found:
    """Return indices and distances, block after block, so that a long search can be watched and interrupted."""
    options = _Options(k, metric, query is None, block_bytes)
    total = points.shape[0] if query is None else query.shape[0]
    report = _Report(progress, total)
    with memory_advice(f"it was given block_bytes = {block_bytes} for the neighbours; try {block_bytes // 8}"):
        plan = _projection.plan(points, k) if query is None and _is_host_product(points, metric) else None
        if plan is not None:
            return _nearest_by_projection(points, plan, options, report)
        prepared = _prepare(points, metric)
        source = prepared if query is None else _prepare(query, metric)
        return _settled(prepared, source, np.arange(total), options, report)


def _nearest_by_projection(
    points: Float[Array, "n d"], plan: _projection.Plan, options: _Options, report: _Report
) -> Found:
    """Search with few columns first, then with all of them for the rows that this leaves uncertain."""
    rows = np.arange(points.shape[0])
    prepared = _filled(points, plan.factor, plan.squares)

    def with_few_columns(some: np.ndarray, spare: int) -> tuple[Array, Array, np.ndarray]:
        return _in_blocks(prepared, prepared, some, options._replace(spare=spare), report)

    def with_more_candidates(rest: np.ndarray) -> Found:
        def with_all_columns(last: np.ndarray) -> Found:
            complete = _prepare(points, options.metric)
            return _settled(complete, complete, rest[last], options, report)

        return _again(with_few_columns(rest, _projection.MORE * plan.spare), with_all_columns)

    return _again(with_few_columns(rows, plan.spare), with_more_candidates)


def _settled(prepared: _Prepared, source: _Prepared, rows: np.ndarray, options: _Options, report: _Report) -> Found:
    """Search for some rows of the source, and by differences for those that the products leave uncertain."""
    # Not by a loop inside the block, as under jit: XLA copies all points into a loop's state, for every block.
    exact = options._replace(how="differences")

    def by_differences(rest: np.ndarray) -> Found:
        return _in_blocks(prepared, source, rows[rest], exact, report)[:2]

    return _again(_in_blocks(prepared, source, rows, options, report), by_differences)


def _again(found: tuple[Array, Array, np.ndarray], search: Callable[[np.ndarray], Found]) -> Found:
    """Put what another search finds in the place of uncertain rows."""
    indices, dist, certain = found
    rest = np.flatnonzero(~certain)
    if not len(rest):
        return indices, dist
    more, further = search(rest)
    return indices.at[rest].set(more), dist.at[rest].set(further)


def _in_blocks(
    prepared: _Prepared, source: _Prepared, rows: np.ndarray, options: _Options, report: _Report
) -> tuple[Int[Array, "r k"], Float[Array, "r k"], np.ndarray]:
    """Search for some rows of the source; return indices, distances, and which rows are certain."""
    size = _block_rows(prepared.points, _few_sizes(len(rows), source.points.shape[0]), options)
    starts = range(0, len(rows), size)

    def search(start: int) -> tuple[Array, Array, Array]:
        ids = rows[np.minimum(np.arange(start, start + size), len(rows) - 1)].astype(np.int32)
        return jax.block_until_ready(_block(prepared, source, ids, options))  # a few blocks' memory at a time

    found = []
    for start, part in zip(starts, _side_by_side(search, starts), strict=True):
        found.append(part)
        report.add(int(np.asarray(part[2])[: len(rows) - start].sum()))
    indices, dist, certain = (jnp.concatenate(parts)[: len(rows)] for parts in zip(*found, strict=True))
    return indices, dist, np.asarray(certain)


def _side_by_side(search: Callable[[int], Any], starts: range) -> Iterator[Any]:
    """Yield what is found from each start, in order; on a CPU two are searched at a time.

    XLA selects the best of a row in one thread there, while the product of another block has the other cores.
    """
    if jax.default_backend() != "cpu" or len(starts) < 2:
        yield from map(search, starts)
        return
    wide = x64_is_on()  # a context that holds in this thread alone

    def within(start: int) -> Any:
        with jax.enable_x64(wide):
            return search(start)

    pool = ThreadPoolExecutor(_SIDE_BY_SIDE)
    try:
        yield from pool.map(within, starts)
    finally:  # an interrupt does not wait for the blocks not begun
        pool.shutdown(cancel_futures=True)


def _few_sizes(count: int, total: int) -> int:
    """Round a number of rows up to a power of two, for few compiled shapes, unless it is all of them."""
    return count if count == total else 2 ** (count - 1).bit_length()


def nearest_traced(
    points: Float[Array, "n d"], query: Float[Array, "q d"] | None, k: int, metric: Callable, block_bytes: int
) -> Found:
    """Return indices and distances inside jit; the distances are differentiable, the selection is not."""
    fixed, fixed_query = lax.stop_gradient((points, query))
    prepared = _prepare(fixed, metric)
    source = prepared if fixed_query is None else _prepare(fixed_query, metric)
    options = _Options(k, metric, query is None, block_bytes, how="both")
    indices = _indices_in_blocks(prepared, source, jnp.arange(source.points.shape[0], dtype=np.int32), options)
    return indices, pair_distances(points, points if query is None else query, indices, metric, block_bytes)


def nearest_of_rows(
    points: Float[Array, "n d"], ids: Int[Array, " q"], k: int, metric: Callable, block_bytes: int
) -> Found:
    """Return indices and distances for some of the points, inside jit: a device's share of them."""
    prepared = _prepare(points, metric)
    options = _Options(k, metric, True, block_bytes, how="both")
    indices = _indices_in_blocks(prepared, prepared, ids, options)
    return indices, pair_distances(points, points[ids], indices, metric, block_bytes)


def _indices_in_blocks(
    prepared: _Prepared, source: _Prepared, ids: Int[Array, " q"], options: _Options
) -> Int[Array, "q k"]:
    total = ids.shape[0]
    rows = _block_rows(prepared.points, total, options)
    starts = jnp.arange(0, total, rows, dtype=np.int32)

    def find(start: Array) -> Int[Array, "b k"]:
        some = jnp.minimum(start + jnp.arange(rows, dtype=np.int32), total - 1)
        return _block(prepared, source, ids[some], options)[0]

    return lax.map(find, starts).reshape(-1, options.k)[:total]


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


def _is_host_product(points: Array, metric: Callable) -> bool:
    return _uses_products(metric, points.shape[1]) and all(device.platform == "cpu" for device in points.devices())


def _block_rows(points: Array, q: int, options: _Options) -> int:
    n, d = points.shape
    if options.how == "differences":
        return min(q, _REPAIR_ROWS)
    # The products and the ranks are float32; differences keep the points' own dtype.
    row = 8 * n if _uses_products(options.metric, d) else 3 * n * points.dtype.itemsize
    budget = options.block_bytes
    if jax.default_backend() == "cpu":  # enough rows for a fast product, few enough for its ranks to stay in the cache
        budget = min(budget // _SIDE_BY_SIDE, max(5 * CACHE_BYTES, 128 * row))
    return int(max(1, min(q, budget // row)))


@partial(jax.jit, static_argnames=("metric",))
def _prepare(points: Float[Array, "n d"], metric: Callable) -> _Prepared:
    if not _uses_products(metric, points.shape[1]):
        return _Prepared(points, points[:0], points[:0, 0])
    single = points.astype(np.float32)
    # Not beside the products: XLA's CPU compiler (jaxlib 0.10) would take the sum into them, at twice their time.
    return _filled(points, single, _row_sums(single**2))


def _filled(points: Array, factor: ArrayLike, squares: ArrayLike) -> _Prepared:
    """Fill up to a multiple of _GROUP with points infinitely far away."""
    more = -points.shape[0] % _GROUP
    return _Prepared(points, jnp.pad(factor, ((0, more), (0, 0))), jnp.pad(squares, (0, more), constant_values=jnp.inf))


@partial(jax.jit, static_argnames=("options",))
def _block(
    prepared: _Prepared, source: _Prepared, ids: Int[Array, " b"], options: _Options
) -> tuple[Int[Array, "b k"], Float[Array, "b k"], Bool[Array, " b"]]:
    """Return the neighbours of some rows of the source, and whether they are certain."""
    k, rows = options.k, ids.shape[0]
    own = ids if options.exclude_self else jnp.full_like(ids, -1)
    direct = partial(_by_differences, prepared.points, options=options)
    if options.how == "differences" or not _uses_products(options.metric, source.points.shape[1]):
        return *direct(source.points[ids], own), jnp.ones(rows, bool)

    def repair(state: tuple) -> tuple:
        (some,) = jnp.nonzero(~state[2], size=min(_REPAIR_ROWS, rows), fill_value=rows)
        safe = jnp.minimum(some, rows - 1)
        new = (*direct(source.points[ids[safe]], own[safe]), True)
        return tuple(old.at[some].set(value, mode="drop") for old, value in zip(state, new, strict=True))

    state = _by_products(prepared, _Prepared(*(a[ids] for a in source)), own, k, options.spare)
    if options.how == "products":
        return state
    # A loop and not a `cond`: under vmap a cond would always pay for both of its branches.
    return lax.while_loop(lambda state: ~state[2].all(), repair, state)


def _by_products(
    prepared: _Prepared, queries: _Prepared, own: Int[Array, " b"], k: int, spare: int
) -> tuple[Int[Array, "b k"], Float[Array, "b k"], Bool[Array, " b"]]:
    n, m = prepared.points.shape[0], prepared.factor.shape[1]
    # |q|^2 + |x|^2 - 2 q.x in float32 is off by at most 2 gamma (|q|^2 + |x|^2), whatever the order of the sums
    # (Higham 2002, section 3.1), the cast included; taking that off the squares makes it a lower bound. Half of it,
    # negative and without |q|^2, ranks the same and costs one pass less.
    shrunk = 1 - (m + 8) * np.finfo(np.float32).eps
    product = jnp.dot(queries.factor, prepared.factor.T, precision=lax.Precision.HIGHEST)
    count = min(n, k + 1 + spare)  # the query itself may be among them
    order, candidates = _largest(product - shrunk / 2 * prepared.squares, count)
    bound = shrunk * queries.squares - 2 * order[:, -1]
    others = candidates != own[:, None]
    dist, faint = _measure(prepared.points, queries.points, candidates, others)
    dist = jnp.where(others, dist, jnp.inf)
    dist, candidates = lax.sort((dist, candidates), num_keys=2)
    certain = (dist[:, k - 1] ** 2 < bound) | (count == n)
    return candidates[:, :k], dist[:, :k], certain & ~faint


def _measure(
    points: Float[Array, "n d"], queries: Float[Array, "b d"], candidates: Int[Array, "b c"], others: Bool[Array, "b c"]
) -> tuple[Float[Array, "b c"], Bool[Array, " b"]]:
    """Return Euclidean distances to candidates, and whether some of others are so small that their squares lose digits.

    The blocks stay in a CPU's cache.
    """
    d, dtype = points.shape[1], points.dtype

    def one(pair: tuple[Array, Array]) -> Array:
        q, ids = pair
        return _row_sums((points[ids] - q) ** 2)

    squares = map_rows(one, (queries, candidates), CACHE_BYTES, 2 * candidates.shape[1] * d * dtype.itemsize)
    small = (squares < jnp.finfo(dtype).tiny * 1e8) & others

    def apart(some: Bool[Array, "b c"]) -> Bool[Array, " b"]:
        def one(pair: tuple[Array, Array]) -> Array:
            q, ids = pair
            return (points[ids] != q).any(axis=1)

        return (map_rows(one, (queries, candidates), CACHE_BYTES, 2 * candidates.shape[1] * d) & some).any(axis=1)

    # Squares that small are of duplicates, as a rule, which are not apart.
    faint = lax.cond(small.any(), apart, lambda some: some.any(axis=1), small)
    return jnp.sqrt(squares), faint


def _row_sums(a: Float[Array, "... d"]) -> Float[Array, "..."]:
    # A product with ones: six times as fast on a CPU as a reduction.
    return jnp.dot(a, jnp.ones(a.shape[-1], a.dtype), precision=lax.Precision.HIGHEST)


def _by_differences(
    points: Float[Array, "n d"], queries: Float[Array, "b d"], own: Int[Array, " b"], options: _Options
) -> FoundInBlock:
    n, d = points.shape
    width = int(max(1, min(n, options.block_bytes // (2 * queries.shape[0] * d * points.dtype.itemsize))))

    def columns(start: Array) -> Float[Array, "b w"]:
        ids = jnp.minimum(start + jnp.arange(width, dtype=np.int32), n - 1)
        return jax.vmap(lambda q: jax.vmap(lambda j: options.metric(q, points[j]))(ids))(queries)

    dist = lax.map(columns, jnp.arange(0, n, width, dtype=np.int32))
    dist = jnp.moveaxis(dist, 0, 1).reshape(queries.shape[0], -1)[:, :n]
    dist = jnp.where(jnp.arange(n, dtype=np.int32)[None, :] == own[:, None], jnp.inf, dist)
    return _smallest(dist, options.k)


def _smallest(dist: Float[Array, "b n"], k: int) -> FoundInBlock:
    # top_k ranks NaN above everything, so that a NaN distance would come out nearest.
    negative, indices = _top(-jnp.where(jnp.isnan(dist), jnp.inf, dist), k)
    return indices, -negative


def _largest(values: Float[Array, "b p"], count: int) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    """Select as `_top` does, but for the order of ties, by the largest of each group first: long rows are read once.

    The largest `count` values lie in the `count` groups with the largest maxima.
    """
    b, p = values.shape
    size = 2 ** int(np.log2(max(1, np.sqrt(p / count))))  # about as many groups as values in the chosen ones
    while p % size or p // size < count:
        size //= 2
    if size == 1:
        return _top(values, count)
    slabs = values.reshape(b, size, p // size)  # group j: the columns j, j + p / size, ...
    _, groups = _top(slabs.max(axis=1), count)
    chosen = jnp.take_along_axis(slabs, groups[:, None, :], axis=2).reshape(b, size * count)
    best, place = _top(chosen, count)
    return best, (place // count) * (p // size) + jnp.take_along_axis(groups, place % count, axis=1)


def _top(values: Float[Array, "b n"], count: int) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    # Without the barrier XLA moves later slices into the selection, no longer sees a top-k in it, and sorts
    # whole rows on a CPU: ten times slower.
    # One barrier for each: one for the pair makes XLA's partitioner (jaxlib 0.10) stop inside shard_map.
    best, place = lax.top_k(values, count)
    return lax.optimization_barrier(best), lax.optimization_barrier(place)
