"""Argument checks shared by all stages: counts, dimensions, finiteness, and whether a value is traced."""

import os
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array

from ..warnings import JaxlleWarning
from .blocks import on_cpu
from .mapped import memory_map, row_blocks

_MOST = 2**63 - 1  # the largest integer of 64 bits
_SMALL = 2**20  # entries of an array that is moved to the host to be checked
_LIBRARIES = tuple(f"{path}{os.sep}" for path in (Path(__file__).parents[1], Path(jax.__file__).parent))


def warn_user(text: str, category: type[Warning] = JaxlleWarning) -> None:
    """Warn, with the location of the line that called jaxlle."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def is_traced(*arrays: Any) -> bool:
    """Return whether values are unavailable: an array is traced (jit, vmap, grad), or jit is staging every operation."""
    return any(isinstance(a, Tracer) for a in jax.tree.leaves((arrays, -_concrete_zero())))


@cache
def _concrete_zero() -> Array:
    """Return a concrete array, whose negative is traced if jit is staging; to create one takes ten times as long."""
    with jax.ensure_compile_time_eval():
        return jax.device_put(np.zeros((), np.float32))  # jnp.zeros compiles a program


def without_derivative(x: Any) -> Any:
    """Return a pytree with `lax.stop_gradient` applied to its arrays, which makes them concrete under `jax.grad` outside jit."""
    return jax.tree.map(lambda a: lax.stop_gradient(a) if isinstance(a, Array) else a, x)


def is_on_one_device(x: Any) -> bool:
    """Return whether a concrete value is on the host or on a single device."""
    return not isinstance(x, jax.Array) or len(x.devices()) == 1


def x64_is_on() -> bool:
    """Return whether JAX is configured to compute in float64 (jax_enable_x64)."""
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


def to_host_if_cheap(x: Any) -> Any:
    """Return a concrete array as a NumPy array if it is small or on a CPU, where no program is compiled for its shape."""
    if isinstance(x, Tracer) or not isinstance(x, jax.Array) or not is_on_one_device(x):
        return x
    return jax.device_get(x) if on_cpu(x) or x.size <= _SMALL else x


def all_finite(x: Any) -> bool:
    """Return whether all entries of a concrete array are finite."""
    x = to_host_if_cheap(x)
    if memory_map(x) is not None:
        return all(bool(np.isfinite(rows).all()) for _, rows in row_blocks(x))
    return bool(np.isfinite(x).all()) if isinstance(x, np.ndarray) else bool(_all_finite(x))


@jax.jit
def _all_finite(x: Array) -> Array:
    return jnp.isfinite(x).all()


def check_count(value: Any, name: str, low: int, high: int | None, why: str) -> int:
    """Return value as an int; raise if it is not an integer in [low, high], with the reason `why` for the bounds."""
    if isinstance(value, Tracer):
        compare = ", or compare several by jaxlle.choose" if name.startswith("k ") else ""
        raise TypeError(
            f"{name} is traced, by jit, vmap or grad, but it determines the shapes of arrays, and must be a Python integer: "
            f"make it a static argument (static_argnames of jax.jit), or call the function once for each value{compare}."
        )
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.")
    if value < low or value > (_MOST if high is None else high):
        allowed = (
            f"between {low} and {high}" if high is not None else f"at least {low}" if value < low else "below 2^63"
        )
        raise ValueError(f"{name} = {value} is not allowed: it must be {allowed} ({why}).")
    return int(value)


def check_solver(solver: Any, example: str) -> Any:
    """Return a solver other than "auto"; raise unless it can be called. `example` names one, for the message."""
    if isinstance(solver, type):
        raise TypeError(
            f"solver is the class {solver.__name__}, but must be an object of it: pass {solver.__name__}()."
        )
    if not callable(solver):
        raise ValueError(f"solver = {solver!r} is not known: use 'auto' or {example}.")
    return solver


def check_features(x: Any, features: int, name: str, other: str) -> None:
    """Raise unless an array, if given, has as many columns as another one."""
    if x is not None and x.shape[1] != features:
        raise ValueError(
            f"{name} has {x.shape[1]} columns, but {other} has {features}: both must have the same features."
        )


def check_bytes(block_bytes: Any) -> int:
    """Return the memory limit of a block as an int; raise unless it is an integer of at least 1."""
    return check_count(block_bytes, "block_bytes", 1, None, "the memory limit of a block, in bytes")


def check_key(key: Any) -> Array:
    """Return a random key, `jax.random.key(0)` if it is None; raise a TypeError for anything else."""
    if key is None:
        threefry = jax.config.jax_default_prng_impl == "threefry2x32"  # pyright: ignore[reportAttributeAccessIssue]
        # The same key without a program, which jax.random.key compiles.
        return jax.random.wrap_key_data(jax.device_put(np.zeros(2, np.uint32))) if threefry else jax.random.key(0)
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0
    untyped = isinstance(key, jax.Array | np.ndarray) and key.dtype == np.uint32 and key.ndim == 1
    if not (typed or untyped):
        seed = isinstance(key, int | np.integer) and not isinstance(key, bool)
        given, example = (f"the integer {key}", int(key)) if seed else (f"of type {type(key).__name__}", 0)
        raise TypeError(f"key is {given}, but must be one random key: pass jax.random.key({example}).")
    return jnp.asarray(key)


def embedding_points(y: Any) -> Any:
    """Return the points of an `Embedding`, and any other value unchanged, because metrics accept both."""
    return y.points if hasattr(type(y), "rounding_angle") else y


def check_dim(dim: int, k: int, shape: tuple[int, ...], metric: Any) -> int:
    """Validate dim for points of a shape, and warn if k < dim."""
    n, d = shape
    check_count(dim, "dim (n_components)", 1, None, "the number of columns of the embedding")
    check_count(k, "k (n_neighbors)", 1, None, "the number of neighbors per point")
    if metric != "precomputed" and dim > d:
        raise ValueError(
            f"output dimension must be less than or equal to input dimension: dim (n_components) = {dim}, but x has {d} "
            f"feature(s)."
        )
    dim = check_count(dim, "dim (n_components)", 1, n - 1 if n > 1 else None, f"less than the number of points, {n}")
    if k < dim:
        warn_user(f"k = {k} neighbors cannot span dim = {dim} dimensions locally: use k > dim.")
    return dim
