"""Deformed copies of digits, and the pixels of the windows of a convolution, which the studies share."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, UInt8

# Largest shear, change of scale and rotation (in radians), and largest shift in pixels.
MILD, STRONG = (0.1, 1.2), (0.2, 2.0)
BEND = 0.6  # standard deviation of the local displacements in pixels, smooth over 4 pixels (Simard et al. 2003)


@partial(jax.jit, static_argnames=("copies", "strength"))
def deform(
    x: Float[Array, "n 784"], key: Key[Array, ""], copies: int, strength: tuple[float, float]
) -> UInt8[Array, "n copies 784"]:
    """Return copies of every digit, each with a random linear map, shift and smooth displacement field, times 255."""
    amount, shift = strength
    places = jnp.mgrid[:28, :28] - 13.5
    smooth = np.exp(-((np.arange(28)[:, None] - np.arange(28)) ** 2) / 32)
    smooth = jnp.asarray(smooth / np.sqrt((smooth**2).sum(axis=1, keepdims=True)), x.dtype)

    def one(image: Float[Array, "28 28"], key: Key[Array, ""]) -> UInt8[Array, " 784"]:
        keys = jax.random.split(key, 3)
        matrix = jnp.eye(2) + amount * jax.random.uniform(keys[0], (2, 2), minval=-1)
        moved = jnp.einsum("ij,jrc->irc", matrix, places) + 13.5
        moved += shift * jax.random.uniform(keys[1], (2, 1, 1), minval=-1)
        moved += BEND * smooth @ jax.random.normal(keys[2], (2, 28, 28)) @ smooth.T
        return jnp.round(255 * jax.scipy.ndimage.map_coordinates(image, list(moved), order=1)).ravel().astype(jnp.uint8)

    keys = jax.random.split(key, (len(x), copies))
    some = jax.vmap(one, in_axes=(None, 0))
    return lax.map(lambda pair: some(*pair), (x.reshape(-1, 28, 28), keys), batch_size=50)


def _windows() -> np.ndarray:
    """Return the pixels of the 5 x 5 windows with stride 3, grouped by the four that the second convolution combines."""
    corner = 3 * np.arange(8).reshape(4, 2)
    pixel = np.arange(5)
    rows = corner[:, None, :, None, None, None] + pixel[:, None]
    columns = corner[None, :, None, :, None, None] + pixel
    return (28 * rows + columns).ravel()


WINDOWS = _windows()
