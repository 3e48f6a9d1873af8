"""LLE with weights in local tangent coordinates (Goldberg and Ritov 2008), which needs no ridge."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .. import distances
from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count, is_traced, warn_user
from .._core.linear import matmul
from ..alignment import Alignment, weights_alignment
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..solvers import SolverLike
from ..warnings import RankWarning
from ..weights.frames import Source, map_members, members, source_of
from ._pipeline import find_neighborhoods, run_pipeline


def ldr_alignment(
    x: Any,
    dim: int,
    *,
    k: int,
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment B = I - W with the weights of LLE in a low-dimensional representation of each neighborhood.

    Let the rows of T be the differences of the k neighbors to point x_i, projected on their dim principal axes about x_i. The
    weights are those of least norm that reconstruct x_i in these coordinates,

        min |w|^2  subject to  T^T w = 0,  sum_j w_j = 1,   so that  w = P 1 / (1^T P 1),

    where P projects on the complement of the columns of T (Goldberg and Ritov 2008, Machine Learning 77:1, arXiv 0808.0780,
    LDR-LLE; the equations are from memory, and the tests compare them with LLE of the projected neighbors with a vanishing
    ridge). In all dimensions the weights of LLE describe the noise and the curvature across the manifold as well, and
    without a ridge they lead to a projection of the data; in tangent coordinates more neighbors than dimensions need no ridge.

    The derivatives are those of a subspace, as for `ltsa_alignment`.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        dim: dimensions of the tangent spaces.
        k: neighbors per point, at least dim + 1.
        metric: as for `knn`; it determines the neighbors only. Tangent spaces are computed from the coordinates, or from the
            distances with metric="precomputed".
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k, and a mask is respected.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Alignment with r = 1 and m = k + 1.

    Raises:
        ValueError: for invalid points, or if k is at most dim.

    Warns:
        RankWarning: if no affine combination of some neighborhoods reconstructs their point in tangent coordinates; their weights
            are then those of least error.
        DuplicateWarning: if a point has at least k exact copies.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.variants.ldr_alignment(x, 2, k=8).blocks.shape
        (100, 1, 9)
    """
    check_count(dim, "dim (n_components)", 1, None, "dimensions of the tangent spaces")
    why = f"weights that reconstruct a point in dim = {dim} coordinates and sum to one need more neighbors than coordinates"
    points, neighbors = find_neighborhoods(x, k, dim + 1, why, metric, neighbors, block_bytes)
    weights, missing = _weights(source_of(points), *members(neighbors), dim, block_bytes)
    if not is_traced(missing) and int(missing):
        warn_user(
            f"{int(missing)} of {len(weights)} points are not an affine combination of their neighbors in {dim} tangent "
            f"coordinates (all neighbors lie on one side, on a line or hyperplane): raise k, or remove duplicates.",
            RankWarning,
        )
    return weights_alignment(neighbors, weights)


def ldr_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    solver: SolverLike = "auto",
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by LLE with weights in local tangent coordinates, which are less sensitive to noise and need no ridge.

    The embedding is that of LLE with the weights of `ldr_alignment` (Goldberg and Ritov 2008, Machine Learning 77:1). Supports
    jit and vmap, where solver="auto" selects `DenseQR` or `Landmark`.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        dim: dimensions of the tangent spaces and of the embedding, at most d.
        k: neighbors per point, at least dim + 1.
        solver: an object of `jaxlle.solvers`, or "auto".
        metric: as for `lle`.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k.
        options: scaling, disconnected graphs, duplicates, random key and memory limit; see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `lle`; also if k is at most dim.

    Warns:
        RankWarning: as `ldr_alignment`.
        JaxlleWarning: as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.variants.ldr_lle(x, 2, k=10).points.shape
        (300, 2)
    """
    return run_pipeline(partial(ldr_alignment, dim=dim), x, dim, k, metric, solver, options, neighbors)


@partial(jax.jit, static_argnames=("dim", "block_bytes"))
def _weights(
    source: Source, ids: Int[Array, "n m"], keep: Bool[Array, "n m"], dim: int, block_bytes: int
) -> tuple[Float[Array, "n k"], Int[Array, ""]]:
    """Return the weights of the members but the first, and the number of points that they do not reconstruct."""

    def one(ids: Array, keep: Array) -> tuple[Array, Array]:
        patch = source.patch(ids, keep, dim, "first")
        lengths = jnp.where(patch.variances > 0, patch.variances, 1)
        axes, ones = (patch.coordinates / jnp.sqrt(lengths))[1:], keep[1:].astype(lengths.dtype)
        # The axes are orthonormal, but their derivative is that of a basis of their span which does not stay orthonormal. The
        # inverse of A^T A = I - E is I + E + E^2 + E^3 with derivatives up to the third.
        error = jnp.diag((patch.variances > 0).astype(lengths.dtype)) - matmul(axes.T, axes)
        share = matmul(axes.T, ones)
        for _ in range(3):
            share = matmul(axes.T, ones) + matmul(error, share)
        free = ones - matmul(axes, share)  # P 1
        total = jnp.sum(free)
        feasible = total > 64 * len(ids) * jnp.finfo(total.dtype).eps
        # In the limit of a vanishing ridge: the weights of least error, if none reconstruct the point.
        nearest = matmul(axes, share / lengths)
        nearest_total = jnp.sum(nearest)
        usable = jnp.where(feasible, total, jnp.where(nearest_total > 0, nearest_total, 1))
        return jnp.where(feasible, free, nearest) / usable, ~feasible & (jnp.sum(ones) > 0)

    weights, missing = map_members(one, ids, keep, source.row_bytes, block_bytes)
    return weights, missing.sum(dtype=jnp.int32)
