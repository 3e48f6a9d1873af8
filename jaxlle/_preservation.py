"""How ranks and densities are kept: two measures that papers on learned embeddings report."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from . import _inputs
from ._coranking import block_rows, exact_distances, ranks_to_all, squares_to_all
from ._search import BLOCK_BYTES
from .embedding import places


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
    _inputs.check_count(k, "k (n_neighbors)", 1, n - 1, f"of n_samples = {n} points less itself")
    totals = np.zeros(2)
    with exact_distances(base, other) as (base, other):
        rows = block_rows(base, other, block_bytes)
        for start in _starts(base, rows):
            totals += np.asarray(_rank_changes(base, other, start, k, rows), np.float64)
    place = np.arange(1, k + 1)
    worst = n * (np.abs(2 * place - n - 1) / place).sum()
    return RankErrors(*(totals / worst).tolist())


def density_divergence(x: Any, y: Any, *, sigma: Real[ArrayLike, ""], block_bytes: int = BLOCK_BYTES) -> float:
    """Measure the Kullback-Leibler divergence of the densities in data and embedding, at one scale.

    ``KL(p || q)`` with ``p_i ~ sum_j exp(-|x_i - x_j|^2 / (sigma max |x_i - x_j|^2))`` and q the same of the embedding, both
    normalised over the points (Moor et al. 2020, ICML, after Chazal, Cohen-Steiner and Merigot 2011): KL_sigma of the
    Topological autoencoders.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        sigma: length scale: 0.01 is local, 1 global. Not squared, as in the paper's code.
        block_bytes: memory that one block of points may take.

    Returns:
        The divergence, at least 0; on the host.

    Raises:
        ValueError: for points that are not finite numbers or all equal, unequal numbers of rows, or sigma <= 0.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> abs(jaxlle.metrics.density_divergence(x, 2 * x, sigma=0.1)) < 1e-6
        True
    """
    base, other = _pair(x, y)
    scale = float(np.asarray(sigma))
    if not scale > 0:
        raise ValueError(
            f"sigma = {sigma} is not allowed: it must be positive, a share of the largest squared distance."
        )
    with exact_distances(base, other) as (base, other):
        p, q = (_density(points, scale, block_bytes) for points in (base, other))
    return float(np.sum(p * (np.log(p) - np.log(q))))


def _density(points: Array, sigma: float, block_bytes: int) -> np.ndarray:
    """Return the density at every point, up to a factor that makes it sum to one."""
    rows = block_rows(points, points, block_bytes)
    starts = _starts(points, rows)
    largest = max(float(_farthest(points, start, rows)) for start in starts)
    if largest == 0:
        raise ValueError("All points of x or of y are equal: they have no distances to compare.")
    sums = [np.asarray(_kernel_sums(points, start, 1 / (sigma * largest), rows), np.float64) for start in starts]
    density = np.concatenate(sums)[: len(points)]
    return density / density.sum()


def _pair(x: Any, y: Any) -> tuple[Array, Array]:
    x, y = _inputs.as_points(x), _inputs.as_points(places(y), "y")
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"x has {len(x)} rows and y has {len(y)}: they must be the same points, at least 3.")
    return _inputs.standardize(x).points, _inputs.standardize(y).points


def _starts(points: Array, rows: int) -> range:
    return range(0, points.shape[0], rows)


@partial(jax.jit, static_argnames=("k", "rows"))
def _rank_changes(base: Float[Array, "n d"], other: Float[Array, "n c"], start: Any, k: int, rows: int) -> Array:
    """Return, over some points, the sums of relative changes of rank of their k nearest in `other` and in `base`."""
    ids, inside = _rows(base, start, rows)
    r, s = ranks_to_all(base, ids), ranks_to_all(other, ids)
    change = jnp.where(inside[:, None], jnp.abs(r - s).astype(base.dtype), 0)

    def over(rank: Array) -> Array:
        return jnp.where((rank >= 1) & (rank <= k), change / jnp.maximum(rank, 1), 0).sum()

    return jnp.stack([over(s), over(r)])


@partial(jax.jit, static_argnames=("rows",))
def _farthest(points: Float[Array, "n d"], start: Any, rows: int) -> Float[Array, ""]:
    return squares_to_all(points, _rows(points, start, rows)[0]).max()


@partial(jax.jit, static_argnames=("rows",))
def _kernel_sums(points: Float[Array, "n d"], start: Any, rate: Any, rows: int) -> Float[Array, " b"]:
    return jnp.exp(-rate * squares_to_all(points, _rows(points, start, rows)[0])).sum(axis=1)


def _rows(points: Array, start: Any, rows: int) -> tuple[Array, Array]:
    """Return the ids of a block, the last repeated past the end, and which of them are inside."""
    ids = start + jnp.arange(rows, dtype=jnp.int32)
    return jnp.minimum(ids, points.shape[0] - 1), ids < points.shape[0]
