"""Locally linear embedding with scikit-learn's own parameters, and a metric."""

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any

import jax.numpy as jnp
import numpy as np
from sklearn.base import _fit_context
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .. import distances
from .._core.blocks import BLOCK_BYTES
from ..extension import inverse_transform, transform
from ..neighbors import knn
from ..neighbors.exact import Algorithm
from ..solvers import DenseQR, SparseLU
from ..variants._pipeline import number_of_neighbors
from ..variants.hessian import hessian_lle
from ..variants.ltsa import ltsa
from ..variants.modified import modified_lle
from ..variants.standard import lle
from ._base import NeighborhoodTransformer, precision, random_key

_METHODS = ("standard", "hessian", "modified", "ltsa")
_ALGORITHMS: dict[str, Algorithm] = {"auto": "auto", "brute": "brute", "kd_tree": "kd_tree", "ball_tree": "auto"}


class LocallyLinearEmbedding(NeighborhoodTransformer):
    """Locally linear embedding as a scikit-learn estimator, with a metric.

    Takes what `sklearn.manifold.LocallyLinearEmbedding` takes, and `metric`. float32 and float64 input give float32
    and float64 embeddings, whatever JAX's x64 switch says. Points are never their own neighbours; `transform` of a
    training row returns its row of `embedding_`.

    Args:
        n_neighbors: neighbours a point, or "auto" for the one of 6 to 32 with which neighbourhoods keep their shape best
            (as `jaxlle.lle(k="auto")`; Euclidean, standard method).
        n_components: dimensions of the embedding.
        reg: strength of the regularizer, relative to the trace of the local Gram matrix.
        eigen_solver: "auto", "arpack" (sparse LU of I - W and Lanczos), "dense" (QR of I - W), or an object of
            `jaxlle.solvers`.
        tol: accuracy of the eigenvalues, for "arpack".
        max_iter: limit of the iterations of "arpack" and "dense".
        method: "standard", "modified", "hessian" or "ltsa". The last two count a point to its own neighbourhood, which lets
            them work on real data (see `jaxlle.ltsa`); "modified" honours reg; "hessian" is Hessian LLE also with
            many neighbours, where scikit-learn's is LTSA.
        hessian_tol: accepted and unused: scikit-learn's guards a division that there is no need for.
        modified_tol: accepted and unused: what is rounding follows from the dtype.
        neighbors_algorithm: "auto", "brute", "kd_tree"; "ball_tree" means "auto".
        random_state: seeds the solver's start.
        n_jobs: accepted and unused: all cores are used.
        metric: "euclidean", "cosine", "manhattan", "chebyshev", "precomputed" (X holds distances), or a JAX
            function of two vectors.

    Attributes:
        embedding_: array of shape (n_samples, n_components), unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M = B^T B, for the standard method of (I - W)^T (I - W).
        n_neighbors_: neighbours a point, as chosen.
        result_: the whole `jaxlle.Embedding` as NumPy arrays, with residuals, gap and components.
        n_features_in_: number of features seen in fit.
        feature_names_in_: their names, where X has names.
        nbrs_: a fitted `sklearn.neighbors.NearestNeighbors` on the training data, as scikit-learn's estimator has.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from jaxlle.sklearn import LocallyLinearEmbedding
        >>> X, _ = load_digits(return_X_y=True)
        >>> LocallyLinearEmbedding(n_neighbors=10, metric="cosine").fit_transform(X).shape
        (1797, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "reg": [Interval(Real, 0, None, closed="left")],
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "LocallyLinearEmbedding":
        """Embed X, array-like of shape (n_samples, n_features); y is ignored. Returns self."""
        X = self._read(X)
        with precision(X):
            key, algorithm = random_key(self.random_state), _ALGORITHMS[self.neighbors_algorithm]
            self.n_neighbors_ = k = self._number(X, key)
            neighbors = None if algorithm == "auto" else knn(X, k, metric=self.metric, algorithm=algorithm)
            out = self._pipeline()(
                X, self.n_components, k=k, solver=self._solver(), metric=self.metric, neighbors=neighbors, key=key
            )
            self._keep(out)
        return self

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Map points of the embedding space, shape (n_queries, n_components), back to data space."""
        check_is_fitted(self)
        if self.metric == distances.PRECOMPUTED:
            raise ValueError("inverse_transform needs the data, but the estimator was fitted on precomputed distances.")
        with precision(self._fit_X):
            X = np.asarray(X, self._fit_X.dtype)
            out = inverse_transform(X, self.embedding_, self._fit_X, k=self.n_neighbors_, reg=self.reg)
            return np.asarray(out)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == distances.PRECOMPUTED
        return tags

    @property
    def nbrs_(self) -> NearestNeighbors:
        """Return scikit-learn's index of the training data, made when asked for: `transform` does not need it."""
        check_is_fitted(self)
        metric: Any = self.metric if isinstance(self.metric, str) else (lambda a, b: float(self.metric(a, b)))
        return NearestNeighbors(n_neighbors=self.n_neighbors_, algorithm="brute", metric=metric).fit(self._fit_X)

    def _place(self, X: np.ndarray) -> Any:
        y = jnp.asarray(self.embedding_)
        return transform(X, self._fit_X, y, k=self.n_neighbors_, reg=self.reg, metric=self.metric)

    def _number(self, X: np.ndarray, key: Any) -> int:
        if self.n_neighbors == "auto" and self.method != "standard":
            raise ValueError(
                f"n_neighbors = 'auto' compares embeddings of method = 'standard': give a number with {self.method!r}."
            )
        return number_of_neighbors(
            self.n_neighbors, X, self.n_components, self.reg, self.metric, None, key, BLOCK_BYTES
        )

    def _pipeline(self) -> Callable:
        weighted = {"standard": lle, "modified": modified_lle}
        if self.method in weighted:
            return partial(weighted[self.method], reg=self.reg)
        return hessian_lle if self.method == "hessian" else ltsa

    def _solver(self) -> Any:
        if self.eigen_solver == "arpack":
            return SparseLU(tol=self.tol, max_iterations=self.max_iter)
        if self.eigen_solver == "dense":
            return DenseQR(max_iterations=self.max_iter)
        return self.eigen_solver
