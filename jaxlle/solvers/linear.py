"""Linear solvers, for the derivative of an embedding and for least squares with prescribed points.

Both systems have the matrix M = B^T B at their center. A linear solver has three methods, of which the last two belong to
prescribed points (`jaxlle.solvers.prescribed`):

- ``__call__(alignment, vectors, values)`` returns the function that solves ``M X - X L = R`` off an embedding, where L is the
  diagonal matrix of the squared singular values;
- ``prescribed_inverse(system)`` returns the function that applies the inverse of the normal equations' matrix N;
- ``solve_prescribed(system)`` solves the normal equations, with refinement.

Every solver of embeddings names the linear solver that suits it by its attribute ``tangent_solver``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float

from .._core.checks import is_traced
from .._core.host import on_host
from .._core.linear import project_out
from ..alignment import Alignment
from ._factors import HostSolve, prescribed_inverse, project_out_host, pseudo_inverse
from .prescribed import PrescribedSolution, PrescribedSystem, solve_refined, solve_refined_on_host

Solve = Callable[[Float[Array, "n c"]], Float[Array, "n c"]]


@dataclass(frozen=True)
class DenseInverse:
    """Solve with the triangular factor of a dense QR: for small n, inside jit, in float32 too.

    B is stacked on ``|B| [1/sqrt(n), Y]^T``, so that M is regular and unchanged off the embedding. With K its inverse, applied
    as two triangular solves and never formed, conjugate gradients solve ``X - K X L = K R`` in a few steps: all eigenvalues of
    this system lie between 1 - l_dim / l_{dim+1} and 1.

    Attributes:
        max_iterations: of the conjugate gradients.
    """

    max_iterations: int = 100

    def __call__(self, alignment: Alignment, vectors: Float[Array, "n dim"], values: Float[Array, " dim"]) -> Solve:
        """Factor, and return the function that solves for a right-hand side orthogonal to the embedding."""
        basis = with_constant(vectors)
        dense = jnp.concatenate([alignment.to_dense(), alignment.norm_bound() * basis.T])
        triangle = jnp.linalg.qr(dense, mode="r")

        def inverse(b: Array) -> Array:
            return project_out(basis, solve_triangular(triangle, solve_triangular(triangle, b, trans="T")))

        def operator(x: Array) -> Array:
            return x - inverse(x) * values**2

        def solve(b: Array) -> Array:
            start = inverse(b)
            return _verified(operator, start, cg(operator, start, tol=_tol(b), maxiter=self.max_iterations)[0])

        return solve

    def prescribed_inverse(self, system: PrescribedSystem) -> Solve:
        """Return the function that applies the inverse of N.

        It is the QR of B on the free points, below the rows of the known points, which may have large entries.
        """
        indices, blocks = system.alignment
        m, n = system.known.shape[0], system.free.shape[0]
        weight = jnp.sqrt(system.trust + 1 - system.free)[system.known, 0]
        known = jnp.zeros((m, n), blocks.dtype).at[jnp.arange(m), system.known].set(weight)
        moving = Alignment(indices, blocks * system.free[indices, 0][:, None, :])
        triangle = jnp.linalg.qr(jnp.concatenate([known, moving.to_dense()]), mode="r")
        return lambda b: solve_triangular(triangle, solve_triangular(triangle, b, trans="T"))

    def solve_prescribed(self, system: PrescribedSystem) -> PrescribedSolution:
        """Solve the normal equations."""
        return solve_refined(system, self)


@dataclass(frozen=True)
class SparseInverse:
    """Solve on the host, in float64, with the sparse LU that `SparseLU` uses: for low intrinsic dimension, outside jit.

    The factors are computed from concrete numbers, so the rule needs `jax.grad`, `jax.jvp` or `jax.vjp` outside jit. The solve
    itself is a `jax.pure_callback`.

    Attributes:
        max_iterations: of the conjugate gradients.
    """

    max_iterations: int = 100

    def __call__(self, alignment: Alignment, vectors: Float[Array, "n dim"], values: Float[Array, " dim"]) -> Solve:
        """Factor, and return the function that solves for a right-hand side orthogonal to the embedding."""
        if is_traced(alignment, vectors, values):
            raise TypeError(
                "SparseInverse factors concrete numbers on the host: inside jit or vmap use DenseInverse()."
            )
        _, inverse = pseudo_inverse(alignment)
        sizes = np.asarray(vectors, np.float64), np.asarray(values, np.float64)
        return partial(on_host, partial(_solve_on_host, inverse.apply, *sizes, self.max_iterations))

    def prescribed_inverse(self, system: PrescribedSystem) -> Solve:
        """Return the function that applies the inverse of N, on the host."""
        _, inverse = _prescribed_factors(system)
        free, diagonal = (np.asarray(a, np.float64) for a in (system.free, system.trust + 1 - system.free))

        def apply(b: np.ndarray) -> np.ndarray:
            inner = np.full(b.shape, np.nan) if inverse is None else inverse(free * b.astype(np.float64))
            return inner + (1 - free) * b / np.where(diagonal > 0, diagonal, 1)

        return partial(on_host, apply)

    def solve_prescribed(self, system: PrescribedSystem) -> PrescribedSolution:
        """Solve the normal equations, and refine in float64 too."""
        return solve_refined_on_host(system, *_prescribed_factors(system))


@dataclass(frozen=True)
class ConjugateGradient:
    """Solve matrix-free, by conjugate gradients on M itself with its diagonal as preconditioner: any n, any device.

    It takes about sqrt(|M| / (l_{dim+1} - l_dim)) products with B and B^T: hundreds for real data, and too many where the
    eigenvalues are as small as on a densely sampled surface. The other two solvers are made for that case.

    Attributes:
        max_iterations: of the conjugate gradients.
    """

    max_iterations: int = 5000

    def __call__(self, alignment: Alignment, vectors: Float[Array, "n dim"], values: Float[Array, " dim"]) -> Solve:
        """Prepare, and return the function that solves for a right-hand side orthogonal to the embedding."""
        basis, prepared = with_constant(vectors), alignment.prepare()
        diagonal = _diagonal(alignment, vectors.dtype)
        diagonal = jnp.where(diagonal > 0, diagonal, 1)

        def operator(x: Array) -> Array:
            return project_out(basis, prepared.gram(x) - x * values**2)

        def precondition(b: Array) -> Array:
            return project_out(basis, project_out(basis, b) / diagonal)

        def solve(b: Array) -> Array:
            out = cg(operator, b, tol=_tol(b), maxiter=self.max_iterations, M=precondition)[0]
            return _verified(operator, b, out)

        return solve

    def prescribed_inverse(self, system: PrescribedSystem) -> Solve:
        """Return the function that applies the inverse of N, to about half the digits: refinement adds the others."""
        prepared, dtype = system.alignment.prepare(), system.target.dtype
        diagonal = system.free * _diagonal(system.alignment, dtype) + system.trust + 1 - system.free
        diagonal = jnp.where(diagonal > 0, diagonal, 1)
        tol = float(jnp.finfo(dtype).eps) ** 0.5

        def operator(x: Array) -> Array:
            return system.free * prepared.gram(system.free * x) + (system.trust + 1 - system.free) * x

        def precondition(r: Array) -> Array:
            return r / diagonal

        def solve(b: Array) -> Array:
            size = jnp.linalg.norm(b, axis=0)
            size = jnp.where(size > 0, size, 1)  # so that every column reaches its own relative accuracy
            return size * cg(operator, b / size, tol=tol, maxiter=self.max_iterations, M=precondition)[0]

        return solve

    def solve_prescribed(self, system: PrescribedSystem) -> PrescribedSolution:
        """Solve the normal equations."""
        return solve_refined(system, self)


LinearSolver = DenseInverse | SparseInverse | ConjugateGradient


def with_constant(vectors: Float[Array, "n dim"]) -> Float[Array, "n c"]:
    """Return the vectors preceded by the unit constant vector."""
    n = vectors.shape[0]
    return jnp.concatenate([jnp.full((n, 1), n**-0.5, vectors.dtype), vectors], axis=1)


def _prescribed_factors(system: PrescribedSystem) -> tuple[Any, HostSolve | None]:
    if is_traced(system):
        raise TypeError(
            "SparseInverse factors concrete numbers on the host: inside jit or vmap use derivatives.DenseInverse() or "
            "ConjugateGradient()."
        )
    free, trust = (np.asarray(a, np.float64)[:, 0] for a in (system.free, system.trust))
    return prescribed_inverse(system.alignment, free, trust)


def _diagonal(alignment: Alignment, dtype: Any) -> Float[Array, "n 1"]:
    """Return the diagonal of M, up to the rare indices that are repeated within a neighborhood."""
    squares = alignment._replace(blocks=alignment.blocks**2)
    return squares.rmatvec(jnp.ones((alignment.shape[0], 1), dtype))


def _solve_on_host(
    apply: HostSolve, vectors: np.ndarray, values: np.ndarray, max_iterations: int, b: np.ndarray
) -> np.ndarray:
    """Solve X - K X L = K b by conjugate gradients in float64, with K the pseudo-inverse of M."""
    from scipy.sparse.linalg import LinearOperator
    from scipy.sparse.linalg import cg as host_cg

    shape = vectors.shape
    basis = np.concatenate([np.full((shape[0], 1), shape[0] ** -0.5), vectors], axis=1)
    off = partial(project_out_host, basis)

    def operator(x: np.ndarray) -> np.ndarray:
        x = off(x.reshape(shape))
        return (x - off(apply(x)) * values**2).ravel()

    size = b.size
    start = off(apply(off(np.asarray(b, np.float64)))).ravel()
    linear = LinearOperator((size, size), matvec=operator, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    out, _ = host_cg(linear, start, rtol=1e-12, maxiter=max_iterations)
    accurate = np.linalg.norm(operator(out) - start) <= _accepted(np.float64) * np.linalg.norm(start)
    return (out if accurate else np.full(size, np.nan)).reshape(shape)


def _verified(operator: Solve, target: Array, found: Array) -> Array:
    """Return what was found if it solves the system, else NaN."""
    residual = jnp.linalg.norm(operator(found) - target)
    return jnp.where(residual <= _accepted(target.dtype) * jnp.linalg.norm(target), found, jnp.nan)


def _accepted(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) ** (1 / 3)


def _tol(b: Array) -> float:
    return 4 * float(jnp.finfo(b.dtype).eps)
