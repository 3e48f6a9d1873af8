"""Distances between two vectors, with derivatives that are finite also where the vectors coincide.

Any function of two vectors that JAX can trace can be used as a metric. The functions `euclidean`, `manhattan`, `chebyshev` and
`cosine` can also be given by name; `KernelDistance` is the distance in the feature space of a kernel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["KernelDistance", "chebyshev", "cosine", "euclidean", "manhattan"]

Metric = str | Callable[[Array, Array], Array]


def euclidean(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Return the Euclidean distance ``|a - b|``, without overflow or underflow at any scale and with gradient 0 at a = b.

    Args:
        a: vector, shape (d,).
        b: vector, shape (d,).

    Returns:
        Scalar.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.distances.euclidean(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
        Array(5., dtype=float32)
    """
    return _norm(_difference(a, b))


def manhattan(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Return the Manhattan distance, the sum of ``|a_j - b_j|``.

    Args:
        a: vector, shape (d,).
        b: vector, shape (d,).

    Returns:
        Scalar.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.distances.manhattan(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
        Array(7., dtype=float32)
    """
    return jnp.sum(jnp.abs(_difference(a, b)))


def chebyshev(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Return the Chebyshev distance, the largest ``|a_j - b_j|``.

    Args:
        a: vector, shape (d,).
        b: vector, shape (d,).

    Returns:
        Scalar.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.distances.chebyshev(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
        Array(4., dtype=float32)
    """
    return jnp.max(jnp.abs(_difference(a, b)))


def cosine(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Return the cosine distance ``1 - cos(a, b)``, accurate also for small angles.

    It is computed as half the squared distance of the unit vectors.

    Args:
        a: vector, shape (d,).
        b: vector, shape (d,).

    Returns:
        Scalar in [0, 2].

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.distances.cosine(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
        Array(1., dtype=float32)
    """
    return _norm(_difference(unit_vector(a), unit_vector(b))) ** 2 / 2


def unit_vector(a: Float[Array, " d"]) -> Float[Array, " d"]:
    """Return ``a / |a|``, and 0 for the zero vector.

    Args:
        a: vector, shape (d,).

    Returns:
        Vector, shape (d,).

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.distances.unit_vector(jnp.array([3.0, 4.0]))
        Array([0.6, 0.8], dtype=float32)
    """
    with np.errstate(over="ignore"):
        a = jnp.asarray(a)
    length = _norm(a)
    return a / jnp.where(length > 0, length, 1)


METRICS = {f.__name__: f for f in (euclidean, manhattan, chebyshev, cosine)}
PRECOMPUTED = "precomputed"


def resolve(metric: Metric) -> Metric:
    """Return the metric of a name; functions and "precomputed" are returned unchanged.

    Args:
        metric: "euclidean", "manhattan", "chebyshev", "cosine", "precomputed", or a function of two vectors.

    Returns:
        A function of two vectors, or "precomputed".

    Raises:
        ValueError: if the name is unknown.

    Example:
        >>> import jaxlle
        >>> jaxlle.distances.resolve("manhattan").__name__
        'manhattan'
    """
    if callable(metric) or metric == PRECOMPUTED:
        return metric
    if metric not in METRICS:
        raise ValueError(
            f"metric = {metric!r} is not known: use one of {', '.join(map(repr, METRICS))}, 'precomputed', or a JAX "
            f"function of two vectors."
        )
    return METRICS[metric]


def power_of_two(m: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Return the power of two at or below m > 0, by which division is exact.

    >>> import jax.numpy as jnp
    >>> power_of_two(jnp.array([1.0, 5.0]))
    Array([1., 4.], dtype=float32)
    """
    limits = jnp.finfo(m.dtype)
    exponent = jnp.clip(jnp.frexp(m)[1] - 1, limits.minexp + 4, limits.maxexp - 4)  # denormals may be flushed
    return jnp.ldexp(jnp.ones_like(m), exponent)


def square_root(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Return the square root of x > 0, else 0 with derivative 0; NaN of NaN.

    >>> import jax
    >>> jax.grad(square_root)(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    positive = ~(x <= 0)  # also of NaN, unlike x > 0
    # The inner `where` keeps the infinite derivative of the square root at 0 out of the chain rule.
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def _difference(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, " d"]:
    with np.errstate(
        over="ignore"
    ):  # of NumPy's float64 in float32: infinity; the warning as an error crashes JAX's dispatch
        return jnp.asarray(a) - jnp.asarray(b)


def _norm(v: Float[Array, " d"]) -> Float[Array, ""]:
    # Scaled by about its largest entry, so that squares neither underflow nor overflow; by a power of two, so that equal
    # distances stay equal.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(v)))
    scale = power_of_two(jnp.where(largest > 0, largest, 1))
    return scale * square_root(jnp.sum((v / scale) ** 2))


Kernel = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class KernelDistance:
    """The distance in the feature space of a kernel, ``sqrt(K(a, a) - 2 K(a, b) + K(b, b))``: a metric for `jaxlle.knn`.

    Attributes:
        kernel: positive semidefinite JAX function of two vectors.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.distances.KernelDistance(jnp.dot)(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
        Array(5., dtype=float32)
    """

    kernel: Kernel

    def __call__(self, a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
        """Return the distance of two vectors of shape (d,); its gradient is 0 where they coincide."""
        return square_root(self.kernel(a, a) - 2 * self.kernel(a, b) + self.kernel(b, b))
