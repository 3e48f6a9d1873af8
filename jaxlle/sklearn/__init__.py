"""Estimators with the scikit-learn interface: a drop-in replacement for scikit-learn's, and one for each variant.

| estimator | function |
| --- | --- |
| `LocallyLinearEmbedding` | `jaxlle.lle`, `modified_lle`, `hessian_lle`, `ltsa` |
| `SupervisedLocallyLinearEmbedding` | `supervised_lle` |
| `RobustLocallyLinearEmbedding` | `robust_lle` |
| `KernelLocallyLinearEmbedding` | `kernel_lle` |
| `LandmarkLocallyLinearEmbedding` | `landmark_lle` |
| `IncrementalLocallyLinearEmbedding` | `incremental_lle`, `add_points` as `partial_fit` |
| `GeodesicLocallyLinearEmbedding` | `isolle` |
| `NeighborhoodPreservingEmbedding` | `npe` |
| `OrthogonalNeighborhoodPreservingProjection` | `onpp` |
| `LinearLocalTangentSpaceAlignment` | `lltsa` |
| `LocallyLinearClassifier`, `LocallyLinearRegressor` | `jaxlle.semisupervised.classify`, `propagate` |

float32 and float64 input give float32 and float64 embeddings, whatever JAX's x64 flag is.
"""

from .._core.calls import explain_calls
from .geodesic import GeodesicLocallyLinearEmbedding
from .incremental import IncrementalLocallyLinearEmbedding
from .kernel import KernelLocallyLinearEmbedding
from .landmarks import LandmarkLocallyLinearEmbedding
from .linear import (
    LinearLocalTangentSpaceAlignment,
    NeighborhoodPreservingEmbedding,
    OrthogonalNeighborhoodPreservingProjection,
)
from .lle import LocallyLinearEmbedding
from .robust import RobustLocallyLinearEmbedding
from .semisupervised import LocallyLinearClassifier, LocallyLinearRegressor
from .supervised import SupervisedLocallyLinearEmbedding

__all__ = [
    "GeodesicLocallyLinearEmbedding",
    "IncrementalLocallyLinearEmbedding",
    "KernelLocallyLinearEmbedding",
    "LandmarkLocallyLinearEmbedding",
    "LinearLocalTangentSpaceAlignment",
    "LocallyLinearClassifier",
    "LocallyLinearEmbedding",
    "LocallyLinearRegressor",
    "NeighborhoodPreservingEmbedding",
    "OrthogonalNeighborhoodPreservingProjection",
    "RobustLocallyLinearEmbedding",
    "SupervisedLocallyLinearEmbedding",
]

explain_calls(__name__)
