"""Derivatives of an embedding as a subspace, by implicit differentiation.

The columns of an embedding are singular vectors, and a singular vector's derivative divides by every gap of the spectrum: it
does not exist where two values are equal, as on a circle, and automatic differentiation then returns NaN. The subspace
that they span has one wherever there is a gap at the cut. With Y the embedding, L = Y^T M Y and P the projection off Y
and the constant, a change of M = B^T B moves the subspace by the X with

    P (M X - X L) = -P dM Y,    Y^T X = 0,    dM Y = dB^T (B Y) + B^T (dB Y),

a positive definite system (Golub and Van Loan, Matrix Computations, on invariant subspaces). `embed` differentiates its
points by this rule, whichever solver found them. It is the derivative of everything that does not change when the
embedding is rotated: distances, Gram matrices, quality metrics, and the result of `metrics.procrustes` against a fixed
reference, which is how rotation-dependent uses fix the gauge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float

from ._core.checks import is_traced
from ._core.host import on_host
from ._core.linear import matmul, project_out
from .alignment import Alignment
from .solvers import DenseQR, SparseLU
from .solvers.sparse import pseudo_inverse

Solve = Callable[[Float[Array, "n c"]], Float[Array, "n c"]]


@dataclass(frozen=True)
class DenseInverse:
    """Solve with the triangle of a dense QR: for small n, inside jit, in float32 too.

    B stands on ``|B| [1/sqrt(n), Y]^T``, so that M is regular and unchanged off the embedding; with K its inverse, applied as two
    triangular solves and never formed, conjugate gradients solve ``X - K X L = K r`` in a few steps, all of whose
    eigenvalues lie between 1 - l_dim / l_{dim+1} and 1.

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

        def solve(b: Array) -> Array:
            operator = partial(_shifted_inverse, inverse, values)
            start = inverse(b)
            return _verified(operator, start, cg(operator, start, tol=_tol(b), maxiter=self.max_iterations)[0])

        return solve


@dataclass(frozen=True)
class SparseInverse:
    """Solve on the host, in float64, with the sparse LU that `SparseLU` uses: for low intrinsic dimension, outside jit.

    The factors belong to concrete numbers, so the rule must see some: `jax.grad`, `jax.jvp` and `jax.vjp` outside jit. The solve
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


@dataclass(frozen=True)
class ConjugateGradient:
    """Solve matrix-free, by conjugate gradients on M itself with its diagonal as preconditioner: any n, any device.

    Takes about sqrt(|M| / (l_{dim+1} - l_dim)) products with B and B^T: hundreds for real data, too many where the
    eigenvalues are as small as on a densely sampled surface, for which the other two are made.

    Attributes:
        max_iterations: of the conjugate gradients.
    """

    max_iterations: int = 5000

    def __call__(self, alignment: Alignment, vectors: Float[Array, "n dim"], values: Float[Array, " dim"]) -> Solve:
        """Prepare, and return the function that solves for a right-hand side orthogonal to the embedding."""
        basis, prepared = with_constant(vectors), alignment.prepare()
        squares = alignment._replace(blocks=alignment.blocks**2)  # the diagonal of M; repeated indices matter little
        diagonal = squares.rmatvec(jnp.ones(alignment.shape[0], vectors.dtype))[:, None]
        diagonal = jnp.where(diagonal > 0, diagonal, 1)

        def operator(x: Array) -> Array:
            return project_out(basis, prepared.gram(x) - x * values**2)

        def precondition(b: Array) -> Array:
            return project_out(basis, project_out(basis, b) / diagonal)

        def solve(b: Array) -> Array:
            out = cg(operator, b, tol=_tol(b), maxiter=self.max_iterations, M=precondition)[0]
            return _verified(operator, b, out)

        return solve


LinearSolver = DenseInverse | SparseInverse | ConjugateGradient


def matching(solver: Any) -> LinearSolver:
    """Return how to solve for the derivative of what a solver of embeddings found: as it did.

    Example:
        >>> import jaxlle
        >>> jaxlle.derivatives.matching(jaxlle.solvers.DenseQR())
        DenseInverse(max_iterations=100)
    """
    if isinstance(solver, DenseQR):
        return DenseInverse()
    return SparseInverse() if isinstance(solver, SparseLU) else ConjugateGradient()


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def subspace(
    alignment: Alignment,
    values: Float[Array, " dim"],
    vectors: Float[Array, "n dim"],
    linear_solver: LinearSolver,
) -> tuple[Float[Array, " dim"], Float[Array, "n dim"]]:
    """Return singular values and vectors as they are, with their derivative in the alignment's blocks.

    The vectors move as a subspace: the derivative is right for every function that is invariant to rotations of
    their rows, of any order, in forward and reverse mode. The values' derivative is right for every symmetric
    function of them, ``ds = (B y) . (dB y) / s``. Where the gap at the cut vanishes there is none, and where the solve
    does not reach its tolerance none is known: both give NaN, not a number that is wrong.

    Args:
        alignment: what was embedded.
        values: its bottom singular values, without the constant's.
        vectors: their unit vectors, orthogonal to the constant.
        linear_solver: `DenseInverse`, `SparseInverse` or `ConjugateGradient`; see `matching`.

    Returns:
        The values and the vectors.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> from jaxlle.derivatives import DenseInverse, subspace
        >>> b = jaxlle.lle_alignment(jax.random.normal(jax.random.key(0), (50, 3)), k=8)
        >>> out = jaxlle.embed(b, 2)
        >>> def f(blocks):
        ...     _, y = subspace(b._replace(blocks=blocks), out.singular_values, out.points, DenseInverse())
        ...     return jnp.sum((y[0] - y[1]) ** 2)
        >>> jax.grad(f)(b.blocks).shape
        (50, 1, 9)
    """
    return values, vectors


@subspace.defjvp
def _subspace_jvp(linear_solver: LinearSolver, primals: Any, tangents: Any) -> Any:
    alignment, values, vectors = primals
    linear = linear_solver(*lax.stop_gradient((alignment, vectors, values)))
    values, vectors = subspace(alignment, values, vectors, linear_solver)  # so that the rule has a derivative itself
    moved = alignment._replace(blocks=tangents[0].blocks)
    image, moved_image = alignment.matvec(vectors), moved.matvec(vectors)
    basis = with_constant(vectors)
    pulled = project_out(basis, moved.rmatvec(image) + alignment.rmatvec(moved_image))
    block = matmul(image.T, image)

    # The identity on the basis makes the operator regular there; it also is what the second derivative needs.
    def operator(x: Array) -> Array:
        inner = project_out(basis, x)
        return project_out(basis, alignment.rmatvec(alignment.matvec(inner)) - matmul(inner, block)) + x - inner

    def solve(_: Any, b: Array) -> Array:
        fixed = lax.stop_gradient(basis)
        inner = project_out(fixed, b)
        return linear(inner) + b - inner

    change = -lax.custom_linear_solve(operator, pulled, solve, symmetric=True)
    slope = jnp.sum(image * moved_image, axis=0) / jnp.where(values > 0, values, 1)
    return (values, vectors), (slope, change)


def with_constant(vectors: Float[Array, "n dim"]) -> Float[Array, "n c"]:
    """Return the vectors after the unit constant."""
    n = vectors.shape[0]
    return jnp.concatenate([jnp.full((n, 1), n**-0.5, vectors.dtype), vectors], axis=1)


def _shifted_inverse(inverse: Solve, values: Array, x: Array) -> Array:
    return x - inverse(x) * values**2


def _solve_on_host(
    apply: Any, vectors: np.ndarray, values: np.ndarray, max_iterations: int, b: np.ndarray
) -> np.ndarray:
    """Solve X - K X L = K b by conjugate gradients in float64."""
    from scipy.sparse.linalg import LinearOperator
    from scipy.sparse.linalg import cg as host_cg

    shape = vectors.shape
    basis = np.concatenate([np.full((shape[0], 1), shape[0] ** -0.5), vectors], axis=1)

    def off(x: np.ndarray) -> np.ndarray:
        return x - basis @ (basis.T @ x)

    def operator(x: np.ndarray) -> np.ndarray:
        x = off(x.reshape(shape))
        return (x - off(apply(x)) * values**2).ravel()

    size = b.size
    start = off(apply(off(np.asarray(b, np.float64)))).ravel()
    linear = LinearOperator((size, size), matvec=operator, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    out, _ = host_cg(linear, start, rtol=1e-12, maxiter=max_iterations)
    good = np.linalg.norm(operator(out) - start) <= _accepted(np.float64) * np.linalg.norm(start)
    return (out if good else np.full(size, np.nan)).reshape(shape)


def _verified(operator: Solve, target: Array, found: Array) -> Array:
    """Return what was found if it solves the system, else NaN."""
    off = jnp.linalg.norm(operator(found) - target)
    return jnp.where(off <= _accepted(target.dtype) * jnp.linalg.norm(target), found, jnp.nan)


def _accepted(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) ** (1 / 3)


def _tol(b: Array) -> float:
    return 4 * float(jnp.finfo(b.dtype).eps)
