"""Divergence of densities: agreement with its sum over all pairs in NumPy, invariance, and invalid input."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxlle import metrics


def pair(features):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, features)).astype(np.float32)
    return x, x[:, :2] + 0.3 * rng.normal(size=(90, 2)).astype(np.float32)


@pytest.mark.parametrize("features", [3, 20])
def test_the_divergence_agrees_with_its_sum_in_blocks_of_any_size(features):
    x, y = pair(features)
    densities = []
    for points in (x, y):
        squares = cdist(points, points) ** 2
        density = np.exp(-squares / (0.1 * squares.max())).sum(axis=1)
        densities.append(density / density.sum())
    p, q = densities
    for block_bytes in (2**27, 2**17):
        found = metrics.density_divergence(x, y, sigma=0.1, block_bytes=block_bytes)
        np.testing.assert_allclose(found, (p * np.log(p / q)).sum(), rtol=1e-4)


def test_the_divergence_is_zero_for_a_scaled_copy_and_does_not_depend_on_scale_and_offset():
    x, y = pair(3)
    moved = 1e3 * y[:, ::-1] - 7e3
    assert abs(metrics.density_divergence(x, -4 * x, sigma=0.1)) < 1e-6
    np.testing.assert_allclose(
        metrics.density_divergence(x, moved, sigma=0.1), metrics.density_divergence(x, y, sigma=0.1), rtol=1e-3
    )


def test_invalid_input_raises():
    x, y = pair(3)
    with pytest.raises(ValueError, match="sigma = 0"):
        metrics.density_divergence(x, y, sigma=0)
    with pytest.raises(ValueError, match="equal"):
        metrics.density_divergence(x, np.ones_like(y), sigma=0.1)
    with pytest.raises(ValueError, match="NaN"):
        metrics.density_divergence(x, np.nan * y, sigma=0.1)
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda x: metrics.density_divergence(x, x, sigma=0.1))(x)
