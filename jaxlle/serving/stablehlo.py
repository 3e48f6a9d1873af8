"""Maps of points as StableHLO programs, which run without jaxlle."""

import importlib.util
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Array, Float

from .._core import programs

Platform = Literal["cpu", "cuda", "rocm", "tpu"]


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
