"""Missing entries: masked entries of NumPy arrays, and NA of pandas, which a conversion to an array would ignore or rename."""

from contextlib import suppress
from typing import Any

import numpy as np

_SHOWN = 8  # rows that a message lists


def read_host(x: Any, name: str, advice: str = "remove or impute those rows first") -> np.ndarray:
    """Return x as a NumPy array; raise a ValueError that names the rows if entries are missing.

    Missing are the masked entries of a NumPy masked array, alone or in a list, the NA, NaN and None of a pandas frame or
    series, and those of an array of objects. NaN in an array of floating-point numbers is not searched for.
    """
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        fields = ", ".join(x._fields)  # pyright: ignore[reportAttributeAccessIssue]
        raise TypeError(
            f"{name} is a value of type {type(x).__name__}, but must be an array: pass one of its fields ({fields})."
        )
    _check_missing(x, name, advice)
    if hasattr(x, "tocsr"):
        raise TypeError(f"Sparse data was passed as {name}, but it must be dense: use {name}.toarray().")
    try:
        values = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is not an array of one shape ({error}): pass rows of equal length.") from None
    _check_missing(values, name, advice)  # objects in a list, or in a frame without `isna`
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _check_missing(x: Any, name: str, advice: str) -> None:
    if isinstance(x, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in x):
        with suppress(ValueError):  # of rows of several lengths, which `read_host` reports
            x = np.ma.array(x)
    if isinstance(x, np.ma.MaskedArray):
        kind, missing = "masked entries", np.ma.getmaskarray(x)
    elif callable(isna := getattr(x, "isna", None)):
        kind, missing = "missing values (NA, NaN or None)", np.asarray(isna())
    elif isinstance(x, np.ndarray) and x.dtype == object:
        kind, missing = "missing values (NA, NaN or None)", np.reshape([_is_missing(v) for v in x.flat], x.shape)
    else:
        return
    if missing.any():
        rows = np.flatnonzero(missing.reshape(len(missing), -1).any(axis=1)) if missing.ndim else np.zeros(1, int)
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        listed = ", ".join(map(str, rows[:_SHOWN].tolist()))
        raise ValueError(f"Input {name} contains {kind} in rows {listed}{more} (counted from 0): {advice}.")


def _is_missing(value: Any) -> bool:
    """Return whether an object is None or not equal to itself, as NaN, NaT and pandas.NA are."""
    try:
        return value is None or not bool(value == value)
    except TypeError:  # pandas.NA is neither true nor false
        return True
    except ValueError:  # an array as an entry
        return False
