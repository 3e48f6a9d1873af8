"""The neighbor search of `jaxlle.sharding`: each device searches the neighbors of its shard of the points."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from .. import distances
from .._core.checks import check_bytes
from .._core.points import Points, prepare_points
from ..neighbors import Neighbors, blockwise
from ..neighbors.exact import check_shapes, require_finite_metric
from ._mesh import map_shards, replicate

Metric = Literal["euclidean", "manhattan", "chebyshev"] | Callable


def prepare(x: Any, metric: Metric, mesh: Mesh) -> Points:
    """Validate, center and scale the points, and replicate their coordinates on every device."""
    points = prepare_points(x, metric=metric)
    if points.metric in (distances.PRECOMPUTED, distances.cosine):
        raise ValueError(
            f"metric = {metric!r} is not available over a mesh: use 'euclidean', 'manhattan', 'chebyshev' or a JAX function "
            f"(cosine neighbors are the Euclidean neighbors of rows scaled to norm 1)."
        )
    return replace(points, scaled=replicate(points.coordinates, mesh))


def search(points: Points, k: int, mesh: Mesh, block_bytes: int) -> Neighbors:
    """Find the neighbors of prepared points; distances are in the same units as those of `jaxlle.knn` for a `Points` value."""
    k = check_shapes(points, None, k)
    named = points.metric in (distances.euclidean, distances.manhattan, distances.chebyshev)
    # A metric given as a function need not be invariant to translation and scale, so it is applied to the points as given.
    x = points.coordinates if named else replicate(jnp.asarray(points.values, points.dtype), mesh)
    return require_finite_metric(_knn(x, k, points.metric, mesh, check_bytes(block_bytes)), points.metric)


@partial(jax.jit, static_argnames=("k", "metric", "mesh", "block_bytes"))
def _knn(points: Float[Array, "n d"], k: int, metric: Callable, mesh: Mesh, block_bytes: int) -> Neighbors:
    def local(ids: Array, points: Array) -> Neighbors:
        return Neighbors(*blockwise.nearest_of_rows(points, ids, k, metric, block_bytes))

    return map_shards(local, mesh, jnp.arange(points.shape[0], dtype=jnp.int32), points)
