"""LLE in the presence of outliers: reliability scores and a weighted cost."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.arrays import check_number, read_floats
from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes, check_count, check_dim, is_traced, without_derivative
from .._core.linear import matmul
from .._core.points import Points, check_spread, prepare_points
from .._core.spectral import inverse_root, principal_axes
from ..alignment import Alignment
from ..alignment.operator import prepare_alignment
from ..distances import square_root
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors, knn
from ..neighbors.graph import prepare_graph, require_distances
from ..solvers import SolverLike
from ..weights.frames import map_members, members
from .standard import lle_alignment


def reliability(
    x: Any, dim: int, neighbors: Neighbors, *, iterations: int = 30, block_bytes: int = BLOCK_BYTES
) -> Float[Array, " n"]:
    """Score how well every point agrees with the tangent spaces of the neighborhoods that contain it.

    In every neighborhood, the point included, a weighted PCA with dim components is fitted by iteratively reweighted least
    squares. A member at distance e from the fitted plane has Huber's weight: 1 for e <= c and c / e beyond, where c is half the
    mean distance in the unweighted fit. The score of a point is the sum of its weights over its neighborhoods, with weights
    normalized to sum to one in each (Chang and Yeung 2006, Pattern Recognition 39:1053), divided here by the number of these
    neighborhoods and by the largest score. Public code after that paper also takes half the mean distance as c, but updates it
    in every step and measures squared distances; with c fixed, the weights are those of one convex Huber cost.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: dimensions of the manifold, less than k and at most d.
        neighbors: neighborhoods of all points; a mask is respected.
        iterations: number of reweighting steps.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Scores in [0, 1], shape (n,); low for outliers.

    Raises:
        ValueError: for invalid points or neighborhoods, or dim out of range.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.stack([jnp.arange(20.0), jnp.zeros(20)], axis=1).at[7, 1].set(2)
        >>> int(jaxlle.variants.reliability(x, 1, jaxlle.knn(x, 6)).argmin())
        7
    """
    points = prepare_points(x)
    n, d = points.shape
    neighbors, block_bytes = prepare_graph(neighbors, n), check_bytes(block_bytes)
    iterations = check_count(iterations, "iterations", 1, None, "number of reweighting steps")
    most = min(neighbors.indices.shape[1] - 1, d)
    check_count(dim, "dim (n_components)", 1, most, "less than the number of neighbors, and at most that of features")
    return _scores(points.coordinates, neighbors, dim, iterations, block_bytes)


def weighted_alignment(alignment: Alignment, scores: Any) -> Alignment:
    """Weight the terms of the cost of an alignment: ``sum_i s_i |block_i y_i|^2``.

    With the scores of `reliability` this is the cost of robust LLE (Chang and Yeung 2006). With a density, or the probability
    that a point occurs, every point contributes in proportion to its frequency; the paper on LLE weighted by the probability of
    occurrence (Mekuz, Bauckhage and Tsotsos 2005) was not available.

    Args:
        alignment: of any variant.
        scores: s_i >= 0, shape (n,).

    Returns:
        Alignment with every block multiplied by the square root of its score.

    Raises:
        ValueError: for scores that are negative, not finite, or not one per point.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 3))
        >>> jaxlle.variants.weighted_alignment(jaxlle.lle_alignment(x, k=8), jnp.full(60, 4.0)).blocks[0, 0, 0].round(3)
        Array(2., dtype=float32)
    """
    alignment = prepare_alignment(alignment)
    scores = read_floats(scores, "scores").astype(alignment.blocks.dtype)
    if scores.shape != alignment.indices.shape[:1]:
        raise ValueError(
            f"scores has shape {scores.shape}, but there are {alignment.indices.shape[0]} points: give one score per point."
        )
    if not is_traced(scores) and not bool((scores >= 0).all()):
        raise ValueError("scores must be finite and nonnegative, as they are weights of squared errors.")
    return Alignment(alignment.indices, alignment.blocks * square_root(scores)[:, None, None])


def robust_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    threshold: float | int = 0.5,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by robust LLE, in which outliers are excluded as neighbors and have less weight in the cost.

    The reliability scores s_i come from robust local PCA (`reliability`). Every point takes its neighbors among the points with
    s_i above the threshold, and the embedding minimizes ``sum_i s_i |y_i - sum_j w_ij y_j|^2`` (Chang and Yeung 2006, Pattern
    Recognition 39:1053). Public code after that paper has two forms: a fraction of the least reliable points is omitted and
    embedded afterwards; or the k most reliable of the k + r nearest points are the neighbors, and the cost is weighted. Here a
    threshold replaces r.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: dimensions of the manifold and of the embedding, at most d.
        k: neighbors per point, more than dim.
        threshold: a point is reliable if its score exceeds this fraction of the median score.
        reg: strength of the ridge, relative to the trace of the local Gram matrix.
        solver: an object of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`. `dedupe` is not available.

    Returns:
        Embedding of all points, including the outliers.

    Raises:
        ValueError: as `lle`; also if fewer than k + 1 points are reliable.
        TypeError: inside jit, where the number of reliable points is not known.

    Warns:
        JaxlleWarning: as `embed`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 300).points.at[:15].add(2.0)  # outliers
        >>> jaxlle.variants.robust_lle(x, 2, k=12).points.shape
        (300, 2)
    """
    if is_traced(without_derivative(x)):
        raise TypeError("robust_lle selects a number of points that depends on the data: call it outside jit.")
    points = prepare_points(x)
    dim = check_dim(dim, k, points.shape, points.metric)
    check_number(threshold, "threshold", "at least 0", lambda value: value >= 0)
    check_spread(points)
    near = knn(points, k, block_bytes=options.block_bytes)
    scores = reliability(points, dim, near, block_bytes=options.block_bytes)
    fixed = lax.stop_gradient(scores)
    reliable = jnp.flatnonzero(fixed > threshold * jnp.median(fixed))
    if len(reliable) <= k:
        raise ValueError(
            f"Only {len(reliable)} points are reliable at threshold = {threshold}, but k = {k} neighbors are needed: "
            f"lower threshold or k."
        )
    neighbors = _nearest_among(points, reliable, k, options.block_bytes)
    alignment = lle_alignment(points, k=k, reg=reg, neighbors=neighbors, block_bytes=options.block_bytes)
    return embed(weighted_alignment(alignment, scores), dim, solver=solver, options=options, points=points)


def _nearest_among(points: Points, reliable: Array, k: int, block_bytes: int) -> Neighbors:
    """Return the k nearest reliable points of every point, excluding the point itself by its index."""
    x = points.values
    found = knn(x[reliable], k + 1, query=x, metric=points.metric, block_bytes=block_bytes)
    ids, n = reliable[found.indices].astype(jnp.int32), x.shape[0]
    other = ids != jnp.arange(n, dtype=ids.dtype)[:, None]
    order = jnp.argsort(~other, axis=1, stable=True)[:, :k]  # the point itself, if it was found, is moved to the end
    return Neighbors(
        jnp.take_along_axis(ids, order, axis=1), jnp.take_along_axis(require_distances(found), order, axis=1)
    )


@partial(jax.jit, static_argnames=("dim", "iterations", "block_bytes"))
def _scores(
    points: Float[Array, "n d"], neighbors: Neighbors, dim: int, iterations: int, block_bytes: int
) -> Float[Array, " n"]:
    ids, keep = members(neighbors)

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
    """Return the normalized weights of the members of one neighborhood."""

    def distances_from_plane(weights: Array) -> Array:
        share = weights / weights.sum()
        centered = around - matmul(share, around)
        scaled = centered * square_root(share)[:, None]
        # The smaller of the two Gram matrices; either gives the leading axes.
        if scaled.shape[1] <= scaled.shape[0]:
            axes = principal_axes(matmul(scaled.T, scaled), dim)[1][:, :dim]
        else:
            left = principal_axes(matmul(scaled, scaled.T), dim)[1][:, :dim]
            axes = matmul(scaled.T, left)
            axes = matmul(axes, inverse_root(matmul(axes.T, axes)))
        inside = matmul(matmul(centered, axes), axes.T)
        return square_root(jnp.sum((centered - inside) ** 2, axis=1))

    limit = jnp.sum(distances_from_plane(keep) * keep) / keep.sum() / 2

    def reweight(_: Any, weights: Array) -> Array:
        far = distances_from_plane(weights)
        return keep * jnp.where(far > limit, limit / jnp.where(far > limit, far, 1), 1)

    weights = lax.fori_loop(0, iterations, reweight, keep)
    return weights / weights.sum()
