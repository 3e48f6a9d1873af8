"""The scikit-learn face: estimators that drop in for scikit-learn's own, and one for each member of the family beside them.

| estimator | function |
| --- | --- |
| `LocallyLinearEmbedding` | `lle`, `modified_lle`, `hessian_lle`, `ltsa` |
| `SupervisedLocallyLinearEmbedding` | `supervised_lle` |
| `RobustLocallyLinearEmbedding` | `robust_lle` |
| `KernelLocallyLinearEmbedding` | `kernel_lle` |
| `LandmarkLocallyLinearEmbedding` | `landmark_lle` |
| `IncrementalLocallyLinearEmbedding` | `incremental_lle`, `add_points` as `partial_fit` |
| `GeodesicLocallyLinearEmbedding` | `isolle` |
| `NeighborhoodPreservingEmbedding` | `npe` |
| `OrthogonalNeighborhoodPreservingProjection` | `onpp` |
| `LinearLocalTangentSpaceAlignment` | `lltsa` |

float32 and float64 input give float32 and float64 embeddings, whatever JAX's x64 switch says.
"""

from .linear import (
    LinearLocalTangentSpaceAlignment,
    NeighborhoodPreservingEmbedding,
    OrthogonalNeighborhoodPreservingProjection,
)
from .lle import LocallyLinearEmbedding
from .variants import (
    GeodesicLocallyLinearEmbedding,
    IncrementalLocallyLinearEmbedding,
    KernelLocallyLinearEmbedding,
    LandmarkLocallyLinearEmbedding,
    RobustLocallyLinearEmbedding,
    SupervisedLocallyLinearEmbedding,
)

__all__ = [
    "GeodesicLocallyLinearEmbedding",
    "IncrementalLocallyLinearEmbedding",
    "KernelLocallyLinearEmbedding",
    "LandmarkLocallyLinearEmbedding",
    "LinearLocalTangentSpaceAlignment",
    "LocallyLinearEmbedding",
    "NeighborhoodPreservingEmbedding",
    "OrthogonalNeighborhoodPreservingProjection",
    "RobustLocallyLinearEmbedding",
    "SupervisedLocallyLinearEmbedding",
]
