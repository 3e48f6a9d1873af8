"""Relative rank errors: agreement with their sums over all pairs in NumPy, and invalid input."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxlle import metrics


def pair(features):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, features)).astype(np.float32)
    return x, x[:, :2] + 0.3 * rng.normal(size=(90, 2)).astype(np.float32)


def rank_error(x, y, k):
    r, s = (np.argsort(np.argsort(cdist(a, a), axis=1, kind="stable"), axis=1, kind="stable") for a in (x, y))
    near = (s >= 1) & (s <= k)
    sizes = np.arange(1, k + 1)
    return (np.abs(r - s)[near] / s[near]).sum() / (len(x) * (np.abs(2 * sizes - len(x) - 1) / sizes).sum())


@pytest.mark.parametrize("features", [3, 20])
def test_rank_errors_agree_with_their_sums_in_blocks_of_any_size(features):
    x, y = pair(features)
    for block_bytes in (2**27, 2**17):
        found = metrics.relative_rank_errors(x, y, k=7, block_bytes=block_bytes)
        np.testing.assert_allclose(found.intrusions, rank_error(x, y, 7), rtol=1e-5)
        np.testing.assert_allclose(found.extrusions, rank_error(y, x, 7), rtol=1e-5)


def test_rank_errors_of_a_scaled_copy_are_zero():
    x, _ = pair(3)
    assert metrics.relative_rank_errors(x, -4 * x, k=5) == (0, 0)


def test_invalid_input_raises():
    x, y = pair(3)
    with pytest.raises(ValueError, match="same points"):
        metrics.relative_rank_errors(x, y[:-1], k=3)
    with pytest.raises(ValueError, match="k \\(n_neighbors\\) = 90"):
        metrics.relative_rank_errors(x, y, k=90)
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda x: metrics.relative_rank_errors(x, x, k=3))(x)
