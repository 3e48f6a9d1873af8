"""Centering and scaling of NumPy arrays, in blocks of rows if they are memory maps."""

from typing import Any

import numpy as np

from .mapped import aligned_empty, memory_map, row_blocks


def center_and_unit(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the center and the unit of points, in float64, whatever their dtype; the unit is infinite if all rows are equal."""
    low, high, mean = _low_high_mean(x)
    center = round_center(mean, float(np.maximum(high - mean, mean - low).max()))
    extent = float(np.maximum(high - center, center - low).max())
    # If all rows are equal, x - center is only the rounding error of the center; dividing by inf sets it to 0.
    return center, power_of_two(extent) if bool((high > low).any()) else np.inf


def _low_high_mean(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = x.shape[0]
    if memory_map(x) is None:
        low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
        total = None
    else:
        low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
        total = np.zeros(x.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            for _, rows in row_blocks(x):
                low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
                # Continues the sum over rows where it ended, so that it is that of numpy.mean of the whole array.
                total = np.add.reduce(np.concatenate([total[None], rows]), axis=0, dtype=np.float64)
    coarse = power_of_two(max(np.abs(low).max(), np.abs(high).max()))
    if coarse >= 1e290:  # the sum could overflow
        scaled = sum((rows.astype(np.float64) / coarse).sum(axis=0) for _, rows in row_blocks(x))
        return low, high, scaled / n * coarse
    return low, high, np.asarray(np.mean(x, axis=0, dtype=np.float64)) if total is None else total / n


def round_center(center: Any, extent: float) -> Any:
    """Round the center to a few bits below the extent, so that x - center is exact for integer data.

    Equal distances in such data then stay equal and are ordered by index, not by rounding errors.
    """
    grid = power_of_two(extent) / 8
    return np.round(center / grid) * grid if extent > 0 else center


def shift(x: np.ndarray, center: np.ndarray, unit: float, dtype: np.dtype) -> np.ndarray:
    """Return ``(x - center) / unit`` in a dtype, computed in float64 unless the dtype holds the center."""
    out = aligned_empty(x.shape, dtype)
    with np.errstate(over="ignore"):  # of queries, for which `Points.apply` raises
        rounded = center.astype(dtype)
        # The center has few significant bits, so that subtracting in the dtype of x is usually exact.
        direct = x.dtype == dtype and np.isfinite(1 / unit) and (rounded == center).all()
        for block, rows in row_blocks(x):
            if direct:
                np.subtract(rows, rounded, out=out[block])
                np.multiply(out[block], dtype.type(1 / unit), out=out[block])
            else:
                out[block] = (rows.astype(np.float64) - center) / unit
    return out


def without_constant_columns(x: Any) -> Any:
    """Return an array in the memory of the host without its constant columns, keeping at least one; return others unchanged."""
    if not isinstance(x, np.ndarray) or memory_map(x) is not None:
        return x
    keep = x.min(axis=0) < x.max(axis=0)
    return x if keep.all() else x[:, keep if keep.any() else slice(1)]


def power_of_two(m: float) -> float:
    """Return the largest power of two that does not exceed a number; 1 for 0."""
    return float(np.ldexp(1.0, int(np.frexp(m)[1]) - 1)) if m > 0 else 1.0
