"""Iterative LLE: weights from the data and the embedding together, in turns with the embedding."""

import warnings
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.checks import check_count, check_dim, is_traced
from .._core.points import prepare_points
from ..alignment import weights_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors, knn
from ..solvers import Solver
from ..weights import simplex_weights
from ._pipeline import prepare
from .fusion import fuse_views


class IterativeEmbedding(NamedTuple):
    """The last of several embeddings, each of which chose the neighbours of the next.

    Attributes:
        embedding: the last.
        neighbors: its graph.
        changes: share of the neighbours that each step replaced, shape (steps,); 0 in the last: a fixed point was reached.
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
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
) -> IterativeEmbedding:
    """Embed points by LLE on neighbours and convex weights in the data and the last embedding together.

    Starting from the data alone, neighbours and weights w >= 0 are found in the kernel ``(1 - share) K_x + share K_y``, K_x and
    K_y the linear kernels of the data and of the embedding, both of mean 1 (`fuse_views`), and the points embedded by those
    weights, until the graph stays as it is (after Kong, Ding, Huang and Nie 2012, ICML, of which a summary was read). Clusters
    draw together: it is for clustering and semi-supervised learning, as in that paper. Theirs is a sparse w >= 0 over all
    points and a normalised cut as the embedding; here w lives on k neighbours and the embedding is LLE's own.

    Args:
        x: points, shape (n, d).
        dim: dimensions of the embedding, at most d.
        k: neighbours a point.
        share: of the embedding in the kernel, in [0, 1).
        steps: embeddings after the first, at most; outside jit it stops at a fixed point.
        reg: strength of the ridge of the weights.
        solver: one of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        IterativeEmbedding. Warnings are those of the last embedding.

    Raises:
        ValueError: as `lle`; also for share or steps out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> jaxlle.variants.iterative_lle(x, 2, k=10, steps=2).changes.shape
        (2,)
    """
    x = prepare(x)
    dim = check_dim(dim, k, x.shape, x.metric)
    steps = check_count(steps, "steps", 1, None, "embeddings after the first")
    if not is_traced(share) and not 0 <= float(jnp.asarray(share)) < 1:
        raise ValueError(f"share = {share} is not allowed: it must be in [0, 1), 0 for the data alone.")
    if options.disconnected == "largest":
        raise ValueError("disconnected = 'largest' drops points, which the next step needs: drop them before.")

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
        changes.append(_replaced(old, neighbors))
        if not is_traced(changes[-1]) and float(changes[-1]) == 0:
            break
    for warning in caught:
        warnings.warn(warning.message, stacklevel=2)
    return IterativeEmbedding(out, neighbors, jnp.stack(changes))


def _replaced(old: Neighbors, new: Neighbors) -> Float[Array, ""]:
    """Return the share of the new neighbours that are not among the old."""
    kept = (new.indices[:, :, None] == old.indices[:, None, :]).any(axis=2)
    return 1 - kept.mean()
