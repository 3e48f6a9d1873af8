"""Sparse matrices of SciPy: neighbors, weights and embeddings equal to those of the dense points, without making them dense."""

import jax
import numpy as np
import pytest
import scipy.sparse as sp

import jaxlle
from jaxlle.neighbors import _sparse
from jaxlle.regularizers import AbsoluteRidge

K = 8


def points(n=80, d=300, density=0.05, seed=0):
    """Return sparse points without empty rows, in another format than CSR, with entries in any order and zeros."""
    rng = np.random.default_rng(seed)
    x = sp.random_array((n, d), density=density, rng=rng, format="lil")
    x[np.arange(n), rng.integers(0, d, n)] = 1
    x[0, 0], x[1, 1] = 1, 0
    return x.tocoo()


def exact(x, query, k, metric):
    """Return the neighbors by differences of all pairs in float64, ties by index."""
    x, own = x.toarray(), query is None
    q = x if own else query.toarray()
    if metric == "cosine":
        x, q = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, q))
    square = ((q[:, None] - x[None]) ** 2).sum(axis=2)
    # Rows without a common entry have the same cosine distance, up to the rounding of the lengths.
    square = np.where((q[:, None] * x[None]).any(axis=2) | (metric != "cosine"), square, 2)
    if own:
        np.fill_diagonal(square, np.inf)
    order = np.argsort(square, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(square, order, axis=1)
    return order, found / 2 if metric == "cosine" else np.sqrt(found)


@pytest.mark.parametrize("block_bytes", [2**27, 20_000])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbors_are_those_of_the_dense_points(metric, block_bytes):
    x, query = points(), points(20, seed=1)
    steps = []
    with jax.enable_x64(True):
        for q in (None, query):
            found = jaxlle.knn(
                x, K, query=q, metric=metric, block_bytes=block_bytes, progress=lambda *s: steps.append(s)
            )
            indices, distances = exact(x, q, K, metric)
            np.testing.assert_array_equal(found.indices, indices)
            np.testing.assert_allclose(found.distances, distances, rtol=1e-12)
    assert steps[-1] == (20, 20)
    assert (len(steps) > 2) == (block_bytes < 2**27)
    single = jaxlle.knn(x.astype(np.float32), K, metric=metric)
    assert single.distances.dtype == np.float32
    np.testing.assert_array_equal(single.indices, exact(x, None, K, metric)[0])


@pytest.mark.parametrize("scale", [2.0**-500, 1, 2.0**500])
def test_ties_are_ordered_by_index_and_close_points_are_measured_at_any_scale(scale):
    counts = sp.random_array(
        (60, 40), density=0.1, rng=np.random.default_rng(0), data_sampler=lambda size: np.ones(size)
    )
    x = sp.vstack([counts, counts, counts]).tocsr()
    x[120:] *= 1 + 1e-9
    with jax.enable_x64(True):
        found = jaxlle.knn(x * scale, K)
        indices, distances = exact(x, None, K, "euclidean")
        np.testing.assert_array_equal(found.indices[:60], indices[:60])
        np.testing.assert_allclose(found.distances[:60] / scale, distances[:60], rtol=1e-6, atol=1e-20)
    assert (np.asarray(found.distances)[:, 0] == 0).sum() >= 120


def test_points_closer_than_the_rounding_errors_of_products_are_ranked_by_differences():
    rng = np.random.default_rng(0)
    base = np.where(np.arange(60) < 30, rng.random(60), 0)
    x = sp.csr_array(base + 1e-8 * sp.random_array((50, 60), density=0.2, rng=rng).toarray())
    with jax.enable_x64(True):
        found = jaxlle.knn(x, K)
        indices, distances = exact(x, None, K, "euclidean")
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6)


@pytest.mark.parametrize("reg", [1e-3, AbsoluteRidge(0.5)])
@pytest.mark.parametrize("block_bytes", [2**27, 20_000])
def test_weights_and_conditions_are_those_of_the_dense_points(reg, block_bytes):
    x, query = 64 * points(), points(20, seed=1)
    with jax.enable_x64(True):
        neighbors = jaxlle.knn(x, K)
        masked = neighbors._replace(mask=np.arange(K) < 3 + np.arange(80)[:, None] % 4)
        for graph, q in ((neighbors, None), (masked, None), (jaxlle.knn(x, K, query=query), query)):
            dense = None if q is None else q.toarray()
            expected = jaxlle.barycentric_weights(x.toarray(), graph, reg=reg, query=dense)
            found = jaxlle.barycentric_weights(x, graph, reg=reg, query=q, block_bytes=block_bytes)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        if isinstance(reg, float):
            expected = jaxlle.weights.local_condition(x.toarray(), neighbors, reg=reg)
            np.testing.assert_allclose(jaxlle.weights.local_condition(x, neighbors, reg=reg), expected, rtol=1e-9)


def test_an_embedding_is_that_of_the_dense_points():
    x = points(density=0.3)
    with jax.enable_x64(True):
        for metric in ("euclidean", "cosine"):
            found, expected = (jaxlle.lle(a, 2, metric=metric) for a in (x, x.toarray()))
            np.testing.assert_allclose(found.singular_values, expected.singular_values, rtol=1e-8)
            assert np.linalg.svd(found.points.T @ expected.points)[1].min() > 1 - 1e-9
    few = jaxlle.lle(points(6, density=0.5), 2)
    assert few.points.shape == (6, 2)


def test_a_matrix_of_a_million_columns_is_not_made_dense():
    x = points(2000, 1_000_000, 2e-5)  # 16 GB if it were dense
    embedding = jaxlle.lle(x, 2, k=5, metric="cosine", options=jaxlle.EmbedOptions(disconnected="largest"))
    assert np.isfinite(embedding.points).all()


def test_invalid_sparse_points_raise():
    x = points()
    zero = x.tolil()
    zero[7] = 0
    nan = x.tolil()
    nan[5, 3] = np.nan
    for call, message in (
        (lambda: jaxlle.knn(x, K, metric="manhattan"), "'manhattan' is not available for sparse points"),
        (lambda: jaxlle.knn(x, K, metric="precomputed"), "is not available for sparse points"),
        (lambda: jaxlle.knn(zero, K, metric="cosine"), "1 rows of x are zero, the first is row 7"),
        (lambda: jaxlle.knn(x, K, query=zero, metric="cosine"), "rows of query are zero"),
        (lambda: jaxlle.knn(nan, K), "contains NaN or infinity, first in row 5"),
        (lambda: jaxlle.knn(x, 80), "k .n_neighbors. = 80 is not allowed"),
        (lambda: jaxlle.knn(x.tocsr()[:0], 1), "0 sample"),
        (lambda: jaxlle.knn(x.tocsr()[:1], 1), "at least two points"),
        (lambda: jaxlle.knn(x.tocsr()[:, :0], 1), "0 feature"),
        (lambda: jaxlle.knn(x, K, algorithm="kd_tree"), "algorithm = 'kd_tree' is not known here"),
        (lambda: jaxlle.knn(x * 1j, K), "dtype complex128"),
        (lambda: jaxlle.knn(sp.coo_array(np.ones(4)), 1), "Expected 2D"),
        (lambda: jaxlle.knn(x, K, query=points(5, 299)), "query has 299 columns, but x has 300"),
        (lambda: jaxlle.barycentric_weights(x, jaxlle.knn(points(79), K)), "neighbors has 79 rows"),
        (lambda: jaxlle.barycentric_weights(x, jaxlle.knn(x, K), reg=-1.0), "reg = -1"),
        (lambda: jaxlle.lle(sp.csr_array(np.ones((9, 4))), 2, k=4), "All 9 points of x are equal"),
        (lambda: jaxlle.lle(x, 2, k=K, options=jaxlle.EmbedOptions(dedupe=True)), "dedupe=True needs dense points"),
        (lambda: jaxlle.lle(x, 301, k=K), "dim .n_components. = 301"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    for call in (
        lambda: jaxlle.knn(x, K, query=x.toarray()),
        lambda: jaxlle.knn(x.toarray().astype(np.float32), K, query=x),
        lambda: jaxlle.modified_lle(x, 2, k=K),
        lambda: jaxlle.transform(x.toarray(), x, np.ones((80, 2)), k=K),
        lambda: jaxlle.extension.project(x, x, K),
        lambda: jaxlle.lle(x, 2, k="auto"),
    ):
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            call()


def test_equal_rows_beyond_the_candidates_do_not_take_much_memory(monkeypatch):
    x = sp.vstack([points(20)] * 20).tocsr()
    sizes = []
    measure = _sparse._Search._measure

    def record(self, queries, candidates):
        sizes.append(len(queries))
        return measure(self, queries, candidates)

    monkeypatch.setattr(_sparse._Search, "_measure", record)
    found = jaxlle.knn(x, K)
    assert (np.asarray(found.distances) == 0).all()
    np.testing.assert_array_equal(found.indices[0], 20 * np.arange(1, K + 1))
    assert sum(sizes) == 400 * 19
