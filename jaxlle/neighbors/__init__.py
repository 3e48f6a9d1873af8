"""Stage 1: the neighborhoods of the points."""

from .approximate import ApproximateNeighbors, approximate_knn
from .exact import knn
from .graph import Neighbors, as_neighbors, load, save
from .local import local_neighborhoods
from .radius import radius_neighbors

__all__ = [
    "ApproximateNeighbors",
    "Neighbors",
    "approximate_knn",
    "as_neighbors",
    "knn",
    "load",
    "local_neighborhoods",
    "radius_neighbors",
    "save",
]
