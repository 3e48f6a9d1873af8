"""Convex barycentric weights, which are nonnegative and sum to one."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes, check_count
from .._core.linear import matmul, solve_positive
from .._core.points import prepare_points
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ..regularizers import check_reg
from .frames import map_members, members
from .gram import require_finite_weights


def simplex_weights(
    x: Any,
    neighbors: Neighbors,
    *,
    reg: Real[ArrayLike, ""] = 1e-3,
    iterations: int = 200,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "n k"]:
    """Compute the weights of the best convex combination of neighbors for every point.

    Minimizes ``w^T (G + reg tr(G) I) w`` over the simplex ``w_j >= 0, sum_j w_j = 1``. Saul and Roweis (2003, JMLR 4:119) discuss
    such weights, which reconstruct points within the convex hull of their neighbors and are more robust to outliers. Projected
    gradient steps with momentum determine which weights are zero. The other weights are the exact solution of their linear
    system, which also defines the derivatives.

    Args:
        x: points, shape (n, d), or a `Points` value.
        neighbors: neighborhoods of the points; a mask is respected.
        reg: strength of the ridge, relative to the trace of the local Gram matrix.
        iterations: number of projected gradient steps.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        Weights of shape (n, k) in [0, 1] whose rows sum to 1.

    Raises:
        ValueError: as for `barycentric_weights`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> jaxlle.weights.simplex_weights(x, jaxlle.knn(x, 2), reg=1e-6).round(3)[:2].tolist()
        [[1.0, 0.0], [0.667, 0.333]]
    """
    points = prepare_points(x)
    neighbors, block_bytes = prepare_graph(neighbors, points.shape[0]), check_bytes(block_bytes)
    check_reg(reg, neighbors.indices.shape[1], points.shape[1])
    iterations = check_count(iterations, "iterations", 1, None, "number of projected gradient steps")
    ids, keep = members(neighbors)
    return require_finite_weights(_simplex(points.coordinates, ids, keep, reg, iterations, block_bytes), reg)


@partial(jax.jit, static_argnames=("iterations", "block_bytes"))
def _simplex(
    points: Float[Array, "n d"], ids: Array, keep: Array, reg: Any, iterations: int, block_bytes: int
) -> Float[Array, "n k"]:
    def one(ids: Array, keep: Array) -> Array:
        differences = points[ids[1:]] - points[ids[0]]
        extent = lax.stop_gradient(jnp.max(jnp.abs(differences)))
        differences = differences / jnp.where(extent > 0, extent, 1)
        valid = keep[1:]
        gram = jnp.where(valid[:, None] & valid[None, :], matmul(differences, differences.T), 0)
        trace = jnp.trace(gram)
        system = gram + reg * jnp.where(trace > 0, trace, 1) * jnp.eye(len(gram), dtype=gram.dtype)
        start = _projected_gradient(lax.stop_gradient(system), valid, iterations)
        return _on_support(system, start > 0)

    return map_members(one, ids, keep, 3 * points.shape[1] * points.dtype.itemsize, block_bytes)


def _projected_gradient(system: Float[Array, "k k"], valid: Bool[Array, " k"], iterations: int) -> Float[Array, " k"]:
    step = 1 / jnp.max(jnp.abs(system).sum(axis=1))

    def advance(count: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        old, ahead = state
        new = _onto_simplex(ahead - step * matmul(system, ahead), valid)
        return new, new + count / (count + 3) * (new - old)

    start = valid / jnp.maximum(valid.sum(), 1).astype(system.dtype)
    return lax.fori_loop(0, iterations, advance, (start, start))[0]


def _onto_simplex(w: Float[Array, " k"], valid: Bool[Array, " k"]) -> Float[Array, " k"]:
    """Project onto the simplex of nonnegative valid entries that sum to 1."""
    descending = -jnp.sort(-jnp.where(valid, w, -jnp.inf))
    excess = (jnp.cumsum(jnp.where(jnp.isfinite(descending), descending, 0)) - 1) / jnp.arange(1, len(w) + 1)
    count = jnp.maximum((descending > excess).sum(), 1)
    return jnp.where(valid, jnp.maximum(w - excess[count - 1], 0), 0)


def _on_support(system: Float[Array, "k k"], support: Bool[Array, " k"]) -> Float[Array, " k"]:
    """Solve exactly on the support, after removing entries whose solution is not positive, in four steps."""

    def solve(support: Array) -> Array:
        both = support[:, None] & support[None, :]
        solution = solve_positive(jnp.where(both, system, jnp.eye(len(system))), support.astype(system.dtype))
        return jnp.where(support, solution, 0) / jnp.where(support, solution, 0).sum()

    fixed = lax.stop_gradient(system)

    def shrink(_: Any, support: Array) -> Array:
        both = support[:, None] & support[None, :]
        solution = solve_positive(jnp.where(both, fixed, jnp.eye(len(fixed))), support.astype(fixed.dtype))
        return support & (solution > 0)

    return solve(lax.fori_loop(0, 4, shrink, support))
