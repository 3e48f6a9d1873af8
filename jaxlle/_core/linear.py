"""Dense linear algebra on small matrices: products, positive definite systems and orthogonal bases."""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


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


def reflections(columns: Float[Array, "m p"], tol: Any) -> tuple[Float[Array, "m p"], Bool[Array, " p"]]:
    """Reduce columns to triangular form by Householder reflections.

    A column is skipped, with the identity as its reflection, if its remainder after the earlier reflections is within its
    uncertainty: it depends linearly on the earlier columns, up to rounding. The remainder inherits the uncertainty of earlier
    columns, magnified where their own remainders are short. The loop runs over the p columns, so that under vmap every step is
    one pass over the batch.

    Args:
        columns: matrix of shape (m, p) with p <= m.
        tol: uncertainty of the columns, relative to their lengths: one number, or one per column.

    Returns:
        The reflections I - 2 v v^T as columns v (0 for the identity), for `reflect`, and which columns were not skipped.

    >>> import jax.numpy as jnp
    >>> reflections(jnp.array([[3.0, 6.0], [4.0, 8.0]]), 1e-5)[1]
    Array([ True, False], dtype=bool)
    """
    m, p = columns.shape
    number = jnp.arange(m)
    uncertain = lax.stop_gradient(jnp.asarray(tol, columns.dtype) ** 2 * jnp.sum(columns**2, axis=0))

    def step(j: Any, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        columns, vectors, present, uncertain = state
        pivot = number == present.sum()
        remainder = jnp.where(number >= present.sum(), columns[:, j], 0)
        square = jnp.sum(remainder**2)
        kept = square > uncertain[j]
        length = jnp.sqrt(jnp.where(kept, square, 1))
        entry = jnp.sum(jnp.where(pivot, remainder, 0))
        # The sign that avoids cancellation. It is a constant also where the entry is 0, where |entry| would have no derivative.
        sign = jnp.where(entry > 0, 1, -1)
        vector = remainder + jnp.where(pivot, sign * length, 0)
        vector = jnp.where(kept, vector / jnp.sqrt(2 * length * (length + sign * entry)), 0)
        columns = columns - 2 * vector[:, None] * matmul(vector, columns)[None, :]
        along = lax.stop_gradient(jnp.sum(jnp.where(pivot[:, None], columns, 0), axis=0))
        inherited = jnp.where(kept, along**2 * uncertain[j] / lax.stop_gradient(length) ** 2, 0)
        return columns, vectors.at[:, j].set(vector), present.at[j].set(kept), jnp.maximum(uncertain, inherited)

    state = columns, jnp.zeros_like(columns), jnp.zeros(p, bool), uncertain
    _, vectors, present, _ = lax.fori_loop(0, p, step, state)
    return vectors, present


def reflect(vectors: Float[Array, "m p"], start: Any, count: int) -> Float[Array, "m q"]:
    """Return `count` columns, from number `start`, of the orthogonal matrix Q that `reflections` describe.

    The first j of the columns that were not skipped span the same space as the first j columns of Q. The columns of Q after
    these are orthogonal to all given columns. `start` may be traced; columns beyond the last one are 0.

    >>> import jax.numpy as jnp
    >>> vectors, _ = reflections(jnp.array([[3.0], [4.0]]), 1e-5)
    >>> abs(reflect(vectors, 1, 1)).round(3)
    Array([[0.8],
           [0.6]], dtype=float32)
    """
    m, p = vectors.shape
    columns = (jnp.arange(m)[:, None] == start + jnp.arange(count)[None, :]).astype(vectors.dtype)

    def step(count: Any, columns: Array) -> Array:
        vector = vectors[:, p - 1 - count]
        return columns - 2 * vector[:, None] * matmul(vector, columns)[None, :]

    return lax.fori_loop(0, p, step, columns)
