r"""Targets or classes of all points from those of a few, and the alignment of data sets by a few pairs, for any variant.

The targets of some points are known, and those of the others make the cost of an alignment as small as possible,

$$\min_Y \; \lVert B Y \rVert^2 + \sum_{i \in \text{known}} t_i \lVert Y_i - P_i \rVert^2 ,$$

or are determined by exact targets, for infinite trust t. The solution is a linear system, and needs no eigenvectors.

| function | result |
| --- | --- |
| `propagate` | `Propagation`: the targets of all points, and how reliable they are |
| `classify` | `Classification`: probabilities, labels and confidence of all points |
| `leave_one_out` | `LeaveOneOut`: the error at the known points, each left out in turn, to select k, reg and trust |
| `align` | an `Embedding` of each of several data sets in one space, in which given pairs of points meet |

The cost of LLE, modified LLE, Hessian LLE and LTSA is zero for functions that are linear along the manifold, and that of
`jaxlle.alignment.laplacian_alignment` for constants only. Numbers that vary along the manifold are therefore propagated far
better by an alignment of LLE's family; for classes the two are close (papers/few_targets, papers/few_labels).

New points are mapped by `jaxlle.transform(query, x, targets, ...)`. The estimators
`jaxlle.sklearn.LocallyLinearRegressor` and `jaxlle.sklearn.LocallyLinearClassifier` combine all steps.
"""

from .._core.calls import explain_calls
from .classification import Classification, classify
from .correspondence import align
from .crossvalidation import LeaveOneOut, leave_one_out
from .propagation import Propagation, propagate

__all__ = [
    "Classification",
    "LeaveOneOut",
    "Propagation",
    "align",
    "classify",
    "leave_one_out",
    "propagate",
]

explain_calls(__name__)
