"""Vectors with one row per point, on one device or distributed over the axes of a mesh: the same code for both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.linear import matmul
from ..alignment import PreparedAlignment

_GATHERED = 8  # columns of all points that a device holds at a time


@dataclass(frozen=True)
class Rows:
    """The rows of a vector that this device holds.

    Attributes:
        num_points: number of points on all devices. Rows beyond it, which pad the last device's share, stay zero.
        axis: name of the mesh axis (or axes) over which rows are distributed, inside `jax.shard_map`; None: one device.
    """

    num_points: int
    axis: str | tuple[str, ...] | None = None

    def all_sum(self, part: Array) -> Array:
        """Return the sum over all devices."""
        return part if self.axis is None else lax.psum(part, self.axis)

    def all_max(self, part: Array) -> Array:
        """Return the maximum over all devices."""
        return part if self.axis is None else lax.pmax(part, self.axis)

    def all_gather(self, part: Array) -> Array:
        """Return the rows of all devices, on every device."""
        return part if self.axis is None else lax.all_gather(part, self.axis, tiled=True)

    def reduce_scatter(self, whole: Array) -> Array:
        """Return this device's rows of the sum over all devices of arrays with all rows."""
        return whole if self.axis is None else lax.psum_scatter(whole, self.axis, tiled=True)

    def take(self, part: Float[Array, "n c"], ids: Int[Array, " l"]) -> Float[Array, "l c"]:
        """Return rows of all devices by their numbers, on every device."""
        if self.axis is None:
            return part[ids]
        place = ids - self.offset_and_total(len(part))[0]
        own = (place >= 0) & (place < len(part))
        return self.all_sum(jnp.where(own[:, None], part[jnp.where(own, place, 0)], 0))

    def map_columns(self, function: Callable, vectors: Float[Array, "n c"]) -> Float[Array, "m c"]:
        """Apply a function of vectors to a few at a time if they are distributed, since it gathers them on every device."""
        count = vectors.shape[1]
        if self.axis is None or count <= _GATHERED:
            return function(vectors)
        padded = jnp.pad(vectors, [(0, 0), (0, -count % _GATHERED)])
        parts = jnp.moveaxis(padded.reshape(len(padded), -1, _GATHERED), 1, 0)
        out = jnp.moveaxis(lax.map(function, parts), 0, 1)
        return out.reshape(len(out), -1)[:, :count]

    def offset_and_total(self, count: int) -> tuple[Array, int]:
        """Return the index of the first of the `count` rows of this device, and the number of rows of all devices."""
        if self.axis is None:
            return jnp.zeros((), jnp.int32), count
        return lax.axis_index(self.axis) * count, lax.axis_size(self.axis) * count

    def is_point(self, count: int) -> Array:
        """Return which of the `count` rows of this device are points and not padding."""
        return self.offset_and_total(count)[0] + jnp.arange(count) < self.num_points

    def constant(self, like: Float[Array, "n c"]) -> Float[Array, "n 1"]:
        """Return the constant vector of norm 1."""
        return (self.is_point(like.shape[0]) / jnp.sqrt(self.num_points)).astype(like.dtype)[:, None]

    def random_normal(self, key: Array, like: Float[Array, " n"], columns: int) -> Float[Array, "n c"]:
        """Return random vectors that do not depend on the mesh."""
        count = like.shape[0]
        if self.axis is None:
            return jax.random.normal(key, (count, columns), like.dtype)
        # From a key for each point, because the numbers of all points would take several vectors of all points.
        ids = self.offset_and_total(count)[0] + jnp.arange(count, dtype=jnp.int32)
        own = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), (columns,), like.dtype))(ids)
        return jnp.where(self.is_point(count)[:, None], own, 0)

    def inner(self, a: Float[Array, "n b"], b: Float[Array, "n c"]) -> Float[Array, "b c"]:
        """Return a^T b."""
        return self.all_sum(matmul(a.T, b))

    def centered(self, vectors: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return the vectors without their means."""
        one = self.constant(vectors)
        return vectors - matmul(one, self.inner(one, vectors))

    def r_factor(self, tall: Float[Array, "n c"]) -> Float[Array, "c c"]:
        """Return the factor R of a QR of a tall matrix."""
        own = jnp.linalg.qr(_row_major(tall), mode="r")
        return own if self.axis is None else jnp.linalg.qr(self.all_gather(own), mode="r")

    def orthonormal(self, vectors: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return an orthonormal basis that is also orthogonal to the constant, in the order of the vectors."""
        basis, small = jnp.linalg.qr(_row_major(jnp.concatenate([self.constant(vectors), vectors], axis=1)))
        if self.axis is not None:  # a QR of the triangles of all devices combines their bases
            mix = jnp.linalg.qr(self.all_gather(small))[0]
            first, _ = self.offset_and_total(small.shape[0])
            basis = matmul(basis, lax.dynamic_slice_in_dim(mix, first, small.shape[0]))
        return basis[:, 1:]


class Operator(NamedTuple):
    """The operator B, whose rows are distributed like the points."""

    prepared: PreparedAlignment
    rows: Rows

    def matvec(self, y: Float[Array, "n c"]) -> Float[Array, "nr c"]:
        """Return B y."""
        return self.rows.map_columns(lambda part: self.prepared.matvec(self.rows.all_gather(part)), y)

    def rmatvec(self, z: Float[Array, "nr c"]) -> Float[Array, "n c"]:
        """Return B^T z."""
        return self.rows.map_columns(lambda part: self.rows.reduce_scatter(self.prepared.rmatvec(part)), z)

    def gram(self, y: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return B^T (B y)."""
        return self.rmatvec(self.matvec(y))

    def ritz(self, space: Float[Array, "n s"]) -> tuple[Float[Array, "nr s"], Float[Array, " s"], Float[Array, "s s"]]:
        """Return the image of an orthonormal basis, and the singular values of B on its span, ascending, with their vectors.

        They come from an SVD of the image itself, because its Gram matrix would lose half of the digits.
        """
        image = self.matvec(space)
        _, values, right = jnp.linalg.svd(self.rows.r_factor(image))
        return image, values[::-1], right[::-1].T

    def norm_bound(self) -> Float[Array, ""]:
        """Return an upper bound of the largest singular value, as `Alignment.norm_bound` does."""
        size = jnp.abs(self.prepared.alignment.blocks)
        count = len(self.prepared.columns.place)
        columns = jnp.zeros(count, size.dtype).at[self.prepared.alignment.indices].add(size.sum(axis=1))
        return jnp.sqrt(self.rows.all_sum(columns).max() * self.rows.all_max(size.sum(axis=2).max()))


def _row_major(tall: Float[Array, "n c"]) -> Float[Array, "n c"]:
    """Keep XLA on a CPU from storing a matrix by columns, as LAPACK expects: sparse products with it are ten times slower."""

    def through_one_dimension(tall: Array) -> Array:
        return lax.optimization_barrier(tall.ravel()).reshape(tall.shape)

    return lax.platform_dependent(tall, cpu=through_one_dimension, default=lambda a: a)
