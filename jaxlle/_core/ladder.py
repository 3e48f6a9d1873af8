"""Padding of rows to a few sizes: JAX compiles a program for every shape, which takes seconds and several megabytes.

Functions of independent rows, such as those of new points, are called with the number of rows rounded up to the next size of a
geometric ladder, and the padding is cut off the result. Both are done on the host, where no program is compiled. Under jit,
vmap and grad the shapes stay as they are.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .checks import is_on_one_device, is_traced

_FEW = 64  # up to here the sizes are powers of two, because the time of so few rows does not depend on their number


def padded_count(count: int) -> int:
    """Return the smallest size of the ladder that is at least `count`; beyond 64 rows it exceeds `count` by at most 12 %."""
    size = min(_FEW, 2 ** max(0, count - 1).bit_length())
    while size < count:
        size = 112 * (size + 1) // 100
    return size


def call_padded(function: Callable, rows: Any, *fixed: Any) -> Any:
    """Call a function of independent rows with padded rows, and return the results of the given rows.

    The padding consists of copies of the first row, which are valid wherever the first row is, and change no maximum over rows.

    Args:
        function: maps rows and the other arguments to a pytree of arrays with one entry per row.
        rows: pytree of arrays with the same number of rows, at least one.
        *fixed: the other arguments, which are not padded.

    Returns:
        ``function(rows, *fixed)``, up to rounding: a matrix product may sum in another order for another number of rows.
    """
    leaves = jax.tree.leaves(rows)
    count = leaves[0].shape[0]
    size = padded_count(count)
    if size == count or is_traced(rows, fixed) or not all(map(is_on_one_device, jax.tree.leaves((rows, fixed)))):
        return function(rows, *fixed)
    out = function(jax.tree.map(lambda a: pad_rows(a, size), rows), *fixed)
    return jax.tree.map(lambda a: first_rows(a, count), out)


def pad_rows(rows: Any, size: int) -> jax.Array:
    """Return an array of concrete rows with copies of its first row appended, on its device; unchanged if on several devices."""
    if size == rows.shape[0] or not is_on_one_device(rows):
        return jnp.asarray(rows)
    host = jax.device_get(rows)
    padding = np.broadcast_to(host[:1], (size - host.shape[0], *host.shape[1:]))
    return put_like(np.concatenate([host, padding]), rows)


def first_rows(rows: jax.Array, count: int) -> jax.Array:
    """Return the first rows of an array on its device, without compiling a program if it is concrete."""
    return rows[:count] if is_traced(rows) else put_like(jax.device_get(rows)[:count], rows)


def replace_rows(rows: jax.Array, ids: np.ndarray, new: jax.Array) -> jax.Array:
    """Return a concrete array with new rows in some places, on its device, without compiling a program."""
    host = np.array(jax.device_get(rows))
    host[ids] = jax.device_get(new)
    return put_like(host, rows)


def put_like(host: np.ndarray, like: Any) -> jax.Array:
    """Move an array to the device of another, and commit it to that device if the other one is; to any if that is on several."""
    committed = isinstance(like, jax.Array) and like.committed and is_on_one_device(like)
    return jax.device_put(host, like.sharding if committed else None)


def to_device(x: Any, dtype: np.dtype) -> jax.Array:
    """Return an array on the device in a dtype, without compiling a program if it is a NumPy array."""
    if isinstance(x, np.ndarray):
        with np.errstate(over="ignore"):  # as on the device
            return jax.device_put(np.array(x, dtype))  # a copy, because jax.device_put may share the memory of x
    return jnp.asarray(x, dtype)
