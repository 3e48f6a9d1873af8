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

**Points of the data.** All maps but `project` return the exact value for a new point that equals a row of the data, and are
discontinuous there: as x approaches row i, the barycentric $y(x)$ tends to $\sum_j w_j(x_i) \, y_j$, which differs from $y_i$
by a share of the error with which the other neighbors reconstruct $y_i$. On 1,000 points of a Swiss roll or S-curve with
k = 12 and reg = 1e-3, the median jump is 0.004 % of the extent of the embedding and the largest 0.1 %. The derivatives with
respect to x are those of the formula everywhere.

**Numbers of new points.** JAX compiles a program for every shape. Outside `jit`, `vmap` and `grad`, the number of new points
is therefore rounded up to one of a few sizes, by at most 12 % beyond 64 points, so that a few dozen programs suffice for all
numbers. The padding does not change a bit of the results. Inside `jit` the shapes are those of the caller.
`jax.clear_caches()` releases the memory of all compiled programs for reuse.
"""

from .._core.calls import explain_calls
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

explain_calls(__name__)
