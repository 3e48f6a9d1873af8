"""Candidates for the neighbors of every point from the lists whose centers are nearest to it, by products of fixed shape.

The queries are taken in the order of the lists, so that those of a block probe few different lists. All pairs of a query and a
list that it probes are sorted by list, and cut into tiles of queries of one list, whose products with the list are computed.
The number of tiles depends on the data, but it is only the bound of a loop on the device.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.blocks import by_platform, cache_budget, take_rows
from .._core.linear import matmul
from ._lists import Lists
from ._selection import largest

TILE = 128  # queries of a tile


class _Pairs(NamedTuple):
    """Pairs of queries and lists, sorted by list, and the tiles of the lists."""

    order: Int[Array, " m"]  # pair j belongs to query j // probes
    starts: Int[Array, " l"]
    ends: Int[Array, " l"]
    tile_ends: Int[Array, " l"]


def candidates(
    points: Float[Array, "n d"], lists: Lists, probes: int, count: int, block_bytes: int
) -> Int[Array, "n c"]:
    """Return for every point the nearest `count` points of the `probes` lists nearest to it, itself included, and -1 for none."""
    n, d = points.shape
    capacity, number = lists.members.shape[1], len(lists.members)
    bytes_per_query = 8 * (number + probes * (capacity + 2) + d)
    rows = int(max(1, min(n, block_bytes // bytes_per_query)))
    group = cache_budget(block_bytes).rows(8 * TILE * capacity + 8 * (TILE + capacity) * d, -(-rows * probes // TILE))

    def find(start: Array) -> Int[Array, "b c"]:
        queries = take_rows(
            points, take_rows(lists.order, jnp.minimum(start + jnp.arange(rows, dtype=np.int32), n - 1))
        )
        probed = largest(matmul(queries, lists.centers.T) - lists.biases, probes)[1]
        values = by_platform(_products, group, points, lists, queries, probed).reshape(rows, probes * capacity)
        best, columns = largest(values, count)
        which = jnp.take_along_axis(probed, columns // capacity, axis=1)
        return jnp.where(best > -jnp.inf, lists.members[which, columns % capacity], -1)

    found = lax.map(find, jnp.arange(0, n, rows, dtype=np.int32)).reshape(-1, count)[:n]
    place = jnp.zeros(n, np.int32).at[lists.order].set(jnp.arange(n, dtype=np.int32), unique_indices=True)
    return take_rows(found, place)


def _products(
    group: int, points: Float[Array, "n d"], lists: Lists, queries: Float[Array, "b d"], probed: Int[Array, "b p"]
) -> Float[Array, "m t"]:
    """Return the negative half squared distances of queries to the members of the lists that they probe, pair by pair."""
    probes, n = probed.shape[1], len(points)
    pairs = _sort_pairs(probed, len(lists.members))
    total = probed.size

    def add(step: Array, values: Float[Array, "m t"]) -> Float[Array, "m t"]:
        which, places = _tiles_of(pairs, step * group + jnp.arange(group, dtype=np.int32))
        # Missing pairs are out of range and different, because writes to equal places are done one after the other.
        missing = total + jnp.arange(group * TILE, dtype=np.int32).reshape(group, TILE)
        pair = jnp.where(places < total, take_rows(pairs.order, jnp.minimum(places, total - 1)), missing)
        members = take_rows(lists.members, which)
        # Relative to the center, differences of near points lose few digits in the products.
        centers = take_rows(lists.centers, which)[:, None]
        a = take_rows(queries, jnp.minimum(pair, total - 1) // probes) - centers
        b = take_rows(points, jnp.minimum(members, n - 1)) - centers
        product = jnp.einsum("gqd,gtd->gqt", a, b, precision=lax.Precision.HIGHEST)
        squares = jnp.where(members < n, jnp.sum(b**2, axis=2), jnp.inf)
        product = product - squares[:, None] / 2 - jnp.sum(a**2, axis=2)[:, :, None] / 2
        return values.at[pair.reshape(-1)].set(product.reshape(-1, product.shape[2]), mode="drop", unique_indices=True)

    empty = jnp.full((total, lists.members.shape[1]), -jnp.inf, np.float32)
    return lax.fori_loop(0, -(-pairs.tile_ends[-1] // group), add, empty)


def _sort_pairs(probed: Int[Array, "b p"], number: int) -> _Pairs:
    lists, order = lax.sort((probed.reshape(-1), jnp.arange(probed.size, dtype=np.int32)), num_keys=1)
    bounds = jnp.searchsorted(lists, jnp.arange(number + 1, dtype=lists.dtype)).astype(np.int32)
    starts, ends = bounds[:-1], bounds[1:]
    return _Pairs(order, starts, ends, jnp.cumsum(-(-(ends - starts) // TILE)).astype(np.int32))


def _tiles_of(pairs: _Pairs, tiles: Int[Array, " g"]) -> tuple[Int[Array, " g"], Int[Array, "g q"]]:
    """Return the list of each tile, and the places of its pairs, beyond all pairs where it has fewer."""
    which = jnp.searchsorted(pairs.tile_ends, tiles, side="right")
    exists = which < len(pairs.starts)
    which = jnp.minimum(which, len(pairs.starts) - 1)
    ends = pairs.ends[which]
    before = pairs.tile_ends[which] - -(-(ends - pairs.starts[which]) // TILE)
    places = (pairs.starts[which] + (tiles - before) * TILE)[:, None] + jnp.arange(TILE, dtype=np.int32)
    return which, jnp.where((places < ends[:, None]) & exists[:, None], places, len(pairs.order))
