"""Arrays and numbers that users pass beside the points, such as weights, blocks, masks and thresholds: read, cast and checked.

Whatever is not an array of the required kind raises a ValueError that names the argument, before JAX or NumPy sees it: masked
and missing entries, texts, complex numbers, rows of several lengths. NaN and infinity raise where `finite` is given.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .checks import all_finite, check_count, check_key, is_traced, x64_is_on
from .missing import read_host


def read_array(a: Any, name: str, advice: str = "remove or impute those entries first") -> Any:
    """Return an array as it is if it is on the device or traced, and anything else as a NumPy array without missing entries."""
    return a if isinstance(a, jax.Array) else read_host(a, name, advice)


def read_floats(a: Any, name: str, axes: str | None = None, *, finite: bool = True) -> jax.Array:
    """Return real numbers on the device, in floating point.

    Args:
        a: array-like of floating-point numbers, integers, booleans, or objects that are such numbers.
        name: name of the argument in messages.
        axes: names of the axes, such as "n k"; None for any number of axes.
        finite: whether NaN and infinity raise, outside jit.

    Returns:
        Array in float64 if it is float64 or not floating and x64 is enabled, else in float32.

    Raises:
        ValueError: for anything else, and another number of axes.
    """
    values = read_array(a, name)
    if not is_traced(values) and values.dtype == object:
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} contains objects that are not numbers ({error}): convert them first.") from None
    require_real(values, name)
    floating = jnp.issubdtype(values.dtype, jnp.floating)
    _check_axes(values, name, axes)
    wide = x64_is_on() and (values.dtype == np.float64 or not floating)
    dtype = np.float64 if wide else np.float32
    with np.errstate(over="ignore"):  # of float64 in float32: infinity, as on the device
        values = jnp.asarray(values.astype(dtype) if isinstance(values, np.ndarray) else values, dtype)
    if finite and not is_traced(values) and not all_finite(values):
        raise ValueError(f"{name} contains NaN or infinity: remove or impute those entries first.")
    return values


def move_floats(values: Any, name: str) -> jax.Array:
    """Return finite numbers on the device; raise a ValueError if they overflow the dtype that they have there."""
    with np.errstate(over="ignore"):
        moved = jnp.asarray(values)
    if not is_traced(moved) and moved.dtype != values.dtype and not all_finite(moved):
        raise ValueError(f"{name} contains numbers that overflow {moved.dtype}: rescale it, or enable x64.")
    return moved


def require_real(values: Any, name: str) -> None:
    """Raise a ValueError unless the dtype of an array is one of real numbers or booleans."""
    if not jnp.issubdtype(values.dtype, jnp.floating) and np.dtype(values.dtype).kind not in "biu":
        raise ValueError(
            f"{name} has dtype {values.dtype}, but must consist of real numbers: convert texts and dates to numbers, and pass "
            f"real and imaginary parts of complex numbers."
        )


def read_mask(a: Any, name: str, shape: tuple[int, ...]) -> jax.Array:
    """Return a mask on the device; raise a ValueError unless it consists of booleans, in the given shape."""
    values = read_array(a, name, "fill them with True or False")
    if values.dtype != bool or tuple(values.shape) != tuple(shape):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)} and dtype {values.dtype}, but must be an array of booleans of shape "
            f"{tuple(shape)}."
        )
    return jnp.asarray(values)


def read_rows(rows: Any, name: str, n: int) -> jax.Array:
    """Return the numbers of some of n points, each once, on the device; raise if they are anything else."""
    ids = read_array(rows, name, "leave those points out")
    if ids.ndim != 1 or np.dtype(ids.dtype).kind not in "iu":
        raise ValueError(
            f"{name} must be integer row numbers of shape (m,), got shape {ids.shape} and dtype {ids.dtype}: convert a mask by "
            f"numpy.flatnonzero."
        )
    if not ids.shape[0]:
        raise ValueError(f"{name} lists no point: give at least one.")
    if isinstance(ids, jax.Array) and is_traced(ids):
        return ids
    host = np.asarray(ids)
    if host.min() < 0 or host.max() >= n:
        raise ValueError(f"{name} ranges from {host.min()} to {host.max()}, but there are {n} points (0 to {n - 1}).")
    numbers, times = np.unique(host, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"{name} lists point {numbers[times > 1][0]} {times.max()} times: list every point once.")
    return jnp.asarray(host, jnp.int32)


def read_pairs(pairs: Any, name: str, sizes: tuple[int, int]) -> np.ndarray:
    """Return pairs of points of two sets of given sizes, integers of shape (m, 2), on the host; raise for anything else."""
    values = read_host(pairs, name, "leave those pairs out")
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be integer row numbers of shape (m, 2), one column per set, got shape {values.shape} and dtype "
            f"{values.dtype}."
        )
    if not len(values):
        raise ValueError(f"{name} lists no pair: give at least one.")
    for column, size in enumerate(sizes):
        low, high = values[:, column].min(), values[:, column].max()
        if low < 0 or high >= size:
            raise ValueError(
                f"{name} ranges from {low} to {high} in column {column}, but that set has {size} points (0 to {size - 1})."
            )
    return values.astype(np.int64)


def pairs_or_rows(pairs: Any, sizes: tuple[int, int]) -> np.ndarray:
    """Return validated pairs of points of two sets; those of equal row numbers for None, which needs sets of one size."""
    if pairs is not None:
        return read_pairs(pairs, "pairs", sizes)
    if sizes[0] != sizes[1]:
        raise ValueError(f"a has {sizes[0]} rows and b has {sizes[1]}: pass the pairs of rows that belong together.")
    return np.repeat(np.arange(sizes[0])[:, None], 2, axis=1)


def check_number(value: Any, name: str, allowed: str, valid: Callable[[float], bool] = lambda number: True) -> None:
    """Raise, outside jit, unless a value is one finite real number for which `valid` holds.

    Args:
        value: a number, or an array without axes.
        name: name of the argument in messages.
        allowed: what it must be, such as "positive".
        valid: condition on the number.
    """
    if is_traced(value):
        if np.shape(value):
            raise ValueError(f"{name} has shape {np.shape(value)}, but must be one number, {allowed}.")
        return
    number = scalar(value)
    if number is None or not np.isfinite(number) or not valid(number):
        raise ValueError(f"{name} = {value} is not allowed: it must be {allowed} (one finite number).")


def check_sample(key: Any, n: int, **lengths: Any) -> jax.Array:
    """Return the key of a random sample of n points, after validation of n and of lengths, which are at least 0."""
    check_count(n, "n", 1, None, "number of points")
    for name, value in lengths.items():
        check_number(value, name, "at least 0", lambda number: number >= 0)
    return check_key(key)


def scalar(value: Any) -> float | None:
    """Return a real number as a float; None for texts, complex numbers, masked numbers, and arrays with axes."""
    if isinstance(value, np.ma.MaskedArray | str | bytes):
        return None
    try:
        array = value if isinstance(value, jax.Array | np.ndarray) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # of tensors of PyTorch that require gradients, and of lists of lists
        return None
    real = jnp.issubdtype(array.dtype, jnp.floating) or np.dtype(array.dtype).kind in "biu"
    return float(array) if real and array.ndim == 0 else None


def _check_axes(values: Any, name: str, axes: str | None) -> None:
    if axes is not None and values.ndim != len(axes.split()):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}, but must have shape ({', '.join(axes.split())}{',' * (' ' not in axes)})."
        )
