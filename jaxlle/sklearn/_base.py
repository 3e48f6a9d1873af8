"""The base classes of the estimators: validation, precision, random seeds, fitting, and the transform of new points."""

from contextlib import AbstractContextManager
from numbers import Integral, Real
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..embedding import EmbedOptions
from ..extension import transform

T = TypeVar("T", bound="NeighborhoodTransformer")  # beartype does not accept typing.Self in a method
FLOAT_DTYPES = [np.float64, np.float32]
# Constraints on the parameters that most estimators share.
NEIGHBOR_CONSTRAINTS: dict = {
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "n_components": [Interval(Integral, 1, None, closed="left")],
}
WEIGHT_CONSTRAINTS: dict = {**NEIGHBOR_CONSTRAINTS, "reg": [Interval(Real, 0, None, closed="left")]}
SOLVER_CONSTRAINTS: dict = {
    **WEIGHT_CONSTRAINTS,
    "solver": [StrOptions({"auto"}), callable],
    "random_state": ["random_state"],
}


def precision_of(X: np.ndarray) -> AbstractContextManager:
    """Compute in the precision of X, whatever JAX's global x64 flag is."""
    return jax.enable_x64(X.dtype == np.float64)


def seeded_options(random_state: Any) -> EmbedOptions:
    """Return options with a JAX key drawn from a scikit-learn random state."""
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return EmbedOptions(key=jax.random.key(seed))


class NeighborhoodTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base class: parameters `n_neighbors` and `n_components`, the attribute `embedding_`, `fit`, and `transform`.

    Subclasses define `_fit`; those that do not place new points by barycentric weights also define `_transform`.
    """

    n_neighbors: int
    n_components: int
    embedding_: np.ndarray

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self: T, X: Any, y: Any = None) -> T:
        """Embed X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        self._fit_X: np.ndarray = np.asarray(validate_data(self, X, dtype=FLOAT_DTYPES, ensure_min_samples=2))
        with precision_of(self._fit_X):
            self._fit(self._fit_X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit on X, array-like of shape (n_samples, n_features), and return the embedding."""
        return self.fit(X, y).embedding_

    def transform(self, X: Any) -> np.ndarray:
        """Embed new points.

        Args:
            X: array-like of shape (n_queries, n_features); distances to the training data if the metric is "precomputed".

        Returns:
            Array of shape (n_queries, n_components). A row of the training data gets its row of `embedding_`.
        """
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, dtype=FLOAT_DTYPES, reset=False))
        with precision_of(self._fit_X):
            return np.asarray(self._transform(X.astype(self._fit_X.dtype, copy=False)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.embedding_.shape[1]

    def _fit(self, X: np.ndarray) -> None:
        """Compute the fitted attributes from validated data. Called in the precision of X."""
        raise NotImplementedError

    def _store(self, embedding: Any) -> None:
        """Set the fitted attributes from an `Embedding`, as NumPy arrays."""
        self.result_ = jax.tree.map(np.asarray, embedding)
        self.embedding_ = self.result_.points
        self.reconstruction_error_ = float(np.sum(self.result_.singular_values.astype(np.float64) ** 2))

    def _transform(self, X: np.ndarray) -> Any:
        """Place points by the barycentric weights of their neighbors in the training data."""
        reg: Any = getattr(self, "reg", 1e-3)
        return transform(X, self._fit_X, jnp.asarray(self.embedding_), k=self.n_neighbors, reg=reg)


class SolverTransformer(NeighborhoodTransformer):
    """Base class of the estimators that have weights with a regularizer and a solver of `jaxlle.solvers`."""

    reg: Any
    solver: Any
    random_state: Any

    def __init__(self, n_neighbors, n_components, reg, solver, random_state):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg
        self.solver = solver
        self.random_state = random_state

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments that every variant with a solver takes, with a new random key."""
        return {
            "dim": self.n_components,
            "k": self.n_neighbors,
            "reg": self.reg,
            "solver": self.solver,
            "options": seeded_options(self.random_state),
        }
