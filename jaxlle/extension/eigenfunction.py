"""Embedding of new points by the eigenfunctions of LLE, that is, by the Nystrom formula."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.arrays import check_number, read_floats
from .._core.blocks import BLOCK_BYTES
from .._core.checks import is_traced
from .._core.ladder import call_padded
from .._core.points import as_rows, prepare_points
from ..embedding import Embedding
from ..neighbors import Neighbors, knn
from ..neighbors.graph import require_distances
from ._rows import exact_at_rows
from .barycentric import transform


def eigenfunction_transform(
    x_new: Any,
    x: Any,
    embedding: Embedding,
    *,
    k: int,
    shift: Real[ArrayLike, ""] = 16.0,
    reg: Real[ArrayLike, ""] = 1e-3,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q dim"]:
    """Embed new points by the Nystrom formula, with the kernel whose principal components are LLE.

    The kernel matrix of n points is ``K = shift I - M``, whose top eigenvectors are the embedding. For a new point,
    ``K(x, x_j) = (shift - 1) w_j(x)`` with barycentric weights w, and ``y_c(x) = sum_j y_jc K(x, x_j) / (shift - s_c^2)`` with
    the singular values s_c (Bengio et al. 2004, NIPS 16). The result converges to that of `transform` as shift increases.

    Args:
        x_new: new points, shape (q, d).
        x: the embedded data, shape (n, d), or a `Points` value.
        embedding: embedding of the data by LLE.
        k: neighbors per new point, the number used for the embedding.
        shift: constant larger than 1 and than the eigenvalues s_c^2. The kernel is positive if it exceeds the largest eigenvalue
            of M, which is 3 to 12 on real data.
        reg: strength of a `TraceRidge`.
        block_bytes: memory limit of one block, in bytes.

    Returns:
        Embedding of the new points, shape (q, dim). A row of the data is mapped to its own embedding; its derivative with respect
        to x_new is that of the formula.

    Raises:
        ValueError: as for `transform`; also if shift is not larger than 1 and the eigenvalues of the embedding.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> out = jaxlle.lle(x, 2, k=8)
        >>> bool(jnp.array_equal(jaxlle.extension.eigenfunction_transform(x[:5], x, out, k=8), out.points[:5]))
        True
    """
    values = read_floats(embedding.singular_values, "embedding.singular_values", "dim") ** 2
    y = read_floats(embedding.points, "embedding.points", "n dim")
    if values.shape != y.shape[1:]:
        raise ValueError(
            f"embedding has {y.shape[1]} columns and {len(values)} singular values: there must be one each."
        )
    least = 1.0 if is_traced(values) else max(1.0, float(values.max()))
    check_number(
        shift, "shift", "above 1 and the eigenvalues of the embedding, such as 16", lambda value: value > least
    )
    points, x_new = prepare_points(x), as_rows(x_new, "x_new")
    mapped = transform(x_new, points, y, k=k, reg=reg, block_bytes=block_bytes)
    nearest = knn(points, 1, query=x_new, block_bytes=block_bytes)
    return call_padded(lambda rows, *fixed: _scale(*rows, *fixed), (mapped, nearest), y, shift, values)


@jax.jit
def _scale(
    mapped: Float[Array, "q dim"],
    nearest: Neighbors,
    y: Float[Array, "n dim"],
    shift: Any,
    values: Float[Array, " dim"],
) -> Float[Array, "q dim"]:
    # At a training point the row of K is that of the point, and the formula gives its embedding.
    same, factors = require_distances(nearest)[:, 0] == 0, (shift - 1) / (shift - values)
    rest = jnp.where(same[:, None], (1 - factors) * y[nearest.indices[:, 0]], 0)  # for the derivative with respect to y
    return exact_at_rows(same, lax.stop_gradient(mapped), mapped * factors + rest)
