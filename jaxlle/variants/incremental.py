"""Incremental LLE: points join an embedding without a new eigenproblem, and it is said when one is due."""

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

from .._core.checks import check_dim, is_traced
from .._core.linear import matmul
from .._core.points import as_points, check_spread, prepare_points
from ..alignment import Alignment, weights_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS, warn_if_unreliable
from ..neighbors import Neighbors, knn
from ..neighbors.exact import in_data_units
from ..neighbors.graph import require_distances
from ..solvers import Solver
from ..warnings import GapWarning, JaxlleWarning
from ..weights import barycentric_weights

_SPARE = 10  # singular vectors kept beyond the embedding's own, among which it is seen to turn
_SMOOTHING = 10
_FAR = 3.0  # widths of the widest neighbourhood beyond which a point has left the data
_BATCH = 512  # points that join at once: their equations are solved as a dense matrix of so many columns


class _Settings(NamedTuple):
    reg: Any
    tolerance: float
    solver: Solver | Literal["auto"]
    options: EmbedOptions


class IncrementalEmbedding(NamedTuple):
    """An embedding that points can join.

    Attributes:
        x: all points so far, shape (n, d).
        neighbors: their neighbourhoods, kept exact as points join.
        weights: their weights, shape (n, k).
        points: the embedding of all points, shape (n, dim). Those that were fitted keep their place to the last bit.
        fitted: the last full solve, of the first points.
        modes: the embedding and the next singular vectors of that solve, with what joined, shape (n, dim + some).
        growth: cost of the points, as orthonormal columns, relative to that of the last full solve.
        angle: estimate, in radians, of how far the points' span has turned from that of a full solve: its angle with the best
            span among the modes, smoothed by a few Jacobi steps.
        far: which of the points that joined lie far from the data, shape (n - fitted,).
        refit: whether a full solve is due: the angle above the tolerance, or more points joined than fitted.
        options: k, reg and the rest, for `refit`.
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
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
) -> IncrementalEmbedding:
    """Embed points by LLE, ready for more to join by `add_points`.

    Args:
        x: points, shape (n, d).
        dim: dimensions of the embedding, at most d.
        k: neighbours a point.
        reg: strength of the regularizer of the weights.
        tolerance: angle in radians beyond which `IncrementalEmbedding.refit` asks for a full solve.
        solver: one of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        IncrementalEmbedding. Outside jit only.

    Raises:
        ValueError: as `lle`.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 320).points
        >>> more = jaxlle.variants.add_points(jaxlle.variants.incremental_lle(x[:300], 2, k=10), x[300:])
        >>> more.points.shape, len(more.far), bool(more.far.any())
        ((320, 2), 20, False)
    """
    if is_traced(x):
        raise TypeError("incremental_lle grows arrays, which jit cannot: call it outside jit, or use transform.")
    if options.disconnected == "largest":
        raise ValueError("disconnected = 'largest' drops points, to whose places others could join: drop them before.")
    points = prepare_points(x)
    dim = check_dim(dim, k, points.shape, points.metric)
    check_spread(points)
    neighbors = in_data_units(knn(points, k, block_bytes=options.block_bytes), points)
    weights = barycentric_weights(points, neighbors, reg=reg, block_bytes=options.block_bytes)
    settings = _Settings(reg, float(tolerance), solver, options)
    return _solve(points.values, neighbors, weights, dim, settings, None)


def add_points(
    state: IncrementalEmbedding, x_new: Any, *, far: Literal["warn", "error"] = "warn"
) -> IncrementalEmbedding:
    """Let points join an embedding, by a small linear system instead of a new eigenproblem.

    Neighbourhoods and weights are brought up to date, those of older points included where a new one is nearer. With B the new
    alignment, split into the columns of old and new points, the old places Y stay and the new ones minimise
    ``|B_old Y + B_new Y_new|^2``. Eigenvectors of M = B^T B obey ``M_new,old Y + M_new,new Y_new = Y_new diag(s^2)`` in the rows
    of the new points; if the bottom eigenvalues s^2 stay what they were, they are below what M_new,new can resolve, and without
    them these are the equations of the minimum. The result is measured against that assumption: see
    `IncrementalEmbedding.growth` and `angle`. The equations are derived here, after incremental LLE (Kouropteva, Okun and
    Pietikainen 2005, Pattern Recognition 38:1764), of which no more was available than a summary: that a much smaller problem
    takes the eigenproblem's place.

    Args:
        state: from `incremental_lle`, `add_points` or `refit`.
        x_new: points that join, shape (q, d).
        far: what to do with points farther from all others than three times the widest neighbourhood: "warn", or "error".

    Returns:
        IncrementalEmbedding of all points, in the order in which they came.

    Raises:
        ValueError: for bad points, another number of features, or points far from the data, if asked for.

    Warns:
        JaxlleWarning: for points far from the data, whose places are extrapolated.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> line = jnp.arange(12.0)[:, None] * jnp.array([[3.0, 4.0]])
        >>> more = jaxlle.variants.add_points(jaxlle.variants.incremental_lle(line, 1, k=2, reg=1e-2), line[5:6] + 2.0)
        >>> bool((more.points[5] - more.points[12]) * (more.points[12] - more.points[6]) > 0)
        True
    """
    if is_traced(x_new):
        raise TypeError("add_points grows arrays, which jit cannot: call it outside jit, or use transform.")
    x_new = as_points(x_new, "x_new")
    if x_new.shape[1] != state.x.shape[1]:
        raise ValueError(
            f"x_new has {x_new.shape[1]} features, but the points that were fitted have {state.x.shape[1]}."
        )
    away = _far_from(state, x_new, far)
    for start in range(0, x_new.shape[0], _BATCH):
        state = _join(state, x_new[start : start + _BATCH])
    (fitted, dim), total = state.fitted.points.shape, state.points.shape[0]
    alignment = weights_alignment(state.neighbors, state.weights)
    growth, angle = _measure(alignment, state.modes, jnp.asarray(state.fitted.singular_values), dim)
    due = bool(angle > state.settings.tolerance) or total > 2 * fitted
    return state._replace(growth=growth, angle=angle, far=np.concatenate([state.far, away]), refit=due)


def refit(state: IncrementalEmbedding) -> IncrementalEmbedding:
    """Solve for all points anew, starting from where they are.

    Args:
        state: from `add_points`.

    Returns:
        IncrementalEmbedding in which all points are fitted; its columns may be turned against those before.

    Raises:
        ValueError: as `embed`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 320).points
        >>> more = jaxlle.variants.add_points(jaxlle.variants.incremental_lle(x[:300], 2, k=10), x[300:])
        >>> jaxlle.variants.refit(more).fitted.points.shape
        (320, 2)
    """
    return _solve(state.x, state.neighbors, state.weights, state.points.shape[1], state.settings, state.modes)


def _solve(
    x: Any, neighbors: Neighbors, weights: Float[Array, "n k"], dim: int, settings: _Settings, start: Array | None
) -> IncrementalEmbedding:
    """Return the state after a full solve, with a few vectors more than the embedding needs."""
    alignment = weights_alignment(neighbors, weights)
    n = alignment.indices.shape[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GapWarning)  # at the cut behind the spare vectors; the other is warned of below
        wide = embed(
            alignment,
            min(dim + _SPARE, n - 1),
            solver=settings.solver,
            options=settings.options,
            points=x,
            start=start,
        )
    values, modes = jnp.asarray(wide.singular_values), jnp.asarray(wide.points)
    gap = (values[dim] - values[dim - 1]) / alignment.norm_bound() if len(values) > dim else wide.gap
    own = {"points": modes[:, :dim], "singular_values": values[:dim], "residuals": wide.residuals[:dim], "gap": gap}
    fitted = replace(wide, **own)
    warn_if_unreliable(fitted)
    one, nobody = jnp.ones((), modes.dtype), np.zeros(0, bool)
    return IncrementalEmbedding(
        x, neighbors, weights, modes[:, :dim], fitted, modes, one, 0 * one, nobody, False, settings
    )


def _far_from(state: IncrementalEmbedding, x_new: Any, far: str) -> Bool[np.ndarray, " q"]:
    if far not in ("warn", "error"):
        raise ValueError(f"far = {far!r} is not known: use 'warn' or 'error'.")
    nearest = np.asarray(
        require_distances(knn(state.x, 1, query=x_new, block_bytes=state.settings.options.block_bytes))
    )[:, 0]
    n = state.fitted.points.shape[0]
    limit = _FAR * float(require_distances(state.neighbors)[:n, -1].max())
    away = nearest > limit
    if away.any():
        text = (
            f"{int(away.sum())} of {len(away)} new points are up to {nearest.max():.3g} from the data, beyond three times its "
            f"widest neighbourhood ({limit:.3g}), so their places would be extrapolated: check their units, or fit them with "
            f"the rest."
        )
        if far == "error":
            raise ValueError(text)
        warnings.warn(text, JaxlleWarning, stacklevel=3)
    return away


def _join(state: IncrementalEmbedding, x_new: Any) -> IncrementalEmbedding:
    reg, block_bytes = state.settings.reg, state.settings.options.block_bytes
    host = isinstance(state.x, np.ndarray) and isinstance(x_new, np.ndarray)
    x = (
        np.concatenate([state.x, x_new.astype(state.x.dtype)])
        if host
        else jnp.concatenate([jnp.asarray(state.x), x_new])
    )
    neighbors, changed = _updated(state, x, x_new, block_bytes)
    rows = np.flatnonzero(np.asarray(changed))
    moved = Neighbors(neighbors.indices[rows], None)
    fresh = barycentric_weights(x, moved, query=x[rows], reg=reg, block_bytes=block_bytes)
    n, k = state.weights.shape
    weights = jnp.zeros((x.shape[0], k), fresh.dtype).at[:n].set(state.weights).at[rows].set(fresh)
    alignment = weights_alignment(neighbors, weights)
    place = _solve_new(Alignment(alignment.indices[rows], alignment.blocks[rows]), state.modes, x_new.shape[0])
    modes = jnp.concatenate([state.modes, place])
    points = modes[:, : state.points.shape[1]]
    return state._replace(x=x, neighbors=neighbors, weights=weights, modes=modes, points=points)


def _updated(state: IncrementalEmbedding, x: Any, x_new: Any, block_bytes: int) -> tuple[Neighbors, Bool[Array, " n"]]:
    """Return the neighbourhoods of all points, and which are new or have changed."""
    n, k = state.neighbors.indices.shape
    q = x_new.shape[0]
    near = knn(x_new, min(k, q), query=state.x, block_bytes=block_bytes)
    ids = jnp.concatenate([state.neighbors.indices, near.indices + n], axis=1)
    far = jnp.concatenate([require_distances(state.neighbors), require_distances(near)], axis=1)
    order = jnp.argsort(far, axis=1, stable=True)[:, :k]  # on a tie the older stays
    ids, far = jnp.take_along_axis(ids, order, axis=1), jnp.take_along_axis(far, order, axis=1)
    own = knn(x, k + 1, query=x_new, block_bytes=block_bytes)
    other = own.indices != jnp.arange(n, n + q, dtype=own.indices.dtype)[:, None]
    order = jnp.argsort(~other, axis=1, stable=True)[:, :k]  # the point itself goes last
    ids = jnp.concatenate([ids, jnp.take_along_axis(own.indices, order, axis=1)])
    far = jnp.concatenate([far, jnp.take_along_axis(require_distances(own), order, axis=1)])
    return Neighbors(ids.astype(jnp.int32), far), (ids >= n).any(axis=1) | (jnp.arange(n + q) >= n)


@partial(jax.jit, static_argnames="q")
def _solve_new(rows: Alignment, old: Float[Array, "n m"], q: int) -> Float[Array, "q m"]:
    """Place q new points by least squares over the rows that know them."""
    n = old.shape[0]
    y = jnp.concatenate([old, jnp.zeros((q, old.shape[1]), old.dtype)])
    target = -jnp.einsum("nrm,nmc->nrc", rows.blocks, y[rows.indices], precision=lax.Precision.HIGHEST)
    number = jnp.arange(rows.indices.shape[0])[:, None]
    column = jnp.where(rows.indices >= n, rows.indices - n, q)
    dense = jnp.zeros((rows.indices.shape[0], q + 1), old.dtype).at[number, column].add(rows.blocks[:, 0])[:, :q]
    basis, triangle = jnp.linalg.qr(dense)
    pivots = jnp.diagonal(triangle)
    # A group that only looks at itself has no equation to hold it: it stays where its pivot is lifted to.
    tiny = 8 * jnp.finfo(old.dtype).eps * jnp.abs(pivots).max()
    triangle = triangle + jnp.diag(jnp.where(jnp.abs(pivots) < tiny, 1, 0).astype(old.dtype))
    return solve_triangular(triangle, matmul(basis.T, target[:, 0]))


@partial(jax.jit, static_argnames="dim")
def _measure(
    alignment: Alignment, modes: Float[Array, "n m"], values: Float[Array, " dim"], dim: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the growth of the cost, and the estimated angle."""
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
