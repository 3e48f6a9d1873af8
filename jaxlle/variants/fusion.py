"""Several views of the same points: features concatenated, weights averaged, or costs added."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.arrays import read_floats
from .._core.checks import check_dim, is_traced
from .._core.points import Points, prepare_points
from ..alignment import Alignment
from ..alignment.operator import prepare_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..solvers import SolverLike
from .standard import lle_alignment


def fuse_views(views: Sequence[Any], *, shares: Any = None) -> Float[Array, "n d"]:
    """Concatenate several sets of features of the same points, with given shares of the squared distances.

    Every view is centered and divided by its root mean squared distance from the center, so that no view dominates through
    its units. The local Gram matrices of the result are the sums ``G_i = sum_v p_v G_i^v`` of those of the views, weighted by
    the shares, so that LLE finds one set of weights for all views. Every variant accepts the result as its points. The
    normalization and the sum are definitions of this library; the paper on feature fusion by LLE (Sun et al. 2009) was not
    available.

    Args:
        views: arrays of shape (n, d_v), or `Points` values.
        shares: nonnegative shares p_v of the views, shape (number of views,); they are divided by their sum. None: equal
            shares.

    Returns:
        Points, shape (n, sum of the d_v); differentiable in the views and the shares.

    Raises:
        ValueError: if a view is not an array of finite numbers or all of its points are equal, the views differ in their
            numbers of rows, there are no views, or the shares are invalid.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> color, shape = jnp.array([[0.0], [2.0]]), jnp.array([[0.0, 0.0], [300.0, 400.0]])
        >>> jaxlle.variants.fuse_views([color, shape]).round(2).tolist()
        [[-0.71, -0.42, -0.57], [0.71, 0.42, 0.57]]
    """
    arrays = [prepare_points(view, name=f"views[{v}]") for v, view in enumerate(views)]
    share = _prepare_shares(shares, len(arrays))
    if len({a.shape[0] for a in arrays}) > 1:
        raise ValueError(
            f"The views have {[a.shape[0] for a in arrays]} rows, but all must describe the same points, row by row."
        )
    return jnp.concatenate([_normalize(a, v) * jnp.sqrt(share[v]) for v, a in enumerate(arrays)], axis=1)


def average_alignments(alignments: Sequence[Alignment], *, shares: Any = None) -> Alignment:
    """Average several alignments of the same points as operators: ``B = sum_v p_v B_v``.

    For alignments of LLE this averages the weights of the views, each on its own neighborhoods (Rodosthenous, Shahrezaei and
    Evangelou 2024, PeerJ Computer Science 10:e1993).

    Args:
        alignments: alignments with the same number of points and of rows per block.
        shares: shares p_v, as for `fuse_views`.

    Returns:
        Alignment on the neighborhoods of all views. A point in the neighborhoods of several views occurs once per view.

    Raises:
        ValueError: if an alignment is malformed, the numbers of points or of rows differ, or the shares are invalid.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 4))
        >>> views = [jaxlle.lle_alignment(x[:, :2], k=6), jaxlle.lle_alignment(x[:, 2:], k=8)]
        >>> jaxlle.variants.average_alignments(views).blocks.shape
        (60, 1, 16)
    """
    share = _prepare_shares(shares, len(alignments))
    alignments = _read_alignments(alignments)
    if len({a.blocks.shape[1] for a in alignments}) > 1:
        raise ValueError(
            f"The alignments have blocks of {[a.blocks.shape[1] for a in alignments]} rows, which cannot be averaged: use "
            f"stack_alignments, which adds their costs."
        )
    blocks = [a.blocks * share[v].astype(a.blocks.dtype) for v, a in enumerate(alignments)]
    return Alignment(jnp.concatenate([a.indices for a in alignments], axis=1), jnp.concatenate(blocks, axis=2))


def stack_alignments(alignments: Sequence[Alignment], *, shares: Any = None) -> Alignment:
    """Add the costs of several alignments of the same points: ``|B Y|^2 = sum_v p_v |B_v Y|^2``.

    The alignments may belong to different views, different variants (such as LLE and LTSA) or different k. The sum is a
    definition of this library.

    Args:
        alignments: alignments with the same number of points.
        shares: shares p_v, as for `fuse_views`.

    Returns:
        Alignment whose blocks contain the rows of all alignments.

    Raises:
        ValueError: if an alignment is malformed, the numbers of points differ, or the shares are invalid.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 4))
        >>> both = jaxlle.variants.stack_alignments([jaxlle.lle_alignment(x, k=6), jaxlle.ltsa_alignment(x, 2, k=6)])
        >>> both.blocks.shape
        (60, 5, 14)
    """
    share = _prepare_shares(shares, len(alignments))
    alignments = _read_alignments(alignments)
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
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points with several views by LLE: neighbors and weights in each view, and the average of the weights.

    Minimizes ``sum_i |y_i - sum_v p_v sum_j w_ij^v y_j|^2`` over centered Y with orthonormal columns: see
    `average_alignments`. This is multi-LLE (Rodosthenous, Shahrezaei and Evangelou 2024, PeerJ Computer Science 10:e1993;
    read in the code of the authors, where the shares are equal). For one set of weights that fits all views use `lle` on the
    result of `fuse_views`; to add the costs of the views use `embed` on the result of `stack_alignments`.

    Args:
        views: arrays of shape (n, d_v), or `Points` values.
        dim: dimensions of the embedding, at most the number of features of all views together.
        k: neighbors per point in each view.
        shares: shares p_v, as for `fuse_views`.
        reg: strength of the ridge of the weights, as for `lle`.
        solver: an object of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`. `dedupe` is not available.

    Returns:
        Embedding.

    Raises:
        ValueError: as `lle` for each view, and as `fuse_views`; also for options.dedupe.

    Warns:
        JaxlleWarning: as `lle`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (60, 6))
        >>> jaxlle.variants.multiview_lle([x[:, :3], x[:, 3:]], 2, k=8).points.shape
        (60, 2)
    """
    prepared = [prepare_points(view, name=f"views[{v}]") for v, view in enumerate(views)]
    fused = prepare_points(fuse_views(prepared, shares=shares))
    dim = check_dim(dim, k, fused.shape, fused.metric)
    alignments = [lle_alignment(view, k=k, reg=reg, block_bytes=options.block_bytes) for view in prepared]
    alignment = average_alignments(alignments, shares=shares)
    return embed(alignment, dim, solver=solver, options=options, points=fused)


def _normalize(view: Points, number: int) -> Float[Array, "n d"]:
    """Return the centered points of a view with a mean squared norm of 1."""
    points = view.coordinates
    centered = points - points.mean(axis=0)
    square = jnp.sum(centered**2) / points.shape[0]
    if not is_traced(square) and not bool(square > 0):
        raise ValueError(f"All points of views[{number}] are equal (degenerate data): leave that view out.")
    return centered / jnp.sqrt(jnp.where(square > 0, square, 1))


def _prepare_shares(shares: Any, count: int) -> Float[Array, " v"]:
    """Validate the shares, and divide them by their sum."""
    if count == 0:
        raise ValueError("There are no views: pass at least one.")
    share = jnp.ones(count) if shares is None else read_floats(shares, "shares")
    if share.shape != (count,):
        raise ValueError(f"shares has shape {share.shape}, but there are {count} views: pass one share per view.")
    if not is_traced(share) and not bool(((share >= 0) & jnp.isfinite(share)).all() & (share.sum() > 0)):
        raise ValueError(
            f"shares = {np.asarray(share).tolist()} is not allowed: shares must be finite, not negative, and not all 0."
        )
    return share / share.sum()


def _read_alignments(alignments: Sequence[Alignment]) -> list[Alignment]:
    """Return validated alignments; raise if they differ in their numbers of points."""
    alignments = [prepare_alignment(a) for a in alignments]
    counts = [a.indices.shape[0] for a in alignments]
    if len(set(counts)) > 1:
        raise ValueError(f"The alignments have {counts} points, but all must have the same points.")
    return alignments
