"""Kullback-Leibler divergence between the densities of the data and of the embedding."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Real

from .._core.arrays import check_number
from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_bytes
from ._inputs import prepare_pair, require_concrete
from ._ranks import exact_distances, row_blocks, row_bytes, squared_distances


def density_divergence(x: Any, y: Any, *, sigma: Real[ArrayLike, ""], block_bytes: int = BLOCK_BYTES) -> float:
    """Measure the Kullback-Leibler divergence between the densities of the data and of the embedding, at one length scale.

    ``KL(p || q)`` with ``p_i ~ sum_j exp(-|x_i - x_j|^2 / (sigma max |x_i - x_j|^2))`` and q the same for the embedding, both
    normalized over the points: KL_sigma of the topological autoencoders (Moor et al. 2020, ICML), after the distance to a measure
    of Chazal, Cohen-Steiner and Merigot (2011).

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        sigma: length scale, relative to the largest squared distance: 0.01 is local, 1 is global. As in the code of the paper, it
            is not squared.
        block_bytes: memory that one block of points may take.

    Returns:
        The divergence, at least 0, on the host. Time n^2.

    Raises:
        ValueError: if x or y is not an array of finite numbers or all its points are equal, they differ in their numbers of rows,
            n < 3, or sigma <= 0.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> abs(jaxlle.metrics.density_divergence(x, 2 * x, sigma=0.1)) < 1e-6
        True
    """
    require_concrete("density_divergence", x, y, sigma)
    data, embedding = prepare_pair(x, y)
    check_number(sigma, "sigma", "positive, a fraction of the largest squared distance", lambda value: value > 0)
    scale, block_bytes = float(np.asarray(sigma)), check_bytes(block_bytes)
    with exact_distances(data.coordinates, embedding.coordinates) as both:
        p, q = (_density(points, scale, block_bytes) for points in both)
    return float(np.sum(p * (np.log(p) - np.log(q))))


def _density(points: Array, sigma: float, block_bytes: int) -> Float[np.ndarray, " n"]:
    """Return the density at every point, normalized to the sum 1."""
    blocks = list(row_blocks(points.shape[0], block_bytes, row_bytes(6, points)))
    largest = max(float(_largest_square(points, ids)) for ids, _ in blocks)
    if largest == 0:
        raise ValueError("All points of x or of y are equal: they have no distances to compare.")
    sums = [np.asarray(_kernel_sums(points, ids, 1 / (sigma * largest)), np.float64)[valid] for ids, valid in blocks]
    density = np.concatenate(sums)
    return density / density.sum()


@jax.jit
def _largest_square(points: Float[Array, "n d"], ids: Int[Array, " b"]) -> Float[Array, ""]:
    return squared_distances(points, ids).max()


@jax.jit
def _kernel_sums(points: Float[Array, "n d"], ids: Int[Array, " b"], rate: float | Array) -> Float[Array, " b"]:
    return jnp.exp(-rate * squared_distances(points, ids)).sum(axis=1)
