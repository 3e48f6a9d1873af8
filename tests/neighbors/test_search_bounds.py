"""What makes a search exact: bounds on rounding errors, projections, tiny distances, and points as their own neighbors."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

import jaxlle
from jaxlle.neighbors import _products, _projection, approximate, blockwise

N, D, K = 120, 300, 6


def by_brute_force(x, k=K):
    """Search in float64, with ties in order of index, and return the indices and all distances."""
    far = cdist(x, x)
    np.fill_diagonal(far, np.inf)
    return np.argsort(far, axis=1, kind="stable")[:, :k], far


def clusters(spread, seed=0):
    """Return two clusters at distance sqrt(D) in float32, centered and scaled."""
    x = spread * np.random.default_rng(seed).normal(size=(N, D))
    x[N // 2 :] += 1
    return jaxlle.neighbors.prepare_points((x - x.mean(axis=0)).astype(np.float32))


@pytest.mark.parametrize("spread", [1e-5, 8e-4, 1e-3, 1.4e-3, 2e-3, 2.8e-3, 1e-2, 1.0])
def test_clusters_of_any_spread_are_searched_exactly(spread):
    # Between 8e-4 and 3e-3 the products resolve the distances in a cluster, but rank some of them wrongly.
    for seed in range(2):
        points = clusters(spread, seed)
        expected, _ = by_brute_force(np.asarray(points.coordinates, np.float64))
        np.testing.assert_array_equal(jaxlle.knn(points, K).indices, expected)


def test_rows_are_certain_only_if_the_result_is_correct_at_the_largest_rounding_errors(monkeypatch):
    """Errors of the size that the analysis of rounding allows, in the least favorable direction."""
    gamma, plain = D * np.finfo(np.float32).eps / 2, _products.matmul
    certain_rows = []
    for spread in np.geomspace(2e-4, 0.3, 7):
        points = np.asarray(clusters(spread).coordinates)
        expected, far = by_brute_force(points.astype(np.float64))
        length = np.linalg.norm(points.astype(np.float64), axis=1)
        least = np.where(far <= np.sort(far, axis=1)[:, K - 1 : K], -1.0, 1.0)  # neighbors appear farther than others
        error = gamma * least * np.outer(length, length)

        def adverse(a, b, error=error):
            product = plain(a, b)
            return product if b.ndim == 1 else product.at[:, :N].add(jnp.asarray(error, jnp.float32))

        monkeypatch.setattr(_products, "matmul", adverse)
        squares = (length**2 * (1 + gamma)).astype(np.float32)
        prepared = _products.Prepared(jnp.asarray(points), jnp.asarray(points), jnp.asarray(squares))
        queries = _products.Prepared(prepared.points, prepared.factor[:N], prepared.squares[:N])
        found, _, certain = _products.by_products(prepared, queries, jnp.arange(N), K, 4)
        wrong = (np.asarray(found) != expected).any(axis=1)
        assert not (wrong & np.asarray(certain)).any(), spread
        certain_rows.append(int(certain.sum()))
    assert min(certain_rows) == 0
    assert max(certain_rows) == N


def test_rows_are_certain_only_if_the_result_is_correct_for_loose_bounds():
    """Products of half of the columns and the remainders bound distances from below, in a different order."""
    x = np.random.default_rng(0).normal(size=(N, 20)).astype(np.float32)  # distances greater than 1
    x[: N // 2, 10:] *= 0.05  # where the bounds are tight
    expected, _ = by_brute_force(x)
    factor = np.concatenate([x[:, :10], np.linalg.norm(x[:, 10:], axis=1, keepdims=True)], axis=1)
    prepared = _products.Prepared(jnp.asarray(x), jnp.asarray(factor), jnp.asarray((x**2).sum(axis=1)))
    queries = _products.Prepared(prepared.points, prepared.factor[:N], prepared.squares[:N])
    found, _, certain = _products.by_products(prepared, queries, jnp.arange(N), K, 4)
    wrong = (np.asarray(found) != expected).any(axis=1)
    assert not (wrong & np.asarray(certain)).any()
    assert wrong.any()
    assert certain.any()


def test_rows_that_a_projection_leaves_uncertain_are_searched_with_more_candidates_and_then_with_all_columns(
    monkeypatch, compiled
):
    x = np.random.default_rng(0).normal(size=(N, 20)).astype(np.float32)
    x[::2, 10:] *= 0.02  # bounds by the other columns are tight for these rows
    x[1::4, 10:] *= 0.4
    x -= x.mean(axis=0)
    expected, _ = by_brute_force(np.asarray(jaxlle.neighbors.prepare_points(x).coordinates, np.float64))
    searched = []

    def plan(points, k):
        a = np.asarray(points)
        factor = np.concatenate([a[:, :10], np.linalg.norm(a[:, 10:], axis=1, keepdims=True) * 1.00001], axis=1)
        return _projection.Plan(factor, (a**2).sum(axis=1), 1)

    def search(prepared, source, rows, options, report, kept=blockwise._search_blocks):
        searched.append(np.asarray(rows))
        return kept(prepared, source, rows, options, report)

    monkeypatch.setattr(_projection, "plan", plan)
    monkeypatch.setattr(blockwise, "_search_blocks", search)
    np.testing.assert_array_equal(jaxlle.knn(x, K).indices, expected)
    counts = [len(rows) for rows in searched]
    assert counts[0] == N > counts[1] > counts[2] > 0  # few columns, more candidates, and all columns
    names = {re.sub(r"\W|jit", "", name) for name in compiled}
    # The results are combined by NumPy.
    assert names <= {"_select", "_block", "_squared_norms", "_multiply", "negative"}


def test_distances_whose_squares_underflow_are_measured_by_differences():
    x = np.random.default_rng(0).normal(size=(40, 20))
    x[:8] *= 1e-21  # squares of 1e-41 in float32, next to points at a distance of about 1
    x[8:] -= x[8:].mean(axis=0)
    points = jaxlle.neighbors.prepare_points(x.astype(np.float32))
    coordinates = np.asarray(points.coordinates, np.float64)
    assert np.abs(coordinates[:8]).max() < 1e-20
    expected, far = by_brute_force(1e30 * coordinates)
    found = jaxlle.knn(points, K)
    np.testing.assert_array_equal(found.indices[:8], expected[:8])
    np.testing.assert_allclose(found.distances[:8] * 1e30, np.sort(far, axis=1)[:8, :K], rtol=1e-5)


def test_the_basis_of_a_projection_does_not_increase_norms():
    x = np.random.default_rng(0).normal(size=(300, 12)) @ np.random.default_rng(1).normal(size=(12, 128))
    x += 0.05 * np.random.default_rng(2).normal(size=x.shape)
    for scale in (1, 1e-4, 1e4):
        basis = _projection._basis((scale * x).astype(np.float32), 64)
        assert np.linalg.norm(basis, 2) <= 1 + 4 * np.finfo(np.float64).eps
        assert np.linalg.svd(basis, compute_uv=False).min() > 1 - 1e-5


def test_copies_are_neighbors_at_distance_zero_in_precomputed_distances():
    x = np.random.default_rng(0).integers(0, 3, (60, 2)).astype(np.float32)  # seven copies of each point on average
    far = cdist(x, x).astype(np.float32)
    expected, _ = by_brute_force(x)
    found = jaxlle.knn(far, K, metric="precomputed")
    np.testing.assert_array_equal(found.indices, expected)
    assert (found.distances[:, 0] == 0).mean() > 0.9
    np.testing.assert_allclose(found.distances, np.take_along_axis(far, expected, axis=1))


def test_queries_of_precomputed_distances_include_the_point_of_the_same_number():
    far = np.abs(np.subtract.outer(np.arange(9.0), np.arange(9.0))).astype(np.float32)
    np.testing.assert_array_equal(jaxlle.knn(far, 1, query=far, metric="precomputed").indices[:, 0], np.arange(9))
    np.testing.assert_array_equal(
        jax.jit(lambda a: jaxlle.knn(a, 1, query=a, metric="precomputed").indices)(far)[:, 0], np.arange(9)
    )


def test_a_query_within_the_radius_of_all_points_has_all_as_neighbors():
    line = np.arange(20.0, dtype=np.float32)[:, None]
    found = jaxlle.neighbors.radius_neighbors(line, 30.0, query=line[:2])
    assert found.mask.all()
    np.testing.assert_array_equal(np.sort(found.indices, axis=1), np.tile(np.arange(20), (2, 1)))
    few = jaxlle.neighbors.radius_neighbors(line, 1.0, query=line[:2] + 0.5, max_neighbors=4)
    assert few.mask.sum(axis=1).tolist() == [2, 2]


def test_blocks_that_are_searched_concurrently_keep_float64(x64):
    x = np.random.default_rng(0).normal(size=(90, 20))
    found = jaxlle.knn(x, K, block_bytes=40_000)  # several blocks
    expected, far = by_brute_force(x)
    assert found.distances.dtype == np.float64
    np.testing.assert_array_equal(found.indices, expected)
    np.testing.assert_allclose(found.distances, np.sort(far, axis=1)[:, :K], rtol=1e-12)


@pytest.mark.slow
def test_distances_selected_by_products_are_differentiable_inside_jit(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(30, 20)))
    slope = jax.jit(jax.grad(lambda a: jaxlle.knn(a, 3).distances.sum()))(x)
    found = jaxlle.knn(x, 3)
    steps = np.asarray(x)[:, None] - np.asarray(x)[np.asarray(found.indices)]
    steps /= np.asarray(found.distances)[..., None]
    expected = steps.sum(axis=1)
    np.subtract.at(expected, np.asarray(found.indices), steps)
    np.testing.assert_allclose(slope, expected, atol=1e-10)


def test_equal_points_have_the_coordinate_zero_and_distances_to_far_queries():
    for array, dtype in ((np.asarray, np.float32), (jnp.asarray, np.float32), (np.asarray, np.float64)):
        x = array(np.full((7, 2), 0.1, dtype))
        with jax.enable_x64(dtype == np.float64):
            points = jaxlle.neighbors.prepare_points(x)
            np.testing.assert_array_equal(points.coordinates, 0)
            assert points.unit == 1
            far = jaxlle.knn(x, 1, query=array(np.full((1, 2), 1e6, dtype))).distances
            np.testing.assert_allclose(far, 1e6 * np.sqrt(2), rtol=1e-6)


@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("offset", [0, 1000])
def test_ties_of_integers_on_the_device_are_exact(d, offset):
    x = np.random.default_rng(0).integers(0, 9, (150, d)) + offset
    expected, _ = by_brute_force(x)
    np.testing.assert_array_equal(jaxlle.knn(jnp.asarray(x, jnp.float32), K).indices, expected)


def test_the_recall_is_the_share_of_exact_neighbors_found(cloud):
    x = np.concatenate([cloud, np.repeat(cloud[:1], 12, axis=0)])  # more copies than neighbors
    points, exact = jaxlle.neighbors.prepare_points(x), jaxlle.knn(x, 4).indices
    key = jax.random.key(0)
    assert approximate._recall(points, 4, exact, len(x), key) == 1
    wrong = exact.at[5, 2].set(5).at[9].set(9)  # five of 4 n neighbors are not found
    assert approximate._recall(points, 4, wrong, len(x), key) == pytest.approx(1 - 5 / (4 * len(x)), abs=1e-6)


@pytest.mark.parametrize("d", [3, 20])
def test_every_search_finds_the_only_copy_of_a_point_and_not_the_point_itself(d):
    x = np.repeat(np.random.default_rng(0).normal(size=(40, d)), 2, axis=0).astype(np.float32)
    points = jaxlle.neighbors.prepare_points(x)
    methods = jaxlle.neighbors.ApproxMinK(recall_target=1.0), jaxlle.neighbors.InvertedFile()
    for found in (
        jaxlle.knn(x, 3),
        jaxlle.knn(x, 3, algorithm="brute"),
        jax.jit(lambda a: jaxlle.knn(a, 3))(x),
        *(method(points, 3, jax.random.key(0)) for method in methods),
    ):
        np.testing.assert_array_equal(found.indices[:, 0], np.arange(80) ^ 1)
        assert (found.distances[:, 0] < 1e-2).all()
        assert (found.distances[:, 1] > 0.05).all()


def test_masked_entries_of_a_saved_graph_may_be_equal(tmp_path):
    graph = jaxlle.neighbors.as_neighbors(np.array([[1, -1, -1], [0, 2, -1], [1, -1, -1]]))
    jaxlle.neighbors.save(tmp_path / "graph.npz", graph)
    back = jaxlle.neighbors.load(tmp_path / "graph.npz")
    np.testing.assert_array_equal(back.mask, graph.mask)
    np.testing.assert_array_equal(np.asarray(back.indices)[np.asarray(back.mask)], [1, 0, 2, 1])
