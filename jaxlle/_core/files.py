"""Reading points and labels from files. Pickles are not loaded, and every error names the file."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from .archive import Npz, opened
from .archive import read_npy as read_array


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


def read_csv(path: Path, labels: str | None, max_bytes: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the points of a .csv file, and the labels if their column is given."""
    with opened(path) as file:
        lines = [line for line in file.read().decode("utf-8-sig").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty.")
    first = [cell.strip() for cell in next(csv.reader(lines[:1], skipinitialspace=True))]
    column, header = _csv_layout(path, labels, first)
    if header:
        lines = lines[1:]
    if not lines:
        raise ValueError(f"{path} has a header and no points.")
    codes: dict[
        str, int
    ] = {}  # labels as numbers, so that one pass reads points and labels and checks the rows' lengths
    encode: dict[Any, Any] = {column: lambda cell: codes.setdefault(cell.strip(), len(codes))}
    converters = None if column is None else encode
    try:
        table = np.loadtxt(lines, delimiter=",", comments=None, quotechar='"', converters=converters, ndmin=2)
    except ValueError as error:
        raise ValueError(
            f"{path} is not a table of numbers ({error}): remove columns of text, or give one of them as labels."
        ) from None
    if table.shape[1] != len(first):
        raise ValueError(f"{path} has {table.shape[1]} columns, but its first line has {len(first)}.")
    if column is None:
        return table, None
    return np.delete(table, column, axis=1), np.array(list(codes))[table[:, column].astype(int)]


def _csv_layout(path: Path, labels: str | None, first: list[str]) -> tuple[int | None, bool]:
    """Return the column of the labels, and whether the first line is a header."""
    text = [i for i, cell in enumerate(first) if not _is_number(cell)]
    column = int(labels) if labels is not None and labels.isdecimal() and int(labels) < len(first) else None
    names = [i for i in text if i != column]
    if names and not any(first[i] for i in names):
        raise ValueError(
            f"The first line of {path} consists of numbers and empty cells (column {names[0]}, counted from 0): it could be a "
            f"header, or a point with missing values. Give every column a name, or fill the cells."
        )
    if labels is None or column is not None:
        return column, bool(names)
    if text and labels in first:
        return first.index(labels), True
    allowed = f"it has {', '.join(first)}" if text else f"give a number from 0 to {len(first) - 1}"
    raise ValueError(f"{path} has no column {labels!r}: {allowed}.")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def parse_labels(labels: np.ndarray) -> np.ndarray:
    """Return labels as integers if all are whole numbers, as floats if all are numbers, and unchanged otherwise."""
    if labels.dtype.kind not in "fUS":
        return labels
    try:
        numbers = labels.astype(np.float64)
    except ValueError:
        return labels
    if not (np.abs(numbers) < 2**53).all():  # NaN and larger numbers are not exact as integers
        return labels
    return numbers.astype(np.int64) if (numbers == np.round(numbers)).all() else numbers
