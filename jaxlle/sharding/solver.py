"""The landmark solver over a device mesh."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh
from jaxtyping import Array

from .._core.blocks import memory_advice
from ..alignment import Alignment
from ..solvers import Hints, Landmark, Spectrum
from ..solvers.landmark import solve_rows
from ..solvers.rows import Rows
from ..solvers.spectrum import NO_HINTS
from ._mesh import map_shards, replicate


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
        if hints.points is not None:
            hints = hints._replace(points=replicate(hints.points, self.mesh))
        with memory_advice(
            "every device holds several hundred vectors of its shard; use fewer landmarks, or more devices"
        ):
            return _solve(alignment, count, key, hints, self.options, self.mesh)


@partial(jax.jit, static_argnames=("count", "options", "mesh"))
def _solve(alignment: Alignment, count: int, key: Array, hints: Hints, options: Landmark, mesh: Mesh) -> Spectrum:
    rows = Rows(alignment.shape[1], mesh.axis_names)

    def local(shard: tuple[Alignment, Hints], key_data: Array) -> tuple[Array, Any]:
        own, hints = shard
        spectrum = solve_rows(own, count, jax.random.wrap_key_data(key_data), hints, options, rows)
        diagnostics = (spectrum.singular_values, spectrum.num_components, spectrum.converged)
        return spectrum.vectors, jax.tree.map(lambda a: a[None], diagnostics)  # the same on every device

    vectors, diagnostics = map_shards(local, mesh, (alignment, hints), jax.random.key_data(key))
    values, num_components, converged = jax.tree.map(lambda a: a[0], diagnostics)
    return Spectrum(values, vectors, num_components, converged)
