"""Robust LLE as a scikit-learn estimator."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from ..variants.robust import robust_lle
from ._base import SOLVER_CONSTRAINTS, SolverTransformer


class RobustLocallyLinearEmbedding(SolverTransformer):
    """Robust LLE (Chang and Yeung 2006): outliers are not used as neighbors, see `jaxlle.variants.robust_lle`.

    Args:
        n_neighbors: number of neighbors per point, greater than n_components.
        n_components: dimension of the manifold and of the embedding.
        reg: strength of the regularizer of the weights.
        threshold: a point is reliable if its score is above this fraction of the median score.
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seed of the solver's start vectors.

    Attributes:
        embedding_: array of shape (n_samples, n_components), with unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M = (I - W)^T S (I - W), S the reliability scores.
        result_: the complete `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import RobustLocallyLinearEmbedding
        >>> X, _ = make_s_curve(150, random_state=0)
        >>> X[:5] += 2  # outliers
        >>> RobustLocallyLinearEmbedding(n_neighbors=10).fit(X).embedding_.shape
        (150, 2)
    """

    _parameter_constraints: dict = SOLVER_CONSTRAINTS | {"threshold": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, *, n_neighbors=5, n_components=2, reg=1e-3, threshold=0.5, solver="auto", random_state=None):
        super().__init__(n_neighbors, n_components, reg, solver, random_state)
        self.threshold = threshold

    def _fit(self, X: np.ndarray) -> None:
        self._store(robust_lle(X, threshold=self.threshold, **self._arguments()))
