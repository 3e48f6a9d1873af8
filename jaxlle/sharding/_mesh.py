"""Arrays over a device mesh: replicated on every device, or distributed by rows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array


def with_auto_axes(mesh: Mesh) -> Mesh:
    """Return the mesh with axes of type Auto, so that the compiler propagates shardings and results combine with other arrays."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * mesh.devices.ndim)


def replicate(x: Array, mesh: Mesh) -> Array:
    """Replicate an array on every device of a mesh."""
    source = x if len(x.sharding.device_set) > 1 else np.asarray(x)  # the same in every process
    return jax.device_put(source, NamedSharding(mesh, P()))


def map_shards(function: Callable, mesh: Mesh, rows: Any, replicated: Any) -> Any:
    """Apply a function of the shard of some rows on each device, and of replicated arrays, and return all rows of the results."""
    n = jax.tree.leaves(rows)[0].shape[0]
    padding = -n % mesh.size
    padded = jax.tree.map(lambda a: jnp.pad(a, [(0, padding)] + [(0, 0)] * (a.ndim - 1)), rows)
    spec = P(mesh.axis_names)
    mapped = jax.shard_map(function, mesh=mesh, in_specs=(spec, P()), out_specs=spec, check_vma=False)
    out = jax.tree.map(lambda a: a[:n], mapped(padded, replicated))
    return lax.with_sharding_constraint(out, NamedSharding(mesh, P()))
