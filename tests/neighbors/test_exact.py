"""Exact neighbors and radius neighbors, compared with brute force in SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.distance import cdist

import jaxlle
from jaxlle import distances

METRICS = {"euclidean": "euclidean", "cosine": "cosine", "manhattan": "cityblock", "chebyshev": "chebyshev"}


def reference(x, k, metric="euclidean", query=None):
    """Search by brute force in float64, with ties in order of index."""
    far = cdist(x if query is None else query, x, METRICS[metric])
    if query is None:
        np.fill_diagonal(far, np.inf)
    ids = np.argsort(far, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(far, ids, axis=1)


def points(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("algorithm", ["auto", "brute"])
def test_neighbors_and_distances_match_brute_force(d, metric, algorithm):
    x = points(150, d)
    ids, far = reference(x, 7, metric)
    found = jaxlle.knn(x, 7, metric=metric, algorithm=algorithm)
    np.testing.assert_array_equal(found.indices, ids)
    np.testing.assert_allclose(found.distances, far, rtol=2e-5)
    assert found.indices.dtype == np.int32
    assert found.distances.dtype == np.float32


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_of_queries_match_brute_force_and_include_equal_points(metric):
    x, query = points(90, 20), points(30, 20, seed=1)
    query[0] = x[17]
    ids, far = reference(x, 5, metric, query)
    found = jaxlle.knn(x, 5, query=query, metric=metric)
    np.testing.assert_array_equal(found.indices, ids)
    np.testing.assert_allclose(found.distances, far, rtol=1e-4, atol=1e-6)
    assert found.distances[0, 0] == 0


def test_a_function_of_two_vectors_is_a_metric():
    x = points(60, 4)
    found = jaxlle.knn(x, 4, metric=lambda a, b: jnp.abs(a - b).sum())
    np.testing.assert_array_equal(found.indices, reference(x, 4, "manhattan")[0])


def test_precomputed_distances_give_the_neighbors_of_the_points():
    x = points(60, 4)
    far = cdist(x, x).astype(np.float32)
    np.testing.assert_array_equal(jaxlle.knn(far, 4, metric="precomputed").indices, reference(x, 4)[0])
    query = points(9, 4, seed=1)
    found = jaxlle.knn(far, 4, query=cdist(query, x).astype(np.float32), metric="precomputed")
    np.testing.assert_array_equal(found.indices, reference(x, 4, query=query)[0])


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("algorithm", ["auto", "brute"])
def test_equal_distances_are_ordered_by_index_and_no_point_is_its_own_neighbor(d, algorithm):
    x = np.random.default_rng(0).integers(0, 3, size=(200, d)).astype(np.float32)
    x[50:80] = x[10]  # more copies than neighbors
    found = jaxlle.knn(x, 6, algorithm=algorithm)
    np.testing.assert_array_equal(found.indices, reference(x, 6)[0])
    assert not (found.indices == np.arange(200)[:, None]).any()


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("algorithm", ["auto", "brute"])
def test_ties_of_integers_are_exact_in_float32(d, algorithm):
    x = np.random.default_rng(0).integers(0, 17, size=(300, d))
    np.testing.assert_array_equal(jaxlle.knn(x, 8, algorithm=algorithm).indices, reference(x, 8)[0])


@pytest.mark.filterwarnings("ignore::jaxlle.warnings.PrecisionWarning")
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize(("scale", "offset"), [(1e-20, 0), (1e20, 0), (1, 1e8), (1e-3, 1e4), (1e-170, 0), (1e160, 0)])
def test_float32_is_accurate_at_any_scale_and_offset(d, scale, offset):
    x = points(200, d).astype(np.float64)
    shifted = x * scale + offset
    ids = reference((shifted - offset) / scale, 6)[0]
    exact = 1e-38 < scale < 1e38
    if not exact:  # the distances are outside the range of float32; the embedding needs only the neighbors
        with pytest.raises(ValueError, match="out of the range of float32: rescale x, or enable x64"):
            jaxlle.knn(shifted, 6)
        found = jaxlle.lle_alignment(shifted, k=6).indices[:, 1:]
    else:
        found = jaxlle.knn(shifted, 6).indices
    np.testing.assert_array_equal(found, ids)


def test_device_arrays_are_searched_accurately_at_an_offset_representable_in_float32():
    x = jnp.asarray(points(200, 40)) + 4096.0
    ids = reference(np.asarray(x, np.float64) - 4096, 6)[0]
    np.testing.assert_array_equal(jaxlle.knn(x, 6).indices, ids)
    np.testing.assert_array_equal(jax.jit(lambda x: jaxlle.knn(x, 6).indices)(x), ids)


@pytest.mark.slow
def test_rows_that_the_product_cannot_resolve_are_searched_by_differences():
    # Two distant tight clusters: |q|^2 + |x|^2 - 2 q.x loses all digits of the distances inside a cluster.
    x = 1e-5 * points(100, 40).astype(np.float64)
    x[50:] += 10
    single = jnp.asarray(x - x.mean(axis=0), jnp.float32)
    expected = reference(np.asarray(single, np.float64), 5)[0]
    seen = []
    found = jaxlle.knn(single, 5, progress=lambda done, total: seen.append(done))
    np.testing.assert_array_equal(found.indices, expected)
    assert seen[-1] == 100
    assert len(seen) > 2  # some rows were searched again
    np.testing.assert_array_equal(jax.jit(lambda x: jaxlle.knn(x, 5).indices)(single), expected)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_blocks_do_not_change_the_result_and_progress_is_reported_to_the_end(metric):
    x, seen = points(130, 20), []
    whole = jaxlle.knn(x, 6, metric=metric)
    blocked = jaxlle.knn(x, 6, metric=metric, block_bytes=30_000, progress=lambda *done: seen.append(done))
    np.testing.assert_array_equal(blocked.indices, whole.indices)
    np.testing.assert_allclose(blocked.distances, whole.distances, rtol=1e-6)
    assert len(seen) > 1
    assert seen[-1] == (130, 130)


@pytest.mark.slow
@pytest.mark.parametrize("d", [3, 40])
def test_jit_and_vmap_match_the_eager_result(d):
    x = jnp.asarray(np.stack([points(80, d, seed) for seed in range(3)]))
    eager = [jaxlle.knn(a, 5, algorithm="brute") for a in x]
    for traced in (jax.jit(lambda a: jaxlle.knn(a, 5)), lambda a: jax.vmap(lambda b: jaxlle.knn(b, 5))(a[None])):
        out = traced(x[0])
        np.testing.assert_array_equal(jnp.reshape(out.indices, (80, 5)), eager[0].indices)
    batched = jax.vmap(lambda a: jaxlle.knn(a, 5))(x)
    for i in range(3):
        np.testing.assert_array_equal(batched.indices[i], eager[i].indices)


def test_neighbors_are_equivariant_to_permutation_and_invariant_to_rotation_and_scaling():
    x = points(120, 6)
    order = np.random.default_rng(1).permutation(120)
    rotation = np.linalg.qr(points(6, 6, seed=2))[0]
    base = np.asarray(jaxlle.knn(x, 5).indices)
    np.testing.assert_array_equal(order[np.asarray(jaxlle.knn(x[order], 5).indices)], base[order])
    np.testing.assert_array_equal(jaxlle.knn(8 * x @ rotation + 3, 5).indices, base)


@pytest.mark.slow_cases("euclidean")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_are_differentiable_even_between_equal_points(x64, metric):
    x = points(20, 3).astype(np.float64)
    check_grads(lambda a: jaxlle.knn(a, 3, metric=metric).distances, (jnp.asarray(x),), order=1)
    x[5] = x[6]
    grad = jax.grad(lambda a: jaxlle.knn(a, 3, metric=metric).distances.sum())(jnp.asarray(x))
    assert jnp.isfinite(grad).all()


def test_radius_neighbors_are_the_points_within_the_radius():
    x = points(80, 3)
    far = cdist(x, x)
    np.fill_diagonal(far, np.inf)
    found = jaxlle.neighbors.radius_neighbors(x, 2.5)
    ids, mask = np.asarray(found.indices), np.asarray(found.mask)
    for i in range(80):
        assert set(ids[i][mask[i]]) == set(np.flatnonzero(far[i] <= 2.5))
    assert mask.sum(axis=1).max() == mask.shape[1]
    same = jax.jit(lambda a: jaxlle.neighbors.radius_neighbors(a, 2.5, max_neighbors=mask.shape[1]))(x)
    np.testing.assert_array_equal(same.mask, mask)


def test_points_at_the_radius_itself_are_neighbors():
    line = np.arange(6.0, dtype=np.float32)[:, None]
    found = jaxlle.neighbors.radius_neighbors(line, 2.0)
    assert found.mask.sum(axis=1).tolist() == [2, 3, 4, 4, 3, 2]


def test_truncated_and_empty_radius_neighborhoods_raise():
    x = points(80, 3)
    with pytest.raises(ValueError, match="raise max_neighbors"):
        jaxlle.neighbors.radius_neighbors(x, 2.5, max_neighbors=5)
    with pytest.raises(ValueError, match="no neighbor within radius"):
        jaxlle.neighbors.radius_neighbors(x, 0.3)
    with pytest.raises(ValueError, match="must be positive"):
        jaxlle.neighbors.radius_neighbors(x, 0)
    with pytest.raises(ValueError, match="pass max_neighbors"):
        jax.jit(lambda a: jaxlle.neighbors.radius_neighbors(a, 1.0))(x)


def test_memory_is_bounded_by_the_block_size():
    from jaxlle.neighbors import _products, blockwise

    n, d, k, budget = 20_000, 64, 12, 2**25
    options = blockwise.Options(k, distances.euclidean, True, budget)
    rows = blockwise.block_rows(jnp.zeros((n, d)), n, options).cpu
    prepared, queries = (
        _products.Prepared(*(jax.ShapeDtypeStruct(s, np.float32) for s in shapes))
        for shapes in (((n, d), (n, d), (n,)), ((rows, d), (rows, d), (rows,)))
    )
    ids = jax.ShapeDtypeStruct((rows,), np.int32)
    compiled = blockwise._block.lower(prepared, queries, ids, options).compile()
    analysis = compiled.memory_analysis()
    assert analysis.temp_size_in_bytes < 3 * budget < 4 * n * n / 10


@pytest.fixture
def projecting(monkeypatch):
    """Make a projection profitable for the small data of a test."""
    from jaxlle.neighbors import _projection

    monkeypatch.setattr(_projection, "MIN_POINTS", 100)
    monkeypatch.setattr(_projection, "_MEASURE", 1)
    monkeypatch.setattr(_projection, "_CHOOSE", 0)
    return _projection


def images(n, d, noise):
    """Return points near a 12-dimensional subspace of d dimensions, four of them repeated."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 12)) @ rng.normal(size=(12, d)) + noise * rng.normal(size=(n, d))
    x[5:9] = x[:4]
    return x


@pytest.mark.parametrize("wide", [False, True])
def test_search_by_projection_is_exact(monkeypatch, projecting, wide):
    x = images(700, 128, noise=0.05).astype(np.float64 if wide else np.float32)
    with jax.enable_x64(wide):
        plan = projecting.plan(jnp.asarray(x), 10)
        assert plan is not None
        assert plan.factor.shape[1] <= 65
        seen = []
        found = jaxlle.knn(x, 10, progress=lambda done, total: seen.append((done, total)))
        monkeypatch.setattr(projecting, "MIN_POINTS", 10**9)
        plain = jaxlle.knn(x, 10)
    np.testing.assert_array_equal(found.indices, plain.indices)
    np.testing.assert_allclose(found.distances, plain.distances, rtol=1e-6)
    assert seen[-1] == (700, 700)
    assert sorted(seen) == seen


def test_few_features_are_not_projected(projecting):
    # The projection would keep more than half of 100 features.
    assert projecting.plan(jnp.asarray(images(200, 100, noise=0.05), np.float32), 5) is None


def test_the_bounds_of_a_projection_hold_for_all_pairs(projecting):
    x = images(300, 128, noise=0.05)
    plan = projecting.plan(jnp.asarray(x, np.float32), 5)
    factor, squares = plan.factor[:300].astype(np.float64), plan.squares[:300]  # without the padding
    exact = np.asarray(x, np.float32).astype(np.float64)
    slack = (factor.shape[1] + 8) * np.finfo(np.float32).eps * np.add.outer(squares, squares) / 2
    assert (factor @ factor.T >= exact @ exact.T - slack).all()


def test_points_without_a_subspace_are_not_projected(projecting):
    assert projecting.plan(jnp.asarray(images(700, 128, noise=100)), 10) is None


def test_a_shape_is_traced_once():
    from jaxlle.neighbors import blockwise

    x = points(77, 21)
    jaxlle.knn(x, 5)
    before = blockwise._block._cache_size()
    jaxlle.knn(x + 1, 5)
    assert blockwise._block._cache_size() == before


@pytest.mark.parametrize("k", [0, 50, -1])
def test_k_out_of_range_raises(k):
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = .* between 1 and 49"):
        jaxlle.knn(points(50, 3), k)


def test_invalid_arguments_of_knn_raise():
    x = points(50, 3)
    for bad in (2.5, True, "3"):
        with pytest.raises(TypeError, match=r"must be an integer|parameter 'k'"):
            jaxlle.knn(x, bad)
    with pytest.raises(ValueError, match="metric = 'euclid' is not known"):
        jaxlle.knn(x, 3, metric="euclid")
    with pytest.raises((ValueError, TypeError), match="algorithm"):
        jaxlle.knn(x, 3, algorithm="faiss")
    with pytest.raises(ValueError, match="kd_tree"):
        jaxlle.knn(x, 3, metric=lambda a, b: jnp.sum(a - b), algorithm="kd_tree")
    with pytest.raises(ValueError, match="returned NaN"):
        jaxlle.knn(x, 3, metric=lambda a, b: jnp.sum(a - b) * jnp.nan)
    with pytest.raises(ValueError, match="cosine metric is undefined"):
        jaxlle.knn(np.vstack([x, np.zeros((1, 3), np.float32)]), 3, metric="cosine")
    with pytest.raises(ValueError, match="square matrix"):
        jaxlle.knn(x, 3, metric="precomputed")
    with pytest.raises(ValueError, match="not be negative"):
        jaxlle.knn(-cdist(x, x).astype(np.float32), 3, metric="precomputed")
    with pytest.raises(ValueError, match="query has 4 columns"):
        jaxlle.knn(x, 3, query=points(5, 4))


@pytest.mark.slow_cases("cosine", "euclidean")
@pytest.mark.parametrize("name", METRICS)
def test_metrics_match_scipy_and_have_finite_derivatives_at_equal_vectors(x64, name):
    a, b = jnp.asarray(points(2, 6).astype(np.float64))
    metric = distances.resolve(name)
    np.testing.assert_allclose(metric(a, b), cdist(a[None], b[None], METRICS[name])[0, 0], rtol=1e-12)
    check_grads(lambda a, b: metric(jnp.asarray(a), jnp.asarray(b)), (a, b), order=2)
    assert metric(a, a) == 0
    assert jnp.isfinite(jax.grad(metric)(a, a)).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_euclidean_distance_neither_overflows_nor_underflows(scale):
    a = jnp.array([3.0, 0.0]) * scale
    assert np.isclose(distances.euclidean(a, jnp.array([0.0, 4.0]) * scale), 5 * scale, rtol=1e-6)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_a_metric_that_is_not_finite_between_distant_pairs_raises(value):
    x = np.arange(30, dtype=np.float32)[:, None]

    def broken(a, b):
        far = jnp.abs(a - b).sum()
        return jnp.where(far > 20, value, far)

    for call in (lambda: jaxlle.knn(x, 3, metric=broken), lambda: jaxlle.knn(x, 3, query=x[:1], metric=broken)):
        with pytest.raises(ValueError, match="'broken' returned NaN or infinity"):
            call()
    np.testing.assert_array_equal(
        jax.jit(lambda x: jaxlle.knn(x, 3, metric=broken).indices)(x), jaxlle.knn(x, 3, metric="manhattan").indices
    )

    def undefined_at_zero(a, b):  # self-distances are not read
        far = jnp.abs(a - b).sum()
        return jnp.where(far > 0, far, jnp.nan)

    np.testing.assert_array_equal(jaxlle.knn(x, 3, metric=undefined_at_zero).indices, jaxlle.knn(x, 3).indices)


@pytest.mark.parametrize("place", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("query_place", [np.asarray, jnp.asarray])
def test_a_query_that_equals_a_point_has_cosine_distance_zero_on_the_host_and_on_the_device(cloud, place, query_place):
    found = jaxlle.knn(place(cloud), 1, query=query_place(cloud[:20]), metric="cosine")
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(20))
    np.testing.assert_array_equal(found.distances, 0)
