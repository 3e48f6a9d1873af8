"""Weights in spaces that are known by a kernel or a metric alone: any JAX function of two points will do.

Only local Gram matrices enter the weights, so the points may be anything that is stored as a vector: histograms, or the
entries of a covariance matrix, under a kernel or a Riemannian distance with parameters of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from . import _inputs
from ._search import BLOCK_BYTES
from .neighbors import Neighbors
from .regularizers import trace_ridge
from .weights import Regularizer, check_indices, check_reg, checked, solve_grams

Kernel = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class KernelDistance:
    """The distance in a kernel's feature space, ``sqrt(K(a, a) - 2 K(a, b) + K(b, b))``: a metric for `knn`.

    Attributes:
        kernel: positive semi-definite JAX function of two vectors.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.KernelDistance(jnp.dot)(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
        Array(5., dtype=float32)
    """

    kernel: Kernel

    def __call__(self, a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
        """Return the distance of two points; its gradient is 0 where they coincide."""
        square = self.kernel(a, a) - 2 * self.kernel(a, b) + self.kernel(b, b)
        positive = ~(square <= 0)  # also a NaN, which must not pass for nearest
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def kernel_weights(
    x: Any,
    neighbors: Neighbors,
    kernel: Kernel,
    *,
    reg: Real[ArrayLike, ""] = 1e-3,
    regularizer: Regularizer = trace_ridge,
    query: Any = None,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Compute barycentric weights in the feature space of a kernel (DeCoste 2001; Zhao and Zhang 2012).

    The local Gram matrix is ``G_jl = K(x,x) - K(x,x_j) - K(x,x_l) + K(x_j,x_l)``.

    Args:
        x: points, shape (n, d), given to the kernel as they are.
        neighbors: neighbourhoods of the points, found in any metric.
        kernel: positive semi-definite JAX function of two vectors; may close over traced parameters inside jit.
        reg: strength of the regularizer.
        regularizer: one of `jaxlle.regularizers`.
        query: points to reconstruct, shape (q, d), if not the points themselves.
        block_bytes: memory that one block of points may take.

    Returns:
        Weights of shape (n, k) whose rows sum to 1; differentiable in the points and in what the kernel closes over.

    Raises:
        ValueError: as `barycentric_weights`; also for a kernel that is not positive on some neighbourhood.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.kernel_weights(x, jaxlle.knn(x, 2), jnp.dot, reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    x = _inputs.as_points(x)
    check_reg(reg, regularizer, neighbors.indices.shape[1], x.shape[1])
    query = x if query is None else _inputs.as_points(query, "query")
    check_indices(neighbors, x.shape[0], query)
    points = jnp.asarray(x, _inputs.working_dtype(x))
    source = jnp.asarray(query, points.dtype)
    return checked(_solve_kernel(points, source, neighbors, reg, kernel, regularizer, block_bytes), reg)


def metric_weights(
    x: Any,
    neighbors: Neighbors,
    metric: Kernel,
    *,
    reg: Real[ArrayLike, ""] = 1e-3,
    regularizer: Regularizer = trace_ridge,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Compute barycentric weights in the geometry of a metric.

    The local Gram matrix is ``G_jl = (m(x, x_j)^2 + m(x, x_l)^2 - m(x_j, x_l)^2) / 2`` (Saul and Roweis 2003, section 4.1):
    that of the points laid flat about x, exact where the metric is Euclidean in some coordinates.

    Args:
        x: points, shape (n, d), given to the metric as they are.
        neighbors: neighbourhoods of the points, as a rule in the same metric.
        metric: JAX function of two vectors, a distance; may close over traced parameters inside jit.
        reg: strength of the regularizer.
        regularizer: one of `jaxlle.regularizers`.
        block_bytes: memory that one block of points may take.

    Returns:
        Weights of shape (n, k) whose rows sum to 1; differentiable in the points and in what the metric closes over, as far as
        the metric is.

    Raises:
        ValueError: as `barycentric_weights`; also for a metric so far from Euclidean that a Gram matrix is not positive.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.metric_weights(x, jaxlle.knn(x, 2), jaxlle.distances.euclidean, reg=1e-6)[1].tolist()
        [0.667, 0.333]
    """
    x = _inputs.as_points(x)
    # How many dimensions the metric has is its own affair: one fewer than members is the most.
    check_reg(reg, regularizer, neighbors.indices.shape[1], neighbors.indices.shape[1])
    check_indices(neighbors, x.shape[0], x)
    points = jnp.asarray(x, _inputs.working_dtype(x))
    return checked(_solve_metric(points, neighbors, reg, metric, regularizer, block_bytes), reg)


@partial(jax.jit, static_argnames=("kernel", "regularizer", "block_bytes"))
def _solve_kernel(
    points: Array,
    source: Array,
    neighbors: Neighbors,
    reg: Any,
    kernel: Kernel,
    regularizer: Regularizer,
    block_bytes: int,
) -> Float[Array, "n k"]:
    one = jnp.ones((), points.dtype)

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        around, here = points[ids], source[i]
        cross = jax.vmap(lambda a: kernel(here, a))(around)
        inner = jax.vmap(lambda a: jax.vmap(lambda b: kernel(a, b))(around))(around)
        return kernel(here, here) - cross[:, None] - cross[None, :] + inner, jnp.ones(ids.shape, points.dtype), one

    row = 2 * (points.shape[1] + neighbors.indices.shape[1]) * points.dtype.itemsize
    return solve_grams(gram, neighbors, reg, 1.0, regularizer, row, block_bytes)


@partial(jax.jit, static_argnames=("metric", "regularizer", "block_bytes"))
def _solve_metric(
    points: Array, neighbors: Neighbors, reg: Any, metric: Kernel, regularizer: Regularizer, block_bytes: int
) -> Float[Array, "n k"]:
    k = neighbors.indices.shape[1]

    def gram(i: Array, ids: Array) -> tuple[Array, Array, Array]:
        around = points[ids]
        near = jax.vmap(lambda a: metric(points[i], a))(around)
        # Only pairs of different neighbours: a metric need not be differentiable where two points are one.
        pairs = jax.vmap(metric)(around[first], around[second])
        among = jnp.zeros((k, k), near.dtype).at[first, second].set(pairs).at[second, first].set(pairs)
        extent = lax.stop_gradient(jnp.maximum(near.max(), among.max()))
        extent = jnp.where(extent > 0, extent, 1)
        near, among = (near / extent) ** 2, (among / extent) ** 2
        return (near[:, None] + near[None, :] - among) / 2, jnp.ones(ids.shape, points.dtype), extent

    first, second = jnp.triu_indices(k, 1)
    row = 2 * k * points.shape[1] * points.dtype.itemsize
    return solve_grams(gram, neighbors, reg, 1.0, regularizer, row, block_bytes)
