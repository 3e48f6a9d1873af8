"""Kernels and solvers of local linear attention."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from .._core.checks import check_count
from .._core.linear import matmul, solve_positive
from .._core.strategies import register_strategy

SAVED = "slope"  # name of what the backward pass keeps of a block of queries; it computes everything else again


@register_strategy(["scale"])
@dataclass(frozen=True)
class SoftmaxKernel:
    """Weight the key k of a query q by ``exp(scale q . k)``, as softmax attention does.

    Attributes:
        scale: a number, or one per head; may be traced. None for 1 / sqrt(width).

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxlle.nn import SoftmaxKernel
        >>> SoftmaxKernel(0.5)(jnp.ones((1, 2)), jnp.array([[0.0, 0.0], [1.0, 1.0]]), jnp.zeros(2)).tolist()
        [[0.0, 1.0]]
    """

    scale: Any = None

    def __call__(
        self, q: Float[Array, "l d"], k: Float[Array, "s d"], center: Float[Array, " d"]
    ) -> Float[Array, "l s"]:
        """Return the logarithms of the weights, up to a constant per query; q and k are relative to `center`."""
        scale = q.shape[1] ** -0.5 if self.scale is None else self.scale
        return matmul(scale * (q + center), k.T)


@register_strategy(["bandwidth"])
@dataclass(frozen=True)
class GaussianKernel:
    """Weight the key k of a query q by ``exp(-|q - k|^2 / (2 bandwidth^2))``.

    Attributes:
        bandwidth: a positive number, or one per head, in the units of the keys; may be traced. None for width^(1/4), with
            which keys of equal length have the same weights as by `SoftmaxKernel`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxlle.nn import GaussianKernel
        >>> GaussianKernel(1.0)(jnp.zeros((1, 2)), jnp.array([[0.0, 0.0], [1.0, 1.0]]), jnp.zeros(2)).tolist()
        [[0.0, -1.0]]
    """

    bandwidth: Any = None

    def __call__(
        self, q: Float[Array, "l d"], k: Float[Array, "s d"], center: Float[Array, " d"]
    ) -> Float[Array, "l s"]:
        """Return the logarithms of the weights, up to a constant per query; q and k are relative to `center`."""
        bandwidth = q.shape[1] ** 0.25 if self.bandwidth is None else jnp.asarray(self.bandwidth, q.dtype)
        q, k = q / bandwidth, k / bandwidth  # first, so that the square of a small bandwidth does not underflow
        return matmul(q, k.T) - jnp.sum(k**2, axis=1) / 2


@dataclass(frozen=True)
class ConjugateGradients:
    """Use all keys, and solve the system of each query by conjugate gradients.

    A step costs two products of the size of those of softmax attention, and no moments of the keys (width x width numbers per
    query) are formed. The steps end early where the residual is at the level of rounding. The derivative is that of the exact
    solution, by the same number of steps, so that its error is of the same size as that of the values.

    Attributes:
        steps: largest number of steps; width + 1 solve any system up to rounding.

    Example:
        >>> import jax
        >>> from jaxlle.nn import ConjugateGradients, local_linear_attention
        >>> x = jax.random.normal(jax.random.key(0), (1, 50, 2, 8))
        >>> local_linear_attention(x, x, x, solver=ConjugateGradients(steps=4)).shape
        (1, 50, 2, 8)
    """

    steps: int = 12

    def __post_init__(self):
        """Validate the number of steps."""
        check_count(self.steps, "steps", 1, None, "the number of steps of conjugate gradients")

    def row_numbers(self, keys: int, width: int) -> int:
        """Return how many numbers the computation of one query needs at a time."""
        return 2 * keys + 8 * width

    def __call__(self, logits: Array, q: Array, k: Array, v: Array, ridge: Array) -> Float[Array, "l e"]:
        """Return the outputs of the queries of one head; the logarithm of the weight of a hidden key is -inf."""
        p, _, present = _normalize(logits)
        mean = matmul(p, k)
        gap = jnp.where(present, q - mean, 0)
        spread = matmul(p, jnp.sum(k**2, axis=1)) + jnp.sum(q * (q - 2 * mean), axis=1)  # of the keys about the query
        shift = _ridge(ridge, jnp.where(present[:, 0], spread, 0))[:, None]

        def along(u: Array) -> Array:  # p_j (k_j - mean) . u, whose sum over the keys is 0
            return p * (matmul(u, k.T) - jnp.sum(u * mean, axis=1, keepdims=True))

        slope = lax.custom_linear_solve(
            lambda u: matmul(along(u), k) + shift * u,
            gap,
            partial(_conjugate_gradients, steps=self.steps),
            symmetric=True,
        )
        return matmul(p + along(checkpoint_name(slope, SAVED)), v)


@dataclass(frozen=True)
class NearestKeys:
    """Use the k keys of largest weight for each query only, and solve its system directly.

    The systems are of size min(k, width). With k as large as the number of keys the result is that of all keys, to rounding.

    Attributes:
        k: number of keys; all keys, if there are fewer.

    Example:
        >>> import jax
        >>> from jaxlle.nn import NearestKeys, local_linear_attention
        >>> x = jax.random.normal(jax.random.key(0), (1, 50, 2, 8))
        >>> local_linear_attention(x, x, x, solver=NearestKeys(16)).shape
        (1, 50, 2, 8)
    """

    k: int

    def __post_init__(self):
        """Validate the number of keys."""
        check_count(self.k, "k", 1, None, "the number of keys per query")

    def row_numbers(self, keys: int, width: int) -> int:
        """Return how many numbers the computation of one query needs at a time."""
        k = min(self.k, keys)
        return 2 * keys + 4 * k * width + 3 * min(k, width) ** 2

    def __call__(self, logits: Array, q: Array, k: Array, v: Array, ridge: Array) -> Float[Array, "l e"]:
        """Return the outputs of the queries of one head; the logarithm of the weight of a hidden key is -inf."""
        logits, ids = lax.top_k(logits, min(self.k, k.shape[0]))
        p, root, present = _normalize(logits)
        weights = jax.vmap(_direct_weights)(
            k[ids] - q[:, None], p, root, present[:, 0], jnp.broadcast_to(ridge, len(q))
        )
        return jax.vmap(matmul)(weights, v[ids])


SOFTMAX, TWELVE_STEPS = SoftmaxKernel(), ConjugateGradients()  # the defaults


def _normalize(logits: Float[Array, "l s"]) -> tuple[Float[Array, "l s"], Float[Array, "l s"], Bool[Array, "l 1"]]:
    """Return weights of sum 1, or 0 for a query without keys, their square roots, and which queries have keys."""
    top = lax.stop_gradient(jnp.max(logits, axis=1, keepdims=True))
    present = top != -jnp.inf
    shifted = logits - jnp.where(present, top, 0)
    weights = jnp.exp(shifted)
    total = jnp.where(present, jnp.sum(weights, axis=1, keepdims=True), 1)
    # The exponential of half the logarithm has a derivative also where the weight is 0, unlike the square root.
    return weights / total, jnp.exp(shifted / 2) / jnp.sqrt(total), present


def _ridge(ridge: Array, spread: Array) -> Array:
    return ridge * jnp.where(spread > 0, spread, 1)


def _direct_weights(
    keys: Float[Array, "k d"], p: Float[Array, " k"], root: Float[Array, " k"], present: Array, ridge: Array
) -> Float[Array, " k"]:
    """Return the attention weights of one query for keys relative to the query."""
    mean = matmul(p, keys)
    gap = jnp.where(present, -mean, 0)
    shift = _ridge(ridge, matmul(p, jnp.sum(keys**2, axis=1)))
    scaled = root[:, None] * (keys - mean)
    if keys.shape[0] <= keys.shape[1]:
        system = matmul(scaled, scaled.T) + shift * jnp.eye(len(keys), dtype=keys.dtype)
        return p + root * solve_positive(system, matmul(scaled, gap))
    system = matmul(scaled.T, scaled) + shift * jnp.eye(keys.shape[1], dtype=keys.dtype)
    return p + root * matmul(scaled, checkpoint_name(solve_positive(system, gap), SAVED))


def _conjugate_gradients(matvec: Callable, b: Float[Array, "l d"], *, steps: int) -> Float[Array, "l d"]:
    def inner(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, axis=1, keepdims=True)

    start = inner(b, b)
    least = jnp.finfo(b.dtype).eps ** 2 * start

    def unfinished(state: Any) -> Array:
        return (state[0] < steps) & jnp.any(state[4] > least)

    def step(state: Any) -> Any:
        count, x, residual, direction, square = state
        image = matvec(direction)
        curvature = inner(direction, image)
        go = (square > least) & (curvature > 0)
        length = jnp.where(go, square / jnp.where(go, curvature, 1), 0)
        x, residual = x + length * direction, residual - length * image
        new = jnp.where(go, inner(residual, residual), 0)
        direction = residual + new / jnp.where(go, square, 1) * direction
        return count + 1, x, residual, direction, new

    return lax.while_loop(unfinished, step, (0, jnp.zeros_like(b), b, b, start))[1]
