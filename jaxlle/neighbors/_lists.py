"""Lists of near points for an inverted file: k-means on a sample, and lists of equal capacity in arrays of fixed shape."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.blocks import map_blocks, take_rows
from .._core.linear import matmul
from ._selection import largest


class Lists(NamedTuple):
    """Points in lists of equal capacity, as many as there can be; the lists at the end may be empty.

    Attributes:
        members: row numbers of the points of each list, and n in the places that are empty, shape (l, t).
        centers: their means, in float32, shape (l, d).
        biases: half the squared norms of the centers, infinite where a list is empty, shape (l,).
        order: all points, ordered by list, shape (n,).
    """

    members: Int[Array, "l t"]
    centers: Float[Array, "l d"]
    biases: Float[Array, " l"]
    order: Int[Array, " n"]


def kmeans(
    points: Float[Array, "n d"], sample: Int[Array, " m"], count: int, iterations: int, block_bytes: int
) -> Float[Array, "c d"]:
    """Return the centers of a few steps of k-means (Lloyd 1982) on a sample, which start at the first points of the sample.

    Centers to which no point is assigned stay where they are.
    """
    m, d = len(sample), points.shape[1]
    rows = int(max(1, min(m, block_bytes // (8 * (count + d)))))

    def step(_: Array, centers: Float[Array, "c d"]) -> Float[Array, "c d"]:
        biases = _half_squares(centers)

        def add(i: Array, sums: Float[Array, "c e"]) -> Float[Array, "c e"]:
            places = i * rows + jnp.arange(rows, dtype=np.int32)
            some = take_rows(points, take_rows(sample, jnp.minimum(places, m - 1)))
            label = jnp.argmax(matmul(some, centers.T) - biases, axis=1)
            valid = (places < m)[:, None]
            counted = jnp.where(valid, jnp.pad(some, ((0, 0), (0, 1)), constant_values=1), 0)
            return sums + lax.platform_dependent(
                counted, label, cpu=partial(_by_additions, count=count), default=partial(_by_products, count=count)
            )

        sums = lax.fori_loop(0, -(-m // rows), add, jnp.zeros((count, d + 1), np.float32))
        total, members = sums[:, :-1], sums[:, -1:]
        return jnp.where(members > 0, total / jnp.maximum(members, 1), centers)

    return lax.fori_loop(0, iterations, step, take_rows(points, sample[:count]))


def _by_additions(rows: Float[Array, "b e"], label: Int[Array, " b"], count: int) -> Float[Array, "c e"]:
    """Return the sum of the rows of each label."""
    return jnp.zeros((count, rows.shape[1]), rows.dtype).at[label].add(rows)


def _by_products(rows: Float[Array, "b e"], label: Int[Array, " b"], count: int) -> Float[Array, "c e"]:
    # Colliding additions are slow on an accelerator, and their order, and so the last bits, would change between runs.
    return matmul(jax.nn.one_hot(label, count, dtype=rows.dtype, axis=0), rows)


def fill_lists(points: Float[Array, "n d"], centers: Float[Array, "c d"], capacity: int, block_bytes: int) -> Lists:
    """Assign every point to the list of its nearest center, and split lists that are longer than the capacity.

    A long list is ordered by the second nearest centers before it is split, so that its parts are smaller in extent too.
    There are at most n / capacity + c lists, so that the shapes do not depend on the data.
    """
    n, d = points.shape
    count = len(centers)
    nearest, second = _nearest_centers(points, centers, block_bytes)
    nearest, _, order = lax.sort((nearest, second, jnp.arange(n, dtype=np.int32)), num_keys=2)
    ends = jnp.searchsorted(nearest, jnp.arange(count, dtype=np.int32), side="right").astype(np.int32)
    starts = jnp.concatenate([jnp.zeros(1, np.int32), ends[:-1]])
    last_parts = jnp.cumsum(-(-(ends - starts) // capacity))
    part = jnp.arange(n // capacity + count, dtype=np.int32)
    whole = jnp.minimum(jnp.searchsorted(last_parts, part, side="right"), count - 1)
    before = jnp.concatenate([jnp.zeros(1, last_parts.dtype), last_parts[:-1]])[whole]
    places = starts[whole][:, None] + (part - before)[:, None] * capacity + jnp.arange(capacity, dtype=np.int32)
    filled = (places < ends[whole][:, None]) & (part < last_parts[-1])[:, None]
    members = jnp.where(filled, order[jnp.clip(places, 0, n - 1)], n)

    def mean(some: Int[Array, "b t"]) -> Float[Array, "b d"]:
        valid = (some < n)[:, :, None]
        rows = take_rows(points, jnp.minimum(some, n - 1)) * valid
        return rows.sum(axis=1) / jnp.maximum(valid.sum(axis=1), 1)

    means = map_blocks(mean, members, block_bytes, 8 * capacity * d)
    return Lists(members, means, jnp.where(filled[:, 0], _half_squares(means), jnp.inf), order)


def _nearest_centers(
    points: Float[Array, "n d"], centers: Float[Array, "c d"], block_bytes: int
) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    biases, count = _half_squares(centers), len(centers)

    def two(rows: Float[Array, "b d"]) -> Int[Array, "b c"]:
        return largest(matmul(rows, centers.T) - biases, min(2, count))[1]

    found = map_blocks(two, points, block_bytes, 8 * (count + points.shape[1]))
    return found[:, 0], found[:, -1]


def _half_squares(rows: Float[Array, "c d"]) -> Float[Array, " c"]:
    return jnp.sum(rows**2, axis=1) / 2
