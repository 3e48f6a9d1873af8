"""Small systems, eigenvectors and orthogonal bases, written for one and mapped over many."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def matmul(a: Array, b: Array) -> Array:
    """Return ``a @ b`` at the highest precision: on accelerators the default rounds the factors to half precision."""
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)


def project_out(basis: Float[Array, "n c"], x: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """Return x without its components along the orthonormal columns of a basis."""
    return x - matmul(basis, matmul(basis.T, x))


def solve_positive(system: Float[Array, "*n k k"], target: Float[Array, "*n k"]) -> Float[Array, "*n k"]:
    """Solve C u = b for symmetric positive definite C, one or many; NaN where C is not positive.

    Elimination without pivoting, stable for such C, written out in loops over k in which every step is one pass over the
    whole batch, whose axis stands last: four times faster on a CPU than a vmap, which puts it first. LAPACK, called matrix
    by matrix, is slower still at these sizes, and with other work beside it XLA's CPU runtime has been seen to hang in it
    (jaxlib 0.10.2, two cores). The derivative is one more solve with the same factor: du = C^-1 (db - dC u).

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
    """Return L D L^T in one matrix: the multipliers L below the diagonal, D L^T on and above it."""
    k, number = system.shape[0], _numbers(system[0])

    def step(j: Any, a: Array) -> Array:
        pivot = jnp.where(a[j, j] > 0, a[j, j], jnp.nan)
        column = a[:, j]
        multiplier = jnp.where(number > j, column / pivot, 0)
        a = a - multiplier[:, None] * jnp.where(number > j, a[j], 0)[None]
        return a.at[:, j].set(jnp.where(number > j, multiplier, column)).at[j, j].set(pivot)

    return lax.fori_loop(0, k, step, system)


def _substitute(factor: Float[Array, "k k *n"], b: Float[Array, "k *n"]) -> Float[Array, "k *n"]:
    k, number = b.shape[0], _numbers(b)
    b = lax.fori_loop(0, k, lambda j, b: b - jnp.where(number > j, factor[:, j] * b[j], 0), b)

    def back(step: Any, b: Array) -> Array:
        j = k - 1 - step
        value = b[j] / factor[j, j]
        return jnp.where(number == j, value, b - jnp.where(number < j, factor[:, j] * value, 0))

    return lax.fori_loop(0, k, back, b)


def _numbers(rows: Float[Array, "k *n"]) -> Array:
    return jnp.arange(rows.shape[0]).reshape(-1, *(1,) * (rows.ndim - 1))


@jax.custom_jvp
def principal_axes(matrix: Float[Array, "m m"]) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Return the eigenvalues of a symmetric matrix, falling, and its eigenvectors as columns.

    The derivative holds for whatever depends on the spans of leading vectors alone, not on the basis chosen in them: turns
    among vectors of equal eigenvalues, whose derivative does not exist, are left out of it.

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
    apart = jnp.abs(gaps) > 4 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values))
    turn = jnp.where(apart, inner / jnp.where(apart, gaps, 1), 0)
    return (values, vectors), (jnp.diagonal(inner), matmul(vectors, turn))


@jax.custom_jvp
def inverse_root(matrix: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """Return C^(-1/2), symmetric, for a symmetric positive definite C; eigenvalues below rounding count as rounding.

    Unlike the eigenvectors it has a derivative wherever C is positive: of an eigenvalue l_i and another, l_j, it is
    ``-1 / (sqrt(l_i) sqrt(l_j) (sqrt(l_i) + sqrt(l_j)))``, equal or not.

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
    """Return the roots of the eigenvalues, and the eigenvectors."""
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return jnp.sqrt(jnp.maximum(values, jnp.finfo(values.dtype).eps * jnp.abs(values).max())), vectors


def reflections(columns: Float[Array, "m p"], tol: float) -> tuple[Float[Array, "m p"], Float[Array, " p"]]:
    """Triangulate columns by Householder reflections, in a loop over p: under vmap every step is one pass over the batch.

    Args:
        columns: p <= m of them.
        tol: share of a column's length below which what is left of it, after the earlier ones, is taken as rounding. Such
            a column has no direction of its own and is passed over: its reflection is the identity.

    Returns:
        The reflections I - 2 v v^T as columns v (0 for the identity), for `reflect`, and the diagonal of the triangle, 0
        where a column was passed over.

    >>> import jax.numpy as jnp
    >>> reflections(jnp.array([[3.0, 6.0], [4.0, 8.0]]), 1e-5)[1]
    Array([-5.,  0.], dtype=float32)
    """
    m, p = columns.shape
    number = jnp.arange(m)
    sizes = jnp.sum(columns**2, axis=0)

    def step(j: Any, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        columns, vectors, pivots = state
        rest = jnp.where(number >= j, columns[:, j], 0)
        square = jnp.sum(rest**2)
        present = square > tol**2 * sizes[j]
        length = jnp.sqrt(jnp.where(present, square, 1))
        pivot = jnp.where(rest[j] > 0, -length, length)
        vector = rest - jnp.where(number == j, pivot, 0)
        vector = vector / jnp.sqrt(2 * length * (length + jnp.abs(rest[j])))
        vector = jnp.where(present, vector, 0)
        columns = columns - 2 * vector[:, None] * matmul(vector, columns)[None, :]
        return columns, vectors.at[:, j].set(vector), pivots.at[j].set(jnp.where(present, pivot, 0))

    zeros = jnp.zeros_like(columns)
    _, vectors, pivots = lax.fori_loop(0, p, step, (columns, zeros, zeros[0]))
    return vectors, pivots


def reflect(vectors: Float[Array, "m p"], start: int, stop: int) -> Float[Array, "m q"]:
    """Return the columns start to stop of the orthogonal matrix Q that `reflections` describe.

    The first p span the triangulated columns, in their order, where none was passed over; those from p on are orthogonal to
    all of them.

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
