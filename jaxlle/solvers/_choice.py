"""Which solver `solver="auto"` stands for."""

from collections.abc import Callable

import jax

from .._core.checks import is_traced
from ..alignment import Alignment, graph_width
from ._ordering import has_metis
from .dense import DenseQR
from .landmark import Landmark
from .sparse import SparseLU
from .spectrum import Hints, Spectrum

Solver = Callable[[Alignment, int, jax.Array, Hints], Spectrum]
_DENSE_MAX = 2_000  # points up to which a dense QR is the fastest that runs under jit
_DEVICE_MAX = 8_192  # the same on an accelerator
_HOST_MIN = 64  # below, a Krylov space has no room and the dense solve costs nothing
# On two cores the LU of graphs of width w took 3e-11 (digits) to 1e-10 (cube of six dimensions) times w^3 seconds in METIS's
# order and two to four times that in minimum degree's, the landmark solver 5e-5 (digits) to 5e-4 (cube) times n.
_WIDTH, _WIDTH_WITHOUT_METIS = 172.0, 141.0


def choose(alignment: Alignment, traced: bool = False) -> Solver:
    """Return the solver for an alignment: by its size, its device, whether it is traced, and the width of its graph.

    Inside jit: `DenseQR` up to 2,000 points, `Landmark` beyond. Outside, on a CPU: `SparseLU` from 64 points on if its
    factors will be small, `Landmark` else. What decides is the largest number of points at one distance, counted in
    edges, from a point at the rim of the graph: it bounds the separators that fill grows from, and with them the
    intrinsic dimension counts. SparseLU is taken up to a width of 172 n^(1/3) (141 where pymetis is not installed): a
    Swiss roll of any size, 20,000 points of a cube of six dimensions, 5,000 digits, but not 10,000. On an accelerator:
    DenseQR up to 8,192 points, then the same rule, SparseLU running on the host.

    Args:
        alignment: the operator to be solved.
        traced: whether something else, such as the key, is traced.

    Returns:
        A solver with its default options.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.solvers.choose(jaxlle.lle_alignment(x, k=8))
        SparseLU(tol=1e-10, krylov=None, max_iterations=1000)
    """
    n = alignment.indices.shape[0]
    if traced or is_traced(alignment):
        return DenseQR() if n <= _DENSE_MAX else Landmark()
    on_cpu = all(device.platform == "cpu" for device in alignment.blocks.devices())
    if n < _HOST_MIN or (not on_cpu and n <= _DEVICE_MAX):
        return DenseQR()
    limit = _WIDTH if has_metis() else _WIDTH_WITHOUT_METIS
    return SparseLU() if graph_width(alignment) <= limit * n ** (1 / 3) else Landmark()
