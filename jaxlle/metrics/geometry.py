"""How far an embedding keeps the data's distances: of all pairs, within neighbourhoods, and between new neighbours."""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .. import distances
from .._core.blocks import BLOCK_BYTES, CACHE_BYTES, map_blocks, map_rows
from .._core.checks import check_count, embedding_points
from .._core.linear import matmul
from .._core.points import as_points, standardize
from ..neighbors.exact import find

Criterion = Literal["residual_variance", "procrustes", "preservation"]
CRITERIA: tuple[Criterion, ...] = ("residual_variance", "procrustes", "preservation")


class Neighborhoods(NamedTuple):
    """Neighbours of every point in the data and in its embeddings.

    Attributes:
        near: in the data, shape (n, k).
        back: in each of several embeddings, shape (b, n, k).
        keep: which of them count, shape (k,).
    """

    near: Int[Array, "n k"]
    back: Int[Array, "b n k"]
    keep: Bool[Array, " k"]


def residual_variance(x: Any, y: Any, *, block_bytes: int = BLOCK_BYTES) -> Float[Array, ""]:
    """Measure what of all distances in the data those in the embedding do not explain linearly, in [0, 1].

    ``1 - r^2`` with r the correlation of ``|x_i - x_j|`` and ``|y_i - y_j|`` over all pairs (Kouropteva, Okun and Pietikainen
    2002). Distances across a fold count, so it suits gently bent data.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        block_bytes: memory that one block of points may take.

    Returns:
        Scalar; 0 is best. Time n^2, no n x n array.

    Raises:
        ValueError: for points that are not finite numbers, unequal numbers of rows, or fewer than 3.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.residual_variance(x, 2 * x)) < 1e-5
        True
    """
    x, y = _pair(x, y, 3)
    return _measured("residual_variance", x, y, None, block_bytes)


def local_procrustes(x: Any, y: Any, *, k: int, block_bytes: int = BLOCK_BYTES) -> Float[Array, ""]:
    """Measure what of the data's neighbourhoods no similarity of the embedding's explains, in [0, 1].

    The mean over the points of ``1 - (sum of singular values of X_i^T Y_i)^2 / (|X_i|^2 |Y_i|^2)``, with the k neighbours of i in
    the data as the rows of X_i, their places in the embedding as those of Y_i, and both centred: local Procrustes analysis
    (Goldberg and Ritov 2009, Machine Learning 77:1), relative, with a scale of every neighbourhood's own.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: neighbours considered, at least 2.
        block_bytes: memory that one block of points may take.

    Returns:
        Scalar; 0 is best.

    Raises:
        ValueError: for points that are not finite numbers, unequal numbers of rows, or bad k.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.local_procrustes(x, 2 * x, k=8)) < 1e-5
        True
    """
    x, y = _pair(x, y, 3)
    check_count(k, "k (n_neighbors)", 2, None, "two places are always similar")
    return _measured("procrustes", x, y, k, block_bytes)


def preservation_error(x: Any, y: Any, *, k: int, block_bytes: int = BLOCK_BYTES) -> Float[Array, ""]:
    """Measure how far distances change to the neighbours in the data, and to those that only the embedding has.

    ``1 / (2n) sum_i (mean of e_ij over N_i + mean of e_ij over F_i)`` with ``e_ij = (|x_i - x_j| - s |y_i - y_j|)^2``, N_i the k
    neighbours of i in the data and F_i those of its k neighbours in the embedding that are not in N_i. s is the scale that fits
    the first term best, for the scale of LLE's columns is a convention, and the whole is relative to the mean of
    ``|x_i - x_j|^2`` over the neighbours in the data. Stretching raises the first term, what folds onto i the second. This is our
    form of the preservation neighbourhood error of Alvarez-Meza et al. (2011, Pattern Recognition Letters 32:2171), whose text
    was not available.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: neighbours considered.
        block_bytes: memory that one block of points may take.

    Returns:
        Scalar; 0 is best.

    Raises:
        ValueError: for points that are not finite numbers, unequal numbers of rows, or bad k.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.preservation_error(x, 2 * x, k=8)) < 1e-5
        True
    """
    x, y = _pair(x, y, 2)
    return _measured("preservation", x, y, k, block_bytes)


def _pair(x: Any, y: Any, least: int) -> tuple[Any, Any]:
    x, y = as_points(x), as_points(embedding_points(y), "y")
    n = x.shape[0]
    if y.shape[0] != n or n < least:
        raise ValueError(f"x has {n} rows and y has {y.shape[0]}: they must be the same points, at least {least}.")
    return x, y


def _measured(criterion: Criterion, x: Any, y: Any, k: int | None, block_bytes: int) -> Float[Array, ""]:
    standard, other = standardize(x), standardize(y)
    around = None
    if k is not None:
        near, _, _ = find(x, k, block_bytes=block_bytes, standard=standard)
        back, _, _ = find(y, k, block_bytes=block_bytes, standard=other)
        around = Neighborhoods(near.indices, back.indices[None], jnp.ones(k, bool))
    return measure(standard.points, other.points[None], around, (criterion,), block_bytes)[0, 0]


@partial(jax.jit, static_argnames=("criteria", "block_bytes"))
def measure(
    x: Float[Array, "n d"],
    ys: Float[Array, "b n c"],
    around: Neighborhoods | None,
    criteria: tuple[Criterion, ...],
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "m b"]:
    """Measure several embeddings of the same standardised points.

    Args:
        x: the points.
        ys: their embeddings.
        around: their neighbourhoods; None if no criterion needs them.
        criteria: what to measure.
        block_bytes: memory that one block of points may take.

    Returns:
        The measures, a row for each criterion.
    """
    budget = min(block_bytes, CACHE_BYTES) if jax.default_backend() == "cpu" else block_bytes
    rows = []
    for criterion in criteria:
        if criterion == "residual_variance":
            rows.append(_residual_variances(x, ys, budget))
        elif criterion == "procrustes" and around is not None:
            rows.append(lax.map(lambda y: _procrustes(x, y, around, budget), ys))
        elif around is not None:
            rows.append(lax.map(lambda pair: _preservation(x, pair[0], pair[1], around, budget), (ys, around.back)))
    return jnp.stack(rows)


def _residual_variances(x: Array, ys: Array, budget: int) -> Float[Array, " b"]:
    n = x.shape[0]
    x, ys = x - x.mean(axis=0), ys - ys.mean(axis=1, keepdims=True)
    share = jnp.full(n, 1 / (n - 1), x.dtype)  # the distances of points from themselves, 0, are none of the n (n - 1)

    def moments(rows: Int[Array, " r"]) -> Float[Array, "r b 3"]:
        a = _distances(x[rows], x)
        mean = matmul(a, share)  # products with a vector: XLA's reductions of rows are far slower on a CPU

        def one(y: Array) -> Array:
            b = _distances(y[rows], y)
            return jnp.stack([mean, matmul(b, share), matmul(a * b, share)], axis=1)

        return jnp.moveaxis(lax.map(one, ys), 0, 1)

    a, b, ab = map_blocks(moments, jnp.arange(n), budget, 4 * n * x.dtype.itemsize).mean(axis=0).T
    aa, bb = 2 * jnp.sum(x**2) / (n - 1), 2 * jnp.sum(ys**2, axis=(1, 2)) / (n - 1)
    spread = (aa - a**2) * (bb - b**2)
    explained = (ab - a * b) ** 2 / jnp.where(spread > 0, spread, 1)
    return jnp.where(spread > 0, jnp.clip(1 - explained, 0, 1), 1)  # equal distances explain nothing


def _distances(a: Float[Array, "b d"], points: Float[Array, "n d"]) -> Float[Array, "b n"]:
    """Return distances by a product: its rounding is nothing to a correlation over all pairs."""
    square = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(points**2, axis=1)[None, :] - 2 * matmul(a, points.T)
    return jnp.sqrt(jnp.maximum(square, 0))


def _procrustes(x: Array, y: Array, around: Neighborhoods, budget: int) -> Float[Array, ""]:
    row = 4 * around.near.shape[1] * (x.shape[1] + y.shape[1]) * x.dtype.itemsize
    return map_rows(partial(_unexplained, x, y, around.keep), around.near, budget, row).mean()


def _unexplained(x: Array, y: Array, keep: Bool[Array, " k"], ids: Int[Array, " k"]) -> Float[Array, ""]:
    def centered(points: Array) -> Array:
        mean = jnp.sum(points * keep[:, None], axis=0) / keep.sum()
        return jnp.where(keep[:, None], points - mean, 0)

    a, b = centered(x[ids]), centered(y[ids])
    sizes = jnp.sum(a**2) * jnp.sum(b**2)
    total = _nuclear_norm(matmul(b.T, a))
    return jnp.where(sizes > 0, jnp.clip(1 - total**2 / jnp.where(sizes > 0, sizes, 1), 0, 1), 1)


def _nuclear_norm(matrix: Float[Array, "c d"]) -> Float[Array, ""]:
    """Return the sum of the singular values: of two rows in closed form, which maps over a batch and LAPACK does not."""
    if matrix.shape[0] > 2:
        return jnp.sum(jnp.linalg.svd(matrix, compute_uv=False))
    size = jnp.sum(matrix**2)
    if matrix.shape[0] == 1:
        return jnp.sqrt(size)
    first, second = matrix
    length = jnp.sum(first**2)
    along = jnp.sum(first * second) / jnp.where(length > 0, length, 1)
    # s_1 s_2 is the area that the rows span: length times height, with no digits lost where it is small.
    area = jnp.sqrt(length) * jnp.sqrt(jnp.sum((second - along * first) ** 2))
    return jnp.sqrt(size + 2 * area)


def _preservation(x: Array, y: Array, back: Array, around: Neighborhoods, budget: int) -> Float[Array, ""]:
    n, k = around.near.shape
    row = k * (k + 8 * (x.shape[1] + y.shape[1]) * x.dtype.itemsize)

    def reach(rows: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        i, near, back = rows
        far = partial(jax.vmap(distances.euclidean, in_axes=(None, 0)))
        new = around.keep & ~jnp.any((back[:, None] == near[None, :]) & around.keep[None, :], axis=1)
        return far(x[i], x[near]), far(y[i], y[near]), far(x[i], x[back]), far(y[i], y[back]), new

    rows = (jnp.arange(n), around.near, back)
    x_near, y_near, x_back, y_back, new = map_rows(reach, rows, budget, row)
    weight = around.keep / around.keep.sum()
    scale = jnp.sum(x_near * y_near * weight) / jnp.maximum(jnp.sum(y_near**2 * weight), jnp.finfo(y.dtype).tiny)
    kept = jnp.sum((x_near - scale * y_near) ** 2 * weight, axis=1)
    gained = jnp.sum(jnp.where(new, (x_back - scale * y_back) ** 2, 0), axis=1) / jnp.maximum(new.sum(axis=1), 1)
    return jnp.mean(kept + gained) / 2 / jnp.mean(jnp.sum(x_near**2 * weight, axis=1))
