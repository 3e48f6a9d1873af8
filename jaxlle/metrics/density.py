"""Kullback-Leibler divergence between the densities of the data and of the embedding."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES
from ._ranks import _pair, _rows, _starts, block_rows, exact_distances, squares_to_all


def density_divergence(x: Any, y: Any, *, sigma: Real[ArrayLike, ""], block_bytes: int = BLOCK_BYTES) -> float:
    """Measure the Kullback-Leibler divergence of the densities in data and embedding, at one scale.

    ``KL(p || q)`` with ``p_i ~ sum_j exp(-|x_i - x_j|^2 / (sigma max |x_i - x_j|^2))`` and q the same of the embedding, both
    normalised over the points (Moor et al. 2020, ICML, after Chazal, Cohen-Steiner and Merigot 2011): KL_sigma of the
    Topological autoencoders.

    Args:
        x: the data, shape (n, d).
        y: the embedding, an Embedding or shape (n, c).
        sigma: length scale: 0.01 is local, 1 global. Not squared, as in the paper's code.
        block_bytes: memory that one block of points may take.

    Returns:
        The divergence, at least 0; on the host.

    Raises:
        ValueError: for points that are not finite numbers or all equal, unequal numbers of rows, or sigma <= 0.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> abs(jaxlle.metrics.density_divergence(x, 2 * x, sigma=0.1)) < 1e-6
        True
    """
    base, other = _pair(x, y)
    scale = float(np.asarray(sigma))
    if not scale > 0:
        raise ValueError(
            f"sigma = {sigma} is not allowed: it must be positive, a share of the largest squared distance."
        )
    with exact_distances(base, other) as (base, other):
        p, q = (_density(points, scale, block_bytes) for points in (base, other))
    return float(np.sum(p * (np.log(p) - np.log(q))))


def _density(points: Array, sigma: float, block_bytes: int) -> np.ndarray:
    """Return the density at every point, up to a factor that makes it sum to one."""
    rows = block_rows(points, points, block_bytes)
    starts = _starts(points, rows)
    largest = max(float(_farthest(points, start, rows)) for start in starts)
    if largest == 0:
        raise ValueError("All points of x or of y are equal: they have no distances to compare.")
    sums = [np.asarray(_kernel_sums(points, start, 1 / (sigma * largest), rows), np.float64) for start in starts]
    density = np.concatenate(sums)[: len(points)]
    return density / density.sum()


@partial(jax.jit, static_argnames=("rows",))
def _farthest(points: Float[Array, "n d"], start: Any, rows: int) -> Float[Array, ""]:
    return squares_to_all(points, _rows(points, start, rows)[0]).max()


@partial(jax.jit, static_argnames=("rows",))
def _kernel_sums(points: Float[Array, "n d"], start: Any, rate: Any, rows: int) -> Float[Array, " b"]:
    return jnp.exp(-rate * squares_to_all(points, _rows(points, start, rows)[0])).sum(axis=1)
