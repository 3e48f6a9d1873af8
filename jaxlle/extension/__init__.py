"""Embeddings of new points, and their reconstruction from a bank of known points."""

from .bank import Projection, project
from .barycentric import inverse_transform, transform
from .drift import Drift, drift, training_residuals
from .eigenfunction import eigenfunction_transform
from .kernel import KernelMap, kernel_map
from .tangent import tangent_transform

__all__ = [
    "Drift",
    "KernelMap",
    "Projection",
    "drift",
    "eigenfunction_transform",
    "inverse_transform",
    "kernel_map",
    "project",
    "tangent_transform",
    "training_residuals",
    "transform",
]
