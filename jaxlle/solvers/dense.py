"""The dense solver: deflated QR of B and block inverse iteration, accurate in float32, on every backend."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from .._core.blocks import memory_advice
from .._core.linear import matmul, project_out
from ..alignment import Alignment
from ..alignment.connectivity import num_closed_classes
from .linear import DenseInverse
from .spectrum import NO_HINTS, Hints, Spectrum


@dataclass(frozen=True)
class DenseQR:
    """Solve by QR of the dense B with the constant vector deflated, and inverse iteration with R.

    The solver works on B and not on M = B^T B, so that float32 is sufficient wherever `Embedding.gap` is large enough. It
    consists of QR, triangular solves and SVDs of small matrices, and runs under jit and vmap on CPU, GPU and TPU. Its time is
    of order n^3 and its memory of order n^2.

    Attributes:
        oversample: number of iterated vectors beyond those requested; with more, fewer iterations are needed.
        max_iterations: iterations after which the best result so far is returned with `converged` False.
        tol: largest accepted change of the requested subspace (sine of an angle) in the last step. None: 50 eps. It is raised
            to the change that rounding allows.
    """

    oversample: int = 6
    max_iterations: int = 60
    tol: float | None = None

    def __call__(self, alignment: Alignment, count: int, key: Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values beyond the constant's, with their vectors."""
        n = alignment.indices.shape[0]
        with memory_advice(f"DenseQR holds a dense matrix with {n} columns; try solver=jaxlle.solvers.SparseLU()"):
            return _solve(alignment, count, key, self)

    @property
    def tangent_solver(self) -> DenseInverse:
        """Return the linear solver for the derivative of an embedding, which is dense too."""
        return DenseInverse()


class _State(NamedTuple):
    basis: Float[Array, "m b"]
    change: Float[Array, ""]
    limit: Float[Array, ""]
    step: Int[Array, ""]


@partial(jax.jit, static_argnames=("count", "options"))
def _solve(alignment: Alignment, count: int, key: Array, options: DenseQR) -> Spectrum:
    n, dtype = alignment.shape[1], alignment.blocks.dtype
    rounding = jnp.finfo(dtype).eps * alignment.norm_bound()
    found = bottom_vectors(alignment.to_dense(), jnp.full(n, n**-0.5, dtype), rounding, count, key, options)
    # Singular values below rounding are not counted instead: those of a densely sampled surface are as small.
    return found._replace(num_components=num_closed_classes(alignment))


def bottom_vectors(
    dense: Float[Array, "m n"],
    null: Float[Array, " n"],
    rounding: Float[Array, ""],
    count: int,
    key: Array,
    options: DenseQR,
) -> Spectrum:
    """Return the bottom singular vectors of a dense matrix beyond a unit null vector, by inverse iteration.

    Args:
        dense: the matrix, m >= n.
        null: the null vector to leave out, of norm 1.
        rounding: size of the rounding errors of the matrix; singular values of at most four times this size count as zero.
        count: number of vectors.
        key: random key of the start vectors.
        options: tolerance and limits of the iteration.

    Returns:
        Spectrum.
    """
    n, dtype = dense.shape[1], dense.dtype
    mirror = _householder_vector(null)
    reduced = _reflect(dense.T, mirror)[1:].T
    triangle = _lift_null_pivots(jnp.linalg.qr(reduced, mode="r"))
    wanted = max(1, count - 1)  # the last vector is computed for the gap only and need not converge

    def step(state: _State) -> _State:
        inverse = solve_triangular(triangle, solve_triangular(triangle, state.basis, trans="T"))
        basis, small = jnp.linalg.qr(inverse)
        left, values, _ = jnp.linalg.svd(small)  # of the inverse of B^T B: smallest of B first
        basis = matmul(basis, left)
        old, new = state.basis[:, :wanted], basis[:, :wanted]
        change = jnp.linalg.norm(project_out(old, new))
        sigma = 1 / jnp.sqrt(values)
        floor = rounding / (
            sigma[min(wanted, len(sigma) - 1)] - sigma[wanted - 1]
        )  # smallest change that rounding allows
        tol = 50 * jnp.finfo(dtype).eps if options.tol is None else options.tol
        return _State(basis, change, jnp.clip(floor, tol, 0.1).astype(dtype), state.step + 1)

    size = min(count + options.oversample, n - 1)
    # The barrier runs the two QRs one after the other: simultaneous LAPACK calls can exhaust the threads of a small CPU.
    start, triangle = lax.optimization_barrier((jax.random.normal(key, (n - 1, size), dtype), triangle))
    start = jnp.linalg.qr(start)[0]
    one = jnp.ones((), dtype)
    state = _State(start, 2 * one, one, jnp.zeros((), jnp.int32))
    state = lax.while_loop(lambda s: (s.change > s.limit) & (s.step < options.max_iterations), step, state)

    values, rotation = _bottom_right(matmul(reduced, state.basis))
    lifted = jnp.concatenate([jnp.zeros((1, count), dtype), matmul(state.basis, rotation[:, :count])])
    num_components = 1 + jnp.sum(values <= 4 * rounding, dtype=jnp.int32)
    return Spectrum(values[:count], _reflect(lifted, mirror), num_components, state.change <= state.limit)


def _householder_vector(null: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return the unit v whose reflection I - 2 v v^T maps a unit vector onto the first axis."""
    v = null.at[0].add(jnp.where(null[0] < 0, -1, 1))
    return v / jnp.linalg.norm(v)


def _reflect(y: Float[Array, "n c"], v: Float[Array, " n"]) -> Float[Array, "n c"]:
    return y - 2 * jnp.outer(v, matmul(v, y))


def _lift_null_pivots(triangle: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """Replace zero pivots, one for each null vector, by the size of rounding: inverse iteration finds these vectors first."""
    pivots = jnp.diagonal(triangle)
    size = jnp.abs(pivots)
    tiny = 4 * jnp.finfo(triangle.dtype).eps * jnp.max(size)
    null = size < tiny
    lifted = jnp.where(pivots < 0, -tiny, tiny)
    return triangle + jnp.diag(jnp.where(null, lifted - pivots, 0))


def _bottom_right(tall: Float[Array, "nr b"]) -> tuple[Float[Array, " b"], Float[Array, "b b"]]:
    """Return the singular values and their right vectors, ascending, by a QR and the SVD of its b x b triangle."""
    _, values, right = jnp.linalg.svd(jnp.linalg.qr(tall, mode="r"))
    return values[::-1], right[::-1].T
