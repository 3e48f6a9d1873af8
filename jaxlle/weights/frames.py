"""Coordinates of neighborhoods along their principal axes, shared by the variants that use tangent spaces."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.blocks import cache_budget, map_rows
from .._core.checks import is_traced, warn_user
from .._core.linear import matmul
from .._core.points import Points
from .._core.spectral import principal_axes, with_derivative
from ..distances import PRECOMPUTED
from ..neighbors import Neighbors
from ..warnings import RankWarning


class Patch(NamedTuple):
    """Local coordinates of a neighborhood, in units of its extent.

    The coordinates are differentiated as a subspace of functions on the members, see `principal_axes`: derivatives are correct
    for functions that depend on the span of all coordinates only, such as the spaces of their affine and quadratic functions.
    The variances have no derivative.

    Attributes:
        coordinates: coordinates of the m members along the principal axes, in order of decreasing variance; 0 for masked members.
        variances: sum of squares along each axis, in decreasing order; 0 where it is below rounding error.
    """

    coordinates: Float[Array, "m q"]
    variances: Float[Array, " q"]


class FromPoints(NamedTuple):
    """Source of patches that computes them from coordinates."""

    points: Float[Array, "n d"]

    def patch(self, ids: Int[Array, " m"], keep: Bool[Array, " m"], count: int, origin: str) -> Patch:
        """Return the first `count` coordinates of the members, about their "mean" or the "first" of them."""
        differences = self._differences(ids, keep, origin)
        if differences.shape[1] < len(ids):
            values, axes = principal_axes(matmul(differences.T, differences), count)
            return _clean(matmul(differences, axes[:, :count]), values[:count])
        values, axes = principal_axes(matmul(differences, differences.T), count)
        return _scaled(axes[:, :count], values[:count])

    def gram(self, ids: Int[Array, " m"], keep: Bool[Array, " m"], origin: str) -> Float[Array, "m m"]:
        """Return the inner products of the members, in the unit of the patch."""
        differences = self._differences(ids, keep, origin)
        return matmul(differences, differences.T)

    def _differences(self, ids: Int[Array, " m"], keep: Bool[Array, " m"], origin: str) -> Float[Array, "m d"]:
        around = self.points[ids]
        differences = jnp.where(keep[:, None], around - around[0], 0)
        if origin == "mean":
            differences = jnp.where(
                keep[:, None], differences - differences.sum(axis=0) / jnp.maximum(keep.sum(), 1), 0
            )
        return differences / _extent(differences)

    @property
    def row_bytes(self) -> int:
        """Return the bytes that one member requires."""
        return 3 * self.points.shape[1] * self.points.dtype.itemsize


class FromDistances(NamedTuple):
    """Source of patches that computes them from a matrix of distances, by double centering."""

    matrix: Float[Array, "n n"]

    def patch(self, ids: Int[Array, " m"], keep: Bool[Array, " m"], count: int, origin: str) -> Patch:
        """Return the first `count` coordinates of the members, about their "mean" or the "first" of them."""
        values, axes = principal_axes(self.gram(ids, keep, origin), count)
        return _scaled(axes[:, :count], values[:count])

    def gram(self, ids: Int[Array, " m"], keep: Bool[Array, " m"], origin: str) -> Float[Array, "m m"]:
        """Return the inner products of the members, in the unit of the patch."""
        pairwise = self.matrix[ids[:, None], ids[None, :]]
        both = keep[:, None] & keep[None, :]
        squares = (jnp.where(both, pairwise, 0) / _extent(jnp.where(both, pairwise, 0))) ** 2
        share = keep / jnp.maximum(keep.sum(), 1) if origin == "mean" else jnp.arange(len(ids)) == 0
        to_origin = matmul(squares, share.astype(squares.dtype))
        center = matmul(share, to_origin)
        return jnp.where(both, (to_origin[:, None] + to_origin[None, :] - squares - center) / 2, 0)

    @property
    def row_bytes(self) -> int:
        """Return the bytes that one member requires."""
        return 2 * self.matrix.dtype.itemsize


Source = FromPoints | FromDistances


def source_of(points: Points) -> Source:
    """Return the source of patches for a `Points` value."""
    if points.metric == PRECOMPUTED:
        return FromDistances(jnp.asarray(points.values, points.dtype))
    return FromPoints(points.coordinates)


def _scaled(axes: Array, values: Array) -> Patch:
    values = lax.stop_gradient(values)  # the lengths of the axes do not change their span
    present = values > 0
    root = jnp.where(present, jnp.sqrt(jnp.where(present, values, 1)), 0)
    return _clean(axes * root, values)


def _clean(coordinates: Array, values: Array) -> Patch:
    """Set axes to zero whose sum of squares is below rounding error."""
    values = lax.stop_gradient(values)
    tiny = 4 * len(coordinates) * jnp.finfo(values.dtype).eps * values[0]
    present = values > tiny
    return Patch(jnp.where(present, coordinates, 0), jnp.where(present, values, 0))


def _extent(values: Array) -> Array:
    largest = lax.stop_gradient(jnp.max(jnp.abs(values)))
    return jnp.where(largest > 0, largest, 1)


def members(neighbors: Neighbors, include_self: bool = True) -> tuple[Int[Array, "n m"], Bool[Array, "n m"]]:
    """Return the members of every neighborhood, by default with the point itself first, and which of them are not masked."""
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
    """Map a function of (members, which are not masked) over the neighborhoods; `row` is the bytes that a member requires."""
    budget = cache_budget(block_bytes)
    m = ids.shape[1]
    # The backward pass gathers the points again instead of storing n x m x d.
    one = jax.checkpoint(lambda pair: function(*pair))
    return map_rows(one, (ids, keep), budget, m * (row + 32 * m))


def map_bases(
    function: Callable[[Any, Array, Array], tuple[Array, Array]],
    source: Any,
    ids: Int[Array, "n m"],
    keep: Bool[Array, "n m"],
    row: int,
    block_bytes: int,
) -> tuple[Float[Array, "n r m"], Int[Array, ""]]:
    """Map a function of (source, members, which are not masked), and return its bases of a space, in rows, and count its flags.

    The backward pass computes the bases again. On symmetric neighborhoods its rounding errors may lead to another basis of the
    same space, which `rows_with_derivative` expresses in the first one.
    """
    fixed = lax.stop_gradient(source)
    bases, flags = map_members(lambda ids, keep: function(fixed, ids, keep), ids, keep, row, block_bytes)

    @jax.checkpoint
    def one(rows: tuple[Array, Array, Array]) -> Array:
        basis, ids, keep = rows
        return rows_with_derivative(basis, function(source, ids, keep)[0])

    m = ids.shape[1]
    bases = map_rows(one, (bases, ids, keep), cache_budget(block_bytes), m * (row + 32 * m))
    return bases, flags.sum(dtype=jnp.int32)


def rows_with_derivative(basis: Float[Array, "r m"], other: Float[Array, "r m"]) -> Float[Array, "r m"]:
    """Return an orthonormal basis of a space, in its rows, with the derivative of another orthonormal basis of the space."""
    turn = lax.stop_gradient(matmul(basis, other.T))
    return with_derivative(basis, matmul(turn, other))


def warn_rank_deficient(deficient: Array, blocks: Array, what: str) -> None:
    """Warn, outside jit, about neighborhoods that span too few dimensions.

    Args:
        deficient: number of such neighborhoods.
        blocks: the local maps of all points, shape (n, r, m).
        what: name of the space that the neighborhoods do not span.
    """
    if not is_traced(deficient) and int(deficient):
        n, dtype = blocks.shape[0], blocks.dtype
        warn_user(
            f"{int(deficient)} of {n} neighborhoods do not span {what} in the precision of {dtype} (their points are "
            f"duplicates, on a line, or on a lattice), so that parts of their local maps are arbitrary or missing: raise k, "
            f"lower dim, or remove duplicates.",
            RankWarning,
        )
