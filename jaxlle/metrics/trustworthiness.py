"""Trustworthiness and continuity: false and missing neighbors of an embedding, weighted by their ranks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core.arrays import read_rows
from .._core.blocks import BLOCK_BYTES, Progress, map_blocks
from .._core.checks import check_bytes, check_count, is_traced
from .._core.points import Points
from ..neighbors import knn
from ._inputs import prepare_pair
from ._ranks import exact_distances, ranks_of_listed, row_blocks, row_bytes


def trustworthiness(
    x: Any,
    y: Any,
    *,
    k: int = 5,
    rows: Any = None,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Float[Array, ""]:
    """Measure to what extent the neighbors in the embedding are neighbors in the data, in [0, 1].

    ``1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in U_k(i)} (r(i, j) - k)``, where U_k(i) are the points among the k nearest of i
    in the embedding but not in the data, and r(i, j) is the rank of j by distance from i in the data (Venna and Kaski 2001,
    ICANN, doi:10.1007/3-540-44668-0_68).

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: number of neighbors, less than n / 2.
        rows: indices of the points over which the mean is taken, such as a random sample of a large data set, whose neighbors are
            still searched among all points; None for all points.
        block_bytes: memory that one block of points may take.
        progress: called with (rows done, rows in all) after each block, outside jit.

    Returns:
        Scalar; 1 is best. Equal distances are ranked by index. Ranks are exact outside jit. Inside jit, distances of more than
        16 features are computed by products in the dtype of the data, whose rounding may exchange nearly equal distances.

    Raises:
        ValueError: if x or y is not an array of finite numbers, they differ in their numbers of rows, k >= n / 2, or rows are
            out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> float(jaxlle.metrics.trustworthiness(x, x))
        1.0
    """
    data, embedding = prepare_pair(x, y)
    return _rank_score(data.coordinates, embedding, k, rows, block_bytes, progress)


def continuity(
    x: Any,
    y: Any,
    *,
    k: int = 5,
    rows: Any = None,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Float[Array, ""]:
    """Measure to what extent the neighbors in the data are neighbors in the embedding, in [0, 1].

    This is `trustworthiness` with data and embedding exchanged (Venna and Kaski 2001).

    Args:
        x: as for `trustworthiness`.
        y: as for `trustworthiness`.
        k: as for `trustworthiness`.
        rows: as for `trustworthiness`.
        block_bytes: as for `trustworthiness`.
        progress: as for `trustworthiness`.

    Returns:
        Scalar; 1 is best. Ties and rounding as in `trustworthiness`.

    Raises:
        ValueError: as `trustworthiness`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> projected = x[:, :2]  # distances become shorter: neighbors stay near, and others come near
        >>> jaxlle.metrics.continuity(x, projected) > jaxlle.metrics.trustworthiness(x, projected)
        Array(True, dtype=bool)
    """
    data, embedding = prepare_pair(x, y)
    return _rank_score(embedding.coordinates, data, k, rows, block_bytes, progress)


def _rank_score(
    base: Float[Array, "n d"], other: Points, k: int, rows: Any, block_bytes: int, progress: Progress | None
) -> Float[Array, ""]:
    """Return 1 minus the normalized sum of the ranks in `base`, beyond k, of the k nearest in `other`, over some rows."""
    n = base.shape[0]
    rows = np.arange(n, dtype=np.int32) if rows is None else read_rows(rows, "rows", n)
    reason = f"less than n_samples / 2 = {n / 2}, where the measure is defined"
    k, block_bytes = check_count(k, "k (n_neighbors)", 1, (n - 1) // 2, reason), check_bytes(block_bytes)
    nearest = knn(other, k, block_bytes=block_bytes).indices
    if is_traced(base, nearest, rows):

        def mean_excess(ids: Int[Array, " b"]) -> Float[Array, " b"]:
            return _rank_excess(base, nearest, ids).astype(base.dtype).mean(axis=0)

        mean = map_blocks(mean_excess, jnp.asarray(rows), block_bytes, row_bytes(3, base)).mean()
        return 1 - 2 * mean / (2 * n - 3 * k - 1)
    total = 0  # a Python integer: the sum exceeds 2^31 at 50,000 points
    with exact_distances(base) as (points,):
        rows = np.asarray(rows)
        for places, valid in row_blocks(len(rows), block_bytes, row_bytes(3, points), progress):
            total += int(np.asarray(_rank_excess(points, nearest, rows[places]))[:, valid].sum(dtype=np.int64))
    return jnp.asarray(1 - 2 * total / (len(rows) * k * (2 * n - 3 * k - 1)), base.dtype)


@jax.jit
def _rank_excess(points: Float[Array, "n d"], nearest: Int[Array, "n k"], ids: Int[Array, " b"]) -> Int[Array, "k b"]:
    """Return by how much the ranks of the listed neighbors of a block of points exceed k; 0 within k."""
    # Not summed here: the sum over the neighbors of one point exceeds 2^31 at 120,000 points.
    return jnp.maximum(ranks_of_listed(points, ids, nearest[ids]) - nearest.shape[1], 0)
