"""Functions of NumPy inside a compiled computation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array


def on_host(function: Callable[[np.ndarray], np.ndarray], b: Array) -> Array:
    """Return ``function(b)``, computed by NumPy on the host and of b's shape and dtype; vmap calls it once a row.

    JAX may call back from a thread of its own, which does not know that the one that traced was inside ``jax.enable_x64``: it
    would round float64 to float32 on the way in, and refuse it on the way out. So float64 travels as its bits, which any
    thread leaves as they are.
    """
    if b.dtype != jnp.float64:
        return _call(lambda x: np.asarray(function(x), x.dtype), b)

    def through_bits(bits: np.ndarray) -> np.ndarray:
        return np.asarray(function(bits.view(np.float64)[..., 0]), np.float64)[..., None].view(np.uint32)

    return lax.bitcast_convert_type(_call(through_bits, lax.bitcast_convert_type(b, jnp.uint32)), jnp.float64)


def _call(function: Callable[[np.ndarray], np.ndarray], b: Array) -> Array:
    shape = jax.ShapeDtypeStruct(b.shape, b.dtype)
    return jax.pure_callback(lambda x: function(np.asarray(x)), shape, b, vmap_method="sequential")
