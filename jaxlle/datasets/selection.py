"""The features of a table: which columns are used, which rows, and in which units."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core.checks import warn_user
from ..warnings import DataWarning
from .data import Scaling, Table, Vocabulary
from .options import ReadOptions
from .sparse import select_documents
from .tables import is_missing, is_number

_IDENTIFIER = re.compile(
    r"(unnamed: \d+|(row|sample|record|subject|patient|customer|user)?[ _]?(id|index|idx|nr|no)"
    r"|row[ _]?(names?|num|number)?|.+[ _]id|)",
    re.IGNORECASE,
)
_JOINED = re.compile(r".*[a-z]I[dD]")  # customerId, but neither grid nor Paid
_ENOUGH_ROWS = 10  # fewer whole numbers are often in order by chance


class Features(NamedTuple):
    """The features of a table.

    Attributes:
        points: shape (n, d), sparse if they are documents.
        labels: shape (n,), or None.
        columns: names of the d columns, or of the column of documents.
        left_out: notes on what was left out.
        texts: the documents, or None.
        vocabulary: their words, or None.
    """

    points: Any
    labels: np.ndarray | None
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    texts: np.ndarray | None = None
    vocabulary: Vocabulary | None = None


def select_features(table: Table, labels: str | None, options: ReadOptions, source: str) -> Features:
    """Return the features and the labels of a table, with NaN where cells are missing.

    Raises:
        ValueError: if a column does not exist or is named twice, a feature is text, or no feature remains.
    """
    label = None if labels is None else _find(table, labels, source)
    if options.text is not None:
        return _select_text(table, label, options, source)
    dropped = [_find(table, name, source) for name in _as_tuple(options.drop)]
    notes: list[str] = []
    if options.columns is None:
        candidates = [j for j in range(len(table.names)) if j != label and j not in dropped]
        used = _usable(table, candidates, source, notes)
    else:
        used = [j for j in (_find(table, name, source) for name in _as_tuple(options.columns)) if j not in dropped]
        if label in used:
            raise ValueError(
                f"{source}: the column {labels!r} is requested as a feature and as the labels: choose one of both."
            )
        for j in used:
            if table.columns[j].dtype.kind == "O":
                raise _not_a_number(table, j, source)
    if dropped:
        notes.append(f"{_listed(table, dropped)} (as requested)")
    if not used:
        raise ValueError(
            f"{source} is not a table of numbers: no column remains of {_shorten(table.names)} "
            f"({'; '.join(notes) or 'only the labels'}). Name the features in ReadOptions.columns."
        )
    points = np.stack([table.columns[j] for j in used], axis=1)
    return Features(points, _labels(table, label), tuple(table.names[j] for j in used), tuple(notes))


def _labels(table: Table, label: int | None) -> np.ndarray | None:
    found = None if label is None else table.columns[label]
    return found if found is None or found.dtype.kind != "O" else found.astype(str)


def _select_text(table: Table, label: int | None, options: ReadOptions, source: str) -> Features:
    """Return documents as features; the other columns are left out."""
    if options.columns is not None or options.drop:
        name = "drop" if options.columns is None else "columns"
        raise ValueError(
            f"{source}: the features are documents, and no other columns are used: remove ReadOptions.{name}."
        )
    text = _find(table, str(options.text), source)
    if text == label:
        raise ValueError(
            f"{source}: the column {table.names[text]!r} is requested as text and as the labels: choose one."
        )
    points, documents, vocabulary = select_documents(table, text, options.vocabulary, source)
    others = [j for j in range(len(table.names)) if j not in (text, label)]
    notes = (f"{_listed(table, others)} (not the documents)",) if others else ()
    return Features(points, _labels(table, label), (table.names[text],), notes, documents, vocabulary)


def _as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def _find(table: Table, name: str, source: str) -> int:
    """Return the number of a column that is given by name or number."""
    found = [j for j, other in enumerate(table.names) if other == name] if table.header else []
    if len(found) > 1:
        raise ValueError(f"{source} has {len(found)} columns named {name!r}: give one of the numbers {found}.")
    if found:
        return found[0]
    if name.isdecimal() and int(name) < len(table.names):
        return int(name)
    allowed = f"it has {', '.join(table.names)}" if table.header else f"give a number from 0 to {len(table.names) - 1}"
    raise ValueError(f"{source} has no column {name!r}: {allowed}.")


def _usable(table: Table, candidates: list[int], source: str, notes: list[str]) -> list[int]:
    """Return the columns of numbers that are neither empty nor identifiers; note and warn of the others."""
    text = [j for j in candidates if table.columns[j].dtype.kind == "O"]
    for j in text:
        _check_no_stray_text(table, j, source)
    empty = [j for j in candidates if j not in text and np.isnan(table.columns[j]).all()]
    numbers = [j for j in candidates if j not in text and j not in empty]
    named = [j for j in numbers if table.header and _is_named_identifier(table.names[j], table.columns[j])]
    others = [j for j in numbers if j not in named]
    counted = [j for j in others if _is_in_order(table.columns[j])]
    counted = counted if len(counted) < len(others) else []
    identifiers = sorted([*named, *counted])
    if text:
        notes.append(f"{_listed(table, text)} (text)")
    if empty:
        notes.append(f"{_listed(table, empty)} (empty)")
    if identifiers:
        notes.append(f"{_listed(table, identifiers)} (like an identifier or a row number)")
        warn_user(
            f"{source}: {_listed(table, identifiers)} looks like an identifier or a row number, and is left out. To use it, list "
            f"all features in ReadOptions.columns; to leave it out without this warning, name it in ReadOptions.drop.",
            DataWarning,
        )
    return [j for j in others if j not in counted]


def _is_named_identifier(name: str, column: np.ndarray) -> bool:
    known = column[~np.isnan(column)]
    matches = any(pattern.fullmatch(name.strip()) for pattern in (_IDENTIFIER, _JOINED))
    return matches and bool((known == np.round(known)).all())


def _is_in_order(column: np.ndarray) -> bool:
    """Return whether a column consists of different whole numbers in increasing order."""
    if len(column) < _ENOUGH_ROWS or not np.isfinite(column).all():
        return False
    return bool((np.diff(column) > 0).all() and (column == np.round(column)).all())


def _check_no_stray_text(table: Table, j: int, source: str) -> None:
    """Raise if most cells of a column of text are numbers, so that the text is probably a mistake."""
    known = [cell for cell in table.columns[j][:1000] if not is_missing(cell)]
    if 2 * sum(map(is_number, known)) >= len(known):
        raise _not_a_number(table, j, source)


def _not_a_number(table: Table, j: int, source: str) -> ValueError:
    cells = table.columns[j]
    row = next(i for i, cell in enumerate(cells) if not is_number(cell) and not is_missing(cell))
    name = table.names[j]
    return ValueError(
        f"{source} is not a table of numbers: {str(cells[row])!r} in {position(table, row)}, column {name!r}. Correct the cell, "
        f'leave the column out by ReadOptions(drop="{name}"), or use it as the labels.'
    )


def position(table: Table | None, row: int) -> str:
    """Return where a row is, for a message."""
    return f"row {row}" if table is None or table.lines is None else f"row {row} (line {table.lines[row]})"


def _listed(table: Table, columns: Sequence[int]) -> str:
    return ("column " if len(columns) == 1 else "columns ") + _shorten([_shown(table, j) for j in columns])


def _shown(table: Table, j: int) -> str:
    return repr(table.names[j]) if table.names[j] else f"{j} (without a name)"


def _shorten(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])} and {len(names) - 10} more"


def treat_missing(
    points: np.ndarray, options: ReadOptions, source: str, table: Table | None, columns: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Return the points without missing values, the rows that remain if some were left out, and notes.

    Raises:
        ValueError: if values are missing and `options.missing` is "error", or no point or no value of a column remains.
    """
    if points.dtype.kind != "f" or np.isfinite(points).all():
        return points, None, ()
    gaps = np.isnan(points)
    if np.isinf(points).any():
        row, column = (int(i) for i in np.argwhere(np.isinf(points))[0])
        raise ValueError(
            f"{source} contains infinity, or a number beyond the range of {points.dtype}, in {position(table, row)}, column "
            f"{_name(columns, column)}: correct it, or leave out the column."
        )
    bad = np.asarray(gaps.any(axis=1))
    if not bad.any():
        return points, None, ()
    row = int(bad.argmax())
    column = int(gaps[row].argmax())
    if options.missing == "error":
        raise ValueError(
            f"{source} contains NaN or missing cells in {bad.sum()} of {len(bad)} rows, the first in {position(table, row)}, "
            f'column {_name(columns, column)}: fill them, or use ReadOptions(missing="drop") or ReadOptions(missing="mean").'
        )
    if options.missing == "drop":
        if bad.all():
            raise ValueError(
                f'{source} has missing cells in every row: use ReadOptions(missing="mean"), or fewer columns.'
            )
        return points[~bad], np.flatnonzero(~bad), (f"{bad.sum()} of {len(bad)} rows (missing cells)",)
    if gaps.all(axis=0).any():
        column = _name(columns, int(gaps.all(axis=0).argmax()))
        raise ValueError(f"{source} has no value in column {column}: leave the column out.")
    means = np.nanmean(points, axis=0, dtype=np.float64).astype(points.dtype)
    return np.where(gaps, means, points), None, (f"no row; {gaps.sum()} missing cells have the mean of their column",)


def _name(columns: Sequence[str] | None, column: int) -> str:
    return str(column) if columns is None else repr(columns[column])


def scale_columns(points: np.ndarray, kind: str) -> tuple[np.ndarray, Scaling | None]:
    """Return the points in the units that the scaling gives each column, and the scaling."""
    if kind == "none" or points.dtype.kind not in "buif":
        return points, None
    x = points.astype(np.float64)
    if kind == "standard":
        shift, spread = x.mean(axis=0), x.std(axis=0)
    elif kind == "robust":
        low, shift, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
        spread = high - low
    else:
        shift = x.min(axis=0)
        spread = x.max(axis=0) - shift
    tiny = 8 * np.finfo(np.float64).eps * np.abs(x).max(axis=0, initial=0)  # the rounding of a constant column
    scaling = Scaling(kind, shift, np.where(spread > tiny, spread, 1.0))
    return apply_scaling(points, scaling), scaling


def apply_scaling(points: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Return points, such as new ones, in the units of a scaling."""
    dtype = points.dtype if points.dtype.kind == "f" else np.float64
    return ((points.astype(np.float64) - scaling.shift) / scaling.factor).astype(dtype)


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
