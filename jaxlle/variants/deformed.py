"""Neighbours by deformed distances (Zhou and Chen 2006), as weighted LLE takes them (Pan, Ge and Al Mamun 2009)."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import check_count, is_traced
from .._core.linear import matmul
from .._core.points import Points, prepare_points
from ..neighbors import Neighbors, knn

_MOST = 0.9  # of the deformation: at 1 the distance would vanish in one direction
_POOL = 4  # candidates a neighbour, to begin with


def deformed_neighbors(
    x: Any, k: int, *, dim: int, pool: int | None = None, block_bytes: int = BLOCK_BYTES
) -> Neighbors:
    """Find the k nearest neighbours in a distance that each point deforms towards where its own neighbours lie.

    Around point i the data are taken as a normal cloud stretched by ``1 + b cos(angle to t)``, and the distance to x_j is
    ``|x_j - x_i| / (1 + b cos(angle of x_j - x_i to t))``. Direction t and deformation b follow from the mean G of the
    spokes to the k nearest points and the mean L of their lengths: the directions u of a normal cloud Y in `dim` dimensions
    have ``E[u cos(angle to t)] = t / dim``, so ``G = E|Y| b t / dim`` and ``L = E|Y|``: ``b = dim |G| / L`` and ``t = G / |G|``.
    A scale of the whole cloud would divide all distances from i alike, and leave its neighbours as they are. These moments are
    derived here: the idea is that of the cam distribution (Zhou and Chen 2006, Pattern Recognition 39:635) and of weighted
    LLE (Pan, Ge and Al Mamun 2009, Pattern Recognition 42:798), whose texts were not available. Unlike `weighted_alignment`
    it changes who is a neighbour, not what an equation counts. Not symmetric, and no metric.

    Args:
        x: points, shape (n, d).
        k: number of neighbours, 1 <= k <= n - 1.
        dim: dimension of the data around a point; b is cut at 0.9.
        pool: Euclidean neighbours to choose among, k <= pool <= n - 1. None: as many as make the answer that among all
            points, outside jit.
        block_bytes: memory that one block of points may take.

    Returns:
        Neighbors of shape (n, k), nearest first, with the deformed distances; for the `neighbors` of any variant.

    Raises:
        ValueError: for bad points, k, dim or pool out of range.
        TypeError: inside jit without a pool.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 500).points
        >>> jaxlle.lle(x, 2, k=12, neighbors=jaxlle.variants.deformed_neighbors(x, 12, dim=2)).points.shape
        (500, 2)
    """
    points = prepare_points(x)
    most = points.shape[0] - 1
    k = check_count(k, "k (n_neighbors)", 1, most, "fewer than the points")
    dim = check_count(dim, "dim", 1, None, "of the data around a point")
    if pool is not None:
        size = check_count(pool, "pool", k, most, f"at least k = {k}, fewer than the points")
        return _nearest(points, k, dim, size, block_bytes)[0]
    if is_traced(points.values):
        raise TypeError("deformed_neighbors widens its pool until the answer is sure, which jit cannot: give pool.")
    size = min(most, _POOL * k)
    found, sure = _nearest(points, k, dim, size, block_bytes)
    while size < most and not bool(sure.all()):
        size = min(most, 2 * size)
        found, sure = _nearest(points, k, dim, size, block_bytes)
    return found


def _nearest(points: Points, k: int, dim: int, size: int, block_bytes: int) -> tuple[Neighbors, Array]:
    near = knn(points, size, block_bytes=block_bytes)
    indices, dist, sure = _deform(points.coordinates, near.indices, k, dim, block_bytes)
    return Neighbors(indices, dist * jnp.asarray(points.unit, dist.dtype)), sure


@partial(jax.jit, static_argnames=("k", "dim", "block_bytes"))
def _deform(
    points: Float[Array, "n d"], near: Int[Array, "n pool"], k: int, dim: int, block_bytes: int
) -> tuple[Int[Array, "n k"], Float[Array, "n k"], Array]:
    """Return the nearest of the pool in the deformed distance, and whether no point beyond it can be nearer."""
    fixed = lax.stop_gradient(points)
    tiny = jnp.finfo(points.dtype).tiny

    def one(pair: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        i, ids = pair
        spokes = fixed[ids] - fixed[i]
        lengths = jnp.linalg.norm(spokes, axis=1)
        mean = spokes[:k].mean(axis=0)
        pull = jnp.linalg.norm(mean)
        deformation = jnp.minimum(dim * pull / jnp.maximum(lengths[:k].mean(), tiny), _MOST)
        along = matmul(spokes, mean) / jnp.maximum(lengths * pull, tiny)
        deformed, order = lax.sort((lengths / (1 + deformation * along), ids), num_keys=2)
        return order[:k], deformed[:k], deformed[k - 1] <= lengths[-1] / (1 + deformation)

    n, size = near.shape
    return map_rows(one, (jnp.arange(n), near), block_bytes, 3 * size * points.shape[1] * points.dtype.itemsize)
