"""Trustworthiness and continuity: agreement with scikit-learn, exact ranks at any size, and invalid input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from jaxlle import metrics
from jaxlle.metrics._ranks import ranks_of_listed


def pair(n=150, d=5, seed=0):
    """Return data and an embedding that preserves some of its neighborhoods."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, x[:, :2] + 0.1 * rng.normal(size=(n, 2))


def ranks(x):
    """Return the rank of each point by distance from each point, from 1; ties by index; the point itself last."""
    squares = ((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    order = np.argsort(squares, axis=1, kind="stable")
    out = np.empty_like(order)
    np.put_along_axis(out, order, np.arange(1, len(x) + 1)[None, :], axis=1)
    return out


def reference(x, y, k):
    n, near, rank = len(x), ranks(np.asarray(y, np.float64)) <= k, ranks(np.asarray(x, np.float64))
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * np.maximum(rank - k, 0)[near].sum()


@pytest.mark.parametrize(("d", "k"), [(3, 1), (3, 30), (16, 5), (17, 5), (40, 30)])
def test_trustworthiness_matches_scikit_learn_in_float64(x64, d, k):
    x, y = pair(d=d)
    ours = metrics.trustworthiness(x, y, k=k)
    np.testing.assert_allclose(ours, sklearn_trustworthiness(x, y, n_neighbors=k), rtol=1e-13)
    assert ours.dtype == np.float64


@pytest.mark.parametrize("d", [3, 40])
def test_continuity_is_the_trustworthiness_of_scikit_learn_with_data_and_embedding_exchanged(x64, d):
    x, y = pair(d=d)
    np.testing.assert_allclose(metrics.continuity(x, y, k=7), sklearn_trustworthiness(y, x, n_neighbors=7), rtol=1e-13)


@pytest.mark.slow_cases("40")
@pytest.mark.parametrize("d", [3, 40])
def test_the_mean_over_some_rows_is_that_of_their_ranks(x64, d):
    x, y = pair(d=d)
    rows = np.random.default_rng(1).permutation(150)
    near, excess = ranks(y) <= 4, np.maximum(ranks(x) - 4, 0)
    for part in (rows[:37], rows[37:]):
        expected = 1 - 2 / (len(part) * 4 * (300 - 12 - 1)) * excess[part][near[part]].sum()
        np.testing.assert_allclose(
            metrics.trustworthiness(x, y, k=4, rows=part, block_bytes=20_000), expected, rtol=1e-13
        )
        jitted = jax.jit(lambda x, y, part: metrics.trustworthiness(x, y, k=4, rows=part))(x, y, part)
        np.testing.assert_allclose(jitted, expected, rtol=1e-12)
    assert metrics.continuity(x, y, k=4, rows=rows) == metrics.continuity(x, y, k=4)
    for rows, message in (([0, 150], "rows ranges from 0 to 150"), ([3, 3], "rows lists point 3"), ([], "integer row")):
        with pytest.raises(ValueError, match=message):
            metrics.trustworthiness(x, y, k=4, rows=rows)


@pytest.mark.parametrize(("d", "levels", "k"), [(2, 2, 1), (2, 2, 29), (5, 4, 3), (20, 2, 3)])
def test_ties_and_duplicates_are_ranked_by_index(d, levels, k):
    rng = np.random.default_rng(1)
    x = rng.integers(0, levels, (60, d)).astype(np.float32)
    y = rng.integers(0, 4, (60, 2)).astype(np.float32)
    np.testing.assert_allclose(metrics.trustworthiness(x, y, k=k), reference(x, y, k), rtol=1e-6)
    np.testing.assert_allclose(metrics.continuity(x, y, k=k), reference(y, x, k), rtol=1e-6)


def test_the_score_is_between_zero_and_one_for_the_largest_allowed_k():
    x, rng = np.arange(7, dtype=np.float32)[:, None], np.random.default_rng(0)
    for _ in range(20):
        y = rng.permutation(x)
        value = float(metrics.trustworthiness(x, y, k=3))
        assert 0 <= value <= 1
        assert value == pytest.approx(reference(x, y, 3), abs=1e-6)


@pytest.mark.parametrize(("d", "block_bytes"), [(4, 1), (25, 20_000)])
def test_neither_blocks_nor_jit_change_the_score(d, block_bytes):
    x, y = pair(n=101, d=d)
    x, y = x.astype(np.float32), y.astype(np.float32)
    whole = metrics.trustworthiness(x, y, k=4)
    assert float(metrics.trustworthiness(x, y, k=4, block_bytes=block_bytes)) == float(whole)
    inside = jax.jit(partial(metrics.trustworthiness, k=4, block_bytes=block_bytes))(x, y)
    np.testing.assert_allclose(inside, whole, rtol=1e-6)


@pytest.mark.slow
def test_vmap_agrees_with_eager_calls():
    pairs = [pair(n=60, d=25, seed=s) for s in range(3)]
    xs, ys = (jnp.asarray(np.stack(a), jnp.float32) for a in zip(*pairs, strict=True))
    one = partial(metrics.trustworthiness, k=4)
    eager = [float(one(x, y)) for x, y in zip(xs, ys, strict=True)]
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(xs, ys), eager, rtol=1e-6)


@pytest.mark.slow_cases("0-30")
@pytest.mark.parametrize("d", [8, 30])
@pytest.mark.parametrize("distance", [0, 1e3])
def test_float32_agrees_with_float64_within_1e_5_also_for_distant_clusters(d, distance):
    x, y = pair(n=200, d=d)
    x[::2] += distance
    x, y = x.astype(np.float32), y.astype(np.float32)  # the same values for both
    exact = sklearn_trustworthiness(x.astype(np.float64), y.astype(np.float64), n_neighbors=10)
    np.testing.assert_allclose(metrics.trustworthiness(x, y, k=10), exact, atol=1e-5)
    np.testing.assert_allclose(metrics.continuity(y, x, k=10), metrics.trustworthiness(x, y, k=10), atol=1e-6)


@pytest.mark.slow_cases("30-1e+20")
@pytest.mark.parametrize(("d", "scale"), [(3, 1e-20), (30, 1e20)])
def test_the_score_of_a_scaled_copy_is_exactly_one(d, scale):
    x = pair(n=90, d=d)[0].astype(np.float32)
    assert float(metrics.trustworthiness(x, np.float32(scale) * x, k=44)) == 1
    assert float(metrics.continuity(np.float32(scale) * x, x, k=44)) == 1


@pytest.mark.slow
def test_sums_of_ranks_are_exact_at_three_thousand_points(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2)).astype(np.float32)
    y = rng.permutation(x)
    k = 20  # 60,000 ranks of about 1,500 sum to 9e7, beyond the integers that float32 represents exactly
    expected = reference(x, y, k)
    wide = metrics.trustworthiness(x.astype(np.float64), y.astype(np.float64), k=k)
    np.testing.assert_allclose(wide, expected, rtol=1e-13)
    with jax.enable_x64(False):
        np.testing.assert_allclose(metrics.trustworthiness(x, y, k=k), expected, rtol=1e-6)


@pytest.mark.slow
def test_the_sum_of_the_ranks_of_one_point_may_exceed_two_to_the_31():
    # The neighbors of point 0 on a line are set to the 40,000 farthest of 120,000 points, whose ranks are 80,000 to 119,999.
    n, k = 120_000, 40_000
    line = jnp.arange(n, dtype=jnp.float32)[:, None]
    listed = jnp.arange(n - k, n, dtype=jnp.int32)[None]
    excess = np.asarray(ranks_of_listed(line, jnp.zeros(1, jnp.int32), listed)) - k
    np.testing.assert_array_equal(excess[:, 0], np.arange(n - k, n) - k)
    assert excess.sum(dtype=np.int64) > 2**31


@pytest.mark.slow
def test_the_score_of_a_random_permutation_of_many_points_is_that_of_chance():
    # Neighbors in y are uniform among the other points, so a rank r is uniform on 1, ..., n - 1 and the mean of max(r - k, 0)
    # is (n - k)(n - k - 1) / 2 / (n - 1); the score is about 0.5. The ranks sum to 3.1e9, above 2^31.
    n, k = 25_000, 10
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    excess = (n - k) * (n - k - 1) / 2 / (n - 1)
    expected = 1 - 2 * excess / (2 * n - 3 * k - 1)
    # The mean of n k ranks of standard deviation n / sqrt(12). Points that are close have common neighbors and thus correlated
    # ranks: in the worst case a group of k + 1 points counts as one sample.
    spread = 2 * (n / np.sqrt(12)) / np.sqrt(n * k / (k + 1)) / (2 * n - 3 * k - 1)
    calls = []
    value = metrics.trustworthiness(x, rng.permutation(x), k=k, progress=lambda *call: calls.append(call))
    assert abs(float(value) - expected) < 5 * spread
    assert calls[-1] == (n, n)
    assert len(calls) > 1


@pytest.mark.parametrize("d", [3, 30])
def test_progress_rises_to_the_number_of_points(d):
    x, y = pair(n=100, d=d)
    calls = []
    metrics.trustworthiness(
        x.astype(np.float32),
        y.astype(np.float32),
        block_bytes=30_000,
        progress=lambda *call: calls.append(call),
    )
    done = [call[0] for call in calls]
    assert len(done) > 2
    assert done == sorted(set(done))
    assert calls[-1] == (100, 100)
    assert {call[1] for call in calls} == {100}


@pytest.mark.parametrize("measure", [metrics.trustworthiness, metrics.continuity])
def test_invalid_input_raises(measure):
    x, y = (a.astype(np.float32) for a in pair(n=20))
    with pytest.raises(ValueError, match=r"k .* = 10 is not allowed: .* n_samples / 2 = 10"):
        measure(x, y, k=10)
    with pytest.raises(ValueError, match=r"k .* = 0 is not allowed"):
        measure(x, y, k=0)
    with pytest.raises(ValueError, match="x has 20 rows and y has 19"):
        measure(x, y[1:])
    with pytest.raises(ValueError, match="y contains NaN"):
        measure(x, np.where(np.arange(20)[:, None] == 3, np.nan, y).astype(np.float32))
    with pytest.raises(ValueError, match="x contains NaN"):
        measure(np.full_like(x, np.inf), y)
    with pytest.raises(ValueError, match="Expected 2D array"):
        measure(x, y[:, 0])
