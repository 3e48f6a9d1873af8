"""Linear maps as scikit-learn estimators: `transform` is a matrix product."""

import jax
import jax.numpy as jnp
import numpy as np

from ..variants.linear import LinearMap, lltsa, npe, onpp
from ._base import NEIGHBOR_CONSTRAINTS, WEIGHT_CONSTRAINTS, NeighborhoodTransformer


class LinearTransformer(NeighborhoodTransformer):
    """Base class of the linear maps. Subclasses define `_find_map`."""

    _parameter_constraints: dict = WEIGHT_CONSTRAINTS

    def __init__(self, *, n_neighbors=5, n_components=2, reg=1e-3):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg

    def _find_map(self, X: np.ndarray) -> LinearMap:
        raise NotImplementedError

    def _fit(self, X: np.ndarray) -> None:
        linear_map = self._find_map(X)
        self.map_ = jax.tree.map(np.asarray, linear_map)
        self.components_ = np.asarray(self.map_.matrix / self.map_.unit).T.astype(X.dtype)
        self.costs_ = self.map_.values
        self.embedding_ = np.asarray(linear_map.transform(X))

    def _transform(self, X: np.ndarray) -> jax.Array:
        # The center stays a float64 NumPy array: data far from the origin needs its digits.
        matrix, offset = jnp.asarray(self.map_.matrix), jnp.asarray(self.map_.offset)
        return self.map_._replace(matrix=matrix, offset=offset).transform(X)


class NeighborhoodPreservingEmbedding(LinearTransformer):
    """Neighborhood preserving embedding (He, Cai, Yan and Zhang 2005): LLE by a linear map, see `jaxlle.variants.npe`.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the embedding.
        reg: strength of the regularizer of the weights.

    Attributes:
        components_: array of shape (n_components, n_features); the map is ``X @ components_.T`` plus a constant.
        costs_: singular values ``|(I - W) X a|`` of the problem, in increasing order.
        embedding_: embedding of the training data, with orthonormal centered columns.
        map_: the `jaxlle.variants.LinearMap` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from jaxlle.sklearn import NeighborhoodPreservingEmbedding
        >>> NeighborhoodPreservingEmbedding(n_neighbors=10).fit_transform(load_iris().data).shape
        (150, 2)
    """

    def _find_map(self, X: np.ndarray) -> LinearMap:
        return npe(X, self.n_components, k=self.n_neighbors, reg=self.reg)


class OrthogonalNeighborhoodPreservingProjection(LinearTransformer):
    """Orthogonal neighborhood preserving projections (Kokiopoulou and Saad 2007), see `jaxlle.variants.onpp`.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the subspace on which the data are projected, and of the embedding.
        reg: strength of the regularizer of the weights.

    Attributes:
        components_: array of shape (n_components, n_features) with orthonormal rows; the map is ``X @ components_.T`` plus a
            constant.
        costs_: singular values ``|(I - W) X a|`` of the problem, in increasing order and in the units of the data.
        embedding_: embedding of the training data, centered.
        map_: the `jaxlle.variants.LinearMap` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from jaxlle.sklearn import OrthogonalNeighborhoodPreservingProjection
        >>> components = OrthogonalNeighborhoodPreservingProjection(n_neighbors=10).fit(load_iris().data).components_
        >>> abs(components @ components.T).round(6)  # orthonormal rows
        array([[1., 0.],
               [0., 1.]])
    """

    def _find_map(self, X: np.ndarray) -> LinearMap:
        return onpp(X, self.n_components, k=self.n_neighbors, reg=self.reg)


class LinearLocalTangentSpaceAlignment(LinearTransformer):
    """Linear local tangent space alignment (Zhang, Yang, Zhao and Ge 2007), see `jaxlle.variants.lltsa`.

    Args:
        n_neighbors: number of neighbors per point, greater than n_components.
        n_components: dimension of the embedding and of the tangent spaces.

    Attributes:
        components_: array of shape (n_components, n_features); the map is ``X @ components_.T`` plus a constant.
        costs_: singular values ``|B X a|`` of the problem, in increasing order, with the alignment B of LTSA.
        embedding_: embedding of the training data, with orthonormal centered columns.
        map_: the `jaxlle.variants.LinearMap` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from jaxlle.sklearn import LinearLocalTangentSpaceAlignment
        >>> X = load_iris().data
        >>> LinearLocalTangentSpaceAlignment(n_neighbors=10).fit(X[::2]).transform(X[1::2]).shape
        (75, 2)
    """

    _parameter_constraints: dict = NEIGHBOR_CONSTRAINTS

    def __init__(self, *, n_neighbors=5, n_components=2):
        self.n_neighbors = n_neighbors
        self.n_components = n_components

    def _find_map(self, X: np.ndarray) -> LinearMap:
        return lltsa(X, self.n_components, k=self.n_neighbors)
