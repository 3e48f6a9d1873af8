"""Relative rank errors and divergence of densities: against their sums over all pairs, written out in NumPy."""

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
    places = np.arange(1, k + 1)
    return (np.abs(r - s)[near] / s[near]).sum() / (len(x) * (np.abs(2 * places - len(x) - 1) / places).sum())


@pytest.mark.parametrize("features", [3, 20])
def test_relative_rank_errors_are_their_sums_in_blocks_of_any_size(features):
    x, y = pair(features)
    for block_bytes in (2**27, 2**17):
        found = metrics.relative_rank_errors(x, y, k=7, block_bytes=block_bytes)
        np.testing.assert_allclose(found.intrusions, rank_error(x, y, 7), rtol=1e-5)
        np.testing.assert_allclose(found.extrusions, rank_error(y, x, 7), rtol=1e-5)


@pytest.mark.parametrize("features", [3, 20])
def test_the_divergence_of_densities_is_its_sum_in_blocks_of_any_size(features):
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


def test_both_are_zero_for_similar_points_and_blind_to_scale_and_offset():
    x, y = pair(3)
    moved = 1e3 * y[:, ::-1] - 7e3
    assert metrics.relative_rank_errors(x, -4 * x, k=5) == (0, 0)
    assert abs(metrics.density_divergence(x, -4 * x, sigma=0.1)) < 1e-6
    np.testing.assert_allclose(
        metrics.density_divergence(x, moved, sigma=0.1), metrics.density_divergence(x, y, sigma=0.1), rtol=1e-3
    )


def test_bad_input_is_refused():
    x, y = pair(3)
    with pytest.raises(ValueError, match="same points"):
        metrics.relative_rank_errors(x, y[:-1], k=3)
    with pytest.raises(ValueError, match="k \\(n_neighbors\\) = 90"):
        metrics.relative_rank_errors(x, y, k=90)
    with pytest.raises(ValueError, match="sigma = 0"):
        metrics.density_divergence(x, y, sigma=0)
    with pytest.raises(ValueError, match="equal"):
        metrics.density_divergence(x, np.ones_like(y), sigma=0.1)
    with pytest.raises(ValueError, match="NaN"):
        metrics.density_divergence(x, np.nan * y, sigma=0.1)
