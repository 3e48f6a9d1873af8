"""The graph Laplacian as an alignment, for comparison with LLE."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.checks import is_traced, without_derivative
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from .operator import Alignment, read_weights


def laplacian_alignment(neighbors: Neighbors, weights: Float[Any, "n k"] | None = None) -> Alignment:
    """Return the alignment whose cost is the energy of the graph Laplacian, ``sum_ij a_ij |y_i - y_j|^2``.

    The energy vanishes on constants only, and that of LLE on locally linear functions, so that the Laplacian flattens a
    function between the points where its values are known (Kim, Steinke and Hein 2009, NIPS 22:979; cited from memory). With
    the default weights, `jaxlle.losses.alignment_loss` of this alignment equals `jaxlle.losses.laplacian_loss`.

    Args:
        neighbors: the neighborhoods of all points.
        weights: positive or zero weights a, shape (n, k), 0 where masked; None for 1 / (number of neighbors).

    Returns:
        Alignment with the rows ``sqrt(a_ij) (y_i - y_j)``, blocks of shape (n, k, k + 1) on the points ``[i, neighbors of i]``.

    Raises:
        ValueError: for weights of another shape than the indices; or, outside jit, negative weights and indices out of range.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> neighbors = jaxlle.knn(jnp.array([[0.0], [1.0], [3.0]]), 1)
        >>> jaxlle.alignment.laplacian_alignment(neighbors).to_dense()
        Array([[ 1., -1.,  0.],
               [-1.,  1.,  0.],
               [ 0., -1.,  1.]], dtype=float32)
    """
    neighbors = prepare_graph(neighbors)
    if weights is not None:
        weights = read_weights(weights, neighbors)
        fixed = without_derivative(weights)
        if not is_traced(fixed) and bool((fixed < 0).any()):
            raise ValueError(
                "weights contains negative numbers, but the energy of a graph needs weights of at least 0."
            )
    return _from_weights(neighbors, weights)


@jax.jit
def _from_weights(neighbors: Neighbors, weights: Float[Array, "n k"] | None) -> Alignment:
    indices, distances, mask = neighbors
    n, k = indices.shape
    if weights is None:
        dtype = jnp.result_type(float) if distances is None else distances.dtype
        exists = jnp.ones((n, k), dtype) if mask is None else mask.astype(dtype)
        weights = exists / jnp.maximum(exists.sum(axis=1, keepdims=True), 1)
    zero = weights == 0
    root = jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, weights)))  # the derivative of the root at 0 is infinite
    own = jnp.arange(n, dtype=indices.dtype)[:, None]
    blocks = jnp.concatenate([root[:, :, None], -root[:, :, None] * jnp.eye(k, dtype=root.dtype)], axis=2)
    return Alignment(jnp.concatenate([own, indices], axis=1), blocks)
