"""Tables in .parquet and .feather files, read by polars or by pandas."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .._core.archive import FileContentError, check_memory
from .data import Table


def read_frame(path: Path, max_bytes: int | None) -> Table:
    """Return the table in a file.

    Raises:
        ModuleNotFoundError: if neither polars nor pandas with pyarrow is installed.
        ValueError: if the file is damaged, or its table takes more than `max_bytes` in memory.
    """
    readers = [_with_polars] if find_spec("polars") else []
    readers += [_with_pandas] if find_spec("pandas") and find_spec("pyarrow") else []
    if not readers:
        raise ModuleNotFoundError(
            f"{path} is read by polars or pandas, of which none is installed: pip install 'jaxlle[tables]', or convert it to "
            f".csv."
        )
    reasons = []
    for read in readers:  # polars does not read all categories that pandas writes
        try:
            return read(path, max_bytes)
        except (FileContentError, MemoryError):
            raise
        except BaseException as error:  # of many types
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of polars
                raise
            reasons.append((str(error).splitlines() or [type(error).__name__])[0])
    raise FileContentError(
        f"{path} cannot be read ({reasons[0]}): it is truncated, malformed, or of another type than its suffix."
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _check(path: Path, rows: int, columns: int, max_bytes: int | None) -> None:
    check_memory(path, path.stat().st_size, 8 * rows * columns, max_bytes, "or save the table without compression")


def _with_polars(path: Path, max_bytes: int | None) -> Table:
    import polars

    lazy = polars.scan_parquet(path) if _is_parquet(path) else polars.scan_ipc(path)
    held = lazy.collect_schema()
    schema = {
        name: dtype for name, dtype in held.items() if not name.startswith("__index_level_")
    }  # the index of pandas
    _check(path, lazy.select(polars.len()).collect().item(), len(held), max_bytes)
    frame = lazy.collect()
    columns = []
    for name, dtype in schema.items():
        values = frame[name]
        if dtype.is_numeric() or dtype == polars.Boolean:
            columns.append(values.cast(dtype if dtype == polars.Float32 else polars.Float64).to_numpy())
        else:
            columns.append(_texts(values.to_list()))
    return Table(tuple(schema), columns, True, None)


def _with_pandas(path: Path, max_bytes: int | None) -> Table:
    import pandas
    import pyarrow.ipc
    import pyarrow.parquet

    if _is_parquet(path):
        held = pyarrow.parquet.read_metadata(path)
        rows, columns = held.num_rows, held.num_columns
    else:
        with pyarrow.ipc.open_file(path) as file:
            rows, columns = sum(file.get_batch(i).num_rows for i in range(file.num_record_batches)), len(file.schema)
    _check(path, rows, columns, max_bytes)
    frame = pandas.read_parquet(path) if _is_parquet(path) else pandas.read_feather(path)
    found = [_pandas_column(values) for _, values in frame.items()]
    return Table(tuple(map(str, frame.columns)), found, True, None)


def _pandas_column(values: Any) -> np.ndarray:
    from pandas.api.types import is_numeric_dtype

    if not is_numeric_dtype(values.dtype):
        return _texts(values.astype(object).where(values.notna(), None).tolist())
    return values.to_numpy(np.float32 if values.dtype == np.float32 else np.float64, na_value=np.nan)


def _texts(values: list[Any]) -> np.ndarray:
    """Return values as strings, empty where they are missing."""
    texts = np.empty(len(values), object)
    texts[:] = ["" if value is None else str(value) for value in values]
    return texts
