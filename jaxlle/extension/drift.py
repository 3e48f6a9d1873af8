"""Distribution drift: reconstruction residuals of new points compared with those of the training data."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .._core.points import prepare_points
from ..neighbors import knn
from .bank import project


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
        >>> float(jaxlle.extension.drift(x[:50] + 0.5 * jax.numpy.eye(3)[2], x, 6).rate)
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
        >>> jaxlle.extension.training_residuals(jnp.array([[0.0], [1.0], [2.0]]), 2, reg=1e-6).round(3).tolist()
        [0.0, 0.0, 0.0]
    """
    points = prepare_points(x)
    return project(points.values, points, k, reg=reg, neighbors=knn(points, k)).residuals
