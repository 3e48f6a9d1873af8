"""Supervised LLE as a scikit-learn estimator."""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import validate_data

from ..variants.supervised import Shift, supervised_lle
from ._base import FLOAT_DTYPES, SOLVER_CONSTRAINTS, SolverTransformer, precision_of


class SupervisedLocallyLinearEmbedding(SolverTransformer):
    """Supervised LLE (de Ridder and Duin 2002): labels change the choice of neighbors, see `jaxlle.variants.supervised_lle`.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the embedding.
        reg: strength of the regularizer of the weights.
        rule: how labels change distances: a `jaxlle.variants.Shift`, a `jaxlle.variants.Warp`, or a function; None for
            ``jaxlle.variants.Shift(alpha)``.
        alpha: fraction of the largest distance that is added between points of different classes, from 0 (plain LLE) to 1
            (each class separate).
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seed of the solver's start vectors.

    Attributes:
        embedding_: array of shape (n_samples, n_components), with unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M = (I - W)^T (I - W), where W reconstructs every point from
            the neighbors that the labels favor.
        result_: the complete `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import SupervisedLocallyLinearEmbedding
        >>> X, t = make_s_curve(150, random_state=0)
        >>> SupervisedLocallyLinearEmbedding(n_neighbors=10, alpha=0.05).fit(X, t > 0).transform(X[:3]).shape
        (3, 2)
    """

    _parameter_constraints: dict = SOLVER_CONSTRAINTS | {
        "rule": [None, callable],
        "alpha": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self, *, n_neighbors=5, n_components=2, reg=1e-3, rule=None, alpha=0.1, solver="auto", random_state=None
    ):
        super().__init__(n_neighbors, n_components, reg, solver, random_state)
        self.rule = rule
        self.alpha = alpha

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> "SupervisedLocallyLinearEmbedding":
        """Embed X, array-like of shape (n_samples, n_features), with one label y per sample, -1 for none. Returns self."""
        X, y = validate_data(self, X, y, dtype=FLOAT_DTYPES, ensure_min_samples=2)
        self._fit_X: np.ndarray = X
        rule = Shift(self.alpha) if self.rule is None else self.rule
        with precision_of(X):
            self._store(supervised_lle(X, y, rule=rule, **self._arguments()))
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
