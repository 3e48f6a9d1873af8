"""Barycentric weights in the feature space of a kernel, which can be any positive semi-definite JAX function of two vectors.

Only local Gram matrices enter the weights, so that the points can be any objects that are stored as vectors, such as histograms
or the entries of covariance matrices.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes, check_features
from .._core.ladder import call_padded, to_device
from .._core.points import as_points, prepare_points
from ..distances import Kernel
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ..regularizers import Regularizer, RegularizerLike, as_regularizer, check_reg
from .gram import require_finite_weights, solve_grams


def kernel_weights(
    x: Any,
    neighbors: Neighbors,
    kernel: Kernel,
    *,
    reg: RegularizerLike = 1e-3,
    query: Any = None,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Compute barycentric weights in the feature space of a kernel (DeCoste 2001; Zhao and Zhang 2012).

    The local Gram matrix is ``G_jl = K(x,x) - K(x,x_j) - K(x,x_l) + K(x_j,x_l)``, and the weights are
    ``w = C^-1 1 / (1^T C^-1 1)`` with ``C = G + ridge I``.

    Args:
        x: points, shape (n, d), or a `Points` value; the kernel is evaluated on the values, without centering or scaling.
        neighbors: neighborhoods of the points, or of the queries, in any metric; a mask is respected.
        kernel: positive semi-definite JAX function of two vectors; may close over traced parameters inside jit.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.
        query: points to reconstruct, shape (q, d); None for the points themselves.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Weights of shape (n, k) whose rows sum to 1; differentiable with respect to the points and to values that the
            kernel closes over.

    Raises:
        ValueError: as for `barycentric_weights`; also if the kernel is not positive semi-definite on a neighborhood.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.weights.kernel_weights(x, jaxlle.knn(x, 2), jnp.dot, reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    points = prepare_points(x)
    (n, d), block_bytes = points.shape, check_bytes(block_bytes)
    query = None if query is None else as_points(query, "query")
    check_features(query, d, "query", "x")
    neighbors = prepare_graph(neighbors, n, n if query is None else query.shape[0])
    check_reg(reg, neighbors.indices.shape[1], d)
    values, ridge = to_device(points.values, points.dtype), as_regularizer(reg)
    source = values if query is None else to_device(query, points.dtype)
    if query is None:
        return require_finite_weights(_solve_kernel(values, source, neighbors, ridge, kernel, block_bytes), reg)
    weights = call_padded(
        lambda rows, values, ridge: _solve_kernel(values, *rows, ridge, kernel, block_bytes),
        (source, neighbors._replace(distances=None)),
        values,
        ridge,
    )
    return require_finite_weights(weights, reg)


@partial(jax.jit, static_argnames=("kernel", "block_bytes"))
def _solve_kernel(
    points: Array, source: Array, neighbors: Neighbors, ridge: Regularizer, kernel: Kernel, block_bytes: int
) -> Float[Array, "n k"]:
    one = jnp.ones((), points.dtype)

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        around, center = points[ids], source[i]
        cross = jax.vmap(lambda a: kernel(center, a))(around)
        inner = jax.vmap(lambda a: jax.vmap(lambda b: kernel(a, b))(around))(around)
        return kernel(center, center) - cross[:, None] - cross[None, :] + inner, jnp.ones(ids.shape, points.dtype), one

    row = 2 * (points.shape[1] + neighbors.indices.shape[1]) * points.dtype.itemsize
    return solve_grams(gram, neighbors, ridge, 1.0, row, block_bytes)
