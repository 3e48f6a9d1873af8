"""Solvers for the bottom singular vectors of an alignment: frozen strategies with one contract.

A solver is called as `solver(alignment, count, key, hints)` and returns a `Spectrum`: the `count` smallest singular values beyond
the constant vector's zero, with their vectors.

| solver | for | how |
| --- | --- | --- |
| `DenseQR` | small n; jit, vmap, any device, float32 | deflated QR of B and block inverse iteration |
| `SparseLU` | low intrinsic dimension or moderate n; host, float64 | sparse LU of B itself, Lanczos on its pseudo-inverse |
| `Landmark` | high intrinsic dimension, any n; jit, any device, float32 | LOBPCG with a landmark coarse space |
"""

from ._choice import Solver, choose
from .coarse import farthest_landmarks, kmeans_landmarks, random_landmarks
from .dense import DenseQR
from .landmark import Landmark
from .sparse import SparseLU
from .spectrum import Hints, Spectrum

__all__ = [
    "DenseQR",
    "Hints",
    "Landmark",
    "Solver",
    "SparseLU",
    "Spectrum",
    "choose",
    "farthest_landmarks",
    "kmeans_landmarks",
    "random_landmarks",
]
