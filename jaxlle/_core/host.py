"""NumPy functions inside a compiled computation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array


def on_host(function: Callable[[np.ndarray], np.ndarray], b: Array) -> Array:
    """Return ``function(b)``, computed by NumPy on the host.

    JAX may call back from a thread of its own, to which the context manager ``jax.enable_x64`` does not extend. It would round
    float64 arguments to float32 and raise for float64 results, so float64 is passed as its bits.

    Args:
        function: returns an array of the shape and dtype of its argument; under vmap it is called once per element of the batch.
        b: any floating-point array.

    Returns:
        Array of the shape and dtype of b.
    """
    if b.dtype != jnp.float64:
        return _call(lambda x: np.asarray(function(x), x.dtype), b)

    def through_bits(bits: np.ndarray) -> np.ndarray:
        return np.asarray(function(bits.view(np.float64)[..., 0]), np.float64)[..., None].view(np.uint32)

    return lax.bitcast_convert_type(_call(through_bits, lax.bitcast_convert_type(b, jnp.uint32)), jnp.float64)


def _call(function: Callable[[np.ndarray], np.ndarray], b: Array) -> Array:
    shape = jax.ShapeDtypeStruct(b.shape, b.dtype)
    return jax.pure_callback(lambda x: function(np.asarray(x)), shape, b, vmap_method="sequential")
