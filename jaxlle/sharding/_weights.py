"""The weights of `jaxlle.sharding`: local Gram matrices are sums over features, of which a few are gathered at a time."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from .._core.blocks import by_platform, cache_budget, device_limit, memory_advice, take_rows
from .._core.linear import matmul
from .._core.points import Points
from ..neighbors import Neighbors
from ..regularizers import Regularizer
from ..solvers.rows import Rows
from ..weights.gram import gram_scale, in_own_units, solve_grams

# Features gathered at a time, whatever the memory limit: fewer would be read one by one from scattered places.
_LEAST_FEATURES = 8


def weights(
    points: Points, neighbors: Neighbors, ridge: Regularizer, mesh: Mesh, block_bytes: int
) -> Float[Array, "padded k"]:
    """Compute the weights of prepared points from distributed neighbors; return them distributed, zero in the padding."""
    limits = jnp.finfo(points.dtype)
    unit = jnp.clip(jnp.asarray(np.asarray(points.unit)), limits.tiny, limits.max).astype(points.dtype)
    block_bytes = device_limit(block_bytes, mesh.local_devices)
    with memory_advice(f"the weights used block_bytes = {block_bytes}; try {block_bytes // 8}, or more devices"):
        return _solve_weights(points.coordinates, points.shape[0], neighbors, ridge, unit, mesh, block_bytes)


@partial(jax.jit, static_argnames=("num_points", "mesh", "block_bytes"))
def _solve_weights(
    points: Float[Array, "padded d"],
    num_points: int,
    neighbors: Neighbors,
    ridge: Regularizer,
    unit: Array,
    mesh: Mesh,
    block_bytes: int,
) -> Float[Array, "padded k"]:
    rows = Rows(num_points, mesh.axis_names)

    def local(shard: tuple[Array, Neighbors], replicated: tuple[Any, Array]) -> Array:
        return _solve_shard(*shard, *replicated, rows, block_bytes)

    spec = P(mesh.axis_names)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=(spec, P()), out_specs=spec, check_vma=False)
    return mapped((points, neighbors._replace(distances=None)), (ridge, unit))


def _solve_shard(
    points: Float[Array, "q d"], neighbors: Neighbors, ridge: Regularizer, unit: Array, rows: Rows, block_bytes: int
) -> Float[Array, "q k"]:
    """Compute the weights of the points of one device, as `solve_points` does where all points are on one device."""
    (q, d), k = points.shape, neighbors.indices.shape[1]
    scale = gram_scale(d, 2 + rows.all_max(jnp.max(jnp.abs(points))))
    upper = np.triu_indices(k)
    sums = _gram_sums(points * scale, neighbors.indices, upper, rows, block_bytes)
    place = np.zeros((k, k), np.int32)
    place[upper] = place[upper[::-1]] = np.arange(len(upper[0]))

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        matrix, extent = in_own_units(sums[i][place], scale)
        return matrix, jnp.ones(ids.shape, points.dtype), extent

    found = solve_grams(gram, neighbors, ridge, unit, 4 * k * points.dtype.itemsize, block_bytes)
    return jnp.where(rows.is_point(q)[:, None], found, 0)


def _gram_sums(
    points: Float[Array, "q d"],
    indices: Int[Array, "q k"],
    upper: tuple[np.ndarray, np.ndarray],
    rows: Rows,
    block_bytes: int,
) -> Float[Array, "q u"]:
    """Return the entries ``(x_j - x) . (x_l - x)`` of the upper triangles of all local Gram matrices."""
    (q, d), k, itemsize = points.shape, indices.shape[1], points.dtype.itemsize
    total = rows.offset_and_total(q)[1]
    columns = min(d, max(_LEAST_FEATURES, block_bytes // (total * itemsize)))
    sizes = cache_budget(block_bytes).rows(3 * k * max(columns, k) * itemsize, q)

    def add_products(count: int, sums: Array, own: Array, whole: Array, indices: Array) -> Float[Array, "q u"]:
        def add(block: Array, sums: Float[Array, "q u"]) -> Float[Array, "q u"]:
            start = jnp.minimum(block * count, q - count)
            fresh = start + jnp.arange(count) >= block * count
            here, ids, before = (lax.dynamic_slice_in_dim(a, start, count) for a in (own, indices, sums))
            differences = take_rows(whole, ids) - here[:, None]
            products = jax.vmap(lambda a: matmul(a, a.T)[upper])(differences)
            return lax.dynamic_update_slice_in_dim(sums, before + products * fresh[:, None], start, axis=0)

        return lax.fori_loop(0, -(-q // count), add, sums)

    def add_features(block: Array, sums: Float[Array, "q u"]) -> Float[Array, "q u"]:
        # The last block overlaps the one before it; what has been counted is omitted.
        start = jnp.minimum(block * columns, d - columns)
        fresh = start + jnp.arange(columns) >= block * columns
        own = lax.dynamic_slice_in_dim(points, start, columns, axis=1) * fresh
        return by_platform(add_products, sizes, sums, own, rows.all_gather(own), indices)

    return lax.fori_loop(0, -(-d // columns), add_features, jnp.zeros((q, len(upper[0])), points.dtype))
