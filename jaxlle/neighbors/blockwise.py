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
from jaxtyping import Array, Bool, Float, Int

from .. import distances
from .._core.blocks import (
    BLOCK_BYTES,
    CACHE_BYTES,
    ROWS_AT_A_TIME,
    Budget,
    Progress,
    by_platform,
    device_limit,
    map_rows,
    memory_advice,
    on_cpu,
    take_rows,
    whole_groups,
)
from .._core.checks import x64_is_on
from .._core.ladder import pad_rows, padded_count, put_like, replace_rows
from . import _projection
from ._products import SPARE, Prepared, by_products, prepare, spare_for_kernel, uses_products
from ._selection import smallest

Found = tuple[Int[Array, "q k"], Float[Array, "q k"]]
_FINITE = (distances.euclidean, distances.manhattan, distances.chebyshev)  # metrics that need no check of their values
REPAIR_ROWS = 8  # uncertain rows searched at a time
_CONCURRENT_BLOCKS = 2  # blocks that are searched concurrently on a CPU


class Options(NamedTuple):
    """Static options of a search."""

    k: int
    metric: Callable
    exclude_self: bool
    block_bytes: int
    spare: int = SPARE
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
    local = on_cpu(points)
    block_bytes = device_limit(block_bytes, points.sharding.addressable_devices)
    options = Options(k, metric, query is None, block_bytes, SPARE if local else spare_for_kernel(k))
    report = _ProgressCounter(progress, len(points if query is None else query))
    with memory_advice(f"the neighbor search used block_bytes = {block_bytes}; try {block_bytes // 8}"):
        self_products = query is None and uses_products(metric, points.shape[1])
        plan = _projection.plan(points, k) if self_products and local else None
        if plan is not None:
            return _nearest_by_projection(points, plan, options, report)
        prepared = prepare(points, metric)
        source = prepared if query is None else pad_rows(query, padded_count(report.total))
        return _search_rows(prepared, source, np.arange(report.total), options, report)


def _nearest_by_projection(
    points: Float[Array, "n d"], plan: _projection.Plan, options: Options, report: _ProgressCounter
) -> Found:
    """Search with the columns of a projection first, then with all columns for the rows that remain uncertain."""
    prepared = Prepared(points, *jax.device_put((plan.factor, plan.squares)))

    def with_few_columns(subset: np.ndarray, spare: int) -> tuple[Array, Array, np.ndarray]:
        return _search_blocks(prepared, prepared, subset, options._replace(spare=spare), report)

    def with_more_candidates(uncertain: np.ndarray) -> Found:
        def with_all_columns(remaining: np.ndarray) -> Found:
            complete = prepare(points, options.metric)
            return _search_rows(complete, complete, uncertain[remaining], options, report)

        return _replace_uncertain(with_few_columns(uncertain, _projection.MORE * plan.spare), with_all_columns)

    return _replace_uncertain(with_few_columns(np.arange(len(points)), plan.spare), with_more_candidates)


def _search_rows(
    prepared: Prepared,
    source: Prepared | Float[Array, "padded d"],
    rows: np.ndarray,
    options: Options,
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
    return replace_rows(indices, uncertain, new_indices), replace_rows(dist, uncertain, new_dist)


def _search_blocks(
    prepared: Prepared,
    source: Prepared | Float[Array, "padded d"],
    rows: np.ndarray,
    options: Options,
    report: _ProgressCounter,
) -> tuple[Int[Array, "r k"], Float[Array, "r k"], np.ndarray]:
    """Search for some rows of the source; return indices, distances, and which rows are certain."""
    sizes = block_rows(prepared.points, _rounded_count(len(rows), jax.tree.leaves(source)[0].shape[0]), options)
    concurrent = on_cpu(prepared.points)
    size = sizes.cpu if concurrent else sizes.accelerator
    starts = range(0, len(rows), size)

    def search(start: int) -> tuple[Array, Array, Array]:
        ids = rows[np.minimum(np.arange(start, start + size), len(rows) - 1)].astype(np.int32)
        # The block is selected by a program of its own, so that the larger one does not depend on the number of queries.
        queries = _select(source, ids) if options.exclude_self else prepare(_select(source, ids), options.metric)
        block = _block(prepared, queries, ids, options)
        # On a CPU this limits the memory to a few blocks. An accelerator runs one block after another; the host waits for them
        # only to report the progress, and then for the block before the last, so that the device always has work.
        return jax.block_until_ready(block) if concurrent else block

    found = []
    for block in (_map_concurrently if concurrent else map)(search, starts):
        found.append(block)
        if report.progress is not None and len(found) > 1:
            report.add(int(np.asarray(found[-2][2]).sum()))
    report.add(int(np.asarray(found[-1][2])[: len(rows) - starts[-1]].sum()))
    # On the host, where no program is compiled for the number of blocks and rows.
    indices, dist, certain = (
        np.concatenate(jax.device_get(blocks))[: len(rows)] for blocks in zip(*found, strict=True)
    )
    return put_like(indices, found[0][0]), put_like(dist, found[0][1]), certain


def _map_concurrently(search: Callable[[int], Any], starts: range) -> Iterator[Any]:
    """Yield the result of the search from each start, in order; two blocks are searched concurrently, on a CPU.

    XLA selects the candidates of a block in one thread, while the product of another block uses the other cores.
    """
    if len(starts) < 2:
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
    found = nearest_fixed(*lax.stop_gradient((points, query)), None, k, metric, block_bytes)
    return _with_derivative(found, points, points if query is None else query, metric, block_bytes)


def nearest_fixed(points: Array, query: Any, ids: Any, k: int, metric: Callable, block_bytes: int) -> Found:
    """Return indices and distances for all queries or some (ids) of them, inside jit, without derivative."""
    prepared = prepare(points, metric)
    source = prepared if query is None else prepare(query, metric)
    ids = jnp.arange(source.points.shape[0], dtype=np.int32) if ids is None else ids
    options = Options(k, metric, query is None, block_bytes, spare_for_kernel(k), how="both")
    return _find_in_blocks(prepared, source, ids, options)


def _with_derivative(found: Found, points: Array, query: Array, metric: Callable, block_bytes: int) -> Found:
    """Compute the distances again, as differentiable functions of the points, but keep NaN."""
    indices, nearest = found
    distances = pair_distances(points, query, indices, metric, block_bytes)
    return indices, distances if metric in _FINITE else jnp.where(jnp.isnan(nearest), jnp.nan, distances)


def _find_in_blocks(prepared: Prepared, source: Prepared, ids: Int[Array, " q"], options: Options) -> Found:
    total = ids.shape[0]

    def find_all(rows: int, prepared: Prepared, source: Prepared, ids: Array) -> Found:
        def find(start: Array) -> Found:
            some = jnp.minimum(start + jnp.arange(rows, dtype=np.int32), total - 1)
            return _block(prepared, _select(source, ids[some]), ids[some], options)[:2]

        found = lax.map(find, jnp.arange(0, total, rows, dtype=np.int32))
        return jax.tree.map(lambda a: a.reshape(-1, options.k)[:total], found)

    return by_platform(find_all, block_rows(prepared.points, total, options), prepared, source, ids)


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


def block_rows(points: Array, q: int, options: Options) -> Budget:
    """Return how many of q queries a block has."""
    n, d = points.shape
    if options.how == "differences":
        return Budget(*[min(q, REPAIR_ROWS)] * 2)
    # Products and ranks are float32; differences have the dtype of the points.
    row = 8 * n if uses_products(options.metric, d) else 3 * n * points.dtype.itemsize
    # On a CPU enough rows for a fast product, few enough for the cache.
    cached = min(options.block_bytes // _CONCURRENT_BLOCKS, max(5 * CACHE_BYTES, 128 * row))
    rows = Budget(int(cached), int(options.block_bytes)).rows(row, q)
    return whole_groups(rows, q) if options.exclude_self else rows  # few queries are not padded to a group


@jax.jit
def _select(source: Any, ids: Int[Array, " b"]) -> Any:
    return jax.tree.map(lambda a: a[ids] if len(a) else a, source)


@partial(jax.jit, static_argnames=("options",))
def _block(
    prepared: Prepared, queries: Prepared, ids: Int[Array, " b"], options: Options
) -> tuple[Int[Array, "b k"], Float[Array, "b k"], Bool[Array, " b"]]:
    """Return the neighbors of queries, which are these rows of the points if `exclude_self`, and whether they are certain."""
    k, rows = options.k, len(ids)
    own = ids if options.exclude_self else jnp.full_like(ids, -1)
    direct = partial(by_differences, prepared.points, options=options)
    if options.how == "differences" or not uses_products(options.metric, queries.points.shape[1]):
        return *direct(queries.points, own), jnp.ones(rows, bool)

    def repair(state: tuple) -> tuple:
        # The first uncertain rows, and others that stay as they are; jnp.nonzero takes ten times as long to compile.
        repaired, safe = lax.top_k(jnp.where(state[2], 0.0, 1.0), min(REPAIR_ROWS, rows))
        uncertain = jnp.where(repaired > 0, safe, rows)
        new = (*direct(take_rows(queries.points, safe), take_rows(own, safe)), True)
        return tuple(old.at[uncertain].set(value, mode="drop") for old, value in zip(state, new, strict=True))

    state = by_products(prepared, queries, own, k, options.spare)
    if options.how == "products":
        return state
    # A loop and not a `cond`: under vmap both branches of a cond are always computed.
    return lax.while_loop(lambda state: ~state[2].all(), repair, state)


def by_differences(
    points: Float[Array, "n d"],
    queries: Float[Array, "b d"],
    own: Int[Array, " b"],
    options: Options,
    padding: Bool[Array, " n"] | None = None,
) -> Found:
    """Return the neighbors of queries, by the distances to all points but the query itself and the padding."""
    n, d = points.shape
    width = max(1, min(n, options.block_bytes // (2 * queries.shape[0] * d * points.dtype.itemsize)))
    width = -(-width // ROWS_AT_A_TIME) * ROWS_AT_A_TIME  # see there

    def columns(start: Array) -> Float[Array, "b w"]:
        ids = jnp.minimum(start + jnp.arange(width, dtype=np.int32), n - 1)
        return jax.vmap(lambda q: jax.vmap(lambda j: options.metric(q, points[j]))(ids))(queries)

    dist = lax.map(columns, jnp.arange(0, n, width, dtype=np.int32))
    dist = jnp.moveaxis(dist, 0, 1).reshape(queries.shape[0], -1)[:, :n]
    omitted = jnp.arange(n, dtype=np.int32)[None, :] == own[:, None]
    omitted = omitted if padding is None else omitted | padding[None, :]
    indices, nearest = smallest(jnp.where(omitted, jnp.inf, dist), min(options.k, n))
    if options.metric not in _FINITE:
        # A metric must be finite for all pairs: NaN in the result reports also the pairs that are no neighbors.
        nearest = jnp.where((jnp.isfinite(dist) | omitted).all(axis=1)[:, None], nearest, jnp.nan)
    return indices, nearest
