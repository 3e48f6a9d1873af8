"""Matching of two sets: comparison with all distances by NumPy, extreme cases, and invalid arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlle.metrics import foscttm, matching_accuracy

RNG = np.random.default_rng(0)
A, B = (RNG.normal(size=(n, 3)).astype(np.float32) for n in (40, 55))
PAIRS = np.stack([RNG.choice(40, 25, replace=False), RNG.choice(55, 25, replace=False)], axis=1)


def oracle(a, b, pairs):
    """Return for each pair how many other points are closer than the partner, from a to b and from b to a."""
    distances = np.linalg.norm(a[:, None].astype(float) - b[None], axis=2)
    return [
        np.array([np.sum(d[i] < d[i, j]) for i, j in rows])
        for d, rows in ((distances, pairs), (distances.T, pairs[:, ::-1]))
    ]


@pytest.mark.parametrize("block_bytes", [2**27, 2000])
def test_both_measures_are_those_of_all_distances(block_bytes):
    forward, backward = oracle(A, B, PAIRS)
    for k in (1, 5, 40):
        expected = np.concatenate([forward < k, backward < k]).mean()
        np.testing.assert_allclose(
            matching_accuracy(A, B, k=k, pairs=PAIRS, block_bytes=block_bytes), expected, rtol=1e-6
        )
    expected = ((forward / 54).mean() + (backward / 39).mean()) / 2
    np.testing.assert_allclose(foscttm(A, B, pairs=PAIRS, block_bytes=block_bytes), expected, rtol=1e-6)


def test_without_pairs_row_i_belongs_to_row_i():
    rows = np.arange(40)[:, None].repeat(2, axis=1)
    assert matching_accuracy(A, B[:40], k=3) == matching_accuracy(A, B[:40], k=3, pairs=rows)
    assert foscttm(A, B[:40]) == foscttm(A, B[:40], pairs=rows)


def test_equal_sets_match_fully_and_opposite_ones_not_at_all():
    line = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    assert matching_accuracy(line, line, k=1) == 1
    assert foscttm(line, line) == 0
    far = np.array([[0.0], [1.0], [10.0], [11.0]], np.float32)
    assert foscttm(far[:2], far[:2], pairs=[[0, 1], [1, 0]]) == 1
    assert matching_accuracy(far, far[[2, 3, 0, 1]], k=2) == 0


def test_tight_clusters_of_many_features_far_from_the_center_are_compared_exactly():
    sides = [1000 * (-1) ** np.arange(len(x))[:, None] for x in (A, B)]
    a, b = (np.float32(np.pad(x, ((0, 0), (0, 20))) + side) for x, side in zip((A, B), sides, strict=True))
    forward, backward = oracle(a, b, PAIRS)
    expected = ((forward / 54).mean() + (backward / 39).mean()) / 2
    np.testing.assert_allclose(foscttm(a, b, pairs=PAIRS), expected, rtol=1e-6)


def test_results_under_jit_are_those_without():
    assert jax.jit(lambda a, b: foscttm(a, b, pairs=PAIRS, block_bytes=2000))(A, B) == foscttm(A, B, pairs=PAIRS)
    assert jax.jit(lambda a, b: matching_accuracy(a, b, pairs=PAIRS))(A, B) == matching_accuracy(A, B, pairs=PAIRS)


@pytest.mark.parametrize("measure", [matching_accuracy, foscttm])
def test_invalid_arguments_raise(measure):
    with pytest.raises(ValueError, match="a has 40 rows and b has 55: pass the pairs"):
        measure(A, B)
    with pytest.raises(ValueError, match="a has 3 columns, but b has 2"):
        measure(A, B[:, :2], pairs=PAIRS)
    with pytest.raises(ValueError, match=r"pairs ranges from .* in column 1, but that set has 55 points"):
        measure(A, B, pairs=PAIRS + np.array([0, 55]))
    with pytest.raises(ValueError, match="b contains NaN"):
        measure(A, B * np.nan, pairs=PAIRS)
    with pytest.raises(TypeError, match="pairs is traced"):
        jax.jit(lambda pairs: measure(A, B, pairs=pairs))(jnp.asarray(PAIRS))


def test_sizes_that_a_measure_needs_are_checked():
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 41 is not allowed: it must be between 1 and 40"):
        matching_accuracy(A, B, k=41, pairs=PAIRS)
    with pytest.raises(ValueError, match="the number of points of each set = 1 is not allowed"):
        foscttm(A[:1], B[:1])
