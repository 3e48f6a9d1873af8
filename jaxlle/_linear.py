"""Solving many small positive definite systems at once."""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def solve_positive(system: Float[Array, "k k"], target: Float[Array, " k"]) -> Float[Array, " k"]:
    """Solve C u = b for a symmetric positive definite C; NaN if C is not positive.

    Elimination without pivoting, stable for such C, written out in loops over k: under vmap every step is one pass over
    the whole batch. LAPACK, called matrix by matrix, is slower at these sizes, and with other work beside it XLA's CPU
    runtime has been seen to hang in it (jaxlib 0.10.2, two cores). The derivative is one more solve with the same factor:
    du = C^-1 (db - dC u).

    >>> import jax.numpy as jnp
    >>> solve_positive(jnp.array([[2.0, 1.0], [1.0, 2.0]]), jnp.array([3.0, 3.0]))
    Array([1., 1.], dtype=float32)
    """
    factor = _eliminate(lax.stop_gradient(system))
    return lax.custom_linear_solve(
        lambda u: jnp.dot(system, u, precision=lax.Precision.HIGHEST),
        target,
        solve=lambda _, b: _substitute(factor, b),
        symmetric=True,
    )


def _eliminate(system: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Return L D L^T in one matrix: the multipliers L below the diagonal, D L^T on and above it."""
    number = jnp.arange(system.shape[0])

    def step(j: Any, a: Array) -> Array:
        pivot = jnp.where(a[j, j] > 0, a[j, j], jnp.nan)
        multiplier = jnp.where(number > j, a[:, j] / pivot, 0)
        a = a - multiplier[:, None] * jnp.where(number > j, a[j, :], 0)[None, :]
        return jnp.where((number[None, :] == j) & (number[:, None] > j), multiplier[:, None], a).at[j, j].set(pivot)

    return lax.fori_loop(0, system.shape[0], step, system)


def _substitute(factor: Float[Array, "k k"], b: Float[Array, " k"]) -> Float[Array, " k"]:
    k = factor.shape[0]
    number = jnp.arange(k)
    diagonal = jnp.diagonal(factor)
    b = lax.fori_loop(0, k, lambda j, b: b - jnp.where(number > j, factor[:, j] * b[j], 0), b)

    def back(step: Any, b: Array) -> Array:
        j = k - 1 - step
        value = b[j] / diagonal[j]
        return jnp.where(number == j, value, b - jnp.where(number < j, factor[:, j] * value, 0))

    return lax.fori_loop(0, k, back, b)
