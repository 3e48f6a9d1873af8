"""The eager door: what enters is checked, cast, centred and scaled before a stage sees it.

Inside jit nothing can be raised, so the same functions pass tracers through with a cast and a shape check;
trouble is then data in the result.
"""

import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ..warnings import PrecisionWarning
from .checks import all_finite, is_traced, x64_is_on
from .linear import power_of_two


class Standardized(NamedTuple):
    """Points shifted and scaled into [-2, 2]: `points = (x - center) / unit`.

    The unit is a power of two, so the scaling is exact. Differences, distances and weights of the points are
    those of x, up to the unit, at any offset and any scale of x.
    """

    points: Float[Array, "n d"]
    center: Any
    unit: Any


def working_dtype(x: Any) -> np.dtype:
    """Return the dtype in which x is computed: float64 only where x has it and JAX is allowed it."""
    wide = jnp.dtype(x.dtype) == np.float64 or not jnp.issubdtype(x.dtype, jnp.floating)
    return np.dtype(np.float64 if wide and x64_is_on() else np.float32)


def as_points(x: Any, name: str = "x") -> Any:
    """Return x as a finite two-dimensional array of numbers, or say what is wrong with it.

    Args:
        x: array-like of shape (n, d): a JAX or NumPy array, a list of lists, a pandas or polars frame.
        name: what to call it in messages.

    Returns:
        A JAX array if x is one, else a NumPy array; integers and booleans as float64 (host; float32 if that holds them and
        JAX computes in nothing wider) or the default float (device), half precisions as float32.

    Raises:
        ValueError: if x is complex, not numeric, not two-dimensional, empty, or not finite.
        TypeError: if x is a sparse matrix.
    """
    if is_traced(x):
        return _cast_device(_two_dimensional(x, name))
    if hasattr(x, "tocsr"):
        raise TypeError(
            f"Sparse data was passed as {name}, but the points must be dense: use {name}.toarray(), or pass a "
            f"ready sparse neighbour graph to jaxlle.neighbors.as_neighbors."
        )
    on_device = isinstance(x, jax.Array)
    x = x if on_device else np.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError(f"Complex data not supported: {name} has dtype {x.dtype}; pass its real and imaginary parts.")
    x = _two_dimensional(x, name)
    if x.shape[0] == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={x.shape}) in {name} while a minimum of 1 is required.")
    if x.shape[1] == 0:
        raise ValueError(f"Found array with 0 feature(s) (shape={x.shape}) in {name} while a minimum of 1 is required.")
    x = _cast_device(x) if on_device else _cast_host(x, name)
    if not all_finite(x):
        raise ValueError(f"Input {name} contains NaN or infinity: remove or impute those rows first.")
    return x


def _two_dimensional(x: Any, name: str) -> Any:
    if x.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {x.ndim}D array instead: {name} has shape {tuple(x.shape)}. Reshape your data "
            f"to (points, features); a single point is {name}.reshape(1, -1), a single feature {name}.reshape(-1, 1)."
        )
    return x


def _cast_device(x: Any) -> Any:
    keep = jnp.dtype(x.dtype) in (np.float32, np.float64)
    return x if keep else x.astype(working_dtype(x) if not jnp.issubdtype(x.dtype, jnp.floating) else np.float32)


def _cast_host(x: np.ndarray, name: str) -> np.ndarray:
    if x.dtype == np.float64 or x.dtype == np.float32:
        if x.dtype == np.float64 and not x64_is_on():
            warnings.warn(
                f"{name} is float64 but JAX computes in float32 here: call "
                f'jax.config.update("jax_enable_x64", True) for float64, or pass float32 to silence this.',
                PrecisionWarning,
                stacklevel=4,
            )
        return x
    if x.dtype.kind in "biu" and not x64_is_on() and -(2**24) <= x.min() <= x.max() <= 2**24:
        return x.astype(np.float32)  # exactly, and a later door need not warn of a float64 that nobody passed
    if x.dtype.kind in "biu" or x.dtype == object:
        try:
            return x.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} holds objects that are not numbers ({error}): convert it first.") from None
    if jnp.issubdtype(x.dtype, jnp.floating):  # float16, bfloat16, float8, longdouble
        return x.astype(np.float32 if x.dtype.itemsize < 4 else np.float64)
    raise ValueError(f"{name} has dtype {x.dtype}, which is not numeric: convert strings and dates to numbers first.")


def varying(x: Any) -> Any:
    """Return x without the columns that are equal in all rows, if x is a NumPy array: they add nothing to a difference.

    Images have many. One column stays if all are so.
    """
    if not isinstance(x, np.ndarray):
        return x
    keep = x.min(axis=0) < x.max(axis=0)
    return x if keep.all() else x[:, keep if keep.any() else slice(1)]


def standardize(x: Any) -> Standardized:
    """Centre and scale points so that float32 is right at any offset and scale.

    A NumPy array is centred in its own float64 before it is cast; a JAX array in its own dtype, where the
    subtraction of a nearby centre is exact.

    Args:
        x: points of shape (n, d) from `as_points`.
    """
    if isinstance(x, np.ndarray):
        return _standardize_host(x)
    return _standardize_device(x)


def apply_standard(x: Any, like: Standardized) -> Float[Array, "q d"]:
    """Shift and scale other points, such as queries, as `like` was; a row of both has the same bits in both."""
    if isinstance(x, np.ndarray) and not is_traced(like):
        center, unit = np.asarray(like.center, np.float64), float(like.unit)
        return jax.device_put(_shift_host(x, center, unit, np.dtype(like.points.dtype)))
    return ((jnp.asarray(x) - like.center) / like.unit).astype(like.points.dtype)


def _standardize_host(x: np.ndarray) -> Standardized:
    dtype = working_dtype(x)
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    coarse = _power_of_two(max(np.abs(low).max(), np.abs(high).max()))
    if coarse < 1e290:
        center = np.mean(x, axis=0, dtype=np.float64)
    else:  # the sum would leave the range
        center = sum((rows / coarse).sum(axis=0) for _, rows in _row_blocks(x)) / x.shape[0] * coarse
    center = _on_grid(center, float(np.maximum(high - center, center - low).max()))
    extent = float(np.maximum(high - center, center - low).max())
    # With all rows equal, x - center is the centre's own rounding, not a spread: dividing by inf makes it 0.
    unit = _power_of_two(extent) if bool((high > low).any()) else np.inf
    points = _shift_host(x, center, unit, dtype)
    return Standardized(jax.device_put(points), center, unit if np.isfinite(unit) else 1.0)


def _on_grid(center: Any, extent: float) -> Any:
    """Round the centre to a few bits below the extent: x - center then keeps the bits of whole-number data.

    Distances that are equal in such data stay equal, and are ordered by index instead of by rounding.
    """
    grid = _power_of_two(extent) / 8
    return np.round(center / grid) * grid if extent > 0 else center


def _shift_host(x: np.ndarray, center: np.ndarray, unit: float, dtype: np.dtype) -> np.ndarray:
    out = _aligned(x.shape, dtype)
    with np.errstate(over="ignore"):
        near = center.astype(dtype)
    if x.dtype == dtype and np.isfinite(1 / unit) and (near == center).all():
        # The centre has few bits, so that as a rule nothing is lost by subtracting in x's own dtype.
        np.subtract(x, near, out=out)
        return np.multiply(out, dtype.type(1 / unit), out=out)
    for place, rows in _row_blocks(x):
        out[place] = (rows - center) / unit
    return out


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an empty array where XLA can use it in place: `jax.device_put` on a CPU copies what is not aligned."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def _row_blocks(x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield float64 copies of a few rows at a time: never a float64 copy of everything."""
    rows = max(1, 2**24 // (8 * x.shape[1]))
    for start in range(0, x.shape[0], rows):
        place = slice(start, start + rows)
        yield place, x[place].astype(np.float64)


def _power_of_two(m: float) -> float:
    return float(np.ldexp(1.0, int(np.frexp(m)[1]) - 1)) if m > 0 else 1.0


@jax.jit
def _standardize_device(x: Float[Array, "n d"]) -> Standardized:
    # The extremes of the columns say how far any point is from a centre, without another pass over the points.
    without_derivative = lax.stop_gradient(x)
    low, high = jnp.min(without_derivative, axis=0), jnp.max(without_derivative, axis=0)
    coarse = _unit_of(jnp.maximum(jnp.max(jnp.abs(low)), jnp.max(jnp.abs(high))))
    center = jnp.mean(without_derivative / coarse, axis=0)

    def reach(center: Array) -> Array:
        return jnp.max(jnp.maximum(high / coarse - center, center - low / coarse))

    grid = _unit_of(reach(center)) / 8
    center = jnp.round(center / grid) * grid  # see _on_grid
    fine = _unit_of(reach(center))
    equal = jnp.all(low == high)  # as on the host: what is left then is rounding
    points = (x / coarse - center) / jnp.where(equal, jnp.inf, fine)
    return Standardized(points, center * coarse, jnp.where(equal, 1, fine * coarse))


def _unit_of(m: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(m > 0, power_of_two(m), 1)
