"""How good an embedding is: exact measures, in blocks, so that 50,000 points fit any machine."""

from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from .. import distances
from .._core.blocks import BLOCK_BYTES, Progress
from .._core.checks import check_count, embedding_points, is_traced
from .._core.linear import matmul
from .._core.points import as_points, standardize
from ..neighbors.exact import search

_DIRECT_MAX_FEATURES = 16


def trustworthiness(
    x: Any, y: Any, *, k: int = 5, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None
) -> Float[Array, ""]:
    """Measure how far the embedding's neighbours are neighbours in the data, in [0, 1].

    ``1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in U_k(i)} (r(i, j) - k)`` with U_k(i) the points among the k
    nearest of i in the embedding but not in the data, and r(i, j) the rank of j by distance from i in the
    data (Venna and Kaski 2001).

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: neighbours considered, below n / 2.
        block_bytes: memory that one block of points may take.
        progress: called with (rows done, rows in all) after each block, outside jit.

    Returns:
        Scalar; 1 is best. Ties are ranked by index. Inside jit, data of more than 16 features is ranked by
        products in its own dtype, whose rounding may exchange nearly equal distances.

    Raises:
        ValueError: for points that are not finite numbers, unequal numbers of rows, or k >= n / 2.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.trustworthiness(x, x))
        1.0
    """
    x, y = as_points(x), as_points(embedding_points(y), "y")
    _check_pair(x, y, k)
    return _rank_penalty(x, y, k, block_bytes, progress)


def continuity(
    x: Any, y: Any, *, k: int = 5, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None
) -> Float[Array, ""]:
    """Measure how far the data's neighbours stay neighbours in the embedding, in [0, 1].

    Trustworthiness with data and embedding exchanged (Venna and Kaski 2001).

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: neighbours considered, below n / 2.
        block_bytes: memory that one block of points may take.
        progress: as for `trustworthiness`.

    Returns:
        Scalar; 1 is best.

    Raises:
        ValueError: as `trustworthiness`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.continuity(x, x))
        1.0
    """
    x, y = as_points(x), as_points(embedding_points(y), "y")
    _check_pair(x, y, k)
    return _rank_penalty(y, x, k, block_bytes, progress)


def _check_pair(x: Any, y: Any, k: int) -> None:
    n = x.shape[0]
    if y.shape[0] != n:
        raise ValueError(f"x has {n} rows and y has {y.shape[0]}: they must be the same points.")
    why = f"less than n_samples / 2 = {n / 2}, where the measure is defined"
    check_count(k, "k (n_neighbors)", 1, (n - 1) // 2, why)


def _rank_penalty(base: Any, other: Any, k: int, block_bytes: int, progress: Progress | None) -> Float[Array, ""]:
    """Return 1 minus the normalised sum of the ranks in `base`, beyond k, of the k nearest in `other`."""
    points, others = standardize(base).points, standardize(other).points
    near = search(others, None, k, distances.euclidean, block_bytes=block_bytes).indices
    n, d = points.shape
    if is_traced(points, near):
        rows = _block_rows(points, block_bytes)
        mean = lax.map(
            lambda start: _excess(points, near, start, rows).astype(points.dtype).mean(axis=0), jnp.arange(0, n, rows)
        )
        return 1 - 2 * mean.ravel()[:n].mean() / (2 * n - 3 * k - 1)
    total = 0  # a Python integer: the sum passes 2^31 at 50,000 points
    # Distances by products lose digits that float32 cannot spare: rounding would rank distant tight clusters.
    with jax.enable_x64(True) if d > _DIRECT_MAX_FEATURES else nullcontext():
        wide = points if d <= _DIRECT_MAX_FEATURES else points.astype(np.float64)
        rows = _block_rows(wide, block_bytes)
        for start in range(0, n, rows):
            total += int(np.asarray(_excess(wide, near, start, rows))[:, : n - start].sum(dtype=np.int64))
            if progress is not None:
                progress(min(start + rows, n), n)
    return jnp.asarray(1 - 2 * total / (n * k * (2 * n - 3 * k - 1)), points.dtype)


def _block_rows(points: Float[Array, "n d"], block_bytes: int) -> int:
    n, d = points.shape
    row = (3 * n + (n * d if d <= _DIRECT_MAX_FEATURES else 0)) * points.dtype.itemsize
    return int(max(1, min(n, block_bytes // row)))


@partial(jax.jit, static_argnames=("rows",))
def _excess(points: Float[Array, "n d"], near: Int[Array, "n k"], start: Any, rows: int) -> Int[Array, "k b"]:
    """Return the ranks beyond k, 0 within, of the listed neighbours of some points; past the end the last point's."""
    ids = jnp.minimum(start + jnp.arange(rows, dtype=jnp.int32), points.shape[0] - 1)
    return _beyond(points, ids, near[ids])


def _beyond(points: Float[Array, "n d"], ids: Int[Array, " b"], near: Int[Array, "b k"]) -> Int[Array, "k b"]:
    (n, d), k = points.shape, near.shape[1]
    if d <= _DIRECT_MAX_FEATURES:
        dist = jnp.sum((points[ids][:, None, :] - points[None, :, :]) ** 2, axis=2)
    else:
        squares = jnp.sum(points**2, axis=1)
        dist = squares[ids][:, None] + squares[None, :] - 2 * matmul(points[ids], points.T)
    columns = jnp.arange(n, dtype=jnp.int32)[None, :]
    dist = jnp.where(columns == ids[:, None], jnp.inf, dist)
    reach = jnp.take_along_axis(dist, near, axis=1).T

    def excess(pair: tuple[Array, Array]) -> Int[Array, " b"]:
        name, far = pair  # the j-th neighbour of each point, and how far it is
        # A point at the same distance is closer if its index is lower: `d <= far` is `d < nextafter(far)`.
        # What comes after 0 is denormal, and may be flushed to 0.
        above = jnp.maximum(jnp.nextafter(far, jnp.inf), jnp.finfo(far.dtype).tiny)
        limit = jnp.where(columns < name[:, None], above[:, None], far[:, None])
        # Counted by a product with ones, exact below 2^24 points: XLA's reductions of rows are far slower.
        closer = matmul((dist < limit).astype(dist.dtype), jnp.ones(n, dist.dtype))
        return jnp.maximum(closer.astype(jnp.int32) + 1 - k, 0)

    return lax.map(excess, (near.T, reach))  # not summed: 100,000 points' sums may pass 2^31
