"""Linear maps as scikit-learn estimators: `transform` is a matrix product."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import _fit_context

from ..variants.linear import LinearMap, lltsa, npe, onpp
from ._base import NEIGHBORHOOD, WEIGHTED, NeighborhoodTransformer, precision


class NeighborhoodPreservingEmbedding(NeighborhoodTransformer):
    """Neighbourhood preserving embedding (He, Cai, Yan and Zhang 2005): LLE by a linear map, see `jaxlle.variants.npe`.

    Args:
        n_neighbors: neighbours a point.
        n_components: outputs.
        reg: strength of the regularizer of the weights.

    Attributes:
        components_: array of shape (n_components, n_features); the map is ``X @ components_.T`` and a shift.
        costs_: singular values ``|B X a|`` of the problem, rising.
        embedding_: of the training data, orthonormal centred columns.
        map_: the `jaxlle.variants.LinearMap` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from jaxlle.sklearn import NeighborhoodPreservingEmbedding
        >>> NeighborhoodPreservingEmbedding(n_neighbors=10).fit_transform(load_iris().data).shape
        (150, 2)
    """

    _parameter_constraints: dict = WEIGHTED

    def __init__(self, *, n_neighbors=5, n_components=2, reg=1e-3):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "NeighborhoodPreservingEmbedding":
        """Find the map for X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        X = self._read(X)
        with precision(X):
            _keep(self, npe(X, self.n_components, k=self.n_neighbors, reg=self.reg))
        return self

    def _place(self, X: np.ndarray) -> Any:
        return _apply(self, X)


class OrthogonalNeighborhoodPreservingProjection(NeighborhoodTransformer):
    """Orthogonal neighbourhood preserving projections (Kokiopoulou and Saad 2007), see `jaxlle.variants.onpp`.

    Args:
        n_neighbors: neighbours a point.
        n_components: outputs.
        reg: strength of the regularizer of the weights.

    Attributes:
        components_: array of shape (n_components, n_features), orthonormal rows; the map is ``X @ components_.T`` and a shift.
        costs_: singular values ``|B X a|`` of the problem, rising.
        embedding_: of the training data, centred.
        map_: the `jaxlle.variants.LinearMap` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from jaxlle.sklearn import OrthogonalNeighborhoodPreservingProjection
        >>> OrthogonalNeighborhoodPreservingProjection(n_neighbors=10).fit_transform(load_iris().data).shape
        (150, 2)
    """

    _parameter_constraints: dict = WEIGHTED

    def __init__(self, *, n_neighbors=5, n_components=2, reg=1e-3):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "OrthogonalNeighborhoodPreservingProjection":
        """Find the map for X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        X = self._read(X)
        with precision(X):
            _keep(self, onpp(X, self.n_components, k=self.n_neighbors, reg=self.reg))
        return self

    def _place(self, X: np.ndarray) -> Any:
        return _apply(self, X)


class LinearLocalTangentSpaceAlignment(NeighborhoodTransformer):
    """Linear local tangent space alignment (Zhang, Yang, Zhao and Ge 2007), see `jaxlle.variants.lltsa`.

    Args:
        n_neighbors: neighbours a point, more than n_components.
        n_components: outputs, and dimensions of the tangent spaces.

    Attributes:
        components_: array of shape (n_components, n_features); the map is ``X @ components_.T`` and a shift.
        costs_: singular values ``|B X a|`` of the problem, rising.
        embedding_: of the training data, orthonormal centred columns.
        map_: the `jaxlle.variants.LinearMap` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from jaxlle.sklearn import LinearLocalTangentSpaceAlignment
        >>> LinearLocalTangentSpaceAlignment(n_neighbors=10).fit_transform(load_iris().data).shape
        (150, 2)
    """

    _parameter_constraints: dict = NEIGHBORHOOD

    def __init__(self, *, n_neighbors=5, n_components=2):
        self.n_neighbors = n_neighbors
        self.n_components = n_components

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "LinearLocalTangentSpaceAlignment":
        """Find the map for X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        X = self._read(X)
        with precision(X):
            _keep(self, lltsa(X, self.n_components, k=self.n_neighbors))
        return self

    def _place(self, X: np.ndarray) -> Any:
        return _apply(self, X)


def _keep(estimator: Any, made: LinearMap) -> None:
    estimator.map_ = jax.tree.map(np.asarray, made)
    estimator.components_ = np.asarray(estimator.map_.matrix / estimator.map_.unit).T.astype(estimator._fit_X.dtype)
    estimator.costs_ = estimator.map_.values
    estimator.embedding_ = np.asarray(made.transform(estimator._fit_X))


def _apply(estimator: Any, X: np.ndarray) -> jax.Array:
    made = estimator.map_
    # The centre stays on the host, in float64, where it has the digits that data far from 0 need.
    return made._replace(matrix=jnp.asarray(made.matrix), offset=jnp.asarray(made.offset)).transform(X)
