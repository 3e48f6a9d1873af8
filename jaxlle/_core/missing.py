"""Missing entries: masked entries of NumPy arrays, and NA of pandas, which a conversion to an array would ignore or rename."""

from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

import jax
import numpy as np

from .mapped import check_file

_SHOWN = 8  # rows that a message lists


def read_host(x: Any, name: str, advice: str = "remove or impute those rows first") -> np.ndarray:
    """Return x as a NumPy array; raise a ValueError that names the rows if entries are missing.

    Missing are the masked entries of a NumPy masked array, alone or in a list, the NA, NaN and None of a pandas frame or
    series, and those of an array of objects. NaN in an array of floating-point numbers is not searched for.
    """
    if is_dataclass(x) or (isinstance(x, tuple) and hasattr(x, "_fields")):
        raise TypeError(f"{name} is a value of type {type(x).__name__}, but must be an array: {_in_place_of(x, name)}.")
    _check_missing(x, name, advice)
    if hasattr(x, "tocsr"):
        raise TypeError(f"Sparse data was passed as {name}, but it must be dense: use {name}.toarray().")
    try:
        values = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is not an array of one shape ({error}): pass rows of equal length.") from None
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        raise TypeError(
            f"{name} is traced, by jit, vmap or grad, but its values are needed on the host: pass it as a constant, or call the "
            f"function once for each value."
        ) from None
    except (TypeError, RuntimeError) as error:  # of PyTorch
        raise TypeError(f"{name} cannot be read as an array ({error}): {_array_of(x, name)}.") from None
    check_file(values, name)
    _check_missing(values, name, advice)  # objects in a list, or in a frame without `isna`
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _in_place_of(x: Any, name: str) -> str:
    """Return what to pass in place of a value of several arrays."""
    names = [field.name for field in fields(x)] if is_dataclass(x) else list(x._fields)
    if {"indices", "distances"} <= set(names) and "weights" in name:
        return "compute weights from the neighbors, by jaxlle.barycentric_weights(x, neighbors)"
    if {"indices", "distances"} <= set(names) and name.endswith("_neighbors"):
        values = name.removesuffix("_neighbors")
        return f"pass the values at the neighbors, {values}[neighbors.indices]"
    return f"pass one of its fields ({', '.join(names)})"


def _array_of(x: Any, name: str) -> str:
    """Return how to convert an object to an array."""
    if not hasattr(x, "detach"):
        return "pass a NumPy or JAX array"
    in_float32 = ".float()" if "bfloat16" in str(getattr(x, "dtype", "")) else ""
    return f"pass {name}.detach().cpu(){in_float32}.numpy()"


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
