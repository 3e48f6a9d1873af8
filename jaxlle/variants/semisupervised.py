"""Semi-supervised LLE: the places of some points are known, and those of all others follow."""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .. import distances
from .._core.checks import check_count, is_traced, without_derivative
from .._core.points import as_points, prepare_points
from ..alignment import Alignment, Components, connected_components
from ..alignment.operator import check_alignment
from ..derivatives import LinearSolver, tangent_solver
from ..embedding import DisconnectedGraphError
from ..embedding.prescribed import PrescribedSolution, PrescribedSystem, solve_prescribed, with_derivative
from ..neighbors import Neighbors
from ..solvers import Solver, choose
from ..warnings import ConvergenceWarning, JaxlleWarning
from .standard import lle_alignment

_ENOUGH = 1e-3  # error, as a share of the places' spread, beyond which it is warned of


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("points", "costs", "misfit", "pull", "gap", "error", "converged"),
    meta_fields=("solver",),
)
@dataclass(frozen=True)
class SemisupervisedEmbedding:
    """Places of all points, in the coordinates in which some were given.

    Attributes:
        points: shape (n, dim); exact places are returned to the last bit.
        costs: ``|B y|^2`` of each column, in its units squared, shape (dim,).
        misfit: how far each known point ends from the place given for it, shape (m,): 0 for exact places.
        pull: how hard each known place strains the manifold, ``|(B^T B Y)_i|``, shape (m,): trust times misfit, and for exact
            places the force that holds the point. A wrong place stands out.
        gap: smallest singular value of the equations, relative to (a bound of) the norm of B. Rounding moves the points by about
            eps / gap of their spread. 0 if the known places do not determine the others to rounding.
        error: estimate of what is left of it, relative to the points' spread, from how much the last refinements moved them.
        converged: whether gap and error allow to rely on the points.
        solver: name of the linear solver that was used.
    """

    points: Float[Array, "... n dim"]
    costs: Float[Array, "... dim"]
    misfit: Float[Array, "... m"]
    pull: Float[Array, "... m"]
    gap: Float[Array, "..."]
    error: Float[Array, "..."]
    converged: Bool[Array, "..."]
    solver: str


def semisupervised_embed(
    alignment: Alignment,
    known: Any,
    places: Any,
    *,
    trust: Real[ArrayLike, ""] | Real[ArrayLike, " m"] | None = None,
    solver: Solver | LinearSolver | Literal["auto"] = "auto",
) -> SemisupervisedEmbedding:
    """Place all points of an alignment where the places of some are known.

    Exact places P are kept, and all others minimise ``|B Y|^2``: with M = B^T B split into known (k) and unknown (u) points,
    ``M_uu Y_u = -M_uk P``. Inexact ones are trusted only so far: Y minimises ``|B Y|^2 + sum_i trust_i |Y_i - P_i|^2``, so that
    ``(M + T) Y = T P``. No scaling constraint and no eigenvector is left: Y is in the units of P, linear in P, and unique. After
    Yang, Fu, Zha and Barlow (2006, Semi-supervised nonlinear dimensionality reduction, ICML, 1065), who apply it to LLE, Isomap
    and LTSA; the paper's text was not available, and the equations, plain least squares, are derived here and were found the
    same (its equations 12 and 21) in public code after it.

    The places may be coordinates, targets of a regression, or classes as rows of an identity matrix. Differentiable, to any
    order, in the blocks, the places and the trust.

    Args:
        alignment: of the n points, by any variant. `ltsa_alignment` and `hessian_alignment` continue an affine map of a flat
            sheet exactly, LLE up to its regularizer.
        known: numbers of the points whose places are known, each once, shape (m,).
        places: where they are, shape (m, dim).
        trust: None for exact places; or how far they are trusted, one number for all or one each, shape (m,), positive. It
            weighs against M, whose norm is of order 1 to 10 and whose smooth vectors cost far less: at 1 places hardly move.
        solver: one of `jaxlle.derivatives`, or one of `jaxlle.solvers`, which stands for the one that `tangent_solver` names, or
            "auto". `DenseInverse` (QR of the dense B; jit, vmap, float32) for small n; `SparseInverse` (sparse LU of M in
            float64, refined by products with B; host) for low intrinsic dimension; `ConjugateGradient` (matrix-free, any n,
            jit, any device) for real data, in a few hundred to a few thousand products with B.

    Returns:
        SemisupervisedEmbedding. Inside jit it carries gap, error and converged as data, and indices are not checked.

    Raises:
        ValueError: for a malformed alignment; known points out of range, repeated or not as many as places; places that are not
            finite; trust that is not positive; or places that do not determine the rest.
        DisconnectedGraphError: a ValueError, for parts of the graph without a known place.

    Warns:
        JaxlleWarning: for parts of the graph with no more than dim known places.
        ConvergenceWarning: if rounding, or too few iterations, leaves an error of more than a thousandth.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> curve = jaxlle.datasets.s_curve(jax.random.key(0), 200)
        >>> known = jnp.arange(0, 200, 20)
        >>> alignment = jaxlle.ltsa_alignment(curve.points, 2, k=10)
        >>> out = jaxlle.variants.semisupervised_embed(alignment, known, curve.parameters[known])
        >>> bool((jnp.abs(out.points - curve.parameters).mean(axis=0) < 0.05 * curve.parameters.std(axis=0)).all())
        True
    """
    n, dtype = alignment.indices.shape[0], alignment.blocks.dtype
    fixed = lax.stop_gradient(alignment)
    places = as_points(places, "places")
    known, trust = _read_known(known, len(places), n), _read_trust(trust, len(places))
    if trust is None:
        check_count(len(places), "the number of exact places", 1, n - 1, "some point must be free to move")
    traced = is_traced(fixed, known, without_derivative(places), without_derivative(trust))
    if not traced:
        check_alignment(fixed)
        _tell_loose(connected_components(fixed), np.asarray(known), places.shape[1])
    standard = prepare_points(places)
    system = _prescribed(alignment, known, standard.coordinates.astype(dtype), trust)
    linear = _linear_solver(solver, fixed, traced)
    settled = solve_prescribed(system, linear)
    _tell_settled(settled, linear)
    y = with_derivative(system, settled.points, linear)
    units = (jnp.asarray(a, dtype) for a in (places, standard.center, standard.unit))
    return _finish(system, settled, y, *units, type(linear).__name__)


def semisupervised_lle(
    x: Any,
    known: Any,
    places: Any,
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    trust: Real[ArrayLike, ""] | Real[ArrayLike, " m"] | None = None,
    solver: Solver | LinearSolver | Literal["auto"] = "auto",
    neighbors: Neighbors | None = None,
) -> SemisupervisedEmbedding:
    """Place all points by LLE where the places of some are known: see `semisupervised_embed`.

    20 known of 1,000 points of a Swiss roll give its parameters with an affine residual of 0.002, where that of plain LLE is 0.19
    (tests/test_semisupervised.py).

    Args:
        x: points, shape (n, d).
        known: as for `semisupervised_embed`.
        places: as for `semisupervised_embed`.
        k: neighbours a point.
        reg: strength of the regularizer of the weights.
        trust: as for `semisupervised_embed`.
        solver: as for `semisupervised_embed`.
        neighbors: a ready graph to use in place of `knn`.

    Returns:
        SemisupervisedEmbedding.

    Raises:
        ValueError: as `lle_alignment` and `semisupervised_embed`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> line = jnp.arange(12.0)[:, None] * jnp.array([[3.0, 4.0]])
        >>> out = jaxlle.variants.semisupervised_lle(line, [0, 11], jnp.array([[0.0], [1.0]]), k=2, reg=1e-2)
        >>> bool((jnp.diff(out.points[:, 0]) > 0).all())
        True
    """
    alignment = lle_alignment(x, k=k, reg=reg, neighbors=neighbors)
    return semisupervised_embed(alignment, known, places, trust=trust, solver=solver)


def _read_known(known: Any, count: int, n: int) -> Int[Array, " m"]:
    """Return the numbers of the known points, or say what is wrong with them."""
    ids = known if isinstance(known, jax.Array) else np.asarray(known)
    if ids.ndim != 1 or not jnp.issubdtype(ids.dtype, jnp.integer):
        raise ValueError(
            f"known must be whole row numbers of shape (m,), got shape {ids.shape} and dtype {ids.dtype}: of a mask take "
            f"numpy.flatnonzero."
        )
    if ids.shape[0] != count:
        raise ValueError(f"known names {ids.shape[0]} points, but places has {count} rows: one for each is needed.")
    if isinstance(ids, jax.Array) and is_traced(ids):
        return ids
    host = np.asarray(ids)
    if host.min() < 0 or host.max() >= n:
        raise ValueError(f"known runs from {host.min()} to {host.max()}, but there are {n} points (0 to {n - 1}).")
    numbers, times = np.unique(host, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"known names point {numbers[times > 1][0]} {times.max()} times: give each point one place.")
    return jnp.asarray(host, jnp.int32)


def _read_trust(trust: Any, count: int) -> Any:
    if trust is None:
        return None
    values = trust if isinstance(trust, jax.Array) else np.asarray(trust)
    if values.shape not in ((), (count,)):
        raise ValueError(f"trust has shape {values.shape}, but must be one number, or one for each of {count} places.")
    host = without_derivative(values)
    if not is_traced(host) and not (np.isfinite(host) & (np.asarray(host) > 0)).all():
        raise ValueError(
            f"trust = {np.asarray(host).min()} is not allowed: it must be positive and finite, or None for exact places."
        )
    return values


def _tell_loose(components: Components, known: np.ndarray, dim: int) -> None:
    """Raise for parts of the graph without a known place, and warn of parts with too few to span dim dimensions."""
    counts = np.bincount(components.labels[known], minlength=len(components.sizes))
    empty = np.flatnonzero(counts == 0)
    loose = [members for members in components.closed if not np.isin(members, known).any()]
    if len(empty):
        first = int((components.labels == empty[0]).argmax())
        raise DisconnectedGraphError(
            f"{len(empty)} of {len(counts)} components of the neighbourhood graph have no known place, such as that of point "
            f"{first} ({components.sizes[empty[0]]} points): nothing says where they lie. Give each a known place, or raise k."
        )
    if loose:
        raise DisconnectedGraphError(
            f"{len(loose)} closed classes of the neighbourhood graph have no known place, such as that of point {loose[0][0]} "
            f"({len(loose[0])} points that no member's neighbourhood leaves): nothing says where they lie. Give each a known "
            f"place, or raise k."
        )
    thin = np.flatnonzero(counts <= dim)
    if len(thin):
        warnings.warn(
            f"{len(thin)} of {len(counts)} components of the neighbourhood graph have no more than dim = {dim} known places, "
            f"such as one of {components.sizes[thin[0]]} points with {counts[thin[0]]}: its places span fewer than dim "
            f"dimensions. Give at least {dim + 1}.",
            JaxlleWarning,
            stacklevel=3,
        )


def _linear_solver(solver: Any, alignment: Alignment, traced: bool) -> LinearSolver:
    if isinstance(solver, LinearSolver):
        return solver
    if isinstance(solver, str) and solver == "auto":
        return tangent_solver(choose(alignment, traced))
    if not callable(solver):
        raise ValueError(
            f"solver = {solver!r} is not known: use 'auto' or an object of jaxlle.derivatives, such as DenseInverse()."
        )
    return tangent_solver(solver)


@jax.jit
def _prescribed(alignment: Alignment, known: Array, places: Array, trust: Any) -> PrescribedSystem:
    n, dtype = alignment.indices.shape[0], alignment.blocks.dtype
    marked, none = jnp.zeros((n, 1), dtype).at[known].set(1), jnp.zeros((n, 1), dtype)
    target = jnp.zeros((n, places.shape[1]), dtype).at[known].set(places)
    if trust is None:
        return PrescribedSystem(alignment, known, 1 - marked, none, target)
    weight = jnp.broadcast_to(jnp.asarray(trust, dtype), known.shape)[:, None]
    return PrescribedSystem(alignment, known, 1 + none, none.at[known].set(weight), target)


def _tell_settled(settled: PrescribedSolution, linear: LinearSolver) -> None:
    """Raise for places that determine nothing, and warn of those that were not reached, outside jit."""
    if is_traced(settled):
        return
    if not float(settled.gap) > 0:
        raise ValueError(
            "The known places do not determine the others to rounding: what the alignment leaves free, such as the affine "
            "functions of flat neighbourhoods, needs dim + 1 known points, not all on a line or a plane, in every part. Give "
            "more, or raise reg."
        )
    if not float(settled.error) <= _ENOUGH:
        warnings.warn(
            f"{type(linear).__name__} left an error of {float(settled.error):.2g} of the places' spread, at a gap of "
            f"{float(settled.gap):.2g}: raise its iteration limit, know more places, raise reg, or compute in float64.",
            ConvergenceWarning,
            stacklevel=3,
        )


@partial(jax.jit, static_argnames="solver")
def _finish(
    system: PrescribedSystem, settled: PrescribedSolution, y: Array, places: Array, center: Array, unit: Array, solver: str
) -> SemisupervisedEmbedding:
    """Return to the units of the places, with what is known about the solution."""
    image, known = system.alignment.matvec(y), system.known
    held = (system.free[known] == 0) & jnp.isfinite(y[known])
    points = (y * unit + center).at[known].set(jnp.where(held, places, (y * unit + center)[known]))
    length = jax.vmap(distances.euclidean)
    pull = system.alignment.rmatvec(image)[known]
    return SemisupervisedEmbedding(
        points=points,
        costs=unit**2 * jnp.sum(image**2, axis=0),
        misfit=jnp.where(held.all(axis=1), 0, unit * length(y[known], system.target[known])),
        pull=unit * length(pull, jnp.zeros_like(pull)),
        gap=settled.gap,
        error=settled.error,
        converged=(settled.gap > 0) & (settled.error <= _ENOUGH) & jnp.isfinite(points).all(),
        solver=solver,
    )
