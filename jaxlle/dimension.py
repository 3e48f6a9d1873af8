"""How many dimensions the data have: four estimators, from neighbourhoods' variances, distances, and counts."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from . import distances
from ._core.blocks import BLOCK_BYTES, map_rows
from ._core.checks import check_count
from ._core.points import as_points, standardize
from .neighbors.exact import find
from .neighbors.graph import require_distances
from .weights.frames import FromPoints, map_members, members


class Dimension(NamedTuple):
    """An estimate of the intrinsic dimension.

    Attributes:
        value: of the whole.
        local: at every point, shape (n,); None where the estimator has no such thing.
    """

    value: Float[Array, ""]
    local: Float[Array, " n"] | None


def local_pca(x: Any, *, k: int, threshold: Real[ArrayLike, ""] = 0.05, block_bytes: int = BLOCK_BYTES) -> Dimension:
    """Count the long axes of every neighbourhood (Fukunaga and Olsen 1971).

    The local dimension is the number of eigenvalues of the neighbourhood's covariance, the point included, above `threshold`
    times the largest; the value is their mean.

    Args:
        x: points, shape (n, d).
        k: neighbours a point; more than the dimension that may come out.
        threshold: share of the largest eigenvalue.
        block_bytes: memory that one block of points may take.

    Returns:
        Dimension.

    Raises:
        ValueError: for bad points or k.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 1000).points
        >>> float(jaxlle.dimension.local_pca(x, k=12).value.round(1))
        2.0
    """
    x = as_points(x)
    standard = standardize(x)
    neighbors, _, _ = find(x, k, block_bytes=block_bytes, standard=standard)
    local = _long_axes(FromPoints(standard.points), *members(neighbors), threshold, block_bytes)
    return Dimension(local.mean(), local)


def maximum_likelihood(x: Any, *, k: int, block_bytes: int = BLOCK_BYTES) -> Dimension:
    """Estimate the dimension from how fast neighbours' distances grow (Levina and Bickel 2004).

    With T_j the distance of the j-th neighbour, the local estimate is ``1 / mean_{j<k} log(T_k / T_j)``; the value takes the
    mean of the logarithms over all points, as MacKay and Ghahramani corrected it in 2005 (the mean of the local estimates
    is biased upward). Neighbours at distance 0 are left out.

    Args:
        x: points, shape (n, d).
        k: neighbours a point, at least 2.
        block_bytes: memory that one block of points may take.

    Returns:
        Dimension.

    Raises:
        ValueError: for bad points or k.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 1000).points
        >>> float(jaxlle.dimension.maximum_likelihood(x, k=12).value.round(1))
        2.0
    """
    x = as_points(x)
    check_count(k, "k (n_neighbors)", 2, None, "ratios of distances are needed")
    far = require_distances(find(x, k, block_bytes=block_bytes)[0])
    present = (far[:, :-1] > 0) & (far[:, -1:] > 0)
    logs = jnp.where(present, jnp.log(far[:, -1:] / jnp.where(present, far[:, :-1], 1)), 0)
    counts, sums = present.sum(axis=1), logs.sum(axis=1)
    local = jnp.where(sums > 0, counts / jnp.where(sums > 0, sums, 1), 0)
    return Dimension(counts.sum() / sums.sum(), local.astype(far.dtype))


def two_nn(x: Any, *, discard: float = 0.1, block_bytes: int = BLOCK_BYTES) -> Dimension:
    """Estimate the dimension from the two nearest neighbours alone: TwoNN (Facco, d'Errico, Rodriguez and Laio 2017).

    The ratio m of a point's second distance to its first has the distribution function ``F(m) = 1 - m^-d``, whatever the
    density: d is the slope, through the origin, of ``-log(1 - F)`` over ``log m``, without the largest ratios. Points whose
    nearest neighbour is a copy are left out.

    Args:
        x: points, shape (n, d).
        discard: share of the largest ratios to leave out.
        block_bytes: memory that one block of points may take.

    Returns:
        Dimension, without local values.

    Raises:
        ValueError: for bad points, or discard not in [0, 1).

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 2000).points
        >>> 1.8 < float(jaxlle.dimension.two_nn(x).value) < 2.2
        True
    """
    x = as_points(x)
    if not 0 <= discard < 1:
        raise ValueError(f"discard = {discard} is not allowed: it is a share, at least 0 and less than 1.")
    far = require_distances(find(x, 2, block_bytes=block_bytes)[0])
    present = far[:, 0] > 0
    ratio = jnp.sort(jnp.where(present, jnp.log(far[:, 1] / jnp.where(present, far[:, 0], 1)), jnp.inf))
    count = present.sum()
    rank = jnp.arange(len(ratio))
    kept = rank < jnp.floor((1 - discard) * count)
    # F of the i-th of N is i / N, so the last, were it kept, would have no logarithm.
    level = -jnp.log1p(-jnp.where(kept & (rank + 1 < count), (rank + 1) / count, 0).astype(far.dtype))
    ratio = jnp.where(kept & (rank + 1 < count), ratio, 0)
    return Dimension(jnp.sum(ratio * level) / jnp.sum(ratio**2), None)


def correlation_dimension(x: Any, *, near: int = 10, far: int = 20, block_bytes: int = BLOCK_BYTES) -> Dimension:
    """Estimate the dimension from how the number of close pairs grows (Grassberger and Procaccia 1983).

    With C(r) the share of pairs closer than r it is ``log(C(b) / C(a)) / log(b / a)``, between the median distances a and b
    of the near-th and the far-th neighbour. All pairs are counted, in blocks.

    Args:
        x: points, shape (n, d).
        near: number of the neighbour that sets the smaller radius.
        far: number of the neighbour that sets the larger radius.
        block_bytes: memory that one block of points may take.

    Returns:
        Dimension, without local values.

    Raises:
        ValueError: for bad points, or near and far that are not 1 <= near < far <= n - 1.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 1000).points
        >>> 1.7 < float(jaxlle.dimension.correlation_dimension(x).value) < 2.2
        True
    """
    x = as_points(x)
    check_count(near, "near", 1, far - 1, f"less than far = {far}")
    standard = standardize(x)
    reach = require_distances(find(x, far, block_bytes=block_bytes, standard=standard)[0])
    radii = jnp.stack([jnp.median(reach[:, near - 1]), jnp.median(reach[:, far - 1])])
    counts = _pairs_within(standard.points, radii, block_bytes).astype(reach.dtype).sum(axis=0)
    return Dimension(jnp.log(counts[1] / counts[0]) / jnp.log(radii[1] / radii[0]), None)


@partial(jax.jit, static_argnames=("block_bytes",))
def _long_axes(source: FromPoints, ids: Array, keep: Array, threshold: Any, block_bytes: int) -> Float[Array, " n"]:
    rank = min(ids.shape[1], source.points.shape[1])

    def one(ids: Array, keep: Array) -> Array:
        variances = source.patch(ids, keep, rank, "mean").variances
        return jnp.sum(variances > threshold * variances[0]).astype(variances.dtype)

    return map_members(one, ids, keep, source.row_bytes, block_bytes)


@partial(jax.jit, static_argnames=("block_bytes",))
def _pairs_within(points: Float[Array, "n d"], radii: Float[Array, " 2"], block_bytes: int) -> Array:
    """Return how many others lie closer than each radius to every point, shape (n, 2)."""
    n, d = points.shape

    def one(i: Array) -> Array:
        reach = jax.vmap(partial(distances.euclidean, points[i]))(points)
        other = jnp.arange(n) != i
        return jnp.stack([jnp.sum(other & (reach < r), dtype=jnp.int32) for r in radii])

    return map_rows(one, jnp.arange(n), block_bytes, 3 * n * d * points.dtype.itemsize)
