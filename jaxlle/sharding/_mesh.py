"""Arrays over a device mesh: their rows distributed over all axes, or replicated on every device."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from .._core.blocks import ROWS_AT_A_TIME


def with_auto_axes(mesh: Mesh) -> Mesh:
    """Return the mesh with axes of type Auto, so that the compiler propagates shardings and results combine with other arrays."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * mesh.devices.ndim)


def by_rows(mesh: Mesh) -> NamedSharding:
    """Return the sharding of arrays whose rows are distributed over all axes of a mesh."""
    return NamedSharding(mesh, P(mesh.axis_names))


def distribute(rows: Any, mesh: Mesh) -> Any:
    """Distribute the rows of arrays over a mesh, followed by zeros so that all devices have the same multiple of a few rows.

    Args:
        rows: pytree of arrays; arrays on the host or on one device must be the same in every process.
        mesh: devices.
    """
    return jax.tree.map(partial(_distribute, mesh=mesh), rows)


def _distribute(a: Any, mesh: Mesh) -> Array:
    n, sharding = a.shape[0], by_rows(mesh)
    padded = (n + -n % (mesh.size * ROWS_AT_A_TIME), *a.shape[1:])
    if isinstance(a, jax.Array) and len(a.sharding.device_set) > 1:
        return jax.device_put(a, sharding) if padded == a.shape else _pad(a, padded[0], sharding)
    host = np.asarray(a)

    def shard(index: Any) -> np.ndarray:
        own = host[index]
        wanted = len(range(padded[0])[index[0]])
        return own if len(own) == wanted else np.pad(own, [(0, wanted - len(own)), *[(0, 0)] * (own.ndim - 1)])

    return jax.make_array_from_callback(padded, sharding, shard)


@partial(jax.jit, static_argnames=("size", "sharding"))
def _pad(a: Array, size: int, sharding: NamedSharding) -> Array:
    padded = jnp.pad(a, [(0, size - a.shape[0]), *[(0, 0)] * (a.ndim - 1)])
    return jax.lax.with_sharding_constraint(padded, sharding)


@partial(jax.jit, static_argnames=("count", "mesh"))
def replicate(rows: Any, count: int, mesh: Mesh) -> Any:
    """Return the first rows of distributed arrays, without the padding, on every device."""
    return jax.lax.with_sharding_constraint(jax.tree.map(lambda a: a[:count], rows), NamedSharding(mesh, P()))
