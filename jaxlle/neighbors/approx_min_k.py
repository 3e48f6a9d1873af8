"""Approximate selection among the products of all pairs of points, by the operation of XLA for TPUs."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import check_number
from .._core.blocks import BLOCK_BYTES, device_limit, map_blocks, memory_advice, take_rows
from .._core.checks import check_bytes
from .._core.linear import matmul
from .._core.points import Points
from ._candidates import complete, rank
from ._products import SPARE
from .graph import Neighbors


@dataclass(frozen=True)
class ApproxMinK:
    """Compute all distances by products and select approximately, by `lax.approx_min_k` (Chern et al. 2022), for TPUs.

    The time grows with the square of the number of points. On a TPU the selection reads the products once; on other
    platforms XLA selects exactly, without a gain of time, so that the option is useful there only for comparisons.

    Attributes:
        recall_target: share of the nearest points that the selection finds on average, above 0 and at most 1.
        block_bytes: memory limit of one block of products, in bytes; the default grows with the memory of the device as for
            `knn`.

    Example:
        >>> import jaxlle
        >>> jaxlle.neighbors.ApproxMinK(recall_target=0.99).recall_target
        0.99
    """

    recall_target: float = 0.95
    block_bytes: int = BLOCK_BYTES
    remedy: ClassVar[str] = "raise recall_target"

    def __call__(self, points: Points, k: int, key: Array) -> Neighbors:
        """Return neighbors, with distances between the coordinates of the points; the key has no effect."""
        allowed = "above 0 and at most 1"
        check_number(self.recall_target, "recall_target", allowed, lambda value: 0 < value <= 1)
        coordinates = points.coordinates
        limit = device_limit(check_bytes(self.block_bytes), coordinates.sharding.addressable_devices)
        with memory_advice(f"ApproxMinK used block_bytes = {limit}; try {limit // 8}"):
            return complete(points, *_search(coordinates, k, float(self.recall_target), limit))


@partial(jax.jit, static_argnames=("k", "recall", "block_bytes"))
def _search(
    points: Float[Array, "n d"], k: int, recall: float, block_bytes: int
) -> tuple[Int[Array, "n k"], Float[Array, "n k"], Bool[Array, " n"]]:
    single = points.astype(np.float32)
    n = len(single)
    squares = jnp.sum(single**2, axis=1)
    count = min(n, k + 1 + SPARE)

    def select(ids: Int[Array, " b"]) -> Int[Array, "b c"]:
        # Half the squared distances, without the norm of the query.
        halves = squares / 2 - matmul(take_rows(single, ids), single.T)
        return lax.approx_min_k(halves, count, recall_target=recall)[1]

    ids = jnp.arange(n, dtype=np.int32)
    return rank(points, map_blocks(select, ids, block_bytes, 8 * n), k, block_bytes)
