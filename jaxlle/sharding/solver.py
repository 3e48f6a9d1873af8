"""The landmark solver over a device mesh."""

from dataclasses import dataclass
from functools import partial

import jax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from .._core.blocks import memory_advice
from ..alignment import Alignment
from ..solvers import Hints, Landmark, Spectrum
from ..solvers.landmark import solve_rows
from ..solvers.rows import Rows
from ..solvers.spectrum import NO_HINTS
from ._mesh import distribute, replicate


@dataclass(frozen=True)
class ShardedLandmark:
    """The landmark solver over a mesh, with the interface of a solver.

    Attributes:
        mesh: devices, in a mesh whose axes have the type `jax.sharding.AxisType.Auto`.
        options: options of the landmark solver.

    Example:
        >>> import jax, jaxlle
        >>> auto = (jax.sharding.AxisType.Auto,)
        >>> mesh = jax.make_mesh((jax.device_count(),), ("points",), axis_types=auto)
        >>> solver = jaxlle.sharding.ShardedLandmark(mesh, jaxlle.solvers.Landmark())
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.embed(jaxlle.lle_alignment(x, k=8), 2, solver=solver, points=x).points.shape
        (100, 2)
    """

    mesh: Mesh
    options: Landmark

    def __call__(self, alignment: Alignment, count: int, key: Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values, without the zero of the constant vector, and their vectors."""
        n = alignment.shape[1]
        if n < self.mesh.size:
            raise ValueError(
                f"There are {n} points, but {self.mesh.size} devices in the mesh: use jaxlle.embed, or a mesh of fewer devices."
            )
        with memory_advice(
            "every device holds several hundred vectors of its shard; use fewer landmarks, or more devices"
        ):
            shards = distribute((alignment, hints), self.mesh)
            spectrum = _solve(*shards, n, count, jax.random.key_data(key), self.options, self.mesh)
            return spectrum._replace(vectors=replicate(spectrum.vectors, n, self.mesh))


@partial(jax.jit, static_argnames=("num_points", "count", "options", "mesh"))
def _solve(
    alignment: Alignment, hints: Hints, num_points: int, count: int, key_data: Array, options: Landmark, mesh: Mesh
) -> Spectrum:
    rows, spec = Rows(num_points, mesh.axis_names), P(mesh.axis_names)

    def local(alignment: Alignment, hints: Hints, key_data: Array) -> Spectrum:
        return solve_rows(alignment, count, jax.random.wrap_key_data(key_data), hints, options, rows)

    out_specs = Spectrum._make((P(), spec, P(), P()))  # all but the vectors are equal on every device
    mapped = jax.shard_map(local, mesh=mesh, in_specs=(spec, spec, P()), out_specs=out_specs, check_vma=False)
    return mapped(alignment, hints, key_data)
