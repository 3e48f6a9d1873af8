"""Neighbour graphs: taking one from another index, and finding the parts that it falls into."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from ._archive import replacing
from ._files import opened
from ._inputs import is_traced
from .neighbors import Neighbors

if TYPE_CHECKING:
    from .alignment import Alignment

_FORMAT = 1  # of saved graphs


class Components(NamedTuple):
    """The parts of a neighbour graph, on the host.

    Attributes:
        labels: the part of each point, shape (n,): 0 for the largest part, then by falling size.
        sizes: number of points in each part.
        closed: one array of point numbers for each closed class: a smallest set of points that no member's
            neighbourhood leaves. Each gives B one null vector, so there are as many zero singular values; a
            connected graph may have several, where points between two clusters look into both. The blocks of an
            alignment with r > 1 tie all members of a neighbourhood to each other: its closed classes are its parts.
    """

    labels: Int[np.ndarray, " n"]
    sizes: Int[np.ndarray, " parts"]
    closed: tuple[np.ndarray, ...]


def connected_components(graph: "Neighbors | Alignment") -> Components:
    """Find the parts of a neighbour graph (edges taken both ways) and its closed classes (edges as they point).

    Args:
        graph: neighbourhoods (a mask is honoured), or an alignment (zero entries are no edges).

    Returns:
        Components.

    Raises:
        TypeError: inside jit; there the result of `embed` counts the null vectors in `num_components`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [10.0], [11.0], [12.0]])
        >>> jaxlle.connected_components(jaxlle.knn(x, 1)).sizes.tolist()
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
    # What ties the strong classes to each other decides the parts: few edges, where all have been looked at once.
    between = csr_array((np.ones(across.sum(), np.int8), (own[across], other[across])), shape=(count, count))
    labels = components_of(between, directed=False)[1][classes]
    by_size = np.argsort(-np.bincount(labels), kind="stable")
    labels = np.argsort(by_size)[labels]
    closed = tuple(np.flatnonzero(classes == c) for c in np.flatnonzero(~leaving))
    return Components(labels, np.bincount(labels), closed)


def num_closed_classes(alignment: "Alignment") -> Int[Array, ""]:
    """Count the closed classes of an alignment's graph, as `connected_components` does, in a form that runs under jit.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> from jaxlle.graph import num_closed_classes
        >>> int(num_closed_classes(jaxlle.lle_alignment(jnp.array([[0.0], [1.0], [10.0], [11.0], [12.0]]), k=1)))
        2
    """
    indices, present = alignment.indices, jnp.abs(alignment.blocks).max(axis=1) > 0
    own = jnp.arange(indices.shape[0], dtype=indices.dtype)

    if alignment.blocks.shape[1] > 1:

        def tie(labels: Array) -> Array:
            most = jnp.where(present, labels[indices], -1).max(axis=1)
            labels = labels.at[indices].max(jnp.where(present, most[:, None], -1))
            return labels[labels]

        return (_settled(tie, own) == own).sum(dtype=jnp.int32)

    def highest(labels: Array) -> Array:
        labels = jnp.maximum(labels, jnp.where(present, labels[indices], -1).max(axis=1))
        return labels[labels]  # what the highest point within reach reaches is within reach

    def lowest(labels: Array) -> Array:
        return jnp.minimum(labels, jnp.where(present, labels[indices], len(own)).min(axis=1))

    # A closed class is named by its highest point: it reaches no higher one, and nothing that it reaches does not reach it.
    reached = _settled(highest, own)
    return ((reached == own) & (_settled(lowest, reached) == own)).sum(dtype=jnp.int32)


def _settled(step: Callable[[Array], Array], labels: Int[Array, " n"]) -> Int[Array, " n"]:
    """Apply a step until it changes nothing."""

    def body(state: tuple[Array, Array]) -> tuple[Array, Array]:
        new = step(state[0])
        return new, (new != state[0]).any()

    return lax.while_loop(lambda state: state[1], body, (labels, jnp.array(True)))[0]


def graph_width(graph: "Neighbors | Alignment") -> int:
    """Return the largest number of points at one distance, in edges taken both ways, from a point at the rim.

    It grows as n^(1 - 1/d) for data of intrinsic dimension d, and bounds the separators of the graph, from which the
    fill of a sparse factorisation grows.

    Args:
        graph: neighbourhoods (a mask is honoured), or an alignment; of several parts, the one with the most looked-at point.

    Returns:
        The width, on the host.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> ring = jnp.arange(10)[:, None] + jnp.array([-1, 1])
        >>> jaxlle.graph_width(jaxlle.as_neighbors(ring % 10))
        2
    """
    from scipy.sparse.csgraph import breadth_first_order

    edges = _edges(graph)
    reverse = edges.T.tocsr()  # which sorts, and so does the way back: cheaper than to sort
    start = int(np.diff(reverse.indptr).argmax())
    both = reverse.T.tocsr() + reverse
    for _ in range(2):  # the point reached last lies at the rim
        order, before = breadth_first_order(both, start)
        start = int(order[-1])
    place = np.empty(edges.shape[0], np.int64)
    place[order] = np.arange(len(order))
    parents = place[before[order[1:]]]  # ascending, so that a level's children are a stretch of the order
    bounds = [0, 1]
    while bounds[-1] < len(order):
        bounds.append(1 + int(np.searchsorted(parents, bounds[-1])))
    return int(np.diff(bounds).max())


def as_neighbors(indices: Any, distances: Any = None, *, num_points: int | None = None) -> Neighbors:
    """Take a ready graph from another index (faiss, pynndescent, cuVS, scikit-learn) after checking it.

    A point listed as its own neighbour is taken out by its number, wherever it stands; in rows that do not list
    it the last neighbour goes, so that all keep the same number. Indices below 0, which faiss writes where it
    found too few, are masked out.

    Args:
        indices: row numbers, shape (n, k), nearest first; or a SciPy sparse matrix of distances, shape (n, n),
            with the same number of entries in every row.
        distances: distances of the same shape, if known.
        num_points: number of points that the indices refer to, if the rows are queries; then no row is its own.

    Returns:
        Neighbors.

    Raises:
        ValueError: for indices out of range or not whole, rows that name a point twice, or distances that do
            not fit, are negative or not finite.

    Example:
        >>> import jaxlle
        >>> jaxlle.as_neighbors([[0, 1], [1, 0], [2, 1]]).indices
        Array([[1],
               [0],
               [1]], dtype=int32)
    """
    if hasattr(indices, "tocsr"):
        indices, distances = _rows_of_sparse(indices.tocsr())
    ids = np.asarray(indices)
    if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"A graph needs whole row numbers of shape (n, k), got shape {ids.shape} and dtype {ids.dtype}."
        )
    n = ids.shape[0] if num_points is None else num_points
    ids = ids.astype(np.int64)
    valid = ids >= 0
    if ids.max() >= n:
        raise ValueError(
            f"The graph names point {ids.max()}, but there are {n} points (0 to {n - 1}): JAX would clamp it."
        )
    ordered = np.sort(np.where(valid, ids, -1 - np.arange(ids.shape[1])), axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        row = int((ordered[:, 1:] == ordered[:, :-1]).any(axis=1).argmax())
        raise ValueError(f"Row {row} of the graph names a point twice: {ids[row].tolist()}. Remove the repetition.")
    dist = _graph_distances(distances, ids.shape, valid)
    own = np.arange(ids.shape[0])[:, None]
    if num_points is None and (valid & (ids == own)).any():
        keep = ids != own
        keep[keep.all(axis=1), -1] = False
        if ids.shape[1] == 1:
            raise ValueError("The graph lists every point as its own only neighbour: ask the index for k + 1.")
        ids, dist, valid = (a[keep].reshape(ids.shape[0], -1) for a in (ids, dist, valid))
    if not valid.any(axis=1).all():
        raise ValueError(
            f"{int((~valid.any(axis=1)).sum())} rows of the graph have no neighbour: ask the index for a larger k."
        )
    filled = jnp.asarray(np.where(valid, ids, own % n), jnp.int32)
    known = None if distances is None else jnp.asarray(np.where(valid, dist, 0))
    return Neighbors(filled, known, None if valid.all() else jnp.asarray(valid))


def _graph_distances(distances: Any, shape: tuple, valid: np.ndarray) -> np.ndarray:
    if distances is None:
        return np.zeros(shape, np.float32)
    dist = np.asarray(distances)
    if dist.shape != shape:
        raise ValueError(f"The graph's distances have shape {dist.shape}, but its indices {shape}.")
    if not (np.isfinite(dist[valid]).all() and (dist[valid] >= 0).all()):
        raise ValueError(
            "The graph's distances must be finite and not negative (faiss returns squared ones: take the root)."
        )
    return dist.astype(np.float32 if dist.dtype.itemsize <= 4 else np.float64)


def save_neighbors(path: str | Path, neighbors: Neighbors) -> None:
    """Write a graph to a .npz file, whole or not at all, so that a long search is done once.

    Args:
        path: the file, with the suffix .npz.
        neighbors: the graph, outside jit.

    Raises:
        ValueError: for another suffix.
        FileNotFoundError: if there is no such folder.

    Example:
        >>> import jax.numpy as jnp, pathlib, tempfile, jaxlle
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "graph.npz"
        >>> jaxlle.save_neighbors(path, jaxlle.knn(jnp.array([[0.0], [1.0], [3.0]]), 1))
        >>> jaxlle.load_neighbors(path).indices.tolist()
        [[1], [0], [1]]
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path} has the suffix {path.suffix!r}: a graph is saved as .npz.")
    arrays = {name: np.asarray(a) for name, a in neighbors._asdict().items() if a is not None}
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **{"format": np.int64(_FORMAT), **arrays})  # pyright: ignore[reportArgumentType]


def load_neighbors(path: str | Path) -> Neighbors:
    """Read a graph that `save_neighbors` wrote, after checking it as `as_neighbors` does.

    Args:
        path: the file.

    Returns:
        Neighbors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that holds no graph, a truncated one, or one of a later format.

    Example:
        >>> import pathlib, tempfile, jaxlle
        >>> jaxlle.load_neighbors(pathlib.Path(tempfile.mkdtemp()) / "graph.npz")
        Traceback (most recent call last):
        FileNotFoundError: There is no file ...
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with opened(path) as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    written = arrays.pop("format", None)
    if written is None or "indices" not in arrays:
        raise ValueError(f"{path} holds no graph of save_neighbors: it has {', '.join(arrays) or 'no arrays'}.")
    if int(written) > _FORMAT:
        raise ValueError(f"{path} is of format {int(written)}, and this version reads up to {_FORMAT}: update jaxlle.")
    indices = arrays["indices"]
    if indices.ndim != 2 or not len(indices) or not 0 <= indices.min() <= indices.max() < len(indices):
        raise ValueError(f"{path} holds indices that do not run over its own points.")
    if any(a.shape != indices.shape for a in arrays.values()):
        raise ValueError(f"{path} holds arrays of different shapes.")
    parts = {name: jnp.asarray(a) for name, a in arrays.items()}
    return Neighbors(parts["indices"], parts.get("distances"), parts.get("mask"))


def _rows_of_sparse(matrix: Any) -> tuple[np.ndarray, np.ndarray]:
    counts = np.diff(matrix.indptr)
    if len(set(counts.tolist())) != 1:
        raise ValueError(
            f"The sparse graph has between {counts.min()} and {counts.max()} neighbours a row, but they must be equally "
            f"many: use a k-nearest-neighbour graph."
        )
    ids = matrix.indices.reshape(-1, counts[0])
    dist = matrix.data.reshape(-1, counts[0])
    rank = np.lexsort((ids, dist), axis=1)
    return np.take_along_axis(ids, rank, axis=1), np.take_along_axis(dist, rank, axis=1)


def _edges(graph: Any) -> Any:
    from scipy.sparse import csr_array

    if hasattr(graph, "blocks"):
        present = np.abs(np.asarray(graph.blocks)).max(axis=1) > 0
    else:
        present = np.ones(graph.indices.shape, bool) if graph.mask is None else np.asarray(graph.mask)
    n = len(graph.indices)
    columns = np.asarray(graph.indices).ravel()[present.ravel()]
    if hasattr(graph, "blocks") and graph.blocks.shape[1] > 1:
        # Several equations hold all members of a neighbourhood to each other: the edges of a star, both ways.
        first = np.asarray(graph.indices)[np.arange(n), present.argmax(axis=1)]
        rows = np.repeat(first, present.sum(axis=1))
        rows, columns = np.concatenate([rows, columns]), np.concatenate([columns, rows])
        return csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    starts = np.concatenate([[0], present.sum(axis=1).cumsum()]).astype(np.int32)
    return csr_array((np.ones(len(columns), np.int8), columns, starts), shape=(n, n))
