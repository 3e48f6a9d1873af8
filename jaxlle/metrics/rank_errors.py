"""Mean relative rank errors of an embedding."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes, check_count
from ._inputs import prepare_pair, require_concrete
from ._ranks import exact_distances, ranks_of_all, row_blocks, row_bytes, sorting_budget


class RankErrors(NamedTuple):
    """Mean relative rank errors in both directions (Lee and Verleysen 2007); 0 is best.

    Attributes:
        intrusions: over the k nearest in the embedding.
        extrusions: over the k nearest in the data.
    """

    intrusions: float
    extrusions: float


def relative_rank_errors(x: Any, y: Any, *, k: int, block_bytes: int = BLOCK_BYTES) -> RankErrors:
    """Measure by how much the ranks of near points change, relative to the ranks themselves.

    ``(1 / C) sum_i sum_j |r_ij - s_ij| / s_ij`` over the k nearest points j of i in the embedding, where r_ij and s_ij are the
    ranks of j by distance from i in the data and in the embedding, and ``C = n sum_{l <= k} |2 l - n - 1| / l``; the other
    direction exchanges data and embedding (Lee and Verleysen 2007, Nonlinear Dimensionality Reduction; C as in the code of the
    topological autoencoders of Moor et al. 2020).

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: number of neighbors, less than n.
        block_bytes: memory that one block of points may take.

    Returns:
        RankErrors, on the host. Equal distances are ranked by index. Time n^2 log n.

    Raises:
        ValueError: if x or y is not an array of finite numbers, they differ in their numbers of rows, n < 3, or k is out of
            range.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.metrics.relative_rank_errors(x, 2 * x, k=5)
        RankErrors(intrusions=0.0, extrusions=0.0)
    """
    require_concrete("relative_rank_errors", x, y)
    data, embedding = prepare_pair(x, y)
    n, block_bytes = data.coordinates.shape[0], check_bytes(block_bytes)
    check_count(k, "k (n_neighbors)", 1, n - 1, f"of n_samples = {n} points excluding the point itself")
    totals = np.zeros(2)
    with exact_distances(data.coordinates, embedding.coordinates) as (base, other):
        row = row_bytes(6, base, other)
        for ids, valid in row_blocks(n, sorting_budget(block_bytes, row, base), row):
            totals += np.asarray(_sum_rank_changes(base, other, ids, valid, k), np.float64)
    ranks = np.arange(1, k + 1)
    normalizer = n * (np.abs(2 * ranks - n - 1) / ranks).sum()
    return RankErrors(*(totals / normalizer).tolist())


@partial(jax.jit, static_argnames=("k",))
def _sum_rank_changes(
    base: Float[Array, "n d"], other: Float[Array, "n c"], ids: Int[Array, " b"], valid: Bool[Array, " b"], k: int
) -> Float[Array, " 2"]:
    """Return, over a block of points, the sums of relative changes of rank of their k nearest in `other` and in `base`."""
    r, s = ranks_of_all(base, ids), ranks_of_all(other, ids)
    change = jnp.where(valid[:, None], jnp.abs(r - s).astype(base.dtype), 0)

    def relative(rank: Array) -> Float[Array, ""]:
        return jnp.where((rank >= 1) & (rank <= k), change / jnp.maximum(rank, 1), 0).sum()

    return jnp.stack([relative(s), relative(r)])
