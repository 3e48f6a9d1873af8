"""The graph of an alignment or of neighborhoods: connected components, closed classes, and width."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from .._core.arrays import read_floats
from .._core.checks import is_traced
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph

if TYPE_CHECKING:
    from .operator import Alignment


class Components(NamedTuple):
    """The connected components of a neighborhood graph, on the host.

    Attributes:
        labels: the component of each point, by descending size: 0 for the largest component, shape (n,).
        sizes: number of points of each component, shape (components,).
        closed: the indices of the points of each closed class, a minimal set of points whose neighborhoods lie within the set.
            Each closed class gives B one null vector and so one zero singular value. A connected graph has several if points
            between two clusters have neighbors in both. In an alignment with r > 1 a block connects all points of a
            neighborhood with each other, so that the closed classes are the components.
    """

    labels: Int[np.ndarray, " n"]
    sizes: Int[np.ndarray, " components"]
    closed: tuple[np.ndarray, ...]


def connected_components(graph: "Neighbors | Alignment") -> Components:
    """Find the connected components of a neighborhood graph, without edge directions, and its closed classes, with directions.

    Args:
        graph: neighborhoods (masked neighbors are no edges), or an alignment (zero entries are no edges).

    Returns:
        Components.

    Raises:
        ValueError: if indices are not integers, or out of range.
        TypeError: inside jit, where `Embedding.num_components` counts the null vectors.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [10.0], [11.0], [12.0]])
        >>> jaxlle.alignment.connected_components(jaxlle.knn(x, 1)).sizes.tolist()
        [3, 2]
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components as components_of

    if is_traced(graph):
        raise TypeError("connected_components runs on the host: call it outside jit, or read Embedding.num_components.")
    edges = _edges(graph)
    count, classes = components_of(edges, directed=True, connection="strong")
    own, other = np.repeat(classes, np.diff(edges.indptr)), classes[edges.indices]
    across = own != other
    leaving = np.bincount(own[across], minlength=count) > 0
    # The components follow from the few edges between strong classes, without a second pass over all edges.
    between = csr_array((np.ones(across.sum(), np.int8), (own[across], other[across])), shape=(count, count))
    labels = components_of(between, directed=False)[1][classes]
    by_size = np.argsort(-np.bincount(labels), kind="stable")
    labels = np.argsort(by_size)[labels]
    closed = tuple(np.flatnonzero(classes == c) for c in np.flatnonzero(~leaving))
    return Components(labels, np.bincount(labels), closed)


def num_closed_classes(alignment: "Alignment") -> Int[Array, ""]:
    """Count the closed classes of the graph of an alignment, as `connected_components` does, in a form that runs under jit.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> from jaxlle.alignment.connectivity import num_closed_classes
        >>> int(num_closed_classes(jaxlle.lle_alignment(jnp.array([[0.0], [1.0], [10.0], [11.0], [12.0]]), k=1)))
        2
    """
    indices, present = alignment.indices, jnp.abs(alignment.blocks).max(axis=1) > 0
    own = jnp.arange(indices.shape[0], dtype=indices.dtype)

    if alignment.blocks.shape[1] > 1:

        def connect(labels: Array) -> Array:
            most = jnp.where(present, labels[indices], -1).max(axis=1)
            labels = labels.at[indices].max(jnp.where(present, most[:, None], -1))
            return labels[labels]

        return (_fixed_point(connect, own) == own).sum(dtype=jnp.int32)

    def highest(labels: Array) -> Array:
        labels = jnp.maximum(labels, jnp.where(present, labels[indices], -1).max(axis=1))
        return labels[labels]  # what is reachable from the highest reachable point is reachable

    def lowest(labels: Array) -> Array:
        return jnp.minimum(labels, jnp.where(present, labels[indices], len(own)).min(axis=1))

    # A closed class is represented by its highest point, which reaches no higher point and is reached from all that it reaches.
    reached = _fixed_point(highest, own)
    return ((reached == own) & (_fixed_point(lowest, reached) == own)).sum(dtype=jnp.int32)


def _fixed_point(step: Callable[[Array], Array], labels: Int[Array, " n"]) -> Int[Array, " n"]:
    """Iterate a step until the labels do not change."""

    def body(state: tuple[Array, Array]) -> tuple[Array, Array]:
        new = step(state[0])
        return new, (new != state[0]).any()

    return lax.while_loop(lambda state: state[1], body, (labels, jnp.array(True)))[0]


def graph_width(graph: "Neighbors | Alignment") -> int:
    """Return the width of a graph: the largest number of points at the same distance from a peripheral point.

    Distances are numbers of edges, without directions. The width grows as n^(1 - 1/d) for data of intrinsic dimension d. It
    bounds the separators of the graph, which determine the fill of a sparse factorization.

    Args:
        graph: neighborhoods (masked neighbors are no edges), or an alignment. Of a disconnected graph, the component of the
            point with the highest in-degree is measured.

    Returns:
        The width, on the host.

    Raises:
        ValueError: if indices are not integers, or out of range.
        TypeError: inside jit.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> ring = jnp.arange(10)[:, None] + jnp.array([-1, 1])
        >>> jaxlle.alignment.graph_width(jaxlle.neighbors.as_neighbors(ring % 10))
        2
    """
    from scipy.sparse.csgraph import breadth_first_order

    if is_traced(graph):
        raise TypeError("graph_width runs on the host: call it outside jit.")
    edges = _edges(graph)
    reverse = edges.T.tocsr()
    start = int(np.diff(reverse.indptr).argmax())
    both = _joined(edges, reverse)
    for _ in range(2):  # the point reached last is peripheral
        order, before = breadth_first_order(both, start)
        start = int(order[-1])
    place = np.empty(edges.shape[0], np.int64)
    place[order] = np.arange(len(order))
    parents = place[before[order[1:]]]  # ascending, so that the children of a level are consecutive
    bounds = [0, 1]
    while bounds[-1] < len(order):
        bounds.append(1 + int(np.searchsorted(parents, bounds[-1])))
    return int(np.diff(bounds).max())


def _joined(first: Any, second: Any) -> Any:
    """Return the sum of two graphs, in which edges of both are listed twice: half of the time of adding sorted matrices."""
    from scipy.sparse import csr_array, get_index_dtype

    count = first.nnz + second.nnz
    starts = first.indptr.astype(np.int64) + second.indptr
    ends = np.empty(count, first.indices.dtype)
    for edges, shift in ((first, second.indptr[:-1]), (second, first.indptr[1:])):
        ends[np.arange(edges.nnz) + np.repeat(shift, np.diff(edges.indptr))] = edges.indices
    # SciPy's searches would convert other values to float64 each time.
    return csr_array((np.ones(count), ends, starts.astype(get_index_dtype(maxval=count))), shape=first.shape)


def _read_graph(graph: Any) -> Any:
    """Return a graph with validated arrays; SciPy writes outside its arrays where indices are out of range."""
    if not hasattr(graph, "blocks"):
        return prepare_graph(graph)
    indices = prepare_graph(Neighbors(graph.indices, None)).indices
    blocks = read_floats(graph.blocks, "graph.blocks", "n r m")
    if blocks.shape[::2] != indices.shape or 0 in blocks.shape:
        raise ValueError(
            f"An alignment needs indices of shape (n, m) and blocks of shape (n, r, m), got {indices.shape} and {blocks.shape}."
        )
    return graph._replace(indices=indices, blocks=blocks)


def _edges(graph: Any) -> Any:
    from scipy.sparse import csr_array

    graph = _read_graph(graph)
    if hasattr(graph, "blocks"):
        present = np.abs(np.asarray(graph.blocks)).max(axis=1) > 0
    else:
        present = np.ones(graph.indices.shape, bool) if graph.mask is None else np.asarray(graph.mask)
    n = len(graph.indices)
    columns = np.asarray(graph.indices).ravel()[present.ravel()]
    if hasattr(graph, "blocks") and graph.blocks.shape[1] > 1:
        # Several equations connect all points of a neighborhood with each other: the edges of a star, in both directions.
        first = np.asarray(graph.indices)[np.arange(n), present.argmax(axis=1)]
        rows = np.repeat(first, present.sum(axis=1))
        rows, columns = np.concatenate([rows, columns]), np.concatenate([columns, rows])
        return csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    starts = np.concatenate([[0], present.sum(axis=1).cumsum()]).astype(np.int32)
    return csr_array((np.ones(len(columns), np.int8), columns, starts), shape=(n, n))
