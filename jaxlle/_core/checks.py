"""Checks of arguments that every stage shares: counts, dimensions, finiteness, and whether a value is traced."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array

from .. import distances
from ..warnings import JaxlleWarning


def is_traced(*arrays: Any) -> bool:
    """Tell whether values are out of reach: some array is traced (jit, vmap, grad), or jit stages all operations."""
    return any(isinstance(a, Tracer) for a in jax.tree.leaves((arrays, jnp.zeros(()))))


def without_derivative(x: Any) -> Any:
    """Return an array without its derivative: concrete under grad outside jit."""
    return lax.stop_gradient(x) if isinstance(x, Array) else x


def x64_is_on() -> bool:
    """Tell whether JAX computes in float64 where it is given float64."""
    return jnp.zeros(()).dtype == np.float64


def all_finite(x: Any) -> bool:
    """Tell whether all entries of a concrete array are finite."""
    return bool(np.isfinite(x).all()) if isinstance(x, np.ndarray) else bool(_all_finite(x))


@jax.jit
def _all_finite(x: Array) -> Array:
    return jnp.isfinite(x).all()


def check_count(value: Any, name: str, low: int, high: int | None, why: str) -> int:
    """Return a whole number within [low, high], or say what was asked and what is allowed."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}.")
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} = {value} is not allowed: it must be {allowed} ({why}).")
    return int(value)


def embedding_points(y: Any) -> Any:
    """Return the points of an `Embedding`, and anything else unchanged: metrics accept either."""
    return y.points if hasattr(type(y), "rounding_angle") else y


def check_dim(dim: int, k: int, shape: tuple[int, ...], metric: distances.Metric) -> int:
    """Return dim, or say why it cannot be; warn where k < dim."""
    n, d = shape
    if metric != distances.PRECOMPUTED and dim > d:
        raise ValueError(
            f"output dimension must be less than or equal to input dimension: dim (n_components) = {dim}, but x has {d} "
            f"feature(s)."
        )
    dim = check_count(dim, "dim (n_components)", 1, n - 1 if n > 1 else None, f"fewer than the {n} points")
    if k < dim:
        warnings.warn(
            f"k = {k} neighbours cannot span dim = {dim} dimensions locally: use k > dim.", JaxlleWarning, stacklevel=3
        )
    return dim


def check_spread(points: Array) -> None:
    """Raise for degenerate data: standardised points that are all equal, and so all zero."""
    if is_traced(points) or points.shape[0] < 2 or bool(jnp.any(points[0])):
        return
    if not bool(jnp.any(points)):
        raise ValueError(
            f"All {points.shape[0]} points of x are equal (degenerate data): there is no geometry to embed, check the loading."
        )
