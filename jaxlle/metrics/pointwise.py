"""Diagnostics of an embedding that have one value per point."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core.arrays import read_floats
from .._core.blocks import BLOCK_BYTES, Budget, cache_budget, map_rows
from .._core.checks import check_count, embedding_points
from .._core.linear import matmul
from .._core.points import prepare_points
from .._core.sparse import SparsePoints, is_sparse, prepare_sparse
from ..alignment import connected_components
from ..dimension import local_likelihood
from ..distances import PRECOMPUTED
from ..neighbors import Neighbors, knn
from ..neighbors.graph import prepare_graph, require_distances, restrict
from ..weights import barycentric_weights
from ._inputs import require_concrete

Diagnostic = Literal["dimension", "preservation", "reconstruction", "cost", "density", "component"]
DIAGNOSTICS: tuple[Diagnostic, ...] = get_args(Diagnostic)


def diagnostics(
    x: Any,
    y: Any,
    *,
    kinds: Sequence[str] = DIAGNOSTICS,
    k: int | None = None,
    neighbors: Neighbors | None = None,
    reg: float = 1e-3,
    block_bytes: int = BLOCK_BYTES,
) -> dict[str, np.ndarray]:
    """Return diagnostics of an embedding and of the data that have one value per point, to color the points by.

    - "dimension": estimate of the local dimension, as by `jaxlle.dimension.maximum_likelihood`.
    - "preservation": fraction of the k nearest neighbors that are among the k nearest in the embedding.
    - "reconstruction": distance of a point from its reconstruction ``sum_j w_j x_j`` by its neighbors, relative to the root mean
      square of the distances to them.
    - "cost": contribution ``|y - sum_j w_j y_j|^2`` to the cost of LLE, for unit columns. It is large where the embedding tears
      or folds.
    - "density": logarithm (base 10) of the median distance to the farthest neighbor over the distance at the point. It is 1
      where the neighborhood is ten times smaller than the median one.
    - "component": the connected component of the graph, 0 for the largest.

    The weights w are those of Roweis and Saul (2000), also for an embedding by another method.

    Args:
        x: the data, shape (n, d), or a `Points` value; a sparse matrix for "dimension", "preservation", "density" and
            "component". It may have more rows than an Embedding of one component, which is
            compared with its own rows.
        y: an Embedding or its points, shape (n, c).
        kinds: what to compute.
        k: neighbors per point. None: that of neighbors, or 12 without them (n - 1 if this is less).
        neighbors: the neighborhoods of the rows of x; None computes them.
        reg: strength of the regularizer of the weights.
        block_bytes: memory that one block of points may take.

    Returns:
        The values of each kind, shape (n,), on the host.

    Raises:
        ValueError: if x or y is not an array of finite numbers, they or the neighbors do not match, a kind is unknown or needs
            what is not given (coordinates, distances, or two neighbors for "dimension"), or k or reg is out of range.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 300).points
        >>> found = jaxlle.metrics.diagnostics(x, jaxlle.lle(x, 2, k=10), kinds=["preservation", "density"], k=10)
        >>> float(found["preservation"].mean()) > 0.4
        True
    """
    require_concrete("diagnostics", x, y)
    for kind in kinds:
        if kind not in DIAGNOSTICS:
            raise ValueError(f"kind = {kind!r} is not known: use one of {', '.join(map(repr, DIAGNOSTICS))}.")
    values = read_floats(embedding_points(y), "y", "n c")
    if is_sparse(x) and {"reconstruction", "cost"} & set(kinds):
        raise ValueError(
            "The kinds 'reconstruction' and 'cost' need dense points, and x is sparse: choose other kinds."
        )
    points = prepare_sparse(x) if is_sparse(x) else prepare_points(x)
    points, neighbors = _matching(points, neighbors, y, len(values))
    n = points.shape[0]
    if neighbors is None:
        check_count(n, "number of points", 2, None, "every point needs a neighbor")
        neighbors = knn(points, min(12, n - 1) if k is None else k, block_bytes=block_bytes)
    elif k is not None:
        k = check_count(k, "k (n_neighbors)", 1, neighbors.indices.shape[1], "as many as the given graph has")
        ids, distances, mask = neighbors
        first = (None if part is None else part[:, :k] for part in (distances, mask))
        neighbors = Neighbors(ids[:, :k], *first)
    found: dict[str, Any] = {}
    if "dimension" in kinds:
        check_count(neighbors.indices.shape[1], "k (n_neighbors)", 2, None, "ratios of distances are needed")
        found["dimension"] = local_likelihood(neighbors)[0]
    if "preservation" in kinds:
        found["preservation"] = _preserved(neighbors, knn(values, neighbors.indices.shape[1], block_bytes=block_bytes))
    if "reconstruction" in kinds or "cost" in kinds:
        weights = barycentric_weights(points, neighbors, reg=reg)
        unit = (values / jnp.linalg.norm(values, axis=0)).astype(points.dtype)
        errors = _errors(points.coordinates, unit, neighbors, weights, cache_budget(block_bytes))
        found["reconstruction"], found["cost"] = errors
    if "density" in kinds:
        found["density"] = _relative_density(neighbors)
    if "component" in kinds:
        found["component"] = connected_components(neighbors).labels
    return {kind: np.asarray(found[kind]) for kind in kinds}


def _matching(points: Any, neighbors: Neighbors | None, y: Any, n: int) -> tuple[Any, Neighbors | None]:
    """Return the points and neighbors of the rows that are embedded."""
    total = points.shape[0]
    if neighbors is not None:
        neighbors = prepare_graph(neighbors, total, total)
    rows = np.asarray(getattr(y, "rows", np.arange(n)))
    if n == total:
        return points, neighbors
    if not hasattr(y, "rows") or rows.max() >= total:
        raise ValueError(f"x has {total} rows and y has {n}: they must be the same points.")
    own = None if neighbors is None else restrict(neighbors, rows)
    if isinstance(points, SparsePoints):
        return replace(points, rows=points.rows[rows]), own
    values = points.values[rows][:, rows] if points.metric is PRECOMPUTED else points.values[rows]
    scaled = None if points.scaled is None else points.scaled[rows]
    return replace(points, values=values, scaled=scaled), own


def _preserved(near_x: Neighbors, near_y: Neighbors) -> np.ndarray:
    ids, n = np.asarray(near_x.indices, np.int64), len(near_x.indices)
    first = n * np.arange(n)[:, None]  # pairs of a row and a neighbor as one number
    kept = np.isin(first + ids, first + np.asarray(near_y.indices))
    mask = np.ones(ids.shape, bool) if near_x.mask is None else np.asarray(near_x.mask)
    return ((kept & mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)).astype(np.float32)


def _relative_density(neighbors: Neighbors) -> np.ndarray:
    distances = np.asarray(require_distances(neighbors), np.float64)
    if neighbors.mask is not None:
        distances = np.where(neighbors.mask, distances, 0)
    radii = distances.max(axis=1)
    if not (radii > 0).any():
        return np.zeros(len(radii), np.float32)
    radii = np.maximum(radii, radii[radii > 0].min())  # a point and its copies: as dense as the densest other place
    return np.log10(np.median(radii) / radii).astype(np.float32)


@partial(jax.jit, static_argnames=("budget",))
def _errors(
    points: Float[Array, "n d"],
    y: Float[Array, "n c"],
    neighbors: Neighbors,
    weights: Float[Array, "n k"],
    budget: Budget,
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return the relative error of the reconstruction of every point, and its contribution to the cost of the embedding."""
    mask = jnp.ones(weights.shape, bool) if neighbors.mask is None else neighbors.mask

    def one(row: tuple) -> tuple[Array, Array]:
        i, ids, valid, w = row
        around = points[ids] - points[i]
        spread = jnp.sum(jnp.where(valid[:, None], around, 0) ** 2) / jnp.maximum(valid.sum(), 1)
        error = jnp.sum(matmul(w, around) ** 2)
        relative = jnp.sqrt(jnp.where(spread > 0, error / jnp.where(spread > 0, spread, 1), 0))
        return relative, jnp.sum(matmul(w, y[ids] - y[i]) ** 2)

    row_bytes = 3 * weights.shape[1] * (points.shape[1] + y.shape[1]) * points.dtype.itemsize
    return map_rows(one, (jnp.arange(len(weights)), neighbors.indices, mask, weights), budget, row_bytes)
