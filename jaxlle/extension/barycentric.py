"""Maps between data space and embedding space for points that were not fitted."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .. import distances
from .._core.blocks import BLOCK_BYTES
from .._core.points import as_points, prepare_points
from ..neighbors import Neighbors, knn
from ..neighbors.graph import require_distances
from ..regularizers import Regularizer
from ..weights import barycentric_weights


def transform(
    x_new: Any,
    x: Any,
    y: Any,
    *,
    k: int,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    metric: distances.Metric = "euclidean",
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q c"]:
    """Embed new points: each is written by its neighbours in the data, and the same weights are applied to theirs.

    ``y_new = sum_j w_j y_j`` (Saul and Roweis 2003, section 6.1). A new point equal to a point of the data gets that
    point's embedding (the first such point's, if there are several).

    Args:
        x_new: new points, shape (q, d); with metric="precomputed", their distances to the data, shape (q, n).
        x: the data that were embedded, shape (n, d); with metric="precomputed", the distances among them.
        y: their embedding, shape (n, c): `Embedding.points`.
        k: neighbours of each new point; the number used for the embedding, as a rule.
        reg: strength of the trace ridge, or one of `jaxlle.regularizers`.
        metric: as for `knn`.
        block_bytes: memory that one block may take.

    Returns:
        The new points' embedding, shape (q, c); differentiable in x_new, x and y.

    Raises:
        ValueError: for points that are not finite numbers or shapes that do not fit.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> y = jaxlle.lle(x, 2, k=8).points
        >>> bool(jnp.array_equal(jaxlle.transform(x[:5], x, y, k=8), y[:5]))
        True
    """
    points, x_new = prepare_points(x, metric=metric), as_points(x_new, "x_new")
    y = jnp.asarray(y)
    if y.shape[0] != points.shape[0]:
        raise ValueError(
            f"y has {y.shape[0]} rows and x has {points.shape[0]}: the embedding must be that of the data, row by row."
        )
    neighbors = knn(points, k, query=x_new, block_bytes=block_bytes)
    weights = barycentric_weights(points, neighbors, query=x_new, reg=reg, block_bytes=block_bytes)
    return _combine(neighbors, weights, y)


def inverse_transform(
    y_new: Any,
    y: Any,
    x: Any,
    *,
    k: int,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q d"]:
    """Map points of the embedding space back to data space: the same construction with the roles exchanged.

    The weights are those of the neighbours in the embedding, the values come from the data (Saul and Roweis 2003, section
    6.1). Columns of the embedding count as they are scaled; take k > c.

    Args:
        y_new: points in the embedding space, shape (q, c).
        y: embedding of the data, shape (n, c).
        x: the data, shape (n, d).
        k: neighbours of each point.
        reg: strength of the trace ridge, or one of `jaxlle.regularizers`.
        block_bytes: memory that one block may take.

    Returns:
        Points in data space, shape (q, d).

    Raises:
        ValueError: as `transform`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> y = jaxlle.lle(x, 2, k=8).points
        >>> bool(jnp.array_equal(jaxlle.inverse_transform(y[:5], y, x, k=8), x[:5]))
        True
    """
    return transform(y_new, y, x, k=k, reg=reg, block_bytes=block_bytes)


@jax.jit
def _combine(neighbors: Neighbors, weights: Float[Array, "q k"], y: Float[Array, "n c"]) -> Float[Array, "q c"]:
    # The ridge would blur a point that is in the data; its distance is exactly 0, as differences are direct.
    nearest = require_distances(neighbors)[:, 0] == 0
    exact = jnp.zeros_like(weights).at[:, 0].set(1)
    weights = jnp.where(nearest[:, None], exact, weights).astype(y.dtype)
    return jax.vmap(lambda ids, w: jnp.dot(w, y[ids], precision=lax.Precision.HIGHEST))(neighbors.indices, weights)
