r"""Stage 2: the weights that reconstruct every point from its neighbors.

For each point the stage solves a constrained least-squares problem (Roweis and Saul 2000, equation 1),

$$\min_{w_i} \Big\lVert x_i - \sum_{j \in N_i} w_{ij} x_j \Big\rVert^2 \quad \text{subject to} \quad \sum_j w_{ij} = 1 .$$

With the local Gram matrix $G_{jl} = (x_j - x_i)^\top (x_l - x_i)$ and $C = G + \text{ridge} \cdot I$ the solution is $w =
C^{-1} 1 / (1^\top C^{-1} 1)$. Only $G$ is needed, so a kernel or a matrix of distances can replace the coordinates. The ridge
is an object of `jaxlle.regularizers`; a number `reg` is relative to the trace of $G$.

| function | weights |
| --- | --- |
| `barycentric_weights` | from coordinates; the weights of LLE |
| `kernel_weights` | in the feature space of a kernel, differentiable in its parameters |
| `metric_weights` | from a metric, differentiable in its parameters |
| `distance_weights` | from a matrix of distances |
| `gram_weights` | from a matrix of inner products |
| `simplex_weights` | convex weights: not negative, with sum one |
| `ridge_regression_weights` | without the constraint, for comparison with public code that uses this form |
| `local_condition` | the condition numbers of the local systems |
"""

from .._core.calls import explain_calls
from .barycentric import barycentric_weights, local_condition, ridge_regression_weights
from .gram import gram_weights
from .kernel import kernel_weights
from .metric import distance_weights, metric_weights
from .simplex import simplex_weights

__all__ = [
    "barycentric_weights",
    "distance_weights",
    "gram_weights",
    "kernel_weights",
    "local_condition",
    "metric_weights",
    "ridge_regression_weights",
    "simplex_weights",
]

explain_calls(__name__)
