"""Dense linear algebra on small matrices: products, positive definite systems, eigenvectors and orthogonal bases."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def matmul(a: Array, b: Array) -> Array:
    """Return ``a @ b`` at the highest precision: the default on accelerators rounds the factors to a lower precision."""
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)


def project_out(basis: Float[Array, "n c"], x: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """Return x without its components along the orthonormal columns of a basis."""
    return x - matmul(basis, matmul(basis.T, x))


def solve_positive(system: Float[Array, "*n k k"], target: Float[Array, "*n k"]) -> Float[Array, "*n k"]:
    """Solve C u = b for one or a batch of symmetric positive definite C; the result is NaN where C is not positive definite.

    The method is elimination without pivoting, which is stable for such C, in loops over k. Every step is one pass over the
    whole batch, which is the last axis; on a CPU this is four times faster than `vmap`, which makes it the first axis. LAPACK,
    called for one matrix at a time, is slower still at these sizes, and XLA's CPU runtime has been observed to hang in it
    when other work runs concurrently (jaxlib 0.10.2, two cores). The derivative, ``du = C^-1 (db - dC u)``, is one more solve
    with the same factor.

    >>> import jax.numpy as jnp
    >>> solve_positive(jnp.array([[2.0, 1.0], [1.0, 2.0]]), jnp.array([3.0, 3.0]))
    Array([1., 1.], dtype=float32)
    """
    factor = _eliminate(jnp.moveaxis(lax.stop_gradient(system), (-2, -1), (0, 1)))
    return lax.custom_linear_solve(
        lambda u: jnp.einsum("...ij,...j->...i", system, u, precision=lax.Precision.HIGHEST),
        target,
        solve=lambda _, b: jnp.moveaxis(_substitute(factor, jnp.moveaxis(b, -1, 0)), 0, -1),
        symmetric=True,
    )


def _eliminate(system: Float[Array, "k k *n"]) -> Float[Array, "k k *n"]:
    """Return the factors of C = L D L^T in one matrix: L below the diagonal, D L^T on and above it."""
    k, number = system.shape[0], _row_numbers(system[0])

    def step(j: Any, a: Array) -> Array:
        pivot = jnp.where(a[j, j] > 0, a[j, j], jnp.nan)
        column = a[:, j]
        multiplier = jnp.where(number > j, column / pivot, 0)
        a = a - multiplier[:, None] * jnp.where(number > j, a[j], 0)[None]
        return a.at[:, j].set(jnp.where(number > j, multiplier, column)).at[j, j].set(pivot)

    return lax.fori_loop(0, k, step, system)


def _substitute(factor: Float[Array, "k k *n"], b: Float[Array, "k *n"]) -> Float[Array, "k *n"]:
    k, number = b.shape[0], _row_numbers(b)
    b = lax.fori_loop(0, k, lambda j, b: b - jnp.where(number > j, factor[:, j] * b[j], 0), b)

    def back(step: Any, b: Array) -> Array:
        j = k - 1 - step
        value = b[j] / factor[j, j]
        return jnp.where(number == j, value, b - jnp.where(number < j, factor[:, j] * value, 0))

    return lax.fori_loop(0, k, back, b)


def _row_numbers(rows: Float[Array, "k *n"]) -> Array:
    return jnp.arange(rows.shape[0]).reshape(-1, *(1,) * (rows.ndim - 1))


@jax.custom_jvp
def principal_axes(matrix: Float[Array, "m m"]) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Return the eigenvalues of a symmetric matrix, in decreasing order, and its eigenvectors as columns.

    The derivative is correct for functions that depend only on the spans of leading eigenvectors, not on the basis in them:
    rotations among eigenvectors of equal eigenvalues, which have no derivative, are omitted.

    >>> import jax.numpy as jnp
    >>> principal_axes(jnp.diag(jnp.array([1.0, 3.0])))[0]
    Array([3., 1.], dtype=float32)
    """
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return values[::-1], vectors[:, ::-1]


@principal_axes.defjvp
def _principal_axes_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple, tuple]:
    values, vectors = principal_axes(primals[0])
    inner = matmul(matmul(vectors.T, tangents[0]), vectors)
    gaps = values[None, :] - values[:, None]
    distinct = jnp.abs(gaps) > 4 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values))
    rotation = jnp.where(distinct, inner / jnp.where(distinct, gaps, 1), 0)
    return (values, vectors), (jnp.diagonal(inner), matmul(vectors, rotation))


@jax.custom_jvp
def inverse_root(matrix: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """Return the symmetric C^(-1/2) of a symmetric positive definite C; smaller eigenvalues are raised to eps times the largest.

    Unlike the eigenvectors, it is differentiable wherever C is positive definite: in the basis of the eigenvectors, the
    derivative multiplies entry (i, j) of dC by ``-1 / (sqrt(l_i) sqrt(l_j) (sqrt(l_i) + sqrt(l_j)))`` for eigenvalues l_i and
    l_j, equal or not.

    >>> import jax.numpy as jnp
    >>> inverse_root(jnp.diag(jnp.array([4.0, 1.0])))
    Array([[0.5, 0. ],
           [0. , 1. ]], dtype=float32)
    """
    roots, vectors = _roots(matrix)
    return matmul(vectors / roots, vectors.T)


@inverse_root.defjvp
def _inverse_root_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    roots, vectors = _roots(primals[0])
    inner = matmul(matmul(vectors.T, tangents[0]), vectors)
    a, b = roots[:, None], roots[None, :]
    change = matmul(matmul(vectors, -inner / (a * b * (a + b))), vectors.T)
    return matmul(vectors / roots, vectors.T), change


def _roots(matrix: Float[Array, "m m"]) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Return the square roots of the eigenvalues, and the eigenvectors."""
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return jnp.sqrt(jnp.maximum(values, jnp.finfo(values.dtype).eps * jnp.abs(values).max())), vectors


def reflections(columns: Float[Array, "m p"], tol: float) -> tuple[Float[Array, "m p"], Float[Array, " p"]]:
    """Reduce columns to triangular form by Householder reflections.

    The loop runs over the p columns, so that under vmap every step is one pass over the batch.

    Args:
        columns: matrix of shape (m, p) with p <= m.
        tol: a column is skipped, with the identity as its reflection, if its remainder after the earlier reflections is
            shorter than tol times the column: it depends linearly on the earlier columns, up to rounding.

    Returns:
        The reflections I - 2 v v^T as columns v (0 for the identity), for `reflect`, and the diagonal of the triangular factor,
        which is 0 where a column was skipped.

    >>> import jax.numpy as jnp
    >>> reflections(jnp.array([[3.0, 6.0], [4.0, 8.0]]), 1e-5)[1]
    Array([-5.,  0.], dtype=float32)
    """
    m, p = columns.shape
    number = jnp.arange(m)
    sizes = jnp.sum(columns**2, axis=0)

    def step(j: Any, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        columns, vectors, pivots = state
        remainder = jnp.where(number >= j, columns[:, j], 0)
        square = jnp.sum(remainder**2)
        present = square > tol**2 * sizes[j]
        length = jnp.sqrt(jnp.where(present, square, 1))
        pivot = jnp.where(remainder[j] > 0, -length, length)
        vector = remainder - jnp.where(number == j, pivot, 0)
        vector = vector / jnp.sqrt(2 * length * (length + jnp.abs(remainder[j])))
        vector = jnp.where(present, vector, 0)
        columns = columns - 2 * vector[:, None] * matmul(vector, columns)[None, :]
        return columns, vectors.at[:, j].set(vector), pivots.at[j].set(jnp.where(present, pivot, 0))

    zeros = jnp.zeros_like(columns)
    _, vectors, pivots = lax.fori_loop(0, p, step, (columns, zeros, zeros[0]))
    return vectors, pivots


def reflect(vectors: Float[Array, "m p"], start: int, stop: int) -> Float[Array, "m q"]:
    """Return the columns start to stop of the orthogonal matrix Q that `reflections` describe.

    If no column was skipped, the first j columns of Q span the first j of the given columns, for every j up to p. Columns p
    and later are orthogonal to all given columns.

    >>> import jax.numpy as jnp
    >>> vectors, _ = reflections(jnp.array([[3.0], [4.0]]), 1e-5)
    >>> abs(reflect(vectors, 1, 2)).round(3)
    Array([[0.8],
           [0.6]], dtype=float32)
    """
    m, p = vectors.shape
    columns = jnp.eye(m, dtype=vectors.dtype)[:, start:stop]

    def step(count: Any, columns: Array) -> Array:
        vector = vectors[:, p - 1 - count]
        return columns - 2 * vector[:, None] * matmul(vector, columns)[None, :]

    return lax.fori_loop(0, p, step, columns)
