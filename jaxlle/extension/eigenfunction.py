"""New points by the eigenfunctions, the tangent spaces, or a kernel regression of a fitted embedding.

`out_of_sample.transform` places a new point by barycentric weights, as LLE itself would. These maps stand beside it: each gives
a row of the training data its own embedding.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import is_traced
from .._core.points import as_points, prepare_points
from ..embedding import Embedding
from ..neighbors import knn
from ..neighbors.graph import require_distances
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
    """Embed new points by Nystrom's formula, with the kernel of which LLE is the principal components.

    The kernel of n points is ``K = shift I - M``, whose top eigenvectors are LLE's; for a new point
    ``K(x, x_j) = (shift - 1) w_j(x)`` with barycentric weights w, and ``y_c(x) = sum_j y_jc K(x, x_j) / (shift - s_c^2)``
    (Bengio et al. 2004, NIPS 16). As the shift grows this is `transform`.

    Args:
        x_new: new points, shape (q, d).
        x: the data that were embedded, shape (n, d).
        embedding: theirs, by LLE.
        k: neighbours of each new point; the number used for the embedding.
        shift: above the largest eigenvalue of M for a positive kernel; that is 3 to 12 on real data.
        reg: strength of the regularizer.
        block_bytes: memory that one block may take.

    Returns:
        The new points' embedding, shape (q, dim); a row of the data gets its own place.

    Raises:
        ValueError: as `transform`; also for a shift not above the embedding's eigenvalues.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> out = jaxlle.lle(x, 2, k=8)
        >>> bool(jnp.array_equal(jaxlle.extension.eigenfunction_transform(x[:5], x, out, k=8), out.points[:5]))
        True
    """
    values = jnp.asarray(embedding.singular_values) ** 2
    if not is_traced(shift, values) and not bool(jnp.asarray(shift) > jnp.maximum(1, values.max())):
        raise ValueError(
            f"shift = {shift} is not allowed: it must be above 1 and above the eigenvalues of M, as 16 is."
        )
    points, x_new = prepare_points(x), as_points(x_new, "x_new")
    y = jnp.asarray(embedding.points)
    placed = transform(x_new, points, y, k=k, reg=reg, block_bytes=block_bytes)
    nearest = knn(points, 1, query=x_new, block_bytes=block_bytes)
    same = require_distances(nearest) == 0  # there K has the row of the training point, and the formula gives its place
    return jnp.where(same, placed, placed * (shift - 1) / (shift - values))
