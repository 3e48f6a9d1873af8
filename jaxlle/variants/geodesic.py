"""ISOLLE: neighbors by the length of paths along the data instead of the straight-line distance."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Int, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes, check_count, is_traced, without_derivative
from .._core.points import prepare_points
from ..alignment import connected_components
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors, knn
from ..neighbors.exact import in_data_units
from ..neighbors.graph import prepare_graph, require_distances
from ..solvers import SolverLike
from .standard import lle


def geodesic_neighbors(
    x: Any,
    k: int,
    *,
    graph_k: int | None = None,
    graph: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Neighbors:
    """Find the k nearest points by shortest paths in a sparse neighborhood graph (Varini, Degenhard and Nattkemper 2006).

    The geodesic distance ``d_G(i, j)``, the length of the shortest path from i to j along the edges of a graph with few
    neighbors per point, follows the data, whereas straight-line distances connect different layers of a manifold (ISOLLE,
    Neurocomputing 69:1768). Edges have no direction. A graph of at least k nearest neighbors per point returns the k nearest
    neighbors themselves. Paths are computed on the host by Dijkstra's algorithm (SciPy), from one block of points at a time;
    the time grows as n^2.

    The method was verified in public code that reproduces the paper (JAVI897, LLE-and-its-variants): edges without direction,
    the k nearest points by path, and weights computed from the coordinates. The graph there has 3 neighbors per point, or all
    neighbors within the smallest radius with which the graph is connected; `radius_neighbors` computes such a `graph`.

    Args:
        x: points, shape (n, d), or a `Points` value; with a given graph only their number is used.
        k: neighbors per point.
        graph_k: neighbors per point in the graph, usually less than k. None: a third of k, but at least 4.
        graph: given graph with distances, in any metric, to use in place of the graph_k nearest neighbors.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Neighbors, nearest first by path, with the lengths of the paths as distances.

    Raises:
        ValueError: if x is not an array of finite numbers, k is out of range, the graph has another number of points or no
            distances, or a component of the graph has at most k points.
        TypeError: inside jit.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> horseshoe = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.9], [1.0, 0.9], [0.0, 0.9]])
        >>> jaxlle.knn(horseshoe, 1).indices[0, 0], jaxlle.variants.geodesic_neighbors(horseshoe, 2, graph_k=2).indices.shape
        (Array(5, dtype=int32), (6, 2))
    """
    if is_traced(x, graph):
        raise TypeError("geodesic_neighbors computes paths on the host and cannot be traced: call it outside jit.")
    points = prepare_points(x)
    n, block_bytes = points.shape[0], check_bytes(block_bytes)
    k = check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points, excluding the point itself")
    if graph is None:
        graph_k = min(max(4, k // 3), n - 1) if graph_k is None else graph_k
        graph = in_data_units(knn(points, graph_k, block_bytes=block_bytes), points)
    else:
        graph = prepare_graph(graph, n)
    sizes = connected_components(graph).sizes
    if sizes.min() <= k:
        raise ValueError(
            f"The graph with {graph.indices.shape[1]} neighbors per point has {len(sizes)} components, the smallest of "
            f"{sizes.min()} points, in which paths do not reach k = {k} other points. Raise graph_k, or lower k."
        )
    ids, lengths = _nearest_by_path(graph, k, block_bytes)
    return Neighbors(jnp.asarray(ids, jnp.int32), jnp.asarray(lengths, require_distances(graph).dtype))


def isolle(
    x: Any,
    dim: int,
    *,
    k: int,
    graph_k: int | None = None,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by ISOLLE: LLE on neighbors by geodesic distance (Varini, Degenhard and Nattkemper 2006).

    The neighbors are those of `geodesic_neighbors`, which also serve as `neighbors=` of any other variant. The weights are
    computed from the coordinates, and ``|(I - W) Y|^2`` is minimized as by `lle`. For a given graph with distances use
    ``lle(x, dim, k=k, neighbors=geodesic_neighbors(x, k, graph=graph))``.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point.
        graph_k: as for `geodesic_neighbors`.
        reg: strength of the ridge of the weights, as for `lle`.
        solver: an object of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`. `dedupe` raises if there are
            copies of points, because the neighbors are found among all points: drop the copies before the call.

    Returns:
        Embedding. Outside jit only; differentiable there, with the neighbors held fixed.

    Raises:
        ValueError: as `lle` and `geodesic_neighbors`.
        TypeError: inside jit.

    Warns:
        JaxlleWarning: as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.variants.isolle(x, 2, k=12).points.shape
        (300, 2)
    """
    points = prepare_points(x)
    fixed = without_derivative(points)  # concrete under grad outside jit
    neighbors = geodesic_neighbors(fixed, k, graph_k=graph_k, block_bytes=options.block_bytes)
    return lle(points, dim, k=k, reg=reg, solver=solver, neighbors=neighbors, options=options)


def _nearest_by_path(
    graph: Neighbors, k: int, block_bytes: int
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Return the indices of the k nearest points by path, and the lengths of the paths."""
    from scipy.sparse import csr_array

    ids, lengths = np.asarray(graph.indices), np.asarray(require_distances(graph), np.float64)
    n, width = ids.shape
    keep = np.ones(ids.shape, bool) if graph.mask is None else np.asarray(graph.mask)
    # Edges between copies have length 0; SciPy keeps the explicit zeros of a sparse graph as edges.
    edges = csr_array((lengths[keep], ids[keep], np.append(0, keep.sum(axis=1).cumsum())), shape=(n, n))
    nearest, distances = np.empty((n, k), np.int64), np.empty((n, k))
    rows = max(1, block_bytes // (16 * n))
    for start in range(0, n, rows):
        sources = np.arange(start, min(n, start + rows))
        limit = float(np.where(keep, lengths, 0)[sources].max()) * max(2, -(-k // width))
        nearest[sources], distances[sources] = _nearest_within(edges, sources, k, limit)
    return nearest, distances


def _nearest_within(edges: Any, sources: Int[np.ndarray, " b"], k: int, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest points by path, searching up to `limit`, which is doubled while points need more."""
    from scipy.sparse.csgraph import dijkstra

    nearest, distances = np.empty((len(sources), k), np.int64), np.empty((len(sources), k))
    missing = np.arange(len(sources))
    while len(missing):
        farthest = limit if limit > 0 else np.inf
        paths = dijkstra(edges, directed=False, indices=sources[missing], limit=farthest)
        paths[np.arange(len(missing)), sources[missing]] = np.inf
        order = np.argsort(paths, axis=1, kind="stable")[:, :k]
        ordered = np.take_along_axis(paths, order, axis=1)
        done = np.isfinite(ordered[:, -1])
        nearest[missing[done]], distances[missing[done]] = order[done], ordered[done]
        missing, limit = missing[~done], 2 * limit
    return nearest, distances
