"""Locally linear embedding (Roweis and Saul 2000): one weight vector a point, so B = I - W."""

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from .. import _inputs, distances
from .._search import BLOCK_BYTES
from .._warnings import DuplicateWarning, JaxlleWarning
from ..alignment import Alignment
from ..embedding import Disconnected, Embedding, Scaling, embed
from ..neighbors import Neighbors, find
from ..regularizers import trace_ridge
from ..solvers import Solver
from ..weights import Regularizer, check_indices, check_reg, distance_weights, standard_weights


@jax.jit
def weights_alignment(neighbors: Neighbors, weights: Float[Array, "n k"]) -> Alignment:
    """Turn neighbourhoods and their weights into the alignment B = I - W.

    Args:
        neighbors: neighbourhoods of all points.
        weights: whose rows sum to 1 (or to 0 for a point without neighbours), shape (n, k); 0 where masked.

    Returns:
        Alignment with blocks ``[1, -w]`` on the points ``[i, neighbours of i]``.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> neighbors = jaxlle.knn(x, 2)
        >>> jaxlle.weights_alignment(neighbors, jnp.full((3, 2), 0.5)).to_dense()
        Array([[ 1. , -0.5, -0.5],
               [-0.5,  1. , -0.5],
               [-0.5, -0.5,  1. ]], dtype=float32)
    """
    n = neighbors.indices.shape[0]
    own = jnp.arange(n, dtype=neighbors.indices.dtype)[:, None]
    # The sum, 1 up to rounding, stands where the 1 does, so that B 1 = 0 as nearly as the dtype allows.
    blocks = jnp.concatenate([weights.sum(axis=1, keepdims=True), -weights], axis=1)
    return Alignment(jnp.concatenate([own, neighbors.indices], axis=1), blocks[:, None, :])


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
    return _alignment(_inputs.as_points(x), k, reg, metric, regularizer, neighbors, block_bytes)


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


def prepare(
    x: Any, k: int, metric: distances.Metric, neighbors: Neighbors | None, block_bytes: int
) -> tuple[_inputs.Standardized, Any, Neighbors]:
    """Standardise points that have passed the door, once for all stages, and find their neighbours.

    Returns:
        The standardised points; x without the columns that add nothing to a difference; the neighbours.
    """
    if metric in ("euclidean", "manhattan", "chebyshev"):
        x = _inputs.varying(x)
    standard = _inputs.standardize(x)
    check_spread(standard.points)
    if neighbors is None:
        neighbors, _, _ = find(x, k, metric=metric, block_bytes=block_bytes, standard=standard)
        warn_of_copies(neighbors)
    return standard, x, neighbors


def prepared_weights(
    standard: _inputs.Standardized,
    x: Any,
    neighbors: Neighbors,
    reg: Any,
    regularizer: Regularizer,
    metric: distances.Metric,
    block_bytes: int,
) -> Float[Array, "n k"]:
    """Compute the weights of prepared points: from coordinates, or from distances if there is nothing else."""
    if metric == distances.PRECOMPUTED:
        return distance_weights(x, neighbors, reg=reg, regularizer=regularizer, block_bytes=block_bytes)
    check_reg(reg, regularizer, neighbors.indices.shape[1], x.shape[1])
    check_indices(neighbors, x.shape[0], x)
    return standard_weights(standard, standard.points, neighbors, reg, regularizer, block_bytes)


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
    return in_a_row(
        lambda points: _alignment(points, count, reg, metric, regularizer, neighbors, block_bytes),
        x,
        dim,
        count,
        metric,
        Finish(solver, scaling, disconnected, dedupe, key),
    )


def number_of_neighbors(
    k: int | str,
    x: Any,
    dim: int,
    reg: Any,
    metric: distances.Metric,
    neighbors: Neighbors | None,
    key: Array | None,
    block_bytes: int,
) -> int:
    """Return k, chosen if it is left to us."""
    if not isinstance(k, str):
        return k
    if k != "auto":
        raise ValueError(f"k (n_neighbors) = {k!r} is not known: give a whole number, or 'auto'.")
    if neighbors is not None:
        return neighbors.indices.shape[1]
    if _inputs.is_traced(x, reg):
        raise TypeError("k = 'auto' compares embeddings on the host: choose k outside jit, by jaxlle.choose.")
    if metric != "euclidean":
        raise ValueError(f"k = 'auto' compares Euclidean neighbourhoods: give a number with metric = {metric!r}.")
    from .._choosing import auto_grid  # which embeds by this module

    return auto_grid(x, dim, reg=float(reg), key=key, block_bytes=block_bytes).best()[0]


class Finish(NamedTuple):
    """What the stages in a row do after the alignment, and with copies before it: see `lle`."""

    solver: Solver | Literal["auto"]
    scaling: Scaling
    disconnected: Disconnected
    dedupe: bool
    key: Array | None


def in_a_row(
    align: Callable[[Any], Alignment], x: Any, dim: int, k: int, metric: distances.Metric, finish: Finish
) -> Embedding:
    """Run the stages of any variant: the door, the alignment of what has passed it, the embedding."""
    x = _inputs.as_points(x)
    dim = check_dim(dim, k, x.shape, metric)
    copies = None
    if finish.dedupe:
        x, copies = _distinct(x, metric)
    solver, scaling, disconnected, _, key = finish
    points = None if metric == distances.PRECOMPUTED else x
    out = embed(align(x), dim, solver=solver, scaling=scaling, disconnected=disconnected, key=key, points=points)
    return out if copies is None else _copied(out, copies)


def check_dim(dim: int, k: int, shape: tuple[int, ...], metric: distances.Metric) -> int:
    """Return dim, or say why it cannot be; warn where k < dim."""
    n, d = shape
    if metric != distances.PRECOMPUTED and dim > d:
        raise ValueError(
            f"output dimension must be less than or equal to input dimension: dim (n_components) = {dim}, but x has {d} "
            f"feature(s)."
        )
    dim = _inputs.check_count(dim, "dim (n_components)", 1, n - 1 if n > 1 else None, f"fewer than the {n} points")
    if k < dim:
        warnings.warn(
            f"k = {k} neighbours cannot span dim = {dim} dimensions locally: use k > dim.", JaxlleWarning, stacklevel=3
        )
    return dim


def check_spread(points: Array) -> None:
    """Raise for degenerate data: standardised points that are all equal, and so all zero."""
    if _inputs.is_traced(points) or points.shape[0] < 2 or bool(jnp.any(points[0])):
        return
    if not bool(jnp.any(points)):
        raise ValueError(
            f"All {points.shape[0]} points of x are equal (degenerate data): there is no geometry to embed, check the loading."
        )


def warn_of_copies(neighbors: Neighbors) -> None:
    """Warn of points with so many copies that their neighbourhoods hold nothing else."""
    if _inputs.is_traced(neighbors) or neighbors.distances is None:
        return
    buried = int((np.asarray(neighbors.distances[:, -1]) == 0).sum())
    if buried:
        warnings.warn(
            f"{buried} points have at least k = {neighbors.indices.shape[1]} exact copies, so their neighbourhoods hold nothing "
            f"else: raise k, or pass dedupe=True.",
            DuplicateWarning,
            stacklevel=4,
        )


def _distinct(x: Any, metric: distances.Metric) -> tuple[Any, np.ndarray]:
    if _inputs.is_traced(x):
        raise TypeError("dedupe=True changes the number of points, which jit cannot: dedupe before, outside jit.")
    if metric == distances.PRECOMPUTED:
        raise ValueError(
            "dedupe=True needs points: with precomputed distances drop the copies' rows and columns first."
        )
    _, first, copies = np.unique(np.asarray(x), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # keep the order in which the points came
    return x[first[order]], np.argsort(order)[copies.ravel()]


def _copied(out: Embedding, copies: np.ndarray) -> Embedding:
    place = np.full(int(copies.max()) + 1, -1)
    place[np.asarray(out.rows)] = np.arange(len(out.rows))
    rows = np.flatnonzero(place[copies] >= 0)
    fields = {"points": out.points[place[copies[rows]]], "rows": jnp.asarray(rows, jnp.int32)}
    return Embedding(**{**out.__dict__, **fields})
