"""Solvers for the bottom singular vectors of an alignment: frozen strategies with one contract.

A solver is called as `solver(alignment, count, key)` and returns a `Spectrum`: the `count` smallest singular values beyond
the constant vector's zero, with their vectors.

| solver | for | how |
| --- | --- | --- |
| `DenseQR` | small n; jit, vmap, any device, float32 | deflated QR of B and block inverse iteration |
| `SparseLU` | low intrinsic dimension or moderate n; host, float64 | sparse LU of B itself, Lanczos on its pseudo-inverse |
"""

from ._choice import Solver, choose
from ._dense import DenseQR
from ._sparse import SparseLU
from ._spectrum import Spectrum

__all__ = ["DenseQR", "Solver", "SparseLU", "Spectrum", "choose"]
