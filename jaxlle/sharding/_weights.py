"""The weights of `jaxlle.sharding`: each device computes those of its shard of the points."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from .._core.points import Points
from ..neighbors import Neighbors
from ..regularizers import Regularizer
from ..weights.barycentric import solve_points
from ._mesh import map_shards


def weights(
    points: Points, neighbors: Neighbors, ridge: Regularizer, mesh: Mesh, block_bytes: int
) -> Float[Array, "n k"]:
    """Compute the weights of prepared points."""
    limits = jnp.finfo(points.dtype)
    unit = jnp.clip(jnp.asarray(np.asarray(points.unit)), limits.tiny, limits.max).astype(points.dtype)
    return _solve_weights(points.coordinates, neighbors, ridge, unit, mesh, block_bytes)


@partial(jax.jit, static_argnames=("mesh", "block_bytes"))
def _solve_weights(
    points: Float[Array, "n d"], neighbors: Neighbors, ridge: Regularizer, unit: Array, mesh: Mesh, block_bytes: int
) -> Float[Array, "n k"]:
    def local(rows: tuple[Array, Neighbors], replicated: tuple[Array, Any, Array]) -> Array:
        ids, own = rows
        points, ridge, unit = replicated
        return solve_points(points, points[ids], own, ridge, unit, block_bytes)

    ids = jnp.arange(points.shape[0], dtype=jnp.int32)
    return map_shards(local, mesh, (ids, neighbors), (points, ridge, unit))
