"""Guards against collapse, and quantities that reveal it."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from .._core.linear import matmul
from .reduce import (
    AxisName,
    at_least_float32,
    check_finite,
    check_parameter,
    count_anchors,
    counted,
    mask_out,
    read_masks,
    sum_over_devices,
)


def variance_hinge(
    y: Float[Array, "b d"],
    *,
    target: Real[ArrayLike, ""] = 1.0,
    eps: Real[ArrayLike, ""] = 1e-4,
    where: Bool[ArrayLike, " b"] | None = None,
    axis_name: AxisName = None,
) -> Float[Array, ""]:
    """Compute the hinge loss of the standard deviation of each output (VICReg, Bardes, Ponce and LeCun 2022).

    ``mean_j max(0, target - sqrt(var_j + eps))``, which keeps the standard deviation of every column above the target.

    Args:
        y: outputs, shape (b, d).
        target: standard deviation above which the loss is zero.
        eps: added to the variance, so that the square root is differentiable at 0. If all rows are equal, the gradient is 0,
            not NaN.
        where: True where a row counts, shape (b,).
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: for outputs that are not of shape (b, d), and outside jit for NaN.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.variance_hinge(jnp.array([[-2.0, 0.0], [2.0, 0.0]])))
        0.495
    """
    check_parameter(target, "target")
    check_parameter(eps, "eps")
    variances = jnp.diagonal(covariance(y, where, axis_name))
    return jnp.mean(jnp.maximum(target - jnp.sqrt(variances + eps), 0))


def covariance_penalty(
    y: Float[Array, "b d"], *, where: Bool[ArrayLike, " b"] | None = None, axis_name: AxisName = None
) -> Float[Array, ""]:
    """Compute the squared covariances between outputs (VICReg, Bardes, Ponce and LeCun 2022).

    ``(1/d) sum_{i != j} C_ij^2``, which decorrelates the outputs; it is used together with `variance_hinge`.

    Args:
        y: outputs, shape (b, d).
        where: True where a row counts, shape (b,).
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: as for `variance_hinge`.

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
    """Compute Stein's loss of the covariance, which is 0 if and only if the outputs are white.

    ``tr(C') - log det(C') - d`` with ``C' = C + eps I``: twice the Kullback-Leibler divergence between normal distributions with
    covariances C' and I. The log-determinant prevents collapse in any direction, and the trace bounds the scale.

    Args:
        y: outputs, shape (b, d).
        eps: makes the determinant positive for rank-deficient batches, such as those with b <= d.
        where: True where a row counts, shape (b,).
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: as for `variance_hinge`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.log_det_penalty(jnp.array([[-1.0], [1.0]]))) < 1e-6
        True
    """
    check_parameter(eps, "eps")
    c = covariance(y, where, axis_name)
    d = c.shape[0]
    c = c + jnp.asarray(eps, c.dtype) * jnp.eye(d, dtype=c.dtype)
    trace = jnp.trace(c)
    size = lax.stop_gradient(jnp.where((trace > 0) & jnp.isfinite(trace), trace, 1))  # the determinant could overflow
    return trace - (jnp.linalg.slogdet(c / size)[1] + d * jnp.log(size)) - d


def relative_cost(
    cost: Float[ArrayLike, ""],
    y: Float[Array, "b d"],
    *,
    where: Bool[ArrayLike, " b"] | None = None,
    axis_name: AxisName = None,
) -> Float[Array, ""]:
    """Return ``cost / trace(cov(y))``, the cost independent of the scale of the outputs, to be monitored with the loss.

    If the loss falls only because the outputs shrink, the ratio stays the same. It lies between 0 and the largest eigenvalue
    of M, and is infinite if all outputs are equal.

    Args:
        cost: `lle_loss` or `alignment_loss` of the outputs, with reduction "mean".
        y: outputs, shape (b, d).
        where: True where a row counts, shape (b,).
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: as for `variance_hinge`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> y = jnp.array([[-2.0], [2.0]])
        >>> float(jaxlle.losses.relative_cost(1.0, y)), float(jaxlle.losses.relative_cost(1e-6, 1e-3 * y))
        (0.25, 0.25)
    """
    check_parameter(cost, "cost")
    trace = jnp.trace(covariance(y, where, axis_name))
    cost = jnp.asarray(cost, trace.dtype)
    equal = trace == 0  # not "trace > 0" negated, which is also true of NaN
    return jnp.where(equal & ~jnp.isnan(cost), jnp.inf, cost / jnp.where(equal, 1, trace))


def participation_ratio(
    y: Float[Array, "b d"], *, where: Bool[ArrayLike, " b"] | None = None, axis_name: AxisName = None
) -> Float[Array, ""]:
    """Return ``tr(C)^2 / tr(C^2)``, the effective dimension of the outputs: between 1 and d, or 0 if all outputs are equal.

    It reveals a collapse onto a line or a plane, which the trace of the covariance does not.

    Args:
        y: outputs, shape (b, d).
        where: True where a row counts, shape (b,).
        axis_name: name of a mapped axis of devices to sum over.

    Returns:
        Scalar.

    Raises:
        ValueError: as for `variance_hinge`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> float(jaxlle.losses.participation_ratio(jnp.array([[-2.0, 4.0], [2.0, -4.0]])))
        1.0
    """
    c = covariance(y, where, axis_name)
    trace = jnp.trace(c)
    equal = trace == 0  # not "trace > 0" negated, which is also true of NaN
    c = c / jnp.where(equal, 1, trace)
    ratio = 1 / jnp.where(equal, 1, jnp.sum(c**2))
    return jnp.where(equal, 0, jnp.clip(ratio, 1, y.shape[1]))  # only rounding errors exceed these bounds


def covariance(
    y: Float[Array, "b d"], where: Bool[ArrayLike, " b"] | None = None, axis_name: AxisName = None
) -> Float[Array, "d d"]:
    """Return ``(1/n) sum_i (y_i - m)(y_i - m)^T`` over the rows with `where` True, on all devices."""
    (y,) = at_least_float32(y=y)
    if y.ndim != 2 or 0 in y.shape:
        raise ValueError(
            f"Outputs must be of shape (b, d), at least (1, 1), got {y.shape}: reshape them to one row per point."
        )
    where, _ = read_masks(where, None, y.shape)
    y = counted(y, "y", where)
    count = count_anchors(y, where, axis_name)
    centered = mask_out(y - sum_over_devices(y.sum(axis=0), axis_name) / count, where)
    c = sum_over_devices(matmul(centered.T, centered), axis_name) / count
    check_finite(c, "The covariance of y")
    return c
