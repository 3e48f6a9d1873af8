"""The leave-one-out error of propagated targets, in closed form."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes, is_traced
from .._core.linear import matmul
from ..alignment import Alignment
from ..derivatives import LinearSolver
from ..embedding.prescribed import with_derivative
from ..solvers import SolverLike
from ..solvers.prescribed import PrescribedSystem
from .propagation import Problem, prepare_problem

_ZERO = 32.0  # roundings below which a change of the targets counts as free of cost


class LeaveOneOut(NamedTuple):
    """What the other known points predict for each known point.

    Attributes:
        predictions: of every known point when its own target is left out, shape (m, c).
        residuals: the given targets minus the predictions, shape (m, c).
        error: root mean square of the residuals of each column, shape (c,).
    """

    predictions: Float[Array, "m c"]
    residuals: Float[Array, "m c"]
    error: Float[Array, " c"]


def leave_one_out(
    alignment: Alignment,
    known: Any,
    targets: Any,
    *,
    trust: Real[ArrayLike, ""] | Real[ArrayLike, " m"] | None = None,
    solver: SolverLike | LinearSolver = "auto",
    block_bytes: int = BLOCK_BYTES,
) -> LeaveOneOut:
    """Return the leave-one-out residuals of `propagate`, by which k, reg and trust can be selected without further labels.

    The smallest cost of given targets P is a quadratic form ``P^T C P``. Its minimum over the target of point i alone is where
    ``P_i = P_i - (C P)_i / C_ii``, so that ``(C P)_i / C_ii`` is the residual of point i when its target is left out, for exact
    and for inexact targets. Both are sums over the changes ``h_i`` of all targets per unit of the target of point i,
    ``C_ij = (B h_i)^T (B h_j) + sum_l trust_l (h_i - e_i)_l (h_j - e_j)_l``, without cancellation. For inexact targets this is
    the classical identity of linear smoothers (Craven and Wahba 1979, Numerische Mathematik 31:377).

    It takes m times as long as the propagation of one column, in one factorization per block of columns.

    Args:
        alignment: as for `propagate`.
        known: as for `propagate`, at least two points.
        targets: as for `propagate`.
        trust: as for `propagate`.
        solver: as for `propagate`.
        block_bytes: memory for the columns that are solved for at once.

    Returns:
        LeaveOneOut. Inside jit, the residual of a point without which the others determine nothing is NaN.

    Raises:
        ValueError: as `propagate`; for a single known point; or, outside jit, if the other known points do not determine the
            target of one of them.
        DisconnectedGraphError: as `propagate`.

    Warns:
        ConvergenceWarning: as `propagate`.

    Example:
        The alignment is selected by the error at 30 known points:

        >>> import jax, jaxlle
        >>> roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 500)
        >>> known = jax.random.choice(jax.random.key(1), 500, (30,), replace=False)
        >>> alignments = {
        ...     "lle": jaxlle.lle_alignment(roll.points, k=12),
        ...     "modified": jaxlle.modified_alignment(roll.points, 2, k=12),
        ...     "laplacian": jaxlle.alignment.laplacian_alignment(jaxlle.knn(roll.points, 12)),
        ... }
        >>> errors = {}
        >>> for name, alignment in alignments.items():
        ...     out = jaxlle.semisupervised.leave_one_out(alignment, known, roll.parameters[known])
        ...     errors[name] = float(out.error[0])
        >>> min(errors, key=errors.get)
        'modified'
    """
    problem = prepare_problem(alignment, known, targets, trust, solver, spanning=False)
    system, _, given, _, unit = problem
    m, n = len(given), system.free.shape[0]
    if m < 2:
        raise ValueError("One known point was given, but to leave one out there must be at least two.")
    solution, linear = problem.solve(system)
    y = with_derivative(system, solution.points, linear)
    size = max(1, check_bytes(block_bytes) // (8 * n * (2 + system.alignment.blocks.shape[1]) * y.dtype.itemsize))
    parts = [_changes(problem, y, jnp.arange(m)[start : start + size]) for start in range(0, m, size)]
    stiffness, forces = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    residuals = unit * forces / stiffness[:, None]
    if not is_traced(stiffness) and bool(jnp.isnan(stiffness).any()):
        point = int(np.asarray(system.known)[np.flatnonzero(np.isnan(stiffness))[0]])
        raise ValueError(
            f"Without the target of point {point} the other known points do not determine the targets within rounding: give the "
            f"targets of more points, or raise reg."
        )
    return LeaveOneOut(given - residuals, residuals, jnp.sqrt(jnp.mean(residuals**2, axis=0)))


def _changes(problem: Problem, y: Float[Array, "n c"], block: Any) -> tuple[Float[Array, " b"], Float[Array, "b c"]]:
    """Return C_ii and (C P)_i of a block of known points; C_ii is NaN where it is zero within rounding."""
    system = problem.system
    unit_system = _unit_targets(system, block)
    solution, linear = problem.solve(unit_system)
    return _products(system, unit_system, with_derivative(unit_system, solution.points, linear), y, block)


@jax.jit
def _unit_targets(system: PrescribedSystem, block: Array) -> PrescribedSystem:
    zeros = jnp.zeros((system.target.shape[0], block.shape[0]), system.target.dtype)
    return system._replace(target=zeros.at[system.known[block], jnp.arange(block.shape[0])].set(1))


@jax.jit
def _products(
    system: PrescribedSystem, unit_system: PrescribedSystem, h: Array, y: Array, block: Array
) -> tuple[Array, Array]:
    image = system.alignment.matvec(h)
    off = (h - unit_system.target)[system.known]
    weighted = system.trust[system.known] * (y - system.target)[system.known]
    stiffness = jnp.sum(image**2, axis=0) + jnp.sum(system.trust[system.known] * off**2, axis=0)
    rounding = _ZERO * float(jnp.finfo(h.dtype).eps) * system.alignment.norm_bound()
    stiffness = jnp.where(stiffness > rounding**2 * jnp.sum(h**2, axis=0), stiffness, jnp.nan)
    return stiffness, matmul(image.T, system.alignment.matvec(y)) + matmul(off.T, weighted)
