"""Labels of any type that NumPy can sort, and their numbers."""

import numpy as np


def number_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct labels, in order, and the number of the label of each point."""
    try:
        if labels.dtype.kind in "biufmMSUOT":
            return np.unique(labels, return_inverse=True)
    except TypeError:
        pass
    raise ValueError(f"labels of dtype {labels.dtype} cannot be sorted: use numbers, or texts, but not both.")
