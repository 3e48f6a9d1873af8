"""Barycentric weights from local Gram matrices, the common computation of all kinds of barycentric weights."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .._core.arrays import read_floats, read_mask
from .._core.blocks import cache_budget, map_blocks, map_rows
from .._core.checks import all_finite, is_traced
from .._core.linear import matmul, solve_positive
from ..distances import power_of_two
from ..neighbors import Neighbors
from ..regularizers import Regularizer, RegularizerLike, as_regularizer, check_reg


def gram_weights(
    gram: Float[Array, "n k k"], mask: Bool[Array, "n k"] | None = None, *, reg: RegularizerLike = 1e-3
) -> Float[Array, "n k"]:
    """Compute barycentric weights from given local Gram matrices.

    The weights ``w = C^-1 1 / (1^T C^-1 1)`` with ``C = G + ridge I`` minimize ``w^T C w`` subject to ``sum_j w_j = 1`` (Saul and
    Roweis 2003, section 3.2).

    Args:
        gram: positive semi-definite matrices ``G_jl = (x_j - x) . (x_l - x)`` in any inner product, shape (n, k, k).
        mask: True where an entry is a neighbor, shape (n, k); None if all entries are.
        reg: strength of a `TraceRidge`, or an object of `jaxlle.regularizers`.

    Returns:
        Weights of shape (n, k) whose rows sum to 1; masked entries are 0.

    Raises:
        ValueError: if reg is negative or not finite, or if weights are not finite.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.weights.gram_weights(jnp.array([[[1.0, -2.0], [-2.0, 4.0]]]), reg=1e-6).tolist()
        [[0.667, 0.333]]
    """
    gram = read_floats(gram, "gram", "n k k")
    if gram.shape[1] != gram.shape[2] or 0 in gram.shape:
        raise ValueError(f"gram has shape {gram.shape}, but must have shape (n, k, k): one square matrix per point.")
    check_reg(reg, gram.shape[-1], gram.shape[-1])
    mask = jnp.ones(gram.shape[:2], bool) if mask is None else read_mask(mask, "mask", gram.shape[:2])
    targets = jnp.ones(gram.shape[:2], gram.dtype)
    return require_finite_weights(solve_given(gram, targets, mask, as_regularizer(reg), 1.0), reg)


def require_finite_weights(weights: Float[Array, "n *k"], reg: Any) -> Float[Array, "n *k"]:
    """Return the weights; raise, outside jit, if any are not finite."""
    if not is_traced(weights) and not all_finite(weights):
        bad = int((~jnp.isfinite(weights.reshape(weights.shape[0], -1))).any(axis=1).sum())
        raise ValueError(
            f"The weights of {bad} points are not finite in {weights.dtype} at reg = {reg}: their local Gram matrix is not "
            f"positive definite. Raise reg, use float64, or check that the kernel or the distances are valid."
        )
    return weights


def local_gram(
    points: Float[Array, "n d"], here: Float[Array, " d"], ids: Array, reach: Real[ArrayLike, ""] = 4.0
) -> tuple[Array, Array, Array]:
    """Return the local Gram matrix in units of its largest diagonal entry, so that it does not underflow at any scale.

    `reach` is an upper bound of the entries of any point minus `here`: 4 if both are centered and scaled. All neighborhoods are
    scaled by one factor, at no cost; only neighborhoods 1e30 times smaller than the data (in float32) underflow. Dividing by the
    extent of each neighborhood would take two more passes over the differences, a quarter of the time of the stage.
    """
    gram, extent = _unit_gram(points[ids] - here, gram_scale(points.shape[1], jnp.asarray(reach, points.dtype)))
    return gram, jnp.ones(ids.shape, points.dtype), extent


def gram_scale(d: int, reach: Float[Array, ""]) -> Float[Array, ""]:
    """Return the power of two by which differences of d entries up to `reach` are multiplied before their products."""
    exponent = (jnp.finfo(reach.dtype).maxexp - 10 - d.bit_length()) // 2  # d squares of this many bits do not overflow
    return 2.0**exponent / power_of_two(reach)


@jax.custom_jvp
def _unit_gram(
    differences: Float[Array, "k d"], scale: Float[Array, ""]
) -> tuple[Float[Array, "k k"], Float[Array, ""]]:
    """Return D D^T for differences D, over its largest diagonal entry, and the root of this entry, treated as a constant."""
    scaled = differences * scale
    return in_own_units(matmul(scaled, scaled.T), scale)


def in_own_units(gram: Float[Array, "k k"], scale: Float[Array, ""]) -> tuple[Float[Array, "k k"], Float[Array, ""]]:
    """Return the Gram matrix of scaled differences over its largest diagonal entry, and the extent of the differences."""
    size = jnp.max(jnp.diagonal(gram))
    positive = size > 0
    return gram / jnp.where(positive, size, 1), jnp.where(positive, jnp.sqrt(size) / scale, 1)


@_unit_gram.defjvp
def _unit_gram_tangent(primals: tuple, tangents: tuple) -> tuple:
    # In units of the extent from the start: multiplied by scale^-2, a cotangent would underflow.
    gram, extent = _unit_gram(*primals)
    unit = lax.stop_gradient(extent)
    half = matmul(tangents[0] / unit, (primals[0] / unit).T)
    return (gram, extent), (half + half.T, jnp.zeros_like(extent))


def solve_grams(
    gram: Callable, neighbors: Neighbors, ridge: Regularizer, unit: Any, row: int, block_bytes: int
) -> Float[Array, "n k"]:
    """Compute the weights of all points in blocks.

    Args:
        gram: function of a row number and its neighbors that returns the local Gram matrix, the right-hand side, and the unit of
            the Gram matrix.
        neighbors: neighborhoods.
        ridge: an object of `jaxlle.regularizers`.
        unit: unit of the points.
        row: memory that one neighbor requires, in bytes.
        block_bytes: memory limit of one block, in bytes.
    """
    n, k = neighbors.indices.shape
    mask = jnp.ones((n, k), bool) if neighbors.mask is None else neighbors.mask

    # On a CPU the gathered neighbors of a few points fit in the cache, which is three times faster, and so do the systems of a
    # few hundred points, which the elimination reads k times.
    budget = cache_budget(block_bytes)

    @jax.checkpoint  # the backward pass gathers the points again instead of storing n x k x d
    def block(rows: tuple[Array, Array, Array]) -> Array:
        i, ids, valid = rows
        grams, targets, extents = map_rows(lambda pair: gram(*pair), (i, ids), budget, k * row)
        return solve_given(grams, targets, valid, ridge, unit * extents)

    return map_blocks(block, (jnp.arange(n), neighbors.indices, mask), budget, 32 * k * k)


def solve_given(
    grams: Float[Array, "n k k"],
    targets: Float[Array, "n k"],
    valid: Bool[Array, "n k"],
    ridge: Regularizer,
    unit: Any,
    solve: Callable[[Array, Array], Array] = solve_positive,
) -> Float[Array, "n k"]:
    """Solve the regularized problems; `unit` is one for all Gram matrices or one per matrix."""
    keep = valid.astype(grams.dtype)
    grams = grams * keep[:, :, None] * keep[:, None, :]
    counts = jnp.maximum(valid.sum(axis=1), 1)
    ridges = jax.vmap(ridge)(grams, counts, jnp.broadcast_to(unit, counts.shape))
    # A masked neighbor gets a row of the identity and a zero target: its weight is 0 and does not affect the other weights.
    diagonals = jnp.where(valid, ridges[:, None], 1).astype(grams.dtype)
    systems = grams + diagonals[:, :, None] * jnp.eye(valid.shape[1], dtype=grams.dtype)
    solutions = solve(systems, targets * keep)
    totals = solutions.sum(axis=1, keepdims=True)
    return solutions / jnp.where(totals == 0, 1, totals)  # 0 without neighbors; also possible without the constraint
