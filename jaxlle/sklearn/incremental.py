"""Incremental LLE as a scikit-learn estimator with `partial_fit`."""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from ..variants.incremental import IncrementalEmbedding, add_points, incremental_lle, refit
from ._base import FLOAT_DTYPES, SOLVER_CONSTRAINTS, SolverTransformer, precision_of


class IncrementalLocallyLinearEmbedding(SolverTransformer):
    """Incremental LLE (Kouropteva, Okun and Pietikainen 2005): `partial_fit` adds points, see `jaxlle.variants.add_points`.

    The first call of `partial_fit` is a `fit`. Later calls keep the embedding of the earlier points, and solve for all points
    again once the estimated error exceeds the tolerance.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the embedding.
        reg: strength of the regularizer of the weights.
        tolerance: estimated angle in radians above which all points are embedded again.
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seed of the solver's start vectors.

    Attributes:
        embedding_: array of shape (n_samples, n_components), of all points so far.
        reconstruction_error_: sum of the embedding's eigenvalues of M at the last full solve.
        result_: the `jaxlle.Embedding` of the last full solve, as NumPy arrays.
        n_refits_: number of full solves after the first.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import IncrementalLocallyLinearEmbedding
        >>> X = make_s_curve(320, random_state=0)[0]
        >>> IncrementalLocallyLinearEmbedding(n_neighbors=10).fit(X[:300]).partial_fit(X[300:]).embedding_.shape
        (320, 2)
    """

    _parameter_constraints: dict = SOLVER_CONSTRAINTS | {"tolerance": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, *, n_neighbors=5, n_components=2, reg=1e-3, tolerance=0.2, solver="auto", random_state=None):
        super().__init__(n_neighbors, n_components, reg, solver, random_state)
        self.tolerance = tolerance

    def _fit(self, X: np.ndarray) -> None:
        self._store_state(incremental_lle(X, tolerance=self.tolerance, **self._arguments()), 0)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> "IncrementalLocallyLinearEmbedding":
        """Add the points X, array-like of shape (n_samples, n_features), to the earlier ones; y is ignored. Returns self."""
        if not hasattr(self, "state_"):
            return self.fit(X)
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, dtype=FLOAT_DTYPES, reset=False), self._fit_X.dtype)
        with precision_of(X):
            state = add_points(self.state_, X)
            self._fit_X = np.asarray(state.x)
            self._store_state(refit(state) if state.refit else state, self.n_refits_ + bool(state.refit))
        return self

    def _store_state(self, state: IncrementalEmbedding, refits: int) -> None:
        self.state_, self.n_refits_ = state, refits
        self._store(state.fitted)
        self.embedding_ = np.asarray(state.points)
