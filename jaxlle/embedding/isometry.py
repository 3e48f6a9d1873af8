"""The linear map that restores the distances of the data in an embedding, which LLE does not determine."""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._core.linear import matmul
from .._core.points import as_points, working_dtype
from .._core.spectral import least_squares, principal_axes, root
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph, require_distances


def isometric_map(y: Any, neighbors: Neighbors) -> Float[Array, "c c"]:
    """Find the linear map after which the distances between neighbors in an embedding are closest to those in the data.

    LLE and its variants determine an embedding up to an affine map at best. The symmetric matrix Q that minimizes
    ``sum_ij ((y_i - y_{n_ij})^T Q (y_i - y_{n_ij}) / d_ij^2 - 1)^2`` is found by least squares, and A with A A^T = Q is returned.
    ``y @ A`` is the embedding with the proportions of the manifold, in the unit of the data. Runs under jit and vmap.

    Args:
        y: the embedding, shape (n, c).
        neighbors: neighborhoods of the data, with distances. Masked neighbors and pairs at distance 0 are left out.

    Returns:
        A, shape (c, c). Directions of negative eigenvalues of Q are set to zero.

    Raises:
        ValueError: if y is not an array of finite numbers, or the graph has no distances or another number of points.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 2))
        >>> a = jaxlle.embedding.isometric_map(x / jax.numpy.array([5.0, 0.1]), jaxlle.knn(x, 8))
        >>> bool(jax.numpy.allclose(a @ a.T, jax.numpy.diag(jax.numpy.array([25.0, 0.01])), atol=1e-3))
        True
    """
    y = as_points(y, "y")
    y = jnp.asarray(y, working_dtype(y))
    neighbors = prepare_graph(neighbors, len(y))
    distances = require_distances(neighbors)
    size = y.std(axis=0)
    size = jnp.where(size > 0, size, 1)
    steps = (y[:, None] - y[neighbors.indices]) / size
    use = distances > 0 if neighbors.mask is None else (distances > 0) & neighbors.mask
    unit = jnp.where(use, distances, 1)[..., None]
    steps = jnp.where(use[..., None], steps / unit, 0).reshape(-1, y.shape[1])
    first, second = jnp.triu_indices(y.shape[1])
    columns = steps[:, first] * steps[:, second] * jnp.where(first == second, 1, 2)
    entries = least_squares(columns, use.ravel().astype(y.dtype))
    q = jnp.zeros((y.shape[1],) * 2, y.dtype).at[first, second].set(entries).at[second, first].set(entries)
    return _factor(q / jnp.outer(size, size))


def _factor(q: Float[Array, "c c"]) -> Float[Array, "c c"]:
    """Return the eigenvectors of Q times the roots of its eigenvalues, negative ones set to 0, in increasing order.

    A A^T has the derivative of Q, also where eigenvalues are equal: the root within the span of the positive eigenvalues does.
    """
    values = jnp.linalg.eigvalsh(lax.stop_gradient(q))
    used = values[::-1] > 0
    _, axes = principal_axes(q, used.sum())
    unused = jnp.diag(jnp.where(used, 0, values[-1]))
    inner = jnp.where(used[:, None] & used[None, :], matmul(matmul(axes.T, q), axes), unused)
    return (matmul(axes, root(inner)) * used)[:, ::-1]
