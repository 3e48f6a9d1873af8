"""Maps of new points as files: arrays to restore, or a program to run where there is no jaxlle. Neither holds a pickle.

`save_map` and `restore_map` keep the arrays of an out-of-sample map with a versioned header, which this and every later
jaxlle reads (a network's: `nn.save_model`). `export_map` and `load_map` keep any map as StableHLO for CPU, GPU and TPU, which
needs nothing but JAX.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float

from ._core import archive
from .extension import transform
from .neighbors import Neighbors
from .neighbors.graph import check_indices

Platform = Literal["cpu", "cuda", "rocm", "tpu"]
_KIND = "out-of-sample map"
_VERSION = 1
_READABLE_FROM = 1


@dataclass(frozen=True, eq=False)
class OutOfSampleMap:
    """The map that `transform` computes, with all that it needs: data, their embedding, and how it was made.

    A function of new points like any other: under jit, to `export_map`, for `explanation.jacobian`.

    Attributes:
        points: the data that were embedded, shape (n, d).
        embedding: theirs, shape (n, c): from `lle`, or a network's outputs.
        k: neighbours of a new point.
        reg: strength of the regularizer.
        neighbors: the graph of the data, for going on with them (`nn.ParametricLLE.fit`, `training_residuals`); None if not kept.

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
    reg: float = 1e-3
    neighbors: Neighbors | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if self.points.ndim != 2 or self.embedding.ndim != 2 or len(self.points) != len(self.embedding):
            raise ValueError(
                f"points of shape {self.points.shape} and an embedding of shape {self.embedding.shape} do not belong together: "
                f"they must be (n, d) and (n, c)."
            )
        if self.neighbors is not None:
            check_indices(self.neighbors, len(self.points), self.points)

    def __call__(self, x_new: Any) -> Float[Array, "q c"]:
        """Embed new points, shape (q, d)."""
        return transform(x_new, self.points, self.embedding, k=self.k, reg=self.reg)


def save_map(path: str | Path, known: OutOfSampleMap) -> None:
    """Save an out-of-sample map to a .npz file, whole or not at all.

    Args:
        path: the file, with the suffix .npz.
        known: the map.

    Raises:
        ValueError: for another suffix.

    Example:
        >>> import pathlib, tempfile, jax.numpy as jnp, jaxlle
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "roll.npz"
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> jaxlle.serving.save_map(path, jaxlle.serving.OutOfSampleMap(x, 10 * x, k=2))
        >>> jaxlle.serving.load_map(path)(jnp.array([[0.5]])).round(2).tolist()
        [[5.0]]
    """
    archive.write(path, _KIND, _VERSION, _READABLE_FROM, pack(known), **metadata(known))


def load_map(path: str | Path) -> OutOfSampleMap:
    """Read a map that `save_map` wrote.

    Args:
        path: the file.

    Returns:
        OutOfSampleMap, its arrays on the host.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a file that is truncated, holds no such map, or needs a later jaxlle.

    Example:
        >>> import pathlib, tempfile, jaxlle
        >>> jaxlle.serving.load_map(pathlib.Path(tempfile.mkdtemp()) / "none.npz")
        Traceback (most recent call last):
        FileNotFoundError: There is no file ...
    """
    header, arrays = archive.read(path, _KIND, _VERSION)
    return unpack(header, arrays)


def pack(known: OutOfSampleMap) -> dict[str, np.ndarray]:
    """Return the arrays of a map by name, for a file."""
    graph = {} if known.neighbors is None else known.neighbors._asdict()
    arrays = {"points": known.points, "embedding": known.embedding, **graph}
    return {f"map/{name}": np.asarray(a) for name, a in arrays.items() if a is not None}


def metadata(known: OutOfSampleMap) -> dict[str, Any]:
    """Return the numbers of a map, for a file's header."""
    return {"k": int(known.k), "reg": float(known.reg)}


def unpack(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> OutOfSampleMap:
    """Return the map that `pack` and `facts` took apart."""
    found = {name.removeprefix("map/"): a for name, a in arrays.items()}
    missing = {"points", "embedding"} - found.keys() | {"k", "reg"} - header.keys()
    if missing:
        raise ValueError(f"The file lacks {', '.join(sorted(missing))}: it was not written by save_map or save_model.")
    graph = {name: jnp.asarray(found[name]) for name in Neighbors._fields if name in found}
    neighbors = Neighbors(**{"distances": None, **graph}) if "indices" in graph else None
    return OutOfSampleMap(found["points"], found["embedding"], header["k"], header["reg"], neighbors)


def export_map(
    function: Callable[[Array], Array],
    features: int,
    *,
    rows: int | None = None,
    platforms: tuple[Platform, ...] = ("cpu", "cuda", "tpu"),
) -> bytes:
    """Export a map of points, such as a trained encoder or the out-of-sample map, with everything that it closes over.

    Where it is served only JAX is needed: ``jax.export.deserialize(bytearray(data)).call(x)``. Nothing is unpickled.

    Args:
        function: of points, shape (rows, features), float32; ``model`` in evaluation mode, or
            ``lambda z: jaxlle.transform(z, x, y, k=12)``.
        features: number of columns.
        rows: points a call. None: any number, for functions whose operations allow it, as a network's do; a search for
            neighbours is planned in blocks and needs the number, 1 for one vector at a time.
        platforms: where it may run.

    Returns:
        The serialised function, to be written to a file.

    Raises:
        ValueError: if the function cannot be exported with that number of rows.
        ImportError: without flatbuffers, in which JAX writes exported functions (`pip install 'jaxlle[serve]'`).

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
        return bytes(export.export(jax.jit(function), platforms=platforms)(given).serialize())
    except Exception as error:  # JAX's own for undecided dimensions is not public
        if rows is not None:
            raise
        raise ValueError(
            f"The function cannot be exported for any number of rows: pass rows=1, or as many as a call will have. ({error})"
        ) from error


def load_exported(path: str | Path) -> Callable[[Float[Array, "b d"]], Array]:
    """Load a map that `export_map` made and a file holds.

    Args:
        path: of the file.

    Returns:
        The function of points, jitted.

    Raises:
        ValueError: for a file that is cut short, is no exported function, or is from a JAX too new for this one.

    Example:
        >>> import tempfile, pathlib, jax.numpy as jnp, jaxlle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder) / "map.bin"
        ...     _ = file.write_bytes(jaxlle.serving.export_map(lambda x: 2 * x, 1))
        ...     jaxlle.serving.load_exported(file)(jnp.ones((1, 1)))
        Array([[2.]], dtype=float32)
    """
    _need_flatbuffers()
    data = bytearray(Path(path).read_bytes())
    try:
        loaded = export.deserialize(data)
        newest = export.maximum_supported_calling_convention_version
        if loaded.calling_convention_version > newest:
            raise ValueError(f"calling convention {loaded.calling_convention_version}, known up to {newest}")
        call = jax.jit(loaded.call)
        call.lower(_one_row(loaded))  # reads the program itself, which is else read at the first call
    except Exception as error:
        raise ValueError(
            f"{path} is not an exported function of points that JAX {jax.__version__} can run here: it is cut short, of another "
            f"kind, for other platforms, or from a newer JAX. Export it again, or upgrade. ({type(error).__name__}: "
            f"{str(error)[:200]})"
        ) from error
    return call


def _one_row(loaded: export.Exported) -> jax.ShapeDtypeStruct:
    (points,) = loaded.in_avals
    rows, features = points.shape
    return jax.ShapeDtypeStruct((rows if isinstance(rows, int) else 1, features), points.dtype)


def _need_flatbuffers() -> None:
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError(
            "Exported functions are flatbuffers, and that package is missing: pip install 'jaxlle[serve]'."
        )
