"""The order of elimination, which decides how many entries the factors of a sparse matrix get."""

from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Int

from ..alignment import graph_width

WIDE = 14.0  # times n^(1/3): below, as for Swiss rolls of less than a million points, minimum degree does as well


def has_metis() -> bool:
    """Tell whether pymetis is installed: the extra `metis`."""
    return find_spec("pymetis") is not None


def elimination_order(matrix: Any, alignment: Any) -> Int[np.ndarray, " n"] | None:
    """Return the order in which to eliminate, or None where SuperLU's own minimum degree will do.

    Nested dissection (George 1973), by METIS if it is installed. On the wide graphs of real data it roughly halves the
    factors that minimum degree gives.

    Args:
        matrix: square SciPy sparse matrix, to be factored with its pivots on the diagonal.
        alignment: that it was made of, whose `graph_width` tells whether the order matters.
    """
    n = matrix.shape[0]
    if not has_metis() or graph_width(alignment) < WIDE * n ** (1 / 3):
        return None
    import pymetis

    pattern = abs(matrix) + abs(matrix.T)
    pattern.setdiag(0)
    pattern = pattern.tocsr()
    pattern.eliminate_zeros()
    adjacency = pymetis.CSRAdjacency(pattern.indptr, pattern.indices)  # pyright: ignore[reportArgumentType]
    return np.asarray(pymetis.nested_dissection(adjacency)[0]).astype(np.int64)
