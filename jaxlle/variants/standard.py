"""Locally linear embedding (Roweis and Saul 2000): one weight vector a point, so B = I - W."""

from typing import Any, Literal

from jaxtyping import Array, ArrayLike, Real

from .. import distances
from .._core.blocks import BLOCK_BYTES
from .._core.points import as_points
from ..alignment import Alignment, weights_alignment
from ..embedding import Embedding
from ..embedding.embed import Disconnected, Scaling
from ..neighbors import Neighbors
from ..regularizers import Regularizer, trace_ridge
from ..solvers import Solver
from ._pipeline import Finish, number_of_neighbors, prepare, prepared_weights, run_pipeline


def lle_alignment(
    x: Any,
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    metric: distances.Metric = "euclidean",
    regularizer: Regularizer = trace_ridge,
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
        regularizer: one of `jaxlle.regularizers`.
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
    return _alignment(as_points(x), k, reg, metric, regularizer, neighbors, block_bytes)


def _alignment(
    x: Any,
    k: int,
    reg: Any,
    metric: distances.Metric,
    regularizer: Regularizer,
    neighbors: Neighbors | None,
    block_bytes: int,
) -> Alignment:
    """Find neighbours and weights of points that have passed the door."""
    standard, x, neighbors = prepare(x, k, metric, neighbors, block_bytes)
    weights = prepared_weights(standard, x, neighbors, reg, regularizer, metric, block_bytes)
    return weights_alignment(neighbors, weights)


def lle(
    x: Any,
    dim: int,
    *,
    k: int | str,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    metric: distances.Metric = "euclidean",
    regularizer: Regularizer = trace_ridge,
    neighbors: Neighbors | None = None,
    scaling: Scaling = "unit",
    disconnected: Disconnected = "warn",
    dedupe: bool = False,
    key: Array | None = None,
    block_bytes: int = BLOCK_BYTES,
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
        reg: strength of the regularizer of the weights, relative to the local Gram matrix's trace.
        solver: one of `jaxlle.solvers`, or "auto".
        metric: "euclidean", "cosine", "manhattan", "chebyshev", "precomputed" or a JAX function of two vectors.
        regularizer: one of `jaxlle.regularizers`.
        neighbors: a ready graph to use in place of `knn`.
        scaling: "unit" columns, or "covariance" for (1/n) Y^T Y = I.
        disconnected: "warn", "error" or "largest": see `embed`.
        dedupe: embed each distinct point once and give its copies the same place; outside jit.
        key: seeds the solver's start; None: key(0).
        block_bytes: memory that one block of points may take.

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
    count = number_of_neighbors(k, x, dim, reg, metric, neighbors, key, block_bytes)
    return run_pipeline(
        lambda points: _alignment(points, count, reg, metric, regularizer, neighbors, block_bytes),
        x,
        dim,
        count,
        metric,
        Finish(solver, scaling, disconnected, dedupe, key),
    )
