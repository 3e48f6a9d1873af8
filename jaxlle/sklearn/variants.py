"""The family's other members as scikit-learn estimators."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..distances import Kernel, KernelDistance
from ..neighbors import knn
from ..variants.geodesic import isolle
from ..variants.incremental import IncrementalEmbedding, add_points, incremental_lle, refit
from ..variants.kernel import kernel_lle
from ..variants.landmarks import landmark_lle
from ..variants.robust import robust_lle
from ..variants.supervised import Shift, supervised_lle
from ..weights import kernel_weights
from ._base import FLOATS, SOLVED, WEIGHTED, NeighborhoodTransformer, precision, random_key


class SupervisedLocallyLinearEmbedding(NeighborhoodTransformer):
    """Supervised LLE (de Ridder and Duin 2002): neighbours that labels have chosen, see `jaxlle.variants.supervised_lle`.

    Args:
        n_neighbors: neighbours a point.
        n_components: dimensions of the embedding.
        reg: strength of the regularizer of the weights.
        rule: how labels change distances: None for `jaxlle.variants.Shift(alpha)`, or a `jaxlle.variants.Shift`, `jaxlle.variants.Warp` or function.
        alpha: how far points of other classes are pushed away, from 0 (plain LLE) to 1 (each class on its own).
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seeds the solver's start.

    Attributes:
        embedding_: array of shape (n_samples, n_components), unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M.
        result_: the whole `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import SupervisedLocallyLinearEmbedding
        >>> X, t = make_s_curve(150, random_state=0)
        >>> SupervisedLocallyLinearEmbedding(n_neighbors=10, alpha=0.05).fit(X, t > 0).transform(X[:3]).shape
        (3, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **SOLVED,
        "rule": [None, callable],
        "alpha": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self, *, n_neighbors=5, n_components=2, reg=1e-3, rule=None, alpha=0.1, solver="auto", random_state=None
    ):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg
        self.rule = rule
        self.alpha = alpha
        self.solver = solver
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> "SupervisedLocallyLinearEmbedding":
        """Embed X, array-like of shape (n_samples, n_features), with one label y a sample, -1 for none. Returns self."""
        X, y = validate_data(self, X, y, dtype=FLOATS, ensure_min_samples=2)
        self._fit_X = X
        rule = Shift(self.alpha) if self.rule is None else self.rule
        options: Any = {"k": self.n_neighbors, "reg": self.reg, "rule": rule, "solver": self.solver}
        with precision(X):
            self._keep(supervised_lle(X, y, self.n_components, key=random_key(self.random_state), **options))
        return self

    def fit_transform(self, X: Any, y: Any) -> np.ndarray:
        """Embed X, array-like of shape (n_samples, n_features), with labels y, and return the embedding."""
        return self.fit(X, y).embedding_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class RobustLocallyLinearEmbedding(NeighborhoodTransformer):
    """Robust LLE (Chang and Yeung 2006): outliers are nobody's neighbours, see `jaxlle.variants.robust_lle`.

    Args:
        n_neighbors: neighbours a point, more than n_components.
        n_components: dimensions of the manifold and of the embedding.
        reg: strength of the regularizer of the weights.
        threshold: a point is reliable above this share of the median score.
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seeds the solver's start.

    Attributes:
        embedding_: array of shape (n_samples, n_components), unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of the weighted M.
        result_: the whole `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import RobustLocallyLinearEmbedding
        >>> RobustLocallyLinearEmbedding(n_neighbors=10).fit_transform(make_s_curve(150, random_state=0)[0]).shape
        (150, 2)
    """

    _parameter_constraints: dict = {**SOLVED, "threshold": [Interval(Real, 0, None, closed="left")]}  # noqa: RUF012

    def __init__(self, *, n_neighbors=5, n_components=2, reg=1e-3, threshold=0.5, solver="auto", random_state=None):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg
        self.threshold = threshold
        self.solver = solver
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "RobustLocallyLinearEmbedding":
        """Embed X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        X = self._read(X)
        options: Any = {"k": self.n_neighbors, "reg": self.reg, "threshold": self.threshold, "solver": self.solver}
        with precision(X):
            self._keep(robust_lle(X, self.n_components, key=random_key(self.random_state), **options))
        return self


@dataclass(frozen=True)
class _Gaussian:
    """The Gaussian kernel ``exp(-gamma |a - b|^2)``."""

    gamma: float

    def __call__(self, a: Any, b: Any) -> Any:
        return jnp.exp(-self.gamma * jnp.sum((a - b) ** 2))


class KernelLocallyLinearEmbedding(NeighborhoodTransformer):
    """Kernel LLE (DeCoste 2001): neighbours and weights in the feature space of a kernel, see `jaxlle.variants.kernel_lle`.

    Args:
        n_neighbors: neighbours a point.
        n_components: dimensions of the embedding.
        reg: strength of the regularizer of the weights.
        kernel: "rbf", "linear", or a positive semi-definite JAX function of two vectors.
        gamma: of "rbf", ``exp(-gamma |a - b|^2)``; None: one over the number of features times the variance of X.
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seeds the solver's start.

    Attributes:
        embedding_: array of shape (n_samples, n_components), unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M.
        result_: the whole `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import KernelLocallyLinearEmbedding
        >>> KernelLocallyLinearEmbedding(n_neighbors=10).fit_transform(make_s_curve(150, random_state=0)[0]).shape
        (150, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **SOLVED,
        "kernel": [StrOptions({"rbf", "linear"}), callable],
        "gamma": [None, Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self, *, n_neighbors=5, n_components=2, reg=1e-3, kernel="rbf", gamma=None, solver="auto", random_state=None
    ):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg
        self.kernel = kernel
        self.gamma = gamma
        self.solver = solver
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "KernelLocallyLinearEmbedding":
        """Embed X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        X = self._read(X)
        options: Any = {"k": self.n_neighbors, "reg": self.reg, "solver": self.solver}
        key = random_key(self.random_state)
        with precision(X):
            self._center = X.mean(axis=0) if isinstance(self.kernel, str) else np.zeros(X.shape[1], X.dtype)
            out = kernel_lle(X - self._center, self.n_components, self._made_kernel(), key=key, **options)
            self._keep(out)
        return self

    def _made_kernel(self) -> Kernel:
        if self.kernel == "linear":
            return jnp.dot
        if not isinstance(self.kernel, str):
            return self.kernel
        variance = float(self._fit_X.var())
        return _Gaussian(1 / (self._fit_X.shape[1] * (variance or 1)) if self.gamma is None else float(self.gamma))

    def _place(self, X: np.ndarray) -> Any:
        made, data, query = self._made_kernel(), self._fit_X - self._center, X - self._center
        near = knn(data, self.n_neighbors, query=query, metric=KernelDistance(made))
        # A row of the data is told by its coordinates: the kernel's distance of two equal points may round above 0.
        same = knn(data, 1, query=query)
        weights = kernel_weights(data, near, made, query=query, reg=self.reg)
        y = jnp.asarray(self.embedding_)
        placed = jnp.einsum("qk,qkc->qc", weights, y[near.indices], precision=jax.lax.Precision.HIGHEST)
        return jnp.where(jnp.asarray(same.distances) == 0, y[same.indices[:, 0]], placed)


class LandmarkLocallyLinearEmbedding(NeighborhoodTransformer):
    """Locally linear landmarks (Vladymyrov and Carreira-Perpinan 2013): approximate and fast, see `jaxlle.variants.landmark_lle`.

    Args:
        n_neighbors: neighbours a point.
        n_components: dimensions of the embedding.
        reg: strength of the regularizer of the weights.
        n_landmarks: how many; None: a tenth of the points, between 200 and 1,000. All points if there are fewer.
        landmark_neighbors: landmarks that a point is written by, more than n_components. Fewer if there are not so many.
        random_state: chooses the landmarks.

    Attributes:
        embedding_: array of shape (n_samples, n_components), unit columns.
        landmarks_: which points the landmarks are.
        reconstruction_error_: sum of the embedding's eigenvalues of M.
        result_: the whole `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import LandmarkLocallyLinearEmbedding
        >>> X, _ = make_s_curve(150, random_state=0)
        >>> LandmarkLocallyLinearEmbedding(n_neighbors=10, n_landmarks=60).fit_transform(X).shape
        (150, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **WEIGHTED,
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "LandmarkLocallyLinearEmbedding":
        """Embed X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        X = self._read(X)
        count = None if self.n_landmarks is None else min(self.n_landmarks, X.shape[0])
        with precision(X):
            out = landmark_lle(
                X,
                self.n_components,
                k=self.n_neighbors,
                reg=self.reg,
                num_landmarks=count,
                landmark_neighbors=min(self.landmark_neighbors, X.shape[0] - 1 if count is None else count),
                key=random_key(self.random_state),
            )
            self._keep(out.embedding)
        self.landmarks_ = np.asarray(out.landmarks)
        return self


class GeodesicLocallyLinearEmbedding(NeighborhoodTransformer):
    """ISOLLE (Varini, Degenhard and Nattkemper 2006): neighbours by paths along the data, see `jaxlle.variants.isolle`.

    Args:
        n_neighbors: neighbours a point.
        n_components: dimensions of the embedding.
        reg: strength of the regularizer of the weights.
        graph_neighbors: neighbours a point in the graph of the paths; None: a third of n_neighbors, at least 4.
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seeds the solver's start.

    Attributes:
        embedding_: array of shape (n_samples, n_components), unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M.
        result_: the whole `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_swiss_roll
        >>> from jaxlle.sklearn import GeodesicLocallyLinearEmbedding
        >>> GeodesicLocallyLinearEmbedding(n_neighbors=12).fit_transform(make_swiss_roll(300, random_state=0)[0]).shape
        (300, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **SOLVED,
        "graph_neighbors": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, *, n_neighbors=5, n_components=2, reg=1e-3, graph_neighbors=None, solver="auto", random_state=None
    ):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg
        self.graph_neighbors = graph_neighbors
        self.solver = solver
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "GeodesicLocallyLinearEmbedding":
        """Embed X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        X = self._read(X)
        options: Any = {"k": self.n_neighbors, "reg": self.reg, "graph_k": self.graph_neighbors, "solver": self.solver}
        with precision(X):
            self._keep(isolle(X, self.n_components, key=random_key(self.random_state), **options))
        return self


class IncrementalLocallyLinearEmbedding(NeighborhoodTransformer):
    """Incremental LLE (Kouropteva, Okun and Pietikainen 2005): `partial_fit` adds points, see `jaxlle.variants.add_points`.

    The first `partial_fit` is a `fit`. Later ones keep the places of the points before, and solve anew when that has become
    too inaccurate.

    Args:
        n_neighbors: neighbours a point.
        n_components: dimensions of the embedding.
        reg: strength of the regularizer of the weights.
        tolerance: angle in radians, estimated, beyond which the whole is solved anew.
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seeds the solver's start.

    Attributes:
        embedding_: of all points so far, array of shape (n_samples, n_components).
        reconstruction_error_: sum of the eigenvalues of M at the last full solve.
        result_: the `jaxlle.Embedding` of the last full solve, as NumPy arrays.
        n_refits_: how many full solves there were after the first.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import IncrementalLocallyLinearEmbedding
        >>> X = make_s_curve(320, random_state=0)[0]
        >>> IncrementalLocallyLinearEmbedding(n_neighbors=10).fit(X[:300]).partial_fit(X[300:]).embedding_.shape
        (320, 2)
    """

    _parameter_constraints: dict = {**SOLVED, "tolerance": [Interval(Real, 0, None, closed="left")]}  # noqa: RUF012

    def __init__(self, *, n_neighbors=5, n_components=2, reg=1e-3, tolerance=0.2, solver="auto", random_state=None):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg
        self.tolerance = tolerance
        self.solver = solver
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "IncrementalLocallyLinearEmbedding":
        """Embed X, array-like of shape (n_samples, n_features), alone; y is ignored. Returns self."""
        X = self._read(X)
        options: Any = {"reg": self.reg, "tolerance": self.tolerance, "solver": self.solver}
        key = random_key(self.random_state)
        with precision(X):
            state = incremental_lle(X, self.n_components, k=self.n_neighbors, key=key, **options)
            self._keep_state(state, 0)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> "IncrementalLocallyLinearEmbedding":
        """Add the points X, array-like of shape (n_samples, n_features), to those before; y is ignored. Returns self."""
        if not hasattr(self, "state_"):
            return self.fit(X)
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, dtype=FLOATS, reset=False), self._fit_X.dtype)
        with precision(X):
            state = add_points(self.state_, X)
            self._fit_X = np.asarray(state.x)
            self._keep_state(refit(state) if state.refit else state, self.n_refits_ + bool(state.refit))
        return self

    def _keep_state(self, state: IncrementalEmbedding, refits: int) -> None:
        self.state_, self.n_refits_ = state, refits
        self._keep(state.fitted)
        self.embedding_ = np.asarray(state.points)
