"""Out-of-sample maps, and files that contain them as arrays."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float

from .. import distances, regularizers
from .._core import archive, sparse
from .._core.checks import all_finite, check_count, embedding_points, is_traced
from .._core.points import Points, prepare_points
from ..embedding import Embedding
from ..extension import transform
from ..neighbors import Neighbors
from ..neighbors.graph import check_graph, check_indices

_KIND = "out-of-sample map"
VERSION = 3
_SPARSE = {f"points/{part}" for part in sparse.PARTS}  # in place of "points"
MAP_ARRAYS = {f"map/{name}" for name in ("points", "embedding", *Neighbors._fields, *_SPARSE)}  # their names in a file


@dataclass(frozen=True, eq=False)
class OutOfSampleMap:
    """The map that `jaxlle.transform` computes, with the data, their embedding and the parameters that it needs.

    It is a function of new points and can be passed to `jax.jit`, `export_map` and `explanation.jacobian`.

    Attributes:
        points: the data that were embedded, shape (n, d), which can be a sparse matrix of SciPy.
        embedding: their embedding, shape (n, c), from `lle` or a network; or an `Embedding`, whose points are stored. If it is
            that of the largest component, only the points of this component are stored.
        k: number of neighbors of a new point.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.
        neighbors: the graph of the data, for further use (`nn.ParametricLLE.fit`, `extension.training_residuals`), or None.
        metric: metric of the neighbors, as for `knn`.

    Raises:
        ValueError: if points, embedding and neighbors have shapes that do not match, k is not between 1 and the number of points,
            reg is negative or not finite, or the metric is unknown.
        TypeError: if k is not an integer.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> known = jaxlle.serving.OutOfSampleMap(x, jaxlle.lle(x, 2, k=8), k=8)
        >>> known(x[:5] + 0.1).shape
        (5, 2)
    """

    points: Any
    embedding: Any
    k: int
    reg: regularizers.RegularizerLike = 1e-3
    neighbors: Neighbors | None = None
    metric: distances.Metric = "euclidean"

    def __post_init__(self) -> None:
        """Take the points of an `Embedding`; validate the parameters, and that the shapes match."""
        if embedding_points(self.embedding) is not self.embedding:
            self._take(self.embedding)
        distances.resolve(self.metric)
        if self.points.ndim != 2 or self.embedding.ndim != 2 or self.points.shape[0] != len(self.embedding):
            raise ValueError(
                f"points of shape {self.points.shape} and an embedding of shape {self.embedding.shape} do not match: the shapes "
                f"must be (n, d) and (n, c)."
            )
        n, d = self.points.shape
        check_count(self.k, "k", 1, n, f"the map has {n} points")
        regularizers.check_reg(self.reg, self.k, d)
        if self.neighbors is not None:
            check_indices(self.neighbors, n, n)

    def _take(self, embedding: Embedding) -> None:
        """Store the points of an embedding, and of the data only those that were embedded."""
        object.__setattr__(self, "embedding", embedding.points)
        if is_traced(embedding.rows) or len(embedding.rows) == self.points.shape[0]:
            return
        rows, n = np.asarray(embedding.rows), self.points.shape[0]
        if rows.max() >= n:
            raise ValueError(f"The embedding has row {rows.max()} of its data, but points has {n} rows: pass its data.")
        if self.neighbors is not None and len(self.neighbors.indices) == n:
            raise ValueError(f"neighbors has {n} rows, but only {len(rows)} points were embedded: pass no neighbors.")
        points = self.points.tocsr() if sparse.is_sparse(self.points) else self.points
        object.__setattr__(self, "points", points[rows])

    def __call__(self, x_new: Any) -> Float[Array, "q c"]:
        """Embed new points of shape (q, d); return shape (q, c)."""
        constant = is_traced(x_new) and not isinstance(self.points, Tracer) and not sparse.is_sparse(self.points)
        points = self._constant_points() if constant else self.points
        return transform(x_new, points, self.embedding, k=self.k, reg=self.reg, metric=self.metric)

    def _constant_points(self) -> Points:
        """Return the points, prepared, as a constant of a program that is being traced.

        The barrier keeps the compiler from evaluating every sum over them, which takes a minute for 5,000 digits.
        """
        with jax.ensure_compile_time_eval():
            points = prepare_points(self.points, metric=self.metric)
        return replace(points, scaled=lax.optimization_barrier(points.scaled))


def save_map(path: str | Path, known: OutOfSampleMap) -> None:
    """Save an out-of-sample map to a .npz file.

    The file is replaced atomically: if saving fails, a previous file stays as it was. If path is a symbolic link, the file that
    it points to is replaced.

    Args:
        path: the file, with the suffix .npz.
        known: the map.

    Raises:
        ValueError: if path has another suffix, the points or the embedding contain NaN or infinity, reg is a regularizer that
            is not defined in `jaxlle.regularizers`, or the metric is a function that has no name in `jaxlle.distances`.

    Example:
        >>> import pathlib, tempfile, jax.numpy as jnp, jaxlle
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "roll.npz"
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> jaxlle.serving.save_map(path, jaxlle.serving.OutOfSampleMap(x, 10 * x, k=2))
        >>> jaxlle.serving.load_map(path)(jnp.array([[0.5]])).round(2).tolist()
        [[5.0]]
    """
    write_map(path, known, {}, {})


def write_map(path: str | Path, known: OutOfSampleMap, arrays: dict[str, Any], entries: dict[str, Any]) -> None:
    """Save a map with further arrays and entries of the header, which `load_map` ignores."""
    header = metadata(known)
    archive.write(path, _KIND, VERSION, readable_from(header), {**pack(known), **arrays}, **header, **entries)


def load_map(path: str | Path, *, max_bytes: int | None = None) -> OutOfSampleMap:
    """Load and validate a map that `save_map` wrote.

    Args:
        path: the file.
        max_bytes: largest number of bytes that the arrays may take in memory. None: 256 MiB, or 100 times the size of the file
            if that is more, which no file written by `save_map` exceeds.

    Returns:
        OutOfSampleMap, with its arrays on the host.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, larger than `max_bytes`, contains no such map, was changed after it was written, or
            needs a later version of jaxlle; if k, reg, the metric or the shapes of its arrays do not belong to a map, or an
            array contains NaN or infinity.

    Example:
        >>> import pathlib, tempfile, jaxlle
        >>> jaxlle.serving.load_map(pathlib.Path(tempfile.mkdtemp()) / "none.npz")
        Traceback (most recent call last):
        FileNotFoundError: There is no file ...
    """
    return read_map(path, (), max_bytes)[0]


def read_map(
    path: str | Path, others: Collection[str], max_bytes: int | None = None
) -> tuple[OutOfSampleMap, dict[str, Any], dict[str, np.ndarray]]:
    """Load a map, the header of its file, and other arrays of some names, as far as they exist."""
    wanted = {*MAP_ARRAYS, *others}
    header, arrays = archive.read(path, _KIND, VERSION, wanted=wanted.__contains__, max_bytes=max_bytes)
    known = unpack(path, header, {name: a for name, a in arrays.items() if name in MAP_ARRAYS})
    return known, header, {name: a for name, a in arrays.items() if name not in MAP_ARRAYS}


def pack(known: OutOfSampleMap) -> dict[str, np.ndarray]:
    """Return the arrays of a map by their names in a file."""
    _check_values(known)
    graph = {} if known.neighbors is None else known.neighbors._asdict()
    parts = {f"points/{part}": a for part, a in sparse.to_arrays(known.points).items()} if _is_sparse(known) else {}
    arrays = {**(parts or {"points": known.points}), "embedding": known.embedding, **graph}
    return {f"map/{name}": np.asarray(a) for name, a in arrays.items() if a is not None}


def metadata(known: OutOfSampleMap) -> dict[str, Any]:
    """Return the parameters of a map, for the header of a file."""
    metric = distances.resolve(known.metric)
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", "")
    if distances.METRICS.get(name, name) is not metric:
        raise ValueError(
            f"metric = {known.metric!r} cannot be saved: a file holds the name of one of {', '.join(distances.METRICS)}."
        )
    # Without the usual metric, so that versions that know no other one can read the file.
    others = {**({"metric": name} if name != "euclidean" else {}), **({"sparse": True} if _is_sparse(known) else {})}
    return {"k": int(known.k), "reg": _reg_to_json(known.reg), **others}


def readable_from(header: dict[str, Any]) -> int:
    """Return the oldest version of the format that can read a map with these parameters."""
    # Version 2 knew neither sparse points nor a metric but the Euclidean; version 1, no regularizer but a number.
    return 3 if {"metric", "sparse"} & header.keys() else 2


def unpack(path: str | Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> OutOfSampleMap:
    """Return the map with the parameters and arrays of a file, which are the results of `metadata` and `pack`."""
    found = {name.removeprefix("map/"): a for name, a in arrays.items()}
    required = _SPARSE if header.get("sparse") is True else {"points"}
    missing = {"embedding", *required} - found.keys() | {"k", "reg"} - header.keys()
    if missing:
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}: it was not written by save_map or save_model.")
    graph = {name: found[name] for name in Neighbors._fields if name in found}
    neighbors = Neighbors(**{"distances": None, **graph}) if "indices" in graph else None
    try:
        reg = _reg_from_json(header["reg"])
        metric = header.get("metric", "euclidean")
        if not isinstance(metric, str):
            raise ValueError(f"metric = {metric!r} is not a name.")
        parts = {part: found[f"points/{part}"] for part in sparse.PARTS if required == _SPARSE}
        points = sparse.from_arrays(parts) if parts else found["points"]
        known = OutOfSampleMap(points, found["embedding"], header["k"], reg, neighbors, metric)
        _check_values(known)
        if neighbors is not None:
            check_graph(neighbors)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no valid map: {error} Save the map again.") from error
    return replace(known, neighbors=jax.tree.map(jnp.asarray, neighbors))


def _is_sparse(known: OutOfSampleMap) -> bool:
    return sparse.is_sparse(known.points)


def _check_values(known: OutOfSampleMap) -> None:
    """Raise if the points or the embedding are not finite numbers."""
    points = known.points.tocsr().data if _is_sparse(known) else known.points
    for name, a in (("points", points), ("embedding", known.embedding)):
        a = np.asarray(a)
        if a.dtype.kind not in "biu" and not jnp.issubdtype(a.dtype, jnp.floating):
            raise ValueError(f"Its {name} have dtype {a.dtype}, but must be real numbers.")
        if a.size == 0 or not all_finite(a):
            raise ValueError(f"Its {name}, of shape {a.shape}, are empty or contain NaN or infinity.")


def _reg_to_json(reg: Any) -> Any:
    """Return a number, or the name and the fields of a regularizer."""
    if not is_dataclass(type(reg)):
        return float(reg)
    name = type(reg).__name__
    if getattr(regularizers, name, None) is not type(reg):
        raise ValueError(
            f"reg = {reg!r} cannot be saved: a file holds a number, or one of {', '.join(regularizers.__all__)}."
        )
    return {
        "name": name,
        **{field: value if isinstance(value, int) else float(value) for field, value in asdict(reg).items()},
    }


def _reg_from_json(saved: Any) -> Any:
    """Return the argument of `_reg_to_json`; raise if there is none."""
    if _is_number(saved):
        return float(saved)
    fields = dict(saved) if isinstance(saved, dict) else {}
    name = fields.pop("name", None)
    if name not in regularizers.__all__ or not all(_is_number(value) for value in fields.values()):
        raise ValueError(f"reg = {saved!r} is neither a number nor one of {', '.join(regularizers.__all__)}.")
    return getattr(regularizers, name)(**fields)


def _is_number(value: Any) -> bool:
    """Return whether a value from JSON is a number in the range of float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
