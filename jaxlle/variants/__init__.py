"""The variants of LLE: each makes an alignment, and everything else is shared."""

from .deformed import deformed_neighbors
from .fusion import average_alignments, fuse_views, multiview_lle, stack_alignments
from .generative import GenerativeEmbedding, WeightPosterior, generative_lle, weight_posterior
from .geodesic import geodesic_neighbors, isolle
from .guided import GuidedEmbedding, guided_embed, guided_lle
from .hessian import hessian_alignment, hessian_lle
from .incremental import IncrementalEmbedding, add_points, incremental_lle, refit
from .iterative import IterativeEmbedding, iterative_lle
from .kernel import kernel_alignment, kernel_lle
from .landmarks import LandmarkEmbedding, landmark_embed, landmark_lle, nystrom_lle
from .linear import (
    LinearMap,
    discriminant_projection,
    linear_projection,
    lltsa,
    npe,
    onpp,
    orthogonal_projection,
    reconstruction_map,
)
from .ltsa import ltsa, ltsa_alignment
from .modified import modified_alignment, modified_lle
from .robust import reliability, robust_lle, weighted_alignment
from .semisupervised import SemisupervisedEmbedding, semisupervised_embed, semisupervised_lle
from .standard import lle, lle_alignment
from .supervised import Shift, Warp, supervised_lle, supervised_neighbors

__all__ = [
    "GenerativeEmbedding",
    "GuidedEmbedding",
    "IncrementalEmbedding",
    "IterativeEmbedding",
    "LandmarkEmbedding",
    "LinearMap",
    "SemisupervisedEmbedding",
    "Shift",
    "Warp",
    "WeightPosterior",
    "add_points",
    "average_alignments",
    "deformed_neighbors",
    "discriminant_projection",
    "fuse_views",
    "generative_lle",
    "geodesic_neighbors",
    "guided_embed",
    "guided_lle",
    "hessian_alignment",
    "hessian_lle",
    "incremental_lle",
    "isolle",
    "iterative_lle",
    "kernel_alignment",
    "kernel_lle",
    "landmark_embed",
    "landmark_lle",
    "linear_projection",
    "lle",
    "lle_alignment",
    "lltsa",
    "ltsa",
    "ltsa_alignment",
    "modified_alignment",
    "modified_lle",
    "multiview_lle",
    "npe",
    "nystrom_lle",
    "onpp",
    "orthogonal_projection",
    "reconstruction_map",
    "refit",
    "reliability",
    "robust_lle",
    "semisupervised_embed",
    "semisupervised_lle",
    "stack_alignments",
    "supervised_lle",
    "supervised_neighbors",
    "weight_posterior",
    "weighted_alignment",
]
