"""Neighbors by deformed distances (Zhou and Chen 2006), which weighted LLE uses (Pan, Ge and Al Mamun 2009)."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import check_bytes, check_count, is_traced
from .._core.linear import matmul
from .._core.points import Points, prepare_points
from ..neighbors import Neighbors, knn

_MAX_DEFORMATION = 0.9  # at 1 the distance in the opposite direction would be infinite
_POOL = 4  # initial candidates per neighbor


def deformed_neighbors(
    x: Any, k: int, *, dim: int, pool: int | None = None, block_bytes: int = BLOCK_BYTES
) -> Neighbors:
    """Find the k nearest neighbors in a distance that is deformed at each point toward the directions of its neighbors.

    Near point i the data are modeled as a normal distribution stretched by ``1 + b cos(angle to t)``, and the distance to x_j
    is ``|x_j - x_i| / (1 + b cos(angle of x_j - x_i to t))``. The direction t and the deformation b follow from the mean G of
    the differences to the k nearest points and the mean L of their lengths. The directions u of a normal variable Y in `dim`
    dimensions satisfy ``E[u cos(angle to t)] = t / dim``, so that ``G = E|Y| b t / dim`` and ``L = E|Y|``, and therefore
    ``b = dim |G| / L`` and ``t = G / |G|``. A scale of the whole distribution would divide all distances from i by the same
    number and not change its neighbors. These moments are derived here: the idea is that of the cam distribution (Zhou and
    Chen 2006, Pattern Recognition 39:635) and of weighted LLE (Pan, Ge and Al Mamun 2009, Pattern Recognition 42:798), whose
    texts were not available. In contrast to `weighted_alignment` the method changes the neighbors and not the weight of each
    equation. The deformed distance is not symmetric and not a metric.

    Args:
        x: points, shape (n, d), or a `Points` value.
        k: number of neighbors, 1 <= k <= n - 1.
        dim: dimension of the data near a point; b is limited to 0.9.
        pool: number of Euclidean neighbors among which the k are selected, k <= pool <= n - 1. None: as many as are needed
            for the result among all points, outside jit only.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Neighbors of shape (n, k), nearest first, with the deformed distances, for the argument `neighbors` of any variant.

    Raises:
        ValueError: if x is not an array of finite numbers, or k, dim or pool is out of range.
        TypeError: inside jit if pool is None.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 500).points
        >>> jaxlle.lle(x, 2, k=12, neighbors=jaxlle.variants.deformed_neighbors(x, 12, dim=2)).points.shape
        (500, 2)
    """
    points = prepare_points(x)
    limit, block_bytes = points.shape[0] - 1, check_bytes(block_bytes)
    k = check_count(k, "k (n_neighbors)", 1, limit, "less than the number of points")
    dim = check_count(dim, "dim", 1, None, "dimension of the data near a point")
    if pool is not None:
        size = check_count(pool, "pool", k, limit, f"at least k = {k}, and less than the number of points")
        return _nearest(points, k, dim, size, block_bytes)[0]
    if is_traced(points.values):
        raise TypeError(
            "deformed_neighbors enlarges the pool until the result is exact, which jit cannot trace: pass pool."
        )
    size = min(limit, _POOL * k)
    found, exact = _nearest(points, k, dim, size, block_bytes)
    while size < limit and not bool(exact.all()):
        size = min(limit, 2 * size)
        found, exact = _nearest(points, k, dim, size, block_bytes)
    return found


def _nearest(points: Points, k: int, dim: int, size: int, block_bytes: int) -> tuple[Neighbors, Array]:
    """Return the nearest of `size` Euclidean neighbors, and whether they are the nearest of all points."""
    near = knn(points, size, block_bytes=block_bytes)
    indices, dist, exact = _deform(points.coordinates, near.indices, k, dim, block_bytes)
    return Neighbors(indices, dist * jnp.asarray(points.unit, dist.dtype)), exact


@partial(jax.jit, static_argnames=("k", "dim", "block_bytes"))
def _deform(
    points: Float[Array, "n d"], near: Int[Array, "n pool"], k: int, dim: int, block_bytes: int
) -> tuple[Int[Array, "n k"], Float[Array, "n k"], Array]:
    """Return the nearest of the pool in the deformed distance, and whether no point outside the pool can be nearer."""
    fixed = lax.stop_gradient(points)
    tiny = jnp.finfo(points.dtype).tiny

    def one(pair: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        i, ids = pair
        differences = fixed[ids] - fixed[i]
        lengths = jnp.linalg.norm(differences, axis=1)
        mean = differences[:k].mean(axis=0)
        norm = jnp.linalg.norm(mean)
        deformation = jnp.minimum(dim * norm / jnp.maximum(lengths[:k].mean(), tiny), _MAX_DEFORMATION)
        cosines = matmul(differences, mean) / jnp.maximum(lengths * norm, tiny)
        deformed, order = lax.sort((lengths / (1 + deformation * cosines), ids), num_keys=2)
        return order[:k], deformed[:k], deformed[k - 1] <= lengths[-1] / (1 + deformation)

    n, size = near.shape
    return map_rows(one, (jnp.arange(n), near), block_bytes, 3 * size * points.shape[1] * points.dtype.itemsize)
