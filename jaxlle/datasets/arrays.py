"""Points and labels in .npy and .npz files. Pickles are not loaded, and every error names the file."""

from pathlib import Path

import numpy as np

from .._core.archive import Npz
from .._core.archive import read_npy as read_array


def read_npy(path: Path, labels: str | None, max_bytes: int | None) -> tuple[np.ndarray, None]:
    """Return the array of a .npy file, which has no labels, and is as large in memory as on disk."""
    if labels is not None:
        raise ValueError(f"{path} holds one array and no labels {labels!r}: save both in a .npz file.")
    return read_array(path), None


def read_npz(path: Path, labels: str | None, max_bytes: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the points and the labels of a .npz file, by their usual names or by the given name of the labels."""
    with Npz(path, max_bytes) as file:
        held = file.layouts
        points = [name for name in ("x", "X", "data", "points") if name in held][:1]
        points = points or [name for name, layout in held.items() if len(layout.shape) == 2]
        if len(points) != 1:
            raise ValueError(f"{path} holds {file.describe()}: name the array of points x, of shape (n, d).")
        if labels is not None and labels not in held:
            raise ValueError(f"{path} has no array {labels!r}: it holds {file.describe()}.")
        found = [name for name in ("y", "labels", "target") if name in held] if labels is None else [labels]
        arrays = file.read(lambda name: name in (*points, *found[:1]))
    return arrays[points[0]], arrays[found[0]].ravel() if found else None
