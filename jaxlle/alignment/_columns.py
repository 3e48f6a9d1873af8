"""The entries of an alignment sorted by column, for products with B^T that gather, without colliding additions.

The columns are sorted by their numbers of entries and divided into groups of equal size. The entries of a group are stored in
slabs of a few entries per column, so that the sum over a slab is one pass over the memory, and a group has only as many slabs
as its longest column needs. For few points one slab is faster. Columns with far more entries than the mean, of which there are
few, have a rest that is added by segments. The order of all sums is fixed, so that two runs give the same bits on every device.
"""

from functools import partial
from math import ceil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Real

from .._core.blocks import gather_rows, take_rows

UNROLL = 64  # largest number of terms of an unrolled sum, which XLA fuses into one pass over the memory
# Up to this size of a column of points, eight of which fit in a core's cache, one slab is the fastest. It has a quarter more
# entries per column than the mean: few are empty, and few entries are left to the segments.
_TABLE_BYTES, _SPARE = 2**18, 1.25
# Otherwise all slabs of a group have this multiple of the mean, all of which a GPU reads.
_REACH = 2.5
# Entries per column in a slab: fewer need more passes, more are often empty. For many entries per column, as in the interpolation
# from landmarks, a quarter of the mean, up to a limit beyond which the sum takes longer to compile but is not faster.
_SLAB, _WIDEST = 4, 16
_FUSED = 8  # with more terms XLA computes a sum that it adds in place several times as slowly as one by itself
_GROUPS, _GROUP_ROWS = 16, 1024  # largest number of groups, and smallest number of columns in each if there are several


class Columns(NamedTuple):
    """Entries by column, those of the longest columns first.

    Attributes:
        place: the position of every column in this order, shape (n,).
        slab_rows: the first rows of B to which the entries in the slabs belong, shape (b, q, u) for b slabs per group.
        slab_entries: the entries in the slabs, zero where a column has fewer, shape (b, q, u, r).
        order: the numbers of the slabs, those with entries first, shape (b g,) for g groups.
        filled: the number of slabs with entries.
        rest: the entries beyond the slabs.
    """

    place: Int[Array, " n"]
    slab_rows: Int[Array, "b q u"]
    slab_entries: Float[Array, "b q u r"]
    order: Int[Array, " bg"]
    filled: Int[Array, ""]
    rest: "Segments"

    @partial(jax.jit, static_argnames="fixed")
    def product(self, z: Real[Array, "p r c"], fixed: bool = False) -> Float[Array, "n c"]:
        """Return B^T z, by loops of a fixed number of steps if `fixed`: these are slower, but JAX can transpose them.

        Compiled by itself, so that a program with many products of the same shape is traced and lowered once for all of them.
        """
        # Without the barrier XLA may recompute z for every entry that reads it.
        flat = lax.optimization_barrier(z.reshape(-1, z.shape[2]))
        if fixed:
            sums = _sum_all(self, flat)
        else:
            sums = lax.platform_dependent(self, flat, cuda=_sum_all, rocm=_sum_all, default=_sum_filled)
        return take_rows(self.rest.add(sums, flat, fixed), self.place)


class Segments(NamedTuple):
    """Segments of consecutive entries of a column, in chunks of s segments; the first `used` chunks are not empty.

    Attributes:
        rows: the first rows of B to which the entries belong, shape (chunks, s, u).
        entries: the entries, zero where a segment has fewer, shape (chunks, s, u, r).
        after: the number of segments of the same column that follow each within its chunk, shape (chunks, s).
        levels: the number of steps, in each of which pairs are added, that sum the segments of every column, shape (chunks,).
        target: the position of its column for the first of a column within its chunk; else a number beyond, shape (chunks, s).
        used: the number of chunks that are not empty.
    """

    rows: Int[Array, "chunks s u"]
    entries: Float[Array, "chunks s u r"]
    after: Int[Array, "chunks s"]
    levels: Int[Array, " chunks"]
    target: Int[Array, "chunks s"]
    used: Int[Array, ""]

    def add(self, total: Float[Array, "q c"], flat: Real[Array, "pr c"], fixed: bool) -> Float[Array, "q c"]:
        """Add the sums of the segments to the sums of their columns."""
        chunks, size = self.after.shape
        own = jnp.arange(size, dtype=jnp.int32)

        def add_chunk(chunk: Array, total: Array) -> Array:
            rows, entries, after, levels, target = (_at(a, chunk) for a in self[:5])
            sums = lax.optimization_barrier(_sum_entries(rows, entries, flat))

            def add_pairs(level: Array, sums: Array) -> Array:
                step = jnp.left_shift(jnp.int32(1), level.astype(jnp.int32))
                other = take_rows(sums, jnp.minimum(own + step, size - 1))
                return sums + jnp.where((after >= step)[:, None], other, 0)

            # The first segment of a column becomes the sum of all, in as many steps as the logarithm of their number.
            sums = lax.fori_loop(0, (size - 1).bit_length() if fixed else levels, add_pairs, sums)
            return total.at[target].add(sums, mode="drop", unique_indices=True)

        if not fixed:
            return lax.fori_loop(0, self.used, add_chunk, total)

        def add_used(chunk: Array, total: Array) -> Array:
            return lax.cond(chunk < self.used, add_chunk, lambda _, total: total, chunk, total)

        return lax.fori_loop(0, chunks, add_used, total)


def _sum_entries(
    rows: Int[Array, "q u"], entries: Float[Array, "q u r"], flat: Real[Array, "pr c"], start: Any = 0
) -> Float[Array, "q c"]:
    """Return the sums of the products of the entries with the rows of a vector, plus twice the start, in one pass."""
    # The barriers keep XLA from a kernel for every term. Halving and doubling: see the product with B.
    rows, halves = lax.optimization_barrier(rows), lax.optimization_barrier(entries) / 2
    q, u, r = entries.shape
    ids = [first if s == 0 else first + s for first in lax.split(rows, (1,) * u, axis=1) for s in range(r)]
    factors = lax.split(halves.reshape(q, u * r), (1,) * (u * r), axis=1)
    total: Any = sum((factor * gather_rows(flat, i) for factor, i in zip(factors, ids, strict=True)), start)
    return 2 * total


def _sum_filled(columns: Columns, flat: Real[Array, "pr c"]) -> Float[Array, "q c"]:
    """Sum over the slabs that have entries: no place is read in vain, but the loop has many short steps."""
    blocks, size, _ = columns.slab_rows.shape
    groups = len(columns.order) // blocks
    return _sum_slabs(columns, flat, groups, size // groups, columns.order, columns.filled)


def _sum_all(columns: Columns, flat: Real[Array, "pr c"]) -> Float[Array, "q c"]:
    """Sum over all slabs, those of all groups at a time: few kernels, and a number of steps that a GPU need not ask for."""
    blocks, size, _ = columns.slab_rows.shape
    return _sum_slabs(columns, flat, 1, size, jnp.arange(blocks, dtype=jnp.int32), blocks)


def _sum_slabs(
    columns: Columns, flat: Real[Array, "pr c"], groups: int, size: int, order: Int[Array, " b"], count: int | Array
) -> Float[Array, "q c"]:
    width, r = columns.slab_entries.shape[2:]
    slab_rows = columns.slab_rows.reshape(-1, size, width)
    slab_entries = columns.slab_entries.reshape(-1, size, width, r)
    if len(slab_rows) == 1:
        return lax.optimization_barrier(_sum_entries(slab_rows[0], slab_entries[0], flat))

    def add_slab(step: Array, total: Array) -> Array:
        slab = _at(order, step)
        rows, entries, start = _at(slab_rows, slab), _at(slab_entries, slab), slab % groups * size
        before = lax.dynamic_slice_in_dim(total, start, size)
        if width * r <= _FUSED:
            sums = _sum_entries(rows, entries, flat, before / 2)
        else:
            sums = before + lax.optimization_barrier(_sum_entries(rows, entries, flat))
        return lax.dynamic_update_slice_in_dim(total, sums, start, axis=0)

    dtype = jnp.promote_types(columns.slab_entries.dtype, flat.dtype)
    start = jnp.zeros((columns.slab_rows.shape[1], flat.shape[1]), dtype)
    return lax.fori_loop(0, count, add_slab, start)


@partial(jax.jit, static_argnames="size")
def by_columns(indices: Int[Array, "p m"], blocks: Float[Array, "p r m"], size: int) -> Columns:
    """Sort the entries of blocks that act on `size` points by column."""
    p, r, m = blocks.shape
    width, number, groups, segment, per_chunk = _sizes(size, p * m / size, r, blocks.dtype.itemsize)
    counts = jnp.zeros(size, jnp.int32).at[indices.ravel()].add(1)
    columns = jnp.argsort(-counts, stable=True).astype(jnp.int32)
    padding = (0, -size % groups)  # columns without entries
    lengths = jnp.pad(take_rows(counts, columns), padding)
    order = jnp.argsort(indices.ravel(), stable=True).astype(jnp.int32)
    entries = _Entries(
        rows=order // m * r,
        values=take_rows(jnp.moveaxis(blocks, 1, 2).reshape(p * m, r), order),
        starts=jnp.pad(take_rows(_starts(counts), columns), padding),
        lengths=lengths,
    )
    reach = jnp.broadcast_to(jnp.arange(number, dtype=jnp.int32)[:, None] * width, (number, len(lengths)))
    slab_rows, slab_entries = entries.take(jnp.arange(len(lengths)), reach, width)
    longest = lengths.reshape(groups, -1)[:, 0]
    has_entries = (reach[:, :groups] < longest).ravel()
    return Columns(
        place=jnp.zeros(size, jnp.int32).at[columns].set(jnp.arange(size, dtype=jnp.int32), unique_indices=True),
        slab_rows=slab_rows,
        slab_entries=slab_entries,
        order=jnp.argsort(~has_entries, stable=True).astype(jnp.int32),
        filled=has_entries.sum(dtype=jnp.int32),
        rest=_segments(entries, number * width, segment, per_chunk),
    )


class _Entries(NamedTuple):
    """All entries, by column: the first rows of B to which they belong, their values, and where each column starts."""

    rows: Int[Array, " e"]
    values: Float[Array, "e r"]
    starts: Int[Array, " q"]
    lengths: Int[Array, " q"]

    def take(
        self, columns: Int[Array, "*s"], first: Int[Array, "*t"], width: int
    ) -> tuple[Int[Array, "*t u"], Float[Array, "*t u r"]]:
        """Return `width` entries of columns from the given number on, zero beyond the last of a column."""
        place = first[..., None] + jnp.arange(width, dtype=jnp.int32)
        filled = place < take_rows(self.lengths, columns)[..., None]
        place = jnp.where(filled, take_rows(self.starts, columns)[..., None] + place, 0)
        rows, values = take_rows(self.rows, place), take_rows(self.values, place)
        return jnp.where(filled, rows, 0), jnp.where(filled[..., None], values, 0)


def _segments(entries: _Entries, reach: int, width: int, per_chunk: int) -> Segments:
    """Divide the entries of each column beyond the first `reach` into segments of `width`."""
    size, total = len(entries.lengths), len(entries.rows)
    chunks = ceil((size + total // width) / per_chunk)  # for any division of the entries among the columns
    before = _starts(-(-jnp.maximum(entries.lengths - reach, 0) // width))
    segment = jnp.arange(chunks * per_chunk, dtype=jnp.int32)
    used = segment < before[-1]
    column = jnp.minimum(jnp.searchsorted(before, segment, side="right").astype(jnp.int32) - 1, size - 1)
    number = jnp.where(used, segment - take_rows(before, column), total)
    rows, values = entries.take(column, reach + number * width, width)
    within = segment % per_chunk
    first = jnp.minimum(number, within) == 0  # of its column within its chunk
    after = jnp.minimum(take_rows(before, column + 1) - 1 - segment, per_chunk - 1 - within)
    after = jnp.where(used, after, 0).reshape(chunks, per_chunk)
    return Segments(
        rows=rows.reshape(chunks, per_chunk, width),
        entries=values.reshape(chunks, per_chunk, width, -1),
        after=after,
        levels=32 - lax.clz(after.max(axis=1)),
        target=jnp.where(used & first, column, size + within).reshape(chunks, per_chunk),
        used=-(-before[-1] // per_chunk),
    )


def _at(a: Array, index: Array) -> Array:
    """Return ``a[index]`` for an index in range and not negative; see `take_rows`."""
    return lax.dynamic_index_in_dim(a, index, keepdims=False, allow_negative_indices=False)


class _Sizes(NamedTuple):
    """The entries per column of a slab, the slabs per group, the groups, the entries of a segment, the segments of a chunk."""

    width: int
    number: int
    groups: int
    segment: int
    per_chunk: int


def _sizes(size: int, mean: float, r: int, itemsize: int) -> _Sizes:
    """Return the sizes for a number of columns and a mean number of entries per column."""
    wide = ceil(_SPARE * mean)
    if size * itemsize <= _TABLE_BYTES and wide * r <= UNROLL:
        return _Sizes(wide, 1, 1, min(wide, 2 * _SLAB), ceil(size / 8))
    slab = min(_SLAB, ceil(mean))  # of the rows of one of many devices, most columns have no entry or one
    width = max(1, min(UNROLL // r, max(slab, min(_WIDEST, int(mean) // 4))))
    groups = max(1, min(_GROUPS, size // _GROUP_ROWS))
    return _Sizes(width, ceil(_REACH * mean / width), groups, width, ceil(size / 32))


def _starts(counts: Int[Array, " n"]) -> Int[Array, " n_plus_1"]:
    """Return the sums of the first 0, ..., n counts, by doubling the length of the sums: jnp.cumsum takes longer to compile."""
    place = jnp.arange(len(counts) + 1, dtype=jnp.int32)

    def double(step: Array, sums: Array) -> Array:
        before = place - (1 << step)
        return sums + jnp.where(before >= 0, take_rows(sums, jnp.maximum(before, 0)), 0)

    return lax.fori_loop(0, len(counts).bit_length(), double, jnp.concatenate([jnp.zeros(1, jnp.int32), counts]))
