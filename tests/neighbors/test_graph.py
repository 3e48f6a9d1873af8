import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.neighbors import kneighbors_graph

import jaxlle
from jaxlle import Alignment, Neighbors
from jaxlle.alignment.connectivity import num_closed_classes


def test_components_are_counted_and_sorted_by_size(cloud):
    x = cloud.copy()
    x[:30] += 100
    parts = jaxlle.alignment.connected_components(jaxlle.knn(x, 6))
    assert parts.sizes.tolist() == [90, 30]
    assert (parts.labels[:30] == 1).all()
    assert (parts.labels[30:] == 0).all()
    assert len(parts.closed) == 2  # what nobody points at belongs to a part, but to no closed class


def test_a_connected_graph_can_have_two_closed_classes():
    # 0-1 and 3-4 look only at each other; 2 looks at both.
    parts = jaxlle.alignment.connected_components(Neighbors(jnp.array([[1], [0], [1], [4], [3], [2]]), None))
    assert parts.sizes.tolist() == [4, 2]
    bridge = Neighbors(jnp.array([[1, 1], [0, 0], [1, 3], [4, 4], [3, 3]]), None)
    parts = jaxlle.alignment.connected_components(bridge)
    assert parts.sizes.tolist() == [5]
    assert [c.tolist() for c in parts.closed] in ([[0, 1], [3, 4]], [[3, 4], [0, 1]])


def test_a_mask_takes_edges_away():
    ring = Neighbors(jnp.array([[1], [2], [3], [0]]), None, jnp.array([[True], [False], [True], [False]]))
    assert jaxlle.alignment.connected_components(ring).sizes.tolist() == [2, 2]


def test_components_of_an_alignment_ignore_zero_weights():
    blocks = jnp.array([[[1.0, -1.0, 0.0]]] * 4)
    indices = jnp.array([[0, 1, 2], [1, 0, 3], [2, 3, 0], [3, 2, 1]])
    assert jaxlle.alignment.connected_components(jaxlle.Alignment(indices, blocks)).sizes.tolist() == [2, 2]


def test_components_inside_jit_are_refused(cloud):
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda a: jaxlle.alignment.connected_components(jaxlle.knn(a, 3)).sizes)(cloud)


def test_a_graph_from_scikit_learn_equals_our_own(cloud):
    graph = kneighbors_graph(cloud, 5, mode="distance")
    ours, theirs = jaxlle.knn(cloud, 5), jaxlle.neighbors.as_neighbors(graph)
    np.testing.assert_array_equal(theirs.indices, ours.indices)
    np.testing.assert_allclose(theirs.distances, ours.distances, rtol=1e-5)
    found = jaxlle.lle(cloud, 2, k=5, neighbors=theirs)
    np.testing.assert_allclose(found.points, jaxlle.lle(cloud, 2, k=5).points, atol=1e-4)


def test_self_is_taken_out_wherever_it_stands():
    # As faiss and pynndescent return it: mostly first, with copies second, and crowded out in the last row.
    graph = jaxlle.neighbors.as_neighbors(np.array([[0, 1, 2], [3, 1, 0], [2, 0, 1], [1, 0, 2]]), np.ones((4, 3)))
    np.testing.assert_array_equal(graph.indices, [[1, 2], [3, 0], [0, 1], [1, 0]])
    assert graph.distances.shape == (4, 2)


def test_queries_keep_all_their_neighbors_and_missing_ones_are_masked():
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
        ([[1, 2], [0, 2], [0, 1]], [[1.0, 2.0]], "shape"),
        ([[1, 2], [0, 2], [0, 1]], [[1.0, np.nan]] * 3, "finite"),
        ([[1, 2], [0, 2], [0, 1]], [[1.0, -2.0]] * 3, "squared"),
        ([[0], [1], [2]], None, "own only neighbor"),
        ([[1], [-1], [0]], None, "1 rows of the graph have no neighbor"),
        (csr_array(np.array([[0, 1.0, 1], [1, 0, 0], [0, 1, 0]])), None, "must have the same number"),
    ],
)
def test_a_bad_graph_is_refused(indices, distances, message):
    with pytest.raises(ValueError, match=message):
        jaxlle.neighbors.as_neighbors(indices, distances)


def test_a_graph_comes_back_from_its_file(tmp_path):
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


def test_a_file_that_is_no_graph_is_named(tmp_path):
    path = tmp_path / "graph.npz"
    with pytest.raises(ValueError, match=r"suffix '\.txt'"):
        jaxlle.neighbors.save(tmp_path / "graph.txt", jaxlle.knn(np.eye(4, dtype=np.float32), 2))
    with pytest.raises(FileNotFoundError):
        jaxlle.neighbors.load(path)
    indices = np.array([[1], [0]])
    for arrays, text in (
        ({"x": np.eye(2)}, "holds no graph"),
        ({"indices": indices, "format": 99}, "format 99"),
        ({"indices": indices + 1, "format": 1}, "out of the range of its points"),
        ({"indices": indices, "distances": np.ones((3, 1)), "format": 1}, "different shapes"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=text):
            jaxlle.neighbors.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="truncated"):
        jaxlle.neighbors.load(path)


def test_the_width_of_a_graph_is_that_of_its_widest_level():
    rows, columns = 5, 40
    ids = np.arange(rows * columns).reshape(rows, columns)
    up, left = np.roll(ids, 1, axis=0), np.maximum(ids - 1, ids[:, :1])
    graph = jaxlle.Neighbors(jnp.asarray(np.stack([up.ravel(), left.ravel()], axis=1)), None)
    assert rows <= jaxlle.alignment.graph_width(graph) <= 2 * rows  # a tube of five rows


@pytest.mark.parametrize("r", [1, 2])
def test_closed_classes_are_counted_inside_jit_as_on_the_host(r):
    rng, found = np.random.default_rng(r), []
    count = jax.jit(num_closed_classes)
    for size in (2, 3, 5, 8, 40) * 4:  # points look within groups and, a few, beyond them
        own = np.arange(40)[:, None]
        ids = own // size * size + rng.integers(0, size, (40, 3))
        ids = np.where(rng.random((40, 3)) < 0.1, rng.integers(0, 40, (40, 3)), ids) % 40
        blocks = np.where(rng.random((40, 1, 4)) < 0.2, 0, rng.normal(size=(40, r, 4)))
        alignment = Alignment(jnp.asarray(np.concatenate([own, ids], axis=1)), jnp.asarray(blocks, jnp.float32))
        found.append(int(count(alignment)))
        assert found[-1] == len(jaxlle.alignment.connected_components(alignment).closed)
    assert len(set(found)) > 4
