"""The published ways to keep the local weight problem solvable: each returns the ridge to add to a local Gram matrix.

With more neighbours than dimensions the local Gram matrix G is singular, and the ridge decides the weights (Wu and
Wu 2018: it even decides which operator LLE converges to), so which one is used belongs in every report. Each is a
function `(gram, count, reg, unit) -> ridge` of one matrix in squares of `unit`, the number of its neighbours, and `reg`;
`CrossValidatedRidge`, which lets every point choose its own, is such a function once it knows the number of features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Int, Real

Scalar = Real[ArrayLike, ""]


def trace_ridge(gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
    """Return reg * tr(G), scikit-learn's and the Roweis code's choice; plain `reg` where tr(G) = 0.

    Invariant to the scale of the data. The ridge per neighbour grows with k: see `mean_trace_ridge`.

    >>> import jax.numpy as jnp
    >>> trace_ridge(2 * jnp.eye(3), jnp.array(3), 1e-3, 1.0)
    Array(0.006, dtype=float32)
    """
    trace = jnp.trace(gram)
    return jnp.multiply(reg, jnp.where(trace > 0, trace, 1))


def mean_trace_ridge(gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
    """Return reg * tr(G) / k (Saul and Roweis 2003, JMLR 4:119, section 3.2); plain `reg` where tr(G) = 0.

    >>> import jax.numpy as jnp
    >>> mean_trace_ridge(2 * jnp.eye(3), jnp.array(3), 1e-3, 1.0)
    Array(0.002, dtype=float32)
    """
    trace = jnp.trace(gram)
    return jnp.multiply(reg, jnp.where(trace > 0, trace / count, 1))


def absolute_ridge(gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
    """Return reg itself, in squared units of the data: not invariant to their scale.

    >>> import jax.numpy as jnp
    >>> absolute_ridge(2 * jnp.eye(3), jnp.array(3), 1e-3, 1.0)
    Array(0.001, dtype=float32)
    """
    # Capped where the ridge has long swallowed the Gram matrix, so that tiny units do not overflow.
    cap = 1 / jnp.finfo(gram.dtype).eps ** 2
    return jnp.minimum(jnp.asarray(reg, gram.dtype) / unit / unit, cap)


def no_ridge(gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
    """Return 0: the constrained least squares of the textbook, singular as soon as k > d.

    >>> import jax.numpy as jnp
    >>> no_ridge(2 * jnp.eye(3), jnp.array(3), 1e-3, 1.0)
    Array(0., dtype=float32)
    """
    return jnp.zeros((), gram.dtype)


@dataclass(frozen=True)
class CrossValidatedRidge:
    """Let every point choose its ridge by generalised cross-validation (Golub, Heath and Wahba 1979, Technometrics 21:215).

    Weights that sum to one are ``1/k + V u``, so they are a ridge regression of the point's distance from its neighbours' mean,
    b, on their differences from it, A: the features are the observations. With s_j the singular values of A and c_j the
    coordinates of b along its left singular vectors, both read off the local Gram matrix,

        GCV(l) = d |r(l)|^2 / (d - sum_j s_j^2 / (s_j^2 + l))^2,   |r(l)|^2 = |b|^2 - sum_j c_j^2 + sum_j (l c_j / (s_j^2 + l))^2

    estimates the error with ridge l on a feature left out. The least is taken among candidates from reg * tr(G) to tr(G), so
    reg is the floor that keeps the weights computable. Daza-Santacoloma et al. (2010, Neurocomputing 73:1595) choose
    the regularizer of LLE by another such function, on the system C w = 1.

    Attributes:
        features: number of features of the data, d.
        candidates: how many ridges are compared, evenly on a logarithmic scale.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> own = jaxlle.regularizers.CrossValidatedRidge(features=5)
        >>> jaxlle.lle(x, 2, k=8, reg=1e-4, regularizer=own).points.shape
        (100, 2)
    """

    features: int
    candidates: int = 25

    def __post_init__(self):
        if self.features < 1 or self.candidates < 2:
            raise ValueError(
                f"features = {self.features} and candidates = {self.candidates} are not allowed: at least 1 feature and 2 "
                f"candidates."
            )

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], reg: Scalar, unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        floor, trace = jnp.asarray(reg, gram.dtype), trace_ridge(gram, count, 1.0, unit)
        steps = jnp.linspace(0, 1, self.candidates, dtype=gram.dtype)
        shares = floor ** (1 - steps)
        scores = self.scores(lax.stop_gradient(gram), lax.stop_gradient(shares * trace))
        return trace * shares[jnp.argmin(scores)]

    def scores(self, gram: Float[Array, "k k"], ridges: Float[Array, " l"]) -> Float[Array, " l"]:
        """Return the generalised cross-validation of some ridges."""
        keep = jnp.diagonal(gram) > 0  # neither masked nor a copy of the point, which tells nothing
        share = keep / jnp.maximum(keep.sum(), 1)
        pull = jnp.dot(gram, share, precision=lax.Precision.HIGHEST)  # each neighbour's product with their mean
        square = jnp.dot(share, pull, precision=lax.Precision.HIGHEST)  # |b|^2
        centered = jnp.where(keep[:, None] & keep[None, :], gram - pull[:, None] - pull[None, :] + square, 0)
        values, vectors = jnp.linalg.eigh(centered)
        present = values > len(gram) * jnp.finfo(gram.dtype).eps * values[-1]
        values = jnp.where(present, values, 0)
        along = jnp.dot(vectors.T, jnp.where(keep, square - pull, 0), precision=lax.Precision.HIGHEST)  # s_j c_j
        explained = jnp.where(present, along**2 / jnp.where(present, values, 1), 0)
        left = ridges[:, None] / (values + ridges[:, None])
        residual = jnp.maximum(square - explained.sum(), 0) + jnp.sum(left**2 * explained, axis=1)
        freedom = jnp.maximum(self.features - present.sum(), 0) + jnp.sum(jnp.where(present, left, 0), axis=1)
        return self.features * residual / freedom**2


Regularizer = Callable[..., Array]
