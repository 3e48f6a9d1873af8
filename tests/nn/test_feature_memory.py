"""The memory of features: its loss against that of the whole data, the queue, the average, the schedule, and wrong arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxlle
from jaxlle.losses import lle_loss
from jaxlle.nn import FeatureMemory, FitOptions, load_model, save_model, train

N, WIDTH, K, B = 40, 3, 5, 8


@pytest.fixture(scope="module")
def z():
    return np.random.default_rng(0).normal(size=(N, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def graph(z):
    neighbors = jaxlle.knn(z, K)
    return neighbors, jaxlle.barycentric_weights(z, neighbors)


def filled(z, **options):
    memory = FeatureMemory(N, WIDTH, k=K, **options)
    memory.store(np.arange(N), z)
    memory.refresh()
    return memory


def in_order(memory):
    """Return the rows that are stored, in increasing order."""
    rows = np.asarray(memory.stored[...])
    return sorted(rows[rows >= 0].tolist())


def check_consistent(memory):
    """Check that rows and places refer to each other."""
    stored, places = np.asarray(memory.stored[...]), np.asarray(memory.places[...])
    rows = stored[stored >= 0]
    assert len(set(rows.tolist())) == len(rows)
    np.testing.assert_array_equal(stored[places[rows]], rows)
    np.testing.assert_array_equal(np.flatnonzero(places >= 0), np.sort(rows))


@pytest.mark.parametrize("search", [False, True])
def test_with_all_rows_stored_the_loss_and_its_gradient_are_those_of_the_whole_data(z, graph, search):
    memory, (neighbors, weights) = filled(z), graph
    rows = np.random.default_rng(1).permutation(N)
    np.testing.assert_array_equal(np.sort(memory.neighborhoods(rows).rows), np.sort(neighbors.indices[rows]))

    def by_memory(y):
        return memory.loss(rows, y, search=search)

    def whole(y):  # with fixed neighbors' outputs
        return lle_loss(y, jnp.asarray(z[neighbors.indices[rows]]), weights[rows])

    value, gradient = jax.value_and_grad(by_memory)(jnp.asarray(z[rows]))
    expected, expected_gradient = jax.value_and_grad(whole)(jnp.asarray(z[rows]))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-7)
    none = memory.loss(rows, z[rows], search=search, reduction="none")
    np.testing.assert_allclose(none.mean(), expected, rtol=1e-5)


def test_far_from_the_origin_the_neighbors_are_the_same(z, graph):
    np.testing.assert_array_equal(filled(z + 300).near[...], filled(z).near[...])


def test_small_blocks_give_the_same_graph(z):
    one, other = filled(z), filled(z, block_bytes=1000)
    np.testing.assert_array_equal(one.near[...], other.near[...])
    np.testing.assert_allclose(one.weights[...], other.weights[...], rtol=1e-4, atol=1e-6)


def test_a_point_is_never_its_own_neighbor_even_among_copies(z):
    same = np.repeat(z[:4], N // 4, axis=0)
    memory = filled(same)
    assert not (memory.near[...] == memory.owners[...][:, None]).any()
    found = memory.search(np.arange(N), same)
    assert not (found.rows == np.arange(N)[:, None]).any()
    assert np.isfinite(memory.loss(np.arange(N), same))


def test_a_queue_stores_the_last_rows_each_once(z):
    memory, order = FeatureMemory(N, WIDTH, k=K, capacity=20), np.random.default_rng(2)
    store = nnx.jit(lambda memory, rows, features: memory.store(rows, features))
    history = []
    for _ in range(12):
        rows = order.integers(N, size=B)  # some of them several times
        store(memory, rows, z[rows] + len(history))
        history.append(rows)
        check_consistent(memory)
        for row in in_order(memory):
            last = max(i for i, rows in enumerate(history) if row in rows)
            np.testing.assert_allclose(memory.features[...][memory.places[...][row]], z[row] + last, rtol=1e-6)
    assert set(history[-1].tolist()) <= set(in_order(memory))
    assert set(in_order(memory)) <= {row for rows in history[-5:] for row in rows.tolist()}


def test_a_full_queue_replaces_the_oldest(z):
    memory = FeatureMemory(N, WIDTH, k=K, capacity=16)
    for start in (0, 8, 16):
        memory.store(np.arange(start, start + 8), z[start : start + 8])
    assert in_order(memory) == list(range(8, 24))
    memory.store(np.array([8, 9, 10, 24]), z[[8, 9, 10, 24]])  # three of the oldest are stored anew, at the end
    assert in_order(memory) == [8, 9, 10, *range(12, 25)]
    check_consistent(memory)


def test_of_a_row_that_occurs_twice_the_last_features_are_stored(z):
    for options in ({}, {"capacity": 10}):
        memory = FeatureMemory(N, WIDTH, k=K, **options)
        memory.store(np.array([3, 7, 3]), z[:3])
        np.testing.assert_array_equal(memory.features[...][memory.places[...][3]], z[2])
        memory.store(np.array([3, 3]), z[4:6], where=np.array([True, False]))
        np.testing.assert_array_equal(memory.features[...][memory.places[...][3]], z[4])
        assert in_order(memory) == [3, 7]


@pytest.mark.parametrize("capacity", [None, 10])
def test_stored_features_are_an_exponential_moving_average(z, capacity):
    memory = FeatureMemory(N, WIDTH, k=K, capacity=capacity, momentum=0.75)
    expected = z[0]
    for i in range(4):
        memory.store(np.array([5]), z[i : i + 1])
        expected = 0.75 * expected + 0.25 * z[i]
    np.testing.assert_allclose(memory.features[...][memory.places[...][5]], expected, rtol=1e-5)


def test_the_graph_is_computed_on_schedule_and_the_features_are_the_latest(z, graph):
    memory = FeatureMemory(N, WIDTH, k=K, refresh_every=5)
    store = nnx.jit(lambda memory, rows, features: memory.store(rows, features))
    rows = np.arange(N).reshape(5, B)
    for step, batch in enumerate(rows):
        assert float(memory.loss(batch, z[batch])) == 0  # there is no graph yet
        assert not memory.neighborhoods(batch).where.any()
        store(memory, batch, z[batch])
        assert bool((memory.owners[...] >= 0).all()) == (step == 4)
    np.testing.assert_array_equal(np.sort(memory.near[...]), np.sort(graph[0].indices))
    before = np.asarray(memory.near[...])
    store(memory, rows[0], 9 + z[rows[0]])
    np.testing.assert_array_equal(memory.near[...], before)
    found = memory.neighborhoods(np.arange(N))
    np.testing.assert_array_equal(found.features, np.concatenate([9 + z[:B], z[B:]])[found.rows])


def test_neighbors_that_were_removed_do_not_count(z):
    memory = FeatureMemory(N, WIDTH, k=K, capacity=16)
    memory.store(np.arange(16), z[:16])
    memory.refresh()
    before = memory.neighborhoods(np.arange(N))
    np.testing.assert_array_equal(before.where, np.arange(N) < 16)
    memory.store(np.arange(16, 20), z[16:20])  # removes rows 0 to 3
    after = memory.neighborhoods(np.arange(N))
    complete = (np.asarray(before.rows) >= 4).all(axis=1) & (np.arange(N) >= 4) & (np.arange(N) < 16)
    np.testing.assert_array_equal(after.where, complete)
    np.testing.assert_array_equal(after.mask, np.broadcast_to(complete[:, None], after.mask.shape))
    assert np.isfinite(memory.loss(np.arange(N), z))


def test_with_fewer_stored_points_than_neighbors_there_are_fewer(z):
    memory = FeatureMemory(N, WIDTH, k=K)
    assert not memory.search(np.arange(4), z[:4]).where.any()
    assert float(memory.loss(np.arange(4), z[:4], search=True)) == 0
    memory.store(np.arange(3), z[:3])
    found = memory.search(np.arange(4), z[:4])
    np.testing.assert_array_equal(found.mask.sum(axis=1), [2, 2, 2, 3])
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-5)
    expected = jaxlle.barycentric_weights(z[:3], jaxlle.knn(z[:3], 2))
    order = np.argsort(np.asarray(found.rows)[:3, :2], axis=1)
    known = np.argsort(np.asarray(jaxlle.knn(z[:3], 2).indices), axis=1)
    for row in range(3):
        np.testing.assert_allclose(found.weights[row, :2][order[row]], expected[row][known[row]], rtol=1e-4)


def test_invalid_sizes_raise():
    for options, message in (
        ({"capacity": N + 1}, r"capacity = 41 is not allowed: it must be between 2 and 40 \(each of the 40 points"),
        ({"capacity": 5}, "k = 5 is not allowed: it must be between 1 and 4"),
        ({"momentum": 1.0}, "momentum"),
        ({"momentum": np.nan}, "momentum"),
        ({"refresh_every": 0}, "refresh_every = 0"),
        ({"reg": 0.0}, "reg = 0 with k = 5 neighbors in 3 dimensions"),
        ({"block_bytes": 0}, "block_bytes = 0"),
    ):
        with pytest.raises(ValueError, match=message):
            FeatureMemory(N, WIDTH, k=K, **options)
    with pytest.raises(ValueError, match="points = 1"):
        FeatureMemory(1, WIDTH, k=1)


def test_invalid_rows_and_features_raise(z):
    memory = filled(z)
    before = jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(memory)))
    for rows, features, message in (
        (np.array([0, N]), z[:2], r"rows ranges from 0 to 40, but the memory is for 40 points \(0 to 39\)"),
        (np.array([-1]), z[:1], "rows ranges from -1"),
        (np.array([0.0]), z[:1], "rows has shape .* and dtype float64, but must be integers"),
        (np.zeros((2, 2), int), z[:2], "rows has shape"),
        (np.zeros(0, int), z[:0], "rows has shape"),
        (np.arange(2), z[:3], r"features has shape \(3, 3\), but must have shape \(2, 3\)"),
        (np.arange(2), z[:2, :2], r"features has shape \(2, 2\)"),
        (np.arange(2), np.full((2, WIDTH), np.nan, np.float32), "features contains NaN or infinity"),
        (np.arange(2), np.full((2, WIDTH), np.inf, np.float32), "features contains NaN or infinity"),
    ):
        for method in (memory.store, memory.search, memory.loss):
            with pytest.raises(ValueError, match=message):
                method(rows, features)
    with pytest.raises(ValueError, match="where has shape"):
        memory.store(np.arange(2), z[:2], where=np.ones(3, bool))
    with pytest.raises(ValueError, match="A batch of 9 points does not fit into a memory of 8"):
        FeatureMemory(N, WIDTH, k=K, capacity=8).store(np.arange(9), z[:9])
    jax.tree.map(np.testing.assert_array_equal, before, nnx.to_pure_dict(nnx.state(memory)))
    masked = np.array([[np.nan] * 3, [1.0] * 3], np.float32)
    memory.store(np.arange(2), masked, where=np.array([False, True]))
    np.testing.assert_array_equal(memory.features[...][:2], [z[0], [1.0] * 3])


def test_inside_jit_invalid_rows_are_not_stored_and_make_the_loss_nan(z):
    memory = filled(z)
    store = nnx.jit(lambda memory, rows, features: memory.store(rows, features))
    loss = nnx.jit(lambda memory, rows, features: memory.loss(rows, features))
    expected = np.array(memory.features[...])
    store(memory, jnp.array([N, -1, 2, 3]), jnp.asarray([[7.0] * 3, [7.0] * 3, [np.nan] * 3, [7.0] * 3]))
    expected[3] = 7
    np.testing.assert_array_equal(memory.features[...], expected)
    check_consistent(memory)
    assert np.isfinite(loss(memory, jnp.array([0, 1]), z[:2]))
    for rows in ([0, N], [-1, 0]):
        assert np.isnan(loss(memory, jnp.array(rows), z[:2]))
    assert np.isnan(loss(memory, jnp.array([0, 1]), jnp.full((2, WIDTH), jnp.nan)))


class Trained(nnx.Module):
    """A linear map with a memory of its outputs."""

    optimizer_rule = optax.adam(1e-2)

    def __init__(self):
        self.map = nnx.Linear(WIDTH, 2, rngs=nnx.Rngs(0))
        self.memory = FeatureMemory(N, 2, k=K, refresh_every=2, momentum=0.5)
        self.optimizer = nnx.Optimizer(self, self.optimizer_rule, wrt=nnx.Param)
        self.step = nnx.BatchStat(jnp.zeros((), jnp.int32))


@nnx.jit
def trained_step(model, batch):
    rows, x = batch

    def loss(model):
        y = model.map(x)
        return model.memory.loss(rows, y) + jaxlle.losses.log_det_penalty(y), y

    (value, y), grads = nnx.value_and_grad(loss, has_aux=True)(model)
    model.optimizer.update(model, grads)
    model.memory.store(rows, y)
    model.step[...] = model.step[...] + 1
    return {"loss": value, "cost": value}


def test_a_resumed_run_continues_with_the_same_memory(z, tmp_path):
    rng = np.random.default_rng(0)
    batches = [(rows, z[rows]) for rows in (rng.permutation(N)[:B].astype(np.int32) for _ in range(12))]
    options = {"steps_per_epoch": 3, "progress": False}
    whole = Trained()
    history = train(whole, trained_step, batches, epochs=4, **options)
    for epochs in (2, 4):
        resumed = Trained()
        saving = FitOptions(checkpoint_dir=tmp_path / "steps")
        rest = train(resumed, trained_step, batches, epochs=epochs, options=saving, **options)
    assert rest == history[2:]
    states = [nnx.to_pure_dict(nnx.state(model)) for model in (whole, resumed)]
    jax.tree.map(np.testing.assert_array_equal, *states)
    assert float(resumed.memory.loss(np.arange(N), resumed.map(z))) > 0


def test_a_file_of_a_model_does_not_contain_the_memory(tmp_path):
    model, other = Trained(), Trained()
    model.map.kernel[...] = model.map.kernel[...] + 1
    save_model(tmp_path / "model.npz", model)
    with np.load(tmp_path / "model.npz") as saved:
        assert not any("memory" in name for name in saved.files)
    load_model(tmp_path / "model.npz", other)
    np.testing.assert_array_equal(other.map.kernel[...], model.map.kernel[...])
