"""Locally linear embedding in JAX: every stage a pure function, jit, vmap and grad-able, on CPU, GPU and TPU.

    >>> import jax, jaxlle
    >>> points = jaxlle.datasets.swiss_roll(jax.random.key(0), 500).points
    >>> jaxlle.lle(points, 2, k=12).points.shape
    (500, 2)

Names are loaded when they are first used: `import jaxlle` itself loads neither JAX nor any optional package.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import datasets as datasets
    from . import derivatives as derivatives
    from . import distances as distances
    from . import losses as losses
    from . import metrics as metrics
    from . import nn as nn
    from . import plot as plot
    from . import regularizers as regularizers
    from . import serving as serving
    from . import sklearn as sklearn
    from . import solvers as solvers
    from ._warnings import ConvergenceWarning as ConvergenceWarning
    from ._warnings import DisconnectedGraphWarning as DisconnectedGraphWarning
    from ._warnings import DuplicateWarning as DuplicateWarning
    from ._warnings import GapWarning as GapWarning
    from ._warnings import JaxlleWarning as JaxlleWarning
    from ._warnings import PrecisionWarning as PrecisionWarning
    from .alignment import Alignment as Alignment
    from .batches import NeighborhoodBatch as NeighborhoodBatch
    from .batches import NeighborhoodBatches as NeighborhoodBatches
    from .batches import neighborhood_batches as neighborhood_batches
    from .embedding import DisconnectedGraphError as DisconnectedGraphError
    from .embedding import Embedding as Embedding
    from .embedding import embed as embed
    from .embedding import embed_components as embed_components
    from .graph import Components as Components
    from .graph import as_neighbors as as_neighbors
    from .graph import connected_components as connected_components
    from .neighbors import Neighbors as Neighbors
    from .neighbors import knn as knn
    from .neighbors import radius_neighbors as radius_neighbors
    from .out_of_sample import inverse_transform as inverse_transform
    from .out_of_sample import transform as transform
    from .projection import Drift as Drift
    from .projection import Projection as Projection
    from .projection import drift as drift
    from .projection import project as project
    from .projection import training_residuals as training_residuals
    from .variants.standard import lle as lle
    from .variants.standard import lle_alignment as lle_alignment
    from .variants.standard import weights_alignment as weights_alignment
    from .weights import barycentric_weights as barycentric_weights
    from .weights import distance_weights as distance_weights
    from .weights import gram_weights as gram_weights
    from .weights import kernel_weights as kernel_weights
    from .weights import local_condition as local_condition
    from .weights import ridge_regression_weights as ridge_regression_weights

_MODULES = (
    "datasets",
    "derivatives",
    "distances",
    "losses",
    "metrics",
    "nn",
    "plot",
    "regularizers",
    "sklearn",
    "solvers",
)
_NAMES = {
    "_warnings": (
        "ConvergenceWarning",
        "DisconnectedGraphWarning",
        "DuplicateWarning",
        "GapWarning",
        "JaxlleWarning",
        "PrecisionWarning",
    ),
    "alignment": ("Alignment",),
    "batches": ("NeighborhoodBatch", "NeighborhoodBatches", "neighborhood_batches"),
    "embedding": ("DisconnectedGraphError", "Embedding", "embed", "embed_components"),
    "graph": ("Components", "as_neighbors", "connected_components"),
    "neighbors": ("Neighbors", "knn", "radius_neighbors"),
    "out_of_sample": ("inverse_transform", "transform"),
    "projection": ("Drift", "Projection", "drift", "project", "training_residuals"),
    "variants.standard": ("lle", "lle_alignment", "weights_alignment"),
    "weights": (
        "barycentric_weights",
        "distance_weights",
        "gram_weights",
        "kernel_weights",
        "local_condition",
        "ridge_regression_weights",
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted([*_MODULES, *_HOME])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _import_module(f".{name}", __name__)
    if name in _HOME:
        value = getattr(_import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'jaxlle' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
