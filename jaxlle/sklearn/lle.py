"""Locally linear embedding with the parameters of scikit-learn's estimator, and a metric."""

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any

import jax.numpy as jnp
import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .. import distances
from ..choosing import auto_grid
from ..embedding import EmbedOptions
from ..extension import inverse_transform, transform
from ..neighbors import knn
from ..neighbors.exact import Algorithm
from ..solvers import DenseQR, SparseLU
from ..variants.hessian import hessian_lle
from ..variants.ltsa import ltsa
from ..variants.modified import modified_lle
from ..variants.standard import lle
from ._base import WEIGHT_CONSTRAINTS, NeighborhoodTransformer, precision_of, seeded_options

_METHODS = ("standard", "hessian", "modified", "ltsa")
_ALGORITHMS: dict[str, Algorithm] = {"auto": "auto", "brute": "brute", "kd_tree": "kd_tree", "ball_tree": "auto"}


class LocallyLinearEmbedding(NeighborhoodTransformer):
    """Locally linear embedding as a scikit-learn estimator, with a metric.

    Has the parameters of `sklearn.manifold.LocallyLinearEmbedding` and `metric`. float32 and float64 input give float32
    and float64 embeddings, whatever JAX's x64 flag is. A point is never its own neighbor; `transform` of a training row
    returns its row of `embedding_`.

    Args:
        n_neighbors: number of neighbors per point, or "auto" for the number from 6 to 32 whose embedding preserves the shape
            of the neighborhoods best (as `jaxlle.lle(k="auto")`; Euclidean metric and standard method only).
        n_components: dimension of the embedding.
        reg: strength of the regularizer, relative to the trace of the local Gram matrix.
        eigen_solver: "auto", "arpack" (sparse LU of I - W and Lanczos), "dense" (QR of I - W), or an object of
            `jaxlle.solvers`.
        tol: tolerance of the eigenvalues, for "arpack".
        max_iter: maximum number of iterations of "arpack" and "dense".
        method: "standard", "modified", "hessian" or "ltsa". The last two include each point in its own neighborhood, so that
            they work on real data (see `jaxlle.ltsa`); "modified" uses reg; "hessian" is Hessian LLE also with many
            neighbors, where scikit-learn's is LTSA.
        hessian_tol: ignored; present for compatibility. scikit-learn's guards a division that does not occur here.
        modified_tol: ignored; present for compatibility. The tolerance follows from the dtype.
        neighbors_algorithm: "auto", "brute" or "kd_tree"; "ball_tree" means "auto".
        random_state: seed of the solver's start vectors.
        n_jobs: ignored; present for compatibility. All cores are used.
        metric: "euclidean", "cosine", "manhattan", "chebyshev", "precomputed" (X is a matrix of distances), or a JAX
            function of two vectors.

    Attributes:
        embedding_: array of shape (n_samples, n_components), with unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M = B^T B, which is (I - W)^T (I - W) for the standard
            method.
        n_neighbors_: number of neighbors per point that was used.
        result_: the complete `jaxlle.Embedding` as NumPy arrays, with residuals, gap and number of components.
        n_features_in_: number of features seen in fit.
        feature_names_in_: names of the features, if X has names.
        nbrs_: a fitted `sklearn.neighbors.NearestNeighbors` on the training data, as in scikit-learn's estimator.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from jaxlle.sklearn import LocallyLinearEmbedding
        >>> X, _ = load_digits(return_X_y=True)
        >>> LocallyLinearEmbedding(n_neighbors=10, metric="cosine").fit_transform(X).shape
        (1797, 2)
    """

    _parameter_constraints: dict = WEIGHT_CONSTRAINTS | {
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "eigen_solver": [StrOptions({"auto", "arpack", "dense"}), callable],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions(set(_METHODS))],
        "hessian_tol": [Interval(Real, 0, None, closed="left")],
        "modified_tol": [Interval(Real, 0, None, closed="left")],
        "neighbors_algorithm": [StrOptions(set(_ALGORITHMS))],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
        "metric": [StrOptions({*distances.METRICS, distances.PRECOMPUTED}), callable],
    }

    def __init__(
        self,
        *,
        n_neighbors=5,
        n_components=2,
        reg=1e-3,
        eigen_solver="auto",
        tol=1e-6,
        max_iter=100,
        method="standard",
        hessian_tol=1e-4,
        modified_tol=1e-12,
        neighbors_algorithm="auto",
        random_state=None,
        n_jobs=None,
        metric="euclidean",
    ):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.reg = reg
        self.eigen_solver = eigen_solver
        self.tol = tol
        self.max_iter = max_iter
        self.method = method
        self.hessian_tol = hessian_tol
        self.modified_tol = modified_tol
        self.neighbors_algorithm = neighbors_algorithm
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.metric: Any = metric

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Map points of the embedding space, shape (n_queries, n_components), back to data space."""
        check_is_fitted(self)
        if self.metric == distances.PRECOMPUTED:
            raise ValueError("inverse_transform needs the data, but the estimator was fitted on precomputed distances.")
        with precision_of(self._fit_X):
            X = np.asarray(X, self._fit_X.dtype)
            out = inverse_transform(X, self.embedding_, self._fit_X, k=self.n_neighbors_, reg=self.reg)
            return np.asarray(out)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == distances.PRECOMPUTED
        return tags

    @property
    def nbrs_(self) -> NearestNeighbors:
        """Return scikit-learn's neighbor index of the training data. It is built on each access: `transform` does not use it."""
        check_is_fitted(self)
        metric: Any = self.metric if isinstance(self.metric, str) else (lambda a, b: float(self.metric(a, b)))
        return NearestNeighbors(n_neighbors=self.n_neighbors_, algorithm="brute", metric=metric).fit(self._fit_X)

    def _fit(self, X: np.ndarray) -> None:
        options, algorithm = seeded_options(self.random_state), _ALGORITHMS[self.neighbors_algorithm]
        self.n_neighbors_ = k = self._choose_k(X, options)
        embedding = self._variant()(
            X,
            self.n_components,
            k=k,
            solver=self._solver(),
            metric=self.metric,
            neighbors=None if algorithm == "auto" else knn(X, k, metric=self.metric, algorithm=algorithm),
            options=options,
        )
        self._store(embedding)

    def _transform(self, X: np.ndarray) -> Any:
        y = jnp.asarray(self.embedding_)
        return transform(X, self._fit_X, y, k=self.n_neighbors_, reg=self.reg, metric=self.metric)

    def _choose_k(self, X: np.ndarray, options: EmbedOptions) -> int:
        if self.n_neighbors != "auto":
            return self.n_neighbors
        if self.method != "standard":
            raise ValueError(
                f"n_neighbors = 'auto' compares embeddings of method = 'standard': give a number with {self.method!r}."
            )
        if self.metric != "euclidean":
            raise ValueError(
                f"n_neighbors = 'auto' compares Euclidean neighborhoods: give a number with metric = {self.metric!r}."
            )
        return auto_grid(X, self.n_components, reg=self.reg, key=options.key).best()[0]

    def _variant(self) -> Callable:
        """Return the function of the method. Only the first two have a regularizer."""
        if self.method == "standard":
            return partial(lle, reg=self.reg)
        if self.method == "modified":
            return partial(modified_lle, reg=self.reg)
        return hessian_lle if self.method == "hessian" else ltsa

    def _solver(self) -> Any:
        if self.eigen_solver == "arpack":
            return SparseLU(tol=self.tol, max_iterations=self.max_iter)
        if self.eigen_solver == "dense":
            return DenseQR(max_iterations=self.max_iter)
        return self.eigen_solver
