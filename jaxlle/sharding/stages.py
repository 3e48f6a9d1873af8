"""The stages of LLE over a device mesh, and all of them in one call."""

from typing import Any

from jax.sharding import Mesh

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_dim
from .._core.points import check_spread
from ..alignment import Alignment, weights_alignment
from ..embedding import Embedding, EmbedOptions
from ..embedding import embed as embed_alignment
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..neighbors.exact import in_data_units, require_finite_metric
from ..neighbors.graph import prepare_graph, warn_of_duplicates
from ..regularizers import RegularizerLike, as_regularizer
from ..solvers import Landmark
from ..weights.gram import check_reg, require_finite_weights
from ._mesh import distribute, replicate, with_auto_axes
from ._search import Metric, prepare, search
from ._weights import weights as compute_weights
from .solver import ShardedLandmark

_LANDMARK = Landmark()


def knn(x: Any, k: int, *, mesh: Mesh, metric: Metric = "euclidean", block_bytes: int = BLOCK_BYTES) -> Neighbors:
    """Find the k nearest neighbors of every point, with the points distributed over a mesh: see `jaxlle.knn`.

    ``N_i`` contains the k points j other than i with the smallest distances ``d(x_i, x_j)``. Each device keeps its shard as
    queries and searches their neighbors among the shards of all devices, which visit it one after the other.

    Args:
        x: points, shape (n, d), or a `Points` value: the same NumPy array in every process, or a global `jax.Array`.
        k: number of neighbors, 1 <= k <= n - 1.
        mesh: devices; the points are distributed over all axes of the mesh.
        metric: "euclidean", "manhattan", "chebyshev", or a JAX function of two vectors.
        block_bytes: memory limit of one block of queries on a device, in bytes, as for `jaxlle.knn`.

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
    mesh = with_auto_axes(mesh)
    points = prepare(x, metric, mesh)
    found = replicate(search(points, k, mesh, block_bytes), points.shape[0], mesh)
    return in_data_units(require_finite_metric(found, points.metric), points)


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
        ValueError: as `jaxlle.embed`; also if there are fewer points than devices.
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
    sharded = ShardedLandmark(with_auto_axes(mesh), solver)
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
    mesh = with_auto_axes(mesh)
    points = prepare(x, "euclidean", mesh)
    check_spread(points)
    if neighbors is not None:
        neighbors = prepare_graph(neighbors, points.shape[0])
        k = neighbors.indices.shape[1]
    dim = check_dim(dim, k, points.shape, points.metric)
    check_reg(reg, k, points.shape[1])
    if neighbors is None:
        shards = search(points, k, mesh, options.block_bytes)
        neighbors = require_finite_metric(replicate(shards, points.shape[0], mesh), points.metric)
        warn_of_duplicates(neighbors)
    else:
        shards = distribute(neighbors, mesh)
    shards = compute_weights(points, shards, as_regularizer(reg), mesh, options.block_bytes)
    weights = require_finite_weights(replicate(shards, points.shape[0], mesh), reg)
    alignment = weights_alignment(neighbors, weights)
    return embed(alignment, dim, mesh=mesh, solver=solver, options=options, points=points)
