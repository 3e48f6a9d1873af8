"""Mapping over rows in blocks, so that memory is bounded by a budget and not by the number of points."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Progress = Callable[[int, int], None]  # called with (done, total)

BLOCK_BYTES = 2**27  # default memory of a block
CACHE_BYTES = 2**22  # a block that stays in the cache of a CPU core


def cache_budget(block_bytes: int) -> int:
    """Return the memory that a block may take where it is passed over several times.

    On a CPU a block should stay in the cache; on an accelerator larger blocks amortize the launch of their kernels.
    """
    return min(block_bytes, CACHE_BYTES) if jax.default_backend() == "cpu" else block_bytes


def map_rows(function: Callable, rows: Any, budget: int, bytes_per_row: int) -> Any:
    """Apply a function of one row to all rows, as many at a time as the budget allows.

    Like `lax.map` with a batch size, except that the last block is padded with repetitions of the last row, where `lax.map`
    compiles (and, on a CPU, runs) a second program for it.

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
    """Re-raise a device's out-of-memory error as a MemoryError with advice on what to change."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) and "Out of memory" not in str(error):
            raise
        raise MemoryError(f"The device ran out of memory: {advice}.") from error
