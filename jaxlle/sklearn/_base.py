"""What the estimators share: precision, seeds, and the steps around a function of the library."""

from contextlib import AbstractContextManager
from numbers import Integral, Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..extension import transform

FLOATS = [np.float64, np.float32]
# Constraints of the parameters that most estimators have.
NEIGHBORHOOD: dict = {
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "n_components": [Interval(Integral, 1, None, closed="left")],
}
WEIGHTED: dict = {**NEIGHBORHOOD, "reg": [Interval(Real, 0, None, closed="left")]}
SOLVED: dict = {**WEIGHTED, "solver": [StrOptions({"auto"}), callable], "random_state": ["random_state"]}


def precision(X: np.ndarray) -> AbstractContextManager:
    """Compute in X's own precision, whatever JAX's global switch says."""
    return jax.enable_x64(X.dtype == np.float64)


def random_key(random_state: Any) -> jax.Array:
    """Return a key that follows from scikit-learn's kind of seed."""
    return jax.random.key(check_random_state(random_state).randint(np.iinfo(np.int32).max))


class NeighborhoodTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What every estimator here is: parameters `n_neighbors` and `n_components`, `embedding_`, and `transform` in its dtype."""

    n_neighbors: int
    n_components: int
    embedding_: np.ndarray

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit on X, array-like of shape (n_samples, n_features), and return the embedding."""
        return self.fit(X, y, **fit_params).embedding_  # pyright: ignore[reportAttributeAccessIssue]

    def transform(self, X: Any) -> np.ndarray:
        """Embed new points.

        Args:
            X: array-like of shape (n_queries, n_features); distances to the training data if those are precomputed.

        Returns:
            Array of shape (n_queries, n_components). A row of the training data gets its row of `embedding_`.
        """
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, dtype=FLOATS, reset=False))
        with precision(self._fit_X):
            return np.asarray(self._place(X.astype(self._fit_X.dtype, copy=False)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.embedding_.shape[1]

    def _read(self, X: Any) -> np.ndarray:
        """Check and keep the training data."""
        X = np.asarray(validate_data(self, X, dtype=FLOATS, ensure_min_samples=2))
        self._fit_X: np.ndarray = X
        return X

    def _keep(self, result: Any) -> None:
        """Keep an `Embedding` as NumPy arrays."""
        self.result_ = jax.tree.map(np.asarray, result)
        self.embedding_ = self.result_.points
        self.reconstruction_error_ = float(np.sum(self.result_.singular_values.astype(np.float64) ** 2))

    def _place(self, X: np.ndarray) -> Any:
        """Embed points by the barycentric weights of their neighbours in the training data."""
        reg: Any = getattr(self, "reg", 1e-3)
        return transform(X, self._fit_X, jnp.asarray(self.embedding_), k=self.n_neighbors, reg=reg)
