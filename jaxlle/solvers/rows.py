"""Vectors with a row for each point, all on one device or spread over a mesh axis: one code for both."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

from ..alignment import PreparedAlignment


@dataclass(frozen=True)
class Rows:
    """Which rows a vector has here.

    Attributes:
        num_points: points in all. Rows beyond them, which fill the last device's share, stay zero.
        axis: name of the mesh axis (or axes) that rows are spread over, inside `jax.shard_map`; None: all are here.
    """

    num_points: int
    axis: str | tuple[str, ...] | None = None

    def total(self, part: Array) -> Array:
        """Return the sum over devices."""
        return part if self.axis is None else lax.psum(part, self.axis)

    def largest(self, part: Array) -> Array:
        """Return the maximum over devices."""
        return part if self.axis is None else lax.pmax(part, self.axis)

    def gathered(self, part: Array) -> Array:
        """Return the rows of all devices."""
        return part if self.axis is None else lax.all_gather(part, self.axis, tiled=True)

    def scattered(self, whole: Array) -> Array:
        """Return this device's rows of the sum over devices of arrays with all rows."""
        return whole if self.axis is None else lax.psum_scatter(whole, self.axis, tiled=True)

    def here(self, count: int) -> tuple[Array, int]:
        """Return the number of the first of `count` rows here, and how many rows all devices have."""
        if self.axis is None:
            return jnp.zeros((), jnp.int32), count
        return lax.axis_index(self.axis) * count, lax.axis_size(self.axis) * count

    def real(self, count: int) -> Array:
        """Return which of `count` rows are points and not filling."""
        return self.here(count)[0] + jnp.arange(count) < self.num_points

    def constant(self, like: Float[Array, "n c"]) -> Float[Array, "n 1"]:
        """Return the constant vector of norm 1."""
        return (self.real(like.shape[0]) / jnp.sqrt(self.num_points)).astype(like.dtype)[:, None]

    def normal(self, key: Array, like: Float[Array, " n"], columns: int) -> Float[Array, "n c"]:
        """Return random vectors, the same whatever the mesh."""
        first, count = self.here(like.shape[0])
        whole = jax.random.normal(key, (count, columns), like.dtype)
        return jnp.where(self.real(like.shape[0])[:, None], lax.dynamic_slice_in_dim(whole, first, like.shape[0]), 0)

    def inner(self, a: Float[Array, "n b"], b: Float[Array, "n c"]) -> Float[Array, "b c"]:
        """Return a^T b."""
        return self.total(product(a.T, b))

    def centered(self, vectors: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return vectors less their means."""
        one = self.constant(vectors)
        return vectors - product(one, self.inner(one, vectors))

    def triangle(self, tall: Float[Array, "n c"]) -> Float[Array, "c c"]:
        """Return R of the QR of a tall matrix."""
        own = jnp.linalg.qr(_by_rows(tall), mode="r")
        return own if self.axis is None else jnp.linalg.qr(self.gathered(own), mode="r")

    def orthonormal(self, vectors: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return an orthonormal basis that is also orthogonal to the constant, in the order of the vectors."""
        basis, small = jnp.linalg.qr(_by_rows(jnp.concatenate([self.constant(vectors), vectors], axis=1)))
        if self.axis is not None:  # a QR of the devices' triangles puts their bases together
            mix = jnp.linalg.qr(self.gathered(small))[0]
            first, _ = self.here(small.shape[0])
            basis = product(basis, lax.dynamic_slice_in_dim(mix, first, small.shape[0]))
        return basis[:, 1:]


class Operator(NamedTuple):
    """B, whose rows are spread like the points."""

    prepared: PreparedAlignment
    rows: Rows

    def matvec(self, y: Float[Array, "n c"]) -> Float[Array, "nr c"]:
        """Return B y."""
        return self.prepared.matvec(self.rows.gathered(y))

    def rmatvec(self, z: Float[Array, "nr c"]) -> Float[Array, "n c"]:
        """Return B^T z."""
        return self.rows.scattered(self.prepared.rmatvec(z))

    def gram(self, y: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return B^T (B y)."""
        return self.rmatvec(self.matvec(y))

    def ritz(self, space: Float[Array, "n s"]) -> tuple[Float[Array, "nr s"], Float[Array, " s"], Float[Array, "s s"]]:
        """Return the image of a space with orthonormal columns, and B's singular values on it, ascending, with their vectors.

        By the SVD of B itself: half the digits would be lost in its Gram matrix.
        """
        image = self.matvec(space)
        _, values, right = jnp.linalg.svd(self.rows.triangle(image))
        return image, values[::-1], right[::-1].T

    def norm_bound(self) -> Float[Array, ""]:
        """Return an upper bound of the largest singular value: see `Alignment.norm_bound`."""
        size = jnp.abs(self.prepared.alignment.blocks)
        count = len(self.prepared.columns.points)
        columns = jnp.zeros(count, size.dtype).at[self.prepared.alignment.indices].add(size.sum(axis=1))
        return jnp.sqrt(self.rows.total(columns).max() * self.rows.largest(size.sum(axis=2).max()))


def _by_rows(tall: Float[Array, "n c"]) -> Float[Array, "n c"]:
    """Keep XLA from making a matrix in the order that LAPACK wants, by columns: sparse products are ten times slower so."""
    row_major = partial(with_layout_constraint, layouts=Layout(major_to_minor=(0, 1)))
    return lax.platform_dependent(tall, cpu=row_major, default=lambda a: a)


def product(a: Array, b: Array) -> Array:
    """Return a @ b with all digits of the dtype."""
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)
