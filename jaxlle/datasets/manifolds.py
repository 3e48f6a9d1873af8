"""Samples of manifolds with known parameters, as pure functions of a JAX key."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core.arrays import check_sample


class Manifold(NamedTuple):
    """Points on a manifold with their parameters.

    Attributes:
        points: coordinates, shape (n, 3).
        parameters: intrinsic coordinates, shape (n, p), p = 1 or 2; see each manifold. For the Swiss rolls and the S-curve they
            are isometric: geodesic distances on the manifold are Euclidean distances of the parameters.
    """

    points: Float[Array, "n 3"]
    parameters: Float[Array, "n p"]


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


MANIFOLDS: dict[str, Callable[..., Manifold]] = {
    f.__name__: f for f in (swiss_roll, broken_swiss_roll, s_curve, severed_sphere, torus, helix, twin_peaks)
}


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
