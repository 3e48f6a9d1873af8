"""Co-ranking: agreement with the explicit co-ranking matrix, perfect and random embeddings, and invalid input."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

import jaxlle


def ranks(x):
    return np.argsort(np.argsort(cdist(x, x), axis=1, kind="stable"), axis=1, kind="stable")


def by_matrix(x, y):
    """Return q_nx as sums over the upper left blocks of the explicit co-ranking matrix."""
    n = len(x)
    matrix = np.zeros((n, n), int)
    np.add.at(matrix, (ranks(x).ravel(), ranks(y).ravel()), 1)
    matrix = matrix[1:, 1:]
    return np.array([matrix[:k, :k].sum() / (n * k) for k in range(1, n)])


@pytest.mark.parametrize("features", [3, 20])
def test_the_curves_are_those_of_the_coranking_matrix(features):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, features)).astype(np.float32)
    y = x[:, :2] + 0.3 * rng.normal(size=(90, 2)).astype(np.float32)
    q = by_matrix(x.astype(np.float64), y.astype(np.float64))
    sizes = np.arange(1, 90)
    r = (89 * q[:-1] - sizes[:-1]) / (89 - sizes[:-1])
    for block_bytes in (2**27, 2**17):
        found = jaxlle.metrics.coranking(x, y, block_bytes=block_bytes)
        np.testing.assert_allclose(found.q_nx, q, atol=1e-12)
        np.testing.assert_allclose(found.lcmc, q - sizes / 89, atol=1e-12)
        np.testing.assert_allclose(found.r_nx, r, atol=1e-12)
        np.testing.assert_allclose(found.auc, (r / sizes[:-1]).sum() / (1 / sizes[:-1]).sum(), atol=1e-12)
        assert found.best_k == 1 + np.argmax(q - sizes / 89)


def test_the_area_is_one_for_a_scaled_copy_and_zero_for_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    perfect = jaxlle.metrics.coranking(x, -4 * x)
    assert perfect.auc == 1
    assert perfect.q_nx.max() == perfect.q_nx.min() == 1
    assert abs(jaxlle.metrics.coranking(x, rng.normal(size=(200, 2)).astype(np.float32)).auc) < 0.05


def test_the_rank_of_a_point_from_itself_is_zero_among_duplicates():
    x = np.ones((20, 3), np.float32)
    x[10:] = 5
    assert jaxlle.metrics.coranking(x, x).auc == 1


def test_progress_is_reported():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    seen = []
    jaxlle.metrics.coranking(x, x, block_bytes=2**15, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (50, 50)
    assert len(seen) > 1


def test_invalid_input_raises():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="x has 50 rows and y has 49"):
        jaxlle.metrics.coranking(x, x[1:])
    with pytest.raises(ValueError, match="at least 3"):
        jaxlle.metrics.coranking(x[:2], x[:2])
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda x: jaxlle.metrics.coranking(x, x).auc)(x)
