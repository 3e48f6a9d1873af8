"""What the variants with tangent spaces share: the coordinates of a neighbourhood along its principal axes."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.blocks import cache_budget, map_rows
from .._core.checks import is_traced
from .._core.linear import matmul, principal_axes
from .._core.points import Points
from ..distances import PRECOMPUTED
from ..neighbors import Neighbors
from ..warnings import RankWarning


class Patch(NamedTuple):
    """A neighbourhood in its own coordinates, in units of its own extent.

    Attributes:
        coordinates: of the m members along the principal axes, the longest first; 0 for members masked out.
        variances: sum of squares along each axis, falling; 0 where only rounding is left.
    """

    coordinates: Float[Array, "m q"]
    variances: Float[Array, " q"]


class FromPoints(NamedTuple):
    """Points as the source of patches."""

    points: Float[Array, "n d"]

    def patch(self, ids: Int[Array, " m"], keep: Bool[Array, " m"], count: int, origin: str) -> Patch:
        """Return the first `count` coordinates of the members, about their "mean" or the "first" of them."""
        m, d = len(ids), self.points.shape[1]
        around = self.points[ids]
        spokes = jnp.where(keep[:, None], around - around[0], 0)
        if origin == "mean":
            spokes = jnp.where(keep[:, None], spokes - spokes.sum(axis=0) / jnp.maximum(keep.sum(), 1), 0)
        spokes = spokes / _extent(spokes)
        if d < m:
            values, axes = principal_axes(matmul(spokes.T, spokes))
            return _clean(matmul(spokes, axes[:, :count]), values[:count])
        values, axes = principal_axes(matmul(spokes, spokes.T))
        return _scaled(axes[:, :count], values[:count])

    @property
    def row_bytes(self) -> int:
        """Return the bytes that a member takes."""
        return 3 * self.points.shape[1] * self.points.dtype.itemsize


class FromDistances(NamedTuple):
    """A matrix of distances as the source of patches: their Gram matrices follow by double centring."""

    matrix: Float[Array, "n n"]

    def patch(self, ids: Int[Array, " m"], keep: Bool[Array, " m"], count: int, origin: str) -> Patch:
        """Return the first `count` coordinates of the members, about their "mean" or the "first" of them."""
        among = self.matrix[ids[:, None], ids[None, :]]
        both = keep[:, None] & keep[None, :]
        squares = (jnp.where(both, among, 0) / _extent(jnp.where(both, among, 0))) ** 2
        share = keep / jnp.maximum(keep.sum(), 1) if origin == "mean" else jnp.arange(len(ids)) == 0
        near = matmul(squares, share.astype(squares.dtype))
        center = jnp.dot(share, near, precision=lax.Precision.HIGHEST)
        gram = jnp.where(both, (near[:, None] + near[None, :] - squares - center) / 2, 0)
        values, axes = principal_axes(gram)
        return _scaled(axes[:, :count], values[:count])

    @property
    def row_bytes(self) -> int:
        """Return the bytes that a member takes."""
        return 2 * self.matrix.dtype.itemsize


Source = FromPoints | FromDistances


def source_of(points: Points) -> Source:
    """Return prepared points as the source of patches."""
    if points.metric == PRECOMPUTED:
        return FromDistances(jnp.asarray(points.values, points.dtype))
    return FromPoints(points.coordinates)


def _scaled(axes: Array, values: Array) -> Patch:
    present = values > 0
    root = jnp.where(present, jnp.sqrt(jnp.where(present, values, 1)), 0)
    return _clean(axes * root, values)


def _clean(coordinates: Array, values: Array) -> Patch:
    """Set to zero what is rounding: an axis whose sum of squares is below it."""
    tiny = 4 * len(coordinates) * jnp.finfo(values.dtype).eps * lax.stop_gradient(values[0])
    present = values > tiny
    return Patch(jnp.where(present, coordinates, 0), jnp.where(present, values, 0))


def _extent(values: Array) -> Array:
    largest = lax.stop_gradient(jnp.max(jnp.abs(values)))
    return jnp.where(largest > 0, largest, 1)


def members(neighbors: Neighbors, include_self: bool = True) -> tuple[Int[Array, "n m"], Bool[Array, "n m"]]:
    """Return the members of every neighbourhood, with the point itself first if it is one, and which of them count."""
    ids, n = neighbors.indices, neighbors.indices.shape[0]
    keep = jnp.ones(ids.shape, bool) if neighbors.mask is None else neighbors.mask
    if not include_self:
        return ids, keep
    own = jnp.arange(n, dtype=ids.dtype)[:, None]
    return jnp.concatenate([own, ids], axis=1), jnp.concatenate([jnp.ones((n, 1), bool), keep], axis=1)


def map_members(
    function: Callable[[Array, Array], Any],
    ids: Int[Array, "n m"],
    keep: Bool[Array, "n m"],
    row: int,
    block_bytes: int,
) -> Any:
    """Map a function of (members, which count) over the neighbourhoods; `row` is the bytes that a member takes."""
    budget = cache_budget(block_bytes)
    m = ids.shape[1]
    # The backward pass gathers again rather than keep n x m x d.
    one = jax.checkpoint(lambda pair: function(*pair))
    return map_rows(one, (ids, keep), budget, m * (row + 32 * m))


def warn_rank_deficient(deficient: Array, blocks: Array, what: str) -> None:
    """Warn, outside jit, of neighborhoods that span too few dimensions.

    Args:
        deficient: their number.
        blocks: the local maps of all points, shape (n, r, m).
        what: what the neighborhoods do not span.
    """
    if not is_traced(deficient) and int(deficient):
        n, dtype = blocks.shape[0], blocks.dtype
        warnings.warn(
            f"{int(deficient)} of {n} neighbourhoods do not span {what} as far as {dtype} can tell (their points are "
            f"repeated, on a line, or on a lattice), so part of their local maps is arbitrary or missing: raise k, lower dim, or "
            f"remove duplicates.",
            RankWarning,
            stacklevel=4,
        )
