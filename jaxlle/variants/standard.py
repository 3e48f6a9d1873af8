"""Locally linear embedding (Roweis and Saul 2000): one weight vector a point, so B = I - W."""

from functools import partial
from typing import Any, Literal

from jaxtyping import ArrayLike, Real

from .. import distances
from .._core.blocks import BLOCK_BYTES
from ..alignment import Alignment, weights_alignment
from ..embedding import Embedding, EmbedOptions
from ..embedding.embed import DEFAULTS
from ..neighbors import Neighbors
from ..regularizers import Regularizer
from ..solvers import Solver
from ..weights import barycentric_weights
from ._pipeline import choose_k, find_neighbors, prepare, run_pipeline


def lle_alignment(
    x: Any,
    *,
    k: int,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Alignment:
    """Compute the alignment B = I - W of locally linear embedding: neighbours, then barycentric weights.

    The metric decides who is a neighbour; the weights are those of the coordinates. With "precomputed" distances there
    are no coordinates, and the weights come from the distances (`distance_weights`).

    Args:
        x: points, shape (n, d), or distances of shape (n, n) with metric="precomputed".
        k: neighbours a point.
        reg: strength of the regularizer of the weights.
        metric: as for `knn`.
        neighbors: a ready graph to use in place of `knn`; k is then its width.
        block_bytes: memory that one block of points may take.

    Returns:
        Alignment with r = 1 and m = k + 1.

    Raises:
        ValueError: for bad points, k or reg (see `knn`, `barycentric_weights`), or if all points are equal.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.lle_alignment(x, k=8).blocks.shape
        (100, 1, 9)
    """
    points = prepare(x, metric)
    neighbors = find_neighbors(points, k, neighbors, block_bytes)
    weights = barycentric_weights(points, neighbors, reg=reg, block_bytes=block_bytes)
    return weights_alignment(neighbors, weights)


def lle(
    x: Any,
    dim: int,
    *,
    k: int | str,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    metric: distances.Metric = "euclidean",
    neighbors: Neighbors | None = None,
    options: EmbedOptions = DEFAULTS,
) -> Embedding:
    """Embed points by locally linear embedding.

    Each point is written as an affine combination of its k nearest neighbours, and the embedding is the
    configuration in `dim` dimensions that the same combinations fit best (Roweis and Saul 2000, Science 290:2323).
    Runs under jit and vmap (over data sets, reg and keys), then with `DenseQR`.

    Args:
        x: points, shape (n, d), or distances of shape (n, n) with metric="precomputed".
        dim: dimensions of the embedding, at most d.
        k: neighbours a point, at least dim; "auto" for the one of 6 to 32 with which neighbourhoods keep their shape best
            (`choose`, by its Procrustes statistic, at the price of eight embeddings), outside jit.
        reg: strength of the ridge, relative to the trace of the local Gram matrix, or one of `jaxlle.regularizers`.
        solver: one of `jaxlle.solvers`, or "auto".
        metric: "euclidean", "cosine", "manhattan", "chebyshev", "precomputed" or a JAX function of two vectors.
        neighbors: a ready graph to use in place of `knn`.
        options: scaling, disconnected graphs, duplicates, random key and memory: see `EmbedOptions`.

    Returns:
        Embedding.

    Raises:
        ValueError: for bad points, dim > d, k out of range, reg that cannot work, or degenerate data.

    Warns:
        DuplicateWarning, DisconnectedGraphWarning, GapWarning, ConvergenceWarning, PrecisionWarning: all of them
        `JaxlleWarning`, outside jit; inside jit read the result's fields.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.lle(x, 2, k=8).points.shape
        (100, 2)
    """
    k = choose_k(k, x, dim, reg, metric, neighbors, options)
    align = partial(lle_alignment, k=k, reg=reg, neighbors=neighbors, block_bytes=options.block_bytes)
    return run_pipeline(align, x, dim, k, metric, solver, options)
