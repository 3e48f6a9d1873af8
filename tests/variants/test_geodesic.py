"""Neighbors by shortest paths, compared with SciPy."""

import jax
import numpy as np
import pytest
from helpers import swiss_roll
from scipy.sparse.csgraph import shortest_path

import jaxlle


def test_geodesic_neighbors_match_all_shortest_paths(x64):
    x = np.concatenate([swiss_roll(150), swiss_roll(150)[:6]])  # repeated points at distance 0 are reached
    graph = jaxlle.knn(x, 5)
    dense = np.full((156, 156), np.inf)
    dense[np.arange(156)[:, None], graph.indices] = np.maximum(graph.distances, 1e-6)  # 0 would mean no edge
    paths = shortest_path(np.minimum(dense, dense.T), directed=False)
    np.fill_diagonal(paths, np.inf)
    found = jaxlle.variants.geodesic_neighbors(x, 12, graph_k=5, block_bytes=2**17)
    np.testing.assert_allclose(found.distances, np.sort(paths, axis=1)[:, :12], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(paths, np.asarray(found.indices), 1), found.distances, atol=1e-5)
    ready = jaxlle.variants.geodesic_neighbors(x, 12, graph=graph)
    np.testing.assert_array_equal(ready.indices, found.indices)


@pytest.mark.slow
def test_paths_do_not_connect_the_sheets_of_a_roll():
    t = np.repeat(np.linspace(5, 14, 90), 4)
    x = np.stack([t * np.cos(t), np.tile(np.arange(4.0), 90), t * np.sin(t)], axis=1).astype(np.float32)
    jumps = [
        np.abs(t[np.asarray(near.indices)] - t[:, None]).max()
        for near in (jaxlle.knn(x, 100), jaxlle.variants.geodesic_neighbors(x, 100, graph_k=8))
    ]
    assert jumps[0] > 5  # on another sheet
    assert jumps[1] < 4


def test_a_graph_with_k_neighbors_gives_those_of_knn_and_invalid_calls_raise():
    x = swiss_roll(200).astype(np.float32)
    np.testing.assert_allclose(
        jaxlle.variants.geodesic_neighbors(x, 8, graph_k=8).distances, jaxlle.knn(x, 8).distances, rtol=1e-5
    )
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda a: jaxlle.variants.isolle(a, 2, k=8).points)(x)
    with pytest.raises(ValueError, match="has 200 rows, but there are 50 points"):
        jaxlle.variants.geodesic_neighbors(x[:50], 8, graph=jaxlle.knn(x, 5))


def test_masked_neighbors_are_no_edges():
    line = np.arange(12.0, dtype=np.float32)[:, None]
    graph = jaxlle.neighbors.radius_neighbors(line, 1.5, max_neighbors=4)  # longer edges are masked
    found = jaxlle.variants.geodesic_neighbors(line, 3, graph=graph._replace(distances=graph.distances**2))
    np.testing.assert_array_equal(found.distances[0], [1, 2, 3])
    masked = graph._replace(distances=jax.numpy.where(graph.mask, graph.distances, 0.1))
    np.testing.assert_array_equal(jaxlle.variants.geodesic_neighbors(line, 3, graph=masked).distances[0], [1, 2, 3])
