"""Barycentric weights of memory maps: of each block of points only the rows of their neighbors are read."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core import mapped
from .._core.ladder import pad_rows
from .._core.points import Points
from ..neighbors import Neighbors


def solve_streamed(
    points: Points, query: Any, neighbors: Neighbors, solve: Callable, block_bytes: int
) -> Float[Array, "q k"]:
    """Return the weights of all points, or of validated queries, computed in blocks of equal shape.

    Args:
        points: prepared points, which are not copied if they are streamed.
        query: queries, or None for the points themselves.
        neighbors: neighborhoods of the queries.
        solve: function of the coordinates of points, those of queries, and the neighborhoods of these, on the device.
        block_bytes: memory limit of the rows that are read for one block.
    """
    ids, mask, (total, k) = np.asarray(neighbors.indices), neighbors.mask, neighbors.indices.shape
    whole = None if points.is_streamed(block_bytes) else points.coordinates
    num = points.shape[0] if whole is None else total
    rows = points.part_rows(num, k + 1, 1, block_bytes, f"one of them and its k = {k} neighbors")
    blocks = mapped.equal_parts(total, rows)
    size, read = blocks[0].stop, points.reader(query)
    out = mapped.aligned_empty((total, k), points.dtype)
    for block in blocks:
        around = np.asarray(pad_rows(ids[block], size))
        if whole is None:
            listed, place = np.unique(around, return_inverse=True)
            near, around = points.read_scattered(listed, size * k), place.reshape(size, k).astype(np.int32)
        else:
            near = whole
        local = Neighbors(jnp.asarray(around), None, None if mask is None else pad_rows(mask[block], size))
        found = solve(near, pad_rows(read(block), size), local)
        out[block] = np.asarray(found)[: block.stop - block.start]
    return jax.device_put(out)
