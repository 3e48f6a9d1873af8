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
    from . import dimension as dimension
    from . import distances as distances
    from . import explanation as explanation
    from . import losses as losses
    from . import metrics as metrics
    from . import nn as nn
    from . import plot as plot
    from . import regularizers as regularizers
    from . import serving as serving
    from . import sharding as sharding
    from . import sklearn as sklearn
    from . import solvers as solvers
    from ._choosing import Grid as Grid
    from ._choosing import choose as choose
    from ._coranking import CoRanking as CoRanking
    from ._coranking import coranking as coranking
    from ._diagnostics import Diagnosis as Diagnosis
    from ._diagnostics import diagnose as diagnose
    from ._isometry import isometric_map as isometric_map
    from ._local_neighborhoods import local_neighborhoods as local_neighborhoods
    from ._warnings import ConvergenceWarning as ConvergenceWarning
    from ._warnings import DisconnectedGraphWarning as DisconnectedGraphWarning
    from ._warnings import DuplicateWarning as DuplicateWarning
    from ._warnings import GapWarning as GapWarning
    from ._warnings import JaxlleWarning as JaxlleWarning
    from ._warnings import PrecisionWarning as PrecisionWarning
    from ._warnings import RankWarning as RankWarning
    from .alignment import Alignment as Alignment
    from .approximate import ApproximateNeighbors as ApproximateNeighbors
    from .approximate import approximate_knn as approximate_knn
    from .batches import NeighborhoodBatch as NeighborhoodBatch
    from .batches import NeighborhoodBatches as NeighborhoodBatches
    from .batches import neighborhood_batches as neighborhood_batches
    from .embedding import DisconnectedGraphError as DisconnectedGraphError
    from .embedding import Embedding as Embedding
    from .embedding import embed as embed
    from .embedding import embed_components as embed_components
    from .extension import KernelMap as KernelMap
    from .extension import eigenfunction_transform as eigenfunction_transform
    from .extension import kernel_map as kernel_map
    from .extension import tangent_transform as tangent_transform
    from .feature_space import KernelDistance as KernelDistance
    from .feature_space import kernel_weights as kernel_weights
    from .feature_space import metric_weights as metric_weights
    from .graph import Components as Components
    from .graph import as_neighbors as as_neighbors
    from .graph import connected_components as connected_components
    from .graph import graph_width as graph_width
    from .graph import load_neighbors as load_neighbors
    from .graph import save_neighbors as save_neighbors
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
    from .variants.deformed import deformed_neighbors as deformed_neighbors
    from .variants.fusion import average_alignments as average_alignments
    from .variants.fusion import fuse_views as fuse_views
    from .variants.fusion import multiview_lle as multiview_lle
    from .variants.fusion import stack_alignments as stack_alignments
    from .variants.generative import GenerativeEmbedding as GenerativeEmbedding
    from .variants.generative import WeightPosterior as WeightPosterior
    from .variants.generative import generative_lle as generative_lle
    from .variants.generative import weight_posterior as weight_posterior
    from .variants.geodesic import geodesic_neighbors as geodesic_neighbors
    from .variants.geodesic import isolle as isolle
    from .variants.guided import GuidedEmbedding as GuidedEmbedding
    from .variants.guided import guided_embed as guided_embed
    from .variants.guided import guided_lle as guided_lle
    from .variants.hessian import hessian_alignment as hessian_alignment
    from .variants.hessian import hessian_lle as hessian_lle
    from .variants.incremental import IncrementalEmbedding as IncrementalEmbedding
    from .variants.incremental import add_points as add_points
    from .variants.incremental import incremental_lle as incremental_lle
    from .variants.incremental import refit as refit
    from .variants.iterative import IterativeEmbedding as IterativeEmbedding
    from .variants.iterative import iterative_lle as iterative_lle
    from .variants.kernel import kernel_alignment as kernel_alignment
    from .variants.kernel import kernel_lle as kernel_lle
    from .variants.landmarks import LandmarkEmbedding as LandmarkEmbedding
    from .variants.landmarks import landmark_embed as landmark_embed
    from .variants.landmarks import landmark_lle as landmark_lle
    from .variants.landmarks import nystrom_lle as nystrom_lle
    from .variants.linear import LinearMap as LinearMap
    from .variants.linear import discriminant_projection as discriminant_projection
    from .variants.linear import linear_projection as linear_projection
    from .variants.linear import lltsa as lltsa
    from .variants.linear import npe as npe
    from .variants.linear import onpp as onpp
    from .variants.linear import orthogonal_projection as orthogonal_projection
    from .variants.linear import reconstruction_map as reconstruction_map
    from .variants.ltsa import ltsa as ltsa
    from .variants.ltsa import ltsa_alignment as ltsa_alignment
    from .variants.modified import modified_alignment as modified_alignment
    from .variants.modified import modified_lle as modified_lle
    from .variants.robust import reliability as reliability
    from .variants.robust import robust_lle as robust_lle
    from .variants.robust import simplex_weights as simplex_weights
    from .variants.robust import weighted_alignment as weighted_alignment
    from .variants.semisupervised import SemisupervisedEmbedding as SemisupervisedEmbedding
    from .variants.semisupervised import semisupervised_embed as semisupervised_embed
    from .variants.semisupervised import semisupervised_lle as semisupervised_lle
    from .variants.standard import lle as lle
    from .variants.standard import lle_alignment as lle_alignment
    from .variants.standard import weights_alignment as weights_alignment
    from .variants.supervised import Shift as Shift
    from .variants.supervised import Warp as Warp
    from .variants.supervised import supervised_lle as supervised_lle
    from .variants.supervised import supervised_neighbors as supervised_neighbors
    from .weights import barycentric_weights as barycentric_weights
    from .weights import distance_weights as distance_weights
    from .weights import gram_weights as gram_weights
    from .weights import local_condition as local_condition
    from .weights import ridge_regression_weights as ridge_regression_weights

_MODULES = (
    "datasets",
    "derivatives",
    "dimension",
    "distances",
    "explanation",
    "losses",
    "metrics",
    "nn",
    "plot",
    "regularizers",
    "serving",
    "sharding",
    "sklearn",
    "solvers",
)
_NAMES = {
    "_diagnostics": ("Diagnosis", "diagnose"),
    "_isometry": ("isometric_map",),
    "_local_neighborhoods": ("local_neighborhoods",),
    "_warnings": (
        "ConvergenceWarning",
        "DisconnectedGraphWarning",
        "DuplicateWarning",
        "GapWarning",
        "JaxlleWarning",
        "PrecisionWarning",
        "RankWarning",
    ),
    "alignment": ("Alignment",),
    "_choosing": ("Grid", "choose"),
    "_coranking": ("CoRanking", "coranking"),
    "approximate": ("ApproximateNeighbors", "approximate_knn"),
    "batches": ("NeighborhoodBatch", "NeighborhoodBatches", "neighborhood_batches"),
    "embedding": ("DisconnectedGraphError", "Embedding", "embed", "embed_components"),
    "graph": ("Components", "as_neighbors", "connected_components", "graph_width", "load_neighbors", "save_neighbors"),
    "neighbors": ("Neighbors", "knn", "radius_neighbors"),
    "out_of_sample": ("inverse_transform", "transform"),
    "variants.landmarks": ("LandmarkEmbedding", "landmark_embed", "landmark_lle", "nystrom_lle"),
    "extension": ("KernelMap", "eigenfunction_transform", "kernel_map", "tangent_transform"),
    "feature_space": ("KernelDistance", "kernel_weights", "metric_weights"),
    "variants.deformed": ("deformed_neighbors",),
    "variants.fusion": ("average_alignments", "fuse_views", "multiview_lle", "stack_alignments"),
    "variants.generative": ("GenerativeEmbedding", "WeightPosterior", "generative_lle", "weight_posterior"),
    "variants.geodesic": ("geodesic_neighbors", "isolle"),
    "variants.guided": ("GuidedEmbedding", "guided_embed", "guided_lle"),
    "variants.hessian": ("hessian_alignment", "hessian_lle"),
    "variants.incremental": ("IncrementalEmbedding", "add_points", "incremental_lle", "refit"),
    "variants.iterative": ("IterativeEmbedding", "iterative_lle"),
    "variants.kernel": ("kernel_alignment", "kernel_lle"),
    "variants.linear": (
        "LinearMap",
        "discriminant_projection",
        "linear_projection",
        "lltsa",
        "npe",
        "onpp",
        "orthogonal_projection",
        "reconstruction_map",
    ),
    "variants.ltsa": ("ltsa", "ltsa_alignment"),
    "variants.modified": ("modified_alignment", "modified_lle"),
    "variants.robust": ("reliability", "robust_lle", "simplex_weights", "weighted_alignment"),
    "projection": ("Drift", "Projection", "drift", "project", "training_residuals"),
    "variants.semisupervised": ("SemisupervisedEmbedding", "semisupervised_embed", "semisupervised_lle"),
    "variants.standard": ("lle", "lle_alignment", "weights_alignment"),
    "variants.supervised": ("Shift", "Warp", "supervised_lle", "supervised_neighbors"),
    "weights": (
        "barycentric_weights",
        "distance_weights",
        "gram_weights",
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
