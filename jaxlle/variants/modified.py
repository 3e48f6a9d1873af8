"""Modified locally linear embedding (Zhang and Wang 2006): several weight vectors a point."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .. import distances
from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count
from .._core.linear import matmul, reflect, reflections
from ..alignment import Alignment
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..regularizers import Regularizer
from ..solvers import Solver
from ..weights import barycentric_weights
from ..weights.frames import FromDistances, Source, map_members, members, source_of, warn_rank_deficient
from ._pipeline import find_neighbors, prepare, run_pipeline


def modified_alignment(
    x: Any,
    dim: int,
    *,
    k: int,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment of modified LLE: s_i nearly optimal weight vectors for every point instead of one.

    With the columns of V_i the eigenvectors of the s_i smallest eigenvalues of the local Gram matrix, the weight vectors are
    the columns of ``W_i = (1 - a_i) w_i 1^T + V_i H_i``, where w_i are the regularised weights of LLE,
    ``a_i = |V_i^T 1| / sqrt(s_i)``, and the Householder matrix H_i makes every column sum to one (Zhang and Wang 2006,
    NIPS 19). The cost of an embedding is ``sum_i |y_i 1^T - Y_i W_i|^2``. The number s_i is the largest, up to k - dim, for
    which the variance in those s_i directions is below eta times that in the rest; eta is the median over the points of
    this ratio at s = k - dim. (scikit-learn does not stop at k - dim: a direction of the tangent space may count as null.)

    Block i is ``[1, -W_i^T]`` turned so that one row holds all of the sum, ``sqrt(s_i) [1, -(1 - a_i) w_i - V_i V_i^T 1 /
    (a_i s_i)]``, and the others hold an orthonormal basis of the part of V_i's span orthogonal to 1: the same M = B^T B.

    Args:
        x: points, shape (n, d), or distances of shape (n, n) with metric="precomputed".
        dim: dimensions of the embedding, at most k.
        k: neighbours a point.
        reg: strength of the regularizer of the weights w_i. scikit-learn's modified LLE has 1e-3, whatever is asked.
        metric: as for `knn`.
        neighbors: a ready graph to use in place of `knn`; a mask is honoured.
        block_bytes: memory that one block of points may take.

    Returns:
        Alignment with m = k + 1 and r = k - dim (at least 1); rows of zeros where s_i is smaller than r.

    Raises:
        ValueError: for bad points or reg, or k < dim.

    Warns:
        RankWarning: if neighbourhoods span fewer than dim dimensions.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.modified_alignment(x, 2, k=8).blocks.shape
        (100, 6, 9)
    """
    k = k if neighbors is None else neighbors.indices.shape[1]
    check_count(dim, "dim (n_components)", 1, None, "dimensions of the embedding")
    check_count(k, "k (n_neighbors)", dim, None, f"modified LLE requires n_neighbors >= n_components = {dim}")
    points = prepare(x, metric)
    neighbors = find_neighbors(points, k, neighbors, block_bytes)
    weights = barycentric_weights(points, neighbors, reg=reg, block_bytes=block_bytes)
    ids, keep = members(neighbors)
    blocks, deficient = _blocks(source_of(points), ids, keep, weights, dim, block_bytes)
    warn_rank_deficient(deficient, blocks, f"dim = {dim} dimensions")
    return Alignment(ids, blocks)


def modified_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by modified locally linear embedding.

    LLE with all weight vectors that reconstruct a point nearly as well as the best one does (Zhang and Wang 2006, NIPS 19): see
    `modified_alignment`. Less bent than LLE's embedding, and stable in k. Runs under jit and vmap, then with `DenseQR`.

    Args:
        x: points, shape (n, d), or distances of shape (n, n) with metric="precomputed".
        dim: dimensions of the embedding, at most d.
        k: neighbours a point, at least dim.
        reg: strength of the ridge, relative to the trace of the local Gram matrix, or one of `jaxlle.regularizers`.
        solver: one of `jaxlle.solvers`, or "auto".
        metric: as for `lle`.
        neighbors: a ready graph to use in place of `knn`.
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `lle`; also for k < dim.

    Warns:
        RankWarning, and as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.modified_lle(x, 2, k=8).points.shape
        (300, 2)
    """
    align = partial(modified_alignment, dim=dim, k=k, reg=reg, neighbors=neighbors, block_bytes=options.block_bytes)
    return run_pipeline(align, x, dim, k, metric, solver, options)


@partial(jax.jit, static_argnames=("dim", "block_bytes"))
def _blocks(
    source: Source,
    ids: Int[Array, "n m"],
    keep: Bool[Array, "n m"],
    weights: Float[Array, "n k"],
    dim: int,
    block_bytes: int,
) -> tuple[Float[Array, "n r m"], Int[Array, ""]]:
    """Return the blocks, and the number of neighbourhoods that span fewer than dim dimensions."""
    k = ids.shape[1] - 1
    rank = k if isinstance(source, FromDistances) else min(k, source.points.shape[1])
    start = min(dim, k - 1)  # directions never among the s_i

    def axes(ids: Array, keep: Array) -> tuple[Array, Array]:
        patch = source.patch(ids, keep, rank, "first")
        vectors, _ = reflections(patch.coordinates[1:], 8 * k * float(jnp.finfo(weights.dtype).eps))
        return reflect(vectors, start, k), patch.variances

    bases, variances = map_members(axes, ids, keep, source.row_bytes, block_bytes)
    kept = _directions_kept(variances, dim, start, keep.sum(axis=1) - 1)
    blocks = jax.vmap(partial(_block, start=start))(bases, kept, keep[:, 1:], weights)
    return blocks, (variances[:, min(dim, rank) - 1] == 0).sum(dtype=jnp.int32)


def _directions_kept(variances: Float[Array, "n q"], dim: int, start: int, count: Int[Array, " n"]) -> Int[Array, " n"]:
    """Return how many directions of each point are too long to be among its s_i."""
    inside = jnp.cumsum(variances, axis=1)
    # Summed from the small end: the difference of two sums of large terms would be rounding.
    outside = jnp.cumsum(variances[:, ::-1], axis=1)[:, ::-1]
    outside = jnp.concatenate([outside[:, 1:], jnp.zeros_like(outside[:, :1])], axis=1)
    ratio = outside / jnp.where(inside > 0, inside, 1)
    eta = jnp.median(ratio[:, min(dim, ratio.shape[1]) - 1])
    limit = jnp.maximum(eta, jnp.finfo(ratio.dtype).tiny)  # on flat data all ratios are 0, and 0 is small enough
    kept = 1 + (ratio >= limit).sum(axis=1, dtype=jnp.int32)
    return jnp.clip(kept, start, jnp.maximum(count - 1, start))


def _block(
    basis: Float[Array, "k r"], kept: Int[Array, ""], keep: Bool[Array, " k"], weights: Float[Array, " k"], start: int
) -> Float[Array, "r m"]:
    """Return the block of one point, from an orthonormal basis of its shortest directions, the longest first."""
    r = basis.shape[1]
    chosen = start + jnp.arange(r) >= kept
    sums = jnp.where(chosen, matmul(keep.astype(basis.dtype), basis), 0)
    size = keep.sum() - kept
    root = jnp.sqrt(size.astype(basis.dtype))
    # One reflection of the basis gathers the sums of its columns in the last.
    square = jnp.sum(sums**2)
    length = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    mirror = sums.at[-1].add(jnp.where(sums[-1] < 0, -length, length))
    scale = jnp.sum(mirror**2)
    scale = jnp.where(scale > 0, scale, 1)
    turned = basis - jnp.outer(matmul(basis, mirror), 2 * mirror / scale)
    last = turned[:, -1] * jnp.where(sums[-1] < 0, 1, -1)  # its entries sum to `length`, not to minus it
    first = jnp.concatenate([root[None], -last - (root - length) * weights])
    rest = jnp.where(chosen[:-1], turned[:, :-1], 0).T
    rest = jnp.concatenate([jnp.zeros((r - 1, 1), basis.dtype), rest], axis=1)
    return jnp.concatenate([first[None], rest]) * jnp.concatenate([jnp.ones(1, bool), keep])
