"""The entries of an alignment sorted by column, for fast products with B^T where scattering is slow, as on a CPU."""

from functools import partial, reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Real

UNROLL = 64  # largest number of terms of an unrolled sum, which XLA fuses into one pass over the memory
_SPARE = 1.25  # width of the table relative to the mean column: it contains most entries, and few empty places
_TABLE_BYTES = (
    2**18
)  # size of a column of points beyond which eight columns exceed a core's cache and the table is slower
_LANE_BYTES = 32  # with rows padded to a multiple, the kernel takes a fifth (float32) to a half (float64) of the time


class Columns(NamedTuple):
    """Entries by column: the first w entries of each column in a table, and the remaining entries as a list.

    Attributes:
        points: the points to whose blocks the entries of the table belong, shape (n, w).
        entries: the entries of the table, zero where a column has fewer, shape (n, w, r).
        rest_points: the points to whose blocks the remaining entries belong, by column, shape (nm,); unused beyond the last.
        rest_entries: the remaining entries, shape (r, nm).
        starts: where the remaining entries of each column start, shape (n + 1,).
    """

    points: Int[Array, "n w"]
    entries: Float[Array, "n w r"]
    rest_points: Int[Array, " nm"]
    rest_entries: Float[Array, "r nm"]
    starts: Int[Array, " n_plus_1"]

    def product(self, z: Real[Array, "p r c"]) -> Float[Array, "n c"]:
        """Return B^T z."""
        # jax.experimental.sparse is no longer developed, but its CPU kernel is several times faster than a scatter; it is
        # used here only. The table is even faster, because all cores read it.
        from jax.experimental.sparse import BCSR

        z = lax.optimization_barrier(z)  # else XLA may recompute z for every entry that reads it
        shape, columns = (len(self.points), len(z)), z.shape[2]
        full = jnp.pad(z, ((0, 0), (0, 0), (0, -columns % (_LANE_BYTES // z.dtype.itemsize))))
        rest = (BCSR((e, self.rest_points, self.starts), shape=shape) for e in self.rest_entries)
        total = reduce(add, (matrix @ full[:, s] for s, matrix in enumerate(rest)))[:, :columns]
        for j in range(self.points.shape[1]):
            for s in range(z.shape[1]):
                total = total + self.entries[:, j, s, None] * z[self.points[:, j], s]
        return total


@partial(jax.jit, static_argnames="size")
def by_columns(indices: Int[Array, "p m"], blocks: Float[Array, "p r m"], size: int) -> Columns:
    """Sort the entries of blocks that act on `size` points by column."""
    p, r, m = blocks.shape
    order = jnp.argsort(indices.ravel(), stable=True).astype(jnp.int32)
    column = indices.ravel()[order]
    counts = jnp.zeros(size, jnp.int32).at[column].add(1)
    starts = _starts(counts)
    width = _width(p * m / size, r) if size * blocks.dtype.itemsize <= _TABLE_BYTES else 0
    place = starts[:-1, None] + jnp.arange(width)
    filled = place < starts[1:, None]
    first = order[jnp.minimum(place, p * m - 1)]
    values = jnp.moveaxis(blocks, 1, 2).reshape(p * m, r)
    beyond = jnp.arange(p * m) - starts[column] >= width
    target = jnp.where(beyond, jnp.cumsum(beyond) - 1, p * m)
    rest = jnp.zeros_like(order).at[target].set(order, mode="drop")
    return Columns(
        points=jnp.where(filled, first // m, 0),
        entries=jnp.where(filled[:, :, None], values[first], 0),
        rest_points=rest // m,
        rest_entries=values[rest].T,
        starts=_starts(jnp.maximum(counts - width, 0)),
    )


def _width(mean: float, r: int) -> int:
    """Return the width of the table, which is 0 where the sum would be too long to unroll."""
    width = int(_SPARE * mean)
    return width if width * r <= UNROLL else 0


def _starts(counts: Int[Array, " n"]) -> Int[Array, " n_plus_1"]:
    return jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(counts, dtype=jnp.int32)])
