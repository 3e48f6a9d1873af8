"""Derivatives of an embedding as a subspace, by implicit differentiation.

The columns of an embedding are singular vectors, and the derivative of a singular vector divides by every gap of the spectrum.
It does not exist where two singular values are equal, as on a circle, and automatic differentiation returns NaN there. The
subspace that the columns span has a derivative wherever there is a gap at the cut. With Y the embedding, L = Y^T M Y and P the
projection orthogonal to Y and to the constant, a change of M = B^T B moves the subspace by the X with

    P (M X - X L) = -P dM Y,    Y^T X = 0,    dM Y = dB^T (B Y) + B^T (dB Y),

a positive definite system (Golub and Van Loan, Matrix Computations, on invariant subspaces). `jaxlle.embed` differentiates its
points by this rule, whatever its solver. It is the derivative of everything that does not change when the embedding is rotated:
distances, Gram matrices, quality metrics, and the result of `jaxlle.metrics.procrustes` against a fixed reference, which fixes
the gauge for uses that depend on the rotation.

| name | purpose |
| --- | --- |
| `subspace` | singular values and vectors with their derivative |
| `tangent_solver` | the `LinearSolver` that suits a solver of embeddings: one of the following |
| `DenseInverse` | linear solver for small n: QR of the dense B; jit, vmap, float32 |
| `SparseInverse` | linear solver for low intrinsic dimension: sparse LU on the host; outside jit |
| `ConjugateGradient` | matrix-free linear solver for real data, any n and any device |
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ._core.linear import matmul, project_out
from .alignment import Alignment
from .solvers.linear import ConjugateGradient, DenseInverse, LinearSolver, SparseInverse, with_constant

__all__ = ["ConjugateGradient", "DenseInverse", "LinearSolver", "SparseInverse", "subspace", "tangent_solver"]


def tangent_solver(solver: Any) -> LinearSolver:
    """Return the linear solver for the derivative of what a solver of embeddings found.

    Args:
        solver: any solver of embeddings. The solvers of `jaxlle.solvers` name their linear solver by an attribute
            ``tangent_solver``; for functions and objects without it, `ConjugateGradient` is used.

    Returns:
        `DenseInverse`, `SparseInverse` or `ConjugateGradient`.

    Example:
        >>> import jaxlle
        >>> jaxlle.derivatives.tangent_solver(jaxlle.solvers.DenseQR())
        DenseInverse(max_iterations=100)
    """
    return getattr(solver, "tangent_solver", ConjugateGradient())


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def subspace(
    alignment: Alignment,
    values: Float[Array, " dim"],
    vectors: Float[Array, "n dim"],
    linear_solver: LinearSolver,
) -> tuple[Float[Array, " dim"], Float[Array, "n dim"]]:
    """Return singular values and vectors as they are, with their derivative in the alignment's blocks.

    The vectors are differentiated as a subspace: derivatives of any order, in forward and reverse mode, are correct for every
    function that is invariant to rotations of their rows. The derivative of the values, ``ds = (B y) . (dB y) / s``, is
    correct for every symmetric function of them. The derivative is NaN where the gap at the cut vanishes, since none exists,
    and where the linear solver does not reach its tolerance.

    Args:
        alignment: the operator B.
        values: its smallest singular values, without that of the constant, shape (dim,).
        vectors: their unit vectors, orthogonal to the constant, shape (n, dim).
        linear_solver: `DenseInverse`, `SparseInverse` or `ConjugateGradient`; see `tangent_solver`.

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
    values, vectors = subspace(alignment, values, vectors, linear_solver)  # so that the rule itself has a derivative
    moved = alignment._replace(blocks=tangents[0].blocks)
    image, moved_image = alignment.matvec(vectors), moved.matvec(vectors)
    basis = with_constant(vectors)
    right = project_out(basis, moved.rmatvec(image) + alignment.rmatvec(moved_image))
    block = matmul(image.T, image)

    # The identity on the span of the basis makes the operator regular there, which second derivatives need too.
    def operator(x: Array) -> Array:
        inner = project_out(basis, x)
        return project_out(basis, alignment.rmatvec(alignment.matvec(inner)) - matmul(inner, block)) + x - inner

    def solve(_: Any, b: Array) -> Array:
        fixed = lax.stop_gradient(basis)
        inner = project_out(fixed, b)
        return linear(inner) + b - inner

    change = -lax.custom_linear_solve(operator, right, solve, symmetric=True)
    slope = jnp.sum(image * moved_image, axis=0) / jnp.where(values > 0, values, 1)
    return (values, vectors), (slope, change)
