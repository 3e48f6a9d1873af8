"""Preservation of distances by an embedding: between all pairs, within neighborhoods, and to new neighbors."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .. import distances
from .._core.blocks import BLOCK_BYTES, Budget, cache_budget, map_blocks, map_rows
from .._core.checks import check_bytes, check_count
from .._core.linear import matmul
from .._core.points import Points, check_spread
from ..neighbors import knn
from ._inputs import prepare_pair

Criterion = Literal["residual_variance", "procrustes", "preservation"]
Scale = Literal["largest", "fitted"]
CRITERIA: tuple[Criterion, ...] = ("residual_variance", "procrustes", "preservation")


class Neighborhoods(NamedTuple):
    """Neighbors of every point in the data and in its embeddings.

    Attributes:
        data: indices of the neighbors in the data, shape (n, k).
        embeddings: indices of the neighbors in each of several embeddings, shape (b, n, k).
        mask: which of the k count, shape (k,).
    """

    data: Int[Array, "n k"]
    embeddings: Int[Array, "b n k"]
    mask: Bool[Array, " k"]


def residual_variance(x: Any, y: Any, *, block_bytes: int = BLOCK_BYTES) -> Float[Array, ""]:
    """Measure the variance of all distances in the data that those in the embedding do not explain linearly, in [0, 1].

    ``1 - r^2``, where r is the correlation of ``|x_i - x_j|`` and ``|y_i - y_j|`` over all pairs (Kouropteva, Okun and
    Pietikainen 2002). Distances are straight-line distances, so it suits data that are only gently curved: on a rolled manifold,
    points on neighboring layers are near in the data and far apart in a correct embedding.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        block_bytes: memory that one block of points may take.

    Returns:
        Scalar; 0 is best. 1 if all distances in x or in y are equal. Time n^2, without an n x n array.

    Raises:
        ValueError: if x or y is not an array of finite numbers, they differ in their numbers of rows, or n < 3.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.residual_variance(x, 2 * x)) < 1e-5
        True
    """
    data, embedding = prepare_pair(x, y)
    return _measure_one("residual_variance", data, embedding, None, block_bytes)


def local_procrustes(x: Any, y: Any, *, k: int, block_bytes: int = BLOCK_BYTES) -> Float[Array, ""]:
    """Measure the variance of each neighborhood in the data that no similarity of the embedded one explains, in [0, 1].

    The mean over the points of ``1 - (sum of singular values of X_i^T Y_i)^2 / (|X_i|^2 |Y_i|^2)``, where the rows of X_i are the
    k neighbors of i in the data, those of Y_i their positions in the embedding, and both are centered: local Procrustes analysis
    (Goldberg and Ritov 2009, Machine Learning 77:1), relative to the size of each neighborhood and with a scale for each.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: number of neighbors, at least 2.
        block_bytes: memory that one block of points may take.

    Returns:
        Scalar; 0 is best.

    Raises:
        ValueError: as `residual_variance`, and if k is out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.local_procrustes(x, 2 * x, k=8)) < 1e-5
        True
    """
    data, embedding = prepare_pair(x, y)
    check_count(k, "k (n_neighbors)", 2, None, "a single neighbor has no shape to compare")
    return _measure_one("procrustes", data, embedding, k, block_bytes)


def preservation_error(
    x: Any, y: Any, *, k: int, scale: Scale = "largest", block_bytes: int = BLOCK_BYTES
) -> Float[Array, ""]:
    """Measure the changes of the distances to the neighbors in the data, and to the false neighbors in the embedding.

    ``1 / (2n) sum_i (mean of e_ij over N_i + mean of e_ij over F_i)`` for ``e_ij = (|x_i - x_j| / a - |y_i - y_j| / b)^2``, where
    N_i are the k neighbors of i in the data and F_i those of its k neighbors in the embedding that are not in N_i. Stretching
    increases the first term, folding the second. This is the preservation neighborhood error of Alvarez-Meza et al. (2011,
    Pattern Recognition Letters 32:2171), from memory, where a and b are the largest distances between any two points of the data
    and of the embedding, so that every distance is at most 1.

    The largest distance of an embedding can be that of one outlying point. With scale="fitted", a form of this library which
    `choose` uses, b / a instead minimizes the first term, and the result is relative to the mean of ``|x_i - x_j|^2`` over the
    neighbors in the data.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: number of neighbors.
        scale: "largest" or "fitted".
        block_bytes: memory that one block of points may take.

    Returns:
        Scalar; 0 is best.

    Raises:
        ValueError: if x or y is not an array of finite numbers, they differ in their numbers of rows, n < 2, k is out of range,
            or scale is unknown.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> folded = jax.numpy.abs(x)
        >>> errors = [float(jaxlle.metrics.preservation_error(x, y, k=8)) for y in (2 * x, folded)]
        >>> errors[0] < 1e-5 < errors[1]
        True
    """
    data, embedding = prepare_pair(x, y, 2)
    check_spread(data)
    if scale not in ("largest", "fitted"):
        raise ValueError(f"scale = {scale!r} is not known: use 'largest' or 'fitted'.")
    if scale == "fitted":
        return _measure_one("preservation", data, embedding, k, block_bytes)
    near = _neighborhoods(data, embedding, k, check_bytes(block_bytes))
    return _scaled_preservation(data.coordinates, embedding.coordinates, near, block_bytes)


def _measure_one(criterion: Criterion, x: Points, y: Points, k: int | None, block_bytes: int) -> Float[Array, ""]:
    block_bytes = check_bytes(block_bytes)
    neighborhoods = None if k is None else _neighborhoods(x, y, k, block_bytes)
    return measure(x.coordinates, y.coordinates[None], neighborhoods, (criterion,), block_bytes)[0, 0]


def _neighborhoods(x: Points, y: Points, k: int, block_bytes: int) -> Neighborhoods:
    data, embedding = (knn(points, k, block_bytes=block_bytes).indices for points in (x, y))
    return Neighborhoods(data, embedding[None], jnp.ones(k, bool))


@partial(jax.jit, static_argnames=("criteria", "block_bytes"))
def measure(
    x: Float[Array, "n d"],
    ys: Float[Array, "b n c"],
    neighborhoods: Neighborhoods | None,
    criteria: tuple[Criterion, ...],
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "m b"]:
    """Measure several embeddings of the same standardized points.

    Args:
        x: the points, shape (n, d).
        ys: their embeddings, shape (b, n, c).
        neighborhoods: their neighborhoods; None if no criterion needs them.
        criteria: what to measure.
        block_bytes: memory that one block of points may take.

    Returns:
        The measures, shape (m, b): one row per criterion.
    """
    budget = cache_budget(block_bytes)
    rows = []
    for criterion in criteria:
        if criterion == "residual_variance":
            rows.append(_residual_variances(x, ys, budget))
        elif criterion == "procrustes" and neighborhoods is not None:
            rows.append(lax.map(lambda y: _local_procrustes(x, y, neighborhoods, budget), ys))
        elif neighborhoods is not None:
            each = (ys, neighborhoods.embeddings)
            rows.append(lax.map(lambda pair: _preservation(x, pair[0], pair[1], neighborhoods, budget), each))
    return jnp.stack(rows)


def _residual_variances(x: Array, ys: Array, budget: Budget) -> Float[Array, " b"]:
    n = x.shape[0]
    x, ys = x - x.mean(axis=0), ys - ys.mean(axis=1, keepdims=True)
    average = jnp.full(n, 1 / (n - 1), x.dtype)  # over the others: the distance of a point from itself adds 0

    def moments(rows: Int[Array, " r"]) -> Float[Array, "r b 3"]:
        own = rows[:, None] == jnp.arange(n)
        a = _distances(x[rows], x, own)
        mean = matmul(a, average)  # a product with a vector: XLA's reductions of rows are far slower on a CPU

        def one(y: Array) -> Array:
            b = _distances(y[rows], y, own)
            return jnp.stack([mean, matmul(b, average), matmul(a * b, average)], axis=1)

        return jnp.moveaxis(lax.map(one, ys), 0, 1)

    a, b, ab = map_blocks(moments, jnp.arange(n), budget, 4 * n * x.dtype.itemsize).mean(axis=0).T
    aa, bb = 2 * jnp.sum(x**2) / (n - 1), 2 * jnp.sum(ys**2, axis=(1, 2)) / (n - 1)
    spread = (aa - a**2) * (bb - b**2)
    explained = (ab - a * b) ** 2 / jnp.where(spread > 0, spread, 1)
    return jnp.where(spread > 0, jnp.clip(1 - explained, 0, 1), 1)  # equal distances explain nothing


def _distances(a: Float[Array, "b d"], points: Float[Array, "n d"], own: Bool[Array, "b n"]) -> Float[Array, "b n"]:
    """Return distances by a product, whose rounding does not affect a correlation over all pairs; 0 for a point and itself."""
    square = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(points**2, axis=1)[None, :] - 2 * matmul(a, points.T)
    present = (square > 0) & ~own
    return jnp.where(present, jnp.sqrt(jnp.where(present, square, 1)), 0)


def _local_procrustes(x: Array, y: Array, neighborhoods: Neighborhoods, budget: Budget) -> Float[Array, ""]:
    row = 4 * neighborhoods.data.shape[1] * (x.shape[1] + y.shape[1]) * x.dtype.itemsize
    return map_rows(partial(_disparity, x, y, neighborhoods.mask), neighborhoods.data, budget, row).mean()


def _disparity(x: Array, y: Array, mask: Bool[Array, " k"], ids: Int[Array, " k"]) -> Float[Array, ""]:
    def centered(points: Array) -> Array:
        mean = jnp.sum(points * mask[:, None], axis=0) / mask.sum()
        return jnp.where(mask[:, None], points - mean, 0)

    a, b = centered(x[ids]), centered(y[ids])
    sizes = jnp.sum(a**2) * jnp.sum(b**2)
    total = _nuclear_norm(matmul(b.T, a))
    return jnp.where(sizes > 0, jnp.clip(1 - total**2 / jnp.where(sizes > 0, sizes, 1), 0, 1), 1)


def _nuclear_norm(matrix: Float[Array, "c d"]) -> Float[Array, ""]:
    """Return the sum of the singular values: for two rows in closed form, which is vectorized over a batch, unlike LAPACK."""
    if matrix.shape[0] > 2:
        return jnp.sum(jnp.linalg.svd(matrix, compute_uv=False))
    size = jnp.sum(matrix**2)
    if matrix.shape[0] == 1:
        return jnp.sqrt(size)
    first, second = matrix
    length = jnp.sum(first**2)
    along = jnp.sum(first * second) / jnp.where(length > 0, length, 1)
    # The product of the singular values is the area that the rows span: length times height, accurate also where it is small.
    area = jnp.sqrt(length) * jnp.sqrt(jnp.sum((second - along * first) ** 2))
    return jnp.sqrt(size + 2 * area)


@partial(jax.jit, static_argnames=("block_bytes",))
def _scaled_preservation(
    x: Float[Array, "n d"], y: Float[Array, "n c"], neighborhoods: Neighborhoods, block_bytes: int
) -> Float[Array, ""]:
    """Return the preservation error with both sets of points in units of their largest distance."""
    budget = cache_budget(block_bytes)
    x, y = x / _largest_distance(x, budget), y / _largest_distance(y, budget)
    kept, gained, _, _ = _changes(x, y, neighborhoods.embeddings[0], neighborhoods, budget)
    return jnp.mean(kept(1.0) + gained(1.0)) / 2


def _largest_distance(points: Float[Array, "n d"], budget: Budget) -> Float[Array, ""]:
    """Return the largest distance between any two points, and 1 if all are equal."""
    n = points.shape[0]
    points = points - points.mean(axis=0)

    def furthest(rows: Int[Array, " r"]) -> Float[Array, " r"]:
        return jnp.max(_distances(points[rows], points, rows[:, None] == jnp.arange(n)), axis=1)

    largest = jnp.max(map_blocks(furthest, jnp.arange(n), budget, 4 * n * points.dtype.itemsize))
    return jnp.where(largest > 0, largest, 1)


def _preservation(
    x: Array, y: Array, near_y: Int[Array, "n k"], neighborhoods: Neighborhoods, budget: Budget
) -> Float[Array, ""]:
    kept, gained, x_true, y_true = _changes(x, y, near_y, neighborhoods, budget)
    weight = neighborhoods.mask / neighborhoods.mask.sum()
    scale = jnp.sum(x_true * y_true * weight) / jnp.maximum(jnp.sum(y_true**2 * weight), jnp.finfo(y.dtype).tiny)
    return jnp.mean(kept(scale) + gained(scale)) / 2 / jnp.mean(jnp.sum(x_true**2 * weight, axis=1))


def _changes(
    x: Array, y: Array, near_y: Int[Array, "n k"], neighborhoods: Neighborhoods, budget: Budget
) -> tuple[Callable[[Any], Array], Callable[[Any], Array], Array, Array]:
    """Return the mean squared changes of the distances to true and to false neighbors as functions of the scale of y.

    Also return the distances to the neighbors in the data, of x and of y.
    """
    near_x, _, mask = neighborhoods
    n, k = near_x.shape
    row = k * (k + 8 * (x.shape[1] + y.shape[1]) * x.dtype.itemsize)

    def distances_of(rows: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        i, true, found = rows
        to_all = jax.vmap(distances.euclidean, in_axes=(None, 0))
        false = mask & ~jnp.any((found[:, None] == true[None, :]) & mask[None, :], axis=1)
        return to_all(x[i], x[true]), to_all(y[i], y[true]), to_all(x[i], x[found]), to_all(y[i], y[found]), false

    rows = (jnp.arange(n), near_x, near_y)
    x_true, y_true, x_found, y_found, false = map_rows(distances_of, rows, budget, row)
    weight = mask / mask.sum()

    def kept(scale: Any) -> Float[Array, " n"]:
        return jnp.sum((x_true - scale * y_true) ** 2 * weight, axis=1)

    def gained(scale: Any) -> Float[Array, " n"]:
        change = jnp.where(false, (x_found - scale * y_found) ** 2, 0)
        return jnp.sum(change, axis=1) / jnp.maximum(false.sum(axis=1), 1)

    return kept, gained, x_true, y_true
