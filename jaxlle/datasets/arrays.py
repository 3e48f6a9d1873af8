"""Points and labels in .npy and .npz files. Pickles are not loaded, and every error names the file."""

from pathlib import Path
from typing import Any

import numpy as np

from .._core.archive import Npz
from .._core.archive import read_npy as read_array
from .sparse import is_sparse_file, read_sparse


def read_npy(path: Path, labels: str | None, max_bytes: int | None, array: str | None) -> tuple[np.ndarray, None]:
    """Return the array of a .npy file, which has no labels, and is as large in memory as on disk."""
    if labels is not None:
        raise ValueError(f"{path} holds one array and no labels {labels!r}: save both in a .npz file.")
    if array is not None:
        raise ValueError(f"{path} holds one array without a name: remove ReadOptions.array.")
    return read_array(path), None


def read_npz(path: Path, labels: str | None, max_bytes: int | None, array: str | None) -> tuple[Any, np.ndarray | None]:
    """Return the points, which can be sparse, and the labels of a .npz file, by their usual names or by the given names."""
    with Npz(path, max_bytes) as file:
        held = file.layouts
        sparse = array is None and is_sparse_file(file)
        points = [name for name in ("x", "X", "data", "points", "images") if name in held][:1]
        points = points or [name for name, layout in held.items() if len(layout.shape) in (2, 3, 4) and name != labels]
        if array is not None:
            points = [name for name in held if name == array]
        if sparse:
            points = ["data"]
        if len(points) != 1:
            missing = "" if array is None else f"has no array {array!r}: it "
            raise ValueError(
                f"{path} {missing}holds {file.describe()}: name the array of points x, of shape (n, d), or give its name in "
                f"ReadOptions.array."
            )
        if labels is not None and labels not in held:
            raise ValueError(f"{path} has no array {labels!r}: it holds {file.describe()}.")
        usual = [name for name in ("y", "labels", "target") if name in held and name != points[0]]
        found = usual if labels is None else [labels]
        matrix = read_sparse(file, path, max_bytes) if sparse else None
        arrays = file.read(lambda name: name in (*points, *found[:1]) and not (sparse and name in points))
    return matrix if sparse else arrays[points[0]], arrays[found[0]].ravel() if found else None


def flatten_images(images: Any, source: str) -> tuple[Any, tuple[int, ...] | None]:
    """Return a stack of images as points in [0, 1] with the shape of an image, and any other array unchanged with None.

    Raises:
        ValueError: if a stack is one image in color, or its channels are not those of gray or color images.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        return images, None
    if images.ndim == 3 and images.shape[2] in (3, 4):
        raise ValueError(
            f"{source} holds an array of shape {images.shape}, which is one image in color: a stack of images has the shape "
            f"(n, height, width) or (n, height, width, channels)."
        )
    if images.ndim == 4 and images.shape[3] not in (1, 3, 4):
        raise ValueError(
            f"{source} holds images of shape {images.shape[1:]}: the last axis must be 1 channel (gray), 3 or 4 (color)."
        )
    shape = images.shape[1:3] if images.ndim == 3 or images.shape[3] == 1 else images.shape[1:]
    points = images.reshape(len(images), -1).astype(np.float32)
    points /= 255
    return points, shape
