"""Sparse factors by PARDISO (Schenk and Gärtner 2004) of Intel's MKL, which pypardiso (the extra `mkl`) finds.

It takes about half of the processor time of SuperLU and uses several threads. Its order of elimination is that of METIS.
"""

import ctypes
import threading
import weakref
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

_MIN_POINTS = 5_000  # below, the factors take a tenth of a second with SuperLU, and loading MKL takes longer
_ANALYZE_AND_FACTORIZE, _SOLVE, _RELEASE = 12, 33, -1
_GENERAL, _POSITIVE_DEFINITE = 11, 2  # kinds of matrices
_ZERO_PIVOT, _TOO_LITTLE_MEMORY = -4, -2  # errors
# Numbers of parameters, from zero.
_GIVEN, _ORDER, _PERTURBATION, _TRANSPOSE, _PERTURBED, _LEVELS, _THREADS, _FROM_ZERO = 0, 1, 9, 11, 13, 23, 33, 34
# For general matrices: it halves the processor time of solves. The improved algorithm of two levels, 10, gave some
# wrong solutions (MKL 2026.2, 300 rows, two threads).
_TWO_LEVELS = 1


def has_pardiso() -> bool:
    """Return whether pypardiso (the extra `mkl`) is installed."""
    return find_spec("pypardiso") is not None


def is_used(n: int) -> bool:
    """Return whether matrices of n rows are factorized by PARDISO."""
    return n >= _MIN_POINTS and has_pardiso()


@cache
def _library() -> Any:
    try:
        from pypardiso import ps  # pyright: ignore[reportMissingImports]

        return ps.libmkl  # a second solver would search the library again
    except (ImportError, OSError) as error:
        raise ImportError(
            "pypardiso is installed, but the library MKL that it needs cannot be loaded: install both by "
            "pip install 'jaxlle[mkl]', or uninstall pypardiso, so that SuperLU is used."
        ) from error


class Pardiso:
    """The factors of a square matrix without pivoting, which are released with this object."""

    def __init__(self, matrix: Any, kind: int):
        library = _library()
        self._arrays = (matrix.data, matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32))
        self._parameters, self._kind = np.zeros(64, np.int32), kind
        self._parameters[[_GIVEN, _ORDER, _PERTURBATION, _FROM_ZERO]] = 1, 2, 13, 1  # METIS; perturb pivots below 1e-13
        self._parameters[_LEVELS] = _TWO_LEVELS if kind == _GENERAL else 0
        self._parameters[_THREADS] = library.MKL_Get_Max_Threads()  # a fixed number gives reproducible sums
        self._handle, self._lock = np.zeros(64, np.int64), threading.Lock()
        self.error = self._call(_ANALYZE_AND_FACTORIZE)
        release = (library, self._handle, self._kind, self._parameters, self._arrays)
        weakref.finalize(self, _call, *release, _RELEASE).atexit = False

    @property
    def is_regular(self) -> bool:
        """Return whether no pivot was too small."""
        return self.error == 0 and self._parameters[_PERTURBED] == 0

    def solve(self, b: np.ndarray, trans: str) -> np.ndarray:
        """Solve with the matrix ("N") or its transpose ("T")."""
        b = np.asfortranarray(b, np.float64)
        out = np.empty_like(b)
        with self._lock:  # the parameters belong to this object
            self._parameters[_TRANSPOSE] = 2 if trans == "T" else 0
            if error := self._call(_SOLVE, b, out):
                raise RuntimeError(f"PARDISO failed to solve with its factors, with error {error}.")
        return np.ascontiguousarray(out)

    def _call(self, phase: int, *vectors: np.ndarray) -> int:
        return _call(_library(), self._handle, self._kind, self._parameters, self._arrays, phase, *vectors)


def _call(
    library: Any, handle: np.ndarray, kind: int, parameters: np.ndarray, arrays: tuple, phase: int, *vectors: np.ndarray
) -> int:
    """Call PARDISO in one of its phases and return the number of an error, or zero."""

    def number(value: int) -> Any:
        return ctypes.byref(ctypes.c_int32(value))

    def pointer(array: np.ndarray) -> Any:
        return array.ctypes.data_as(ctypes.POINTER(np.ctypeslib.as_ctypes_type(array.dtype)))

    data, starts, columns = arrays
    one, error = number(1), ctypes.c_int32(0)
    count = number(vectors[0].shape[1] if vectors and vectors[0].ndim == 2 else 1)
    matrix = (number(len(starts) - 1), *map(pointer, (data, starts, columns)), None)
    sides = map(pointer, vectors) if vectors else (None, None)
    of_handle = (pointer(handle), one, one, number(kind), number(phase))
    library.pardiso(*of_handle, *matrix, count, pointer(parameters), number(0), *sides, ctypes.byref(error))
    return error.value


def factorize(matrix: Any, positive: bool) -> Pardiso | None:
    """Return the factors of a square SciPy matrix, or None if it needs pivoting, or should be positive definite and is not."""
    if not matrix.diagonal().all():  # such as an empty row, of which PARDISO would read beyond the end
        return None
    from scipy.sparse import triu

    matrix = (triu(matrix, format="csr") if positive else matrix.tocsr()).astype(np.float64)
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    factors = Pardiso(matrix, _POSITIVE_DEFINITE if positive else _GENERAL)
    if factors.error == _TOO_LITTLE_MEMORY:
        raise MemoryError("The memory is not sufficient for the sparse factors: use solver=jaxlle.solvers.Landmark().")
    if factors.error not in (0, _ZERO_PIVOT):
        raise RuntimeError(f"PARDISO failed to factorize the matrix, with error {factors.error}.")
    return factors if factors.is_regular else None
