"""Locally linear landmarks as a scikit-learn estimator."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval

from ..variants.landmarks import landmark_lle
from ._base import WEIGHT_CONSTRAINTS, NeighborhoodTransformer, seeded_options


class LandmarkLocallyLinearEmbedding(NeighborhoodTransformer):
    """Locally linear landmarks (Vladymyrov and Carreira-Perpinan 2013): approximate and fast, see `jaxlle.variants.landmark_lle`.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the embedding.
        reg: strength of the regularizer of the weights.
        n_landmarks: number of landmarks, at most the number of points; None for a tenth of the points, but at least 200 and
            at most 1,000.
        landmark_neighbors: number of landmarks that each point is reconstructed from, greater than n_components; fewer if
            there are not that many landmarks.
        random_state: seed of the choice of landmarks.

    Attributes:
        embedding_: array of shape (n_samples, n_components), with unit columns.
        landmarks_: indices of the landmarks.
        reconstruction_error_: sum of the eigenvalues of M = (I - W)^T (I - W), restricted to the embeddings that are
            interpolated from landmarks.
        result_: the complete `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import LandmarkLocallyLinearEmbedding
        >>> X, _ = make_s_curve(150, random_state=0)
        >>> LandmarkLocallyLinearEmbedding(n_neighbors=10, n_landmarks=60).fit(X).landmarks_.shape
        (60,)
    """

    _parameter_constraints: dict = WEIGHT_CONSTRAINTS | {
        "n_landmarks": [None, Interval(Integral, 1, None, closed="left")],
        "landmark_neighbors": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, *, n_neighbors=5, n_components=2, reg=1e-3, n_landmarks=None, landmark_neighbors=8, random_state=None
    ):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg
        self.n_landmarks = n_landmarks
        self.landmark_neighbors = landmark_neighbors
        self.random_state = random_state

    def _fit(self, X: np.ndarray) -> None:
        count = None if self.n_landmarks is None else min(self.n_landmarks, X.shape[0])
        fitted = landmark_lle(
            X,
            self.n_components,
            k=self.n_neighbors,
            reg=self.reg,
            num_landmarks=count,
            landmark_neighbors=min(self.landmark_neighbors, X.shape[0] - 1 if count is None else count),
            options=seeded_options(self.random_state),
        )
        self._store(fitted.embedding)
        self.landmarks_ = np.asarray(fitted.landmarks)
