r"""Intrinsic dimension: four estimators, from the variances within neighborhoods, from distances and from counts of pairs.

| function | estimates the dimension from |
| --- | --- |
| `local_pca` | the number of large eigenvalues of each neighborhood's covariance (Fukunaga and Olsen 1971) |
| `maximum_likelihood` | the growth of the distances to the neighbors (Levina and Bickel 2004) |
| `two_nn` | the ratio of the distances to the second and the first neighbor (Facco et al. 2017) |
| `correlation_dimension` | the growth of the number of close pairs (Grassberger and Procaccia 1983) |
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from . import distances
from ._core.arrays import check_number
from ._core.blocks import BLOCK_BYTES, map_rows
from ._core.calls import explain_calls
from ._core.checks import check_count
from ._core.points import Points, check_spread, prepare_points
from .neighbors import Neighbors, knn
from .neighbors.graph import require_distances
from .weights.frames import FromPoints, map_members, members

__all__ = ["Dimension", "correlation_dimension", "local_pca", "maximum_likelihood", "two_nn"]


class Dimension(NamedTuple):
    """An estimate of the intrinsic dimension.

    Attributes:
        value: the estimate for the whole data set, scalar.
        local: the estimate at every point, shape (n,); None for estimators without local values.
    """

    value: Float[Array, ""]
    local: Float[Array, " n"] | None


def local_pca(x: Any, *, k: int, threshold: Real[ArrayLike, ""] = 0.05, block_bytes: int = BLOCK_BYTES) -> Dimension:
    """Estimate the dimension by the number of principal components of every neighborhood.

    The local dimension is the number of eigenvalues of the covariance of the neighborhood, the point included, that exceed
    `threshold` times the largest; the value is their mean (Fukunaga and Olsen 1971, IEEE Transactions on Computers C-20:176).

    Args:
        x: points, shape (n, d), or a `Points` value.
        k: neighbors per point; more than the dimension to be expected, because k neighbors cannot show more than k dimensions.
        threshold: fraction of the largest eigenvalue, in [0, 1).
        block_bytes: memory that one block of points may take.

    Returns:
        Dimension, with local values.

    Raises:
        ValueError: if x is not an array of finite numbers, all points are equal, k is out of range, or threshold is not a number
            in [0, 1).

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 1000).points
        >>> float(jaxlle.dimension.local_pca(x, k=12).value.round(1))
        2.0
    """
    allowed = "a fraction of the largest eigenvalue, at least 0 and less than 1, such as 0.05"
    check_number(threshold, "threshold", allowed, lambda value: 0 <= value < 1)
    points = _prepare(x)
    neighbors = knn(points, k, block_bytes=block_bytes)
    local = _count_components(FromPoints(points.coordinates), *members(neighbors), threshold, block_bytes)
    return Dimension(local.mean(), local)


def maximum_likelihood(x: Any, *, k: int, block_bytes: int = BLOCK_BYTES) -> Dimension:
    """Estimate the dimension by maximum likelihood from the growth of the distances to the neighbors.

    With T_j the distance to the j-th neighbor, the local estimate is ``1 / mean_{j<k} log(T_k / T_j)`` (Levina and Bickel 2004,
    NeurIPS). The value is computed from the mean of the logarithms over all points, as corrected by MacKay and Ghahramani
    (2005), because the mean of the local estimates is biased upward. Neighbors at distance 0 are left out.

    Args:
        x: points, shape (n, d), or a `Points` value.
        k: neighbors per point, at least 2.
        block_bytes: memory that one block of points may take.

    Returns:
        Dimension, with local values; 0 at points whose neighbors are all at one distance.

    Raises:
        ValueError: if x is not an array of finite numbers, all points are equal, or k is out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 1000).points
        >>> float(jaxlle.dimension.maximum_likelihood(x, k=12).value.round(1))
        2.0
    """
    check_count(k, "k (n_neighbors)", 2, None, "ratios of distances are needed")
    local, value = local_likelihood(knn(_prepare(x), k, block_bytes=block_bytes))
    return Dimension(value, local)


def local_likelihood(neighbors: Neighbors) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Return the estimates of `maximum_likelihood` at every point and for the whole data set, from at least two neighbors."""
    dist = require_distances(neighbors)
    present = dist > 0 if neighbors.mask is None else (dist > 0) & neighbors.mask
    far = jnp.max(jnp.where(present, dist, 0), axis=1, keepdims=True)
    logs = jnp.where(present, jnp.log(far / jnp.where(present, dist, 1)), 0)  # 0 for the farthest neighbor
    counts, sums = jnp.maximum(present.sum(axis=1) - 1, 0), logs.sum(axis=1)
    local = jnp.where(sums > 0, counts / jnp.where(sums > 0, sums, 1), 0)
    return local.astype(dist.dtype), counts.sum() / sums.sum()


def two_nn(x: Any, *, discard: float = 0.1, block_bytes: int = BLOCK_BYTES) -> Dimension:
    """Estimate the dimension from the first and the second neighbor of every point (TwoNN).

    The ratio m of the distances to the second and to the first neighbor has the distribution function ``F(m) = 1 - m^-d``,
    whatever the density. The estimate of d is the slope of the line through the origin that fits ``-log(1 - F)`` over ``log m``,
    without the largest ratios (Facco, d'Errico, Rodriguez and Laio 2017, Scientific Reports 7:12140). Points that have a
    duplicate are left out.

    Args:
        x: points, shape (n, d), or a `Points` value; n > 2.
        discard: fraction of the largest ratios to leave out, in [0, 1).
        block_bytes: memory that one block of points may take.

    Returns:
        Dimension, without local values.

    Raises:
        ValueError: if x is not an array of finite numbers, all points are equal or fewer than 3, or discard is not in [0, 1).

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 2000).points
        >>> 1.8 < float(jaxlle.dimension.two_nn(x).value) < 2.2
        True
    """
    check_number(discard, "discard", "a fraction, at least 0 and less than 1", lambda value: 0 <= value < 1)
    dist = require_distances(knn(_prepare(x), 2, block_bytes=block_bytes))
    present = dist[:, 0] > 0
    ratio = jnp.sort(jnp.where(present, jnp.log(dist[:, 1] / jnp.where(present, dist[:, 0], 1)), jnp.inf))
    count = present.sum()
    rank = jnp.arange(len(ratio))
    kept = rank < jnp.floor((1 - discard) * count)
    # The empirical F of the i-th of N ratios is i / N, so that log(1 - F) is infinite for the last one, if it was kept.
    level = -jnp.log1p(-jnp.where(kept & (rank + 1 < count), (rank + 1) / count, 0).astype(dist.dtype))
    ratio = jnp.where(kept & (rank + 1 < count), ratio, 0)
    return Dimension(jnp.sum(ratio * level) / jnp.sum(ratio**2), None)


def correlation_dimension(x: Any, *, near: int = 10, far: int = 20, block_bytes: int = BLOCK_BYTES) -> Dimension:
    """Estimate the correlation dimension from the growth of the number of close pairs.

    With C(r) the fraction of pairs closer than r, the estimate is ``log(C(b) / C(a)) / log(b / a)``, where a and b are the
    median distances to the neighbors number `near` and `far` (Grassberger and Procaccia 1983, Physica D 9:189). All pairs are
    counted, in blocks.

    Args:
        x: points, shape (n, d), or a `Points` value with the Euclidean metric.
        near: rank of the neighbor whose median distance is the smaller radius, from 1.
        far: rank of the neighbor whose median distance is the larger radius.
        block_bytes: memory that one block of points may take.

    Returns:
        Dimension, without local values. Time n^2.

    Raises:
        ValueError: if x is not an array of finite numbers, all points are equal, or ``1 <= near < far <= n - 1`` does not hold.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 1000).points
        >>> 1.7 < float(jaxlle.dimension.correlation_dimension(x).value) < 2.2
        True
    """
    points = _prepare(x)
    far = check_count(far, "far", 2, points.shape[0] - 1, "rank of a neighbor among the other points")
    check_count(near, "near", 1, far - 1, f"less than far = {far}")
    dist = require_distances(knn(points, far, block_bytes=block_bytes))
    radii = jnp.stack([jnp.median(dist[:, near - 1]), jnp.median(dist[:, far - 1])])
    counts = _pairs_within(points.coordinates, radii, block_bytes).astype(dist.dtype).sum(axis=0)
    return Dimension(jnp.log(counts[1] / counts[0]) / jnp.log(radii[1] / radii[0]), None)


def _prepare(x: Any) -> Points:
    points = prepare_points(x)
    check_spread(points)
    return points


@partial(jax.jit, static_argnames=("block_bytes",))
def _count_components(
    source: FromPoints, ids: Array, keep: Array, threshold: Any, block_bytes: int
) -> Float[Array, " n"]:
    """Return the number of principal components of every neighborhood above the threshold."""
    rank = min(ids.shape[1], source.points.shape[1])

    def one(ids: Array, keep: Array) -> Array:
        variances = source.patch(ids, keep, rank, "mean").variances
        return jnp.sum(variances > threshold * variances[0]).astype(variances.dtype)

    return map_members(one, ids, keep, source.row_bytes, block_bytes)


@partial(jax.jit, static_argnames=("block_bytes",))
def _pairs_within(points: Float[Array, "n d"], radii: Float[Array, " 2"], block_bytes: int) -> Array:
    """Return the number of other points closer to every point than each radius, shape (n, 2)."""
    n, d = points.shape

    def one(i: Array) -> Array:
        dist = jax.vmap(partial(distances.euclidean, points[i]))(points)
        other = jnp.arange(n) != i
        return jnp.stack([jnp.sum(other & (dist < r), dtype=jnp.int32) for r in radii])

    return map_rows(one, jnp.arange(n), block_bytes, 3 * n * d * points.dtype.itemsize)


explain_calls(__name__)
