"""Outliers: reliability scores, weighted costs, and weights that are not negative."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .. import _inputs
from .._linear import principal_axes, solve_positive
from .._search import BLOCK_BYTES
from ..alignment import Alignment
from ..embedding import Disconnected, Embedding, Scaling, embed
from ..neighbors import Neighbors, find, knn, known_distances
from ..regularizers import trace_ridge
from ..solvers import Solver
from ..weights import check_indices, check_reg, checked
from ._local import map_members, members
from .standard import check_dim, check_spread, lle_alignment


def reliability(
    x: Any, dim: int, neighbors: Neighbors, *, iterations: int = 30, block_bytes: int = BLOCK_BYTES
) -> Float[Array, " n"]:
    """Score how far every point agrees with the tangent spaces of the neighbourhoods that it is in.

    In every neighbourhood, the point included, a weighted PCA of dim components is fitted by iteratively reweighted least
    squares: members at distance e from the fitted plane get Huber's weight, 1 up to c and c / e beyond, with c half the mean
    distance in the unweighted fit. A point's score is the sum over its neighbourhoods of its weight, normalised to sum to one in
    each (Chang and Yeung 2006, Pattern Recognition 39:1053), divided here by their number, and by the largest score. Public code
    after that paper also takes half the mean as c, but renews it in every step and measures squared distances; held fixed, it
    gives the weights of one convex Huber cost.

    Args:
        x: points, shape (n, d).
        dim: dimensions of the manifold, less than k.
        neighbors: neighbourhoods of all points.
        iterations: of reweighting.
        block_bytes: memory that one block of points may take.

    Returns:
        Scores in [0, 1], shape (n,); low for outliers.

    Raises:
        ValueError: for bad points or neighbourhoods, or dim out of range.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.stack([jnp.arange(20.0), jnp.zeros(20)], axis=1).at[7, 1].set(2)
        >>> int(jaxlle.reliability(x, 1, jaxlle.knn(x, 6)).argmin())
        7
    """
    x = _inputs.as_points(x)
    check_indices(neighbors, x.shape[0], x)
    most = min(neighbors.indices.shape[1] - 1, x.shape[1])
    _inputs.check_count(dim, "dim (n_components)", 1, most, "fewer than the neighbours, and at most the features")
    return _scores(_inputs.standardize(x).points, *members(neighbors), dim, iterations, block_bytes)


def weighted_alignment(alignment: Alignment, scores: Any) -> Alignment:
    """Weigh the points' parts of an alignment's cost: ``sum_i s_i |block_i y_i|^2``.

    With `reliability` scores it is the cost of robust LLE (Chang and Yeung 2006); with a density, or a probability that a point
    occurs, every point counts as often as it is met. The paper on weighted LLE by probability of occurrence (Mekuz, Bauckhage
    and Tsotsos 2005) was not available.

    Args:
        alignment: of any variant.
        scores: s_i >= 0, shape (n,).

    Returns:
        Alignment with every block times the root of its score.

    Raises:
        ValueError: for scores that are negative, not finite or not one a point.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 3))
        >>> jaxlle.weighted_alignment(jaxlle.lle_alignment(x, k=8), jnp.full(60, 4.0)).blocks[0, 0, 0].round(3)
        Array(2., dtype=float32)
    """
    scores = jnp.asarray(scores, alignment.blocks.dtype)
    if scores.shape != alignment.indices.shape[:1]:
        raise ValueError(
            f"scores has shape {scores.shape}, but there are {alignment.indices.shape[0]} points: one each."
        )
    if not _inputs.is_traced(scores) and not bool(((scores >= 0) & jnp.isfinite(scores)).all()):
        raise ValueError("scores must be finite and not negative: they weigh squares.")
    positive = scores > 0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, scores, 1)), 0)
    return Alignment(alignment.indices, alignment.blocks * root[:, None, None])


def robust_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    threshold: float | int = 0.5,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    scaling: Scaling = "unit",
    disconnected: Disconnected = "warn",
    key: Array | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Embedding:
    """Embed points by robust LLE: outliers are nobody's neighbours, and count less in the cost.

    Reliability scores s_i come from robust local PCA; every point takes its neighbours among those with s_i above the
    threshold, and the embedding minimises ``sum_i s_i |y_i - sum_j w_ij y_j|^2`` (Chang and Yeung 2006, Pattern
    Recognition 39:1053). Public code after that paper has two forms: a share of the least reliable points is left out,
    and placed afterwards; or the k most reliable of the k + r nearest points are the neighbours, and costs are weighed. Here
    a threshold takes the place of r.

    Args:
        x: points, shape (n, d).
        dim: dimensions of the manifold and of the embedding.
        k: neighbours a point, more than dim.
        threshold: a point is reliable above this share of the median score.
        reg: strength of the regularizer of the weights.
        solver: one of `jaxlle.solvers`, or "auto".
        scaling: "unit" columns, or "covariance" for (1/n) Y^T Y = I.
        disconnected: "warn", "error" or "largest": see `embed`.
        key: seeds the solver's start; None: key(0).
        block_bytes: memory that one block of points may take.

    Returns:
        Embedding of all points, outliers included. Outside jit only: the reliable points are picked by number.

    Raises:
        ValueError: as `lle`; also if fewer than k + 1 points are reliable.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 300).points
        >>> jaxlle.robust_lle(x, 2, k=12).points.shape
        (300, 2)
    """
    if _inputs.is_traced(_inputs.fixed(x)):
        raise TypeError("robust_lle picks points by number, which jit cannot: call it outside jit.")
    x = _inputs.as_points(x)
    dim = check_dim(dim, k, x.shape, "euclidean")
    standard = _inputs.standardize(x)
    check_spread(standard.points)
    near, _, _ = find(x, k, standard=standard)
    scores = reliability(x, dim, near, block_bytes=block_bytes)
    fixed = lax.stop_gradient(scores)
    kept = jnp.flatnonzero(fixed > threshold * jnp.median(fixed))
    if len(kept) <= k:
        raise ValueError(
            f"Only {len(kept)} points are reliable at threshold = {threshold}, but k = {k} neighbours are needed: lower one."
        )
    neighbors = _among(x, kept, k, block_bytes)
    alignment = lle_alignment(x, k=k, reg=reg, neighbors=neighbors, block_bytes=block_bytes)
    weighted = weighted_alignment(alignment, scores)
    return embed(weighted, dim, solver=solver, scaling=scaling, disconnected=disconnected, key=key, points=x)


def simplex_weights(
    x: Any,
    neighbors: Neighbors,
    *,
    reg: Real[ArrayLike, ""] = 1e-3,
    iterations: int = 200,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Write every point as the best convex combination of its neighbours: weights that sum to one and are not negative.

    Minimises ``w^T (G + reg tr(G) I) w`` over the simplex (Saul and Roweis 2003, JMLR 4:119, discuss such weights:
    reconstructions from within the convex hull of the neighbours are stable under outliers). Projected gradients
    with momentum find which weights are zero; the others solve their linear system exactly, and derivatives are those of
    that system.

    Args:
        x: points, shape (n, d).
        neighbors: neighbourhoods of the points; a mask is honoured.
        reg: strength of the ridge, relative to the trace of the local Gram matrix.
        iterations: of the projected gradient.
        block_bytes: memory that one block of points may take.

    Returns:
        Weights of shape (n, k) in [0, 1] whose rows sum to 1.

    Raises:
        ValueError: as `barycentric_weights`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.simplex_weights(x, jaxlle.knn(x, 2), reg=1e-6).round(3)[:2].tolist()
        [[1.0, 0.0], [0.667, 0.333]]
    """
    x = _inputs.as_points(x)
    check_reg(reg, trace_ridge, neighbors.indices.shape[1], x.shape[1])
    check_indices(neighbors, x.shape[0], x)
    points = _inputs.standardize(x).points
    ids, keep = members(neighbors)
    return checked(_simplex(points, ids, keep, reg, iterations, block_bytes), reg)


def _among(x: Any, kept: Array, k: int, block_bytes: int) -> Neighbors:
    """Return the k nearest of every point among some, itself left out by number."""
    found = knn(x[kept], k + 1, query=x, block_bytes=block_bytes)
    ids, n = kept[found.indices].astype(jnp.int32), x.shape[0]
    other = ids != jnp.arange(n, dtype=ids.dtype)[:, None]
    order = jnp.argsort(~other, axis=1, stable=True)[:, :k]  # the point itself, if it is there, goes last
    return Neighbors(
        jnp.take_along_axis(ids, order, axis=1), jnp.take_along_axis(known_distances(found), order, axis=1)
    )


@partial(jax.jit, static_argnames=("dim", "iterations", "block_bytes"))
def _scores(
    points: Float[Array, "n d"],
    ids: Int[Array, "n m"],
    keep: Bool[Array, "n m"],
    dim: int,
    iterations: int,
    block_bytes: int,
) -> Float[Array, " n"]:
    def one(ids: Array, keep: Array) -> Array:
        around = points[ids] - points[ids[0]]
        extent = jnp.max(jnp.abs(around))
        return _huber_weights(around / jnp.where(extent > 0, extent, 1), keep.astype(points.dtype), dim, iterations)

    shares = map_members(one, ids, keep, 3 * points.shape[1] * points.dtype.itemsize, block_bytes)
    n = points.shape[0]
    total = jnp.zeros(n, points.dtype).at[ids].add(shares)
    score = total / jnp.zeros(n, points.dtype).at[ids].add(keep.astype(points.dtype))
    return score / score.max()


def _huber_weights(
    around: Float[Array, "m d"], keep: Float[Array, " m"], dim: int, iterations: int
) -> Float[Array, " m"]:
    """Return the normalised weights of the members of one neighbourhood."""

    def distances_from_plane(weights: Array) -> Array:
        share = weights / weights.sum()
        centered = around - _product(share, around)
        scaled = centered * jnp.sqrt(share)[:, None]
        # The smaller of the two Gram matrices; either gives the leading axes.
        if scaled.shape[1] <= scaled.shape[0]:
            axes = principal_axes(_product(scaled.T, scaled))[1][:, :dim]
        else:
            values, left = principal_axes(_product(scaled, scaled.T))
            axes = _product(scaled.T, left[:, :dim]) / jnp.sqrt(jnp.maximum(values[:dim], jnp.finfo(values.dtype).tiny))
        inside = _product(_product(centered, axes), axes.T)
        return jnp.sqrt(jnp.sum((centered - inside) ** 2, axis=1))

    limit = jnp.sum(distances_from_plane(keep) * keep) / keep.sum() / 2

    def reweigh(_: Any, weights: Array) -> Array:
        far = distances_from_plane(weights)
        return keep * jnp.where(far > limit, limit / jnp.where(far > limit, far, 1), 1)

    weights = lax.fori_loop(0, iterations, reweigh, keep)
    return weights / weights.sum()


@partial(jax.jit, static_argnames=("iterations", "block_bytes"))
def _simplex(
    points: Float[Array, "n d"], ids: Array, keep: Array, reg: Any, iterations: int, block_bytes: int
) -> Float[Array, "n k"]:
    def one(ids: Array, keep: Array) -> Array:
        spokes = points[ids[1:]] - points[ids[0]]
        extent = lax.stop_gradient(jnp.max(jnp.abs(spokes)))
        spokes = spokes / jnp.where(extent > 0, extent, 1)
        valid = keep[1:]
        gram = jnp.where(valid[:, None] & valid[None, :], _product(spokes, spokes.T), 0)
        trace = jnp.trace(gram)
        system = gram + reg * jnp.where(trace > 0, trace, 1) * jnp.eye(len(gram), dtype=gram.dtype)
        start = _projected_gradient(lax.stop_gradient(system), valid, iterations)
        return _on_support(system, start > 0)

    return map_members(one, ids, keep, 3 * points.shape[1] * points.dtype.itemsize, block_bytes)


def _projected_gradient(system: Float[Array, "k k"], valid: Bool[Array, " k"], iterations: int) -> Float[Array, " k"]:
    step = 1 / jnp.max(jnp.abs(system).sum(axis=1))

    def advance(count: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        old, ahead = state
        new = _onto_simplex(ahead - step * _product(system, ahead), valid)
        return new, new + count / (count + 3) * (new - old)

    start = valid / jnp.maximum(valid.sum(), 1).astype(system.dtype)
    return lax.fori_loop(0, iterations, advance, (start, start))[0]


def _onto_simplex(w: Float[Array, " k"], valid: Bool[Array, " k"]) -> Float[Array, " k"]:
    """Return the nearest point with valid entries at least 0 that sum to 1."""
    falling = -jnp.sort(-jnp.where(valid, w, -jnp.inf))
    excess = (jnp.cumsum(jnp.where(jnp.isfinite(falling), falling, 0)) - 1) / jnp.arange(1, len(w) + 1)
    count = jnp.maximum((falling > excess).sum(), 1)
    return jnp.where(valid, jnp.maximum(w - excess[count - 1], 0), 0)


def _on_support(system: Float[Array, "k k"], support: Bool[Array, " k"]) -> Float[Array, " k"]:
    """Solve exactly on the support; entries that turn out negative leave it, a few at a time."""

    def solve(support: Array) -> Array:
        both = support[:, None] & support[None, :]
        solution = solve_positive(jnp.where(both, system, jnp.eye(len(system))), support.astype(system.dtype))
        return jnp.where(support, solution, 0) / jnp.where(support, solution, 0).sum()

    fixed = lax.stop_gradient(system)

    def shrink(_: Any, support: Array) -> Array:
        both = support[:, None] & support[None, :]
        solution = solve_positive(jnp.where(both, fixed, jnp.eye(len(fixed))), support.astype(fixed.dtype))
        return support & (solution > 0)

    return solve(lax.fori_loop(0, 4, shrink, support))


def _product(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)
