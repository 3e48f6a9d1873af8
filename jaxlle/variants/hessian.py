"""Hessian locally linear embedding (Donoho and Grimes 2003)."""

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


def hessian_alignment(
    x: Any,
    dim: int,
    *,
    k: int,
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    include_self: bool | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment of Hessian LLE, which estimates the second derivatives of a function in every neighborhood.

    Let t_1, ..., t_dim be the coordinates of the members of neighborhood i in its tangent space. The columns
    ``1, t_a, t_a t_b`` (a <= b) are orthonormalized in this order, and block i is the transpose of the last dim (dim + 1) / 2
    of them. It is zero on affine functions and measures the Hessian of other functions (Donoho and Grimes 2003, PNAS 100:5591).

    Derivatives are correct for functions of M = B^T B. They are finite also where M jumps: where the tangent space is arbitrary,
    as described in `ltsa_alignment`, and where the columns are linearly dependent, as in dim = 2 on a circle and in dim = 3 on a
    sphere, whose points satisfy a quadratic equation. A dependent column has no row there, and adds nothing to the derivative.

    scikit-learn's `method="hessian"` orthonormalizes by a full QR decomposition and takes all columns after the affine
    functions. With more than 1 + dim (dim + 3) / 2 members that is LTSA and not Hessian LLE; `ltsa_alignment` computes it.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        dim: dimensions of the tangent spaces.
        k: neighbors per point, at least dim (dim + 3) / 2, and one more without include_self.
        metric: as for `knn`; it determines the neighbors. Tangent spaces are computed from the coordinates, or from the
            distances with metric="precomputed".
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k, and a mask is respected.
        include_self: whether a point is a member of its own neighborhood; None means dim > 1, and scikit-learn uses False. If
            False, a point that is in no neighborhood is not constrained. For dim = 1, however, a block has a single row, and
            points near the end of a curve, which have the same members if the point itself is included, would all have the same
            equation.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Alignment with m = k + 1 (k without the point itself) and r = dim (dim + 1) / 2. A second derivative that depends
        linearly on the preceding columns at the members, as on a small lattice, has a row of zeros.

    Raises:
        ValueError: for invalid points, or if k is too small: a neighborhood needs more than dim (dim + 3) / 2 members.

    Warns:
        RankWarning: if neighborhoods do not determine a quadratic function.
        DuplicateWarning: if a point has at least k exact copies.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.hessian_alignment(x, 2, k=8).blocks.shape
        (100, 3, 9)
    """
    check_count(dim, "dim (n_components)", 1, None, "dimensions of the tangent spaces")
    include_self = dim > 1 if include_self is None else include_self
    need = dim * (dim + 3) // 2
    why = f"a quadratic function of dim = {dim} variables needs more than dim (dim + 3) / 2 = {need} members"
    low = need if include_self else need + 1
    points, neighbors = find_neighborhoods(x, k, low, why, metric, neighbors, block_bytes)
    source = source_of(points)
    ids, keep = members(neighbors, include_self)
    blocks, deficient = _blocks(source, ids, keep, dim, block_bytes)
    warn_rank_deficient(deficient, blocks, f"the quadratic functions of dim = {dim} variables")
    return Alignment(ids, blocks)


def hessian_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    solver: SolverLike = "auto",
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    include_self: bool | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by Hessian locally linear embedding.

    The columns of the embedding minimize the squared norm of the Hessian, summed over the manifold, among orthonormal functions
    (Donoho and Grimes 2003, PNAS 100:5591); see `hessian_alignment`. Isometric parameters are recovered up to an affine map,
    also if the parameter space is not convex, such as a sheet with a hole. Supports jit and vmap, where
    solver="auto" selects `DenseQR` or `Landmark`.

    Args:
        x: points, shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value.
        dim: dimensions of the tangent spaces and of the embedding, at most d.
        k: neighbors per point, at least dim (dim + 3) / 2. Second derivatives are estimated well with only a few more.
        solver: an object of `jaxlle.solvers`, or "auto".
        metric: as for `lle`.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k.
        include_self: as for `hessian_alignment`.
        options: scaling, disconnected graphs, duplicates, random key and memory limit; see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `lle`; also if k is too small for dim.

    Warns:
        RankWarning: if neighborhoods do not determine a quadratic function.
        JaxlleWarning: as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.hessian_lle(x, 2, k=8).points.shape
        (300, 2)
    """
    align = partial(hessian_alignment, dim=dim, include_self=include_self)
    return run_pipeline(align, x, dim, k, metric, solver, options, neighbors)


@partial(jax.jit, static_argnames=("dim", "block_bytes"))
def _blocks(
    source: Source, ids: Int[Array, "n m"], keep: Bool[Array, "n m"], dim: int, block_bytes: int
) -> tuple[Float[Array, "n r m"], Int[Array, ""]]:
    """Return the blocks, and the number of neighborhoods that do not determine a quadratic function."""
    first, second = jnp.triu_indices(dim)

    def one(source: Source, ids: Array, keep: Array) -> tuple[Array, Array]:
        t, variances = source.patch(ids, keep, dim, "mean")
        columns = jnp.concatenate([keep[:, None].astype(t.dtype), t, t[:, first] * t[:, second]], axis=1)
        # Rounding errors are relative to the longest axis, and therefore larger relative to shorter ones and their products.
        tol = 8 * len(t) * float(jnp.finfo(t.dtype).eps)
        short = tol * jnp.sqrt(jnp.where(variances > 0, variances[0] / jnp.where(variances > 0, variances, 1), 1))
        tols = jnp.concatenate([jnp.full(1, tol, t.dtype), short, short[first] + short[second]])
        vectors, present = reflections(columns, tols)
        affine = present[: dim + 1].sum()
        rows = reflect(vectors, affine, len(first)).T
        return rows * (jnp.arange(len(first)) < present.sum() - affine)[:, None], ~present.all()

    return map_bases(one, source, ids, keep, source.row_bytes + 16 * len(first), block_bytes)
