"""Sparse points: matrices of SciPy with many columns, such as word counts, which are never made dense as a whole.

Neighbors and weights of sparse points are computed on the host in float64, by blocks of rows, from sparse products and
differences; only their results, of shape (n, k), are on the device. They have no derivatives.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import distances
from ..distances import Metric
from .points import working_dtype


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """Validated sparse points, divided by a power of two, so that squares of their entries neither overflow nor vanish.

    Attributes:
        rows: the points divided by the unit, in float64, a SciPy array in CSR format with sorted indices and no zeros.
        unit: the power of two.
        dtype: dtype of the results.
        metric: `distances.euclidean` or `distances.cosine`.
    """

    rows: Any
    unit: float
    dtype: np.dtype
    metric: Metric

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of the points, (n, d)."""
        return self.rows.shape

    def tocsr(self) -> Any:
        """Return the points, as SciPy's matrices do; functions that need dense points recognize sparse ones by this method."""
        return self.rows * self.unit

    def apply(self, x: Any, name: str = "query") -> Any:
        """Return other sparse points with the same features, divided by the unit."""
        if not is_sparse(x):
            raise TypeError(f"{name} is dense, but x is sparse: convert it by scipy.sparse.csr_array.")
        rows = _read(x, name)
        if rows.shape[1] != self.shape[1]:
            raise ValueError(
                f"{name} has {rows.shape[1]} columns, but x has {self.shape[1]}: both must have the same features."
            )
        return rows / self.unit


def is_sparse(x: Any) -> bool:
    """Return whether x is a sparse matrix of SciPy or a `SparsePoints` value."""
    return hasattr(x, "tocsr")


def prepare_sparse(x: Any, metric: Metric = "euclidean", name: str = "x") -> SparsePoints:
    """Validate sparse points, and sort their entries.

    Raises:
        ValueError: if x is not a two-dimensional matrix of finite real numbers, or the metric is neither Euclidean nor cosine.
    """
    metric = distances.resolve(metric)
    if isinstance(x, SparsePoints):
        return x
    if metric not in (distances.euclidean, distances.cosine):
        raise ValueError(
            f"metric = {getattr(metric, '__name__', metric)!r} is not available for sparse points: use 'euclidean' or 'cosine', "
            f"or dense points."
        )
    rows = _read(x, name)
    largest = float(np.abs(rows.data).max(initial=0))
    unit = float(2.0 ** np.floor(np.log2(largest))) if largest > 0 else 1.0
    return SparsePoints(rows / unit, unit, working_dtype(x), metric)


def unit_rows(rows: Any, name: str) -> Any:
    """Return the rows divided by their lengths; raise if any is zero."""
    lengths = np.sqrt(squared_lengths(rows))
    if not lengths.all():
        raise ValueError(
            f"{int((lengths == 0).sum())} rows of {name} are zero, the first is row {int(lengths.argmin())}, for which the "
            f"cosine metric is undefined: remove those rows or use another metric."
        )
    scaled = rows.copy()
    scaled.data /= np.repeat(lengths, np.diff(rows.indptr))
    return scaled


def squared_lengths(rows: Any) -> np.ndarray:
    """Return the sum of the squares of every row."""
    return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()


def check_spread(points: SparsePoints) -> None:
    """Raise if all points are equal."""
    rows = points.rows
    if rows.shape[0] > 1 and not (rows[1:] - rows[:-1]).count_nonzero():
        raise ValueError(
            f"All {rows.shape[0]} points of x are equal (degenerate data), so that no embedding exists: check how x was loaded."
        )


PARTS = ("data", "indices", "indptr", "shape")


def to_arrays(x: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a sparse matrix in CSR format by name."""
    rows = x.tocsr()
    return {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr, "shape": np.array(rows.shape)}


def from_arrays(arrays: dict[str, np.ndarray]) -> Any:
    """Return the sparse matrix of `to_arrays`; raise a ValueError if the arrays are none."""
    from scipy import sparse

    data, indices, indptr, shape = (arrays[name] for name in PARTS)
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or shape.min() < 0:
        raise ValueError(f"{shape.tolist()} is not the shape of a sparse matrix.")
    rows = sparse.csr_array((data, indices, indptr), shape=tuple(map(int, shape)))
    rows.check_format(full_check=True)  # an index out of range would be an access out of bounds
    return rows


def _read(x: Any, name: str) -> Any:
    """Return a matrix in CSR format in float64, with sorted indices and without zeros and repeated entries."""
    from scipy import sparse

    if isinstance(x, SparsePoints):
        return x.tocsr()
    if x.ndim != 2:
        raise ValueError(f"Expected 2D array, got {x.ndim}D array instead: {name} has shape {x.shape}.")
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {x.dtype}, but sparse points must be real numbers.")
    for count, kind in zip(x.shape, ("sample(s)", "feature(s)"), strict=True):
        if count == 0:
            raise ValueError(f"Found array with 0 {kind} (shape={x.shape}) in {name} while a minimum of 1 is required.")
    rows = sparse.csr_array(x, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    if not np.isfinite(rows.data).all():
        row = int(np.searchsorted(rows.indptr, np.flatnonzero(~np.isfinite(rows.data))[0], side="right")) - 1
        raise ValueError(
            f"Input {name} contains NaN or infinity, first in row {row}: remove or impute those rows first."
        )
    return rows
