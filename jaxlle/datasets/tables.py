"""Tables in text: encoding, separator, header, and columns of numbers or text."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .data import Table

_SEPARATORS = "\t;|,"  # in the order of preference: a comma can also be a decimal sign or a part of text
_SAMPLE = 200  # rows from which the types of the columns are guessed
_MISSING = frozenset(["", "na", "n/a", "nan", "<na>", "null", "none", "?"])
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


class _Layout(NamedTuple):
    """What the first lines of a text show.

    Attributes:
        separator: the character between cells.
        header: whether the first line names the columns.
        first: the cells of the first line.
        text: the columns that hold text in the first rows.
        decimal_comma: whether decimal signs are commas.
    """

    separator: str
    header: bool
    first: list[str]
    text: list[int]
    decimal_comma: bool


def read_table(content: bytes, source: str, named: Sequence[str], encoding: str) -> Table:
    """Return the table in the content of a .csv or .tsv file.

    Args:
        content: the file.
        source: its name, for messages.
        named: names or numbers of columns that must exist, which help to recognize a header.
        encoding: the encoding of the file.

    Raises:
        ValueError: if the content is empty, binary, in another encoding, ragged, or its first line is ambiguous.
    """
    text = _decode(content, source, encoding)
    if not text.strip():
        raise ValueError(f"{source} is empty.")
    layout = _guess(text, source, named)
    if layout.header and len(_head(text, layout.separator)) < 2:
        raise ValueError(f"{source} has a header and no points.")
    names = tuple(layout.first) if layout.header else tuple(map(str, range(len(layout.first))))
    found = None if layout.decimal_comma else _read_numbers(text, layout)
    columns, lines = found or _read_cells(text, layout, source)
    return Table(names, columns, layout.header, lines)


def is_missing(cell: str) -> bool:
    """Return whether a cell is empty or a usual mark of a missing value."""
    return cell.strip().lower() in _MISSING


def is_number(cell: str) -> bool:
    """Return whether a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _decode(content: bytes, source: str, encoding: str) -> str:
    """Return the text of a file; an error suggests the encoding that its bytes look like."""
    marks = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    usual = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    found = marks.get(content[:2]) if usual else None
    if found is None and b"\0" in content and usual:
        raise ValueError(
            f"{source} is not a table of text, because it has zero bytes: it is malformed, or of another type."
        )
    try:
        if found is None:
            return content.decode("utf-8-sig" if usual else encoding)
    except LookupError:
        raise ValueError(f"encoding = {encoding!r} is not known: give for example utf-8, cp1252 or utf-16.") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if not usual:
            raise ValueError(f"{source} is not in the encoding {encoding} (line {line}): give another one.") from None
        try:
            content.decode("cp1252")
            found = "cp1252"
        except UnicodeDecodeError:
            found = "latin-1"
        raise ValueError(
            f'{source} cannot be read as UTF-8 text (line {line}): it could be in {found}, which ReadOptions(encoding="{found}") '
            f"reads."
        ) from None
    raise ValueError(
        f'{source} cannot be read as UTF-8 text: it is in {found}, which ReadOptions(encoding="{found}") reads.'
    )


def _rows(text: str, separator: str) -> Any:
    options = {"delimiter": separator, "skipinitialspace": separator != "\t", "strict": True}  # no open quotation marks
    return csv.reader(io.StringIO(text, newline=""), **options)


def _head(text: str, separator: str) -> list[list[str]]:
    """Return the cells of the first rows that are not blank."""
    rows = []
    for row in _rows(text, separator):
        if any(cell.strip() for cell in row) or len(row) > 1:
            rows.append([cell.strip() for cell in row])
        if len(rows) > _SAMPLE:
            break
    return rows


def _guess(text: str, source: str, named: Sequence[str]) -> _Layout:
    """Return the layout that the first rows show."""
    heads: dict[str, list[list[str]]] = {}
    reason = ""
    for separator in _SEPARATORS:
        try:
            heads[separator] = _head(text, separator)
        except csv.Error as error:  # text after a quotation mark: it is another separator
            reason = str(error)
    if not heads:
        raise ValueError(f"{source} is not a table ({reason}): check its quotation marks.")
    consistent = [s for s, rows in heads.items() if len(rows[0]) > 1 and len({len(row) for row in rows[:20]}) == 1]
    separator = next(iter(consistent), max(list(heads)[::-1], key=lambda s: len(heads[s][0])))
    first, *below = heads[separator]
    columns = [[row[j] for row in below if j < len(row) and not is_missing(row[j])] for j in range(len(first))]
    decimals = [cell for row in heads[separator] for cell in row if _DECIMAL_COMMA.fullmatch(cell)]
    points = any("." in cell and is_number(cell) for row in below for cell in row)
    comma = separator != "," and bool(decimals) and not points
    numeric = (lambda cell: is_number(cell.replace(",", "."))) if comma else is_number
    text_columns = [j for j, cells in enumerate(columns) if cells and not all(map(numeric, cells))]
    header = _is_header(first, columns, source, named, numeric)
    if not header:
        text_columns = sorted({*text_columns, *(j for j, cell in enumerate(first) if not numeric(cell))})
    names = [first[0].removeprefix("#").strip(), *first[1:]] if header else first
    return _Layout(separator, header, names, text_columns, comma)


def _is_header(
    first: list[str], below: list[list[str]], source: str, named: Sequence[str], numeric: Callable[[str], bool]
) -> bool:
    """Return whether the first row names the columns; raise if it could also be a point."""
    text = [j for j, cell in enumerate(first) if not numeric(cell)]
    if first[0] == "" and len(first) > 1 and first[1:] == [str(j) for j in range(len(first) - 1)]:
        return True  # the header that pandas writes for an array
    if any(name in first and not numeric(name) and name not in below[first.index(name)] for name in named):
        return True
    labels = [int(name) for name in named[:1] if name.isdecimal()]
    names = [j for j in text if j not in labels]
    if names and not any(first[j] for j in names):
        raise ValueError(
            f"The first line of {source} consists of numbers and empty cells (column {names[0]}, counted from 0): it could be a "
            f"header, or a point with missing values. Give every column a name, or fill the cells."
        )
    names = [j for j in names if not is_missing(first[j])]
    if not names:
        return False
    above_numbers = any(below[j] and all(map(numeric, below[j])) for j in names)
    if above_numbers or len(text) == len(first):
        return True
    if any(first[j] in below[j] for j in names):
        return False
    raise ValueError(
        f"The first line of {source} has names and numbers ({', '.join(first[:6])}): it could be a header, or a point. Insert a "
        f"line with a name for every column."
    )


def _read_numbers(text: str, layout: _Layout) -> tuple[list[np.ndarray], np.ndarray] | None:
    """Return the columns and the line of each row if all cells have the guessed types, in one fast pass, and None otherwise."""
    numbered = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()][layout.header :]
    numbers, lines = zip(*numbered, strict=True)
    codes: dict[int, dict[str, int]] = {j: {} for j in layout.text}  # text as numbers, by column
    converters: dict[Any, Any] = {j: _Encoder(found) for j, found in codes.items()}
    options = {"delimiter": layout.separator, "comments": None, "quotechar": '"', "ndmin": 2}
    try:
        table = np.loadtxt(lines, converters=converters or None, **options)
    except ValueError:
        return None
    if table.shape[1] != len(layout.first) or len(table) != len(lines):
        return None
    columns = list(table.T)
    for j, found in codes.items():
        columns[j] = _as_column(np.array(list(found), object)[columns[j].astype(int)], set(found))
    return columns, np.array(numbers)


class _Encoder:
    """A number for each distinct text, in the order of their first occurrence."""

    def __init__(self, codes: dict[str, int]):
        self._codes = codes

    def __call__(self, cell: str) -> int:
        return self._codes.setdefault(cell.strip(), len(self._codes))


def _read_cells(text: str, layout: _Layout, source: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the columns and the line of each row, with missing cells and whatever types the columns have."""
    reader = _rows(text, layout.separator)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row) or len(row) > 1:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{source} is not a table ({error}): check line {reader.line_num}.") from None
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(layout.first):
            raise ValueError(
                f"{source} is not a table: line {line} has {len(row)} cells, but its first line has {len(layout.first)}. "
                f"Correct the line, or save the table again with quotation marks around text."
            )
    rows, lines = rows[layout.header :], lines[layout.header :]
    return [_column(cells, layout.decimal_comma) for cells in zip(*rows, strict=True)], np.array(lines)


def _column(cells: Sequence[str], decimal_comma: bool) -> np.ndarray:
    """Return a column as numbers, with NaN where cells are missing, or as text."""
    cells = [cell.strip() for cell in cells]
    numbers = ["nan" if is_missing(cell) else cell for cell in cells]
    if decimal_comma:
        numbers = [cell.replace(",", ".") for cell in numbers]
    try:
        return np.array(numbers).astype(np.float64)
    except ValueError:
        column = np.array(cells, object)
        return _as_column(column, set(column))


def _as_column(column: np.ndarray, distinct: set[str]) -> np.ndarray:
    """Return a column of text, or of numbers if it holds truth values or is empty."""
    values = {
        cell: {"true": 1.0, "false": 0.0}.get(cell.lower(), np.nan if is_missing(cell) else None) for cell in distinct
    }
    return column if None in values.values() else np.array([values[cell] for cell in column], np.float64)
