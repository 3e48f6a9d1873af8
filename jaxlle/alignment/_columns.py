"""An alignment's entries by column, for fast products with B^T where scattering is slow, as it is on a CPU."""

from functools import partial, reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

UNROLL = 64  # terms of a sum that are written out, so that XLA fuses them into one pass over the memory
_SPARE = 1.25  # a table that much wider than the mean column holds most entries, and is not too empty
_TABLE_BYTES = 2**18  # of a column of points: eight columns of more do not stay in a core's cache, and the table loses
_LANE_BYTES = 32  # rows filled up to a multiple take the kernel a fifth (float32) to a half (float64) of the time


class Columns(NamedTuple):
    """Entries by column: the first few of each in a table, those beyond one after the other.

    Attributes:
        points: whose blocks the table's entries are of, shape (n, w).
        entries: zero where a column has fewer, shape (n, w, r).
        more_points: whose blocks the others are of, by column, shape (nm,); what lies beyond the last is not used.
        more_entries: the others, shape (r, nm).
        starts: where each column's begin among the others, shape (n + 1,).
    """

    points: Int[Array, "n w"]
    entries: Float[Array, "n w r"]
    more_points: Int[Array, " nm"]
    more_entries: Float[Array, "r nm"]
    starts: Int[Array, " n_plus_1"]

    def product(self, z: Float[Array, "p r c"]) -> Float[Array, "n c"]:
        """Return B^T z."""
        # jax.experimental.sparse is no longer developed, but its CPU kernel is several times faster than a scatter;
        # this is the only place that knows of it. The table is faster still: it is read by all cores.
        from jax.experimental.sparse import BCSR

        z = lax.optimization_barrier(z)  # else XLA may compute z anew for every entry that reads it
        shape, columns = (len(self.points), len(z)), z.shape[2]
        full = jnp.pad(z, ((0, 0), (0, 0), (0, -columns % (_LANE_BYTES // z.dtype.itemsize))))
        others = (BCSR((e, self.more_points, self.starts), shape=shape) for e in self.more_entries)
        total = reduce(add, (matrix @ full[:, s] for s, matrix in enumerate(others)))[:, :columns]
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
    starts = _sums(counts)
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
        more_points=rest // m,
        more_entries=values[rest].T,
        starts=_sums(jnp.maximum(counts - width, 0)),
    )


def _width(mean: float, r: int) -> int:
    """Return how many entries of a column the table holds: none where the sum would be too long to write out."""
    width = int(_SPARE * mean)
    return width if width * r <= UNROLL else 0


def _sums(counts: Int[Array, " n"]) -> Int[Array, " n_plus_1"]:
    return jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(counts, dtype=jnp.int32)])
