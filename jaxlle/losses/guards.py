"""Guards against collapse, and what to watch to see it."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .reduce import AxisName, blank, check_finite, count_anchors, sum_devices, widen


def variance_hinge(
    y: Float[Array, "b d"],
    *,
    target: Real[ArrayLike, ""] = 1.0,
    eps: Real[ArrayLike, ""] = 1e-4,
    where: Bool[ArrayLike, " b"] | None = None,
    axis_name: AxisName = None,
) -> Float[Array, ""]:
    """Compute the hinge on each output's standard deviation (VICReg, Bardes, Ponce and LeCun 2022).

    ``mean_j max(0, target - sqrt(var_j + eps))``: no column may shrink below the target.

    Args:
        y: outputs, shape (b, d).
        target: standard deviation from which on nothing is asked.
        eps: added to the variance, so that the root has a derivative at 0. At exactly equal rows the gradient is 0 (there is no
            direction to part in), and never NaN.
        where: True where a row counts, shape (b,).
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: for outputs that are not of shape (b, d), and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.variance_hinge(jnp.array([[-2.0, 0.0], [2.0, 0.0]])))
        0.495
    """
    variances = jnp.diagonal(covariance(y, where, axis_name))
    return jnp.mean(jnp.maximum(target - jnp.sqrt(variances + eps), 0))


def covariance_penalty(
    y: Float[Array, "b d"], *, where: Bool[ArrayLike, " b"] | None = None, axis_name: AxisName = None
) -> Float[Array, ""]:
    """Compute the squares of the covariances between outputs (VICReg, Bardes, Ponce and LeCun 2022).

    ``(1/d) sum_{i != j} C_ij^2``: with `variance_hinge` it keeps the outputs from repeating each other.

    Args:
        y: outputs, shape (b, d).
        where: True where a row counts, shape (b,).
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: as `variance_hinge`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.covariance_penalty(jnp.array([[-2.0, 1.0], [2.0, -1.0]])))
        4.0
    """
    c = covariance(y, where, axis_name)
    return jnp.sum((c - jnp.diag(jnp.diagonal(c))) ** 2) / c.shape[0]


def log_det_penalty(
    y: Float[Array, "b d"],
    *,
    eps: Real[ArrayLike, ""] = 1e-4,
    where: Bool[ArrayLike, " b"] | None = None,
    axis_name: AxisName = None,
) -> Float[Array, ""]:
    """Compute Stein's loss of the covariance: 0 if and only if the outputs are white.

    ``tr(C') - log det(C') - d`` with ``C' = C + eps I``: twice the Kullback-Leibler divergence between normal distributions with
    covariances C' and I. The log-det keeps every direction alive, the trace keeps the scale in hand.

    Args:
        y: outputs, shape (b, d).
        eps: keeps the determinant off 0 for rank-deficient batches, such as b <= d.
        where: True where a row counts, shape (b,).
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: as `variance_hinge`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.log_det_penalty(jnp.array([[-1.0], [1.0]]))) < 1e-6
        True
    """
    c = covariance(y, where, axis_name)
    d = c.shape[0]
    c = c + jnp.asarray(eps, c.dtype) * jnp.eye(d, dtype=c.dtype)
    return jnp.trace(c) - jnp.linalg.slogdet(c)[1] - d


def relative_cost(
    cost: Float[ArrayLike, ""],
    y: Float[Array, "b d"],
    *,
    where: Bool[ArrayLike, " b"] | None = None,
    axis_name: AxisName = None,
) -> Float[Array, ""]:
    """Return ``cost / trace(cov(y))``, the loss without the outputs' scale, to report beside it.

    A loss that falls because the outputs shrink leaves this ratio where it was. Between 0 and the largest eigenvalue of M;
    infinite where all outputs are equal.

    Args:
        cost: `lle_loss` or `alignment_loss` of the outputs, reduction "mean".
        y: outputs, shape (b, d).
        where: True where a row counts, shape (b,).
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: as `variance_hinge`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> y = jnp.array([[-2.0], [2.0]])
        >>> float(jaxlle.losses.relative_cost(1.0, y)), float(jaxlle.losses.relative_cost(1e-6, 1e-3 * y))
        (0.25, 0.25)
    """
    trace = jnp.trace(covariance(y, where, axis_name))
    cost = jnp.asarray(cost, trace.dtype)
    return jnp.where(trace > 0, cost / jnp.where(trace > 0, trace, 1), jnp.inf)


def participation_ratio(
    y: Float[Array, "b d"], *, where: Bool[ArrayLike, " b"] | None = None, axis_name: AxisName = None
) -> Float[Array, ""]:
    """Return ``tr(C)^2 / tr(C^2)``, the number of directions that the outputs use: between 1 and d, 0 if all are equal.

    A collapse onto a line or a plane shows here, where the trace of the covariance does not see it.

    Args:
        y: outputs, shape (b, d).
        where: True where a row counts, shape (b,).
        axis_name: mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: as `variance_hinge`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.participation_ratio(jnp.array([[-2.0, 4.0], [2.0, -4.0]])))
        1.0
    """
    c = covariance(y, where, axis_name)
    trace = jnp.trace(c)
    c = c / jnp.where(trace > 0, trace, 1)
    ratio = 1 / jnp.where(trace > 0, jnp.sum(c**2), 1)
    return jnp.where(trace > 0, jnp.clip(ratio, 1, y.shape[1]), 0)  # rounding alone leads outside


def covariance(
    y: Float[Array, "b d"], where: Bool[ArrayLike, " b"] | None = None, axis_name: AxisName = None
) -> Float[Array, "d d"]:
    """Return (1/n) sum_i (y_i - m)(y_i - m)^T over the rows that count, on all devices."""
    (y,) = widen(y)
    if y.ndim != 2:
        raise ValueError(f"Outputs must be of shape (b, d), got {y.shape}: reshape them to one row a point.")
    check_finite(y, "y", where)
    y = blank(y, where)
    count = count_anchors(y, where, axis_name)
    centred = blank(y - sum_devices(y.sum(axis=0), axis_name) / count, where)
    return sum_devices(jnp.dot(centred.T, centred, precision=lax.Precision.HIGHEST), axis_name) / count
