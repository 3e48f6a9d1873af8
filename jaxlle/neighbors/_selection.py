"""Selection of the smallest and largest entries of every row of a block."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int


def smallest(dist: Float[Array, "b n"], k: int) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    """Return the columns and the values of the k smallest entries of every row, in increasing order; NaN is the largest."""
    # top_k ranks NaN first, so that a point at distance NaN would be the nearest.
    negative, indices = _top(-jnp.where(jnp.isnan(dist), jnp.inf, dist), k)
    return indices, -negative


def largest(values: Float[Array, "b p"], count: int) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    """Select as top-k does, except for the order of ties, by the maxima of groups first, so that long rows are read once.

    The largest `count` values are in the `count` groups with the largest maxima.
    """
    b, p = values.shape
    size = 2 ** int(np.log2(max(1, np.sqrt(p / count))))  # about as many groups as values in the selected groups
    while p % size or p // size < count:
        size //= 2
    if size == 1:
        return _top(values, count)
    slabs = values.reshape(b, size, p // size)  # group j: the columns j, j + p / size, ...
    _, groups = _top(slabs.max(axis=1), count)
    chosen = jnp.take_along_axis(slabs, groups[:, None, :], axis=2).reshape(b, size * count)
    best, position = _top(chosen, count)
    return best, (position // count) * (p // size) + jnp.take_along_axis(groups, position % count, axis=1)


def _top(values: Float[Array, "b n"], count: int) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    # Without the barriers XLA moves later slices into the selection, does not recognize it as top-k, and sorts whole rows on
    # a CPU, which is ten times slower. One barrier for both makes XLA's partitioner (jaxlib 0.10) fail inside shard_map.
    best, position = lax.top_k(values, count)
    return lax.optimization_barrier(best), lax.optimization_barrier(position)
