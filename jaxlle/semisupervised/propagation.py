"""Propagation: the targets of some points are known, and those of all other points are computed from them."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .. import distances
from .._core.arrays import read_floats, read_rows
from .._core.checks import all_finite, check_count, check_solver, is_traced, warn_user, without_derivative
from .._core.points import as_points, prepare_points
from ..alignment import Alignment, Components, connected_components, graph_width
from ..alignment.operator import check_alignment, prepare_alignment
from ..derivatives import ConjugateGradient, LinearSolver, SparseInverse, tangent_solver
from ..embedding import DisconnectedGraphError
from ..embedding.prescribed import PrescribedSolution, PrescribedSystem, solve_prescribed, with_derivative
from ..solvers import SolverLike, choose
from ..warnings import ConvergenceWarning

_MAX_ERROR = 1e-3  # relative error above which the result does not count as converged
_MAX_WIDTH = 40.0  # of the graph, in units of n^(1/3): above, conjugate gradients take less time than sparse factors


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("targets", "costs", "misfit", "pull", "gap", "error", "converged"),
    meta_fields=("solver",),
)
@dataclass(frozen=True)
class Propagation:
    """Targets of all points, in the units in which some were given.

    Attributes:
        targets: shape (n, c); exact targets are returned unchanged, bit for bit.
        costs: ``|B y|^2`` of each column y, in its squared units, shape (c,).
        misfit: distance of the result from the given targets of each known point, shape (m,); 0 for exact targets.
        pull: ``|(B^T B Y)_i|`` of each known point, the force that its given targets exert on the others, shape (m,). It equals
            trust times misfit; for exact targets it is the force that holds the point. Points with wrong targets have outlying
            values.
        gap: smallest singular value of the equations, relative to (a bound of) the norm of B. Rounding moves the targets by
            about eps / gap of their spread. 0 if the known targets do not determine the others within rounding.
        error: estimated error of the solution, relative to the spread of the targets, from the size of the last refinements.
        converged: whether gap and error are good enough for the targets to be reliable.
        solver: name of the linear solver.
    """

    targets: Float[Array, "... n c"]
    costs: Float[Array, "... c"]
    misfit: Float[Array, "... m"]
    pull: Float[Array, "... m"]
    gap: Float[Array, "..."]
    error: Float[Array, "..."]
    converged: Bool[Array, "..."]
    solver: str


def propagate(
    alignment: Alignment,
    known: Any,
    targets: Any,
    *,
    trust: Real[ArrayLike, ""] | Real[ArrayLike, " m"] | None = None,
    solver: SolverLike | LinearSolver = "auto",
) -> Propagation:
    """Compute the targets of all points of an alignment, given those of some.

    Exact targets P are kept, and the others minimize ``|B Y|^2``: with M = B^T B partitioned into known (k) and unknown (u)
    points, ``M_uu Y_u = -M_uk P``. Inexact targets are weighted by their trust: Y minimizes
    ``|B Y|^2 + sum_i trust_i |Y_i - P_i|^2``, so that ``(M + T) Y = T P``. Neither problem has a scaling constraint or needs
    eigenvectors: Y is unique, linear in P, and in the units of P. The method is that of Yang, Fu, Zha and Barlow (2006,
    Semi-supervised nonlinear dimensionality reduction, ICML, p. 1065), who apply it to LLE, Isomap and LTSA. The text of the
    paper was not available; the equations, which are plain least squares, are derived here and agree with public code after the
    paper (its equations 12 and 21). With `jaxlle.alignment.laplacian_alignment` the result is the harmonic function of Zhu,
    Ghahramani and Lafferty (2003, ICML, p. 912).

    The targets may be coordinates of an embedding, numbers to predict, or classes as rows of an identity matrix, for which
    `classify` adds probabilities. The result is differentiable, to any order, in the blocks, the targets and the trust.
    `leave_one_out` estimates its error from the known points alone.

    With 20 known of 1,000 points of a Swiss roll, the affine residual of the parameters propagated by LLE is 0.002, compared
    with 0.19 for the embedding by LLE (tests/semisupervised/test_propagation.py).

    Args:
        alignment: of the n points, by any variant. `ltsa_alignment` and `hessian_alignment` continue an affine map of a flat
            sheet exactly, LLE up to the effect of its regularizer.
        known: indices of the points whose targets are known, without repetition, shape (m,).
        targets: the known targets, shape (m, c).
        trust: None for exact targets, or a positive weight for all known points or for each, shape (m,). It is compared with M,
            whose norm is of order 1 to 10 and whose smooth vectors have far smaller eigenvalues: with trust 1 known points
            hardly move.
        solver: a linear solver of `jaxlle.derivatives`, or a solver of `jaxlle.solvers`, which selects the one that
            `tangent_solver` returns for it, or "auto". `DenseInverse` (QR of the dense B; jit, vmap, float32) for small n;
            `SparseInverse` (sparse LU of M in float64, refined by products with B; host) for low intrinsic dimension;
            `ConjugateGradient` (matrix-free, any n, jit, any device) for real data, with a few hundred to a few thousand
            products with B. "auto" tries it before sparse factors that would have many entries.

    Returns:
        Propagation. Inside jit it carries gap, error and converged as data, and indices are not checked.

    Raises:
        ValueError: for a malformed alignment; known indices that are out of range, repeated, or not as many as targets; targets
            that are not finite; trust that is not positive; exact targets for all points; or targets that do not determine the
            other points.
        DisconnectedGraphError: a ValueError, if a component or closed class of the graph contains no known point.

    Warns:
        JaxlleWarning: for components of the graph with at most c known points, in which fewer than c columns can vary freely.
        ConvergenceWarning: if rounding, or too few iterations, leaves a relative error above 1e-3.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> curve = jaxlle.datasets.s_curve(jax.random.key(0), 200)
        >>> known = jnp.arange(0, 200, 20)
        >>> alignment = jaxlle.ltsa_alignment(curve.points, 2, k=10)
        >>> out = jaxlle.semisupervised.propagate(alignment, known, curve.parameters[known])
        >>> bool((jnp.abs(out.targets - curve.parameters).mean(axis=0) < 0.05 * curve.parameters.std(axis=0)).all())
        True
    """
    return solve_problem(prepare_problem(alignment, known, targets, trust, solver))


class Problem(NamedTuple):
    """A validated problem: the equations for standardized targets, their solvers, and the given targets with their units."""

    system: PrescribedSystem
    linear: tuple[LinearSolver, ...]
    given: Float[Array, "m c"]
    center: Float[Array, " c"]
    unit: Float[Array, ""]

    def solve(self, system: PrescribedSystem) -> tuple[PrescribedSolution, LinearSolver]:
        """Solve a system by the first solver that converges, outside jit, and else by the last; return which it was."""
        for linear in self.linear[:-1]:
            solution = solve_prescribed(system, linear)
            if is_traced(solution) or (float(solution.gap) > 0 and float(solution.error) <= _MAX_ERROR):
                return solution, linear
        return solve_prescribed(system, self.linear[-1]), self.linear[-1]


def prepare_problem(
    alignment: Alignment, known: Any, targets: Any, trust: Any, solver: Any, *, spanning: bool = True
) -> Problem:
    """Validate the arguments of `propagate`; `spanning` is whether few known points in a component give a warning."""
    alignment = prepare_alignment(alignment)
    n, dtype = alignment.indices.shape[0], alignment.blocks.dtype
    fixed = lax.stop_gradient(alignment)
    targets = as_points(targets, "targets")
    known, trust = check_known(known, len(targets), n), check_trust(trust, len(targets))
    if trust is None:
        check_count(len(targets), "the number of exactly known points", 1, n - 1, "at least one point must be unknown")
    traced = is_traced(fixed, known, without_derivative(targets), without_derivative(trust))
    if not traced:
        if is_traced(alignment):
            check_alignment(fixed)
        check_components(connected_components(fixed), np.asarray(known), targets.shape[1] if spanning else 0)
    standard = prepare_points(targets)
    system = _build_system(alignment, known, standard.coordinates.astype(dtype), trust)
    with np.errstate(over="ignore"):  # of float64 in float32: infinity, as on the device
        units = [jnp.asarray(a, dtype) for a in (targets, standard.center, standard.unit)]
    if not is_traced(units) and not all(map(all_finite, units)):
        raise ValueError(f"targets contains numbers that overflow {dtype}, the dtype of the alignment: rescale it.")
    return Problem(system, _linear_solvers(solver, fixed, traced), *units)


def solve_problem(problem: Problem) -> Propagation:
    """Solve a validated problem, with derivatives."""
    system, _, given, center, unit = problem
    solution, linear = problem.solve(system)
    _check_solution(solution, linear)
    y = with_derivative(system, solution.points, linear)
    return _in_given_units(system, solution, y, given, center, unit, type(linear).__name__)


def check_known(known: Any, count: int, n: int) -> Int[Array, " m"]:
    """Return the validated indices of the known points."""
    ids = read_rows(known, "known", n)
    if ids.shape[0] != count:
        raise ValueError(
            f"known lists {ids.shape[0]} points, but targets has {count} rows: give one row per known point."
        )
    return ids


def check_trust(trust: Any, count: int, what: str = "known points", exact: str = "targets") -> Any:
    """Return validated trust, one number or one for each of `count` known points or pairs; None for exact ones."""
    if trust is None:
        return None
    values = read_floats(trust, "trust", finite=False)
    if values.shape not in ((), (count,)):
        raise ValueError(
            f"trust has shape {values.shape}, but it must be one number, or one for each of the {count} {what}."
        )
    host = without_derivative(values)
    if not is_traced(host) and not (np.isfinite(host) & (np.asarray(host) > 0)).all():
        wrong = np.ravel(host)[~np.ravel(np.isfinite(host) & (np.asarray(host) > 0))][0]
        raise ValueError(f"trust = {wrong} is not allowed: it must be positive and finite, or None for exact {exact}.")
    return values


class Words(NamedTuple):
    """What the messages of `check_components` call the graph, the points and the result, and what they advise."""

    graph: str = "the neighborhood graph"
    known: str = "known"
    result: str = "targets"
    give: str = "Give the targets of points"
    few: str = (
        "as many as the targets have columns, such as one of {size} points with {count}. The targets of such a component span "
        "fewer than {columns} dimensions: give those of at least {enough} of its points."
    )


_TARGETS = Words()


def check_components(components: Components, known: np.ndarray, columns: int, words: Words = _TARGETS) -> bool:
    """Raise for components without a known point; warn of those with too few to span the columns, and return whether."""
    counts = np.bincount(components.labels[known], minlength=len(components.sizes))
    unknown = np.flatnonzero(counts == 0)
    free_classes = [members for members in components.closed if not np.isin(members, known).any()]
    if len(unknown):
        first = int((components.labels == unknown[0]).argmax())
        raise DisconnectedGraphError(
            f"{len(unknown)} of {len(counts)} components of {words.graph} have no {words.known} point, such as that of point "
            f"{first} ({components.sizes[unknown[0]]} points), so their {words.result} are not determined. {words.give} in every "
            f"component, or raise k."
        )
    if free_classes:
        raise DisconnectedGraphError(
            f"{len(free_classes)} closed classes of {words.graph} have no {words.known} point, such as that of point "
            f"{free_classes[0][0]} ({len(free_classes[0])} points whose neighborhoods contain no other points), so their "
            f"{words.result} are not determined. {words.give} in every class, or raise k."
        )
    sparse = np.flatnonzero(counts <= columns)
    if len(sparse):
        few = words.few.format(
            size=components.sizes[sparse[0]], count=counts[sparse[0]], columns=columns, enough=columns + 1
        )
        warn_user(
            f"{len(sparse)} of {len(counts)} components of {words.graph} have no more than {columns} {words.known} points, {few}"
        )
    return len(sparse) > 0


def _linear_solvers(solver: Any, alignment: Alignment, traced: bool) -> tuple[LinearSolver, ...]:
    """Return the solvers to try, in this order.

    For "auto" conjugate gradients come first where sparse factors of M have many entries, because known points make the
    system well conditioned, unless they are few.
    """
    if isinstance(solver, LinearSolver):
        return (solver,)
    if isinstance(solver, str) and solver == "auto":
        linear = tangent_solver(choose(alignment, traced))
        if isinstance(linear, SparseInverse) and graph_width(alignment) > _MAX_WIDTH * alignment.shape[1] ** (1 / 3):
            return ConjugateGradient(), linear
        return (linear,)
    return (tangent_solver(check_solver(solver, "a linear solver of jaxlle.derivatives, such as DenseInverse()")),)


@jax.jit
def _build_system(alignment: Alignment, known: Array, target: Array, trust: Any) -> PrescribedSystem:
    n, dtype = alignment.indices.shape[0], alignment.blocks.dtype
    is_known, zeros = jnp.zeros((n, 1), dtype).at[known].set(1), jnp.zeros((n, 1), dtype)
    target = jnp.zeros((n, target.shape[1]), dtype).at[known].set(target)
    if trust is None:
        return PrescribedSystem(alignment, known, 1 - is_known, zeros, target)
    weight = jnp.broadcast_to(jnp.asarray(trust, dtype), known.shape)[:, None]
    return PrescribedSystem(alignment, known, 1 + zeros, zeros.at[known].set(weight), target)


def _check_solution(solution: PrescribedSolution, linear: LinearSolver) -> None:
    """Raise, outside jit, if the known targets do not determine the others; warn if the solver did not converge."""
    if is_traced(solution):
        return
    if not float(solution.gap) > 0:
        raise ValueError(
            "The known points do not determine the others within rounding. The functions of zero cost, such as the affine "
            "functions on flat neighborhoods, require dim + 1 known points, not all on a line or a plane, in every component: "
            "give the targets of more points, or raise reg."
        )
    if not float(solution.error) <= _MAX_ERROR:
        warn_user(
            f"{type(linear).__name__} left a relative error of {float(solution.error):.2g} at a gap of "
            f"{float(solution.gap):.2g}: raise its iteration limit, give the targets of more points, raise reg, or compute "
            f"in float64.",
            ConvergenceWarning,
        )


@partial(jax.jit, static_argnames="solver")
def _in_given_units(
    system: PrescribedSystem,
    solution: PrescribedSolution,
    y: Array,
    given: Array,
    center: Array,
    unit: Array,
    solver: str,
) -> Propagation:
    """Return the solution in the units of the known targets, with its diagnostics."""
    image, known = system.alignment.matvec(y), system.known
    exact = (system.free[known] == 0) & jnp.isfinite(y[known])
    targets = (y * unit + center).at[known].set(jnp.where(exact, given, (y * unit + center)[known]))
    length = jax.vmap(distances.euclidean)
    pull = system.alignment.rmatvec(image)[known]
    return Propagation(
        targets=targets,
        costs=unit**2 * jnp.sum(image**2, axis=0),
        misfit=jnp.where(exact.all(axis=1), 0, unit * length(y[known], system.target[known])),
        pull=unit * length(pull, jnp.zeros_like(pull)),
        gap=solution.gap,
        error=solution.error,
        converged=(solution.gap > 0) & (solution.error <= _MAX_ERROR) & jnp.isfinite(targets).all(),
        solver=solver,
    )
