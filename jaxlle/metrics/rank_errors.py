"""How ranks and densities are kept: two measures that papers on learned embeddings report."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count
from ._ranks import _pair, _rows, _starts, block_rows, exact_distances, ranks_to_all


class RankErrors(NamedTuple):
    """Mean relative rank errors of both directions (Lee and Verleysen 2007); 0 is best.

    Attributes:
        intrusions: over the k nearest in the embedding.
        extrusions: over the k nearest in the data.
    """

    intrusions: float
    extrusions: float


def relative_rank_errors(x: Any, y: Any, *, k: int, block_bytes: int = BLOCK_BYTES) -> RankErrors:
    """Measure by how much the ranks of near points change, relative to the ranks themselves.

    ``(1 / C) sum_i sum_j |r_ij - s_ij| / s_ij`` over the k nearest points j of i in the embedding, with r_ij and s_ij the
    ranks of j by distance from i in the data and in the embedding, and ``C = n sum_{l <= k} |2 l - n - 1| / l``; the other
    direction exchanges data and embedding (Lee and Verleysen 2007, Nonlinear Dimensionality Reduction; with C as the code of
    the Topological autoencoders has it).

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        k: neighbours considered, below n.
        block_bytes: memory that one block of points may take.

    Returns:
        RankErrors, on the host. Ties are ranked by index. Time n^2 log n.

    Raises:
        ValueError: for points that are not finite numbers, unequal numbers of rows, or k out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.metrics.relative_rank_errors(x, 2 * x, k=5)
        RankErrors(intrusions=0.0, extrusions=0.0)
    """
    base, other = _pair(x, y)
    n = base.shape[0]
    check_count(k, "k (n_neighbors)", 1, n - 1, f"of n_samples = {n} points less itself")
    totals = np.zeros(2)
    with exact_distances(base, other) as (base, other):
        rows = block_rows(base, other, block_bytes)
        for start in _starts(base, rows):
            totals += np.asarray(_rank_changes(base, other, start, k, rows), np.float64)
    place = np.arange(1, k + 1)
    worst = n * (np.abs(2 * place - n - 1) / place).sum()
    return RankErrors(*(totals / worst).tolist())


@partial(jax.jit, static_argnames=("k", "rows"))
def _rank_changes(base: Float[Array, "n d"], other: Float[Array, "n c"], start: Any, k: int, rows: int) -> Array:
    """Return, over some points, the sums of relative changes of rank of their k nearest in `other` and in `base`."""
    ids, inside = _rows(base, start, rows)
    r, s = ranks_to_all(base, ids), ranks_to_all(other, ids)
    change = jnp.where(inside[:, None], jnp.abs(r - s).astype(base.dtype), 0)

    def over(rank: Array) -> Array:
        return jnp.where((rank >= 1) & (rank <= k), change / jnp.maximum(rank, 1), 0).sum()

    return jnp.stack([over(s), over(r)])
