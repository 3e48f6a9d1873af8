"""Regularizers of the local weight problem: each computes the ridge that is added to the diagonal of a local Gram matrix.

With more neighbors than dimensions the local Gram matrix G is singular, and the ridge determines the weights (and even the
operator to which LLE converges, Wu and Wu 2018), so that it should be reported with every result. The argument `reg` of a
function is a number, which means ``TraceRidge(number)``, or an object of this module.

A regularizer is called as ``ridge(gram, count, unit)`` with one local Gram matrix, in units of ``unit^2``, and the number of its
neighbors. It is a pytree, so that its strength can be traced, batched and differentiated. A user-defined regularizer is a
frozen dataclass with such a ``__call__`` method, registered with `jax.tree_util.register_pytree_node`. (Do not use
`jax.tree_util.register_dataclass`: in JAX 0.10 to 0.12 two classes with the same fields have equal structures with it, so that
a compiled function can take one for the other.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Int, Real

from ._core.arrays import scalar
from ._core.calls import explain_calls
from ._core.checks import check_count, is_traced
from ._core.linear import matmul
from ._core.strategies import register_strategy

__all__ = ["AbsoluteRidge", "CrossValidatedRidge", "MeanTraceRidge", "NoRidge", "TraceRidge"]

Scalar = Real[ArrayLike, ""]
Regularizer = Callable[..., Array]
RegularizerLike = Scalar | Regularizer  # a number means TraceRidge(number)


@register_strategy(["strength"])
@dataclass(frozen=True)
class TraceRidge:
    """Add ``strength * tr(G)`` to the diagonal, or `strength` if tr(G) = 0, as scikit-learn and the code of Roweis do.

    The weights are invariant to the scale of the data. The ridge increases with k, which `MeanTraceRidge` avoids.

    Attributes:
        strength: factor on the trace, at least 0; may be traced.

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


@register_strategy(["strength"])
@dataclass(frozen=True)
class MeanTraceRidge:
    """Add ``strength * tr(G) / k``, or `strength` if tr(G) = 0 (Saul and Roweis 2003, JMLR 4:119, section 3.2).

    Attributes:
        strength: factor on the mean of the diagonal, at least 0; may be traced.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> ridge = jaxlle.regularizers.MeanTraceRidge(1e-3)
        >>> ridge(2 * jnp.eye(3), jnp.array(3), 1.0), ridge(2 * jnp.eye(9), jnp.array(9), 1.0)  # independent of k
        (Array(0.002, dtype=float32), Array(0.002, dtype=float32))
    """

    strength: Any = 1e-3

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        trace = jnp.trace(gram)
        return jnp.multiply(self.strength, jnp.where(trace > 0, trace / count, 1))


@register_strategy(["strength"])
@dataclass(frozen=True)
class AbsoluteRidge:
    """Add `strength` to the diagonal, so that the weights depend on the scale of the data.

    Attributes:
        strength: the ridge, in squared units of the data, at least 0; may be traced.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> ridge = jaxlle.regularizers.AbsoluteRidge(1e-3)
        >>> ridge(2 * jnp.eye(3), jnp.array(3), 1.0), ridge(8 * jnp.eye(3), jnp.array(3), 1.0)  # independent of the scale
        (Array(0.001, dtype=float32), Array(0.001, dtype=float32))
    """

    strength: Any = 1e-3

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        # Capped at a value for which the Gram matrix is negligible, so that tiny units do not cause overflow.
        cap = 1 / jnp.finfo(gram.dtype).eps ** 2
        return jnp.minimum(jnp.asarray(self.strength, gram.dtype) / unit / unit, cap)


@register_strategy([])
@dataclass(frozen=True)
class NoRidge:
    """Add no ridge: plain constrained least squares, which is singular if k > d.

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


@register_strategy(["floor"], ["features", "candidates"])
@dataclass(frozen=True)
class CrossValidatedRidge:
    """Select the ridge per point by generalized cross-validation (Golub, Heath and Wahba 1979, Technometrics 21:215).

    Weights that sum to one have the form ``1/k + V u``, so that u is a ridge regression of b, the difference between the point
    and the mean of its neighbors, on A, the differences between the neighbors and their mean, with the d features as
    observations. Let s_j be the singular values of A and c_j the coordinates of b along its left singular vectors, both computed
    from the local Gram matrix. Then

        GCV(l) = d |r(l)|^2 / (d - sum_j s_j^2 / (s_j^2 + l))^2,   |r(l)|^2 = |b|^2 - sum_j c_j^2 + sum_j (l c_j / (s_j^2 + l))^2

    estimates the error, with ridge l, on a feature that is left out. The ridge is the candidate with the lowest score. The
    candidates range from floor * tr(G) to tr(G); the floor keeps the linear systems well conditioned. Daza-Santacoloma et al.
    (2010, Neurocomputing 73:1595) select the regularizer of LLE by another such criterion, on the system C w = 1.

    Attributes:
        features: number of features of the data, d.
        candidates: number of ridges that are compared, evenly spaced on a logarithmic scale.
        floor: smallest ridge, relative to tr(G); may be traced.

    Raises:
        ValueError: if features < 1 or candidates < 2.
        TypeError: if they are not integers.

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
        """Validate features and candidates."""
        check_count(self.features, "features", 1, None, "the number of features of the data")
        check_count(self.candidates, "candidates", 2, None, "they are compared")

    def __call__(self, gram: Float[Array, "k k"], count: Int[Array, ""], unit: Scalar) -> Float[Array, ""]:
        """Return the ridge of one local Gram matrix."""
        floor, trace = jnp.asarray(self.floor, gram.dtype), TraceRidge(1.0)(gram, count, unit)
        steps = jnp.linspace(0, 1, self.candidates, dtype=gram.dtype)
        shares = floor ** (1 - steps)
        scores = self.scores(lax.stop_gradient(gram), lax.stop_gradient(shares * trace))
        return trace * shares[jnp.argmin(scores)]

    def scores(self, gram: Float[Array, "k k"], ridges: Float[Array, " l"]) -> Float[Array, " l"]:
        """Return the generalized cross-validation scores of the given ridges."""
        keep = jnp.diagonal(gram) > 0  # neighbors that are neither masked nor a copy of the point
        share = keep / jnp.maximum(keep.sum(), 1)
        means = matmul(gram, share)  # inner product of each neighbor with the mean of the neighbors
        square = matmul(share, means)  # |b|^2
        centered = jnp.where(keep[:, None] & keep[None, :], gram - means[:, None] - means[None, :] + square, 0)
        values, vectors = jnp.linalg.eigh(centered)
        present = values > len(gram) * jnp.finfo(gram.dtype).eps * values[-1]
        values = jnp.where(present, values, 0)
        along = matmul(vectors.T, jnp.where(keep, square - means, 0))  # s_j c_j
        explained = jnp.where(present, along**2 / jnp.where(present, values, 1), 0)
        left = ridges[:, None] / (values + ridges[:, None])
        residual = jnp.maximum(square - explained.sum(), 0) + jnp.sum(left**2 * explained, axis=1)
        freedom = jnp.maximum(self.features - present.sum(), 0) + jnp.sum(jnp.where(present, left, 0), axis=1)
        return self.features * residual / freedom**2


def as_regularizer(reg: Any) -> Regularizer:
    """Return `reg` as a regularizer: a number is the strength of a `TraceRidge`."""
    ridge: Any = reg if callable(reg) else TraceRidge(reg)
    return ridge


def check_reg(reg: Any, k: int, d: int) -> None:
    """Raise, outside jit, if the regularizer is invalid, or 0 although k neighbors in d dimensions require one."""
    strength = getattr(reg, "strength", None) if callable(reg) else reg
    if strength is None or is_traced(strength):
        return
    value = scalar(strength)
    if value is None or not np.isfinite(value) or value < 0:
        raise ValueError(f"reg = {reg} is not allowed: it must be one finite number >= 0.")
    if value == 0 and k > d:
        raise ValueError(
            f"reg = 0 with k = {k} neighbors in {d} dimensions: the local Gram matrix is singular, so that the "
            f"weights are not unique. Use reg > 0, such as 1e-3, which adds a multiple of its trace to the diagonal, or k <= {d}."
        )


explain_calls(__name__)
