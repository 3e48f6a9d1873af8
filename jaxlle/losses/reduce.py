"""What the losses share: input validation, masks, and reductions over anchors and devices."""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float

from .._core.arrays import check_number, read_floats, read_mask
from .._core.checks import all_finite, is_traced

Reduction = Literal["mean", "sum", "none"]
AxisName = str | tuple[str, ...] | None
_SUM_TOLERANCE = 1e-2  # bfloat16 weights sum to one within this; a larger deviation means that they are not barycentric


def at_least_float32(**arrays: Any) -> tuple[Any, ...]:
    """Return the arrays, given by name, in at least float32: a sum of squares in half precision has no accurate digits."""
    return tuple(None if a is None else read_floats(a, name, finite=False) for name, a in arrays.items())


def read_masks(where: Any, mask: Any, shape: tuple[int, ...], name: str = "mask") -> tuple[Any, Any]:
    """Return the masks of the anchors and of their neighbors, shape (b, k), as arrays; None if they are None."""
    rows = None if where is None else read_mask(where, "where", shape[:1])
    return rows, None if mask is None else read_mask(mask, name, shape[:2])


def reduce_anchors(
    errors: Float[Array, " b"],
    where: Bool[ArrayLike, " b"] | None,
    reduction: Reduction,
    axis_name: AxisName,
) -> Float[Array, "*s"]:
    """Reduce one value per anchor over the anchors that count, and over devices."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction = {reduction!r} is unknown: use 'mean', 'sum' or 'none'.")
    errors = errors if where is None else jnp.where(jnp.asarray(where), errors, 0)
    if reduction == "none":
        return errors
    total = sum_over_devices(errors.sum(), axis_name)
    return total if reduction == "sum" else total / count_anchors(errors, where, axis_name)


def count_anchors(rows: Array, where: Bool[ArrayLike, " b"] | None, axis_name: AxisName) -> Float[Array, ""]:
    """Count the anchors with `where` True on all devices; at least 1, so that it can be divided by."""
    count = jnp.asarray(rows.shape[0] if where is None else jnp.sum(where), rows.dtype)
    return jnp.maximum(sum_over_devices(count, axis_name), 1)


def sum_over_devices(value: Array, axis_name: AxisName) -> Array:
    """Sum over the devices of a mapped axis; return the value itself if `axis_name` is None."""
    return value if axis_name is None else lax.psum(value, axis_name)


def mask_out(rows: Any, where: Bool[ArrayLike, "..."] | None) -> Any:
    """Put zeros where `where` is False, so that masked entries, NaN included, affect neither value nor gradient."""
    if where is None:
        return rows
    keep = jnp.asarray(where)
    return jnp.where(keep.reshape(keep.shape + (1,) * (rows.ndim - keep.ndim)), rows, 0)


def check_neighborhoods(y: Any, others: Any, weights: Any, name: str = "weights") -> None:
    """Raise unless there is one row of neighbors per anchor, with as many outputs, and one weight per neighbor."""
    if y.ndim != 2 or others.ndim != 3 or others.shape[0] != y.shape[0] or others.shape[2] != y.shape[1]:
        raise ValueError(
            f"Outputs of shape {y.shape} and neighbors' outputs of shape {others.shape} do not match: they must be (b, d) and "
            f"(b, k, d), with neighbors' outputs = model(x[indices.ravel()]).reshape(b, k, d)."
        )
    if 0 in others.shape:
        raise ValueError(
            f"The neighbors' outputs have shape {others.shape}, but every axis must have at least one entry."
        )
    if weights is not None and weights.shape != others.shape[:2]:
        raise ValueError(f"{name} must be of shape {others.shape[:2]}, one per neighbor, got {weights.shape}.")


def counted(value: Array, name: str, where: Any = None, mask: Any = None) -> Array:
    """Return an array with zeros at the entries that do not count, after `check_finite` of the others.

    Every loss passes each of its arrays through this function before it computes anything, so that an entry is either
    masked here, or a NaN in it raises outside jit and reaches the value inside jit.

    Args:
        value: with one row per anchor.
        name: of the argument, for the message.
        where: True where an anchor counts, shape (b,).
        mask: True where a neighbor exists, shape (b, k).
    """
    value = mask_out(mask_out(value, mask), where)
    check_finite(value, name)
    return value


def check_finite(value: Any, name: str) -> None:
    """Raise for NaN or infinity outside jit; inside jit NaN remains visible in the loss."""
    if not is_traced(value) and not all_finite(value):
        raise ValueError(f"{name} contains NaN or infinity: check the inputs of the model, or lower the learning rate.")


def check_parameter(value: Any, name: str) -> None:
    """Raise outside jit for a number that is NaN, infinite or negative."""
    check_number(value, name, "at least 0", lambda number: number >= 0)


def check_weights(weights: Any, mask: Any) -> None:
    """Raise outside jit for weights that are not barycentric."""
    if is_traced(weights, mask):
        return
    sums = np.asarray(mask_out(weights, mask)).sum(axis=1)
    present = np.ones(len(sums), bool) if mask is None else np.asarray(mask).any(axis=1)
    wrong = ~(np.abs(sums - 1) <= _SUM_TOLERANCE) & present
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"The weights of {int(wrong.sum())} anchors do not sum to one (row {row}: {sums[row]:.4g}): compute them by "
            f"jaxlle.barycentric_weights, or use alignment_loss for other local maps."
        )
