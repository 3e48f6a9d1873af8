"""Quality metrics of an embedding: exact, and computed in blocks, so that memory stays bounded."""

from .coranking import CoRanking, coranking
from .density import density_divergence
from .geometry import local_procrustes, preservation_error, residual_variance
from .labels import label_accuracy
from .procrustes import Procrustes, affine_residual, procrustes, subspace_angle
from .rank_errors import RankErrors, relative_rank_errors
from .trustworthiness import continuity, trustworthiness

__all__ = [
    "CoRanking",
    "Procrustes",
    "RankErrors",
    "affine_residual",
    "continuity",
    "coranking",
    "density_divergence",
    "label_accuracy",
    "local_procrustes",
    "preservation_error",
    "procrustes",
    "relative_rank_errors",
    "residual_variance",
    "subspace_angle",
    "trustworthiness",
]
