"""Maps of new points in files: as arrays, or as a compiled program that runs without jaxlle. Neither contains a pickle.

| functions | file |
| --- | --- |
| `save_map`, `load_map` | arrays of an out-of-sample map with a versioned header, readable by this and every later jaxlle |
| `export_map`, `load_exported` | any map as a StableHLO program for CPU, GPU and TPU, which needs JAX alone |

Networks are saved as arrays by `jaxlle.nn.save_model`.

A file of arrays is data: it can be wrong, but loading it runs nothing. An exported map is a program. `load_exported` verifies a
checksum and accepts only the operations that jaxlle exports, but a checksum is not a signature, and neither it nor the list makes
the program of an attacker safe: load programs only from sources that you trust, as you would run a script.
"""

import importlib.util
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float

from . import regularizers
from ._core import archive, programs
from ._core.checks import all_finite, check_count
from .extension import transform
from .neighbors import Neighbors
from .neighbors.graph import check_graph, check_indices

__all__ = ["OutOfSampleMap", "export_map", "load_exported", "load_map", "save_map"]

Platform = Literal["cpu", "cuda", "rocm", "tpu"]
_KIND = "out-of-sample map"
_VERSION = 2
_READABLE_FROM = 2  # version 1 knew no regularizer but a number
MAP_ARRAYS = {f"map/{name}" for name in ("points", "embedding", *Neighbors._fields)}  # their names in a file


@dataclass(frozen=True, eq=False)
class OutOfSampleMap:
    """The map that `jaxlle.transform` computes, with the data, their embedding and the parameters that it needs.

    It is a function of new points and can be passed to `jax.jit`, `export_map` and `explanation.jacobian`.

    Attributes:
        points: the data that were embedded, shape (n, d).
        embedding: their embedding, shape (n, c), from `lle` or a network.
        k: number of neighbors of a new point.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.
        neighbors: the graph of the data, for further use (`nn.ParametricLLE.fit`, `extension.training_residuals`), or None.

    Raises:
        ValueError: if points, embedding and neighbors have shapes that do not match, k is not between 1 and the number of points,
            or reg is negative or not finite.
        TypeError: if k is not an integer.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> known = jaxlle.serving.OutOfSampleMap(x, jaxlle.lle(x, 2, k=8).points, k=8)
        >>> known(x[:5] + 0.1).shape
        (5, 2)
    """

    points: Any
    embedding: Any
    k: int
    reg: regularizers.RegularizerLike = 1e-3
    neighbors: Neighbors | None = None

    def __post_init__(self) -> None:
        """Validate the parameters, and that the shapes match."""
        if self.points.ndim != 2 or self.embedding.ndim != 2 or len(self.points) != len(self.embedding):
            raise ValueError(
                f"points of shape {self.points.shape} and an embedding of shape {self.embedding.shape} do not match: the shapes "
                f"must be (n, d) and (n, c)."
            )
        n, d = self.points.shape
        check_count(self.k, "k", 1, n, f"the map has {n} points")
        regularizers.check_reg(self.reg, self.k, d)
        if self.neighbors is not None:
            check_indices(self.neighbors, len(self.points), len(self.points))

    def __call__(self, x_new: Any) -> Float[Array, "q c"]:
        """Embed new points of shape (q, d); return shape (q, c)."""
        return transform(x_new, self.points, self.embedding, k=self.k, reg=self.reg)


def save_map(path: str | Path, known: OutOfSampleMap) -> None:
    """Save an out-of-sample map to a .npz file.

    The file is replaced atomically: if saving fails, a previous file stays as it was. If path is a symbolic link, the file that
    it points to is replaced.

    Args:
        path: the file, with the suffix .npz.
        known: the map.

    Raises:
        ValueError: if path has another suffix, the points or the embedding contain NaN or infinity, or reg is a regularizer that
            is not defined in `jaxlle.regularizers`.

    Example:
        >>> import pathlib, tempfile, jax.numpy as jnp, jaxlle
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "roll.npz"
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> jaxlle.serving.save_map(path, jaxlle.serving.OutOfSampleMap(x, 10 * x, k=2))
        >>> jaxlle.serving.load_map(path)(jnp.array([[0.5]])).round(2).tolist()
        [[5.0]]
    """
    archive.write(path, _KIND, _VERSION, _READABLE_FROM, pack(known), **metadata(known))


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
        ValueError: if the file is truncated, larger than `max_bytes`, contains no such map, or needs a later version of jaxlle;
            if k, reg or the shapes of its arrays do not belong to a map, or an array contains NaN or infinity.

    Example:
        >>> import pathlib, tempfile, jaxlle
        >>> jaxlle.serving.load_map(pathlib.Path(tempfile.mkdtemp()) / "none.npz")
        Traceback (most recent call last):
        FileNotFoundError: There is no file ...
    """
    header, arrays = archive.read(path, _KIND, _VERSION, wanted=MAP_ARRAYS.__contains__, max_bytes=max_bytes)
    return unpack(path, header, arrays)


def pack(known: OutOfSampleMap) -> dict[str, np.ndarray]:
    """Return the arrays of a map by their names in a file."""
    _check_values(known)
    graph = {} if known.neighbors is None else known.neighbors._asdict()
    arrays = {"points": known.points, "embedding": known.embedding, **graph}
    return {f"map/{name}": np.asarray(a) for name, a in arrays.items() if a is not None}


def metadata(known: OutOfSampleMap) -> dict[str, Any]:
    """Return the parameters of a map, for the header of a file."""
    return {"k": int(known.k), "reg": _reg_to_json(known.reg)}


def unpack(path: str | Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> OutOfSampleMap:
    """Return the map with the parameters and arrays of a file, which are the results of `metadata` and `pack`."""
    found = {name.removeprefix("map/"): a for name, a in arrays.items()}
    missing = {"points", "embedding"} - found.keys() | {"k", "reg"} - header.keys()
    if missing:
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}: it was not written by save_map or save_model.")
    graph = {name: found[name] for name in Neighbors._fields if name in found}
    neighbors = Neighbors(**{"distances": None, **graph}) if "indices" in graph else None
    try:
        reg = _reg_from_json(header["reg"])
        known = OutOfSampleMap(found["points"], found["embedding"], header["k"], reg, neighbors)
        _check_values(known)
        if neighbors is not None:
            check_graph(neighbors)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no valid map: {error} Save the map again.") from error
    return replace(known, neighbors=jax.tree.map(jnp.asarray, neighbors))


def _check_values(known: OutOfSampleMap) -> None:
    """Raise if the points or the embedding are not finite numbers."""
    for name, a in (("points", known.points), ("embedding", known.embedding)):
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


def export_map(
    function: Callable[[Array], Array],
    features: int,
    *,
    rows: int | None = None,
    platforms: tuple[Platform, ...] = ("cpu", "cuda", "tpu"),
) -> bytes:
    """Export a map of points, such as a trained encoder or an out-of-sample map, with all arrays that it closes over.

    To run the result, only JAX is needed: ``jax.export.deserialize(bytearray(data)).call(x)``. Nothing is unpickled. A SHA-256
    checksum, which `load_exported` verifies, follows the program.

    Args:
        function: maps points of shape (rows, features), float32, to outputs; for example a model in evaluation mode, or
            ``lambda z: jaxlle.transform(z, x, y, k=12)``.
        features: number of columns of the points.
        rows: number of points per call. None allows any number, for functions whose operations support it, such as networks; a
            search for neighbors is divided into blocks and needs a fixed number, for example 1.
        platforms: platforms for which the program is compiled.

    Returns:
        The serialized function, to be written to a file.

    Raises:
        ValueError: if the function cannot be exported with that number of rows.
        ImportError: if flatbuffers, the format of exported functions, is not installed (``pip install 'jaxlle[serve]'``).

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> data = jaxlle.serving.export_map(lambda x: jnp.tanh(x[:, :2]), 3)
        >>> jax.export.deserialize(bytearray(data)).call(jnp.zeros((5, 3))).shape
        (5, 2)
    """
    size = export.symbolic_shape("b")[0] if rows is None else rows
    given = jax.ShapeDtypeStruct((size, features), jnp.float32)
    _need_flatbuffers()
    try:
        return programs.seal(bytes(export.export(jax.jit(function), platforms=platforms)(given).serialize()))
    except Exception as error:  # the exception of JAX for inconclusive dimension comparisons is not public
        if rows is not None:
            raise
        raise ValueError(
            f"The function cannot be exported for an arbitrary number of rows: pass rows=1, or the number of rows per call. "
            f"({error})"
        ) from error


def load_exported(path: str | Path, *, custom_calls: Collection[str] = ()) -> Callable[[Float[Array, "b d"]], Array]:
    """Load a map that `export_map` exported, from a file of a source that you trust.

    Before the program is compiled, its checksum is verified, and programs that contain other operations than jaxlle exports are
    rejected: custom calls other than those of factorizations, transfers, effects. The checksum detects damage; it is no
    signature, and a program that passes can still be malicious.

    Args:
        path: the file.
        custom_calls: further targets of custom calls that the program may contain, for a function that you exported yourself.

    Returns:
        The jitted function of points of shape (b, d).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated or damaged, is not a function exported by `export_map`, contains operations that are
            not allowed, is for other platforms, or needs a newer JAX.
        ImportError: if flatbuffers is not installed (``pip install 'jaxlle[serve]'``).

    Example:
        >>> import tempfile, pathlib, jax.numpy as jnp, jaxlle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder) / "map.bin"
        ...     _ = file.write_bytes(jaxlle.serving.export_map(lambda x: 2 * x, 1))
        ...     jaxlle.serving.load_exported(file)(jnp.ones((1, 1)))
        Array([[2.]], dtype=float32)
    """
    _need_flatbuffers()
    path = Path(path)
    program = programs.unseal(path.read_bytes(), path)
    try:
        loaded = export.deserialize(bytearray(program))
        newest = export.maximum_supported_calling_convention_version
        if loaded.calling_convention_version > newest:
            raise ValueError(f"calling convention {loaded.calling_convention_version}, supported up to {newest}")
        operations = programs.operations(loaded)
    except Exception as error:
        raise _cannot_run(path, error) from error
    programs.check_operations(loaded, operations, path, custom_calls)
    try:
        call = jax.jit(loaded.call)
        call.lower(_one_row(loaded))  # parses the program now, so that errors are raised here and not at the first call
    except Exception as error:
        raise _cannot_run(path, error) from error
    return call


def _cannot_run(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is not an exported function of points that JAX {jax.__version__} can run here: it is of another kind, for other "
        f"platforms, or from a newer JAX. Export it again, or upgrade JAX. ({type(error).__name__}: {str(error)[:200]})"
    )


def _one_row(loaded: export.Exported) -> jax.ShapeDtypeStruct:
    """Return an input of an exported function: of one row if it accepts any number."""
    (points,) = loaded.in_avals
    rows, features = points.shape
    return jax.ShapeDtypeStruct((rows if isinstance(rows, int) else 1, features), points.dtype)


def _need_flatbuffers() -> None:
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError(
            "Exported functions are stored by flatbuffers, which is not installed: pip install 'jaxlle[serve]'."
        )
