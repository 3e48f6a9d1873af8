"""Maps between data space and embedding space for new points, by barycentric weights."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import distances
from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes, check_features
from .._core.ladder import call_padded
from .._core.linear import matmul
from .._core.points import as_points, as_rows, as_values, prepare_points
from .._core.sparse import is_sparse, prepare_sparse
from ..neighbors import Neighbors, knn
from ..neighbors.graph import require_distances
from ..neighbors.streams import query_parts
from ..regularizers import RegularizerLike
from ..weights import barycentric_weights
from ._rows import exact_at_rows


def transform(
    x_new: Any,
    x: Any,
    y: Any,
    *,
    k: int,
    reg: RegularizerLike = 1e-3,
    metric: distances.Metric = "euclidean",
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q c"]:
    """Embed new points by applying the weights of their neighbors in the data to the embedding of these neighbors.

    ``y_new = sum_j w_j y_j`` with the barycentric weights ``w = argmin |x_new - sum_j w_j x_j|^2`` subject to ``sum_j w_j = 1``
    (Saul and Roweis 2003, section 6.1). A new point that equals a point of the data is mapped to the embedding of that point (of
    the first, if several are equal). The map is discontinuous there, because nearby it tends to the combination of the neighbors:
    `jaxlle.extension` gives the size of the jump. Supports jit and vmap.

    Both x_new and x may be memory maps that are larger than the memory: they are read in parts, as by `knn`.

    Args:
        x_new: new points, shape (q, d), sparse if x is; with metric="precomputed", their distances to the data, shape (q, n).
        x: the embedded data, shape (n, d), a sparse matrix of SciPy, or a `Points` value; with metric="precomputed", the
            distances between them.
        y: the embedding of the data, shape (n, c), such as `Embedding.points`; integers and booleans are cast to floating point.
        k: neighbors per new point, usually the number used for the embedding.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.
        metric: as for `knn`.
        block_bytes: memory limit of one block, in bytes.

    Returns:
        Embedding of the new points, shape (q, c); differentiable with respect to x_new, x and y. At points of the data the
        derivative with respect to x_new and x is that of the weights.

    Raises:
        ValueError: if x_new, x or y is not a two-dimensional array of finite numbers, or their shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> y = jaxlle.lle(x, 2, k=8).points
        >>> bool(jnp.array_equal(jaxlle.transform(x[:5], x, y, k=8), y[:5]))
        True
    """
    if is_sparse(x):
        points = prepare_sparse(x, metric)
    else:
        points = prepare_points(x, metric=metric)
        x_new = as_points(x_new, "x_new") if points.metric == distances.PRECOMPUTED else as_rows(x_new, "x_new")
        check_features(x_new, points.shape[1], "x_new", "x")
        if len(parts := query_parts(points, x_new, check_bytes(block_bytes))) > 1:
            embed = partial(transform, x=points, y=y, k=k, reg=reg, block_bytes=block_bytes)
            return jnp.concatenate([embed(x_new[part]) for part in parts])
    y = as_values(y)
    if y.shape[0] != points.shape[0]:
        raise ValueError(
            f"y has {y.shape[0]} rows and x has {points.shape[0]}: y must be the embedding of x, row by row."
        )
    neighbors = knn(points, k, query=x_new, block_bytes=block_bytes)
    weights = barycentric_weights(points, neighbors, query=x_new, reg=reg, block_bytes=block_bytes)
    return call_padded(lambda rows, y: _combine(*rows, y), (neighbors, weights), y)


def inverse_transform(
    y_new: Any, y: Any, x: Any, *, k: int, reg: RegularizerLike = 1e-3, block_bytes: int = BLOCK_BYTES
) -> Float[Array, "q d"]:
    """Map points of the embedding space to data space, as `transform` with the roles of x and y exchanged.

    ``x_new = sum_j w_j x_j`` with the barycentric weights of y_new on its neighbors y_j in the embedding (Saul and Roweis 2003,
    section 6.1). The result depends on the relative scales of the columns of the embedding. Use k > c.

    Args:
        y_new: points in the embedding space, shape (q, c).
        y: embedding of the data, shape (n, c), or a `Points` value.
        x: the data, shape (n, d); integers, such as images of type uint8, and booleans are cast to floating point.
        k: neighbors per point.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.
        block_bytes: memory limit of one block, in bytes.

    Returns:
        Points in data space, shape (q, d).

    Raises:
        ValueError: as for `transform`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> y = jaxlle.lle(x, 2, k=8).points
        >>> between = (y[:1] + y[1:2]) / 2
        >>> jaxlle.inverse_transform(between, y, x, k=8).shape
        (1, 3)
    """
    y, y_new, x = prepare_points(y, name="y"), as_rows(y_new, "y_new"), as_values(x, "x")
    check_features(y_new, y.shape[1], "y_new", "y")
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"x has {x.shape[0]} rows and y has {y.shape[0]}: y must be the embedding of x, row by row.")
    return transform(y_new, y, x, k=k, reg=reg, block_bytes=block_bytes)


@jax.jit
def _combine(neighbors: Neighbors, weights: Float[Array, "q k"], y: Float[Array, "n c"]) -> Float[Array, "q c"]:
    # The ridge would smooth the result for points of the data, whose distance is exactly 0.
    same = require_distances(neighbors)[:, 0] == 0
    weights = exact_at_rows(same, jnp.zeros_like(weights).at[:, 0].set(1), weights).astype(y.dtype)
    return jax.vmap(lambda ids, w: matmul(w, y[ids]))(neighbors.indices, weights)
