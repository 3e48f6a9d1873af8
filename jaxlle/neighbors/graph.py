"""Neighbor graphs: the type `Neighbors`, its checks, conversion of graphs from other libraries, and files."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.archive import Npz
from .._core.arrays import read_array, read_floats
from .._core.atomic import replacing
from .._core.checks import all_finite, is_traced, to_host_if_cheap, warn_user
from .._core.ladder import call_padded
from .._core.missing import read_host
from ..warnings import DuplicateWarning

_FORMAT = 1  # format version of saved graphs
_NO_NEIGHBOR = "use the index -1 where there is no neighbor"


class Neighbors(NamedTuple):
    """Neighborhoods of n points (or queries), nearest first.

    Attributes:
        indices: row numbers of the neighbors, shape (n, k).
        distances: their distances in the units of the metric, shape (n, k); None for a graph without distances.
        mask: True where an entry is a neighbor, shape (n, k); None if all entries are. The other entries hold a valid row
            number and are ignored by all functions.
    """

    indices: Int[Array, "n k"]
    distances: Float[Array, "n k"] | None
    mask: Bool[Array, "n k"] | None = None


def require_distances(neighbors: Neighbors) -> Float[Array, "n k"]:
    """Return the distances; raise if the graph has no distances."""
    if neighbors.distances is None:
        raise ValueError("This graph has no distances: pass them to as_neighbors.")
    return neighbors.distances


def rescale_distances(neighbors: Neighbors, unit: Any) -> Neighbors:
    """Return neighbors with their distances multiplied by a unit; raise, outside jit, if the unit is out of the dtype's range."""
    distances = require_distances(neighbors)
    limits = jnp.finfo(distances.dtype)
    if not is_traced(unit) and not float(limits.tiny) <= unit <= float(limits.max):
        raise ValueError(
            f"The distances, around {unit:.3g}, are out of the range of {distances.dtype}: rescale x, or enable x64."
        )
    unit = jnp.asarray(unit, distances.dtype) if is_traced(unit) else np.asarray(unit, distances.dtype)
    return neighbors._replace(distances=call_padded(_multiply, distances, unit))


@jax.jit
def _multiply(distances: Float[Array, "n k"], unit: Float[Array, ""]) -> Float[Array, "n k"]:
    return distances * unit


def prepare_graph(neighbors: Any, n: int | None = None, rows: int | None = None) -> Neighbors:
    """Validate one neighborhood for each of `rows` points, and return its arrays on the device.

    Args:
        neighbors: a `Neighbors` value.
        n: number of points to which the indices refer; None for the number of neighborhoods.
        rows: number of neighborhoods that are needed; None for n.

    Returns:
        Neighbors.

    Raises:
        TypeError: if neighbors is not a `Neighbors` value.
        ValueError: if its arrays are not integers, real numbers and booleans of one shape, or, outside jit, if indices are not
            in [0, n), entries are masked by NumPy, or distances are not finite.
    """
    if not hasattr(neighbors, "indices"):
        raise TypeError(
            f"neighbors is of type {type(neighbors).__name__}, but must be a Neighbors value: pass jaxlle.knn(x, k), or convert "
            f"indices by jaxlle.neighbors.as_neighbors."
        )
    ids = read_array(neighbors.indices, "neighbors.indices", _NO_NEIGHBOR)
    distances, mask = neighbors.distances, neighbors.mask
    if distances is not None:
        distances = read_floats(distances, "neighbors.distances", finite=False)
    if mask is not None:
        mask = read_array(mask, "neighbors.mask", "use False where there is no neighbor")
        if mask.dtype != bool:
            raise ValueError(f"neighbors holds a mask of dtype {mask.dtype}: it must be boolean.")
    count: int = (ids.shape or (0,))[0] if n is None else n
    check_indices(Neighbors(ids, distances, mask), count, count if rows is None else rows)
    if distances is not None and not is_traced(distances, mask):
        listed = distances if mask is None else np.where(np.asarray(mask), np.asarray(distances), 0)
        if not all_finite(listed):
            raise ValueError("neighbors holds distances that are NaN or infinite: remove or impute those points first.")
    # Indices of few bits could not hold the number of every point.
    ids = ids if is_traced(ids) else jnp.asarray(ids, jnp.int32)
    return Neighbors(ids, distances, None if mask is None else jnp.asarray(mask))


def restrict(neighbors: Neighbors, rows: np.ndarray) -> Neighbors:
    """Return the neighborhoods of some rows, which must not contain others, with renumbered indices."""
    position = np.full(len(neighbors.indices), -1)
    position[rows] = np.arange(len(rows))
    indices = position[np.asarray(neighbors.indices)[rows]]
    mask = None if neighbors.mask is None else np.asarray(neighbors.mask)[rows]
    if (indices[slice(None) if mask is None else mask] < 0).any():
        raise ValueError(
            "Some neighbors of the embedded points are not embedded: pass only the data of the embedded points."
        )
    distances = None if neighbors.distances is None else neighbors.distances[rows]
    return Neighbors(
        jnp.asarray(np.maximum(indices, 0), jnp.int32), distances, None if mask is None else jnp.asarray(mask)
    )


def check_indices(neighbors: Neighbors, n: int, rows: int) -> None:
    """Raise unless there is one neighborhood for each of `rows` points, with (checked outside jit) indices in [0, n)."""
    ids = neighbors.indices
    if ids.ndim != 2 or 0 in ids.shape or np.dtype(ids.dtype).kind not in "iu":
        raise ValueError(
            f"neighbors holds indices of shape {tuple(ids.shape)} and dtype {ids.dtype}, but they must be integers of shape "
            f"(n, k), at least (1, 1): use as_neighbors to convert a graph."
        )
    if ids.shape[0] != rows:
        raise ValueError(
            f"neighbors has {ids.shape[0]} rows, but there are {rows} points: pass one neighborhood per point."
        )
    for name, entries in (("distances", neighbors.distances), ("mask", neighbors.mask)):
        if entries is not None and entries.shape != ids.shape:
            raise ValueError(
                f"neighbors holds {name} of shape {tuple(entries.shape)} and indices of shape {tuple(ids.shape)}: they must be "
                f"equal."
            )
    if is_traced(ids):
        return
    ids = np.asarray(ids)  # as given: a cast to int32 could make an index valid
    if ids.min() < 0 or ids.max() >= n:
        raise ValueError(
            f"neighbors holds indices from {ids.min()} to {ids.max()}, but x has {n} rows (0 to {n - 1}): JAX would clamp "
            f"them silently. Check which array the graph was built on."
        )


def warn_of_duplicates(neighbors: Neighbors) -> None:
    """Warn, outside jit, about points whose neighborhoods consist only of exact copies of the point."""
    if is_traced(neighbors) or neighbors.distances is None:
        return
    duplicated = int((to_host_if_cheap(neighbors.distances)[:, -1] == 0).sum())
    if duplicated:
        warn_user(
            f"{duplicated} points have at least k = {neighbors.indices.shape[1]} exact copies, so their neighborhoods contain "
            f"nothing else: raise k, or pass options=EmbedOptions(dedupe=True).",
            DuplicateWarning,
        )


def as_neighbors(indices: Any, distances: Any = None, *, num_points: int | None = None) -> Neighbors:
    """Convert and validate a neighbor graph from another library (faiss, pynndescent, cuVS, scikit-learn).

    If rows list the point itself, at any position, it is removed by its index; rows that do not list it then lose their last
    neighbor, so that all rows have the same length. Negative indices, which faiss returns if it finds too few neighbors, are
    masked.

    Args:
        indices: row numbers, shape (n, k), nearest first; or a SciPy sparse matrix of distances, shape (n, n), with the same
            number of entries in every row.
        distances: distances of shape (n, k), in any units, if known; ignored for a sparse matrix.
        num_points: number of points to which the indices refer, if the rows are queries. The own indices of points are then not
            removed.

    Returns:
        Neighbors of shape (n, k), or (n, k - 1) if a point was its own neighbor.

    Raises:
        ValueError: if indices are not integers, masked or out of range, a row lists a point twice or has no neighbor, or
            distances are of another shape, negative or not finite.

    Example:
        >>> import jaxlle
        >>> jaxlle.neighbors.as_neighbors([[0, 1], [1, 0], [2, 1]]).indices
        Array([[1],
               [0],
               [1]], dtype=int32)
    """
    if hasattr(indices, "tocsr"):
        indices, distances = _rows_of_sparse(indices.tocsr())
    ids = read_host(indices, "indices", _NO_NEIGHBOR)
    if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"A graph requires integer row numbers of shape (n, k), got shape {ids.shape} and dtype {ids.dtype}."
        )
    n = ids.shape[0] if num_points is None else num_points
    if ids.max() >= n:  # before the cast, in which large unsigned integers would become negative
        raise ValueError(
            f"The graph lists point {ids.max()}, but there are {n} points (0 to {n - 1}): JAX would clamp this index."
        )
    ids = ids.astype(np.int64)
    valid = ids >= 0
    ordered = np.sort(np.where(valid, ids, -1 - np.arange(ids.shape[1])), axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        row = int((ordered[:, 1:] == ordered[:, :-1]).any(axis=1).argmax())
        raise ValueError(f"Row {row} of the graph lists a point twice: {ids[row].tolist()}. Remove the duplicate.")
    dist = _graph_distances(distances, ids.shape, valid)
    own = np.arange(ids.shape[0])[:, None]
    if num_points is None and (valid & (ids == own)).any():
        keep = ids != own
        keep[keep.all(axis=1), -1] = False
        if ids.shape[1] == 1:
            raise ValueError(
                "The graph has k = 1 and lists points as their own only neighbor: search for k + 1 neighbors."
            )
        ids, dist, valid = (a[keep].reshape(ids.shape[0], -1) for a in (ids, dist, valid))
    if not valid.any(axis=1).all():
        raise ValueError(
            f"{int((~valid.any(axis=1)).sum())} rows of the graph have no neighbor: search with a larger k."
        )
    row_numbers = jnp.asarray(np.where(valid, ids, own % n), jnp.int32)  # masked entries need a valid index
    known = None if distances is None else jnp.asarray(np.where(valid, dist, 0))
    return Neighbors(row_numbers, known, None if valid.all() else jnp.asarray(valid))


def _graph_distances(distances: Any, shape: tuple, valid: np.ndarray) -> np.ndarray:
    if distances is None:
        return np.zeros(shape, np.float32)
    dist = np.asarray(read_floats(distances, "distances", finite=False))
    if dist.shape != shape:
        raise ValueError(f"distances has shape {dist.shape}, but indices has shape {shape}: they must be equal.")
    if not (np.isfinite(dist[valid]).all() and (dist[valid] >= 0).all()):
        raise ValueError(
            "distances must be finite and not negative (faiss returns squared distances: take their square root)."
        )
    return dist.astype(np.float32 if dist.dtype.itemsize <= 4 else np.float64)


def save(path: str | Path, neighbors: Neighbors) -> None:
    """Save a neighbor graph to a .npz file, so that an expensive search is done only once.

    The file is written atomically: an interrupted call leaves an existing file unchanged. If path is a symbolic link, the file
    that it points to is replaced.

    Args:
        path: path of the file, with the suffix .npz.
        neighbors: neighbor graph, outside jit.

    Returns:
        None.

    Raises:
        ValueError: if the suffix is not .npz.
        FileNotFoundError: if the folder does not exist.

    Example:
        >>> import jax.numpy as jnp, pathlib, tempfile, jaxlle
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "graph.npz"
        >>> jaxlle.neighbors.save(path, jaxlle.knn(jnp.array([[0.0], [1.0], [3.0]]), 1))
        >>> jaxlle.neighbors.load(path).indices.tolist()
        [[1], [0], [1]]
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path} has the suffix {path.suffix!r}: graphs are saved as .npz.")
    arrays = {name: np.asarray(a) for name, a in neighbors._asdict().items() if a is not None}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{"format": np.int64(_FORMAT), **arrays})  # pyright: ignore[reportArgumentType]


def load(path: str | Path, *, max_bytes: int | None = None) -> Neighbors:
    """Load and validate a neighbor graph that was written by `save`.

    Args:
        path: path of the file.
        max_bytes: largest number of bytes that the arrays may take in memory. None: 256 MiB, or 100 times the size of the file
            if that is more, which no file written by `save` exceeds.

    Returns:
        Neighbors.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is truncated, larger than `max_bytes`, has a newer format, or holds no graph that `as_neighbors`
            would accept.

    Example:
        >>> import pathlib, tempfile, jaxlle
        >>> jaxlle.neighbors.load(pathlib.Path(tempfile.mkdtemp()) / "graph.npz")
        Traceback (most recent call last):
        FileNotFoundError: There is no file ...
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with Npz(path, max_bytes) as file:
        written = file.layouts.get("format")
        if written is None or written.dtype.kind not in "iu" or written.shape != () or "indices" not in file.layouts:
            raise ValueError(f"{path} holds no graph written by jaxlle.neighbors.save: it holds {file.describe()}.")
        arrays = file.read(lambda name: name in ("format", *Neighbors._fields))
    if int(arrays["format"]) > _FORMAT:
        raise ValueError(
            f"{path} has format {int(arrays['format'])}, but this version reads formats up to {_FORMAT}: update jaxlle."
        )
    loaded = Neighbors(arrays["indices"], arrays.get("distances"), arrays.get("mask"))
    try:
        check_graph(loaded)
    except ValueError as error:
        raise ValueError(f"{path} holds no valid graph: {error} Save the graph again.") from error
    return jax.tree.map(jnp.asarray, loaded)


def check_graph(neighbors: Neighbors) -> None:
    """Raise unless the arrays of a file are a graph of its points, by the checks of `as_neighbors`."""
    ids, mask = neighbors.indices, neighbors.mask
    check_indices(neighbors, len(ids), len(ids))
    if mask is not None and mask.dtype != bool:
        raise ValueError(f"Its mask has dtype {mask.dtype}, but must be boolean.")
    listed = ids.astype(np.int64)
    as_neighbors(listed if mask is None else np.where(mask, listed, -1), neighbors.distances, num_points=len(ids))


def _rows_of_sparse(matrix: Any) -> tuple[np.ndarray, np.ndarray]:
    counts = np.diff(matrix.indptr)
    if len(set(counts.tolist())) != 1:
        raise ValueError(
            f"The sparse graph has between {counts.min()} and {counts.max()} neighbors per row, but all rows must have "
            f"the same number: use a k-nearest-neighbor graph."
        )
    ids = matrix.indices.reshape(-1, counts[0])
    dist = matrix.data.reshape(-1, counts[0])
    rank = np.lexsort((ids, dist), axis=1)
    return np.take_along_axis(ids, rank, axis=1), np.take_along_axis(dist, rank, axis=1)
