"""Points and labels in files, read without loading pickles."""

import sys
from pathlib import Path

import numpy as np

from .._core.sparse import is_sparse
from .arrays import flatten_images, read_npy, read_npz
from .data import Data, Table
from .frames import read_frame
from .images import read_images
from .options import ReadOptions
from .selection import parse_labels, position, scale_columns, select_features, treat_missing
from .sparse import keep_valid
from .tables import read_table

_ARRAYS = {".npy": read_npy, ".npz": read_npz}
_TEXT, _FRAMES = (".csv", ".tsv"), (".parquet", ".feather")
TABLES = (*_TEXT, *_FRAMES)


def load(
    path: str | Path,
    *,
    labels: str | None = None,
    max_bytes: int | None = None,
    options: ReadOptions = ReadOptions(),  # noqa: B008 (frozen)
) -> Data:
    r"""Load points from a .npy, .npz, .csv, .tsv, .parquet or .feather file, a folder of images, or standard input.

    Pickles are not loaded. A table of text has cells separated by commas, tabs, semicolons or vertical bars; the separator is
    detected. Its first line is a header if it has a text above numbers, or no number. It is a point if its texts occur again
    below; a line that could be either raises. Columns of text are left out, and columns that look like identifiers or row numbers
    are left out with a warning: those of whole numbers whose name is empty, id, index, "Unnamed: 0" or similar, and those of at
    least ten whole numbers that increase from row to row.

    Args:
        path: the file, a folder of PNG or JPEG images, or "-" for a table from standard input. Images become points in [0, 1],
            and subfolders of images are their classes. In a .npz file the points are the array of `options.array`, or
            the one named x, X, data, points or images, or the only array with two to four axes, and the labels are the array
            named y, labels or target. Images of dtype uint8, of shape (n, h, w) or (n, h, w, channels), become points in [0, 1].
            A matrix that scipy.sparse.save_npz wrote stays sparse; an empty row raises, or is left out by `options.missing`.
        labels: name of the array of labels (.npz), or column of the labels (table) by its header or its number from 0. None:
            the array described above (.npz), or no labels (table).
        max_bytes: largest number of bytes that the data of a .npz, .parquet or .feather file may take in memory. None: 256 MiB,
            or 100 times the size of the file if that is more, which only compressed files exceed.
        options: which array and columns are used, documents, the treatment of missing values, the scaling, the encoding, and
            the size of images.

    Returns:
        Data, with the stem of the file as its name. Labels that are whole numbers are integers, in any notation.

    Raises:
        FileNotFoundError: if there is no such file.
        ModuleNotFoundError: if a .parquet or .feather file is given without polars or pandas (``pip install 'jaxlle[tables]'``),
            a folder of images without Pillow (``pip install 'jaxlle[images]'``), or documents without scikit-learn
            (``pip install 'jaxlle[sklearn]'``).
        ValueError: if the file is of another type, contains pickles, is truncated, malformed, or larger than `max_bytes`, is a
            table with rows of different lengths, without numbers, with missing cells (see `ReadOptions`), or in another
            encoding, is a folder without images, or with images that are damaged or of several sizes, its points are not of
            shape (n, d), or there is not one label per point.

    Example:
        >>> import pathlib, tempfile, jaxlle
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "trees.csv"
        >>> _ = path.write_text("height,width,kind\n12,3,oak\n7,1,elm\n9,,elm\n")
        >>> data = jaxlle.datasets.load(path, labels="kind", options=jaxlle.datasets.ReadOptions(missing="drop"))
        >>> data.points.tolist(), list(map(str, data.labels)), data.columns
        ([[12.0, 3.0], [7.0, 1.0]], ['oak', 'elm'], ('height', 'width'))
    """
    source, path = ("standard input", Path("stdin")) if str(path) == "-" else (str(path), Path(path))
    suffix = path.suffix.lower()
    if source != "standard input":
        if path.is_dir():
            return _read_folder(path, labels, max_bytes, options)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        if suffix not in (*_ARRAYS, *TABLES):
            raise ValueError(
                f"{path} is not a .npy, .npz, .csv, .tsv, .parquet or .feather file, or a folder of images: convert it, or load "
                f"it in Python and pass the array to jaxlle.lle."
            )
    if suffix in _ARRAYS:
        _check_no_columns(options, source)
        _check_no_text(options, source)
        array, found = _ARRAYS[suffix](path, labels, max_bytes, options.array)
        points, image_shape = flatten_images(array, source)
        return _finish(Data(points, found, image_shape, path.stem), None, options, source)
    if options.array is not None:
        raise ValueError(f"{source} holds no arrays with names: remove ReadOptions.array.")
    table = read_frame(path, max_bytes) if suffix in _FRAMES else _read_text(path, source, labels, options)
    features = select_features(table, labels, options, source)
    data = Data(features.points, features.labels, None, path.stem, features.columns, left_out=features.left_out)
    data = data._replace(texts=features.texts, vocabulary=features.vocabulary)
    return _finish(data, table, options, source)


def _read_folder(path: Path, labels: str | None, max_bytes: int | None, options: ReadOptions) -> Data:
    _check_no_columns(options, str(path))
    _check_no_text(options, str(path))
    if labels is not None or options.array is not None:
        raise ValueError(
            f"{path} is a folder, whose subfolders are the labels: remove {'array' if labels is None else 'labels'}."
        )
    return _finish(read_images(path, options, max_bytes), None, options, str(path))


def _read_text(path: Path, source: str, labels: str | None, options: ReadOptions) -> Table:
    content = sys.stdin.buffer.read() if source == "standard input" else path.read_bytes()
    return read_table(content, source, [] if labels is None else [labels], options.encoding)


def _check_no_columns(options: ReadOptions, source: str) -> None:
    if options.columns is not None or options.drop:
        name = "drop" if options.columns is None else "columns"
        raise ValueError(f"{source} holds arrays without names of columns: remove ReadOptions.{name}.")


def _check_no_text(options: ReadOptions, source: str) -> None:
    if options.text is not None:
        raise ValueError(f"{source} is not a table with a column of documents: remove ReadOptions.text.")


def _finish(data: Data, table: Table | None, options: ReadOptions, source: str) -> Data:
    """Return the data without missing values, scaled, and with one label per point."""
    if data.points.ndim != 2:
        raise ValueError(
            f"{source} holds points of shape {data.points.shape}, but the shape must be (n, d), or for "
            f"images of dtype uint8 (n, height, width) or (n, height, width, channels)."
        )
    if data.labels is not None:
        if data.labels.shape != data.points.shape[:1]:
            raise ValueError(
                f"{source} holds {data.labels.size} labels, but there must be one for each of {data.points.shape[0]} points."
            )
        data = data._replace(labels=parse_labels(data.labels))
    if is_sparse(data.points):
        return _finish_sparse(data, table, options, source)
    points, rows, notes = treat_missing(data.points, options, source, table, data.columns)
    labels = data.labels if data.labels is None or rows is None else data.labels[rows]
    points, scaling = scale_columns(np.asarray(points), options.scale)
    rows = data.rows if rows is None else rows
    return data._replace(points=points, labels=labels, rows=rows, scaling=scaling, left_out=(*data.left_out, *notes))


def _finish_sparse(data: Data, table: Table | None, options: ReadOptions, source: str) -> Data:
    """Return the data without rows that have no entries."""
    kept = keep_valid(data.points, options, source, lambda row: position(table, row), data.texts is not None)
    data = data._replace(points=kept.points, rows=kept.rows, left_out=(*data.left_out, *kept.notes))
    if kept.rows is None:
        return data
    labels, texts = (None if values is None else values[kept.rows] for values in (data.labels, data.texts))
    return data._replace(labels=labels, texts=texts)
