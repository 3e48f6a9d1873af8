"""Co-ranking of data and embedding: preservation of neighborhoods of every size, exact and in blocks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.blocks import BLOCK_BYTES, Progress
from .._core.checks import check_bytes
from ._inputs import prepare_pair, require_concrete
from ._ranks import exact_distances, ranks_of_all, row_blocks, row_bytes, sorting_budget


class CoRanking(NamedTuple):
    """Preservation of neighborhoods of every size (Lee and Verleysen 2009; Lee et al. 2013), on the host.

    Entry K - 1 of each curve is for neighborhoods of K points, K = 1, ..., n - 1.

    Attributes:
        q_nx: fraction of the K nearest in the data that are among the K nearest in the embedding, shape (n - 1,).
        lcmc: local continuity meta-criterion ``q_nx - K / (n - 1)``, the excess over a random embedding (Chen and Buja 2009),
            shape (n - 1,).
        r_nx: ``((n - 1) q_nx - K) / (n - 1 - K)``, 0 for a random and 1 for a perfect embedding, shape (n - 2,).
        auc: area under r_nx over the logarithm of K, that is, its mean with weights 1 / K.
        best_k: the K at which lcmc is largest, which separates local from global neighborhoods.
    """

    q_nx: Float[np.ndarray, " sizes"]
    lcmc: Float[np.ndarray, " sizes"]
    r_nx: Float[np.ndarray, " inner"]
    auc: float
    best_k: int


def coranking(x: Any, y: Any, *, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None) -> CoRanking:
    """Compare the ranks of all distances in the data with those in the embedding.

    ``q_nx(K) = 1 / (n K) sum_i |{j: r_ij <= K and s_ij <= K}|``, where r_ij and s_ij are the ranks of j by distance from i in
    the data and in the embedding (Lee and Verleysen 2009, Neurocomputing 72:1431). The co-ranking matrix of shape (n, n) is
    never formed: a pair contributes to the curve from the larger of its two ranks on.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        block_bytes: memory that one block of points may take.
        progress: called with (rows done, rows in all) after each block.

    Returns:
        CoRanking, on the host. Equal distances are ranked by index. Time n^2 log n.

    Raises:
        ValueError: if x or y is not an array of finite numbers, they differ in their numbers of rows, or n < 3.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.metrics.coranking(x, 2 * x).auc
        1.0
    """
    require_concrete("coranking", x, y)
    data, embedding = prepare_pair(x, y)
    n, block_bytes = data.coordinates.shape[0], check_bytes(block_bytes)
    counts = np.zeros(n - 1, np.int64)
    with exact_distances(data.coordinates, embedding.coordinates) as (base, other):
        row = row_bytes(6, base, other)
        for ids, valid in row_blocks(n, sorting_budget(block_bytes, row, base), row, progress):
            counts += np.asarray(_count_larger_ranks(base, other, ids, valid), np.int64)
    return _curves(counts)


def _curves(counts: np.ndarray) -> CoRanking:
    n = len(counts) + 1
    sizes = np.arange(1, n)
    q_nx = np.cumsum(counts) / (n * sizes)
    lcmc = q_nx - sizes / (n - 1)
    r_nx = ((n - 1) * q_nx - sizes)[:-1] / (n - 1 - sizes[:-1])
    area = np.average(r_nx, weights=1 / sizes[:-1])
    return CoRanking(q_nx, lcmc, r_nx, float(min(area, 1)), int(lcmc.argmax()) + 1)


@jax.jit
def _count_larger_ranks(
    base: Float[Array, "n d"], other: Float[Array, "n c"], ids: Int[Array, " b"], valid: Bool[Array, " b"]
) -> Int[Array, " sizes"]:
    """Count, over the pairs of a block of points with all points, the larger of the two ranks."""
    larger = jnp.maximum(ranks_of_all(base, ids), ranks_of_all(other, ids))
    # Rank 0 is that of the point itself; its bin, which is dropped, also takes the rows that do not count.
    larger = jnp.where(valid[:, None], larger, 0)
    return jnp.zeros(base.shape[0], jnp.int32).at[larger.ravel()].add(1)[1:]
