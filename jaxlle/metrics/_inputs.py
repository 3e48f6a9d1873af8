"""Validation that the metrics of an embedding share."""

from typing import Any

from .._core.checks import embedding_points, is_traced
from .._core.points import Standardized, as_points, standardize


def prepare_pair(x: Any, y: Any, least: int = 3) -> tuple[Standardized, Standardized]:
    """Validate and standardize data and an embedding of the same points, of which there must be at least `least`."""
    x, y = as_points(x), as_points(embedding_points(y), "y")
    if len(x) != len(y) or len(x) < least:
        raise ValueError(f"x has {len(x)} rows and y has {len(y)}: they must be the same points, at least {least}.")
    return standardize(x), standardize(y)


def require_concrete(name: str, *arrays: Any) -> None:
    """Raise inside jit, for a metric that is computed on the host."""
    if is_traced(*arrays):
        raise TypeError(f"{name} is computed on the host: call it outside jit.")
