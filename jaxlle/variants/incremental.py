"""Incremental LLE: add points to an embedding without a new eigenproblem, with a measure of when a new one is needed."""

import warnings
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from .._core.arrays import check_number
from .._core.checks import check_dim, is_traced, warn_user
from .._core.integers import is_integer
from .._core.linear import matmul
from .._core.points import as_rows, check_spread, prepare_points
from ..alignment import Alignment, weights_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS, warn_if_unreliable
from ..neighbors import Neighbors, knn
from ..neighbors.exact import in_data_units
from ..neighbors.graph import require_distances
from ..solvers import SolverLike
from ..warnings import GapWarning
from ..weights import barycentric_weights
from ._pipeline import reject_largest, require_euclidean

_SPARE = 10  # singular vectors beyond those of the embedding, in which its rotation is measured
_SMOOTHING = 10  # Jacobi steps
_FAR = 3.0  # radii of the widest neighborhood beyond which a point is far from the data
_BATCH = 512  # points added at a time: their equations are a dense matrix with that number of columns


class _Settings(NamedTuple):
    """Arguments of `incremental_lle` that later calls use."""

    reg: Any
    tolerance: float
    solver: SolverLike
    options: EmbedOptions


class IncrementalEmbedding(NamedTuple):
    """An embedding to which points can be added.

    Attributes:
        x: all points so far, shape (n, d).
        neighbors: the exact neighborhoods of all points, updated as points are added.
        weights: the weights of all points, shape (n, k).
        points: the embedding of all points, shape (n, dim). The positions of the fitted points do not change, bit for bit.
        fitted: the last full solution, for the points that it contained.
        modes: the embedding and the next singular vectors of that solution, extended to the added points, shape (n, dim +
            some).
        growth: cost of the points with orthonormalized columns, relative to the cost of the last full solution.
        angle: estimate, in radians, of the angle between the span of the points and that of a full solution: the angle to the
            best span among the modes after a few Jacobi steps.
        far: which of the added points lie far from the data, shape (n - fitted,).
        refit: whether a full solution is needed: the angle exceeds the tolerance, or more points were added than fitted.
        settings: the arguments of `incremental_lle` that `add_points` and `refit` use.
    """

    x: Float[Any, "n d"]
    neighbors: Neighbors
    weights: Float[Array, "n k"]
    points: Float[Array, "n dim"]
    fitted: Embedding
    modes: Float[Array, "n m"]
    growth: Float[Array, ""]
    angle: Float[Array, ""]
    far: Bool[np.ndarray, " m"]
    refit: bool
    settings: _Settings


def incremental_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    reg: float | int = 1e-3,
    tolerance: float | int = 0.2,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> IncrementalEmbedding:
    """Embed points by LLE, as the start of an embedding to which `add_points` adds points.

    Minimizes ``|(I - W) Y|^2`` over centered Y with orthonormal columns, as `lle`, and keeps ten more singular vectors, in
    which `add_points` measures the rotation of the embedding.

    Args:
        x: points, shape (n, d), or a `Points` value of the Euclidean metric.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point.
        reg: strength of the ridge of the weights, as for `lle`.
        tolerance: angle, in radians, above which `IncrementalEmbedding.refit` is True.
        solver: an object of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`. `dedupe` and
            `disconnected="largest"` are not available.

    Returns:
        IncrementalEmbedding. Outside jit only.

    Raises:
        ValueError: as `lle`; also for an option that is not available.
        TypeError: inside jit or grad.

    Warns:
        DisconnectedGraphWarning, GapWarning, ConvergenceWarning: as `embed`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 320).points
        >>> state = jaxlle.variants.incremental_lle(x[:300], 2, k=10)
        >>> state = jaxlle.variants.add_points(state, x[300:])
        >>> state.points.shape, len(state.far), bool(state.far.any())
        ((320, 2), 20, False)
    """
    if is_traced(x):
        raise TypeError(
            "incremental_lle changes the sizes of arrays, which jit cannot trace: call it outside jit, or use transform."
        )
    reject_largest(options)
    points = prepare_points(x)
    require_euclidean(points)
    dim = check_dim(dim, k, points.shape, points.metric)
    check_number(tolerance, "tolerance", "an angle in radians, at least 0", lambda value: value >= 0)
    check_spread(points)
    neighbors = in_data_units(knn(points, k, block_bytes=options.block_bytes), points)
    weights = barycentric_weights(points, neighbors, reg=reg, block_bytes=options.block_bytes)
    settings = _Settings(reg, float(tolerance), solver, options)
    return _solve(points.values, neighbors, weights, dim, settings, None)


def add_points(
    state: IncrementalEmbedding, x_new: Any, *, far: Literal["warn", "error"] = "warn"
) -> IncrementalEmbedding:
    """Add points to an embedding by solving a small linear system instead of a new eigenproblem.

    Neighborhoods and weights are updated, including those of earlier points that have a new point among their neighbors. Let
    the new alignment B be split into the columns of the old and the new points. The old positions Y are kept, and the new
    positions minimize ``|B_old Y + B_new Y_new|^2``, so that ``M_new,old Y + M_new,new Y_new = 0`` for ``M = B^T B``.

    Incremental LLE (Kouropteva, Okun and Pietikainen 2005, Pattern Recognition 38:1764), of which only a summary was
    available, keeps the bottom eigenvalues s^2 and minimizes ``|Z^T M Z - diag(s^2)|`` over the new rows of Z, which consists
    of Y and Y_new. The positions returned here solve this problem as well wherever their ``Z^T M Z - diag(s^2)`` is positive
    semidefinite, that is, unless the added points lower the cost: the gradient is
    ``4 (M_new,old Y + M_new,new Y_new) (Z^T M Z - diag(s^2))``, and other positions add a positive semidefinite matrix to
    Z^T M Z. That was so in 35 of 36 cases (three surfaces and digits, 400 points, of which 1, 20 or 100 more were added).
    With the eigenvalues kept in the equations of the new rows, ``M_new,old Y + M_new,new Y_new = Y_new diag(s^2)``, the
    positions changed by a fraction of 1e-8 to 2e-4 in these cases, and their distance from a full solution not at all. How
    far the embedding is from a full solution is measured by `IncrementalEmbedding.growth` and `IncrementalEmbedding.angle`.

    Args:
        state: embedding from `incremental_lle`, `add_points` or `refit`.
        x_new: points to add, shape (q, d).
        far: what to do if new points are farther from the data than three times the radius of the widest neighborhood:
            "warn", or "error".

    Returns:
        IncrementalEmbedding of all points, in the order in which they were added.

    Raises:
        ValueError: if x_new is not an array of finite numbers or has another number of features, or, with far="error", if
            points are far from the data.
        TypeError: inside jit or grad.

    Warns:
        JaxlleWarning: with far="warn", if points are far from the data, because their positions are extrapolated.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> line = jnp.arange(12.0)[:, None] * jnp.array([[3.0, 4.0]])
        >>> state = jaxlle.variants.incremental_lle(line, 1, k=2, reg=1e-2)
        >>> y = jaxlle.variants.add_points(state, line[5:6] + 2.0).points
        >>> bool((y[5] - y[12]) * (y[12] - y[6]) > 0)
        True
    """
    if is_traced(x_new):
        raise TypeError(
            "add_points changes the sizes of arrays, which jit cannot trace: call it outside jit, or use transform."
        )
    x_new = as_rows(x_new, "x_new")
    if is_integer(state.x) and not is_integer(x_new):
        raise ValueError(
            f"The fitted points are integers beyond the precision of floating point, but x_new has dtype {x_new.dtype}: pass "
            f"integers, or fit points of a smaller range."
        )
    if x_new.shape[1] != state.x.shape[1]:
        raise ValueError(f"x_new has {x_new.shape[1]} features, but the fitted points have {state.x.shape[1]}.")
    is_far = _find_far(state, x_new, far)
    for start in range(0, x_new.shape[0], _BATCH):
        state = _add_batch(state, x_new[start : start + _BATCH])
    (fitted, dim), total = state.fitted.points.shape, state.points.shape[0]
    alignment = weights_alignment(state.neighbors, state.weights)
    growth, angle = _measure(alignment, state.modes, jnp.asarray(state.fitted.singular_values), dim)
    needs_refit = bool(angle > state.settings.tolerance) or total > 2 * fitted
    return state._replace(growth=growth, angle=angle, far=np.concatenate([state.far, is_far]), refit=needs_refit)


def refit(state: IncrementalEmbedding) -> IncrementalEmbedding:
    """Compute a full solution for all points, with the present embedding as the initial value.

    Minimizes ``|(I - W) Y|^2`` over centered Y with orthonormal columns, for the present neighborhoods and weights.

    Args:
        state: embedding from `add_points`.

    Returns:
        IncrementalEmbedding in which all points are fitted. Its columns may be rotated relative to the previous ones.

    Raises:
        ValueError: as `embed`.

    Warns:
        DisconnectedGraphWarning, GapWarning, ConvergenceWarning: as `embed`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 320).points
        >>> state = jaxlle.variants.add_points(jaxlle.variants.incremental_lle(x[:300], 2, k=10), x[300:])
        >>> jaxlle.variants.refit(state).fitted.points.shape
        (320, 2)
    """
    return _solve(state.x, state.neighbors, state.weights, state.points.shape[1], state.settings, state.modes)


def _solve(
    x: Any, neighbors: Neighbors, weights: Float[Array, "n k"], dim: int, settings: _Settings, start: Array | None
) -> IncrementalEmbedding:
    """Return the state after a full solution, with a few more vectors than the embedding needs."""
    alignment = weights_alignment(neighbors, weights)
    n = alignment.indices.shape[0]
    with warnings.catch_warnings():
        # This gap is the one after the spare vectors; the gap of the embedding itself is checked below.
        warnings.simplefilter("ignore", GapWarning)
        extended = embed(
            alignment,
            min(dim + _SPARE, n - 1),
            solver=settings.solver,
            options=settings.options,
            points=x,
            start=start,
        )
    values, modes = jnp.asarray(extended.singular_values), jnp.asarray(extended.points)
    gap = (values[dim] - values[dim - 1]) / alignment.norm_bound() if len(values) > dim else extended.gap
    own = {"points": modes[:, :dim], "singular_values": values[:dim], "residuals": extended.residuals[:dim], "gap": gap}
    fitted = replace(extended, **own)
    warn_if_unreliable(fitted)
    unit_growth, none_far = jnp.ones((), modes.dtype), np.zeros(0, bool)
    return IncrementalEmbedding(
        x, neighbors, weights, modes[:, :dim], fitted, modes, unit_growth, 0 * unit_growth, none_far, False, settings
    )


def _find_far(state: IncrementalEmbedding, x_new: Any, far: str) -> Bool[np.ndarray, " q"]:
    """Return which of the new points are far from the data; warn of them or raise."""
    if far not in ("warn", "error"):
        raise ValueError(f"far = {far!r} is not known: use 'warn' or 'error'.")
    nearest = np.asarray(
        require_distances(knn(state.x, 1, query=x_new, block_bytes=state.settings.options.block_bytes))
    )[:, 0]
    n = state.fitted.points.shape[0]
    limit = _FAR * float(require_distances(state.neighbors)[:n, -1].max())
    is_far = nearest > limit
    if is_far.any():
        message = (
            f"{int(is_far.sum())} of {len(is_far)} new points are up to {nearest.max():.3g} away from the data, farther than "
            f"three times the radius of its widest neighborhood ({limit:.3g}), so that their positions are extrapolated: "
            f"check their units, or fit them together with the data."
        )
        if far == "error":
            raise ValueError(message)
        warn_user(message)
    return is_far


def _add_batch(state: IncrementalEmbedding, x_new: Any) -> IncrementalEmbedding:
    """Add one batch of points."""
    reg, block_bytes = state.settings.reg, state.settings.options.block_bytes
    host = isinstance(state.x, np.ndarray) and isinstance(x_new, np.ndarray)
    x = (
        np.concatenate([state.x, x_new.astype(state.x.dtype)])
        if host
        else jnp.concatenate([jnp.asarray(state.x), x_new])
    )
    neighbors, changed = _update_neighbors(state, x, x_new, block_bytes)
    rows = np.flatnonzero(np.asarray(changed))
    changed_neighbors = Neighbors(neighbors.indices[rows], None)
    new_weights = barycentric_weights(x, changed_neighbors, query=x[rows], reg=reg, block_bytes=block_bytes)
    n, k = state.weights.shape
    weights = jnp.zeros((x.shape[0], k), new_weights.dtype).at[:n].set(state.weights).at[rows].set(new_weights)
    alignment = weights_alignment(neighbors, weights)
    new_modes = _solve_new(Alignment(alignment.indices[rows], alignment.blocks[rows]), state.modes, x_new.shape[0])
    modes = jnp.concatenate([state.modes, new_modes])
    points = modes[:, : state.points.shape[1]]
    return state._replace(x=x, neighbors=neighbors, weights=weights, modes=modes, points=points)


def _update_neighbors(
    state: IncrementalEmbedding, x: Any, x_new: Any, block_bytes: int
) -> tuple[Neighbors, Bool[Array, " n"]]:
    """Return the neighborhoods of all points, and which of them are new or have changed."""
    n, k = state.neighbors.indices.shape
    q = x_new.shape[0]
    near = knn(x_new, min(k, q), query=state.x, block_bytes=block_bytes)
    ids = jnp.concatenate([state.neighbors.indices, near.indices + n], axis=1)
    dist = jnp.concatenate([require_distances(state.neighbors), require_distances(near)], axis=1)
    order = jnp.argsort(dist, axis=1, stable=True)[:, :k]  # of equally distant neighbors, the earlier points come first
    ids, dist = jnp.take_along_axis(ids, order, axis=1), jnp.take_along_axis(dist, order, axis=1)
    own = knn(x, k + 1, query=x_new, block_bytes=block_bytes)
    other = own.indices != jnp.arange(n, n + q, dtype=own.indices.dtype)[:, None]
    order = jnp.argsort(~other, axis=1, stable=True)[:, :k]  # moves the point itself to the end
    ids = jnp.concatenate([ids, jnp.take_along_axis(own.indices, order, axis=1)])
    dist = jnp.concatenate([dist, jnp.take_along_axis(require_distances(own), order, axis=1)])
    return Neighbors(ids.astype(jnp.int32), dist), (ids >= n).any(axis=1) | (jnp.arange(n + q) >= n)


@partial(jax.jit, static_argnames="q")
def _solve_new(rows: Alignment, old: Float[Array, "n m"], q: int) -> Float[Array, "q m"]:
    """Return the modes at q new points, by least squares over the rows that contain new points."""
    n = old.shape[0]
    y = jnp.concatenate([old, jnp.zeros((q, old.shape[1]), old.dtype)])
    target = -jnp.einsum("nrm,nmc->nrc", rows.blocks, y[rows.indices], precision=lax.Precision.HIGHEST)
    number = jnp.arange(rows.indices.shape[0])[:, None]
    column = jnp.where(rows.indices >= n, rows.indices - n, q)
    dense = jnp.zeros((rows.indices.shape[0], q + 1), old.dtype).at[number, column].add(rows.blocks[:, 0])[:, :q]
    basis, triangle = jnp.linalg.qr(dense)
    pivots = jnp.diagonal(triangle)
    # New points whose neighborhoods contain no old points are not determined by the equations: a pivot near zero is raised.
    tiny = 8 * jnp.finfo(old.dtype).eps * jnp.abs(pivots).max()
    triangle = triangle + jnp.diag(jnp.where(jnp.abs(pivots) < tiny, 1, 0).astype(old.dtype))
    return solve_triangular(triangle, matmul(basis.T, target[:, 0]))


@partial(jax.jit, static_argnames="dim")
def _measure(
    alignment: Alignment, modes: Float[Array, "n m"], values: Float[Array, " dim"], dim: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the growth of the cost, and the estimate of the angle."""
    own = _orthonormal(modes[:, :dim])
    cost = jnp.sum(alignment.matvec(own) ** 2)
    squares = alignment._replace(blocks=alignment.blocks**2)
    diagonal = squares.rmatvec(jnp.ones(alignment.shape[0], modes.dtype))[:, None]
    diagonal = jnp.where(diagonal > 0, diagonal, 1)

    def smooth(_: Any, y: Array) -> Array:
        return y - alignment.rmatvec(alignment.matvec(y)) / (2 * diagonal)

    basis = _orthonormal(lax.fori_loop(0, _SMOOTHING, smooth, modes))
    _, _, right = jnp.linalg.svd(jnp.linalg.qr(alignment.matvec(basis), mode="r"))
    best = matmul(basis, right[::-1][:dim].T)
    sine = jnp.linalg.norm(own - matmul(best, matmul(best.T, own)), 2)
    return cost / jnp.maximum(jnp.sum(values**2), jnp.finfo(cost.dtype).tiny), jnp.arcsin(jnp.minimum(sine, 1))


def _orthonormal(y: Float[Array, "n m"]) -> Float[Array, "n m"]:
    return jnp.linalg.qr(y - y.mean(axis=0))[0]
