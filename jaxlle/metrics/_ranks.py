"""Ranks and distances of some points to all points, exact and in blocks: what the rank-based metrics share."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._core.checks import embedding_points
from .._core.points import as_points, standardize

_DIRECT_MAX_FEATURES = 16


@contextmanager
def exact_distances(*points: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the points, those of many features in float64: distances by products lose digits that float32 cannot spare."""
    with jax.enable_x64(True) if max(p.shape[1] for p in points) > _DIRECT_MAX_FEATURES else nullcontext():
        yield tuple(p if p.shape[1] <= _DIRECT_MAX_FEATURES else p.astype(np.float64) for p in points)


def block_rows(base: Array, other: Array, block_bytes: int) -> int:
    """Return how many points, with their distances to all in both spaces, fit the budget."""
    n = base.shape[0]
    widest = max([p.shape[1] for p in (base, other) if p.shape[1] <= _DIRECT_MAX_FEATURES], default=0)
    return int(max(1, min(n, block_bytes // (8 * n * (6 + widest)))))


def ranks_to_all(points: Float[Array, "n d"], ids: Array) -> Array:
    """Return the ranks of all points by distance from some: 0 for the point itself, then by index where tied."""
    far = squares_to_all(points, ids)
    far = jnp.where(jnp.arange(points.shape[0])[None, :] == ids[:, None], -jnp.inf, far)
    order = jnp.argsort(far, axis=1, stable=True)
    embedding_points = jnp.broadcast_to(jnp.arange(points.shape[0], dtype=jnp.int32), order.shape)
    return jnp.zeros(order.shape, jnp.int32).at[jnp.arange(len(ids))[:, None], order].set(embedding_points)


def squares_to_all(points: Float[Array, "n d"], ids: Array) -> Float[Array, "b n"]:
    """Return the squared distances of some points to all."""
    if points.shape[1] <= _DIRECT_MAX_FEATURES:
        return jnp.sum((points[ids][:, None, :] - points[None, :, :]) ** 2, axis=2)
    squares = jnp.sum(points**2, axis=1)
    product = jnp.dot(points[ids], points.T, precision=lax.Precision.HIGHEST)
    return squares[ids][:, None] + squares[None, :] - 2 * product


def _pair(x: Any, y: Any) -> tuple[Array, Array]:
    x, y = as_points(x), as_points(embedding_points(y), "y")
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"x has {len(x)} rows and y has {len(y)}: they must be the same points, at least 3.")
    return standardize(x).points, standardize(y).points


def _starts(points: Array, rows: int) -> range:
    return range(0, points.shape[0], rows)


def _rows(points: Array, start: Any, rows: int) -> tuple[Array, Array]:
    """Return the ids of a block, the last repeated past the end, and which of them are inside."""
    ids = start + jnp.arange(rows, dtype=jnp.int32)
    return jnp.minimum(ids, points.shape[0] - 1), ids < points.shape[0]
