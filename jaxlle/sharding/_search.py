"""The neighbor search of `jaxlle.sharding`: the shards of the points travel around the ring of devices."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import jax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from .. import distances
from .._core.blocks import device_limit, memory_advice
from .._core.checks import check_bytes
from .._core.ladder import to_device
from .._core.points import Points, prepare_points
from ..neighbors import Neighbors
from ..neighbors.exact import check_shapes
from ..neighbors.ring import Ring, nearest_in_ring
from ._mesh import distribute

Metric = Literal["euclidean", "manhattan", "chebyshev"] | Callable


def prepare(x: Any, metric: Metric, mesh: Mesh) -> Points:
    """Validate, center and scale the points, and distribute their coordinates, which may be followed by rows of zeros."""
    points = prepare_points(x, metric=metric)
    if points.metric in (distances.PRECOMPUTED, distances.cosine):
        raise ValueError(
            f"metric = {metric!r} is not available over a mesh: use 'euclidean', 'manhattan', 'chebyshev' or a JAX function "
            f"(cosine neighbors are the Euclidean neighbors of rows scaled to norm 1)."
        )
    return replace(points, scaled=distribute(points.coordinates, mesh))


def search(points: Points, k: int, mesh: Mesh, block_bytes: int) -> Neighbors:
    """Find the neighbors of prepared points; return them distributed, with padding.

    Distances are in the same units as those of `jaxlle.knn` for a `Points` value.
    """
    k, block_bytes = check_shapes(points, None, k), device_limit(check_bytes(block_bytes), mesh.local_devices)
    named = points.metric in (distances.euclidean, distances.manhattan, distances.chebyshev)
    # A metric given as a function need not be invariant to translation and scale, so it is applied to the points as given.
    x = points.coordinates if named else distribute(to_device(points.values, points.dtype), mesh)
    with memory_advice(
        f"the neighbor search used block_bytes = {block_bytes}; try {block_bytes // 8}, or more devices"
    ):
        return _knn(x, points.shape[0], k, points.metric, mesh, block_bytes)


@partial(jax.jit, static_argnames=("num_points", "k", "metric", "mesh", "block_bytes"))
def _knn(
    points: Float[Array, "padded d"], num_points: int, k: int, metric: Callable, mesh: Mesh, block_bytes: int
) -> Neighbors:
    def local(points: Float[Array, "q d"]) -> Neighbors:
        return Neighbors(*nearest_in_ring(points, Ring(num_points, mesh.axis_names), k, metric, block_bytes))

    spec = P(mesh.axis_names)
    return jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)(points)
