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
from dataclasses import dataclass
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
from ._core.checks import check_dim, check_spread
from ._core.points import Standardized, as_points, standardize
from .alignment import Alignment, weights_alignment
from .embedding import Embedding
from .embedding import embed as embed_alignment
from .embedding.embed import Disconnected, Scaling
from .neighbors import Neighbors, blockwise
from .neighbors.exact import check_shapes
from .neighbors.graph import in_units, warn_of_duplicates
from .regularizers import Regularizer, trace_ridge
from .solvers import Hints, Landmark, Spectrum
from .solvers.landmark import solve_rows
from .solvers.rows import Rows
from .solvers.spectrum import NO_HINTS
from .weights.barycentric import solve_points
from .weights.gram import check_reg, require_finite_weights

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
    x, metric, mesh = as_points(x), _resolved(metric), _automatic(mesh)
    k = check_shapes(x, None, k, metric)
    standard = _standard(x, mesh)
    return in_units(_knn(standard.points, k, metric, mesh, block_bytes), standard.unit, False)


def embed(
    alignment: Alignment,
    dim: int,
    *,
    mesh: Mesh,
    solver: Landmark = _LANDMARK,
    scaling: Scaling = "unit",
    disconnected: Disconnected = "warn",
    key: Array | None = None,
    points: Float[Any, "n d"] | None = None,
) -> Embedding:
    """Embed the points of an alignment, of any variant, with every vector spread over the mesh: see `jaxlle.embed`.

    Args:
        alignment: the local maps of all points.
        dim: number of columns.
        mesh: devices.
        solver: options of the solver, which is `Landmark`.
        scaling: as for `jaxlle.embed`.
        disconnected: as for `jaxlle.embed`.
        key: as for `jaxlle.embed`.
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
    return embed_alignment(
        alignment, dim, solver=spread, scaling=scaling, disconnected=disconnected, key=key, points=points
    )


def lle(
    x: Any,
    dim: int,
    *,
    k: int,
    mesh: Mesh,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: Landmark = _LANDMARK,
    metric: Metric = "euclidean",
    regularizer: Regularizer = trace_ridge,
    neighbors: Neighbors | None = None,
    scaling: Scaling = "unit",
    disconnected: Disconnected = "warn",
    key: Array | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Embedding:
    """Embed points by locally linear embedding over a mesh of devices: see `jaxlle.lle`.

    Args:
        x: as for `knn`.
        dim: dimensions of the embedding.
        k: neighbours a point.
        mesh: devices; the points are spread over all its axes.
        reg: as for `jaxlle.lle`.
        solver: options of the solver, which is `Landmark`.
        metric: as for `knn`.
        regularizer: as for `jaxlle.lle`.
        neighbors: a ready graph to use in place of `knn`.
        scaling: as for `jaxlle.lle`.
        disconnected: as for `jaxlle.lle`.
        key: as for `jaxlle.lle`.
        block_bytes: memory that one block may take on a device.

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
    x, metric, mesh = as_points(x), _resolved(metric), _automatic(mesh)
    dim = check_dim(dim, k, x.shape, metric)
    check_reg(reg, regularizer, k, x.shape[1])
    points, _, unit = _standard(x, mesh)
    if neighbors is None:
        neighbors = knn_of(points, x, k, metric, mesh, block_bytes)
    weights = require_finite_weights(
        _weights(points, neighbors, jnp.asarray(reg), unit, regularizer, mesh, block_bytes), reg
    )
    alignment = weights_alignment(neighbors, weights)
    return embed(
        alignment, dim, mesh=mesh, solver=solver, scaling=scaling, disconnected=disconnected, key=key, points=points
    )


def knn_of(points: Array, x: Any, k: int, metric: Any, mesh: Mesh, block_bytes: int) -> Neighbors:
    """Find the neighbours of standardised points, and look for what should not pass silently."""
    check_spread(points)
    found = _knn(points, check_shapes(x, None, k, metric), metric, mesh, block_bytes)
    warn_of_duplicates(found)
    return found


def _automatic(mesh: Mesh) -> Mesh:
    """Return the mesh with axes whose shardings the compiler propagates: results then mix freely with other arrays."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * mesh.devices.ndim)


def _resolved(metric: Metric) -> Any:
    resolved = distances.resolve(metric)
    if resolved in (distances.PRECOMPUTED, distances.cosine):
        raise ValueError(
            f"metric = {metric!r} is not available over a mesh: use 'euclidean', 'manhattan', 'chebyshev' or a JAX function "
            f"(cosine neighbours are the euclidean ones of rows scaled to norm 1)."
        )
    return resolved


def _standard(x: Any, mesh: Mesh) -> Standardized:
    """Return standardised points, whole on every device."""
    here = isinstance(x, np.ndarray)  # every process makes the same; as NumPy arrays they can go anywhere
    standard = jax.tree.map(np.asarray, standardize(x)) if here else jax.jit(standardize)(x)
    everywhere = NamedSharding(mesh, P())
    dtype = standard.points.dtype
    points, center, unit = (jax.device_put(a, everywhere) for a in standard)
    return Standardized(points, center, jnp.clip(unit, jnp.finfo(dtype).tiny, jnp.finfo(dtype).max).astype(dtype))


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


@partial(jax.jit, static_argnames=("regularizer", "mesh", "block_bytes"))
def _weights(
    points: Float[Array, "n d"],
    near: Neighbors,
    reg: Array,
    unit: Array,
    regularizer: Regularizer,
    mesh: Mesh,
    block_bytes: int,
) -> Float[Array, "n k"]:
    def share(rows: tuple[Array, Neighbors], whole: tuple[Array, Array, Array]) -> Array:
        ids, own = rows
        points, reg, unit = whole
        return solve_points(points, points[ids], own, reg, unit, regularizer, block_bytes)

    ids = jnp.arange(points.shape[0], dtype=jnp.int32)
    return _in_shares(share, mesh, (ids, near), (points, reg, unit))


@dataclass(frozen=True)
class ShardedLandmark:
    """The landmark solver over a mesh, with a solver's contract."""

    mesh: Mesh
    options: Landmark

    def __call__(self, alignment: Alignment, count: int, key: Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values beyond the constant's, with their vectors."""
        if hints.points is not None:
            hints = hints._replace(points=_standard(hints.points, self.mesh).points)
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
