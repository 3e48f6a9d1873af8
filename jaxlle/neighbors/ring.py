"""Exact nearest neighbors of points that are distributed over devices, inside `jax.shard_map`.

Every device keeps its shard of the points as queries, while copies of the shards travel around the ring of all devices. At each
step a device searches its queries among the points of the shard that visits it, and merges the nearest with those found before.
No device holds all points.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.blocks import map_blocks, take_rows
from ._products import Prepared, nearest_candidates, prepare, spare_for_kernel, uses_products
from .blockwise import REPAIR_ROWS, Found, Options, block_rows, by_differences

_ROUND_ROWS = 256  # most uncertain queries of a device that are searched in one round of all shards


class _Nearest(NamedTuple):
    """The nearest of the points that have been searched so far, by distance and then by index.

    Attributes:
        indices: their numbers among the points of all devices.
        distances: infinite where fewer than k points have been searched.
        bound: a lower bound of the squared distances to the other points: infinite if they have been measured, negative if a
            distance is not accurate, and NaN if the metric was not finite for a pair.
    """

    indices: Int[Array, "q k"]
    distances: Float[Array, "q k"]
    bound: Float[Array, " q"]

    def merged(
        self, indices: Int[Array, "q c"], distances: Float[Array, "q c"], bound: Float[Array, " q"]
    ) -> "_Nearest":
        """Return the nearest of these points and others."""
        k = self.indices.shape[1]
        both = (jnp.concatenate(pair, axis=1) for pair in ((self.distances, distances), (self.indices, indices)))
        dist, ids = lax.sort(tuple(both), num_keys=2)
        return _Nearest(ids[:, :k], dist[:, :k], jnp.minimum(self.bound, bound))

    def uncertain(self) -> Bool[Array, " q"]:
        """Return the queries for which another point may be nearer than the last of these."""
        return self.distances[:, -1] ** 2 >= self.bound


class _Shard(NamedTuple):
    """The points of one device.

    Attributes:
        points: their coordinates.
        first: the number of the first among the points of all devices.
        padding: which rows are no points.
    """

    points: Float[Array, "q d"]
    first: Int[Array, ""]
    padding: Bool[Array, " q"]


@dataclass(frozen=True)
class Ring:
    """The devices in a ring.

    Attributes:
        num_points: number of points on all devices; the rows beyond them are padding.
        axis: the names of the mesh axes over which the points are distributed.
    """

    num_points: int
    axis: tuple[str, ...]

    def shard(self, points: Float[Array, "q d"], device: Array) -> _Shard:
        """Return the points of a device as a shard."""
        first = device * points.shape[0]
        return _Shard(points, first, first + jnp.arange(points.shape[0], dtype=jnp.int32) >= self.num_points)

    def visit_all(
        self, search: Callable[[_Shard, _Nearest], _Nearest], points: Float[Array, "q d"], rows: int, k: int
    ) -> _Nearest:
        """Return the nearest k for some queries after a search among the shards of all devices, from those of this device on."""
        size, device = lax.axis_size(self.axis), lax.axis_index(self.axis)
        to_next = [(i, (i + 1) % size) for i in range(size)]

        def step(i: Array, state: tuple[Array, _Nearest]) -> tuple[Array, _Nearest]:
            points, nearest = state
            # The next shard is received while this one is searched.
            following = lax.ppermute(points, self.axis, to_next)
            return following, search(self.shard(points, (device - i.astype(device.dtype)) % size), nearest)

        none = _Nearest(
            indices=jnp.full((rows, k), jnp.iinfo(jnp.int32).max, jnp.int32),
            distances=jnp.full((rows, k), jnp.inf, points.dtype),
            bound=jnp.full(rows, jnp.inf, jnp.float32),
        )
        return lax.fori_loop(0, size, step, (points, none))[1]


def nearest_in_ring(points: Float[Array, "q d"], ring: Ring, k: int, metric: Callable, block_bytes: int) -> Found:
    """Return the neighbors of the points of this device among those of all devices, as `blockwise.nearest` does on one device."""
    options = Options(k, metric, True, block_bytes, spare_for_kernel(k), how="both")
    own = ring.shard(points, lax.axis_index(ring.axis))
    ids = own.first + jnp.arange(len(points), dtype=jnp.int32)
    if uses_products(metric, points.shape[1]):
        return _by_products(own, ids, ring, options)
    sizes = block_rows(points, len(points), options)

    def search(shard: _Shard, nearest: _Nearest) -> _Nearest:
        def block(rows: tuple[Array, Array, _Nearest]) -> _Nearest:
            queries, ids, nearest = rows
            return _merge_by_differences(shard, queries, ids, nearest, options)

        return map_blocks(block, (points, ids, nearest), sizes, 1)

    found = ring.visit_all(search, points, len(points), k)
    return found.indices, jnp.where(jnp.isnan(found.bound)[:, None], jnp.nan, found.distances)


def _merge_by_differences(
    shard: _Shard, queries: Float[Array, "b d"], ids: Int[Array, " b"], nearest: _Nearest, options: Options
) -> _Nearest:
    indices, dist = by_differences(shard.points, queries, ids - shard.first, options, shard.padding)
    finite = ~jnp.isnan(dist).any(axis=1)
    dist = jnp.where(finite[:, None], dist, jnp.inf)
    return nearest.merged(indices + shard.first, dist, jnp.where(finite, jnp.inf, jnp.nan).astype(jnp.float32))


def _by_products(own: _Shard, ids: Int[Array, " q"], ring: Ring, options: Options) -> Found:
    """Search by products, and by differences for the queries that remain uncertain."""
    queries = prepare(own.points, options.metric)
    sizes = block_rows(own.points, len(ids), options)

    def search(shard: _Shard, nearest: _Nearest) -> _Nearest:
        prepared = prepare(shard.points, options.metric)

        def block(rows: tuple[Prepared, Array, _Nearest]) -> _Nearest:
            queries, ids, nearest = rows
            count = options.k + 1 + options.spare
            found = nearest_candidates(prepared, queries, ids - shard.first, count, shard.padding)
            return nearest.merged(found[0] + shard.first, *found[1:])

        return map_blocks(block, (queries, ids, nearest), sizes, 1)

    found = ring.visit_all(search, own.points, len(ids), options.k)
    found = _repair(found, own, ids, ring, options)
    return found.indices, found.distances


def _repair(found: _Nearest, own: _Shard, ids: Int[Array, " q"], ring: Ring, options: Options) -> _Nearest:
    """Search the uncertain queries of all devices by differences, in as many rounds as the device with most of them needs."""
    count = min(_ROUND_ROWS, len(ids))
    group = min(REPAIR_ROWS, count)
    groups = -(-count // group)

    def any_left(uncertain: Bool[Array, " q"]) -> Bool[Array, ""]:
        return lax.pmax(uncertain.any(), ring.axis)

    def round_of_shards(state: tuple[_Nearest, Array, Array]) -> tuple[_Nearest, Array, Array]:
        found, uncertain, _ = state
        chosen, safe = lax.top_k(jnp.where(uncertain, 1.0, 0.0), count)
        filled = jnp.ceil(chosen.sum() / group).astype(jnp.int32)  # groups that contain an uncertain query
        spread = jnp.minimum(jnp.arange(groups * group), count - 1).reshape(groups, group)

        def search(shard: _Shard, nearest: _Nearest) -> _Nearest:
            def search_group(i: Array, nearest: _Nearest) -> _Nearest:
                place = spread[i]
                rows = take_rows(safe, place)
                before = jax.tree.map(lambda a: take_rows(a, place), nearest)
                after = _merge_by_differences(shard, own.points[rows], ids[rows], before, options)
                return jax.tree.map(lambda a, new: a.at[place].set(new), nearest, after)

            return lax.fori_loop(0, filled, search_group, nearest)

        new = ring.visit_all(search, own.points, count, options.k)
        rows = jnp.where(chosen > 0, safe, len(ids))
        found = jax.tree.map(lambda a, new: a.at[rows].set(new, mode="drop"), found, new)
        uncertain = uncertain.at[rows].set(False, mode="drop")
        return found, uncertain, any_left(uncertain)

    uncertain = found.uncertain() & ~own.padding
    return lax.while_loop(lambda state: state[2], round_of_shards, (found, uncertain, any_left(uncertain)))[0]
