"""Points and labels in files, read without loading pickles."""

from pathlib import Path

from .._core import files
from .data import Data


def load(path: str | Path, *, labels: str | None = None, max_bytes: int | None = None) -> Data:
    """Load points from a .npy, .npz or .csv file, without loading pickles.

    Args:
        path: the file. In a .npz file the points are the array named x, X, data or points, or the only two-dimensional array,
            and the labels are the array named y, labels or target. In a .csv file the first line is a header if one of its
            cells, outside the column of the labels, is not a number.
        labels: name of the array of labels (.npz), or column of the labels (.csv) by its header or its number from 0. None: the
            array described above (.npz), or no labels (.csv).
        max_bytes: largest number of bytes that the arrays of a .npz file may take in memory. None: 256 MiB, or 100 times the
            size of the file if that is more, which only compressed files exceed.

    Returns:
        Data, with the stem of the file as its name. Labels that are whole numbers are integers, in any notation.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is of another type, contains pickles, is truncated, malformed, or larger than `max_bytes`, is a
            .csv file with text or rows of different lengths, its points are not of shape (n, d), or there is not one label
            per point.

    Example:
        >>> import numpy as np, pathlib, tempfile, jaxlle
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "points.npy"
        >>> np.save(path, np.eye(3))
        >>> jaxlle.datasets.load(path).points.shape
        (3, 3)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    readers = {".npy": files.read_npy, ".npz": files.read_npz, ".csv": files.read_csv}
    if path.suffix.lower() not in readers:
        raise ValueError(
            f"{path} is not a .npy, .npz or .csv file: convert it, or load it in Python and pass the array to jaxlle.lle."
        )
    points, found = readers[path.suffix.lower()](path, labels, max_bytes)
    if points.ndim != 2:
        raise ValueError(f"{path} holds points of shape {points.shape}, but the shape must be (n, d).")
    if found is None:
        return Data(points, None, None, path.stem)
    if found.shape != points.shape[:1]:
        raise ValueError(f"{path} holds {found.size} labels, but there must be one for each of {len(points)} points.")
    return Data(points, files.parse_labels(found), None, path.stem)
