r"""Solvers for the bottom singular vectors of an alignment: frozen dataclasses with one interface.

Stage 3 of an embedding needs the smallest singular values and vectors of B beyond the constant vector, whose value is zero:

$$B v = s u, \qquad B^\top u = s v, \qquad 0 < s_1 \le s_2 \le \dots$$

A `Solver` is called as `solver(alignment, count, key, hints)`, with `Hints` such as the points themselves, and returns a
`Spectrum`: the `count` smallest singular values with their vectors.

# Choosing a solver

A `SolverLike` is a `Solver` or `"auto"`: the function `choose` then selects a solver from n, the dtype, the device and the width
of the graph, and the result names it in `Embedding.solver`.

| solver | suitable for | method | `auto` selects it |
| --- | --- | --- | --- |
| `DenseQR` | small n; jit, vmap, any device, float32 | deflated QR of B and block inverse iteration | inside jit up to 2,000 points; below 64 points on a CPU; up to 8,192 on an accelerator |
| `SparseLU` | low *intrinsic* dimension, any n; on the host, in float64 | sparse LU of B itself and Lanczos iteration on its pseudo-inverse | where `jaxlle.alignment.graph_width` is at most 172 n^(1/3), 141 n^(1/3) with neither pymetis nor pypardiso: a Swiss roll of any size, 20,000 points of a six-dimensional cube, 5,000 digits |
| `Landmark` | high intrinsic dimension (10,000 images and more); jit, any device, float32 | LOBPCG with a landmark coarse space | in all other cases, and inside jit above 2,000 points |

The factors of `SparseLU` grow with the intrinsic dimension. With pymetis (the extra `metis`, part of `all`) it eliminates in
the nested-dissection order of METIS, which halves the factors of such data approximately. With pypardiso (the extra `mkl`,
x86-64 only) the factors of 5,000 points or more are computed by PARDISO of Intel's MKL, in about half of the processor time
and in several threads. The results agree to rounding.

`Landmark` is iterative: LOBPCG, preconditioned by a landmark coarse space, by deflation with the smoothed bottom of that space,
and by Chebyshev smoothing before and after both. It needs no factorization, and warns if it does not reach its tolerance. It is
slow where n is large and either the intrinsic dimension is two or the bottom vectors are localized, as in a uniform
six-dimensional cube; use `SparseLU` there. `random_landmarks`, `kmeans_landmarks` and `farthest_landmarks` select its
landmarks.

`jaxlle.variants.landmark_lle` and `jaxlle.variants.nystrom_lle` have a lower cost and are approximate; both are far from the
exact embedding on images with few landmarks. `Landmark(max_iterations=0)`, which reports that it has not converged, solves in
their smoothed space at a similar cost: on 5,000 deformed digits with 500 landmarks its error is 0.0008 (Procrustes statistic
relative to the exact embedding), compared with 0.66 for `landmark_lle` (papers/vladymyrov_carreira_perpinan_2013.py).

# Compile time

The first call of a shape compiles, which takes one to six seconds per solver on a CPU. The command `jaxlle` keeps compiled programs
between runs; `jaxlle.enable_compilation_cache` does so in Python.
"""  # noqa: E501

from .._core.calls import explain_calls
from ._choice import Solver, SolverLike, choose
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
    "SolverLike",
    "SparseLU",
    "Spectrum",
    "choose",
    "farthest_landmarks",
    "kmeans_landmarks",
    "random_landmarks",
]

explain_calls(__name__)
