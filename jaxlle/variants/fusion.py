"""Several views of the same points: features side by side, weights averaged, or costs added."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.checks import check_dim, is_traced
from .._core.points import Points, prepare_points
from ..alignment import Alignment
from ..alignment.operator import check_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..solvers import Solver
from .standard import lle_alignment


def fuse_views(views: Sequence[Any], *, shares: Any = None) -> Float[Array, "n d"]:
    """Put several sets of features of the same points side by side, each with its share of the squared distances.

    Every view is centred and divided by its root mean squared distance from the centre, so that no view rules by its units. The
    local Gram matrices of the result are the weighted sums of those of the views: LLE then finds one set of weights for all.
    Every variant takes the result as its points. The units and the sum are our own choice; the paper on feature fusion by LLE
    (Sun et al. 2009) was not available.

    Args:
        views: arrays of shape (n, d_v).
        shares: of the views, not negative, shape (number of views,); None: equal. They are divided by their sum.

    Returns:
        Points, shape (n, sum of the d_v); differentiable in the views and the shares.

    Raises:
        ValueError: for bad points, views of different lengths, a view whose points are all equal, or bad shares.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> color, shape = jnp.array([[0.0], [2.0]]), jnp.array([[0.0, 0.0], [300.0, 400.0]])
        >>> jaxlle.variants.fuse_views([color, shape]).round(2).tolist()
        [[-0.71, -0.42, -0.57], [0.71, 0.42, 0.57]]
    """
    arrays = [prepare_points(view, name=f"views[{v}]") for v, view in enumerate(views)]
    share = _shares(shares, len(arrays))
    if len({a.shape[0] for a in arrays}) > 1:
        raise ValueError(
            f"The views have {[a.shape[0] for a in arrays]} rows, but all must show the same points, row by row."
        )
    return jnp.concatenate([_in_own_units(a, v) * jnp.sqrt(share[v]) for v, a in enumerate(arrays)], axis=1)


def average_alignments(alignments: Sequence[Alignment], *, shares: Any = None) -> Alignment:
    """Average several alignments of the same points as operators: ``B = sum_v p_v B_v``.

    For alignments of LLE the weights of the views are averaged, each on its own neighbourhoods.

    Args:
        alignments: of the same number of points and rows a block.
        shares: p_v, as for `fuse_views`.

    Returns:
        Alignment on the neighbourhoods of all views; a point in several of them stands in each.

    Raises:
        ValueError: for malformed alignments, different numbers of points or rows, or bad shares.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 4))
        >>> views = [jaxlle.lle_alignment(x[:, :2], k=6), jaxlle.lle_alignment(x[:, 2:], k=8)]
        >>> jaxlle.variants.average_alignments(views).blocks.shape
        (60, 1, 16)
    """
    share = _shares(shares, len(alignments))
    _check_same(alignments)
    if len({a.blocks.shape[1] for a in alignments}) > 1:
        raise ValueError(
            f"The alignments have blocks of {[a.blocks.shape[1] for a in alignments]} rows, which cannot be averaged: add their "
            f"costs with stack_alignments."
        )
    blocks = [a.blocks * share[v].astype(a.blocks.dtype) for v, a in enumerate(alignments)]
    return Alignment(jnp.concatenate([a.indices for a in alignments], axis=1), jnp.concatenate(blocks, axis=2))


def stack_alignments(alignments: Sequence[Alignment], *, shares: Any = None) -> Alignment:
    """Add the costs of several alignments of the same points: ``|B Y|^2 = sum_v p_v |B_v Y|^2``.

    They may be of different views, different variants (LLE with LTSA) or different k.

    Args:
        alignments: of the same number of points.
        shares: p_v, as for `fuse_views`.

    Returns:
        Alignment whose blocks hold the rows of all.

    Raises:
        ValueError: for malformed alignments, different numbers of points, or bad shares.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 4))
        >>> both = jaxlle.variants.stack_alignments([jaxlle.lle_alignment(x, k=6), jaxlle.ltsa_alignment(x, 2, k=6)])
        >>> both.blocks.shape
        (60, 5, 14)
    """
    share = _shares(shares, len(alignments))
    _check_same(alignments)
    rows = jax.vmap(lambda *blocks: jax.scipy.linalg.block_diag(*blocks))
    scaled = [a.blocks * jnp.sqrt(share[v]).astype(a.blocks.dtype) for v, a in enumerate(alignments)]
    return Alignment(jnp.concatenate([a.indices for a in alignments], axis=1), rows(*scaled))


def multiview_lle(
    views: Sequence[Any],
    dim: int,
    *,
    k: int,
    shares: Any = None,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points that are seen in several views: neighbours and weights in each, and the weights averaged.

    The cost is ``sum_i |y_i - sum_v p_v sum_j w_ij^v y_j|^2``, see `average_alignments`: multi-LLE (Rodosthenous, Shahrezaei and
    Evangelou 2024, PeerJ Computer Science 10:e1993; read in the authors' code, where the shares are equal). For one set of
    weights that fits all views use `lle` on `fuse_views`; to add the views' costs, `embed` on `stack_alignments`.

    Args:
        views: arrays of shape (n, d_v).
        dim: number of columns, at most the features of all views together.
        k: neighbours a point, in each view.
        shares: p_v, as for `fuse_views`.
        reg: strength of the regularizer of the weights.
        solver: one of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: as `lle` for each view, and as `fuse_views`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 6))
        >>> jaxlle.variants.multiview_lle([x[:, :3], x[:, 3:]], 2, k=8).points.shape
        (60, 2)
    """
    prepared = [prepare_points(view, name=f"views[{v}]") for v, view in enumerate(views)]
    fused = prepare_points(fuse_views(prepared, shares=shares))
    dim = check_dim(dim, k, fused.shape, fused.metric)
    each = [lle_alignment(view, k=k, reg=reg, block_bytes=options.block_bytes) for view in prepared]
    alignment = average_alignments(each, shares=shares)
    return embed(alignment, dim, solver=solver, options=options, points=fused)


def _in_own_units(view: Points, number: int) -> Float[Array, "n d"]:
    points = view.coordinates
    centered = points - points.mean(axis=0)
    square = jnp.sum(centered**2) / points.shape[0]
    if not is_traced(square) and not bool(square > 0):
        raise ValueError(f"All points of views[{number}] are equal (degenerate data): leave that view out.")
    return centered / jnp.sqrt(jnp.where(square > 0, square, 1))


def _shares(shares: Any, count: int) -> Float[Array, " v"]:
    if count == 0:
        raise ValueError("There is no view: pass at least one.")
    share = jnp.ones(count) if shares is None else jnp.asarray(shares, jnp.result_type(float))
    if share.shape != (count,):
        raise ValueError(f"shares has shape {share.shape}, but there are {count} views: one share each.")
    if not is_traced(share) and not bool(((share >= 0) & jnp.isfinite(share)).all() & (share.sum() > 0)):
        raise ValueError(f"shares = {np.asarray(share).tolist()} is not allowed: finite, not negative, and not all 0.")
    return share / share.sum()


def _check_same(alignments: Sequence[Alignment]) -> None:
    counts = [a.indices.shape[0] for a in alignments]
    if len(set(counts)) > 1:
        raise ValueError(f"The alignments have {counts} points, but all must be of the same points.")
    for alignment in alignments:
        if not is_traced(alignment):
            check_alignment(alignment)
