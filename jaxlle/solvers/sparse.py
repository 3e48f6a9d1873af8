"""The sparse direct solver: LU of I - W itself, and Lanczos iteration on the pseudo-inverse of (I - W)^T (I - W)."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .._core.checks import is_traced
from ..alignment import Alignment
from ._factors import PseudoInverse, project_out_host, pseudo_inverse
from .linear import SparseInverse
from .spectrum import NO_HINTS, Hints, Spectrum


@dataclass(frozen=True)
class SparseLU:
    """Solve on the host, in float64, by a sparse LU of B (for r = 1), never of M = B^T B.

    B has the constant as its right null vector and another vector, l, as its left null vector. With one point of each
    closed class of the graph grounded, B becomes regular. Two solves with its factors and two projections (orthogonal to the
    constant and to l) apply the pseudo-inverse of M exactly, and Lanczos iteration finds its largest eigenvalues. The size of
    the factors grows with the intrinsic dimension of the data, not only with n; the extra `metis` (pymetis) halves it for
    real data by a better order of elimination. From 5,000 points on, PARDISO of Intel's MKL replaces SuperLU if the extra `mkl`
    (pypardiso, x86-64) is installed: it takes about half of the processor time, in several threads, which MKL_NUM_THREADS
    limits. For r > 1 M is factored, at half the digits.

    Attributes:
        tol: relative accuracy of the eigenvalues of M.
        krylov: size of the Krylov space. None: 4 count, which usually saves a restart of the Lanczos iteration.
        max_iterations: restarts of the Lanczos iteration after which the best result so far is returned with `converged`
            False.
    """

    tol: float = 1e-10
    krylov: int | None = None
    max_iterations: int = 1000

    def __call__(self, alignment: Alignment, count: int, key: jax.Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values beyond the constant's, with their vectors."""
        if is_traced(alignment, key):
            raise TypeError(
                "SparseLU runs on the host and cannot be traced: inside jit, vmap or grad use solvers.DenseQR() or Landmark()."
            )
        matrix, inverse = pseudo_inverse(alignment)
        seed = np.asarray(jax.random.key_data(key)).ravel()
        return _lanczos(matrix, inverse, count, np.random.default_rng(seed), self)

    @property
    def tangent_solver(self) -> SparseInverse:
        """Return the linear solver for the derivative of an embedding, which uses the same factors."""
        return SparseInverse()


def _lanczos(matrix: Any, inverse: PseudoInverse, count: int, rng: np.random.Generator, options: SparseLU) -> Spectrum:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    n, c = inverse.null.shape
    missing = max(0, count - (c - 1))
    vectors, converged = inverse.null[:, 1:], True
    if missing:
        krylov = min(n, max(4 * missing if options.krylov is None else options.krylov, missing + 1))
        operator = LinearOperator((n, n), matvec=lambda b: inverse.apply(b.ravel()), dtype=np.float64)  # pyright: ignore
        start = project_out_host(inverse.null, rng.standard_normal(n))
        try:
            _, found = eigsh(
                operator,
                missing,
                which="LM",
                ncv=krylov,
                tol=options.tol,  # pyright: ignore[reportArgumentType]
                v0=start,
                maxiter=options.max_iterations,
            )
        except ArpackNoConvergence as error:
            found, converged = project_out_host(inverse.null, rng.standard_normal((n, missing))), False
            found[:, : error.eigenvectors.shape[1]] = error.eigenvectors
        vectors = np.concatenate([vectors, np.linalg.qr(project_out_host(inverse.null, found))[0]], axis=1)
    # Rayleigh-Ritz with B itself gives singular values to full relative accuracy; roots of eigenvalues of M have half
    # of the digits.
    _, values, right = np.linalg.svd(np.linalg.qr(matrix @ vectors, mode="r"))
    return Spectrum(values[::-1][:count], (vectors @ right[::-1].T)[:, :count], c, converged)
