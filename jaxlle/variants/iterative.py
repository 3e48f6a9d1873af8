"""Iterative LLE: neighbors and weights are computed from the data and the previous embedding, alternating with the embedding."""

import warnings
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.arrays import check_number
from .._core.checks import check_count, check_dim, is_traced, warn_user
from .._core.points import prepare_points
from ..alignment import weights_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors, knn
from ..solvers import SolverLike
from ..weights import simplex_weights
from ._pipeline import prepare, reject_largest
from .fusion import fuse_views


class IterativeEmbedding(NamedTuple):
    """The last of several embeddings, each computed with neighbors that depend on the previous one.

    Attributes:
        embedding: the last embedding.
        neighbors: its graph.
        changes: fraction of the neighbors that each step replaced, shape (steps,). A last entry of 0 means that a fixed point
            was reached.
    """

    embedding: Embedding
    neighbors: Neighbors
    changes: Float[Array, " steps"]


def iterative_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    share: Real[ArrayLike, ""] = 0.5,
    steps: int = 5,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> IterativeEmbedding:
    """Embed points by LLE on neighbors and convex weights of the data and the previous embedding together.

    The first embedding is that of the data. Each later step finds neighbors and weights w >= 0 in the feature space of the
    kernel ``(1 - share) K_x + share K_y``, where K_x and K_y are the linear kernels of the data and of the embedding, both
    normalized (`fuse_views`), and minimizes ``sum_i |y_i - sum_j w_ij y_j|^2`` over centered Y with orthonormal columns. The
    steps end when the graph does not change. The method follows Kong, Ding, Huang and Nie (2012, ICML), of which only a
    summary was available. It draws clusters together and is intended, as in that paper, for clustering and semi-supervised
    learning. The paper uses sparse weights w >= 0 on all points and a normalized cut as the embedding; here the weights are
    on k neighbors, and the embedding is that of LLE.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point.
        share: share of the embedding in the kernel, in [0, 1).
        steps: largest number of embeddings after the first; outside jit the iteration stops at a fixed point.
        reg: strength of the ridge of the weights, relative to the trace of the local Gram matrix.
        solver: an object of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, random key and memory limit; see `EmbedOptions`. `dedupe` and
            `disconnected="largest"` are not available.

    Returns:
        IterativeEmbedding.

    Raises:
        ValueError: as `lle`; also if share or steps is out of range, or for an option that is not available.

    Warns:
        JaxlleWarning: as `lle`, about the last embedding.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> jaxlle.variants.iterative_lle(x, 2, k=10, steps=2).changes.shape
        (2,)
    """
    x = prepare(x)
    dim = check_dim(dim, k, x.shape, x.metric)
    steps = check_count(steps, "steps", 1, None, "number of embeddings after the first")
    check_number(share, "share", "in [0, 1), 0 for the data alone", lambda value: 0 <= value < 1)
    reject_largest(options)

    def step(points: Any) -> tuple[Embedding, Neighbors, list]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            neighbors = knn(points, k, block_bytes=options.block_bytes)
            weights = simplex_weights(points, neighbors, reg=reg, block_bytes=options.block_bytes)
            out = embed(weights_alignment(neighbors, weights), dim, solver=solver, options=options, points=points)
        return out, neighbors, caught

    (out, neighbors, caught), changes = step(x), []
    for _ in range(steps):
        old = neighbors
        fused = fuse_views([x, out.points], shares=jnp.stack([1 - jnp.asarray(share), share]))
        out, neighbors, caught = step(prepare_points(fused))
        changes.append(_share_replaced(old, neighbors))
        if not is_traced(changes[-1]) and float(changes[-1]) == 0:
            break
    for warning in caught:
        warn_user(str(warning.message), warning.category)
    return IterativeEmbedding(out, neighbors, jnp.stack(changes))


def _share_replaced(old: Neighbors, new: Neighbors) -> Float[Array, ""]:
    """Return the fraction of the new neighbors that are not among the old ones."""
    kept = (new.indices[:, :, None] == old.indices[:, None, :]).any(axis=2)
    return 1 - kept.mean()
