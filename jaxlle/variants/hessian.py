"""Hessian locally linear embedding (Donoho and Grimes 2003)."""

from functools import partial
from typing import Any, Literal

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
from ..neighbors.graph import check_indices
from ..solvers import Solver
from ..weights.frames import Source, map_members, members, source_of, warn_rank_deficient
from ._pipeline import find_neighbors, prepare, run_pipeline


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
    """Compute the alignment of Hessian LLE: the second derivatives of a function, read off every neighbourhood.

    With t_1, ..., t_dim the coordinates of the members in the neighbourhood's tangent space, the columns ``1, t_a, t_a t_b``
    (a <= b) are orthonormalised in this order, and block i is the transpose of the last dim (dim + 1) / 2 of them: zero on
    affine functions, and a measure of the Hessian of others (Donoho and Grimes 2003, PNAS 100:5591).

    scikit-learn's `method="hessian"` orthonormalises by a full QR and takes all columns behind the affine ones: with more
    members than 1 + dim (dim + 3) / 2 that is LTSA, not Hessian LLE; `ltsa_alignment` computes it.

    Args:
        x: points, shape (n, d), or distances of shape (n, n) with metric="precomputed".
        dim: dimensions of the tangent spaces.
        k: neighbours a point.
        metric: as for `knn`; tangent spaces are those of the coordinates, or, "precomputed", of the distances.
        neighbors: a ready graph to use in place of `knn`; a mask is honoured.
        include_self: whether a point belongs to its own neighbourhood. None: yes if dim > 1. Without it a point in nobody's
            neighbourhood is held by nothing; but for dim = 1 a block has one row, and with it the points near an end of a
            curve, which share their neighbourhood, would share their only equation. scikit-learn: no.
        block_bytes: memory that one block of points may take.

    Returns:
        Alignment with m = k + 1 (k without the point itself) and r = dim (dim + 1) / 2. A second derivative that the members
        cannot tell from affine functions, as on a small lattice, has a row of zeros.

    Raises:
        ValueError: for bad points, or k too small: a neighbourhood needs more than dim (dim + 3) / 2 members.

    Warns:
        RankWarning: if neighbourhoods do not determine a quadratic function.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.hessian_alignment(x, 2, k=8).blocks.shape
        (100, 3, 9)
    """
    k = k if neighbors is None else neighbors.indices.shape[1]
    check_count(dim, "dim (n_components)", 1, None, "dimensions of the tangent spaces")
    include_self = dim > 1 if include_self is None else include_self
    need = dim * (dim + 3) // 2
    why = f"a quadratic function of dim = {dim} variables needs more than dim (dim + 3) / 2 = {need} members"
    check_count(k, "k (n_neighbors)", need if include_self else need + 1, None, why)
    points = prepare(x, metric)
    neighbors = find_neighbors(points, k, neighbors, block_bytes)
    check_indices(neighbors, points.shape[0], points.shape[0])
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
    solver: Solver | Literal["auto"] = "auto",
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    include_self: bool | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by Hessian locally linear embedding.

    The embedding's columns have the least squared Hessian, summed over the manifold, among orthonormal functions (Donoho and
    Grimes 2003, PNAS 100:5591): see `hessian_alignment`. Isometric parameters are recovered, up to an affine map, also where the
    parameter space is not convex, as a sheet with a hole. Runs under jit and vmap, then with `DenseQR`.

    Args:
        x: points, shape (n, d), or distances of shape (n, n) with metric="precomputed".
        dim: dimensions of the tangent spaces and of the embedding, at most d.
        k: neighbours a point, at least dim (dim + 3) / 2. Second derivatives are estimated well with a few more only.
        solver: one of `jaxlle.solvers`, or "auto".
        metric: as for `lle`.
        neighbors: a ready graph to use in place of `knn`.
        include_self: as for `hessian_alignment`.
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `lle`; also for k too small.

    Warns:
        RankWarning, and as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points
        >>> jaxlle.hessian_lle(x, 2, k=8).points.shape
        (300, 2)
    """
    align = partial(
        hessian_alignment, dim=dim, k=k, neighbors=neighbors, include_self=include_self, block_bytes=options.block_bytes
    )
    return run_pipeline(align, x, dim, k, metric, solver, options)


@partial(jax.jit, static_argnames=("dim", "block_bytes"))
def _blocks(
    source: Source, ids: Int[Array, "n m"], keep: Bool[Array, "n m"], dim: int, block_bytes: int
) -> tuple[Float[Array, "n r m"], Int[Array, ""]]:
    """Return the blocks, and the number of neighbourhoods that do not determine a quadratic function."""
    first, second = jnp.triu_indices(dim)

    def one(ids: Array, keep: Array) -> tuple[Array, Array]:
        t = source.patch(ids, keep, dim, "mean").coordinates
        columns = jnp.concatenate([keep[:, None].astype(t.dtype), t, t[:, first] * t[:, second]], axis=1)
        vectors, pivots = reflections(columns, 8 * len(t) * float(jnp.finfo(t.dtype).eps))
        rows = reflect(vectors, dim + 1, columns.shape[1]).T
        return rows * (pivots[dim + 1 :, None] != 0), (pivots == 0).any()

    blocks, deficient = map_members(one, ids, keep, source.row_bytes + 16 * len(first), block_bytes)
    return blocks, deficient.sum(dtype=jnp.int32)
