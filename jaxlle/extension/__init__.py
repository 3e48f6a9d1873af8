r"""The embedding of new points, and the map from an embedding back to the data.

The barycentric extension reconstructs a new point from its neighbors and applies the same weights to their embedding,

$$y(x) = \sum_j w_j(x) \, y_j \qquad \text{with} \qquad x \approx \sum_j w_j(x) \, x_j, \quad \sum_j w_j(x) = 1$$

(Saul and Roweis 2003, section 6.1). `inverse_transform` exchanges the roles of data and embedding.

| function | method |
| --- | --- |
| `transform`, `inverse_transform` | barycentric weights; a point of the training data keeps its embedding |
| `eigenfunction_transform` | Nystrom's formula with the kernel of LLE (Bengio et al. 2004) |
| `tangent_transform` | an affine map of local tangent coordinates, for LTSA, Hessian and modified LLE |
| `kernel_map`, `KernelMap` | kernel regression to the embedding (Gisbrecht et al. 2012, verified in the authors' code) |
| `project`, `Projection` | weights from one bank of points, values from another, and the residual |
| `drift`, `Drift`, `training_residuals` | comparison of the residuals of new points with those of the training data |

Points can also join an embedding with `jaxlle.variants.add_points`, and linear variants such as `jaxlle.variants.npe` map new
points by a matrix product.
"""

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
