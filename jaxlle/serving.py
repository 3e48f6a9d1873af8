"""Maps of new points as files that run without jaxlle: StableHLO, for CPU, GPU and TPU."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Array, Float

Platform = Literal["cpu", "cuda", "rocm", "tpu"]


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


def load_map(path: str | Path) -> Callable[[Float[Array, "b d"]], Array]:
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
        ...     jaxlle.serving.load_map(file)(jnp.ones((1, 1)))
        Array([[2.]], dtype=float32)
    """
    _need_flatbuffers()
    try:
        loaded = export.deserialize(bytearray(Path(path).read_bytes()))
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is not an exported function that JAX {jax.__version__} can read: it is cut short, of another kind, or "
            f"from a newer JAX. Export it again, or upgrade. ({type(error).__name__}: {str(error)[:200]})"
        ) from error
    return jax.jit(loaded.call)


def _need_flatbuffers() -> None:
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError(
            "Exported functions are flatbuffers, and that package is missing: pip install 'jaxlle[serve]'."
        )
