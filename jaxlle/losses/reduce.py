"""What the losses share: the door, masks and reductions."""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float

from .._core.checks import all_finite, is_traced

Reduction = Literal["mean", "sum", "none"]
AxisName = str | tuple[str, ...] | None
_OFF = 1e-2  # weights whose sum is further from 1 are not barycentric; bfloat16 ones are off by less


def widen(*arrays: Any) -> tuple[Any, ...]:
    """Return the arrays in at least float32: a sum of squares of half precisions has no digits left."""
    return tuple(
        None if a is None else jnp.asarray(a, jnp.promote_types(jnp.asarray(a).dtype, jnp.float32)) for a in arrays
    )


def reduce_anchors(
    errors: Float[Array, " b"],
    where: Bool[ArrayLike, " b"] | None,
    reduction: Reduction,
    axis_name: AxisName,
) -> Float[Array, "*s"]:
    """Reduce one number an anchor over the anchors that count, and over devices."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction = {reduction!r} is not known: use 'mean', 'sum' or 'none'.")
    errors = errors if where is None else jnp.where(jnp.asarray(where), errors, 0)
    if reduction == "none":
        return errors
    total = sum_devices(errors.sum(), axis_name)
    return total if reduction == "sum" else total / count_anchors(errors, where, axis_name)


def count_anchors(rows: Array, where: Bool[ArrayLike, " b"] | None, axis_name: AxisName) -> Float[Array, ""]:
    """Count the anchors that count on all devices; at least 1."""
    count = jnp.asarray(rows.shape[0] if where is None else jnp.sum(where), rows.dtype)
    return jnp.maximum(sum_devices(count, axis_name), 1)


def sum_devices(value: Array, axis_name: AxisName) -> Array:
    """Sum over the devices of a mapped axis, if one is named."""
    return value if axis_name is None else lax.psum(value, axis_name)


def blank(rows: Array, where: Bool[ArrayLike, "..."] | None) -> Array:
    """Put zeros where `where` is False, so that what stood there reaches neither value nor gradient."""
    if where is None:
        return rows
    keep = jnp.asarray(where)
    return jnp.where(keep.reshape(keep.shape + (1,) * (rows.ndim - keep.ndim)), rows, 0)


def check_neighborhoods(y: Any, others: Any, weights: Any) -> None:
    """Say which shapes do not fit: one row of neighbours and weights an anchor, and as many outputs."""
    if y.ndim != 2 or others.ndim != 3 or others.shape[0] != y.shape[0] or others.shape[2] != y.shape[1]:
        raise ValueError(
            f"Outputs of shape {y.shape} and neighbours' outputs of shape {others.shape} do not fit: they must be (b, d) and "
            f"(b, k, d), with neighbours = model(x[indices.ravel()]).reshape(b, k, d)."
        )
    if weights is not None and weights.shape != others.shape[:2]:
        raise ValueError(f"weights must be of shape {others.shape[:2]}, one for each neighbour, got {weights.shape}.")


def check_finite(value: Any, name: str, where: Any = None) -> None:
    """Raise at the eager door for NaN or infinity; inside jit they stay in the loss, where they can be seen."""
    if not is_traced(value, where) and not all_finite(blank(value, where)):
        raise ValueError(f"{name} contains NaN or infinity: look at the model's inputs, or lower the learning rate.")


def check_weights(weights: Any, mask: Any) -> None:
    """Raise at the eager door for weights that are not barycentric."""
    if is_traced(weights, mask):
        return
    sums = np.asarray(blank(weights, mask)).sum(axis=1)
    present = np.ones(len(sums), bool) if mask is None else np.asarray(mask).any(axis=1)
    off = ~(np.abs(sums - 1) <= _OFF) & present
    if off.any():
        row = int(off.argmax())
        raise ValueError(
            f"The weights of {int(off.sum())} anchors do not sum to one (row {row}: {sums[row]:.4g}): take them from "
            f"jaxlle.barycentric_weights, or use alignment_loss for other local maps."
        )
