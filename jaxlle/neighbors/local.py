"""Neighborhoods whose number of members is selected per point, by the straightness of paths along the data."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .. import distances
from .._core.arrays import check_number
from .._core.blocks import BLOCK_BYTES, cache_budget, map_rows
from .._core.checks import check_count
from .._core.points import prepare_points
from .exact import check_shapes, in_data_units, knn
from .graph import Neighbors


def local_neighborhoods(
    x: Any,
    *,
    k_min: int,
    k_max: int,
    detour: Real[ArrayLike, ""] = 1.3,
    block_bytes: int = BLOCK_BYTES,
) -> Neighbors:
    """Select, for every point, the nearest points that are reached by a nearly straight path along the data.

    Two points are joined by an edge if one of them is among the k_min nearest points of the other. Let ``l_ij`` be the length of
    the shortest path from point i to point j along such edges, within i and its k_max nearest points. Point j is a neighbor of i
    if ``l_ij <= detour * |x_i - x_j|`` or if j is among the k_min nearest points of i. Neighborhoods are therefore smaller where
    the surface is curved or close to another sheet, and larger where it is flat. The paths do not leave the neighborhood, so
    that the computation is mapped over the points.

    This criterion, the ratio of geodesic to Euclidean distance in a neighborhood, is a definition of this library. Karbauskaite,
    Kurasova and Dzemyda (2007) and Alvarez-Meza et al. (2011) also choose a k per point, but their texts were not available.

    Args:
        x: points, shape (n, d), or a `Points` value.
        k_min: smallest number of neighbors per point, and number of nearest points that are joined by edges.
        k_max: largest number of neighbors per point.
        detour: largest ratio of the length of a path to the straight distance, at least 1. Paths on a random sample of a plane
            are about 10 to 20 % longer than the straight distance, so that detour = 1 keeps few neighbors.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Neighbors of shape (n, k_max) with a mask, for the argument `neighbors` of `lle` and the variants.

    Raises:
        ValueError: for invalid points, if k_min or k_max is out of range, or if detour < 1.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> neighbors = jaxlle.neighbors.local_neighborhoods(x, k_min=6, k_max=20)
        >>> int(neighbors.mask.sum(axis=1).min()) >= 6
        True
    """
    points = prepare_points(x)
    k_max = check_shapes(points, None, k_max, "k_max")
    check_count(k_min, "k_min", 1, k_max, f"at most k_max = {k_max}")
    allowed = "at least 1, because no path is shorter than a straight line"
    check_number(detour, "detour", allowed, lambda value: value >= 1)
    nearest = knn(points, k_max, block_bytes=block_bytes)
    mask = _has_straight_path(points.coordinates, nearest.indices, detour, k_min, block_bytes)
    return in_data_units(nearest, points)._replace(mask=mask)


@partial(jax.jit, static_argnames=("k_min", "block_bytes"))
def _has_straight_path(
    points: Float[Array, "n d"], ids: Int[Array, "n k"], detour: Any, k_min: int, block_bytes: int
) -> Bool[Array, "n k"]:
    def one(pair: tuple[Array, Array]) -> Bool[Array, " k"]:
        i, neighbors = pair
        members = jnp.concatenate([i[None], neighbors])
        around = points[members]
        lengths = jax.vmap(lambda a: jax.vmap(partial(distances.euclidean, a))(around))(around)
        listed = (ids[members, :k_min, None] == members[None, None, :]).any(axis=1)
        edges = jnp.where(listed | listed.T, lengths, jnp.inf)
        return (_path_lengths(edges)[1:] <= detour * lengths[0, 1:]) | first

    (n, k), d = ids.shape, points.shape[1]
    first = jnp.arange(k) < k_min
    budget = cache_budget(block_bytes)
    return map_rows(one, (jnp.arange(n), ids), budget, (k + 1) ** 2 * (k_min + (d + 2) * points.dtype.itemsize))


def _path_lengths(edges: Float[Array, "m m"]) -> Float[Array, " m"]:
    """Return the lengths of the shortest paths from the first node, by the Bellman-Ford algorithm."""

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        length, _ = state
        shorter = jnp.minimum(length, jnp.min(length[:, None] + edges, axis=0))
        return shorter, (shorter < length).any()

    start = edges[0].at[0].set(0)
    return lax.while_loop(lambda state: state[1], step, (start, jnp.array(True)))[0]
