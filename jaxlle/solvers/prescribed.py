"""Least squares on an alignment with prescribed points: the normal equations, and their solution by refinement.

Let F be the diagonal matrix that is 1 at the points that may move (all points, where the given coordinates are not exact), T
the diagonal matrix of the trust in the given coordinates, and P these coordinates. The solution Y obeys the normal equations

    N Y = T P + (I - F) P - F B^T B (I - F) P,    N = F B^T B F + T + (I - F).

A linear solver (`jaxlle.solvers.linear`) applies the inverse of N, and steps of iterative refinement follow, whose right-hand
side is a residual computed through B, ``F B^T (B Y) + T (Y - P)``. The squared condition number of N then costs steps and not
digits (corrected semi-normal equations, Bjorck 1987, Linear Algebra and its Applications 88/89:31; cited from memory).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from ..alignment import Alignment

Solve = Callable[[Any], Any]
_REFINEMENTS = 3
_ZERO = 32.0  # roundings below which a singular value counts as zero


class PrescribedSystem(NamedTuple):
    """The points of an alignment, some of which have given coordinates.

    Attributes:
        alignment: of the n points.
        known: indices of the points whose coordinates are given, shape (m,).
        free: 1 for points that may move, 0 for points that are fixed at the given coordinates, shape (n, 1).
        trust: weight of the given coordinates of points that may move, 0 for points without given coordinates, shape (n, 1).
        target: the given coordinates, 0 elsewhere, shape (n, dim).
    """

    alignment: Alignment
    known: Int[Array, " m"]
    free: Float[Array, "n 1"]
    trust: Float[Array, "n 1"]
    target: Float[Array, "n dim"]

    def apply(self, x: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return N x."""
        image = self.alignment.matvec(self.free * x)
        return self.free * self.alignment.rmatvec(image) + (self.trust + 1 - self.free) * x

    def with_fixed(self, y: Float[Array, "n dim"]) -> Float[Array, "n dim"]:
        """Return y with the fixed points at their given coordinates."""
        return self.free * y + (1 - self.free) * self.target

    def residual(self, y: Float[Array, "n dim"]) -> Float[Array, "n dim"]:
        """Return half the gradient of the cost at y, whose fixed points are at their given coordinates."""
        return self.free * self.alignment.rmatvec(self.alignment.matvec(y)) + self.trust * (y - self.target)


class PrescribedSolution(NamedTuple):
    """The solution of a `PrescribedSystem`, and its accuracy.

    Attributes:
        points: shape (n, dim).
        gap: smallest singular value of the equations, relative to (a bound of) the norm of B; 0 if it is below rounding.
        error: estimated relative error of the points, from the size of the last refinements.
    """

    points: Float[Array, "n dim"]
    gap: Float[Array, ""]
    error: Float[Array, ""]


@partial(jax.jit, static_argnames="linear")
def solve_refined(system: PrescribedSystem, linear: Any) -> PrescribedSolution:
    """Solve and refine in the dtype of the system; `linear.prescribed_inverse(system)` applies the inverse of N."""
    y, dtype = system.with_fixed(jnp.zeros_like(system.target)), system.target.dtype
    step = partial(_refine, linear.prescribed_inverse(system), system.residual, jnp)
    state = (y, system.free * _probe(y.shape[0], dtype), jnp.ones(2, dtype))
    y, probe, steps = lax.fori_loop(0, _REFINEMENTS, lambda _, state: step(state), state)
    gap = 1 / jnp.sqrt(jnp.linalg.norm(probe)) / system.alignment.norm_bound()
    rounding = _ZERO * float(jnp.finfo(dtype).eps)
    return PrescribedSolution(y, _zero_below(rounding, gap, jnp), _relative_error(steps, y, jnp))


def solve_refined_on_host(system: PrescribedSystem, matrix: Any, inverse: Solve | None) -> PrescribedSolution:
    """Solve and refine in float64, with B as a SciPy matrix and the inverse of N on the free points; None if it is singular."""
    dtype = system.target.dtype
    free, trust, target = (np.asarray(a, np.float64) for a in (system.free, system.trust, system.target))
    if inverse is None:
        undefined = jnp.full(target.shape, jnp.nan, dtype)
        return PrescribedSolution(undefined, jnp.zeros((), dtype), jnp.full((), jnp.inf, dtype))

    def residual(y: np.ndarray) -> np.ndarray:
        return free * (matrix.T @ (matrix @ y)) + trust * (y - target)

    state = ((1 - free) * target, free * _probe(len(free), np.float64), np.ones(2))
    for _ in range(_REFINEMENTS):
        state = _refine(inverse, residual, np, state)
    y, probe, steps = state
    gap = 1 / np.sqrt(np.linalg.norm(probe)) / float(system.alignment.norm_bound())
    rounding = float(np.sqrt(_ZERO * np.finfo(np.float64).eps))  # the square root, as M was factored
    results = y, _zero_below(rounding, gap, np), _relative_error(steps, y, np)
    return PrescribedSolution(*(jnp.asarray(a, dtype) for a in results))


def _refine(solve: Solve, residual: Solve, xp: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Take a step of refinement, and a step of inverse iteration toward the smallest eigenvalue of N, in one solve."""
    y, probe, steps = state
    solved = solve(xp.concatenate([residual(y), probe / xp.linalg.norm(probe)], axis=1))
    step = solved[:, :-1]
    return y - step, solved[:, -1:], xp.stack([steps[1], xp.linalg.norm(step)])


def _probe(n: int, dtype: Any) -> Any:
    """Return a start vector for inverse iteration, which has a component along every smooth vector."""
    number = np.arange(1.0, n + 1)
    return (1 + np.cos(number))[:, None].astype(dtype)


def _zero_below(rounding: float, gap: Any, xp: Any) -> Any:
    return xp.where(gap > rounding, gap, 0)  # NaN becomes 0 too


def _relative_error(steps: Any, y: Any, xp: Any) -> Any:
    """Return the sum of all further steps, extrapolated from the last two, relative to y.

    The steps of a factorization end at rounding, while those of a slow iteration continue.
    """
    before, last = steps
    rate = xp.clip(last / xp.where(before > 0, before, 1), 0.5, 0.9)
    size = xp.linalg.norm(y)
    return last * rate / (1 - rate) / xp.where(size > 0, size, 1)
