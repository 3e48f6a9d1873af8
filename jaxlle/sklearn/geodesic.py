"""LLE with geodesic neighbors as a scikit-learn estimator."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval

from ..variants.geodesic import isolle
from ._base import SOLVER_CONSTRAINTS, SolverTransformer


class GeodesicLocallyLinearEmbedding(SolverTransformer):
    """ISOLLE (Varini, Degenhard and Nattkemper 2006): neighbors by shortest paths in a graph, see `jaxlle.variants.isolle`.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the embedding.
        reg: strength of the regularizer of the weights.
        graph_neighbors: number of neighbors per point in the graph of the shortest paths; None for a third of n_neighbors,
            but at least 4.
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seed of the solver's start vectors.

    Attributes:
        embedding_: array of shape (n_samples, n_components), with unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M, whose weights reconstruct points from geodesic neighbors.
        result_: the complete `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_swiss_roll
        >>> from jaxlle.sklearn import GeodesicLocallyLinearEmbedding
        >>> GeodesicLocallyLinearEmbedding(n_neighbors=12).fit_transform(make_swiss_roll(300, random_state=0)[0]).shape
        (300, 2)
    """

    _parameter_constraints: dict = SOLVER_CONSTRAINTS | {
        "graph_neighbors": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, *, n_neighbors=5, n_components=2, reg=1e-3, graph_neighbors=None, solver="auto", random_state=None
    ):
        super().__init__(n_neighbors, n_components, reg, solver, random_state)
        self.graph_neighbors = graph_neighbors

    def _fit(self, X: np.ndarray) -> None:
        self._store(isolle(X, graph_k=self.graph_neighbors, **self._arguments()))
