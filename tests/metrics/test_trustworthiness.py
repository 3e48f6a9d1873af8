"""Rank measures, label accuracy, Procrustes and subspace angles against oracles and identities."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
from jax.test_util import check_grads
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.neighbors import KNeighborsClassifier

import jaxlle
from jaxlle import metrics
from jaxlle.metrics.trustworthiness import _rank_excess


def pair(n=150, d=5, seed=0):
    """Data and an embedding that keeps some of its neighbourhoods."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, x[:, :2] + 0.1 * rng.normal(size=(n, 2))


def ranks(x):
    """Rank of each point by distance from each point, from 1; ties by index; the point itself last."""
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
def test_continuity_is_scikit_learns_trustworthiness_with_the_roles_exchanged(x64, d):
    x, y = pair(d=d)
    np.testing.assert_allclose(metrics.continuity(x, y, k=7), sklearn_trustworthiness(y, x, n_neighbors=7), rtol=1e-13)


@pytest.mark.parametrize(("d", "levels", "k"), [(2, 2, 1), (2, 2, 29), (5, 4, 3), (20, 2, 3)])
def test_ties_and_copies_are_ranked_by_index(d, levels, k):
    rng = np.random.default_rng(1)
    x = rng.integers(0, levels, (60, d)).astype(np.float32)
    y = rng.integers(0, 4, (60, 2)).astype(np.float32)
    np.testing.assert_allclose(metrics.trustworthiness(x, y, k=k), reference(x, y, k), rtol=1e-6)
    np.testing.assert_allclose(metrics.continuity(x, y, k=k), reference(y, x, k), rtol=1e-6)


def test_largest_k_below_half_of_the_points_is_within_zero_and_one():
    x, rng = np.arange(7, dtype=np.float32)[:, None], np.random.default_rng(0)
    for _ in range(20):
        y = rng.permutation(x)
        value = float(metrics.trustworthiness(x, y, k=3))
        assert 0 <= value <= 1
        assert value == pytest.approx(reference(x, y, 3), abs=1e-6)


@pytest.mark.parametrize(("d", "block_bytes"), [(4, 1), (25, 20_000)])
def test_neither_blocks_nor_jit_change_the_answer(d, block_bytes):
    x, y = pair(n=101, d=d)
    x, y = x.astype(np.float32), y.astype(np.float32)
    whole = metrics.trustworthiness(x, y, k=4)
    assert float(metrics.trustworthiness(x, y, k=4, block_bytes=block_bytes)) == float(whole)
    inside = jax.jit(partial(metrics.trustworthiness, k=4, block_bytes=block_bytes))(x, y)
    np.testing.assert_allclose(inside, whole, rtol=1e-6)


def test_vmap_gives_what_eager_calls_give():
    pairs = [pair(n=60, d=25, seed=s) for s in range(3)]
    xs, ys = (jnp.asarray(np.stack(a), jnp.float32) for a in zip(*pairs, strict=True))
    one = partial(metrics.trustworthiness, k=4)
    eager = [float(one(x, y)) for x, y in zip(xs, ys, strict=True)]
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(xs, ys), eager, rtol=1e-6)


@pytest.mark.parametrize("d", [8, 30])
@pytest.mark.parametrize("distance", [0, 1e3])
def test_float32_is_within_1e_5_of_float64_also_for_distant_clusters(d, distance):
    x, y = pair(n=200, d=d)
    x[::2] += distance
    x, y = x.astype(np.float32), y.astype(np.float32)  # the same numbers for both
    exact = sklearn_trustworthiness(x.astype(np.float64), y.astype(np.float64), n_neighbors=10)
    np.testing.assert_allclose(metrics.trustworthiness(x, y, k=10), exact, atol=1e-5)
    np.testing.assert_allclose(metrics.continuity(y, x, k=10), metrics.trustworthiness(x, y, k=10), atol=1e-6)


@pytest.mark.parametrize(("d", "scale"), [(3, 1e-20), (30, 1e20)])
def test_the_data_itself_and_similar_data_are_trusted_fully_and_never_more(d, scale):
    x = pair(n=90, d=d)[0].astype(np.float32)
    assert float(metrics.trustworthiness(x, np.float32(scale) * x, k=44)) == 1
    assert float(metrics.continuity(np.float32(scale) * x, x, k=44)) == 1


@pytest.mark.slow
def test_sums_of_ranks_are_exact_at_three_thousand_points(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2)).astype(np.float32)
    y = rng.permutation(x)
    k = 20  # 60,000 ranks of about 1,500 sum to 9e7, more than float32 counts exactly
    expected = reference(x, y, k)
    wide = metrics.trustworthiness(x.astype(np.float64), y.astype(np.float64), k=k)
    np.testing.assert_allclose(wide, expected, rtol=1e-13)
    with jax.enable_x64(False):
        np.testing.assert_allclose(metrics.trustworthiness(x, y, k=k), expected, rtol=1e-6)


@pytest.mark.slow
def test_a_point_s_sum_of_ranks_may_pass_two_to_the_31():
    # The point 0 of a line names the 40,000 farthest of 120,000 its neighbours: their ranks are 80,000 to 119,999.
    n, k = 120_000, 40_000
    line = jnp.arange(n, dtype=jnp.float32)[:, None]
    named = jnp.arange(n - k, n, dtype=jnp.int32)[None]
    ranks = np.asarray(_rank_excess(line, named, jnp.zeros(1, jnp.int32)))
    np.testing.assert_array_equal(ranks[:, 0], np.arange(n - k, n) - k)
    assert ranks.sum(dtype=np.int64) > 2**31


@pytest.mark.slow
def test_a_random_permutation_of_many_points_is_trusted_as_chance_says():
    # Neighbours in y are uniform among the others, so a rank r is uniform on 1 .. n - 1 and max(r - k, 0) has
    # the mean (n - k)(n - k - 1) / 2 / (n - 1); about 0.5 in all. The ranks sum to 3.1e9, above 2^31.
    n, k = 25_000, 10
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    excess = (n - k) * (n - k - 1) / 2 / (n - 1)
    expected = 1 - 2 * excess / (2 * n - 3 * k - 1)
    # The mean of n k ranks of standard deviation n / sqrt(12) each; near points have the same neighbours, and
    # then their ranks are alike: at worst groups of k + 1 points count as one.
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
def test_ranks_refuse_what_has_no_answer(measure):
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


@pytest.mark.parametrize("k", [1, 4, 10])
def test_label_accuracy_matches_leave_one_out_of_scikit_learn(x64, k):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(80, 2))
    labels = np.digitize(y[:, 0] + 0.5 * rng.normal(size=80), [-1, 0, 1])
    hits = 0
    for i in range(80):
        others = np.arange(80) != i
        model = KNeighborsClassifier(k).fit(y[others], labels[others])
        hits += int(model.predict(y[[i]])[0] == labels[i])
    assert metrics.label_accuracy(y, labels, k=k) == pytest.approx(hits / 80, abs=1e-12)
    names = np.array(["ash", "elm", "fir", "oak"])[labels]  # sorted as the numbers are
    assert metrics.label_accuracy(y, names, k=k) == metrics.label_accuracy(y, labels, k=k)
    assert metrics.label_accuracy(y, list(names), k=k) == metrics.label_accuracy(y, labels, k=k)


def test_label_accuracy_gives_equal_votes_to_the_smallest_label():
    y = np.array([[0.0], [1.0], [2.1]], np.float32)  # each point's two neighbours are the other two
    # Votes, nearest first: a a for the b, b a for the first a, a b for the second.
    assert metrics.label_accuracy(y, ["b", "a", "a"], k=2) == pytest.approx(2 / 3)
    assert metrics.label_accuracy(y, ["a", "b", "c"], k=2) == 0


def test_label_accuracy_takes_as_many_classes_as_points():
    y = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    assert metrics.label_accuracy(y, np.arange(3000)) == 0


def test_label_accuracy_refuses_labels_that_are_not_one_a_point():
    y = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    for labels in (np.zeros(29), np.zeros((30, 2)), np.zeros((30, 1))):
        with pytest.raises(ValueError, match="one for each of 30 points"):
            metrics.label_accuracy(y, labels)
    with pytest.raises(ValueError, match=r"k .* = 30 is not allowed"):
        metrics.label_accuracy(y, np.zeros(30), k=30)
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda y: metrics.label_accuracy(y, np.zeros(30)))(y)


def rotation(c, seed, reflect):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(c, c)))[0]
    flip = np.ones(c)
    flip[0] = np.sign(np.linalg.det(q)) * (-1 if reflect else 1)
    return q * flip


@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("c", [1, 2, 5])
def test_procrustes_recovers_a_similarity(x64, c, reflect):
    a = np.random.default_rng(0).normal(size=(40, c))
    turn, scale, shift = rotation(c, 1, reflect), 2.5, np.arange(1.0, c + 1)
    found = metrics.procrustes(a, scale * a @ turn + shift)
    np.testing.assert_allclose(found.rotation, turn, atol=1e-12)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-12)
    np.testing.assert_allclose(found.shift, shift, atol=1e-12)
    np.testing.assert_allclose(found.aligned, scale * a @ turn + shift, atol=1e-12)
    assert float(found.disparity) < 1e-28
    assert np.linalg.det(found.rotation) == pytest.approx(-1 if reflect else 1)


def test_procrustes_matches_scipy_and_its_fields_make_its_aligned_points(x64):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    found = metrics.procrustes(a, b)
    np.testing.assert_allclose(found.disparity, scipy.spatial.procrustes(b, a)[2], rtol=1e-12)
    np.testing.assert_allclose(found.scale * a @ found.rotation + found.shift, found.aligned, atol=1e-12)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-12)
    left = np.asarray(found.aligned - b)
    np.testing.assert_allclose((left**2).sum() / ((b - b.mean(0)) ** 2).sum(), found.disparity, rtol=1e-12)


@pytest.mark.parametrize(("scale", "offset"), [(1e-18, 0), (1e18, 0), (1, 1e4)])
def test_procrustes_is_right_in_float32_at_any_scale_and_offset(scale, offset):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 2))
    near = (scale * a + offset).astype(np.float32)
    exact = scipy.spatial.procrustes(b, near.astype(np.float64))[2]
    found = metrics.procrustes(near, b.astype(np.float32))
    np.testing.assert_allclose(found.disparity, exact, rtol=1e-5)
    assert np.isfinite(found.aligned).all()
    np.testing.assert_allclose(metrics.procrustes(b.astype(np.float32), near).disparity, exact, rtol=1e-5)


def test_procrustes_has_right_gradients(x64):
    a, b = jnp.asarray(np.random.default_rng(0).normal(size=(2, 12, 3)))
    check_grads(jax.jit(lambda a, b: tuple(metrics.procrustes(a, b))), (a, b), order=1)


def test_procrustes_has_right_gradients_between_embeddings_of_orthonormal_columns(x64):
    # All singular values are then equal, and those of the factors U and V have no derivative.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(15, 3))
    q = jnp.asarray(np.linalg.qr(x - x.mean(axis=0))[0])
    target = q @ rotation(3, 1, True)
    check_grads(jax.jit(lambda a: tuple(metrics.procrustes(a, target))), (q,), order=1)


def test_procrustes_has_finite_gradients_for_points_on_a_line(x64):
    a = jnp.outer(jnp.arange(6.0), jnp.array([1.0, 2.0, 0.0]))  # two singular values are zero
    grad = jax.jit(jax.grad(lambda a: metrics.procrustes(a, a[::-1] ** 2).disparity))(a)
    assert np.isfinite(grad).all()


def test_procrustes_runs_under_jit_and_vmap():
    a, b = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 20, 2)), jnp.float32)
    batched = jax.jit(jax.vmap(metrics.procrustes))(a, b)
    for i in range(4):
        np.testing.assert_allclose(batched.disparity[i], metrics.procrustes(a[i], b[i]).disparity, rtol=1e-5)


def test_procrustes_refuses_what_has_no_answer():
    a = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    for b in (a[1:], a[:, :1]):
        with pytest.raises(ValueError, match=r"of one shape \(n, c\)"):
            metrics.procrustes(a, b)
    with pytest.raises(ValueError, match="Expected 2D array"):
        metrics.procrustes(a[:, 0], a[:, 0])
    with pytest.raises(ValueError, match="a contains NaN"):
        metrics.procrustes(np.full_like(a, np.nan), a)
    for pair in ((np.ones_like(a), a), (a, np.ones_like(a))):
        with pytest.raises(ValueError, match="are equal"):
            metrics.procrustes(*pair)


def bases(angle, n=30, c=3, seed=0):
    """Two bases whose largest principal angle is known, each with its columns mixed."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(n, 2 * c)))[0]
    angles = angle * np.array([1, 0.5, 0.1][:c])
    turned = q[:, :c] * np.cos(angles) + q[:, c:] * np.sin(angles)
    return q[:, :c] @ rng.normal(size=(c, c)), turned @ rng.normal(size=(c, c))


@pytest.mark.parametrize("angle", [1e-12, 1e-6, 0.3, 1.2, np.pi / 2 - 1e-6, np.pi / 2])
def test_subspace_angle_matches_the_angle_it_was_made_with_and_scipy(x64, angle):
    a, b = bases(angle)
    ours = float(metrics.subspace_angle(a, b))
    np.testing.assert_allclose(ours, angle, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(ours, scipy.linalg.subspace_angles(a, b)[0], rtol=1e-7, atol=1e-14)


def test_subspace_angle_is_small_in_float32_for_mixed_columns_and_symmetric():
    a, b = (c.astype(np.float32) for c in bases(0.4))
    mixed = a @ np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    assert float(metrics.subspace_angle(a, mixed)) < 1e-5
    np.testing.assert_allclose(metrics.subspace_angle(mixed, b), 0.4, rtol=1e-4)
    np.testing.assert_allclose(metrics.subspace_angle(b, a), metrics.subspace_angle(a, b), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(metrics.subspace_angle)(a, b), metrics.subspace_angle(a, b), rtol=1e-5)


def test_subspace_angle_refuses_what_has_no_answer():
    a = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    with pytest.raises(ValueError, match=r"of one shape \(n, c\)"):
        metrics.subspace_angle(a, a[:, :1])
    with pytest.raises(ValueError, match="Expected 2D array"):
        metrics.subspace_angle(a[:, 0], a[:, 0])
    with pytest.raises(ValueError, match="b contains NaN"):
        metrics.subspace_angle(a, np.full_like(a, np.nan))


def test_the_affine_residual_is_one_minus_the_share_that_regression_explains():
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(0)
    y = rng.normal(size=(200, 2))
    truth = np.column_stack([y[:, 0] + 0.1 * rng.normal(size=200), 1e4 * np.sin(y[:, 1]) + 1e6])
    expected = 1 - r2_score(truth, LinearRegression().fit(y, truth).predict(y))  # the mean over the columns
    found = metrics.affine_residual(truth.astype(np.float32), y.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(metrics.affine_residual)(truth.astype(np.float32), y), found, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-18, 1, 1e18])
def test_an_affine_map_leaves_no_residual_and_a_repeated_column_explains_no_more(scale):
    truth = np.random.default_rng(1).normal(size=(100, 2)).astype(np.float32)
    assert float(metrics.affine_residual(truth, scale * (truth @ np.array([[1, 2], [3, -1]], np.float32) + 5))) < 1e-10
    alone = metrics.affine_residual(truth, scale * truth[:, :1])
    np.testing.assert_allclose(metrics.affine_residual(truth, scale * truth[:, [0, 0]]), alone, rtol=1e-5)


def test_the_affine_residual_has_right_gradients(x64):
    truth, y = jnp.asarray(np.random.default_rng(0).normal(size=(2, 12, 2)))
    check_grads(metrics.affine_residual, (truth, y), order=1, modes=["rev"])


def test_the_affine_residual_names_what_it_cannot_compare():
    with pytest.raises(ValueError, match="truth has 4, y has 3"):
        metrics.affine_residual(np.eye(4, dtype=np.float32), np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match="constant"):
        metrics.affine_residual(np.ones((4, 1), np.float32), np.eye(4, dtype=np.float32))


def test_an_embedding_is_measured_as_its_points_are():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    out = jaxlle.lle(x, 2, k=8)
    measures = (
        metrics.trustworthiness,
        metrics.residual_variance,
        metrics.affine_residual,
        lambda x, y: metrics.label_accuracy(y, x[:, 0] > 0),
        lambda x, y: metrics.procrustes(y, x[:, :2]).disparity,
        lambda x, y: metrics.subspace_angle(x[:, :2], y),
        lambda x, y: metrics.relative_rank_errors(x, y, k=5),
        lambda x, y: jaxlle.metrics.coranking(x, y).auc,
    )
    for measure in measures:
        np.testing.assert_array_equal(measure(x, out), measure(x, out.points))
