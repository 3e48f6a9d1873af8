"""The dense solver: deflated QR of B and block inverse iteration, right in float32, on every backend."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from ..alignment import Alignment
from ._spectrum import Spectrum


@dataclass(frozen=True)
class DenseQR:
    """Solve by QR of the dense B with the constant vector deflated, and inverse iteration with R.

    Works on B and not on M = B^T B, so float32 is enough wherever `Embedding.gap` says so. Made of QR, triangular
    solves and the SVD of tiny matrices only: runs under jit and vmap on CPU, GPU and TPU. Time n^3, memory n^2.

    Attributes:
        oversample: vectors iterated beyond those asked for; more converge faster.
        max_iterations: iterations after which the best so far is returned with `converged` False.
        tol: largest change of the wanted subspace (sine of an angle) in the last step. None: 50 eps. Never
            below what rounding lets settle.
    """

    oversample: int = 6
    max_iterations: int = 60
    tol: float | None = None

    def __call__(self, alignment: Alignment, count: int, key: Array) -> Spectrum:
        """Return the `count` smallest singular values beyond the constant's, with their vectors."""
        return _solve(alignment, count, key, self)


class _State(NamedTuple):
    basis: Float[Array, "m b"]
    change: Float[Array, ""]
    limit: Float[Array, ""]
    step: Int[Array, ""]


@partial(jax.jit, static_argnames=("count", "options"))
def _solve(alignment: Alignment, count: int, key: Array, options: DenseQR) -> Spectrum:
    dense = alignment.to_dense()
    n, dtype = dense.shape[1], dense.dtype
    mirror = _mirror(n, dtype)
    reduced = _reflect(dense.T, mirror)[1:].T
    triangle, num_null = _lift_null_pivots(jnp.linalg.qr(reduced, mode="r"))
    rounding = jnp.finfo(dtype).eps * alignment.norm_bound()
    wanted = max(1, count - 1)  # the last vector only tells the gap; it need not have settled

    def step(state: _State) -> _State:
        inverse = solve_triangular(triangle, solve_triangular(triangle, state.basis, trans="T"))
        basis, small = jnp.linalg.qr(inverse)
        left, values, _ = jnp.linalg.svd(small)  # of the inverse of B^T B: smallest of B first
        basis = _product(basis, left)
        old, new = state.basis[:, :wanted], basis[:, :wanted]
        change = jnp.linalg.norm(new - _product(old, _product(old.T, new)))
        sigma = 1 / jnp.sqrt(values)
        floor = rounding / (sigma[min(wanted, len(sigma) - 1)] - sigma[wanted - 1])  # no step can settle below it
        tol = 50 * jnp.finfo(dtype).eps if options.tol is None else options.tol
        return _State(basis, change, jnp.clip(floor, tol, 0.1).astype(dtype), state.step + 1)

    size = min(count + options.oversample, n - 1)
    # After the other QR, not beside it: two LAPACK calls at once can exhaust a small CPU's threads.
    start, triangle = lax.optimization_barrier((jax.random.normal(key, (n - 1, size), dtype), triangle))
    start = jnp.linalg.qr(start)[0]
    one = jnp.ones((), dtype)
    state = _State(start, 2 * one, one, jnp.zeros((), jnp.int32))
    state = lax.while_loop(lambda s: (s.change > s.limit) & (s.step < options.max_iterations), step, state)

    values, rotation = _bottom_right(_product(reduced, state.basis), count)
    lifted = jnp.concatenate([jnp.zeros((1, count), dtype), _product(state.basis, rotation)])
    return Spectrum(values, _reflect(lifted, mirror), num_null + 1, state.change <= state.limit)


def _mirror(n: int, dtype: Any) -> Float[Array, " n"]:
    """Return the unit v whose reflection I - 2 v v^T maps the constant vector onto the first axis."""
    v = jnp.full(n, n**-0.5, dtype).at[0].add(1)
    return v / jnp.linalg.norm(v)


def _reflect(y: Float[Array, "n c"], v: Float[Array, " n"]) -> Float[Array, "n c"]:
    return y - 2 * jnp.outer(v, _product(v, y))


def _lift_null_pivots(triangle: Float[Array, "m m"]) -> tuple[Float[Array, "m m"], Int[Array, ""]]:
    """Count the columns that depend on those before them, and give their pivots the size of rounding.

    An unpivoted QR of a matrix with c null vectors has c zero pivots. Dividing by a tiny pivot instead of zero makes
    inverse iteration find the null vectors first, as it should.
    """
    pivots = jnp.diagonal(triangle)
    size = jnp.abs(pivots)
    tiny = 4 * jnp.finfo(triangle.dtype).eps * jnp.max(size)
    null = size < tiny
    lifted = jnp.where(pivots < 0, -tiny, tiny)
    return triangle + jnp.diag(jnp.where(null, lifted - pivots, 0)), null.sum()


def _bottom_right(tall: Float[Array, "nr b"], count: int) -> tuple[Float[Array, " count"], Float[Array, "b count"]]:
    """Return the smallest singular values and their right vectors, ascending, through a QR: only b x b in the SVD."""
    _, values, right = jnp.linalg.svd(jnp.linalg.qr(tall, mode="r"))
    return values[::-1][:count], right[::-1][:count].T


def _product(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)
