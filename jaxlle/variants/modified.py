"""Modified locally linear embedding (Zhang and Wang 2006): several weight vectors per point."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .. import distances
from .._core.blocks import BLOCK_BYTES, cache_budget, map_rows
from .._core.checks import check_count
from .._core.linear import matmul, reflect, reflections
from .._core.spectral import as_subspace, rounding_of, with_derivative
from ..alignment import Alignment
from ..distances import square_root
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..regularizers import RegularizerLike
from ..solvers import SolverLike
from ..weights import barycentric_weights
from ..weights.frames import (
    FromDistances,
    Source,
    map_members,
    members,
    rows_with_derivative,
    source_of,
    warn_rank_deficient,
)
from ._pipeline import find_neighborhoods, run_pipeline


def modified_alignment(
    x: Any,
    dim: int,
    *,
    k: int,
    reg: RegularizerLike = 1e-3,
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment of modified LLE: s_i nearly optimal weight vectors for every point instead of one.

    Let the columns of V_i be the eigenvectors of the s_i smallest eigenvalues of the local Gram matrix. The weight vectors are
    the columns of ``W_i = (1 - a_i) w_i 1^T + V_i H_i``, where w_i are the regularized weights of LLE,
    ``a_i = |V_i^T 1| / sqrt(s_i)``, and the Householder matrix H_i makes every column sum to one (Zhang and Wang 2006, NIPS
    19:1593). The cost of an embedding is ``sum_i |y_i 1^T - Y_i W_i|^2``. The number s_i is the largest one, up to k - dim, for
    which the variance along these s_i directions is less than eta times the variance along the others; eta is the median over
    the points of this ratio at s = k - dim. (scikit-learn does not limit s_i to k - dim, so that it may count a direction of
    the tangent space as null.)

    Block i is ``[1, -W_i^T]`` after an orthogonal transformation of its rows, which leaves M = B^T B unchanged. The first row
    holds the whole sum, ``sqrt(s_i) [1, -(1 - a_i) w_i - V_i V_i^T 1 / (a_i s_i)]``, and the others are an orthonormal basis of
    the vectors in the span of V_i that are orthogonal to 1.

    Derivatives are correct for functions of M, with the numbers s_i fixed. M jumps where an s_i changes, as on exactly flat data,
    where eta is 0, and where V_i is arbitrary, because eigenvalues inside and outside are equal: the derivative there is finite,
    and leaves out the rotation between their eigenvectors.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        dim: dimensions of the embedding, at most k.
        k: neighbors per point.
        reg: strength of the ridge of the weights w_i, relative to the trace of the local Gram matrix, or an object of
            `jaxlle.regularizers`. scikit-learn's modified LLE always uses 1e-3.
        metric: as for `knn`.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k, and a mask is respected.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Alignment with m = k + 1 and r = k - dim (at least 1); if s_i is smaller than r, the remaining rows are zero.

    Raises:
        ValueError: for invalid points or reg, or if k < dim.

    Warns:
        RankWarning: if neighborhoods span fewer than dim dimensions.
        DuplicateWarning: if a point has at least k exact copies.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.modified_alignment(x, 2, k=8).blocks.shape
        (100, 6, 9)
    """
    check_count(dim, "dim (n_components)", 1, None, "dimensions of the embedding")
    why = f"modified LLE requires n_neighbors >= n_components = {dim}"
    points, neighbors = find_neighborhoods(x, k, dim, why, metric, neighbors, block_bytes)
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
    reg: RegularizerLike = 1e-3,
    solver: SolverLike = "auto",
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by modified locally linear embedding.

    Modified LLE uses, for every point, all weight vectors whose reconstruction is nearly as accurate as the best one (Zhang and
    Wang 2006, NIPS 19:1593); see `modified_alignment`. Its embedding is less distorted than that of LLE, and depends less on k.
    Supports jit and vmap, where
    solver="auto" selects `DenseQR` or `Landmark`.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point, at least dim.
        reg: strength of the ridge, relative to the trace of the local Gram matrix, or an object of `jaxlle.regularizers`.
        solver: an object of `jaxlle.solvers`, or "auto".
        metric: as for `lle`.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k.
        options: scaling, disconnected graphs, duplicates, random key and memory limit; see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `lle`; also if k < dim.

    Warns:
        RankWarning: if neighborhoods span fewer than dim dimensions.
        JaxlleWarning: as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.modified_lle(x, 2, k=8).points.shape
        (300, 2)
    """
    return run_pipeline(partial(modified_alignment, dim=dim, reg=reg), x, dim, k, metric, solver, options, neighbors)


@partial(jax.jit, static_argnames=("dim", "block_bytes"))
def _blocks(
    source: Source,
    ids: Int[Array, "n m"],
    keep: Bool[Array, "n m"],
    weights: Float[Array, "n k"],
    dim: int,
    block_bytes: int,
) -> tuple[Float[Array, "n r m"], Int[Array, ""]]:
    """Return the blocks, and the number of neighborhoods that span fewer than dim dimensions."""
    k = ids.shape[1] - 1
    rank = k if isinstance(source, FromDistances) else min(k, source.points.shape[1])
    start = min(dim, k - 1)  # number of directions that are never among the s_i

    fixed = lax.stop_gradient(source)

    def find_axes(ids: Array, keep: Array) -> tuple[Array, Array]:
        patch = fixed.patch(ids, keep, rank, "first")
        vectors, _ = reflections(patch.coordinates[1:], 8 * k * float(jnp.finfo(weights.dtype).eps))
        return reflect(vectors, 0, k), patch.variances

    axes, variances = map_members(find_axes, ids, keep, source.row_bytes, block_bytes)
    leading = _count_leading(variances, dim, start, keep.sum(axis=1) - 1)

    find_blocks = jax.vmap(partial(_block, start=start))
    fixed_blocks = lax.stop_gradient(find_blocks(axes[:, :, start:], leading, keep[:, 1:], weights))

    @jax.checkpoint  # the backward pass gathers the points again instead of storing n x k x d
    def block(row: tuple[Array, ...]) -> Array:
        fixed_block, ids, keep, axes, variances, leading, weights = row
        gram = source.gram(ids, keep, "first")[1:, 1:]
        values = jnp.concatenate([variances, jnp.zeros(k - rank, gram.dtype)])
        # The block depends on the span of the leading axes only, so that equal variances on one side of the cut do no harm.
        _, axes = as_subspace(values, axes, gram, leading, rounding_of(values))
        block = _block(axes[:, start:], leading, keep[1:], weights, start)
        first = with_derivative(fixed_block[:1], block[:1])
        return jnp.concatenate([first, rows_with_derivative(fixed_block[1:], block[1:])])

    rows = (fixed_blocks, ids, keep, axes, variances, leading, weights)
    blocks = map_rows(block, rows, cache_budget(block_bytes), (k + 1) * (source.row_bytes + 32 * (k + 1)))
    return blocks, (variances[:, min(dim, rank) - 1] == 0).sum(dtype=jnp.int32)


def _count_leading(variances: Float[Array, "n q"], dim: int, start: int, count: Int[Array, " n"]) -> Int[Array, " n"]:
    """Return, for every point, the number of leading directions that are not among its s_i."""
    inside = jnp.cumsum(variances, axis=1)
    # Summed from the smallest variance: the difference of two large sums would be dominated by rounding.
    outside = jnp.cumsum(variances[:, ::-1], axis=1)[:, ::-1]
    outside = jnp.concatenate([outside[:, 1:], jnp.zeros_like(outside[:, :1])], axis=1)
    ratio = outside / jnp.where(inside > 0, inside, 1)
    eta = jnp.median(ratio[:, min(dim, ratio.shape[1]) - 1])
    limit = jnp.maximum(eta, jnp.finfo(ratio.dtype).tiny)  # on flat data all ratios are 0, which must count as small
    leading = 1 + (ratio >= limit).sum(axis=1, dtype=jnp.int32)
    return jnp.clip(leading, start, jnp.maximum(count - 1, start))


def _block(
    basis: Float[Array, "k r"],
    leading: Int[Array, ""],
    keep: Bool[Array, " k"],
    weights: Float[Array, " k"],
    start: int,
) -> Float[Array, "r m"]:
    """Return the block of one point from an orthonormal basis of its trailing directions, in order of decreasing variance."""
    r = basis.shape[1]
    null = start + jnp.arange(r) >= leading
    sums = jnp.where(null, matmul(keep.astype(basis.dtype), basis), 0)
    size = keep.sum() - leading
    root = jnp.sqrt(size.astype(basis.dtype))
    # A Householder reflection of the basis moves the sums of all columns into the last column.
    square = jnp.sum(sums**2)
    present = square > (8 * len(basis) * jnp.finfo(basis.dtype).eps) ** 2 * len(basis)
    length = square_root(jnp.where(present, square, 0))
    sums = jnp.where(present, sums, 0)
    reflector = sums.at[-1].add(jnp.where(sums[-1] < 0, -length, length))
    scale = jnp.sum(reflector**2)
    scale = jnp.where(scale > 0, scale, 1)
    reflected = basis - jnp.outer(matmul(basis, reflector), 2 * reflector / scale)
    last = reflected[:, -1] * jnp.where(sums[-1] < 0, 1, -1)  # the sign that makes its entries sum to `length`
    first = jnp.concatenate([root[None], -last - (root - length) * weights])
    rest = jnp.where(null[:-1], reflected[:, :-1], 0).T
    rest = jnp.concatenate([jnp.zeros((r - 1, 1), basis.dtype), rest], axis=1)
    return jnp.concatenate([first[None], rest]) * jnp.concatenate([jnp.ones(1, bool), keep])
