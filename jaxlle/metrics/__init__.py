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
| `diagnostics` | local dimension, preserved neighbors, errors, density and component of every point |
| `label_accuracy` | accuracy of labels predicted by nearest neighbors |
| `matching_accuracy`, `foscttm` | how close the partners of points in two aligned sets are (Liu et al. 2019) |
| `silhouette` | how compact and separated classes are (Rousseeuw 1987); needs scikit-learn |
| `kmeans_agreement`, `ClusterAgreement` | adjusted Rand index and mutual information of k-means and classes; needs scikit-learn |
| `procrustes`, `Procrustes` | the best similarity between two configurations |
| `affine_residual` | variance of the true coordinates that no affine map of the embedding explains |
| `subspace_angle` | the largest principal angle between two embeddings |

Other metrics are in ZADU (Jeon et al. 2023, IEEE VIS; ``pip install zadu``), which takes NumPy arrays, a list of metrics by name,
and their parameters. Its stress depends on the scale of the embedding, and so on `jaxlle.EmbedOptions.scaling`:

```python
from zadu import zadu

metrics = [{"id": "tnc", "params": {"k": 20}}, {"id": "stress"}]  # trustworthiness and continuity, stress
rows = np.asarray(embedding.rows)  # all points, or those of the largest component
scores = zadu.ZADU(metrics, np.asarray(x)[rows]).measure(np.asarray(embedding.points))
```

`preservation_error` is that of Alvarez-Meza et al. (2011), from memory, or with scale="fitted" a form of this library.
"""

from .._core.calls import explain_calls
from .clusters import ClusterAgreement, kmeans_agreement, silhouette
from .coranking import CoRanking, coranking
from .density import density_divergence
from .geometry import local_procrustes, preservation_error, residual_variance
from .labels import label_accuracy
from .matching import foscttm, matching_accuracy
from .pointwise import DIAGNOSTICS as DIAGNOSTICS
from .pointwise import Diagnostic as Diagnostic
from .pointwise import diagnostics
from .procrustes import Procrustes, affine_residual, procrustes, subspace_angle
from .rank_errors import RankErrors, relative_rank_errors
from .trustworthiness import continuity, trustworthiness

__all__ = [
    "ClusterAgreement",
    "CoRanking",
    "Procrustes",
    "RankErrors",
    "affine_residual",
    "continuity",
    "coranking",
    "density_divergence",
    "diagnostics",
    "foscttm",
    "kmeans_agreement",
    "label_accuracy",
    "local_procrustes",
    "matching_accuracy",
    "preservation_error",
    "procrustes",
    "relative_rank_errors",
    "residual_variance",
    "silhouette",
    "subspace_angle",
    "trustworthiness",
]

explain_calls(__name__)
