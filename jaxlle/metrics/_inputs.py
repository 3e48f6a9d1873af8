"""Validation that the metrics of an embedding share."""

from typing import Any

from .. import distances
from .._core.checks import embedding_points, is_traced
from .._core.points import Points, prepare_points


def prepare_pair(x: Any, y: Any, least: int = 3) -> tuple[Points, Points]:
    """Validate, center and scale data and an embedding of the same points, of which there must be at least `least`."""
    data, embedding = prepare_points(x), prepare_points(embedding_points(y), name="y")
    n, rows = data.shape[0], embedding.shape[0]
    if n != rows or n < least:
        raise ValueError(f"x has {n} rows and y has {rows}: they must be the same points, at least {least}.")
    for points, name in ((data, "x"), (embedding, "y")):
        if points.metric is not distances.euclidean:
            raise ValueError(
                f"{name} was prepared for another metric, but Euclidean distances are compared: pass the array."
            )
    return data, embedding


def require_concrete(name: str, *arrays: Any) -> None:
    """Raise inside jit, for a metric that is computed on the host."""
    if is_traced(*arrays):
        raise TypeError(f"{name} is computed on the host: call it outside jit.")
