"""The published ways to regularize the local weight problem: each gives the ridge that is added to a local Gram matrix.

With more neighbors than dimensions the local Gram matrix G is singular, and the ridge decides the weights (Wu and Wu 2018: it
even decides which operator LLE converges to), so every report should name it. Functions that take `reg` accept a number,
which means ``TraceRidge(number)``, or one of the strategies below.

A strategy is called as ``ridge(gram, count, unit)`` with one local Gram matrix in squares of `unit` and the number of its
neighbors. It is a pytree, so its strength can be traced, batched and differentiated. A strategy of your own is a frozen
dataclass with such a ``__call__``, registered with `jax.tree_util.register_dataclass`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Int, Real

from ._core.checks import is_traced
from ._core.linear import matmul

__all__ = ["AbsoluteRidge", "CrossValidatedRidge", "MeanTraceRidge", "NoRidge", "TraceRidge"]

Scalar = Real[ArrayLike, ""]
Regularizer = Callable[..., Array]

_strategy = partial(jax.tree_util.register_dataclass, data_fields=("strength",), meta_fields=())


@_strategy
@dataclass(frozen=True)
class TraceRidge:
    """Add ``strength * tr(G)``, as scikit-learn and Roweis's code do; plain `strength` where tr(G) = 0.

    Invariant to the scale of the data. The ridge per neighbor grows with k: see `MeanTraceRidge`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.regularizers.TraceRidge(1e-3)(2 * jnp.eye(3), jnp.array(3), 1.0)
        Array(0.006, dtype=float32)
    """

    strength: Any = 1e-3

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        trace = jnp.trace(gram)
        return jnp.multiply(self.strength, jnp.where(trace > 0, trace, 1))


@_strategy
@dataclass(frozen=True)
class MeanTraceRidge:
    """Add ``strength * tr(G) / k`` (Saul and Roweis 2003, JMLR 4:119, section 3.2); plain `strength` where tr(G) = 0.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.regularizers.MeanTraceRidge(1e-3)(2 * jnp.eye(3), jnp.array(3), 1.0)
        Array(0.002, dtype=float32)
    """

    strength: Any = 1e-3

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        trace = jnp.trace(gram)
        return jnp.multiply(self.strength, jnp.where(trace > 0, trace / count, 1))


@_strategy
@dataclass(frozen=True)
class AbsoluteRidge:
    """Add `strength` itself, in squared units of the data: not invariant to their scale.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.regularizers.AbsoluteRidge(1e-3)(2 * jnp.eye(3), jnp.array(3), 1.0)
        Array(0.001, dtype=float32)
    """

    strength: Any = 1e-3

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        # Capped where the Gram matrix is negligible beside the ridge, so that tiny units do not overflow.
        cap = 1 / jnp.finfo(gram.dtype).eps ** 2
        return jnp.minimum(jnp.asarray(self.strength, gram.dtype) / unit / unit, cap)


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=())
@dataclass(frozen=True)
class NoRidge:
    """Add nothing: the constrained least squares of the textbook, singular as soon as k > d.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.regularizers.NoRidge()(2 * jnp.eye(3), jnp.array(3), 1.0)
        Array(0., dtype=float32)
    """

    @property
    def strength(self) -> float:
        """Return 0."""
        return 0.0

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        return jnp.zeros((), gram.dtype)


@partial(jax.tree_util.register_dataclass, data_fields=("floor",), meta_fields=("features", "candidates"))
@dataclass(frozen=True)
class CrossValidatedRidge:
    """Choose the ridge of every point by generalized cross-validation (Golub, Heath and Wahba 1979, Technometrics 21:215).

    Weights that sum to one are ``1/k + V u``, so they are a ridge regression of the difference between the point and the
    mean of its neighbors, b, on their differences from it, A: the features are the observations. With s_j the singular values of A and c_j the
    coordinates of b along its left singular vectors, both read off the local Gram matrix,

        GCV(l) = d |r(l)|^2 / (d - sum_j s_j^2 / (s_j^2 + l))^2,   |r(l)|^2 = |b|^2 - sum_j c_j^2 + sum_j (l c_j / (s_j^2 + l))^2

    estimates the error with ridge l on a feature left out. The candidate of least score is taken, from floor * tr(G) to tr(G), so
    the floor keeps the weights computable. Daza-Santacoloma et al. (2010, Neurocomputing 73:1595) choose
    the regularizer of LLE by another such function, on the system C w = 1.

    Attributes:
        features: number of features of the data, d.
        candidates: how many ridges are compared, evenly spaced on a logarithmic scale.
        floor: smallest ridge, relative to tr(G).

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> ridge = jaxlle.regularizers.CrossValidatedRidge(features=5, floor=1e-4)
        >>> jaxlle.lle(x, 2, k=8, reg=ridge).points.shape
        (100, 2)
    """

    features: int
    candidates: int = 25
    floor: Any = 1e-3

    @property
    def strength(self) -> Any:
        """Return the floor."""
        return self.floor

    def __post_init__(self):
        if self.features < 1 or self.candidates < 2:
            raise ValueError(
                f"features = {self.features} and candidates = {self.candidates} are not allowed: at least 1 feature and 2 "
                f"candidates."
            )

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        floor, trace = jnp.asarray(self.floor, gram.dtype), TraceRidge(1.0)(gram, count, unit)
        steps = jnp.linspace(0, 1, self.candidates, dtype=gram.dtype)
        shares = floor ** (1 - steps)
        scores = self.scores(lax.stop_gradient(gram), lax.stop_gradient(shares * trace))
        return trace * shares[jnp.argmin(scores)]

    def scores(self, gram: Float[Array, "k k"], ridges: Float[Array, " l"]) -> Float[Array, " l"]:
        """Return the generalized cross-validation scores of some ridges."""
        keep = jnp.diagonal(gram) > 0  # neither masked nor a copy of the point
        share = keep / jnp.maximum(keep.sum(), 1)
        pull = matmul(gram, share)  # product of each neighbor with their mean
        square = matmul(share, pull)  # |b|^2
        centered = jnp.where(keep[:, None] & keep[None, :], gram - pull[:, None] - pull[None, :] + square, 0)
        values, vectors = jnp.linalg.eigh(centered)
        present = values > len(gram) * jnp.finfo(gram.dtype).eps * values[-1]
        values = jnp.where(present, values, 0)
        along = matmul(vectors.T, jnp.where(keep, square - pull, 0))  # s_j c_j
        explained = jnp.where(present, along**2 / jnp.where(present, values, 1), 0)
        left = ridges[:, None] / (values + ridges[:, None])
        residual = jnp.maximum(square - explained.sum(), 0) + jnp.sum(left**2 * explained, axis=1)
        freedom = jnp.maximum(self.features - present.sum(), 0) + jnp.sum(jnp.where(present, left, 0), axis=1)
        return self.features * residual / freedom**2


def as_regularizer(reg: Any) -> Regularizer:
    """Return `reg` as a strategy: a number is the strength of a `TraceRidge`."""
    ridge: Any = reg if callable(reg) else TraceRidge(reg)
    return ridge


def check_reg(reg: Any, k: int, d: int) -> None:
    """Raise, outside jit, if the regularizer is invalid, or absent where k neighbors in d dimensions need one."""
    strength = getattr(reg, "strength", None) if callable(reg) else reg
    if strength is None or is_traced(strength):
        return
    value = np.asarray(strength)
    if value.ndim or not np.isfinite(value) or value < 0:
        raise ValueError(f"reg = {reg} is not allowed: it must be one finite number >= 0.")
    if value == 0 and k > d:
        raise ValueError(
            f"reg = 0 with k = {k} neighbors in {d} dimensions: the local Gram matrix is singular, so infinitely many "
            f"weights fit. reg adds a multiple of its trace to the diagonal and picks one: use reg > 0 (1e-3), or k <= {d}."
        )
