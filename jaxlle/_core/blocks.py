"""Mapping over rows in blocks, so that memory is bounded by a budget and not by n."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

CACHE_BYTES = 2**22  # a block that stays in a CPU's cache; on an accelerator a block's launch is cheap beside it


def map_rows(function: Callable, rows: Any, budget: int, bytes_per_row: int) -> Any:
    """Apply a function of one row to all rows, as many at a time as the budget allows.

    Like `lax.map` with a batch size, except that the last block is filled up with repetitions of the last row instead of
    being compiled (and, on a CPU, run) beside the others.

    Args:
        function: of one row of each array in `rows`.
        rows: pytree of arrays with the same leading dimension.
        budget: bytes that a block may take.
        bytes_per_row: bytes that one row takes inside the function.
    """
    return map_blocks(jax.vmap(function), rows, budget, bytes_per_row)


def map_blocks(function: Callable, rows: Any, budget: int, bytes_per_row: int) -> Any:
    """Apply a function of a block of rows to all rows, block by block: `map_rows` is this with a `vmap`."""
    n = jax.tree.leaves(rows)[0].shape[0]
    batch = int(max(1, min(n, budget // max(1, bytes_per_row))))
    if batch == n:
        return function(rows)

    def block(start: jax.Array) -> Any:
        ids = jnp.minimum(start + jnp.arange(batch), n - 1)
        return function(jax.tree.map(lambda a: a[ids], rows))

    out = lax.map(block, jnp.arange(0, n, batch))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n], out)


@contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Turn a device's cry for memory into a MemoryError that names what to try."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) and "Out of memory" not in str(error):
            raise
        raise MemoryError(f"The device ran out of memory: {advice}.") from error


Progress = Callable[[int, int], None]
BLOCK_BYTES = 2**27
