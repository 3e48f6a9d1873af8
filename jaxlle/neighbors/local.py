"""A number of neighbours for every point: as many as the surface is nearly flat over."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .. import distances
from .._core.blocks import BLOCK_BYTES, cache_budget, map_rows
from .._core.checks import check_count, is_traced
from .._core.points import prepare_points
from .exact import in_data_units, knn
from .graph import Neighbors


def local_neighborhoods(
    x: Any,
    *,
    k_min: int,
    k_max: int,
    detour: Real[ArrayLike, ""] = 1.3,
    block_bytes: int = BLOCK_BYTES,
) -> Neighbors:
    """Select every point's neighbours: those among the nearest that the way along the data leads to nearly straight.

    The edges between points of which one is among the k_min nearest of the other make a graph; along it, within the k_max
    nearest, every neighbour has a shortest path from the point. A neighbour stays whose path is at most `detour` times its
    distance: where the surface bends, or another sheet of it comes near, neighbourhoods shrink, and where it is flat they
    grow. The k_min nearest always stay. Paths stay within the neighbourhood, so that it maps over the points. This is our
    definition of local neighbourhood selection by the ratio of geodesic to Euclidean distance: Karbauskaite, Kurasova and Dzemyda
    (2007) and Alvarez-Meza et al. (2011) choose a k for every point too, but their texts were not available.

    Args:
        x: points, shape (n, d).
        k_min: neighbours that every point keeps, and those that paths are made of.
        k_max: neighbours that a point may have.
        detour: largest ratio of a path's length to the straight distance, at least 1. Paths on a random sample of a plane
            are some 10 to 20 % longer than straight, so 1 keeps few.
        block_bytes: memory that one block of points may take.

    Returns:
        Neighbors of shape (n, k_max), with a mask; for `lle(..., neighbors=)` and every other variant.

    Raises:
        ValueError: for bad points, k_min or k_max, or detour < 1.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> near = jaxlle.neighbors.local_neighborhoods(x, k_min=6, k_max=20)
        >>> int(near.mask.sum(axis=1).min()) >= 6
        True
    """
    points = prepare_points(x)
    check_count(k_min, "k_min", 1, k_max, f"at most k_max = {k_max}")
    if not is_traced(detour) and not np.asarray(detour) >= 1:
        raise ValueError(f"detour = {detour} is not allowed: no path is shorter than straight, so it is at least 1.")
    near = knn(points, k_max, block_bytes=block_bytes)
    mask = _straight(points.coordinates, near.indices, detour, k_min, block_bytes)
    return in_data_units(near, points)._replace(mask=mask)


@partial(jax.jit, static_argnames=("k_min", "block_bytes"))
def _straight(
    points: Float[Array, "n d"], ids: Int[Array, "n k"], detour: Any, k_min: int, block_bytes: int
) -> Bool[Array, "n k"]:
    def one(pair: tuple[Array, Array]) -> Bool[Array, " k"]:
        i, near = pair
        members = jnp.concatenate([i[None], near])
        spokes = points[members]
        far = jax.vmap(lambda a: jax.vmap(partial(distances.euclidean, a))(spokes))(spokes)
        looks = (ids[members, :k_min, None] == members[None, None, :]).any(axis=1)
        return (_path_lengths(jnp.where(looks | looks.T, far, jnp.inf))[1:] <= detour * far[0, 1:]) | first

    (n, k), d = ids.shape, points.shape[1]
    first = jnp.arange(k) < k_min
    budget = cache_budget(block_bytes)
    return map_rows(one, (jnp.arange(n), ids), budget, (k + 1) ** 2 * (k_min + (d + 2) * points.dtype.itemsize))


def _path_lengths(edges: Float[Array, "m m"]) -> Float[Array, " m"]:
    """Return the lengths of the shortest paths from the first node (Bellman and Ford)."""

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        length, _ = state
        shorter = jnp.minimum(length, jnp.min(length[:, None] + edges, axis=0))
        return shorter, (shorter < length).any()

    start = edges[0].at[0].set(0)
    return lax.while_loop(lambda state: state[1], step, (start, jnp.array(True)))[0]
