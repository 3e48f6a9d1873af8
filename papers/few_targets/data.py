"""The images of the study, with their targets: a rendered object, windows of two photographs, and turned digits."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from sklearn.datasets import load_sample_image

import jaxlle

SIDE = 20  # pixels along a side of an image
OBJECT_DEGREES, DIGIT_DEGREES = 30.0, 60.0  # the angles of a target of 1
PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # of even and of odd seeds
REDUCTION = 8  # pixels along a side of the squares of a photograph that are averaged

# Center and brightness of the balls of the rendered object. The axes point to the right, upward and toward the viewer.
BALLS = np.array(
    [
        (0.0, 0.0, 0.0, 0.6),
        (0.55, 0.1, 0.15, 0.9),
        (-0.25, 0.5, 0.3, 0.75),
        (-0.1, -0.55, -0.1, 1.0),
        (0.1, 0.15, 0.6, 0.85),
    ]
)
WIDTH = 0.25  # standard deviation of the light of a ball


class Data(NamedTuple):
    """The pool, whose first images are the labeled ones, and new images outside the graph. Targets are in [-1, 1].

    The images are centered by the mean of the pool and divided by the largest standard deviation of a pixel.
    """

    x: Float[Array, "n pixels"]
    targets: Float[Array, "n c"]
    new_x: Float[Array, "m pixels"]
    new_targets: Float[Array, "m c"]


def draw_images(name: str, seed: int, pool: int, new: int) -> Data:
    """Draw the pool and the new images of a data set; the digits of the two are different."""
    if name not in SOURCES:
        raise ValueError(f"The data set {name!r} is not known: use one of {', '.join(SOURCES)}.")
    if min(pool, new) < 1:
        raise ValueError(f"pool = {pool} and new = {new} must be positive numbers of images.")
    rng = np.random.default_rng([list(SOURCES).index(name), seed])
    (x, targets), (new_x, new_targets) = SOURCES[name](seed, rng, pool, new)
    center, scale = np.mean(x, axis=0), np.std(x, axis=0).max()  # changes no neighbors
    x, new_x = (x - center) / scale, (new_x - center) / scale
    return Data(*(jnp.asarray(a, jnp.float32) for a in (x, targets, new_x, new_targets)))


def _objects(seed: int, rng: np.random.Generator, pool: int, new: int) -> list[tuple]:
    angles = [rng.uniform(-1, 1, (n, 2)) for n in (pool, new)]
    return [(render(jnp.asarray(np.deg2rad(OBJECT_DEGREES) * a)), a) for a in angles]


@jax.jit
def render(
    angles: Float[Array, "n 2"], balls: Float[Array, "b 4"] | Float[np.ndarray, "b 4"] = BALLS
) -> Float[Array, "n pixels"]:
    """Render the balls seen from the front, turned about the vertical axis and then about the horizontal one.

    The light of a ball falls off as a Gaussian from its center, so that its image is a Gaussian of the same width, and the
    images of the balls are added. A ball is brighter the closer it is to the viewer.
    """
    grid = (jnp.arange(SIDE) + 0.5) / SIDE * 2 - 1

    def one(angles: Float[Array, " 2"]) -> Float[Array, " pixels"]:
        (a, b), (c, d) = jnp.cos(angles), jnp.sin(angles)
        about_vertical = jnp.array([[a, 0, c], [0, 1, 0], [-c, 0, a]])
        about_horizontal = jnp.array([[1, 0, 0], [0, b, -d], [0, d, b]])
        x, y, z = about_horizontal @ about_vertical @ balls[:, :3].T
        across, down = (jnp.exp(-((p - q[:, None]) ** 2) / (2 * WIDTH**2)) for p, q in ((grid, x), (-grid, y)))
        return jnp.einsum("b,bi,bj->ij", balls[:, 3] * (0.6 + 0.4 * z), down, across).ravel()

    return jax.vmap(one)(jnp.asarray(angles, jnp.float32))


def _windows(seed: int, rng: np.random.Generator, pool: int, new: int) -> list[tuple]:
    image = photograph(PHOTOGRAPHS[seed % 2])
    places = [rng.uniform(-1, 1, (n, 2)) for n in (pool, new)]
    return [(windows(image, p), p) for p in places]


def photograph(file: str) -> Float[np.ndarray, "rows columns"]:
    """Return one of scikit-learn's photographs in gray, from 0 to 1, reduced to the means of squares of pixels."""
    gray = load_sample_image(file).mean(axis=2) / 255
    rows, columns = (size // REDUCTION for size in gray.shape)
    gray = gray[: rows * REDUCTION, : columns * REDUCTION]
    return gray.reshape(rows, REDUCTION, columns, REDUCTION).mean(axis=(1, 3))


def windows(image: Float[np.ndarray, "rows columns"], places: Float[np.ndarray, "n 2"]) -> Float[Array, "n pixels"]:
    """Cut windows; a place (-1, -1) is the upper left corner of the image and (1, 1) the lower right one."""
    free = np.array(image.shape) - SIDE
    corners = (places + 1) / 2 * free
    row, column = np.mgrid[:SIDE, :SIDE]
    return _interpolated(jnp.asarray(image), corners[:, :1] + row.ravel(), corners[:, 1:] + column.ravel())


@jax.jit
def _interpolated(image: Array, rows: Array, columns: Array) -> Array:
    return jax.scipy.ndimage.map_coordinates(image, [rows, columns], order=1)


def _turned_digits(classes: tuple[int, ...], seed: int, rng: np.random.Generator, pool: int, new: int) -> list[tuple]:
    """Turn digits by random angles. A fifth of the digits is for the new images only; each may appear several times."""
    digits = jaxlle.datasets.mnist()
    chosen = rng.permutation(np.flatnonzero(np.isin(np.asarray(digits.labels), classes)))
    cut = len(chosen) // 5
    drawn = []
    for own, n in ((chosen[cut:], pool), (chosen[:cut], new)):
        place = rng.uniform(-1, 1, (n, 1))
        rows = np.resize(own, n)
        images = np.asarray(digits.points)[rows].reshape(-1, 28, 28)
        drawn.append((turn(images, np.deg2rad(DIGIT_DEGREES) * place[:, 0]), place))
    return drawn


@jax.jit
def turn(images: Float[Array, "n 28 28"], angles: Float[Array, " n"]) -> Float[Array, "n 196"]:
    """Turn images about their center, counterclockwise, and average 2 x 2 pixels."""
    row, column = jnp.mgrid[:28, :28] - 13.5

    def one(pair: tuple[Array, Array]) -> Array:
        image, angle = pair
        c, s = jnp.cos(angle), jnp.sin(angle)
        turned = jax.scipy.ndimage.map_coordinates(
            image, [13.5 + c * row + s * column, 13.5 + c * column - s * row], order=1
        )
        return turned.reshape(14, 2, 14, 2).mean(axis=(1, 3)).ravel()

    return lax.map(one, (jnp.asarray(images), jnp.asarray(angles)), batch_size=256)


SOURCES = {
    "object": _objects,
    "photographs": _windows,
    "threes": partial(_turned_digits, (3,)),
    "digits": partial(_turned_digits, tuple(range(10))),
}
