"""Large integers: they are centered in integer arithmetic, because a cast to floating point first would round them.

Unix seconds, identifiers and counts are far from zero relative to their spread: float32 represents integers up to 2^24, and
float64 up to 2^53. The functions accept NumPy and JAX arrays.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .checks import is_traced


def is_integer(x: Any) -> bool:
    """Return whether an array holds integers; booleans are none."""
    return np.dtype(x.dtype).kind in "iu"


def exceeds(x: Any, dtype: np.dtype) -> bool:
    """Return whether integers are too large for a floating-point dtype, or, in a traced array, could be."""
    if not is_integer(x):
        return False
    limit = 2 ** _digits(dtype)
    if np.iinfo(x.dtype).max <= limit or is_traced(x):
        return np.iinfo(x.dtype).max > limit
    return int(x.max()) > limit or int(x.min()) < -limit


def center_of(x: Any, dtype: np.dtype) -> Any:
    """Return the middle of each column, rounded to an integer that a floating-point dtype can represent, shape (d,)."""
    low, high = x.min(axis=0), x.max(axis=0)
    unsigned = f"u{x.dtype.itemsize}"
    center = low + ((high.astype(unsigned) - low.astype(unsigned)) // 2).astype(
        x.dtype
    )  # the difference may be out of range
    digits, bits = _digits(dtype), 8 * x.dtype.itemsize
    if bits <= digits:
        return center
    beyond = center >> digits
    coarse = (center >> (bits - digits)) << (bits - digits)
    xp = np if isinstance(x, np.ndarray) else jnp
    return xp.where(beyond == beyond >> 1, center, coarse)  # beyond is 0 or -1 for integers that need no rounding


def subtract(x: Any, center: Any, dtype: np.dtype) -> Any:
    """Return ``x - center`` of integers x, computed without rounding if the center is an integer in the range of their dtype."""
    xp = np if isinstance(x, np.ndarray) else jnp
    limits = np.iinfo(x.dtype)
    whole = xp.floor(center)
    inside = (whole >= limits.min) & (whole < 2.0 ** (limits.bits - (limits.min < 0)))
    base = xp.where(inside, whole, 0).astype(x.dtype)
    above, unsigned = x >= base, f"u{x.dtype.itemsize}"
    a, b = (
        x.astype(unsigned),
        base.astype(unsigned),
    )  # differences modulo 2^bits, and so the larger minus the smaller one
    size = xp.where(above, a - b, b - a).astype(dtype)
    return xp.where(above, size, -size) - xp.where(inside, center - whole, center)


def _digits(dtype: np.dtype) -> int:
    return int(jnp.finfo(dtype).nmant) + 1
