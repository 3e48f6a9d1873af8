"""Evaluation of a module at many points, in blocks of rows so that memory is bounded."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

BLOCK_ROWS = 4096


def evaluate_blocks(module: nnx.Module, x: Any, block: int = BLOCK_ROWS) -> Iterator[Array]:
    """Yield the outputs of a module, at most `block` rows of x at a time."""
    for start in range(0, x.shape[0], block):
        yield evaluate(module, jnp.asarray(x[start : start + block]))


@nnx.jit
def evaluate(module: nnx.Module, x: Array) -> Array:
    """Return the outputs of a module, compiled."""
    return module(x)  # pyright: ignore[reportCallIssue]
