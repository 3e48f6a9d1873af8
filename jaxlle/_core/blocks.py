"""Mapping over rows in blocks, so that memory is limited by a budget and does not grow with the number of points."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Progress = Callable[[int, int], None]  # called with (done, total)

BLOCK_BYTES = 2**27  # default memory limit of a block
CACHE_BYTES = 2**22  # size of a block that fits in the cache of a CPU core


def cache_budget(block_bytes: int) -> int:
    """Return the memory limit of a block that is read several times.

    On a CPU such a block should fit in the cache; on an accelerator larger blocks amortize kernel launches.
    """
    block_bytes = int(block_bytes)  # products of NumPy integers of few bits overflow
    return min(block_bytes, CACHE_BYTES) if jax.default_backend() == "cpu" else block_bytes


def map_rows(function: Callable, rows: Any, budget: int, bytes_per_row: int) -> Any:
    """Apply a function of one row to all rows, as many at a time as the budget allows.

    This is `lax.map` with a batch size, except that the last block is padded with copies of the last row, whereas `lax.map`
    compiles (and, on a CPU, runs) a second program for a shorter block.

    Args:
        function: function of one row of each array in `rows`.
        rows: pytree of arrays with the same leading dimension.
        budget: memory limit of one block, in bytes.
        bytes_per_row: memory that the function needs for one row, in bytes.
    """
    return map_blocks(jax.vmap(function), rows, budget, bytes_per_row)


def map_blocks(function: Callable, rows: Any, budget: int, bytes_per_row: int) -> Any:
    """Apply a function of a block of rows to all rows, block by block; `map_rows` passes the `vmap` of its function."""
    n = jax.tree.leaves(rows)[0].shape[0]
    batch = max(1, min(n, int(budget) // max(1, bytes_per_row)))
    if batch == n:
        return function(rows)

    def block(start: jax.Array) -> Any:
        ids = jnp.minimum(start + jnp.arange(batch), n - 1)
        return function(jax.tree.map(lambda a: a[ids], rows))

    out = lax.map(block, jnp.arange(0, n, batch))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n], out)


@contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Re-raise an out-of-memory error of the device as a MemoryError with advice on how to avoid it."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) and "Out of memory" not in str(error):
            raise
        raise MemoryError(f"The device ran out of memory: {advice}.") from error
