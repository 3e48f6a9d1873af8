"""Embedding of new points by affine maps from tangent coordinates, for the variants that use tangent spaces."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count, check_features
from .._core.ladder import call_padded
from .._core.linear import matmul
from .._core.points import as_rows, as_values, prepare_points
from .._core.spectral import pseudo_inverse
from ..neighbors import Neighbors, knn
from ..neighbors.graph import require_distances
from ..weights.frames import FromPoints, map_members
from ._rows import combine, exact_at_rows


def tangent_transform(
    x_new: Any, x: Any, y: Any, *, k: int, dim: int | None = None, block_bytes: int = BLOCK_BYTES
) -> Float[Array, "q c"]:
    """Embed new points by local affine maps from tangent coordinates to the embedding.

    LTSA, Hessian LLE and modified LLE compute an embedding that is approximately affine in the tangent coordinates t of every
    neighborhood: ``y = m + L t``. Here t are the tangent coordinates of the neighborhood of a new point, including the point
    itself. The m and L are fitted to the embedding of the neighbors by least squares and applied to the new point, which
    minimizes the LTSA cost of its neighborhood (Zhang and Zha 2004, SIAM J. Sci. Comput. 26:313).

    Args:
        x_new: new points, shape (q, d).
        x: the embedded data, shape (n, d), or a `Points` value.
        y: the embedding of the data, shape (n, c).
        k: neighbors per new point, more than dim.
        dim: dimension of the tangent spaces; None means c, at most d.
        block_bytes: memory limit of one block, in bytes.

    Returns:
        Embedding of the new points, shape (q, c). A row of the data is mapped to its own embedding; its derivative with respect
        to x_new is that of the affine map.

    Raises:
        ValueError: as for `transform`; also if k is too small or dim out of range.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> bool(jnp.allclose(jaxlle.extension.tangent_transform(x[:5] + 0.1, x, 2 * x + 1, k=8), 2 * x[:5] + 1.2, atol=1e-4))
        True
    """
    points, x_new = prepare_points(x), as_rows(x_new, "x_new")
    n, d = points.shape
    check_features(x_new, d, "x_new", "x")
    y = as_values(y)
    if y.shape[0] != n:
        raise ValueError(f"y has {y.shape[0]} rows and x has {n}: y must be the embedding of x, row by row.")
    dim = min(y.shape[1], d) if dim is None else dim
    dim = check_count(dim, "dim (n_components)", 1, d, "at most the number of features")
    check_count(k, "k (n_neighbors)", dim + 1, n, f"an affine map of dim = {dim} variables has dim + 1 coefficients")
    neighbors = knn(points, k, query=x_new, block_bytes=block_bytes)
    return call_padded(
        lambda rows, known, y: _by_tangents(*rows, known, y, dim, block_bytes),
        (points.apply(x_new), neighbors),
        points.coordinates,
        y,
    )


@partial(jax.jit, static_argnames=("dim", "block_bytes"))
def _by_tangents(
    query: Float[Array, "q d"],
    neighbors: Neighbors,
    known: Float[Array, "n d"],
    y: Float[Array, "n c"],
    dim: int,
    block_bytes: int,
) -> Float[Array, "q c"]:
    (q, k), n, source = neighbors.indices.shape, y.shape[0], FromPoints(jnp.concatenate([known, query]))
    same = require_distances(neighbors)[:, 0] == 0

    def one(ids: Array, keep: Array) -> Array:
        t = source.patch(ids, keep, dim, "mean").coordinates
        design = jnp.concatenate([jnp.ones((k, 1), t.dtype), t[1:]], axis=1).astype(y.dtype)
        own = jnp.concatenate([jnp.ones(1, y.dtype), t[0].astype(y.dtype)])
        return matmul(own, pseudo_inverse(design, 8))  # the weights of the neighbors in the value of the affine map

    own = jnp.arange(n, n + q, dtype=neighbors.indices.dtype)[:, None]
    ids = jnp.concatenate([own, neighbors.indices], axis=1)
    weights = map_members(one, ids, jnp.ones(ids.shape, bool), source.row_bytes, block_bytes)
    weights, rows = exact_at_rows(same, jnp.zeros_like(weights).at[:, 0].set(1), weights), y[neighbors.indices]
    # Subtracted, because an offset of the embedding would cost digits.
    level = jnp.where(same[:, None], rows[:, 0], rows.mean(axis=1))
    return level + combine(weights, rows - level[:, None])
