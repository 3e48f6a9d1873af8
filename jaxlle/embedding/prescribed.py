"""Least squares on an alignment some of whose places are prescribed, and the derivative of its solution.

With F the diagonal matrix of the points that are free to move (all, where places are trusted only so far), T that of trust and
P the prescribed places, the solution obeys the normal equations

    N Y = T P + (I - F) P - F B^T B (I - F) P,    N = F B^T B F + T + (I - F).

They are solved by a factor or by conjugate gradients, and refined by steps whose right-hand side is a residual taken through B,
``F B^T (B Y) + T (Y - P)``: the squared condition of N then costs steps and not digits (corrected semi-normal equations,
Bjorck 1987, Linear Algebra and its Applications 88/89:31; cited from memory). One such step from any fixed Y ends in the
solution whatever the parameters, so that its derivatives, of any order, are the solution's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float, Int

from .._core.checks import is_traced
from .._core.host import on_host
from ..alignment import Alignment
from ..derivatives import ConjugateGradient, DenseInverse, LinearSolver, SparseInverse
from ..solvers.sparse import prescribed_inverse

Solve = Callable[[Any], Any]
_REFINEMENTS = 3
_ZERO = 32.0  # roundings below which a singular value is none


class Prescription(NamedTuple):
    """Which places are prescribed, and how firmly.

    Attributes:
        alignment: of the n points.
        known: the points whose places are given, shape (m,).
        free: 1 for points that may move, 0 for those that stay where they are put, shape (n, 1).
        trust: of the places of points that may move, 0 for those of which none is given, shape (n, 1).
        target: the places that are given, 0 elsewhere, shape (n, dim).
    """

    alignment: Alignment
    known: Int[Array, " m"]
    free: Float[Array, "n 1"]
    trust: Float[Array, "n 1"]
    target: Float[Array, "n dim"]

    def operator(self, x: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return N x."""
        image = self.alignment.matvec(self.free * x)
        return self.free * self.alignment.rmatvec(image) + (self.trust + 1 - self.free) * x

    def pinned(self, y: Float[Array, "n dim"]) -> Float[Array, "n dim"]:
        """Return places with those put where they stay that may not move."""
        return self.free * y + (1 - self.free) * self.target

    def residual(self, y: Float[Array, "n dim"]) -> Float[Array, "n dim"]:
        """Return half the gradient of the cost, for pinned places."""
        return self.free * self.alignment.rmatvec(self.alignment.matvec(y)) + self.trust * (y - self.target)


class Settled(NamedTuple):
    """A solution, and what is known about it.

    Attributes:
        points: shape (n, dim).
        gap: smallest singular value of the equations, relative to (a bound of) the norm of B; 0 if that is rounding.
        error: what is left of it, relative to the points, by how much the last refinements moved them.
    """

    points: Float[Array, "n dim"]
    gap: Float[Array, ""]
    error: Float[Array, ""]


def settle(system: Prescription, linear: LinearSolver) -> Settled:
    """Solve for the places, without derivatives."""
    if isinstance(linear, SparseInverse):
        return _settle_on_host(system)
    return _settle(system, linear)


@partial(jax.jit, static_argnames="linear")
def _settle(system: Prescription, linear: LinearSolver) -> Settled:
    y, dtype = system.pinned(jnp.zeros_like(system.target)), system.target.dtype
    step = partial(_refine, _prepared(system, linear), system.residual, jnp)
    sizes = jnp.ones(2, dtype)
    y, probe, sizes = lax.fori_loop(
        0, _REFINEMENTS, lambda _, state: step(state), (y, system.free * _probe(y.shape[0], dtype), sizes)
    )
    gap = 1 / jnp.sqrt(jnp.linalg.norm(probe)) / system.alignment.norm_bound()
    return Settled(y, _cleared(gap, _ZERO * float(jnp.finfo(dtype).eps), jnp), _left(sizes, y, jnp))


def _settle_on_host(system: Prescription) -> Settled:
    """Solve in float64 with a sparse factor, refined there."""
    dtype = system.target.dtype
    matrix, solve = _host_inverse(system)
    free, trust, target = (np.asarray(a, np.float64) for a in system[2:])
    if solve is None:
        return Settled(jnp.full(target.shape, jnp.nan, dtype), jnp.zeros((), dtype), jnp.full((), jnp.inf, dtype))

    def residual(y: np.ndarray) -> np.ndarray:
        return free * (matrix.T @ (matrix @ y)) + trust * (y - target)

    y = (1 - free) * target
    state = (y, free * _probe(len(free), np.float64), np.ones(2))
    for _ in range(_REFINEMENTS):
        state = _refine(solve, residual, np, state)
    y, probe, sizes = state
    gap = 1 / np.sqrt(np.linalg.norm(probe)) / float(system.alignment.norm_bound())
    rounding = float(np.sqrt(_ZERO * np.finfo(np.float64).eps))  # M is what was factored
    return Settled(*(jnp.asarray(a, dtype) for a in (y, _cleared(gap, rounding, np), _left(sizes, y, np))))


def _refine(solve: Solve, residual: Solve, xp: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Take a step of refinement, and one of inverse iteration towards the smallest eigenvalue of N, in one solve."""
    y, probe, sizes = state
    solved = solve(xp.concatenate([residual(y), probe / xp.linalg.norm(probe)], axis=1))
    moved = solved[:, :-1]
    return y - moved, solved[:, -1:], xp.stack([sizes[1], xp.linalg.norm(moved)])


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def movable(system: Prescription, y: Float[Array, "n dim"], linear: LinearSolver) -> Float[Array, "n dim"]:
    """Return a solution as it is, with its derivative in the blocks, the trust and the places that are given."""
    return y


@movable.defjvp
def _movable_jvp(linear: LinearSolver, primals: Any, tangents: Any) -> Any:
    system, y = primals
    solve = _prepared(lax.stop_gradient(system), linear)

    def refined(blocks: Array, trust: Array, target: Array) -> Array:
        moved = system._replace(alignment=system.alignment._replace(blocks=blocks), trust=trust, target=target)
        pinned = moved.pinned(y)
        return pinned - lax.custom_linear_solve(moved.operator, moved.residual(pinned), twice, symmetric=True)

    def twice(operator: Solve, b: Array) -> Array:
        x = solve(b)
        return x + solve(b - operator(x))

    values, slopes = ((s.alignment.blocks, s.trust, s.target) for s in (system, tangents[0]))
    return movable(system, y, linear), jax.jvp(refined, values, slopes)[1]


def _prepared(system: Prescription, linear: LinearSolver) -> Solve:
    """Return the function that applies the inverse of N."""
    if isinstance(linear, DenseInverse):
        return _dense(system)
    return _sparse(system) if isinstance(linear, SparseInverse) else _iterative(system, linear)


def _dense(system: Prescription) -> Solve:
    """Solve with the triangle of a QR of B on the free points and, on top as they may be heavy, the known ones' rows."""
    indices, blocks = system.alignment
    m, n = system.known.shape[0], system.free.shape[0]
    weight = jnp.sqrt(system.trust + 1 - system.free)[system.known, 0]
    held = jnp.zeros((m, n), blocks.dtype).at[jnp.arange(m), system.known].set(weight)
    moving = Alignment(indices, blocks * system.free[indices, 0][:, None, :])
    triangle = jnp.linalg.qr(jnp.concatenate([held, moving.to_dense()]), mode="r")
    return lambda b: solve_triangular(triangle, solve_triangular(triangle, b, trans="T"))


def _sparse(system: Prescription) -> Solve:
    """Solve on the host."""
    _, host = _host_inverse(system)
    fixed, held = (np.asarray(a, np.float64) for a in (system.free, system.trust + 1 - system.free))

    def inverse(b: np.ndarray) -> np.ndarray:
        inner = np.full(b.shape, np.nan) if host is None else host(fixed * b.astype(np.float64))
        return inner + (1 - fixed) * b / np.where(held > 0, held, 1)

    return partial(on_host, inverse)


def _host_inverse(system: Prescription) -> tuple[Any, Solve | None]:
    if is_traced(system):
        raise TypeError(
            "SparseInverse factors concrete numbers on the host: inside jit or vmap use derivatives.DenseInverse() or "
            "ConjugateGradient()."
        )
    free, trust = (np.asarray(a, np.float64)[:, 0] for a in (system.free, system.trust))
    return prescribed_inverse(system.alignment, free, trust)


def _iterative(system: Prescription, linear: ConjugateGradient) -> Solve:
    """Solve by conjugate gradients with the diagonal of N as preconditioner, roughly: refinement does the rest."""
    prepared = system.alignment.prepare()
    squares = system.alignment._replace(blocks=system.alignment.blocks**2)
    diagonal = system.free * squares.rmatvec(jnp.ones((system.alignment.shape[0], 1), system.target.dtype))
    diagonal = diagonal + system.trust + 1 - system.free
    diagonal = jnp.where(diagonal > 0, diagonal, 1)
    tol = float(jnp.finfo(system.target.dtype).eps) ** 0.5

    def operator(x: Array) -> Array:
        return system.free * prepared.gram(system.free * x) + (system.trust + 1 - system.free) * x

    def precondition(r: Array) -> Array:
        return r / diagonal

    def solve(b: Array) -> Array:
        size = jnp.linalg.norm(b, axis=0)
        size = jnp.where(size > 0, size, 1)  # each column to its own accuracy
        return size * cg(operator, b / size, tol=tol, maxiter=linear.max_iterations, M=precondition)[0]

    return solve


def _probe(n: int, dtype: Any) -> Any:
    """Return a vector with a share of every smooth one."""
    number = np.arange(1.0, n + 1)
    return (1 + np.cos(number))[:, None].astype(dtype)


def _cleared(gap: Any, rounding: float, xp: Any) -> Any:
    return xp.where(gap > rounding, gap, 0)  # NaN too


def _left(sizes: Any, y: Any, xp: Any) -> Any:
    """Return what the steps to come would still move: those of a factor end in rounding, those of a slow iteration go on."""
    before, last = sizes
    rate = xp.clip(last / xp.where(before > 0, before, 1), 0.5, 0.9)
    size = xp.linalg.norm(y)
    return last * rate / (1 - rate) / xp.where(size > 0, size, 1)
