"""Stage 2: the weights that reconstruct every point from its neighbors."""

from .barycentric import barycentric_weights, local_condition, ridge_regression_weights
from .gram import gram_weights
from .kernel import kernel_weights
from .metric import distance_weights, metric_weights
from .simplex import simplex_weights

__all__ = [
    "barycentric_weights",
    "distance_weights",
    "gram_weights",
    "kernel_weights",
    "local_condition",
    "metric_weights",
    "ridge_regression_weights",
    "simplex_weights",
]
