"""Exact nearest neighbors on any device, in blocks of queries.

Points with many features are selected by matrix products, whose rounding error has an a priori bound: candidates are ranked by
a lower bound of their distance, the distances of the first few are computed by direct differences, and a row is certain if its
k-th distance is below the bounds of all other points. Uncertain rows are searched by direct differences.
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
from .._core.ladder import pad_rows, padded_count, put_like
from .._core.linear import matmul
from . import _projection
from ._selection import largest, smallest

Found = tuple[Int[Array, "q k"], Float[Array, "q k"]]
FoundInBlock = tuple[Int[Array, "b k"], Float[Array, "b k"]]
_FINITE = (distances.euclidean, distances.manhattan, distances.chebyshev)  # metrics that need no check of their values
_DIRECT_MAX_FEATURES = 16  # up to here differences cost no more than products, and are exact
_SPARE = 4  # candidates beyond k whose distances are computed
_GROUP = 64  # points are padded to a multiple, so that they can be selected by groups
_REPAIR_ROWS = 8  # uncertain rows searched at a time
_CONCURRENT_BLOCKS = 2  # blocks that are searched concurrently on a CPU


class _Prepared(NamedTuple):
    points: Float[Array, "n d"]
    factor: Float[Array, "p m"]  # float32 rows whose products bound distances, padded; empty if unused
    squares: Float[Array, " p"]  # squared norms, infinite in the padding


class _Options(NamedTuple):
    """Static options of a search."""

    k: int
    metric: Callable
    exclude_self: bool
    block_bytes: int
    spare: int = _SPARE
    how: Literal["products", "differences", "both"] = "products"


class _ProgressCounter:
    """Counts finished rows and reports their number to `progress`."""

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
    """Return indices and distances, computed in blocks, so that a long search reports progress and can be interrupted."""
    options = _Options(k, metric, query is None, block_bytes)
    total = points.shape[0] if query is None else query.shape[0]
    report = _ProgressCounter(progress, total)
    with memory_advice(f"the neighbor search used block_bytes = {block_bytes}; try {block_bytes // 8}"):
        plan = _projection.plan(points, k) if query is None and _is_host_product(points, metric) else None
        if plan is not None:
            return _nearest_by_projection(points, plan, options, report)
        prepared = _prepare(points, metric)
        source = prepared if query is None else pad_rows(query, padded_count(total))
        return _search_rows(prepared, source, np.arange(total), options, report)


def _nearest_by_projection(
    points: Float[Array, "n d"], plan: _projection.Plan, options: _Options, report: _ProgressCounter
) -> Found:
    """Search with the columns of a projection first, then with all columns for the rows that remain uncertain."""
    rows = np.arange(points.shape[0])
    prepared = _pad(points, plan.factor, plan.squares)

    def with_few_columns(subset: np.ndarray, spare: int) -> tuple[Array, Array, np.ndarray]:
        return _search_blocks(prepared, prepared, subset, options._replace(spare=spare), report)

    def with_more_candidates(uncertain: np.ndarray) -> Found:
        def with_all_columns(remaining: np.ndarray) -> Found:
            complete = _prepare(points, options.metric)
            return _search_rows(complete, complete, uncertain[remaining], options, report)

        return _replace_uncertain(with_few_columns(uncertain, _projection.MORE * plan.spare), with_all_columns)

    return _replace_uncertain(with_few_columns(rows, plan.spare), with_more_candidates)


def _search_rows(
    prepared: _Prepared,
    source: _Prepared | Float[Array, "padded d"],
    rows: np.ndarray,
    options: _Options,
    report: _ProgressCounter,
) -> Found:
    """Search for some rows of the source by products, and by differences for the rows that remain uncertain."""
    # Not by a loop inside the block, as under jit: XLA copies all points into the state of a loop, for every block.
    exact = options._replace(how="differences")

    def by_differences(uncertain: np.ndarray) -> Found:
        return _search_blocks(prepared, source, rows[uncertain], exact, report)[:2]

    return _replace_uncertain(_search_blocks(prepared, source, rows, options, report), by_differences)


def _replace_uncertain(found: tuple[Array, Array, np.ndarray], search: Callable[[np.ndarray], Found]) -> Found:
    """Replace the uncertain rows by the result of another search."""
    indices, dist, certain = found
    uncertain = np.flatnonzero(~certain)
    if not len(uncertain):
        return indices, dist
    new_indices, new_dist = search(uncertain)
    return indices.at[uncertain].set(new_indices), dist.at[uncertain].set(new_dist)


def _search_blocks(
    prepared: _Prepared,
    source: _Prepared | Float[Array, "padded d"],
    rows: np.ndarray,
    options: _Options,
    report: _ProgressCounter,
) -> tuple[Int[Array, "r k"], Float[Array, "r k"], np.ndarray]:
    """Search for some rows of the source; return indices, distances, and which rows are certain."""
    size = _block_rows(prepared.points, _rounded_count(len(rows), jax.tree.leaves(source)[0].shape[0]), options)
    starts = range(0, len(rows), size)

    def search(start: int) -> tuple[Array, Array, Array]:
        ids = rows[np.minimum(np.arange(start, start + size), len(rows) - 1)].astype(np.int32)
        # The block is selected by a program of its own, so that the larger one does not depend on the number of queries.
        queries = _select(source, ids) if options.exclude_self else _factor(_select(source, ids), options.metric)
        return jax.block_until_ready(_block(prepared, queries, ids, options))  # limits the memory to a few blocks

    found = []
    for start, block in zip(starts, _map_concurrently(search, starts), strict=True):
        found.append(block)
        report.add(int(np.asarray(block[2])[: len(rows) - start].sum()))
    # On the host, where no program is compiled for the number of blocks and rows.
    indices, dist, certain = (
        np.concatenate(jax.device_get(blocks))[: len(rows)] for blocks in zip(*found, strict=True)
    )
    return put_like(indices, found[0][0]), put_like(dist, found[0][1]), certain


def _map_concurrently(search: Callable[[int], Any], starts: range) -> Iterator[Any]:
    """Yield the result of the search from each start, in order; on a CPU two blocks are searched concurrently.

    XLA selects the candidates of a block in one thread, while the product of another block uses the other cores.
    """
    if jax.default_backend() != "cpu" or len(starts) < 2:
        yield from map(search, starts)
        return
    wide = x64_is_on()  # this setting is specific to a thread

    def within(start: int) -> Any:
        with jax.enable_x64(wide):
            return search(start)

    pool = ThreadPoolExecutor(_CONCURRENT_BLOCKS)
    try:
        yield from pool.map(within, starts)
    finally:  # an interrupt does not wait for blocks that have not started
        pool.shutdown(cancel_futures=True)


def _rounded_count(count: int, total: int) -> int:
    """Round up to a power of two, so that few shapes are compiled; return `total` for all rows, with or without padding."""
    return total if total in (count, padded_count(count)) else 2 ** (count - 1).bit_length()


def nearest_traced(
    points: Float[Array, "n d"], query: Float[Array, "q d"] | None, k: int, metric: Callable, block_bytes: int
) -> Found:
    """Return indices and distances inside jit; the distances are differentiable, the selection is not."""
    fixed, fixed_query = lax.stop_gradient((points, query))
    prepared = _prepare(fixed, metric)
    source = prepared if fixed_query is None else _prepare(fixed_query, metric)
    options = _Options(k, metric, query is None, block_bytes, how="both")
    found = _find_in_blocks(prepared, source, jnp.arange(source.points.shape[0], dtype=np.int32), options)
    return _with_derivative(found, points, points if query is None else query, metric, block_bytes)


def nearest_of_rows(
    points: Float[Array, "n d"], ids: Int[Array, " q"], k: int, metric: Callable, block_bytes: int
) -> Found:
    """Return indices and distances for some of the points, such as those of one device, inside jit."""
    prepared = _prepare(points, metric)
    options = _Options(k, metric, True, block_bytes, how="both")
    found = _find_in_blocks(prepared, prepared, ids, options)
    return _with_derivative(found, points, points[ids], metric, block_bytes)


def _with_derivative(found: Found, points: Array, query: Array, metric: Callable, block_bytes: int) -> Found:
    """Compute the distances again, as differentiable functions of the points, but keep NaN."""
    indices, nearest = found
    distances = pair_distances(points, query, indices, metric, block_bytes)
    return indices, distances if metric in _FINITE else jnp.where(jnp.isnan(nearest), jnp.nan, distances)


def _find_in_blocks(prepared: _Prepared, source: _Prepared, ids: Int[Array, " q"], options: _Options) -> Found:
    total = ids.shape[0]
    rows = _block_rows(prepared.points, total, options)
    starts = jnp.arange(0, total, rows, dtype=np.int32)

    def find(start: Array) -> FoundInBlock:
        some = jnp.minimum(start + jnp.arange(rows, dtype=np.int32), total - 1)
        return _block(prepared, _select(source, ids[some]), ids[some], options)[:2]

    return jax.tree.map(lambda a: a.reshape(-1, options.k)[:total], lax.map(find, starts))


@partial(jax.jit, static_argnames=("metric", "block_bytes"))
def pair_distances(
    points: Float[Array, "n d"],
    query: Float[Array, "q d"],
    indices: Int[Array, "q k"],
    metric: Callable,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q k"]:
    """Return the distances from each query to the points with the given indices, in blocks."""

    @jax.checkpoint  # the backward pass gathers the points again instead of storing q x k x d
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
        return smallest(jnp.where((jnp.arange(n) == own) & exclude_self, jnp.inf, row)[None], k)

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
    # Products and ranks are float32; differences have the dtype of the points.
    row = 8 * n if _uses_products(options.metric, d) else 3 * n * points.dtype.itemsize
    budget = options.block_bytes
    if jax.default_backend() == "cpu":  # enough rows for a fast product, few enough for the cache
        budget = min(budget // _CONCURRENT_BLOCKS, max(5 * CACHE_BYTES, 128 * row))
    return int(max(1, min(q, budget // row)))


@partial(jax.jit, static_argnames=("metric",))
def _prepare(points: Float[Array, "n d"], metric: Callable) -> _Prepared:
    factor = _factor(points, metric)
    return _pad(*factor) if _uses_products(metric, points.shape[1]) else factor


@partial(jax.jit, static_argnames=("metric",))
def _factor(points: Float[Array, "n d"], metric: Callable) -> _Prepared:
    if not _uses_products(metric, points.shape[1]):
        return _Prepared(points, points[:0], points[:0, 0])
    single = points.astype(np.float32)
    # Not in the program of the products: XLA's CPU compiler (jaxlib 0.10) would fuse the sum, which doubles their time.
    return _Prepared(points, single, _row_sums(single**2))


def _pad(points: Array, factor: ArrayLike, squares: ArrayLike) -> _Prepared:
    """Pad to a multiple of _GROUP with points at infinite distance."""
    more = -points.shape[0] % _GROUP
    return _Prepared(points, jnp.pad(factor, ((0, more), (0, 0))), jnp.pad(squares, (0, more), constant_values=jnp.inf))


@jax.jit
def _select(source: Any, ids: Int[Array, " b"]) -> Any:
    return jax.tree.map(lambda a: a[ids] if len(a) else a, source)


@partial(jax.jit, static_argnames=("options",))
def _block(
    prepared: _Prepared, queries: _Prepared, ids: Int[Array, " b"], options: _Options
) -> tuple[Int[Array, "b k"], Float[Array, "b k"], Bool[Array, " b"]]:
    """Return the neighbors of queries, which are these rows of the points if `exclude_self`, and whether they are certain."""
    k, rows = options.k, ids.shape[0]
    own = ids if options.exclude_self else jnp.full_like(ids, -1)
    direct = partial(_by_differences, prepared.points, options=options)
    if options.how == "differences" or not _uses_products(options.metric, queries.points.shape[1]):
        return *direct(queries.points, own), jnp.ones(rows, bool)

    def repair(state: tuple) -> tuple:
        (uncertain,) = jnp.nonzero(~state[2], size=min(_REPAIR_ROWS, rows), fill_value=rows)
        safe = jnp.minimum(uncertain, rows - 1)
        new = (*direct(queries.points[safe], own[safe]), True)
        return tuple(old.at[uncertain].set(value, mode="drop") for old, value in zip(state, new, strict=True))

    state = _by_products(prepared, queries, own, k, options.spare)
    if options.how == "products":
        return state
    # A loop and not a `cond`: under vmap both branches of a cond are always computed.
    return lax.while_loop(lambda state: ~state[2].all(), repair, state)


def _by_products(
    prepared: _Prepared, queries: _Prepared, own: Int[Array, " b"], k: int, spare: int
) -> tuple[Int[Array, "b k"], Float[Array, "b k"], Bool[Array, " b"]]:
    n, m = prepared.points.shape[0], prepared.factor.shape[1]
    # In float32, |q|^2 + |x|^2 - 2 q.x has an error of at most 2 gamma (|q|^2 + |x|^2), whatever the order of the sums and
    # including the cast (Higham 2002, section 3.1); reducing the squares by it gives a lower bound. Its negative half
    # without |q|^2 gives the same ranks and saves one pass.
    shrunk = 1 - (m + 8) * np.finfo(np.float32).eps
    product = matmul(queries.factor, prepared.factor.T)
    count = min(n, k + 1 + spare)  # the query itself may be among them
    order, candidates = largest(product - shrunk / 2 * prepared.squares, count)
    bound = shrunk * queries.squares - 2 * order[:, -1]
    others = candidates != own[:, None]
    dist, inaccurate = _measure(prepared.points, queries.points, candidates, others)
    dist = jnp.where(others, dist, jnp.inf)
    dist, candidates = lax.sort((dist, candidates), num_keys=2)
    certain = (dist[:, k - 1] ** 2 < bound) | (count == n)
    return candidates[:, :k], dist[:, :k], certain & ~inaccurate


def _measure(
    points: Float[Array, "n d"], queries: Float[Array, "b d"], candidates: Int[Array, "b c"], others: Bool[Array, "b c"]
) -> tuple[Float[Array, "b c"], Bool[Array, " b"]]:
    """Return Euclidean distances to candidates, and whether the squares of any of `others` are so small that they lose digits.

    The blocks fit in the cache of a CPU.
    """
    d, dtype = points.shape[1], points.dtype

    def one(pair: tuple[Array, Array]) -> Array:
        q, ids = pair
        return _row_sums((points[ids] - q) ** 2)

    squares = map_rows(one, (queries, candidates), CACHE_BYTES, 2 * candidates.shape[1] * d * dtype.itemsize)
    small = (squares < jnp.finfo(dtype).tiny * 1e8) & others

    def differs(some: Bool[Array, "b c"]) -> Bool[Array, " b"]:
        def one(pair: tuple[Array, Array]) -> Array:
            q, ids = pair
            return (points[ids] != q).any(axis=1)

        return (map_rows(one, (queries, candidates), CACHE_BYTES, 2 * candidates.shape[1] * d) & some).any(axis=1)

    # Such small squares are usually those of duplicates, which are accurate.
    inaccurate = lax.cond(small.any(), differs, lambda some: some.any(axis=1), small)
    return jnp.sqrt(squares), inaccurate


def _row_sums(a: Float[Array, "... d"]) -> Float[Array, "..."]:
    # A product with ones is six times as fast as a reduction on a CPU.
    return matmul(a, jnp.ones(a.shape[-1], a.dtype))


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
    itself = jnp.arange(n, dtype=np.int32)[None, :] == own[:, None]
    indices, nearest = smallest(jnp.where(itself, jnp.inf, dist), options.k)
    if options.metric not in _FINITE:
        # A metric must be finite for all pairs: NaN in the result reports also the pairs that are no neighbors.
        nearest = jnp.where((jnp.isfinite(dist) | itself).all(axis=1)[:, None], nearest, jnp.nan)
    return indices, nearest
