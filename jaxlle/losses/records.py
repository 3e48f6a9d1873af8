"""Rows of data that are read one record at a time, such as those of Grain's data sources."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._core.missing import read_host


class RecordRows:
    """The records of a random-access source, as the rows of an array of shape (n, d) that is never in memory as a whole.

    A source has a length, and ``source[i]`` reads record i: a data source or a `MapDataset` of Grain, or any sequence on disk.
    `neighborhood_batches` accepts it as x. Every batch reads its own records only, and from several threads if it is read by
    `jaxlle.nn.GrainStream`.

    Attributes:
        shape: number of records and of features.
        dtype: of the first record; others are converted to it.
        nbytes: size of the whole array.

    Example:
        >>> import numpy as np
        >>> from jaxlle.losses import RecordRows
        >>> records = [np.full(3, i, np.float32).tobytes() for i in range(5)]
        >>> rows = RecordRows(records, lambda record: np.frombuffer(record, np.float32))
        >>> rows.shape, rows[np.array([4, 0])][:, 0].tolist()
        ((5, 3), [4.0, 0.0])
    """

    def __init__(self, source: Any, decode: Callable[[Any], Any] | None = None):
        """Open the source, and read its first record.

        Args:
            source: has a length, and returns a record for a row number.
            decode: function from a record to its features, shape (d,); None for a source of such arrays.

        Raises:
            TypeError: for a source without a length or without records by number.
            ValueError: for a source without records, or a first record that is no vector of numbers.
        """
        if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
            raise TypeError(
                f"source is of type {type(source).__name__}, but needs a length and records by number, as the data sources of "
                f"Grain have: pass an iterable of batches to fit or train instead."
            )
        if len(source) == 0:
            raise ValueError("source has no records: pass a source with at least one.")
        self._source, self._decode = source, decode
        first = read_host(self._read(0), "Record 0")
        if first.ndim != 1 or first.dtype.kind not in "biuf" or not first.size:
            raise ValueError(
                f"Record 0 is an array of shape {first.shape} and dtype {first.dtype}, but must be a vector of numbers: "
                f"pass a function from a record to its features as decode."
            )
        self.shape, self.dtype = (len(source), first.size), first.dtype

    @property
    def ndim(self) -> int:
        """Return 2."""
        return 2

    @property
    def nbytes(self) -> int:
        """Return the size of all rows in bytes."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return rows, given as a slice or as an array of row numbers, in an array of shape (m, d)."""
        numbers = range(*rows.indices(len(self))) if isinstance(rows, slice) else [int(row) for row in np.asarray(rows)]
        out = np.empty((len(numbers), self.shape[1]), self.dtype)
        for place, row in enumerate(numbers):
            record = self._read(row)
            if record.shape != self.shape[1:] or not np.can_cast(record.dtype, self.dtype, "same_kind"):
                raise ValueError(
                    f"Record {row} is an array of shape {record.shape} and dtype {record.dtype}, but record 0 has shape "
                    f"{self.shape[1:]} and dtype {self.dtype}: all records must have the same features."
                )
            out[place] = record
        return out

    def _read(self, row: int) -> np.ndarray:
        record = self._source[row] if self._decode is None else self._decode(self._source[row])
        return record if type(record) is np.ndarray else read_host(record, f"Record {row}")
