"""Projection onto a bank of points: by weights from one bank, values from another, and how far off it is."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from . import _inputs
from ._search import BLOCK_BYTES
from .neighbors import Neighbors, knn
from .regularizers import trace_ridge
from .weights import Regularizer, barycentric_weights


class Projection(NamedTuple):
    """Points written by their neighbours in a bank.

    Attributes:
        points: ``sum_j w_j v_j``, shape (q, c).
        residuals: ``|z - sum_j w_j a_j|`` in the bank's space, shape (q,).
        neighbors: which rows of the bank, shape (q, k).
        weights: their barycentric weights, shape (q, k).
    """

    points: Float[Array, "q c"]
    residuals: Float[Array, " q"]
    neighbors: Neighbors
    weights: Float[Array, "q k"]


def project(
    z: Any,
    bank: Any,
    k: int,
    values: Any = None,
    *,
    reg: Real[ArrayLike, ""] = 1e-3,
    regularizer: Regularizer = trace_ridge,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Projection:
    """Write points by their neighbours in a bank, and carry the weights over to the values of another.

    ``z -> sum_j w_j v_j`` with ``w = argmin |z - sum_j w_j a_j|^2``, sum w = 1, over the k nearest rows a_j of the bank (Chang,
    Yeung and Xiong 2004, neighbour embedding for super-resolution). With the bank as its own values it projects onto the bank's
    manifold, and the residual is the distance to it: a score for outliers and attacks. Runs under jit and vmap (over
    queries, or over banks), differentiable in z, bank and values with the neighbours held.

    Args:
        z: points to project, shape (q, d).
        bank: where neighbours and weights come from, shape (n, d).
        k: neighbours of each point.
        values: what is combined, one row for each of the bank, shape (n, c); None: the bank itself.
        reg: strength of the regularizer.
        regularizer: one of `jaxlle.regularizers`.
        neighbors: of the points in the bank, if known.
        block_bytes: memory that one block may take.

    Returns:
        Projection.

    Raises:
        ValueError: for points that are not finite numbers, k out of range, or values that are not one a row of the bank.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> bank = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
        >>> out = jaxlle.project(jnp.array([[0.5, 2.0]]), bank, 2, values=10 * bank[:, :1], reg=1e-6)
        >>> float(out.points[0, 0]), float(out.residuals[0])
        (5.0, 2.0)
    """
    z, bank = _inputs.as_points(z, "z"), _inputs.as_points(bank, "bank")
    values = bank if values is None else _inputs.as_points(values, "values")
    if values.shape[0] != bank.shape[0]:
        raise ValueError(
            f"values has {values.shape[0]} rows and the bank {bank.shape[0]}: there must be one for each row."
        )
    if z.shape[1] != bank.shape[1]:
        raise ValueError(f"z has {z.shape[1]} features and the bank {bank.shape[1]}: both must live in the same space.")
    found = neighbors
    if found is None:
        found = knn(lax.stop_gradient(bank), k, query=lax.stop_gradient(z), block_bytes=block_bytes)
    weights = barycentric_weights(bank, found, query=z, reg=reg, regularizer=regularizer, block_bytes=block_bytes)
    z, bank, values = (jnp.asarray(a, weights.dtype) for a in (z, bank, values))
    away = _combine(weights, bank[found.indices] - z[:, None])  # differences: no digits lost to an offset
    squares = jnp.sum(away**2, axis=1)
    off = squares > 0
    residuals = jnp.where(off, jnp.sqrt(jnp.where(off, squares, 1)), 0)
    return Projection(_combine(weights, values[found.indices]), residuals, found, weights)


class Drift(NamedTuple):
    """Where new points stand beside those of the training.

    Attributes:
        residuals: of the new points, shape (q,).
        quantiles: share of the training's residuals that lie below each, shape (q,).
        outside: whether that share reaches the level, shape (q,).
        rate: share of the new points outside; 1 - level is expected without drift.
    """

    residuals: Float[Array, " q"]
    quantiles: Float[Array, " q"]
    outside: Bool[Array, " q"]
    rate: Float[Array, ""]


def drift(
    z: Any, bank: Any, k: int, *, level: float = 0.99, reg: Real[ArrayLike, ""] = 1e-3, reference: Any = None
) -> Drift:
    """Compare how well the training data rebuild new points with how well they rebuild each other.

    The residual of a point is its distance to the combination of its neighbours that comes nearest (`project`); that of
    a training point is measured among the others. New points from the same distribution have residuals of the same
    distribution; a `rate` far above 1 - level says that the data have moved off the training's manifold.

    Args:
        z: new points, shape (q, d).
        bank: training data, shape (n, d).
        k: neighbours of each point.
        level: share of the training's residuals that counts as usual.
        reg: strength of the weights' regularizer.
        reference: residuals of the training data, if known from `training_residuals`.

    Returns:
        Drift.

    Raises:
        ValueError: as `project`, or for a level outside (0, 1).

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (200, 3)).at[:, 2].set(0)
        >>> float(jaxlle.drift(x[:50] + 0.5 * jax.numpy.eye(3)[2], x, 6).rate)
        1.0
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level} is not allowed: it must be between 0 and 1, such as 0.99.")
    reference = training_residuals(bank, k, reg=reg) if reference is None else jnp.asarray(reference)
    residuals = project(z, bank, k, reg=reg).residuals
    below = jnp.searchsorted(jnp.sort(reference), residuals, side="left")
    quantiles = below / reference.shape[0]
    outside = quantiles >= level
    return Drift(residuals, quantiles, outside, outside.mean())


def training_residuals(x: Any, k: int, *, reg: Real[ArrayLike, ""] = 1e-3) -> Float[Array, " n"]:
    """Return how far each point lies from the best combination of its k neighbours, itself left out.

    Args:
        x: points, shape (n, d).
        k: neighbours of each point.
        reg: strength of the weights' regularizer.

    Returns:
        Residuals in the units of x, shape (n,).

    Raises:
        ValueError: as `knn`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.training_residuals(jnp.array([[0.0], [1.0], [2.0]]), 2, reg=1e-6).round(3).tolist()
        [0.0, 0.0, 0.0]
    """
    x = _inputs.as_points(x)
    return project(x, x, k, reg=reg, neighbors=knn(x, k)).residuals


def _combine(weights: Float[Array, "q k"], rows: Float[Array, "q k c"]) -> Float[Array, "q c"]:
    return jnp.einsum("qk,qkc->qc", weights, rows, precision=lax.Precision.HIGHEST)
