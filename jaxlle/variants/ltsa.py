"""Local tangent space alignment (Zhang and Zha 2004)."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .. import distances
from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count
from .._core.linear import reflect, reflections
from ..alignment import Alignment
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..solvers import SolverLike
from ..weights.frames import Source, map_bases, members, source_of, warn_rank_deficient
from ._pipeline import find_neighborhoods, run_pipeline


def ltsa_alignment(
    x: Any,
    dim: int,
    *,
    k: int,
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    include_self: bool = True,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment of local tangent spaces: the part of a neighborhood that no affine map of its tangent space explains.

    Let the rows of a matrix be the m members of neighborhood i, centered, and let Q_i hold its first dim left singular vectors.
    The cost of an embedding is ``sum_i |(I - 1 1^T / m - Q_i Q_i^T) Y_i|^2`` (Zhang and Zha 2004, SIAM J. Sci. Comput. 26:313).
    Block i is an orthonormal basis of the rows of this projector, so that M = B^T B is the alignment matrix of the paper. The
    basis is not unique: only M is, and derivatives are correct for functions of M.

    Derivatives are those of a subspace, so that equal variances of a neighborhood along its first dim axes, as on a grid, do no
    harm. Where the variance along the next axis is equal too, the tangent space is arbitrary and M jumps: the derivative there is
    finite, and leaves out the rotation between these axes.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        dim: dimensions of the tangent spaces.
        k: neighbors per point, at least dim + 1, and one more without include_self.
        metric: as for `knn`; it determines the neighbors. Tangent spaces are computed from the coordinates, or from the
            distances with metric="precomputed".
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k, and a mask is respected.
        include_self: whether a point is a member of its own neighborhood, as in the paper. scikit-learn excludes it; a point
            that is in no neighborhood is then not constrained.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Alignment with m = k + 1 (k without the point itself) and r = m - 1 - dim.

    Raises:
        ValueError: for invalid points, or if k is too small: a neighborhood needs more than dim + 1 members.

    Warns:
        RankWarning: if neighborhoods span fewer than dim dimensions.
        DuplicateWarning: if a point has at least k exact copies.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.ltsa_alignment(x, 2, k=8).blocks.shape
        (100, 6, 9)
    """
    check_count(dim, "dim (n_components)", 1, None, "dimensions of the tangent spaces")
    low = dim + 1 if include_self else dim + 2
    why = f"LTSA fits dim + 1 = {dim + 1} affine functions in every neighborhood, which needs more members than that"
    points, neighbors = find_neighborhoods(x, k, low, why, metric, neighbors, block_bytes)
    source = source_of(points)
    ids, keep = members(neighbors, include_self)
    blocks, deficient = _blocks(source, ids, keep, dim, block_bytes)
    warn_rank_deficient(deficient, blocks, f"dim = {dim} dimensions")
    return Alignment(ids, blocks)


def ltsa(
    x: Any,
    dim: int,
    *,
    k: int,
    solver: SolverLike = "auto",
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    include_self: bool = True,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by local tangent space alignment.

    The embedding minimizes the squared distance to affine functions of the tangent coordinates, summed over the neighborhoods
    (Zhang and Zha 2004, SIAM J. Sci. Comput. 26:313); see `ltsa_alignment`. Supports jit and vmap, where
    solver="auto" selects `DenseQR` or `Landmark`.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        dim: dimensions of the tangent spaces and of the embedding, at most d.
        k: neighbors per point, at least dim + 1.
        solver: an object of `jaxlle.solvers`, or "auto".
        metric: as for `lle`.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k.
        include_self: as for `ltsa_alignment`.
        options: scaling, disconnected graphs, duplicates, random key and memory limit; see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `lle`; also if k is too small for dim.

    Warns:
        RankWarning: if neighborhoods span fewer than dim dimensions.
        JaxlleWarning: as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.ltsa(x, 2, k=8).points.shape
        (300, 2)
    """
    align = partial(ltsa_alignment, dim=dim, include_self=include_self)
    return run_pipeline(align, x, dim, k, metric, solver, options, neighbors)


@partial(jax.jit, static_argnames=("dim", "block_bytes"))
def _blocks(
    source: Source, ids: Int[Array, "n m"], keep: Bool[Array, "n m"], dim: int, block_bytes: int
) -> tuple[Float[Array, "n r m"], Int[Array, ""]]:
    """Return the blocks, and the number of neighborhoods that span fewer than dim dimensions."""
    m = ids.shape[1]

    def one(source: Source, ids: Array, keep: Array) -> tuple[Array, Array]:
        patch = source.patch(ids, keep, dim, "mean")
        affine = jnp.concatenate([keep[:, None].astype(patch.coordinates.dtype), patch.coordinates], axis=1)
        vectors, present = reflections(affine, 8 * m * float(jnp.finfo(affine.dtype).eps))
        return reflect(vectors, dim + 1, m - 1 - dim).T * keep, ~present.all()

    return map_bases(one, source, ids, keep, source.row_bytes, block_bytes)
