"""Alignment of different data sets by pairs of points: one joint operator for all sets, and its embedding."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.checks import check_count, is_traced, to_host_if_cheap, warn_user
from ..alignment import Alignment, connected_components
from ..alignment.operator import prepare_alignment
from ..embedding import DisconnectedGraphError, Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..solvers import SolverLike
from ..warnings import DisconnectedGraphWarning
from ._pairs import Links, read_groups, read_links
from .propagation import Words, check_components


def align(
    alignments: Sequence[Alignment],
    pairs: Any,
    dim: int,
    *,
    trust: Any = None,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> tuple[Embedding, ...]:
    """Embed several data sets in one space, given a few pairs of points that correspond to each other.

    The sets may have different numbers of points and different features. Their embeddings Y_v minimize the sum of the costs of
    all sets, over centered columns that are orthonormal over the points of all sets together,

    ``sum_v |B_v Y_v|^2   subject to   y_a = y_b for each pair (a, b)``,

    or, with trust, ``sum_v |B_v Y_v|^2 + sum_(a, b) trust_ab |y_a - y_b|^2``. Points of different sets that correspond to each
    other then have nearly the same position, although only a few of them were given. The problem is that of Ham, Lee and Saul
    (2005, Semisupervised alignment of manifolds, AISTATS, p. 120), with exact and soft pairs of two sets, and of Wang and
    Mahadevan (2009, A general framework for manifold alignment, AAAI Fall Symposium), with soft pairs of several sets; both are
    cited from memory. One detail differs: in the hard problem of the former a pair counts as one point in the norm of a column,
    and here as two, so that exact pairs are the limit of a large trust.

    Use alignments for which the coordinates of a surface have nearly no cost: those of LTSA, Hessian or modified LLE, or LLE
    with a small reg. Then dim + 1 pairs in general position determine the other points, if the sets are flat in the same
    coordinates. For two views of 2,000 points of a Swiss roll with 10 pairs, the 10 nearest points of the other view contain the
    partner of every point with LTSA, of 92 to 100 % with LLE, and of 2 % with the graph Laplacian, because single points hardly
    affect functions of small gradient in two dimensions or more.

    New points of each set are mapped by `jaxlle.transform(x_new, x, embedding.points, ...)`, which places them in the common
    space, where `jaxlle.knn` finds their partners in the other sets and `jaxlle.inverse_transform` maps them to the features of
    these. `jaxlle.metrics.matching_accuracy` and `jaxlle.metrics.foscttm` compare the result with known partners.

    Args:
        alignments: of two or more sets, by any variant. Their costs are added as they are: use the same variant for all, or scale
            their blocks.
        pairs: for two sets the row numbers of the pairs in either, shape (m, 2). For several sets a dictionary
            ``{(u, v): rows}`` of such arrays for some of the pairs of sets, which must connect all of them. The rows are
            concrete, inside jit too.
        dim: number of columns, less than the number of points of each set.
        trust: None for exact pairs, or a positive weight for all pairs or for each, shape (m,); for several sets also a
            dictionary with the keys of pairs. It is compared with the diagonal of M = B^T B, about 1 for LLE and k for LTSA: a
            trust far above it is nearly exact. With trust a point may have several partners in one set.
        solver: as for `embed`.
        options: as for `embed`. With ``disconnected="largest"`` points that are not connected to the others are left out, and
            `Embedding.rows` lists those that remain.

    Returns:
        One Embedding per set, with the points of that set, and with the singular values, the residuals, the gap and the number
        of components of the joint problem. Exact pairs have equal coordinates. Differentiable as a subspace, in the blocks and
        in the trust, as `embed`.

    Raises:
        ValueError: for malformed alignments; pairs that are out of range, repeated, or none; exact pairs that would join two
            points of one set; trust that is not positive and finite; or a dim that is out of range.
        TypeError: for fewer than two alignments in a list, or pairs that are traced.
        DisconnectedGraphError: a ValueError, if a component of a set contains no paired point and options.disconnected is not
            "largest", or the joint graph is disconnected and it is "error".

    Warns:
        JaxlleWarning: for components of a set with at most dim paired points. Some columns then separate the sets, because a
            linear function that is zero at all pairs has nearly no cost.
        DisconnectedGraphWarning: as `embed`, for the joint graph; also for closed classes of a set without a paired point.
        ConvergenceWarning, GapWarning: as `embed`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> curve = jaxlle.datasets.s_curve(jax.random.key(0), 500)
        >>> t, h = curve.parameters.T
        >>> arch = jnp.stack([jnp.cos(t / 3), jnp.sin(t / 3), h / 3, h / 3], axis=1)  # another surface, of the same coordinates
        >>> sets = [jaxlle.ltsa_alignment(view, 2, k=10) for view in (curve.points, arch[100:])]
        >>> pairs = [[100, 0], [200, 100], [300, 200], [400, 300], [499, 399]]
        >>> first, second = jaxlle.semisupervised.align(sets, pairs, 2)
        >>> first.points.shape, second.points.shape
        ((500, 2), (400, 2))
        >>> bool(jaxlle.metrics.matching_accuracy(first.points[100:], second, k=10) > 0.9)
        True
    """
    sets = _read_sets(alignments)
    sizes = [a.indices.shape[0] for a in sets]
    dim = check_count(dim, "dim (n_components)", 1, min(sizes) - 1, "less than the number of points of each set")
    links = read_links(pairs, trust, sizes)
    groups = None if links.trust is not None else read_groups(links, sizes)
    fixed = lax.stop_gradient(sets)
    if not is_traced(fixed) and options.disconnected != "largest":
        warned = False
        for v, single in enumerate(fixed):  # a single warning, as sets usually lack the same pairs
            warned |= _check_set(single, v, links.rows_of(v, sizes), 0 if warned else dim, options.disconnected)
    joint = _exact(sets, groups) if groups is not None else _soft(sets, links)
    out = embed(joint, dim, solver=solver, options=options)
    return _divide(out, sizes, groups)


def _read_sets(alignments: Any) -> list[Alignment]:
    """Return validated alignments of one dtype; raise for fewer than two."""
    if not isinstance(alignments, list | tuple) or hasattr(alignments, "blocks") or len(alignments) < 2:
        given = (
            f"{len(alignments)} in a list" if isinstance(alignments, list) else f"of type {type(alignments).__name__}"
        )
        raise TypeError(f"alignments must be a list of two or more Alignment values, one per set, got {given}.")
    sets = [prepare_alignment(a) for a in alignments]
    dtype = jnp.result_type(*(a.blocks for a in sets))
    return [a._replace(blocks=a.blocks.astype(dtype)) for a in sets]


def _check_set(alignment: Alignment, number: int, paired: np.ndarray, dim: int, disconnected: str) -> bool:
    """Raise if a component of a set has no paired point; warn if it has too few of them, and return whether."""
    graph, components = f"the neighborhood graph of alignments[{number}]", connected_components(alignment)
    free = [members for members in components.closed if not np.isin(members, paired).any()]
    if free and len(components.closed) > len(components.sizes):
        text = (
            f"{len(free)} of {len(components.closed)} closed classes of {graph} have no paired point, such as that of point "
            f"{free[0][0]} ({len(free[0])} points whose neighborhoods contain no other points): the first columns may only "
            f"separate them. Pair points in every class, or raise k."
        )
        if disconnected == "error":
            raise DisconnectedGraphError(text)
        warn_user(text, DisconnectedGraphWarning)
    words = Words(
        graph=graph,
        known="paired",
        result="positions relative to the other sets",
        give="Pair points",
        few="as many as dim, such as one of {size} points with {count}. A linear function that is zero at these has nearly no "
        "cost, so that some columns only separate the sets: give pairs of at least {enough} of its points.",
    )
    return check_components(components._replace(closed=()), paired, dim, words)


class _Tables(NamedTuple):
    """Where the entries of an alignment go that act on points with exact partners.

    Attributes:
        partners: the points of the additional entries, shape (n, e).
        source: the entry that each of them shares the value of, as its column, shape (n, e).
        used: whether there is such an entry, shape (n, e).
        share: one over the size of the group of the point of each given entry, shape (n, m).
    """

    partners: Int[Any, "n e"]
    source: Int[Any, "n e"]
    used: Bool[Any, "n e"]
    share: Float[Any, "n m"]


def _exact(sets: list[Alignment], groups: np.ndarray) -> Alignment:
    """Return a joint alignment whose bottom vectors are those of the sets under exact pairs.

    Let Q replace the values of each group of paired points by their mean. The result has ``M' = Q M Q + t L``, where L is the
    graph Laplacian of the edges between the first point of each group and its other points, and t is as large as a bound of M.
    Q and L commute with M', so that each eigenvector is constant on the groups, with the eigenvalue of the restricted problem,
    or has the mean zero on them, with an eigenvalue of at least t. The constant is a null vector, as of any alignment.
    """
    start, parts = 0, []
    for a in sets:
        indices = to_host_if_cheap(a.indices) + start  # where the alignment is not traced the table can be short
        parts.append(_averaged(Alignment(indices, a.blocks), _tables(indices, groups)))  # pyright: ignore[reportArgumentType]
        start += len(indices)
    joint = _stacked(parts)
    first = np.where(groups >= 0, groups, len(groups)).min(axis=1)
    others = np.flatnonzero(first < np.arange(len(groups)))
    weight = jnp.broadcast_to(lax.stop_gradient(joint.norm_bound()), others.shape)
    return _tied(joint, others, first[others], weight)


def _tables(indices: Any, groups: np.ndarray) -> _Tables:
    xp = jnp if is_traced(indices) else np
    n, m = indices.shape
    size = (groups >= 0).sum(axis=1)
    others = xp.asarray(np.where(groups == np.arange(len(groups))[:, None], -1, groups))[indices].reshape(n, -1)
    source = np.broadcast_to(np.repeat(np.arange(m), groups.shape[1]), others.shape)
    if xp is np:
        order = np.argsort(others < 0, axis=1, kind="stable")[:, : (others >= 0).sum(axis=1).max()]
        others, source = np.take_along_axis(others, order, axis=1), np.take_along_axis(source, order, axis=1)
    share = xp.asarray(1 / size)[indices]
    return _Tables(xp.where(others >= 0, others, indices[:, :1]), source, others >= 0, share)


@jax.jit
def _averaged(part: Alignment, tables: _Tables) -> Alignment:
    """Return B Q, for the rows B of one set."""
    blocks = part.blocks * tables.share[:, None, :].astype(part.blocks.dtype)
    more = jnp.take_along_axis(blocks, jnp.asarray(tables.source)[:, None, :], axis=2) * tables.used[:, None, :]
    indices = jnp.concatenate([part.indices, tables.partners], axis=1).astype(jnp.int32)
    return Alignment(indices, jnp.concatenate([blocks, more], axis=2))


def _soft(sets: list[Alignment], links: Links) -> Alignment:
    """Return a joint alignment with one more equation per pair, ``sqrt(trust) (y_a - y_b)``, in the block of one of them."""
    starts = np.cumsum([0, *(len(a.indices) for a in sets[:-1])])
    joint = _stacked([a._replace(indices=a.indices + int(s)) for a, s in zip(sets, starts, strict=True)])
    degree = np.bincount(np.concatenate([links.first, links.second]))
    swap = degree[links.first] > degree[links.second]  # in the block of the point with fewer partners
    host, other = np.where(swap, links.second, links.first), np.where(swap, links.first, links.second)
    return _tied(joint, host, other, jnp.sqrt(jnp.asarray(links.trust, joint.blocks.dtype)))


@jax.jit
def _stacked(parts: list[Alignment]) -> Alignment:
    """Return alignments of different sets, in joint numbers of their points, as one, with blocks padded by zeros."""
    rows, columns = (max(a.blocks.shape[axis] for a in parts) for axis in (1, 2))
    indices, blocks, start = [], [], 0
    for a in parts:
        n, r, m = a.blocks.shape
        own = jnp.broadcast_to(start + jnp.arange(n, dtype=jnp.int32)[:, None], (n, columns - m))
        indices.append(jnp.concatenate([a.indices, own], axis=1))
        blocks.append(jnp.pad(a.blocks, ((0, 0), (0, rows - r), (0, columns - m))))
        start += n
    return Alignment(jnp.concatenate(indices), jnp.concatenate(blocks))


def _tied(joint: Alignment, host: np.ndarray, other: np.ndarray, weight: Float[Array, " m"]) -> Alignment:
    """Add the equations ``weight (y_host - y_other)``, each to the block of its host."""
    order = np.argsort(host, kind="stable")
    counts = np.bincount(host, minlength=len(joint.indices))
    slot = np.arange(len(host)) - (np.cumsum(counts) - counts)[host[order]]  # number of the equation within its block
    places = (a.astype(np.int32) for a in (host[order], other[order], slot))
    return _with_equations(joint, *places, weight[order], int(counts.max()))


@partial(jax.jit, static_argnames="more")
def _with_equations(
    joint: Alignment, host: Array, other: Array, slot: Array, weight: Float[Array, " m"], more: int
) -> Alignment:
    n, r, m = joint.blocks.shape
    own = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32)[:, None], (n, 1 + more))
    indices = jnp.concatenate([joint.indices, own.at[host, 1 + slot].set(other)], axis=1)
    blocks = jnp.pad(joint.blocks, ((0, 0), (0, more), (0, 1 + more)))
    blocks = blocks.at[host, r + slot, m].set(weight).at[host, r + slot, m + 1 + slot].set(-weight)
    return Alignment(indices, blocks)


def _divide(joint: Embedding, sizes: list[int], groups: np.ndarray | None) -> tuple[Embedding, ...]:
    """Return the part of each set of a joint embedding, with equal coordinates of exact pairs."""
    total = sum(sizes)
    rows = np.arange(total) if joint.points.shape[0] == total else np.asarray(joint.rows)
    source = np.arange(len(rows))
    if groups is not None:  # equal up to the accuracy of the solver: those of the first point are those of all
        place = np.zeros(total, int)
        place[rows] = source
        source = place[np.where(groups >= 0, groups, total).min(axis=1)[rows]]
    bounds = np.searchsorted(rows, np.cumsum([0, *sizes]))
    if not np.diff(bounds).all():
        raise DisconnectedGraphError(
            f"alignments[{np.flatnonzero(np.diff(bounds) == 0)[0]}] has no point in the largest component of the joint graph: "
            f"give more pairs of its points."
        )
    return tuple(
        replace(joint, points=joint.points[source[low:high]], rows=jnp.asarray(rows[low:high] - start, jnp.int32))
        for low, high, start in zip(bounds, bounds[1:], np.cumsum([0, *sizes]), strict=False)
    )
