"""Quality at every scale at once: the co-ranking of data and embedding, exact and in blocks."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core.blocks import BLOCK_BYTES, Progress
from .._core.checks import embedding_points, is_traced
from .._core.points import as_points, standardize
from ._ranks import block_rows, exact_distances, ranks_to_all


class CoRanking(NamedTuple):
    """How well neighbourhoods of every size are kept (Lee and Verleysen 2009; Lee et al. 2013), on the host.

    Entry K - 1 of each curve is for neighbourhoods of K points, K = 1, ..., n - 1.

    Attributes:
        q_nx: share of the K nearest in the data that are among the K nearest in the embedding, shape (n - 1,).
        lcmc: local continuity meta-criterion ``q_nx - K / (n - 1)``, what is better than chance (Chen and Buja 2009).
        r_nx: ``((n - 1) q_nx - K) / (n - 1 - K)``, 0 for a random and 1 for a perfect embedding, shape (n - 2,).
        auc: area under r_nx over the logarithm of K: its mean with weights 1 / K.
        best_k: the K at which lcmc is largest, a border between local and global.
    """

    q_nx: Float[np.ndarray, " sizes"]
    lcmc: Float[np.ndarray, " sizes"]
    r_nx: Float[np.ndarray, " inner"]
    auc: float
    best_k: int


def coranking(x: Any, y: Any, *, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None) -> CoRanking:
    """Compare the ranks of all distances in the data and in the embedding.

    ``q_nx(K) = 1 / (n K) sum_i |{j: r_ij <= K and s_ij <= K}|`` with r_ij and s_ij the ranks of j by distance from i in the
    data and in the embedding (Lee and Verleysen 2009, Neurocomputing 72:1431). The co-ranking matrix itself, n x n, is never
    made: a point counts at the larger of its two ranks.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        block_bytes: memory that one block of points may take.
        progress: called with (rows done, rows in all) after each block.

    Returns:
        CoRanking, on the host. Ties are ranked by index. Time n^2 log n.

    Raises:
        ValueError: for points that are not finite numbers, unequal numbers of rows, or fewer than 3.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.metrics.coranking(x, 2 * x).auc
        1.0
    """
    if is_traced(x, y):
        raise TypeError("coranking counts on the host: call it outside jit.")
    x, y = as_points(x), as_points(embedding_points(y), "y")
    n = x.shape[0]
    if y.shape[0] != n or n < 3:
        raise ValueError(f"x has {n} rows and y has {y.shape[0]}: they must be the same points, at least 3.")
    counts = np.zeros(n - 1, np.int64)
    with exact_distances(standardize(x).points, standardize(y).points) as (base, other):
        rows = block_rows(base, other, block_bytes)
        for start in range(0, n, rows):
            counts += np.asarray(_larger_ranks(base, other, start, rows), np.int64)
            if progress is not None:
                progress(min(start + rows, n), n)
    return _curves(counts)


def _curves(counts: np.ndarray) -> CoRanking:
    n = len(counts) + 1
    sizes = np.arange(1, n)
    q_nx = np.cumsum(counts) / (n * sizes)
    lcmc = q_nx - sizes / (n - 1)
    r_nx = ((n - 1) * q_nx - sizes)[:-1] / (n - 1 - sizes[:-1])
    area = np.average(r_nx, weights=1 / sizes[:-1])
    return CoRanking(q_nx, lcmc, r_nx, float(min(area, 1)), int(lcmc.argmax()) + 1)


@partial(jax.jit, static_argnames=("rows",))
def _larger_ranks(base: Float[Array, "n d"], other: Float[Array, "n c"], start: Any, rows: int) -> Array:
    """Count, over the pairs of some points with all, the larger of the two ranks; rows past the end count nothing."""
    n = base.shape[0]
    ids = jnp.minimum(start + jnp.arange(rows, dtype=jnp.int32), n - 1)
    larger = jnp.maximum(ranks_to_all(base, ids), ranks_to_all(other, ids))
    # Rank 0 is the point's own: it, and repeated last rows, go to a bin of their own.
    past = (start + jnp.arange(rows) >= n)[:, None]
    return jnp.zeros(n, jnp.int32).at[jnp.where(past, 0, larger).ravel()].add(1)[1:]
