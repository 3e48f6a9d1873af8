"""All neighbors within a radius."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Real

from .._core.arrays import check_number
from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count, is_traced
from .._core.points import prepare_points
from ..distances import Metric
from .exact import in_data_units, knn
from .graph import Neighbors, require_distances


def radius_neighbors(
    x: Any,
    radius: Real[ArrayLike, ""],
    *,
    max_neighbors: int | None = None,
    query: Any = None,
    metric: Metric = "euclidean",
    block_bytes: int = BLOCK_BYTES,
) -> Neighbors:
    """Find all neighbors within a radius, as a mask over the nearest `max_neighbors`.

    The neighborhood of point i is ``{j != i : m(x_i, x_j) <= radius}`` for the metric m, computed by `knn` and nearest first.

    Args:
        x: points, shape (n, d), a `Points` value, or distances of shape (n, n) with metric="precomputed".
        radius: largest distance of a neighbor, in the units of the metric.
        max_neighbors: number of columns of the result. None means the size of the largest neighborhood, outside jit only.
        query: as for `knn`.
        metric: as for `knn`.
        block_bytes: as for `knn`.

    Returns:
        Neighbors with a mask, shape (n, max_neighbors).

    Raises:
        ValueError: as for `knn`; also if radius is not positive, if max_neighbors is None inside jit, or if, outside jit, a
            neighborhood has no members or more than `max_neighbors`. Inside jit, only the nearest `max_neighbors` are returned.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.neighbors.radius_neighbors(jnp.array([[0.0], [1.0], [3.0]]), 2.5).mask
        Array([[ True, False],
               [ True,  True],
               [ True, False]], dtype=bool)
    """
    traced = is_traced(x, query, radius)
    if not traced:
        check_number(radius, "radius", "positive, in the units of the metric", lambda value: value > 0)
    if traced and max_neighbors is None:
        raise ValueError("Inside jit the number of columns of the result must be known: pass max_neighbors.")
    points, limit = prepare_points(x, metric=metric), jnp.asarray(radius)
    if max_neighbors is not None:
        check_count(max_neighbors, "max_neighbors", 1, None, "number of columns of the result")
    n = points.shape[0]
    most = n - 1 if query is None else n
    width = min(most, 16 if max_neighbors is None else max_neighbors)

    def within(width: int) -> Neighbors:
        found = in_data_units(knn(points, width, query=query, block_bytes=block_bytes), points)
        return found._replace(mask=require_distances(found) <= limit)

    found = within(width)
    if traced:
        return found
    # Neighbors are sorted by distance: a neighborhood can be larger than the search only if its last entry is in the radius.
    while max_neighbors is None and width < most and bool(np.asarray(found.mask)[:, -1].any()):
        width = min(most, 2 * width)
        found = within(width)
    counts = np.asarray(found.mask).sum(axis=1)
    _check_counts(counts, found, within, width, most, radius)
    width = int(counts.max()) if max_neighbors is None else width
    return jax.tree.map(lambda a: a[:, :width], found)


def _check_counts(
    counts: np.ndarray, found: Neighbors, within: Callable[[int], Neighbors], width: int, most: int, radius: Any
) -> None:
    if (counts == 0).any():
        raise ValueError(
            f"{(counts == 0).sum()} of {len(counts)} points have no neighbor within radius {radius}: raise the radius to "
            f"at least {float(require_distances(found)[:, 0].max()):.6g}, or use knn."
        )
    if width < most and (counts == width).any():
        wider = int(np.asarray(within(width + 1).mask)[:, -1].sum())
        if wider:
            raise ValueError(
                f"{wider} points have more than max_neighbors = {width} neighbors within radius {radius}: raise "
                f"max_neighbors (None determines it) or lower the radius."
            )
