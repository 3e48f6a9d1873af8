"""Distances between two vectors, each safe to differentiate where the vectors coincide.

Any function of two vectors that JAX can trace serves as a metric; these are the ones known by name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._core.linear import power_of_two

Metric = str | Callable[[Array, Array], Array]


def euclidean(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Return |a - b|, without overflow or underflow at any scale and with gradient 0 at a = b.

    >>> import jax.numpy as jnp
    >>> euclidean(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
    Array(5., dtype=float32)
    """
    return _norm(a - b)


def manhattan(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Return the sum of |a_j - b_j|.

    >>> import jax.numpy as jnp
    >>> manhattan(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
    Array(7., dtype=float32)
    """
    return jnp.sum(jnp.abs(a - b))


def chebyshev(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Return the largest |a_j - b_j|.

    >>> import jax.numpy as jnp
    >>> chebyshev(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
    Array(4., dtype=float32)
    """
    return jnp.max(jnp.abs(a - b))


def cosine(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Return 1 - cos(a, b), as half the squared distance of the unit vectors, which keeps small angles.

    >>> import jax.numpy as jnp
    >>> cosine(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
    Array(1., dtype=float32)
    """
    return _norm(unit_vector(a) - unit_vector(b)) ** 2 / 2


def unit_vector(a: Float[Array, " d"]) -> Float[Array, " d"]:
    """Return a / |a|, and 0 for the zero vector.

    >>> import jax.numpy as jnp
    >>> unit_vector(jnp.array([3.0, 4.0]))
    Array([0.6, 0.8], dtype=float32)
    """
    length = _norm(a)
    return a / jnp.where(length > 0, length, 1)


METRICS = {f.__name__: f for f in (euclidean, manhattan, chebyshev, cosine)}
PRECOMPUTED = "precomputed"


def resolve(metric: Metric) -> Metric:
    """Return the function that a name stands for; functions and "precomputed" pass through.

    Raises:
        ValueError: for a name that is not known.

    >>> resolve("manhattan").__name__
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


def _norm(v: Float[Array, " d"]) -> Float[Array, ""]:
    # Scaled near its largest entry, so that squares neither vanish nor overflow; by a power of two, so that equal
    # distances stay equal. The two `where`s keep the derivative of the root at zero out of the graph (NaN times
    # zero is NaN).
    top = jax.lax.stop_gradient(jnp.max(jnp.abs(v)))
    top = power_of_two(jnp.where(top > 0, top, 1))
    square = jnp.sum((v / top) ** 2)
    positive = square > 0
    return jnp.where(positive, top * jnp.sqrt(jnp.where(positive, square, 1)), 0)


Kernel = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class KernelDistance:
    """The distance in a kernel's feature space, ``sqrt(K(a, a) - 2 K(a, b) + K(b, b))``: a metric for `knn`.

    Attributes:
        kernel: positive semi-definite JAX function of two vectors.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.distances.KernelDistance(jnp.dot)(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
        Array(5., dtype=float32)
    """

    kernel: Kernel

    def __call__(self, a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
        """Return the distance of two points; its gradient is 0 where they coincide."""
        square = self.kernel(a, a) - 2 * self.kernel(a, b) + self.kernel(b, b)
        positive = ~(square <= 0)  # also a NaN, which must not pass for nearest
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
