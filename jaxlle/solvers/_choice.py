"""Which solver `solver="auto"` stands for."""

from collections.abc import Callable

import jax

from .._inputs import is_traced
from ..alignment import Alignment
from ._dense import DenseQR
from ._sparse import SparseLU
from ._spectrum import Hints, Spectrum

Solver = Callable[[Alignment, int, jax.Array, Hints], Spectrum]

_TRACED_MAX = 20_000  # a dense float32 B of this size takes 1.6 GB
_DEVICE_MAX = 8_192
_HOST_MIN = 64  # below, a Krylov space has no room and the dense solve costs nothing


def choose(alignment: Alignment, traced: bool = False) -> Solver:
    """Return the solver for an alignment: by its size and its device, and whether anything is traced.

    Inside jit only DenseQR runs, and only up to 20,000 points. Outside, SparseLU on a CPU from 64 points on; on an
    accelerator DenseQR up to 8,192 points and SparseLU, on the host, beyond.

    Raises:
        ValueError: inside jit for more than 20,000 points, rather than to go dense silently.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.solvers.choose(jaxlle.lle_alignment(x, k=8))
        SparseLU(tol=1e-10, krylov=None, max_iterations=1000)
    """
    n = alignment.indices.shape[0]
    if traced or is_traced(alignment):
        if n > _TRACED_MAX:
            raise ValueError(
                f"Inside jit only DenseQR is at hand, and for n = {n} it would hold a dense {n} x {n} matrix: call embed "
                f"outside jit, or pass solver=jaxlle.solvers.DenseQR() if you mean it."
            )
        return DenseQR()
    on_cpu = all(device.platform == "cpu" for device in alignment.blocks.devices())
    return SparseLU() if n >= _HOST_MIN and (on_cpu or n > _DEVICE_MAX) else DenseQR()
