"""The order of elimination, which determines the number of entries of the factors of a sparse matrix."""

from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Int

from ..alignment import graph_width
from . import _pardiso

# Times n^(1/3). For narrower graphs, such as Swiss rolls of less than a million points, minimum degree is as good.
_MIN_WIDTH = 14.0


def has_metis() -> bool:
    """Return whether pymetis (the extra `metis`) is installed."""
    return find_spec("pymetis") is not None


def elimination_order(matrix: Any, alignment: Any) -> Int[np.ndarray, " n"] | None:
    """Return the order of elimination, or None if the minimum degree order of SuperLU is as good, or PARDISO orders itself.

    The order is the nested dissection (George 1973) of METIS, if pymetis is installed. On the wide graphs of real data its
    factors have about half the entries of those of minimum degree.

    Args:
        matrix: square SciPy sparse matrix, to be factored with pivots on the diagonal.
        alignment: the alignment of the matrix, whose `graph_width` determines whether the order matters.
    """
    n = matrix.shape[0]
    if _pardiso.is_used(n) or not has_metis() or graph_width(alignment) < _MIN_WIDTH * n ** (1 / 3):
        return None
    import pymetis

    pattern = abs(matrix) + abs(matrix.T)
    pattern.setdiag(0)
    pattern = pattern.tocsr()
    pattern.eliminate_zeros()
    adjacency = pymetis.CSRAdjacency(pattern.indptr, pattern.indices)  # pyright: ignore[reportArgumentType]
    return np.asarray(pymetis.nested_dissection(adjacency)[0]).astype(np.int64)
