"""Results in files: an embedding as arrays in a .npz file, or as a table in a .csv or .parquet file."""

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ._pipeline import Result

SUFFIXES = (".npz", ".csv", ".parquet")
TABLES = (".csv", ".parquet")
_FIELDS = ("points", "singular_values", "residuals", "gap", "num_components", "converged", "rows")


def check_writer(path: Path | None) -> None:
    """Raise before the computation if a .parquet file is to be written and no package that writes it is installed."""
    if path is None or path.suffix.lower() != ".parquet":
        return
    if not find_spec("polars") and not _pandas_writes():
        raise ModuleNotFoundError(
            f"{path} is written by polars or pandas, of which none is installed: pip install 'jaxlle[tables]', or write a .csv "
            f"file."
        )


def write_embedding(temporary: Path, data: Any, result: Result, separate: bool) -> None:
    """Write an embedding, or one per component, with row numbers and labels to a file of the type of its suffix."""
    table = temporary.suffix.lower() in TABLES
    write_results(
        temporary, *(_columns(data, result, separate), {}) if table else ({}, _arrays(data, result, separate))
    )


def write_results(temporary: Path, columns: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write columns to a table, or arrays to a .npz file, by the suffix."""
    if temporary.suffix.lower() in TABLES:
        write_table(temporary, columns)
    else:
        _write_arrays(temporary, arrays)


def write_table(path: Path, columns: dict[str, Any]) -> None:
    """Write columns of equal length to a .csv or .parquet file. Numbers in text have enough digits to be read back exactly."""
    if path.suffix.lower() == ".parquet":
        _write_parquet(path, columns)
        return
    texts = [_as_texts(column) for column in columns.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*texts, strict=True))


def row_columns(data: Any, rows: Any) -> dict[str, Any]:
    """Return the numbers in the file of some points, and their labels if there are any, as columns."""
    numbers = rows if data.rows is None else data.rows[rows]
    return {"row": numbers} if data.labels is None else {"row": numbers, "label": data.labels[rows]}


def coordinate_columns(points: Any) -> dict[str, Any]:
    """Return the columns of an embedding, by the names y1, y2, ..."""
    import numpy as np

    return {f"y{j + 1}": column for j, column in enumerate(np.asarray(points).T)}


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    import numpy as np

    with path.open("wb") as file:  # np.savez appends .npz to a name that ends in .NPZ
        np.savez(file, **arrays)


def _columns(data: Any, result: Result, separate: bool) -> dict[str, Any]:
    """Return the columns of the table: row number, label, component, coordinates."""
    import numpy as np

    embeddings = result.embeddings
    rows = np.concatenate([np.asarray(embedding.rows) for embedding in embeddings])
    columns = row_columns(data, rows)
    if separate:
        columns["component"] = _components(embeddings)
    return columns | coordinate_columns(np.concatenate([np.asarray(embedding.points) for embedding in embeddings]))


def _arrays(data: Any, result: Result, separate: bool) -> dict[str, Any]:
    """Return the arrays to save: the fields of the embedding, the labels, and the fields of a linear map.

    Separately embedded components are concatenated; `component` holds the component of each point.
    """
    import numpy as np

    embeddings = result.embeddings
    if separate:
        arrays = {f: np.concatenate([np.atleast_1d(getattr(e, f)) for e in embeddings]) for f in _FIELDS}
        arrays["component"] = _components(embeddings)
    else:
        arrays = {field: np.asarray(getattr(embeddings[0], field)) for field in _FIELDS}
    columns = row_columns(data, arrays["rows"])
    arrays["rows"] = columns["row"]
    if "label" in columns:
        arrays["labels"] = columns["label"]
    linear_map = {} if result.projection is None else result.projection._asdict()
    return {**arrays, **{f"map_{name}": np.asarray(value) for name, value in linear_map.items()}}


def _components(embeddings: tuple) -> Any:
    import numpy as np

    return np.repeat(np.arange(len(embeddings)), [len(embedding.rows) for embedding in embeddings])


def _as_texts(column: Any) -> list[str]:
    import numpy as np

    column = np.asarray(column)
    if column.dtype.kind != "f":
        return [str(value) for value in column.tolist()]
    short = column.dtype.itemsize <= 4
    return [f"{value:.9g}" if short else repr(value) for value in column.tolist()]


def _pandas_writes() -> bool:
    return bool(find_spec("pandas") and find_spec("pyarrow"))


def _write_parquet(path: Path, columns: dict[str, Any]) -> None:
    import numpy as np

    columns = {name: np.asarray(column) for name, column in columns.items()}
    lists = {name: column.tolist() if column.dtype.kind in "US" else column for name, column in columns.items()}
    if find_spec("polars"):
        import polars

        polars.DataFrame(lists).write_parquet(path)
        return
    import pandas

    pandas.DataFrame(lists).to_parquet(path, index=False)
