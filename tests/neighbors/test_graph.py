"""External graphs: conversion, validation, saving and loading."""

import jax
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.neighbors import kneighbors_graph

import jaxlle


def test_a_graph_from_scikit_learn_equals_that_of_knn(cloud):
    graph = kneighbors_graph(cloud, 5, mode="distance")
    ours, theirs = jaxlle.knn(cloud, 5), jaxlle.neighbors.as_neighbors(graph)
    np.testing.assert_array_equal(theirs.indices, ours.indices)
    np.testing.assert_allclose(theirs.distances, ours.distances, rtol=1e-5)
    found = jaxlle.lle(cloud, 2, k=5, neighbors=theirs)
    np.testing.assert_allclose(found.points, jaxlle.lle(cloud, 2, k=5).points, atol=1e-4)


def test_the_point_itself_is_removed_at_any_position():
    # As faiss and pynndescent return it: mostly first, second after a copy, and absent in the last row.
    graph = jaxlle.neighbors.as_neighbors(np.array([[0, 1, 2], [3, 1, 0], [2, 0, 1], [1, 0, 2]]), np.ones((4, 3)))
    np.testing.assert_array_equal(graph.indices, [[1, 2], [3, 0], [0, 1], [1, 0]])
    assert graph.distances.shape == (4, 2)


def test_queries_keep_all_neighbors_and_missing_neighbors_are_masked():
    graph = jaxlle.neighbors.as_neighbors(np.array([[0, 1], [4, -1]]), num_points=5)
    np.testing.assert_array_equal(graph.mask, [[True, True], [True, False]])
    assert int(graph.indices.min()) >= 0


@pytest.mark.parametrize(
    ("indices", "distances", "message"),
    [
        ([[1, 5], [0, 2], [0, 1]], None, "lists point 5, but there are 3"),
        ([[1.5, 2.0]], None, "integer row numbers"),
        ([1, 2], None, "integer row numbers"),
        ([[1, 1], [0, 2], [0, 1]], None, "Row 0 of the graph lists a point twice"),
        ([[1, 2, 3], [0, 2, 3], [0, 3, 3], [0, 1, 2]], None, "Row 2 of the graph lists a point twice"),
        ([[1, 2], [0, 2], [0, 1]], [[1.0, 2.0]], "shape"),
        ([[1, 2], [0, 2], [0, 1]], [[1.0, np.nan]] * 3, "finite"),
        ([[1, 2], [0, 2], [0, 1]], [[1.0, -2.0]] * 3, "squared"),
        ([[0], [1], [2]], None, "own only neighbor"),
        ([[1], [-1], [0]], None, "1 rows of the graph have no neighbor"),
        (np.array([[1, 2], [0, 2**63], [0, 1]], np.uint64), None, "lists point 9223372036854775808, but there are 3"),
        (np.array([[1, 2], [0, 2**32 + 1], [0, 1]]), None, "lists point 4294967297, but there are 3"),
        (np.ma.array([[1, 2], [0, 2], [0, 1]], mask=[[0, 0], [0, 1], [0, 0]]), None, "masked entries in rows 1 "),
        (csr_array(np.array([[0, 1.0, 1], [1, 0, 0], [0, 1, 0]])), None, "must have the same number"),
    ],
)
def test_an_invalid_graph_raises(indices, distances, message):
    with pytest.raises(ValueError, match=message):
        jaxlle.neighbors.as_neighbors(indices, distances)


def test_a_saved_graph_is_loaded_unchanged(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    for graph in (
        jaxlle.knn(x, 5),
        jaxlle.neighbors.radius_neighbors(x, 3.0),
        jaxlle.knn(x, 5)._replace(distances=None),
    ):
        jaxlle.neighbors.save(tmp_path / "graph.npz", graph)
        back = jaxlle.neighbors.load(tmp_path / "graph.npz")
        assert (back.distances is None) == (graph.distances is None)
        assert (back.mask is None) == (graph.mask is None)
        for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(graph), strict=True):
            np.testing.assert_array_equal(a, b)
    assert [path.name for path in tmp_path.iterdir()] == ["graph.npz"]


def test_a_file_without_a_valid_graph_raises(tmp_path):
    path = tmp_path / "graph.npz"
    with pytest.raises(ValueError, match=r"suffix '\.txt'"):
        jaxlle.neighbors.save(tmp_path / "graph.txt", jaxlle.knn(np.eye(4, dtype=np.float32), 2))
    with pytest.raises(FileNotFoundError):
        jaxlle.neighbors.load(path)
    indices = np.array([[1], [0]])
    for arrays, text in (
        ({"x": np.eye(2)}, "holds no graph"),
        ({"indices": indices, "format": 99}, "format 99"),
        ({"indices": indices + 1, "format": 1}, "holds no valid graph: neighbors holds indices from 1 to 2"),
        ({"indices": indices.astype(np.float32), "format": 1}, "dtype float32"),
        ({"indices": indices.astype(np.uint64) + 2**63, "format": 1}, "holds indices from"),
        ({"indices": indices[:0], "format": 1}, r"shape \(0, 1\)"),
        ({"indices": indices[[0, 0]] + [0, 0], "format": 1}, "Row 0 of the graph lists a point twice"),
        ({"indices": indices, "distances": np.ones((3, 1)), "format": 1}, r"distances of shape \(3, 1\)"),
        ({"indices": indices, "distances": np.full((2, 1), np.nan), "format": 1}, "finite and not negative"),
        ({"indices": indices, "distances": -np.ones((2, 1)), "format": 1}, "finite and not negative"),
        ({"indices": indices, "mask": np.ones((2, 1)), "format": 1}, "mask has dtype float64"),
        (
            {"indices": indices, "mask": np.array([[True], [False]]), "format": 1},
            "1 rows of the graph have no neighbor",
        ),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=text):
            jaxlle.neighbors.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="truncated"):
        jaxlle.neighbors.load(path)
