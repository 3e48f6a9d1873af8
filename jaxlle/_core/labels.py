"""Labels of any type that NumPy can sort, and their numbers."""

from typing import Any

import numpy as np

from .missing import read_host


def read_labels(labels: Any, advice: str) -> np.ndarray:
    """Return labels on the host; raise a ValueError, with advice, if some are missing (None, NA or NaN) or masked."""
    values = read_host(labels, "labels", advice)
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(f"labels has missing values (NaN): {advice}.")
    return values


def number_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct labels, in order, and the number of the label of each point."""
    try:
        if labels.dtype.kind in "biufmMSUOT":
            return np.unique(labels, return_inverse=True)
    except TypeError:
        pass
    raise ValueError(f"labels of dtype {labels.dtype} cannot be sorted: use numbers, or texts, but not both.")
