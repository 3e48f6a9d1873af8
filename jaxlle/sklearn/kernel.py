"""Kernel LLE as a scikit-learn estimator."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import jax.numpy as jnp
import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .._core.linear import matmul
from ..distances import Kernel, KernelDistance
from ..neighbors import knn
from ..variants.kernel import kernel_lle
from ..weights import kernel_weights
from ._base import SOLVER_CONSTRAINTS, SolverTransformer


@dataclass(frozen=True)
class _GaussianKernel:
    """The Gaussian kernel ``exp(-gamma |a - b|^2)``."""

    gamma: float

    def __call__(self, a: Any, b: Any) -> Any:
        return jnp.exp(-self.gamma * jnp.sum((a - b) ** 2))


class KernelLocallyLinearEmbedding(SolverTransformer):
    """Kernel LLE (DeCoste 2001): neighbors and weights in the feature space of a kernel, see `jaxlle.variants.kernel_lle`.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the embedding.
        reg: strength of the regularizer of the weights.
        kernel: "rbf", "linear", or a positive semi-definite JAX function of two vectors.
        gamma: parameter of "rbf", ``exp(-gamma |a - b|^2)``; None for 1 / (n_features * variance of X).
        solver: "auto" or an object of `jaxlle.solvers`.
        random_state: seed of the solver's start vectors.

    Attributes:
        embedding_: array of shape (n_samples, n_components), with unit columns.
        reconstruction_error_: sum of the embedding's eigenvalues of M = (I - W)^T (I - W), where W reconstructs every point in
            the feature space.
        result_: the complete `jaxlle.Embedding` as NumPy arrays.

    Example:
        >>> from sklearn.datasets import make_s_curve
        >>> from jaxlle.sklearn import KernelLocallyLinearEmbedding
        >>> X = make_s_curve(150, random_state=0)[0]
        >>> KernelLocallyLinearEmbedding(n_neighbors=10, gamma=0.5).fit(X).transform(X[:3]).shape
        (3, 2)
    """

    _parameter_constraints: dict = SOLVER_CONSTRAINTS | {
        "kernel": [StrOptions({"rbf", "linear"}), callable],
        "gamma": [None, Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self, *, n_neighbors=5, n_components=2, reg=1e-3, kernel="rbf", gamma=None, solver="auto", random_state=None
    ):
        super().__init__(n_neighbors, n_components, reg, solver, random_state)
        self.kernel = kernel
        self.gamma = gamma

    def _fit(self, X: np.ndarray) -> None:
        # Centering keeps digits and changes neither of the built-in kernels' results; other kernels get the data as given.
        self._center = X.mean(axis=0) if isinstance(self.kernel, str) else np.zeros(X.shape[1], X.dtype)
        self._store(kernel_lle(X - self._center, kernel=self._kernel_function(), **self._arguments()))

    def _kernel_function(self) -> Kernel:
        if self.kernel == "linear":
            return matmul
        if not isinstance(self.kernel, str):
            return self.kernel
        if self.gamma is not None:
            return _GaussianKernel(float(self.gamma))
        return _GaussianKernel(1 / (self._fit_X.shape[1] * (float(self._fit_X.var()) or 1)))

    def _transform(self, X: np.ndarray) -> Any:
        kernel, data, query = self._kernel_function(), self._fit_X - self._center, X - self._center
        neighbors = knn(data, self.n_neighbors, query=query, metric=KernelDistance(kernel))
        weights = kernel_weights(data, neighbors, kernel, query=query, reg=self.reg)
        y = self.embedding_
        placed = np.einsum("qk,qkc->qc", np.asarray(weights), y[np.asarray(neighbors.indices)])
        # Rows of the training data are recognized by their coordinates: the kernel distance of two equal points may round
        # to a positive number.
        nearest = knn(data, 1, query=query)
        return np.where(np.asarray(nearest.distances) == 0, y[np.asarray(nearest.indices)[:, 0]], placed)
