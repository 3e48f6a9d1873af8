"""The search by an inverted file: exact with all lists, complete with few, on every kind of data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle.neighbors import InvertedFile, _candidates, _lists, approximate_knn, inverted_file

N, D, K = 240, 5, 6
ALL = InvertedFile(lists=12, probes=10**6)
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(N, D))
UNEQUAL = np.concatenate([RNG.normal(size=(200, D)) / 9, RNG.normal(size=(37, D)) + 5, RNG.normal(size=(3, D)) - 9])
NARROW = RNG.choice(RNG.normal(size=(8, D)), N) + 1e-3 * RNG.normal(size=(N, D))  # clusters, far apart and narrow
DATA = {"normal": NORMAL, "unequal": UNEQUAL, "narrow": NARROW, "offset": NORMAL + 1e3}


def brute_force(x, k):
    """Return the indices and the distances of the nearest points, in float64."""
    x = np.asarray(x, np.float64)
    dist = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(dist, np.inf)
    indices = np.argsort(dist, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(dist, indices, axis=1)


def assert_neighborhoods(indices, k):
    """Check that every point has k different neighbors and is none of them."""
    assert indices.shape == (len(indices), k)
    assert (np.diff(np.sort(indices, axis=1), axis=1) > 0).all()
    assert not (indices == np.arange(len(indices))[:, None]).any()
    assert indices.min() >= 0
    assert indices.max() < len(indices)


@pytest.mark.parametrize("name", DATA)
def test_with_all_lists_the_answer_is_that_of_an_exact_search(name):
    x = DATA[name].astype(np.float32)
    found, recall = approximate_knn(x, K, method=ALL)
    indices, dist = brute_force(x, K)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, dist, rtol=2e-5, atol=3e-7)  # the center is rounded
    assert recall == 1


@pytest.mark.slow
def test_float64_points_have_distances_in_float64():
    with jax.enable_x64(True):
        found, _ = approximate_knn(NARROW, K, method=ALL)
        indices, dist = brute_force(NARROW, K)
        np.testing.assert_array_equal(found.indices, indices)
        np.testing.assert_allclose(found.distances, dist, rtol=1e-12)


def test_copies_of_a_point_are_its_neighbors_but_not_itself():
    x = NORMAL.astype(np.float32)
    x[20:60] = x[0]
    found = approximate_knn(x, K, method=ALL).neighbors
    assert_neighborhoods(np.asarray(found.indices), K)
    np.testing.assert_allclose(found.distances, brute_force(x, K)[1], rtol=2e-5)


def test_points_with_too_few_candidates_are_searched_exactly():
    points = jaxlle.neighbors.prepare_points(NORMAL.astype(np.float32))
    exact = jaxlle.knn(points, K)
    found = np.arange(N) % 7 > 0
    indices, dist = (jnp.where(found[:, None], a, -1) for a in exact[:2])
    completed = _candidates.complete(points, indices, dist, jnp.asarray(found))
    np.testing.assert_array_equal(completed.indices, exact.indices)
    np.testing.assert_allclose(completed.distances, exact.distances, rtol=1e-6)
    assert _candidates.complete(points, indices, dist, jnp.ones(N, bool)).indices is indices


@pytest.mark.slow
def test_points_whose_lists_hold_too_few_others_are_searched_exactly():
    x = UNEQUAL.astype(np.float32)
    found, recall = approximate_knn(x, K, method=InvertedFile(lists=120, probes=1))  # of at most one point
    np.testing.assert_array_equal(found.indices, brute_force(x, K)[0])
    assert recall == 1


@pytest.mark.filterwarnings("ignore::jaxlle.warnings.RecallWarning")
def test_few_lists_of_unequal_length_give_every_point_k_neighbors():
    for x in (UNEQUAL, np.concatenate([np.zeros((N - 20, D)), NORMAL[:20]])):
        found = approximate_knn(x.astype(np.float32), K, method=InvertedFile(lists=12, probes=2)).neighbors
        assert_neighborhoods(np.asarray(found.indices), K)
        exact = brute_force(x, K)[1]
        assert (np.asarray(found.distances) >= exact * (1 - 1e-4) - 1e-6).all()


@pytest.mark.slow_cases("9-8", "12-6")
@pytest.mark.parametrize(("n", "k"), [(2, 1), (9, 8), (12, 6)])
def test_few_points_and_all_others_as_neighbors(n, k):
    x = NORMAL[:n].astype(np.float32)
    found, recall = approximate_knn(x, k, method=InvertedFile())
    np.testing.assert_array_equal(found.indices, brute_force(x, k)[0])
    assert recall == 1


@pytest.mark.slow_cases("1", "30")
@pytest.mark.parametrize("capacity", [1, 7, 30])
def test_every_point_is_in_one_list(capacity):
    x = jnp.asarray(UNEQUAL, np.float32)
    lists = jax.jit(_lists.fill_lists, static_argnums=(2, 3))(x, UNEQUAL[::30].astype(np.float32), capacity, 2**20)
    members = np.asarray(lists.members)
    assert members.shape == (N // capacity + 8, capacity)
    np.testing.assert_array_equal(np.sort(members[members < N]), np.arange(N))
    np.testing.assert_array_equal(members[members < N], lists.order)
    filled = (members < N).any(axis=1)
    means = np.array([UNEQUAL[row[row < N]].mean(axis=0) for row in members[filled]])
    np.testing.assert_allclose(np.asarray(lists.centers)[filled], means, atol=1e-5)
    assert np.isinf(np.asarray(lists.biases)[~filled]).all()


def test_a_step_of_k_means_moves_centers_to_the_means_of_their_points():
    points = UNEQUAL.copy()
    points[-5] = points[-1]  # so that no point is assigned to the last center
    x, sample = jnp.asarray(points, np.float32), jnp.arange(N, dtype=np.int32)[::-1]
    label = np.linalg.norm(points[:, None] - points[::-1][:5], axis=2).argmin(axis=1)
    means = np.array([points[label == j].mean(axis=0) for j in range(4)] + [points[-1]])
    for block_bytes in (2000, 2**20):  # several blocks, and all at once
        centers = jax.jit(_lists.kmeans, static_argnums=(2, 3, 4))(x, sample, 5, 1, block_bytes)
        np.testing.assert_allclose(centers, means, atol=1e-5)
    product = np.asarray(_lists._by_products(jnp.c_[x, np.ones(N, np.float32)], jnp.asarray(label), 5))
    np.testing.assert_allclose(product[:4, :D] / product[:4, D:], means[:4], atol=1e-5)
    assert (product[4] == 0).all()


@pytest.mark.slow
def test_rotations_and_permutations_keep_the_recall():
    x = np.asarray(jaxlle.datasets.swiss_roll(jax.random.key(0), 3000).points) @ RNG.normal(size=(3, 20))
    rotation, _ = np.linalg.qr(RNG.normal(size=(20, 20)))
    order = RNG.permutation(3000)
    cases = [x, x @ rotation, x[order]]
    found = [approximate_knn(a.astype(np.float32), 10, method=InvertedFile(probes=6)) for a in cases]
    recalls = [a.recall for a in found]
    assert min(recalls) > 0.9
    assert max(recalls) < 1
    assert max(recalls) - min(recalls) < 0.02
    for a, one in zip(cases, found, strict=True):
        indices = np.asarray(one.neighbors.indices)
        assert_neighborhoods(indices, 10)
        wanted = np.linalg.norm(a[indices] - a[:, None], axis=2)
        np.testing.assert_allclose(one.neighbors.distances, wanted, rtol=1e-4)


def test_a_second_call_with_other_points_of_equal_shape_is_not_compiled():
    approximate_knn(DATA["normal"].astype(np.float32), K, method=ALL)
    programs = inverted_file._search._cache_size()
    approximate_knn(DATA["unequal"].astype(np.float32), K, method=InvertedFile(lists=12, probes=10**6))
    assert inverted_file._search._cache_size() == programs


@pytest.mark.slow
def test_the_block_size_limits_the_memory_and_does_not_change_the_answer():
    n, found, sizes = 4000, [], []
    x = RNG.normal(size=(n, 3)).astype(np.float32) @ RNG.normal(size=(3, 24)).astype(np.float32)
    for block_bytes in (2**19, 2**24):
        method = InvertedFile(block_bytes=block_bytes)
        found.append(np.asarray(approximate_knn(x, K, method=method).neighbors.indices))
        program = inverted_file._search.lower(x, jax.random.key(0), K, method._sizes(n, K), block_bytes)
        sizes.append(program.compile().memory_analysis().temp_size_in_bytes)
    np.testing.assert_array_equal(*found)
    assert sizes[0] < 2**21 < sizes[1] < 2**25


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (InvertedFile(lists=0), "lists = 0 is not allowed: it must be between 1 and 240"),
        (InvertedFile(lists=241), "lists = 241 .* n_samples = 240"),
        (InvertedFile(probes=0), "probes = 0 is not allowed: it must be at least 1"),
        (InvertedFile(iterations=-1), "iterations = -1"),
        (InvertedFile(block_bytes=0), "block_bytes = 0"),
    ],
)
def test_options_out_of_range_raise(method, message):
    with pytest.raises(ValueError, match=message):
        approximate_knn(NORMAL.astype(np.float32), K, method=method)
