r"""Quality metrics of an embedding, exact and computed in blocks, so that memory is bounded.

Rank-based metrics compare the rank $r_{ij}$ of point j by distance from i in the data with its rank $s_{ij}$ in the embedding,
for example

$$\text{trustworthiness}_k = 1 - \frac{2}{n k (2n - 3k - 1)} \sum_i \sum_{j:\ s_{ij} \le k < r_{ij}} (r_{ij} - k) .$$

| function | measures |
| --- | --- |
| `trustworthiness`, `continuity` | false and missing neighbors (Venna and Kaski 2001) |
| `relative_rank_errors`, `RankErrors` | relative rank errors (Lee and Verleysen 2007) |
| `coranking`, `CoRanking` | preservation of neighborhoods of every size: Q_NX, R_NX, its area, LCMC |
| `density_divergence` | Kullback-Leibler divergence between the densities (Moor et al. 2020) |
| `residual_variance` | variance of all distances that is not explained (Kouropteva et al. 2002) |
| `local_procrustes` | variance of each neighborhood that no similarity explains (Goldberg and Ritov 2009) |
| `preservation_error` | changes of the distances to neighbors in the data and in the embedding |
| `label_accuracy` | accuracy of labels predicted by nearest neighbors |
| `procrustes`, `Procrustes` | the best similarity between two configurations |
| `affine_residual` | variance of the true coordinates that no affine map of the embedding explains |
| `subspace_angle` | the largest principal angle between two embeddings |

`preservation_error` is a form of this library after Alvarez-Meza et al. (2011), whose text was not available.
"""

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
