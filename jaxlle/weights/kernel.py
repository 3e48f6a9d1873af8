"""Weights in spaces that are known by a kernel or a metric alone: any JAX function of two points will do.

Only local Gram matrices enter the weights, so the points may be anything that is stored as a vector: histograms, or the
entries of a covariance matrix, under a kernel or a Riemannian distance with parameters of their own.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES
from .._core.points import as_points, prepare_points
from ..distances import Kernel
from ..neighbors import Neighbors
from ..neighbors.graph import check_indices
from ..regularizers import Regularizer, as_regularizer, check_reg
from .gram import require_finite_weights, solve_grams


def kernel_weights(
    x: Any,
    neighbors: Neighbors,
    kernel: Kernel,
    *,
    reg: Real[ArrayLike, ""] | Regularizer = 1e-3,
    query: Any = None,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Compute barycentric weights in the feature space of a kernel (DeCoste 2001; Zhao and Zhang 2012).

    The local Gram matrix is ``G_jl = K(x,x) - K(x,x_j) - K(x,x_l) + K(x_j,x_l)``.

    Args:
        x: points, shape (n, d), given to the kernel as they are.
        neighbors: neighbourhoods of the points, found in any metric.
        kernel: positive semi-definite JAX function of two vectors; may close over traced parameters inside jit.
        reg: strength of the trace ridge, or one of `jaxlle.regularizers`.
        query: points to reconstruct, shape (q, d), if not the points themselves.
        block_bytes: memory that one block of points may take.

    Returns:
        Weights of shape (n, k) whose rows sum to 1; differentiable in the points and in what the kernel closes over.

    Raises:
        ValueError: as `barycentric_weights`; also for a kernel that is not positive on some neighbourhood.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.weights.kernel_weights(x, jaxlle.knn(x, 2), jnp.dot, reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    points = prepare_points(x)
    n, d = points.shape
    check_reg(reg, neighbors.indices.shape[1], d)
    values = jnp.asarray(points.values, points.dtype)
    source = values if query is None else jnp.asarray(as_points(query, "query"), points.dtype)
    check_indices(neighbors, n, source.shape[0])
    return require_finite_weights(
        _solve_kernel(values, source, neighbors, as_regularizer(reg), kernel, block_bytes), reg
    )


@partial(jax.jit, static_argnames=("kernel", "block_bytes"))
def _solve_kernel(
    points: Array, source: Array, neighbors: Neighbors, ridge: Regularizer, kernel: Kernel, block_bytes: int
) -> Float[Array, "n k"]:
    one = jnp.ones((), points.dtype)

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        around, here = points[ids], source[i]
        cross = jax.vmap(lambda a: kernel(here, a))(around)
        inner = jax.vmap(lambda a: jax.vmap(lambda b: kernel(a, b))(around))(around)
        return kernel(here, here) - cross[:, None] - cross[None, :] + inner, jnp.ones(ids.shape, points.dtype), one

    row = 2 * (points.shape[1] + neighbors.indices.shape[1]) * points.dtype.itemsize
    return solve_grams(gram, neighbors, ridge, 1.0, row, block_bytes)
