"""Least squares on an alignment with prescribed points, and the derivative of its solution.

The system and its solution are in `jaxlle.solvers.prescribed`. One step of refinement from any fixed Y ends in the solution,
whatever the parameters, so that the derivatives of that step, of any order, are those of the solution.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import lax
from jaxtyping import Array, Float

from ..solvers.linear import LinearSolver
from ..solvers.prescribed import PrescribedSolution, PrescribedSystem


def solve_prescribed(system: PrescribedSystem, linear: LinearSolver) -> PrescribedSolution:
    """Solve for the coordinates of all points, without derivatives: see `with_derivative`."""
    return linear.solve_prescribed(lax.stop_gradient(system))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def with_derivative(system: PrescribedSystem, y: Float[Array, "n dim"], linear: LinearSolver) -> Float[Array, "n dim"]:
    """Return a solution unchanged, with its derivative in the blocks, the trust and the given coordinates."""
    return y


@with_derivative.defjvp
def _with_derivative_jvp(linear: LinearSolver, primals: Any, tangents: Any) -> Any:
    system, y = primals
    solve = linear.prescribed_inverse(lax.stop_gradient(system))

    def refined(blocks: Array, trust: Array, target: Array) -> Array:
        moved = system._replace(alignment=system.alignment._replace(blocks=blocks), trust=trust, target=target)
        fixed = moved.with_fixed(y)
        return fixed - lax.custom_linear_solve(moved.apply, moved.residual(fixed), solve_twice, symmetric=True)

    def solve_twice(apply: Callable[[Array], Array], b: Array) -> Array:
        x = solve(b)
        return x + solve(b - apply(x))

    values, slopes = ((s.alignment.blocks, s.trust, s.target) for s in (system, tangents[0]))
    return with_derivative(system, y, linear), jax.jvp(refined, values, slopes)[1]
