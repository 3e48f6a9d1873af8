"""Components, closed classes and width of neighborhood graphs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import Alignment, Neighbors
from jaxlle.alignment.connectivity import num_closed_classes


def test_components_are_counted_and_sorted_by_size(cloud):
    x = cloud.copy()
    x[:30] += 100
    components = jaxlle.alignment.connected_components(jaxlle.knn(x, 6))
    assert components.sizes.tolist() == [90, 30]
    assert (components.labels[:30] == 1).all()
    assert (components.labels[30:] == 0).all()
    # A point that is no point's neighbor belongs to a component, but to no closed class.
    assert len(components.closed) == 2


def test_a_connected_graph_can_have_two_closed_classes():
    # 0 and 1, and 3 and 4, have only each other as neighbors; 2 has neighbors in both pairs.
    components = jaxlle.alignment.connected_components(Neighbors(jnp.array([[1], [0], [1], [4], [3], [2]]), None))
    assert components.sizes.tolist() == [4, 2]
    bridge = Neighbors(jnp.array([[1, 1], [0, 0], [1, 3], [4, 4], [3, 3]]), None)
    components = jaxlle.alignment.connected_components(bridge)
    assert components.sizes.tolist() == [5]
    assert [c.tolist() for c in components.closed] in ([[0, 1], [3, 4]], [[3, 4], [0, 1]])


def test_masked_edges_are_ignored():
    ring = Neighbors(jnp.array([[1], [2], [3], [0]]), None, jnp.array([[True], [False], [True], [False]]))
    assert jaxlle.alignment.connected_components(ring).sizes.tolist() == [2, 2]


def test_components_of_an_alignment_ignore_zero_weights():
    blocks = jnp.array([[[1.0, -1.0, 0.0]]] * 4)
    indices = jnp.array([[0, 1, 2], [1, 0, 3], [2, 3, 0], [3, 2, 1]])
    assert jaxlle.alignment.connected_components(jaxlle.Alignment(indices, blocks)).sizes.tolist() == [2, 2]


def test_components_inside_jit_raise(cloud):
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda a: jaxlle.alignment.connected_components(jaxlle.knn(a, 3)).sizes)(cloud)


def test_the_width_of_a_graph_is_the_size_of_its_widest_level():
    rows, columns = 5, 40
    ids = np.arange(rows * columns).reshape(rows, columns)
    up, left = np.roll(ids, 1, axis=0), np.maximum(ids - 1, ids[:, :1])
    graph = jaxlle.Neighbors(jnp.asarray(np.stack([up.ravel(), left.ravel()], axis=1)), None)
    assert rows <= jaxlle.alignment.graph_width(graph) <= 2 * rows  # a tube with five rows


def test_the_width_of_a_path_is_one_and_of_a_comb_two():
    """The search starts from a peripheral point, not from the point of highest degree, and edges have no direction."""
    path = Neighbors(jnp.minimum(jnp.arange(21) + 1, 20)[:, None], None, (jnp.arange(21) < 20)[:, None])
    assert jaxlle.alignment.graph_width(path) == 1
    ends = jnp.concatenate([path.indices, jnp.full((21, 1), 10)], axis=1)
    hub = Neighbors(ends, None, jnp.concatenate([path.mask, (abs(jnp.arange(21) - 10) == 1)[:, None]], axis=1))
    assert jaxlle.alignment.graph_width(hub) == 1
    teeth = jnp.concatenate([path.indices, jnp.arange(21)[:, None]])
    mask = jnp.concatenate([path.mask, jnp.ones((21, 1), bool)])
    assert jaxlle.alignment.graph_width(Neighbors(teeth, None, mask)) == 2


@pytest.mark.parametrize("r", [1, 2])
def test_closed_classes_are_counted_inside_jit_and_on_the_host(r):
    rng, found = np.random.default_rng(r), []
    count = jax.jit(num_closed_classes)
    for size in (2, 3, 5, 8, 40) * 4:  # most neighbors are within groups, a few outside
        own = np.arange(40)[:, None]
        ids = own // size * size + rng.integers(0, size, (40, 3))
        ids = np.where(rng.random((40, 3)) < 0.1, rng.integers(0, 40, (40, 3)), ids) % 40
        blocks = np.where(rng.random((40, 1, 4)) < 0.2, 0, rng.normal(size=(40, r, 4)))
        alignment = Alignment(jnp.asarray(np.concatenate([own, ids], axis=1)), jnp.asarray(blocks, jnp.float32))
        found.append(int(count(alignment)))
        assert found[-1] == len(jaxlle.alignment.connected_components(alignment).closed)
    assert len(set(found)) > 4


@pytest.mark.parametrize("wrong", [-1, 6, 10**6, 2**32 + 3])
@pytest.mark.parametrize("measure", [jaxlle.alignment.graph_width, jaxlle.alignment.connected_components])
def test_indices_out_of_range_raise(measure, wrong):
    indices = np.array([[1, 2], [2, 3], [3, 4], [4, 5], [5, 0], [0, wrong]])
    blocks = np.tile(np.array([[[1.0, -1.0]]], np.float32), (6, 1, 1))
    for graph in (Neighbors(indices, None), Alignment(indices, blocks), Alignment(indices, np.tile(blocks, (1, 2, 1)))):
        with pytest.raises(
            ValueError, match=f"holds indices from {min(wrong, 0)} to {max(wrong, 5)}, but x has 6 rows"
        ):
            measure(graph)


def test_malformed_graphs_raise():
    width = jaxlle.alignment.graph_width
    with pytest.raises(ValueError, match=r"shape \(n, m\) and blocks of shape \(n, r, m\)"):
        width(Alignment(jnp.zeros((3, 2), jnp.int32), jnp.zeros((3, 1, 3))))
    with pytest.raises(ValueError, match=r"mask of shape \(3, 1\)"):
        width(Neighbors(jnp.zeros((3, 2), jnp.int32), None, jnp.ones((3, 1), bool)))
    with pytest.raises(ValueError, match=r"shape \(3,\) and dtype int32"):
        width(Neighbors(jnp.zeros(3, jnp.int32), None))
    with pytest.raises(ValueError, match=r"shape \(0, 2\)"):
        width(Neighbors(jnp.zeros((0, 2), jnp.int32), None))
    with pytest.raises(ValueError, match="dtype float32"):
        width(Neighbors(jnp.zeros((3, 2)), None))
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda i: width(Neighbors(i, None)))(jnp.zeros((3, 2), jnp.int32))
