"""LLE with the points distributed over a device mesh: several GPUs, a TPU slice, or several hosts.

Each device computes the neighbors and the weights of its share of the points, and holds the points once and its share of every
vector of the solver; the stages are those of a single device inside `jax.shard_map`. The results equal those of one device up
to rounding and are returned whole on every device. A number of points that is not divisible by the number of devices is padded.

On one host, a GPU node or a TPU slice, a mesh over all devices is sufficient:

    >>> import jax, jaxlle
    >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
    >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
    >>> jaxlle.sharding.lle(x, 2, k=12, mesh=mesh).solver
    'ShardedLandmark'

On several hosts, every process calls ``jax.distributed.initialize(...)`` first, creates the same mesh over all devices, and
runs the same program with the same data (a NumPy array on every host, or a global `jax.Array`). If a host fails, the others end
with an error after the heartbeat timeout of JAX. Save the graph with `jaxlle.neighbors.save`, so that a new run can start from
`jaxlle.neighbors.load`.

The tests use eight simulated devices and two real processes (tests/test_sharding.py). The module has not been tested on
accelerators yet. Notebook 07 has a guide for GPU nodes and TPU slices.
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
from jaxtyping import Array, ArrayLike, Float, Real

from . import distances
from ._core.blocks import BLOCK_BYTES, memory_advice
from ._core.checks import check_dim
from ._core.points import Points, check_spread, prepare_points
from .alignment import Alignment, weights_alignment
from .embedding import Embedding, EmbedOptions
from .embedding import embed as embed_alignment
from .embedding.embed import DEFAULTS
from .neighbors import Neighbors, blockwise
from .neighbors.exact import check_shapes, in_data_units
from .neighbors.graph import warn_of_duplicates
from .regularizers import Regularizer, as_regularizer
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
    """Find the k nearest neighbours of every point, each device those of its share: see `jaxlle.knn`.

    Every device holds all points once.

    Args:
        x: points, shape (n, d): the same NumPy array in every process, or a global `jax.Array`.
        k: number of neighbours.
        mesh: devices; the points are spread over all its axes.
        metric: "euclidean", "manhattan", "chebyshev", or a JAX function of two vectors.
        block_bytes: memory that one block of queries may take on a device.

    Returns:
        Neighbors, whole on every device.

    Raises:
        ValueError: as `jaxlle.knn`.

    Example:
        >>> import jax, jaxlle
        >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.sharding.knn(x, 5, mesh=mesh).indices.shape
        (100, 5)
    """
    mesh = _automatic(mesh)
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
    """Embed the points of an alignment, of any variant, with every vector spread over the mesh: see `jaxlle.embed`.

    Args:
        alignment: the local maps of all points.
        dim: number of columns.
        mesh: devices.
        solver: options of the solver, which is `Landmark`.
        options: as for `jaxlle.embed`.
        points: as for `jaxlle.embed`.

    Returns:
        Embedding, whole on every device.

    Raises:
        ValueError: as `jaxlle.embed`.

    Example:
        >>> import jax, jaxlle
        >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.sharding.embed(jaxlle.lle_alignment(x, k=8), 2, mesh=mesh, points=x).points.shape
        (100, 2)
    """
    spread = ShardedLandmark(_automatic(mesh), solver)
    return embed_alignment(alignment, dim, solver=spread, options=options, points=points)


def lle(
    x: Any,
    dim: int,
    *,
    k: int,
    mesh: Mesh,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    solver: Landmark = _LANDMARK,
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by locally linear embedding over a mesh of devices: see `jaxlle.lle`.

    Args:
        x: as for `knn`.
        dim: dimensions of the embedding.
        k: neighbours a point.
        mesh: devices; the points are spread over all its axes.
        reg: as for `jaxlle.lle`.
        solver: options of the solver, which is `Landmark`.
        neighbors: a given graph, from `knn` here in another metric or from `jaxlle.neighbors.load`; None: Euclidean neighbors.
        options: as for `jaxlle.lle`; the memory of a block is that on one device.

    Returns:
        Embedding, whole on every device.

    Raises:
        ValueError: as `jaxlle.lle`.

    Example:
        >>> import jax, jaxlle
        >>> mesh = jax.make_mesh((jax.device_count(),), ("points",))
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.sharding.lle(x, 2, k=10, mesh=mesh).points.shape
        (300, 2)
    """
    mesh = _automatic(mesh)
    points = _prepare(x, "euclidean", mesh)
    check_spread(points)
    dim = check_dim(dim, k, points.shape, points.metric)
    check_reg(reg, k, points.shape[1])
    if neighbors is None:
        neighbors = _search(points, k, mesh, options.block_bytes)
        warn_of_duplicates(neighbors)
    weights = _weights(points, neighbors, as_regularizer(reg), mesh, options.block_bytes)
    alignment = weights_alignment(neighbors, require_finite_weights(weights, reg))
    return embed(alignment, dim, mesh=mesh, solver=solver, options=options, points=points)


def _automatic(mesh: Mesh) -> Mesh:
    """Return the mesh with axes whose shardings the compiler propagates: results then mix freely with other arrays."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * mesh.devices.ndim)


def _prepare(x: Any, metric: Metric, mesh: Mesh) -> Points:
    """Validate points, center and scale them, and put their coordinates on every device."""
    points = prepare_points(x, metric=metric)
    if points.metric in (distances.PRECOMPUTED, distances.cosine):
        raise ValueError(
            f"metric = {metric!r} is not available over a mesh: use 'euclidean', 'manhattan', 'chebyshev' or a JAX function "
            f"(cosine neighbors are the Euclidean neighbors of rows scaled to norm 1)."
        )
    return replace(points, coordinates=_replicate(points.coordinates, mesh))


def _replicate(x: Array, mesh: Mesh) -> Array:
    """Put an array on every device of a mesh."""
    local = x if len(x.sharding.device_set) > 1 else np.asarray(x)  # equal in every process
    return jax.device_put(local, NamedSharding(mesh, P()))


def _search(points: Points, k: int, mesh: Mesh, block_bytes: int) -> Neighbors:
    """Find the neighbors of prepared points; distances are in the units that `jaxlle.knn` gives them."""
    k = check_shapes(points, None, k)
    named = points.metric in (distances.euclidean, distances.manhattan, distances.chebyshev)
    # A function may mean anything, so its points stay as they are.
    x = points.coordinates if named else _replicate(jnp.asarray(points.values, points.dtype), mesh)
    return _knn(x, k, points.metric, mesh, block_bytes)


def _in_shares(function: Callable, mesh: Mesh, shares: Any, whole: Any) -> Any:
    """Apply a function of every device's share of some rows, and of whole arrays, and put the rows together."""
    n = jax.tree.leaves(shares)[0].shape[0]
    more = -n % mesh.size
    filled = jax.tree.map(lambda a: jnp.pad(a, [(0, more)] + [(0, 0)] * (a.ndim - 1)), shares)
    split = P(mesh.axis_names)
    spread = jax.shard_map(function, mesh=mesh, in_specs=(split, P()), out_specs=split, check_vma=False)
    out = jax.tree.map(lambda a: a[:n], spread(filled, whole))
    return lax.with_sharding_constraint(out, NamedSharding(mesh, P()))


@partial(jax.jit, static_argnames=("k", "metric", "mesh", "block_bytes"))
def _knn(points: Float[Array, "n d"], k: int, metric: Callable, mesh: Mesh, block_bytes: int) -> Neighbors:
    def share(ids: Array, points: Array) -> Neighbors:
        return Neighbors(*blockwise.nearest_of_rows(points, ids, k, metric, block_bytes))

    return _in_shares(share, mesh, jnp.arange(points.shape[0], dtype=jnp.int32), points)


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
    def share(rows: tuple[Array, Neighbors], whole: tuple[Array, Any, Array]) -> Array:
        ids, own = rows
        points, ridge, unit = whole
        return solve_points(points, points[ids], own, ridge, unit, block_bytes)

    ids = jnp.arange(points.shape[0], dtype=jnp.int32)
    return _in_shares(share, mesh, (ids, neighbors), (points, ridge, unit))


@dataclass(frozen=True)
class ShardedLandmark:
    """The landmark solver over a mesh, with a solver's contract."""

    mesh: Mesh
    options: Landmark

    def __call__(self, alignment: Alignment, count: int, key: Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values beyond the constant's, with their vectors."""
        if hints.points is not None:
            hints = hints._replace(points=_replicate(hints.points, self.mesh))
        with memory_advice(
            "every device holds some hundred vectors of its share; try fewer landmarks, or more devices"
        ):
            return _solve(alignment, count, key, hints, self.options, self.mesh)


@partial(jax.jit, static_argnames=("count", "options", "mesh"))
def _solve(alignment: Alignment, count: int, key: Array, hints: Hints, options: Landmark, mesh: Mesh) -> Spectrum:
    rows = Rows(alignment.shape[1], mesh.axis_names)

    def share(shares: tuple[Alignment, Hints], whole: Array) -> tuple[Array, Any]:
        own, hints = shares
        found = solve_rows(own, count, jax.random.wrap_key_data(whole), hints, options, rows)
        told = (found.singular_values, found.num_components, found.converged)
        return found.vectors, jax.tree.map(lambda a: a[None], told)  # the same on every device

    vectors, told = _in_shares(share, mesh, (alignment, hints), jax.random.key_data(key))
    values, num_components, converged = jax.tree.map(lambda a: a[0], told)
    return Spectrum(values, vectors, num_components, converged)
