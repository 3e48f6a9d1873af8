"""LLE with the points distributed over a device mesh: several GPUs, a TPU slice, or several hosts.

Each device computes the neighbors and the weights of its shard of the points, and holds all points once and its shard of every
vector of the solver. The stages are those of a single device inside `jax.shard_map`. The results equal those of one device up
to rounding and are replicated on every device. If the number of points is not divisible by the number of devices, it is padded.

One GPU needs no mesh: `jaxlle.lle` runs on it. On one host, a node of several GPUs or a TPU slice, a mesh over all devices is
sufficient:

    >>> import jax, jaxlle
    >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
    >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
    >>> jaxlle.sharding.lle(x, 2, k=12, mesh=mesh).solver
    'ShardedLandmark'

On several hosts, every process calls ``jax.distributed.initialize(...)`` first, creates the same mesh over all devices, and
runs the same program with the same data (a NumPy array on every host, or a global `jax.Array`). On a TPU slice the call needs
no arguments. Under SLURM it needs none with one process per GPU, and ``local_device_ids=list(range(8))`` with one process per
node of eight GPUs, which holds the data once per node. Notebook 07 has a program, a SLURM script and a command for TPU slices.

# Memory

With n points of d features, k neighbors and p devices, in float32, the compiled programs plan for about these bytes on every
device; the terms without p do not fall with more devices:

| stage | bytes |
| --- | --- |
| neighbors | 4 n (2 d + d / p + 2 k), and one block of `block_bytes` |
| weights | less than the neighbors |
| solver | 4 n (d + 2 k + 200 + 200 / p) |

# If a host fails

The others end with an error after the heartbeat timeout of JAX, an argument of ``jax.distributed.initialize`` (100 seconds by
default), and no host returns a partial result. JAX cannot replace a process, so all are started again, by the scheduler or by
hand. Save the graph with `jaxlle.neighbors.save`, so that the new run can start from `jaxlle.neighbors.load`.

# Tests

The tests use eight simulated devices and two real processes (tests/test_sharding.py, tests/test_guide_of_hosts.py). The module
has not been tested on accelerators yet.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from . import distances
from ._core.blocks import BLOCK_BYTES, memory_advice
from ._core.calls import explain_calls
from ._core.checks import check_bytes, check_dim
from ._core.points import Points, check_spread, prepare_points
from .alignment import Alignment, weights_alignment
from .embedding import Embedding, EmbedOptions
from .embedding import embed as embed_alignment
from .embedding.embed import DEFAULTS
from .neighbors import Neighbors, blockwise
from .neighbors.exact import check_shapes, in_data_units, require_finite_metric
from .neighbors.graph import prepare_graph, warn_of_duplicates
from .regularizers import Regularizer, RegularizerLike, as_regularizer
from .solvers import Hints, Landmark, Spectrum
from .solvers.landmark import solve_rows
from .solvers.rows import Rows
from .solvers.spectrum import NO_HINTS
from .weights.barycentric import solve_points
from .weights.gram import check_reg, require_finite_weights

__all__ = ["ShardedLandmark", "embed", "knn", "lle"]

Metric = Literal["euclidean", "manhattan", "chebyshev"] | Callable
_LANDMARK = Landmark()


def knn(x: Any, k: int, *, mesh: Mesh, metric: Metric = "euclidean", block_bytes: int = BLOCK_BYTES) -> Neighbors:
    """Find the k nearest neighbors of every point, with the points distributed over a mesh: see `jaxlle.knn`.

    ``N_i`` contains the k points j other than i with the smallest distances ``d(x_i, x_j)``. Each device searches the
    neighbors of its shard among all points, which it holds once.

    Args:
        x: points, shape (n, d), or a `Points` value: the same NumPy array in every process, or a global `jax.Array`.
        k: number of neighbors, 1 <= k <= n - 1.
        mesh: devices; the points are distributed over all axes of the mesh.
        metric: "euclidean", "manhattan", "chebyshev", or a JAX function of two vectors.
        block_bytes: memory limit of one block of queries on a device, in bytes.

    Returns:
        Neighbors of shape (n, k), replicated on every device, with distances in the units of the metric.

    Raises:
        ValueError: as `jaxlle.knn`; also for the metrics "cosine" and "precomputed".

    Example:
        >>> import jax, jaxlle
        >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.sharding.knn(x, 5, mesh=mesh).indices.shape
        (100, 5)
    """
    mesh = _with_auto_axes(mesh)
    points = _prepare(x, metric, mesh)
    return in_data_units(_search(points, k, mesh, block_bytes), points)


def embed(
    alignment: Alignment,
    dim: int,
    *,
    mesh: Mesh,
    solver: Landmark = _LANDMARK,
    options: EmbedOptions = DEFAULTS,
    points: Any = None,
) -> Embedding:
    """Embed the points of an alignment, with every vector of the solver distributed over a mesh: see `jaxlle.embed`.

    Minimizes ``|B Y|^2`` over centered Y with orthonormal columns, for the alignment B of any variant.

    Args:
        alignment: the local maps of all points.
        dim: number of columns, 1 <= dim <= n - 1.
        mesh: devices; the points are distributed over all axes of the mesh.
        solver: options of the landmark solver, the only one that runs over a mesh.
        options: scaling, disconnected graphs and random key, as for `jaxlle.embed`.
        points: the data of the alignment, as for `jaxlle.embed`.

    Returns:
        Embedding, replicated on every device.

    Raises:
        ValueError: as `jaxlle.embed`.
        MemoryError: if the memory of a device is not sufficient.

    Warns:
        JaxlleWarning: as `jaxlle.embed`.

    Example:
        >>> import jax, jaxlle
        >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.sharding.embed(jaxlle.lle_alignment(x, k=8), 2, mesh=mesh, points=x).points.shape
        (100, 2)
    """
    sharded = ShardedLandmark(_with_auto_axes(mesh), solver)
    return embed_alignment(alignment, dim, solver=sharded, options=options, points=points)


def lle(
    x: Any,
    dim: int,
    *,
    k: int,
    mesh: Mesh,
    reg: RegularizerLike = 1e-3,
    solver: Landmark = _LANDMARK,
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by locally linear embedding, with the points distributed over a mesh: see `jaxlle.lle`.

    Minimizes ``|(I - W) Y|^2`` over centered Y with orthonormal columns (Roweis and Saul 2000, Science 290:2323). Neighbors are
    Euclidean, unless x is a `Points` value of another metric. For another metric pass
    ``neighbors=knn(x, k, mesh=mesh, metric=...)`` with the `knn` of this module.

    Args:
        x: points, shape (n, d), or a `Points` value: the same NumPy array in every process, or a global `jax.Array`.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point.
        mesh: devices; the points are distributed over all axes of the mesh.
        reg: strength of the ridge of the weights, or an object of `jaxlle.regularizers`, as for `jaxlle.lle`.
        solver: options of the landmark solver, the only one that runs over a mesh.
        neighbors: graph to use in place of the k nearest neighbors, such as one from `jaxlle.neighbors.load`; its width
            replaces k.
        options: scaling, disconnected graphs, random key and memory limit on one device; see `EmbedOptions`. `dedupe` is not
            available.

    Returns:
        Embedding, replicated on every device.

    Raises:
        ValueError: as `jaxlle.lle`; also for options.dedupe.
        MemoryError: as `embed`.

    Warns:
        JaxlleWarning: as `jaxlle.lle`.

    Example:
        >>> import jax, jaxlle
        >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.sharding.lle(x, 2, k=10, mesh=mesh).points.shape
        (300, 2)
    """
    mesh = _with_auto_axes(mesh)
    points = _prepare(x, "euclidean", mesh)
    check_spread(points)
    if neighbors is not None:
        neighbors = prepare_graph(neighbors, points.shape[0])
        k = neighbors.indices.shape[1]
    dim = check_dim(dim, k, points.shape, points.metric)
    check_reg(reg, k, points.shape[1])
    if neighbors is None:
        neighbors = _search(points, k, mesh, options.block_bytes)
        warn_of_duplicates(neighbors)
    weights = _weights(points, neighbors, as_regularizer(reg), mesh, options.block_bytes)
    alignment = weights_alignment(neighbors, require_finite_weights(weights, reg))
    return embed(alignment, dim, mesh=mesh, solver=solver, options=options, points=points)


def _with_auto_axes(mesh: Mesh) -> Mesh:
    """Return the mesh with axes of type Auto, so that the compiler propagates shardings and results combine with other arrays."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * mesh.devices.ndim)


def _prepare(x: Any, metric: Metric, mesh: Mesh) -> Points:
    """Validate, center and scale the points, and replicate their coordinates on every device."""
    points = prepare_points(x, metric=metric)
    if points.metric in (distances.PRECOMPUTED, distances.cosine):
        raise ValueError(
            f"metric = {metric!r} is not available over a mesh: use 'euclidean', 'manhattan', 'chebyshev' or a JAX function "
            f"(cosine neighbors are the Euclidean neighbors of rows scaled to norm 1)."
        )
    return replace(points, scaled=_replicate(points.coordinates, mesh))


def _replicate(x: Array, mesh: Mesh) -> Array:
    """Replicate an array on every device of a mesh."""
    source = x if len(x.sharding.device_set) > 1 else np.asarray(x)  # the same in every process
    return jax.device_put(source, NamedSharding(mesh, P()))


def _search(points: Points, k: int, mesh: Mesh, block_bytes: int) -> Neighbors:
    """Find the neighbors of prepared points; distances are in the same units as those of `jaxlle.knn` for a `Points` value."""
    k = check_shapes(points, None, k)
    named = points.metric in (distances.euclidean, distances.manhattan, distances.chebyshev)
    # A metric given as a function need not be invariant to translation and scale, so it is applied to the points as given.
    x = points.coordinates if named else _replicate(jnp.asarray(points.values, points.dtype), mesh)
    return require_finite_metric(_knn(x, k, points.metric, mesh, check_bytes(block_bytes)), points.metric)


def _map_shards(function: Callable, mesh: Mesh, rows: Any, replicated: Any) -> Any:
    """Apply a function of the shard of some rows on each device, and of replicated arrays, and return all rows of the results."""
    n = jax.tree.leaves(rows)[0].shape[0]
    padding = -n % mesh.size
    padded = jax.tree.map(lambda a: jnp.pad(a, [(0, padding)] + [(0, 0)] * (a.ndim - 1)), rows)
    spec = P(mesh.axis_names)
    mapped = jax.shard_map(function, mesh=mesh, in_specs=(spec, P()), out_specs=spec, check_vma=False)
    out = jax.tree.map(lambda a: a[:n], mapped(padded, replicated))
    return lax.with_sharding_constraint(out, NamedSharding(mesh, P()))


@partial(jax.jit, static_argnames=("k", "metric", "mesh", "block_bytes"))
def _knn(points: Float[Array, "n d"], k: int, metric: Callable, mesh: Mesh, block_bytes: int) -> Neighbors:
    def local(ids: Array, points: Array) -> Neighbors:
        return Neighbors(*blockwise.nearest_of_rows(points, ids, k, metric, block_bytes))

    return _map_shards(local, mesh, jnp.arange(points.shape[0], dtype=jnp.int32), points)


def _weights(
    points: Points, neighbors: Neighbors, ridge: Regularizer, mesh: Mesh, block_bytes: int
) -> Float[Array, "n k"]:
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
    return _map_shards(local, mesh, (ids, neighbors), (points, ridge, unit))


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
            hints = hints._replace(points=_replicate(hints.points, self.mesh))
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

    vectors, diagnostics = _map_shards(local, mesh, (alignment, hints), jax.random.key_data(key))
    values, num_components, converged = jax.tree.map(lambda a: a[0], diagnostics)
    return Spectrum(values, vectors, num_components, converged)


explain_calls(__name__)
