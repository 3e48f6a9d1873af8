"""ISOLLE: neighbours by the length of paths along the data instead of the straight distance through space."""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Int, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count, is_traced, without_derivative
from .._core.points import prepare_points
from ..alignment import connected_components
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors, knn
from ..neighbors.exact import in_data_units
from ..neighbors.graph import require_distances
from ..solvers import Solver
from .standard import lle


def geodesic_neighbors(
    x: Any,
    k: int,
    *,
    graph_k: int | None = None,
    graph: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Neighbors:
    """Find the k nearest points by shortest paths in a graph of few neighbours (Varini, Degenhard and Nattkemper 2006).

    Distances along the edges of a narrow graph follow the data where straight ones jump between its sheets (ISOLLE,
    Neurocomputing 69:1768). Edges count both ways. A graph as wide as k has nothing to add: its k nearest are the k nearest. On
    the host, by Dijkstra's algorithm (SciPy) from a block of points at a time; time grows as n^2.

    Checked against public code that reproduces the paper (JAVI897, LLE-and-its-variants): edges both ways, the k nearest by path,
    and weights made of the coordinates. Its graph is one of 3 neighbours, or of all within a radius, the smallest that leaves
    the graph whole: `radius_neighbors` makes such a `graph`.

    Args:
        x: points, shape (n, d); not used with a ready graph.
        k: neighbours a point.
        graph_k: neighbours a point in the graph; fewer than k. None: a third of k, but at least 4.
        graph: a ready graph with distances, in any metric, to use in place of the nearest neighbours.
        block_bytes: memory that one block of points may take.

    Returns:
        Neighbors, nearest first by path, with the paths' lengths.

    Raises:
        ValueError: for bad points, k out of range, or a graph with a part of k points or fewer.
        TypeError: inside jit.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> horseshoe = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.9], [1.0, 0.9], [0.0, 0.9]])
        >>> jaxlle.knn(horseshoe, 1).indices[0, 0], jaxlle.variants.geodesic_neighbors(horseshoe, 2, graph_k=2).indices.shape
        (Array(5, dtype=int32), (6, 2))
    """
    if is_traced(x, graph):
        raise TypeError("geodesic_neighbors follows paths on the host, which jit cannot: call it outside jit.")
    points = prepare_points(x)
    n = points.shape[0]
    k = check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points less itself")
    if graph is None:
        graph_k = min(max(4, k // 3), n - 1) if graph_k is None else graph_k
        graph = in_data_units(knn(points, graph_k, block_bytes=block_bytes), points)
    elif graph.indices.shape[0] != n:
        raise ValueError(f"graph has {graph.indices.shape[0]} rows, but x has {n} points: one neighbourhood each.")
    sizes = connected_components(graph).sizes
    if sizes.min() <= k:
        raise ValueError(
            f"The graph of {graph.indices.shape[1]} neighbours falls into {len(sizes)} parts, the smallest of {sizes.min()} "
            f"points: no path leads to k = {k} others. Raise graph_k, or lower k."
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
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by ISOLLE: LLE on neighbours by geodesic distance (Varini, Degenhard and Nattkemper 2006).

    See `geodesic_neighbors`, which serves every other variant as `neighbors=` too. Weights are made of the coordinates, as ever.

    Args:
        x: points, shape (n, d).
        dim: dimensions of the embedding, at most d.
        k: neighbours a point.
        graph_k: as for `geodesic_neighbors`.
        reg: strength of the regularizer of the weights.
        solver: one of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        Embedding. Outside jit only.

    Raises:
        ValueError: as `lle` and `geodesic_neighbors`.
        TypeError: inside jit.

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
    from scipy.sparse import csr_array

    ids, lengths = np.asarray(graph.indices), np.asarray(require_distances(graph), np.float64)
    n, width = ids.shape
    keep = np.ones(ids.shape, bool) if graph.mask is None else np.asarray(graph.mask)
    # A path of length 0, between copies, is a path: SciPy keeps explicit zeros of a sparse graph.
    edges = csr_array((lengths[keep], ids[keep], np.append(0, keep.sum(axis=1).cumsum())), shape=(n, n))
    found, far = np.empty((n, k), np.int64), np.empty((n, k))
    rows = max(1, block_bytes // (16 * n))
    for start in range(0, n, rows):
        sources = np.arange(start, min(n, start + rows))
        reach = float(np.where(keep, lengths, 0)[sources].max()) * max(2, -(-k // width))
        found[sources], far[sources] = _within_reach(edges, sources, k, reach)
    return found, far


def _within_reach(edges: Any, sources: Int[np.ndarray, " b"], k: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest by path, searching no farther than `reach` and then twice as far for those that need it."""
    from scipy.sparse.csgraph import dijkstra

    found, far = np.empty((len(sources), k), np.int64), np.empty((len(sources), k))
    missing = np.arange(len(sources))
    while len(missing):
        limit = reach if reach > 0 else np.inf
        paths = dijkstra(edges, directed=False, indices=sources[missing], limit=limit)
        paths[np.arange(len(missing)), sources[missing]] = np.inf
        near = np.argsort(paths, axis=1, kind="stable")[:, :k]
        length = np.take_along_axis(paths, near, axis=1)
        done = np.isfinite(length[:, -1])
        found[missing[done]], far[missing[done]] = near[done], length[done]
        missing, reach = missing[~done], 2 * reach
    return found, far
