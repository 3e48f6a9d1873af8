"""Selection of the smallest and largest entries of every row of a block."""

import inspect
from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

TOP_MAX_COUNT, TOP_MIN_COLUMNS = 16, 1024  # limits of XLA's top-k kernel for GPUs, beyond which whole rows are sorted
# Since jax 0.12, top_k orders ties by index by default, which is not needed here.
_ANY_ORDER = {"is_stable": False} if "is_stable" in inspect.signature(lax.top_k).parameters else {}
_GROUP, _UNGROUPED = 8, 16  # on a CPU: columns of a group; rows with at most 16 count columns are not grouped


def smallest(dist: Float[Array, "b n"], k: int) -> tuple[Int[Array, "b k"], Float[Array, "b k"]]:
    """Return the columns and the values of the k smallest entries of every row, in increasing order; NaN is the largest."""
    # top_k ranks NaN first, so that a point at distance NaN would be the nearest.
    negative, indices = _top(-jnp.where(jnp.isnan(dist), jnp.inf, dist), k)
    return indices, -negative


def largest(values: Float[Array, "b p"], count: int) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    """Select as top-k does, except for the order of ties, by the maxima of groups first, so that long rows are read once.

    The largest `count` values are in the `count` groups with the largest maxima, or in the few columns that belong to no group.
    """
    cpu, accelerator = group_sizes(values.shape[1], count)
    if cpu == accelerator:
        return _largest(values, cpu, count)
    branches = {name: partial(_largest, sizes=s, count=count) for name, s in (("cpu", cpu), ("default", accelerator))}
    return lax.platform_dependent(values, **branches)


def group_sizes(columns: int, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sizes of groups, of groups of groups and so on: on a CPU, and on accelerators.

    On a CPU the time is that of reading the values and of top-k, which is proportional to the number of values it is given. On
    accelerators there is one level of groups, if top-k of the maxima and of the selected groups both fit the kernel.
    """
    cpu, left = (), columns
    while left > _UNGROUPED * count:
        cpu, left = (*cpu, _GROUP), left // _GROUP
    size = 1
    while (
        size * count < TOP_MIN_COLUMNS or 4 * size * size * count <= columns
    ):  # about as many groups as selected values
        size *= 2
    if count > TOP_MAX_COUNT:  # sorted in any case, fewer values in groups
        return cpu, cpu
    return cpu, (size,) if columns // size >= TOP_MIN_COLUMNS else ()


def _largest(
    values: Float[Array, "b p"], sizes: tuple[int, ...], count: int
) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    if not sizes:
        return _top(values, count, **_ANY_ORDER)
    b, p = values.shape
    size, *above = sizes
    number = p // size  # group j has the columns j, j + number, ...
    grouped = number * size
    _, groups = _largest(_maxima(values[:, :grouped], size), tuple(above), count)
    steps = number * jnp.arange(size, dtype=groups.dtype)
    columns = (groups[:, None, :] + steps[None, :, None]).reshape(b, size * count)
    chosen = jnp.take_along_axis(values, columns, axis=1)
    if grouped < p:
        rest = jnp.broadcast_to(jnp.arange(grouped, p, dtype=columns.dtype), (b, p - grouped))
        columns, chosen = (
            jnp.concatenate([columns, rest], axis=1),
            jnp.concatenate([chosen, values[:, grouped:]], axis=1),
        )
    best, position = _top(chosen, count, **_ANY_ORDER)
    return best, jnp.take_along_axis(columns, position, axis=1)


def _maxima(values: Float[Array, "b p"], size: int) -> Float[Array, "b number"]:
    # By halves: on a CPU XLA's reduction over the middle axis takes three times as long.
    while size > 1:
        half = values.shape[1] // 2
        values, size = jnp.maximum(values[:, :half], values[:, half:]), size // 2
    return values


def _top(values: Float[Array, "b n"], count: int, **options: bool) -> tuple[Float[Array, "b c"], Int[Array, "b c"]]:
    # Without the barriers XLA moves later slices into the selection, does not recognize it as top-k, and sorts whole rows on
    # a CPU, which is ten times slower. One barrier for both makes XLA's partitioner (jaxlib 0.10) fail inside shard_map.
    best, position = lax.top_k(values, count, **options)
    return lax.optimization_barrier(best), lax.optimization_barrier(position)
