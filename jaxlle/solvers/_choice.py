"""The solver that `solver="auto"` selects."""

from collections.abc import Callable
from typing import Literal

import jax

from .._core.blocks import on_cpu
from .._core.checks import is_traced
from ..alignment import Alignment, graph_width
from ..alignment.operator import prepare_alignment
from . import _pardiso
from ._ordering import has_metis
from .dense import DenseQR
from .landmark import Landmark
from .sparse import SparseLU
from .spectrum import Hints, Spectrum

Solver = Callable[[Alignment, int, jax.Array, Hints], Spectrum]
SolverLike = Solver | Literal["auto"]
_DENSE_MAX = 2_000  # points up to which a dense QR is the fastest solver that runs under jit
_DEVICE_MAX = 8_192  # the same on an accelerator
_HOST_MIN = 64  # for fewer points a Krylov space is too small, and the cost of the dense solver is negligible
# On two cores the LU of graphs of width w took 3e-11 (digits) to 1e-10 (six-dimensional cube) times w^3 seconds in the order of
# METIS and two to four times that in the minimum degree order; the landmark solver took 5e-5 (digits) to 5e-4 (cube) times n.
# PARDISO takes half of the processor time, but 10,000 digits, of width 179 n^(1/3), are still faster with the landmark solver.
_WIDTH, _WIDTH_WITHOUT_METIS = 172.0, 141.0


def choose(alignment: Alignment, traced: bool = False) -> Solver:
    """Select the solver for an alignment by its size, its device, the width of its graph, and whether it is traced.

    Inside jit, `DenseQR` is selected up to 2,000 points and `Landmark` for more. Outside jit on a CPU, `DenseQR` is selected
    below 64 points, and `SparseLU` for more points if its factors will be small, else `Landmark`. The criterion is the width
    of the graph (`jaxlle.alignment.graph_width`), which bounds the separators that determine the fill, and so reflects the
    intrinsic dimension. `SparseLU` is selected up to a width of 172 n^(1/3) (141 n^(1/3) with neither pymetis nor
    pypardiso): for a Swiss roll of any size, 20,000 points of a six-dimensional cube, and 5,000 digits, but not for 10,000
    digits. On an accelerator, `DenseQR` is selected up to 8,192 points, and the same criterion applies to more points, with
    `SparseLU` on the host.

    Args:
        alignment: the operator.
        traced: whether another argument of the solver, such as the key, is traced.

    Returns:
        A solver with its default options.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.solvers.choose(jaxlle.lle_alignment(x, k=8))
        SparseLU(tol=1e-10, krylov=None, max_iterations=1000)
    """
    alignment = prepare_alignment(alignment)
    n = alignment.indices.shape[0]
    if traced or is_traced(alignment):
        return DenseQR() if n <= _DENSE_MAX else Landmark()
    if n < _HOST_MIN or (not on_cpu(alignment.blocks) and n <= _DEVICE_MAX):
        return DenseQR()
    limit = _WIDTH if has_metis() or _pardiso.is_used(n) else _WIDTH_WITHOUT_METIS
    return SparseLU() if graph_width(alignment) <= limit * n ** (1 / 3) else Landmark()
