"""Batches with neighborhoods: their content, and that they are unbiased, resumable and divisible into shards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import losses, neighborhood_batches

N, K = 50, 4


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    neighbors = jaxlle.knn(x, K)
    return x, neighbors, jaxlle.barycentric_weights(x, neighbors)


def test_a_batch_contains_each_point_once_and_every_neighbor(data):
    x, neighbors, weights = data
    batch = neighborhood_batches(*data, batch_size=12).batch(0)
    rows = np.asarray(batch.indices)[batch.anchors]
    real = np.asarray(batch.indices)[batch.valid]
    assert len(set(real.tolist())) == len(real)
    assert set(real.tolist()) == {*rows.tolist(), *np.asarray(neighbors.indices)[rows].ravel().tolist()}
    np.testing.assert_array_equal(batch.points, x[batch.indices])
    np.testing.assert_array_equal(np.asarray(batch.indices)[batch.gather], np.asarray(neighbors.indices)[rows])
    np.testing.assert_array_equal(batch.weights, weights[rows])
    assert batch.where.all()
    assert batch.mask.all()


def test_every_epoch_visits_every_point_once_in_another_order(data):
    batches = neighborhood_batches(*data, batch_size=12, key=jax.random.key(3))
    assert len(batches) == 5

    def visited(epoch):
        steps = [batches.batch(s) for s in range(5 * epoch, 5 * epoch + 5)]
        return np.concatenate([np.asarray(b.indices[b.anchors])[b.where] for b in steps])

    first, second = visited(0), visited(1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(N))
    assert (first != second).any()


def test_the_mean_gradient_over_an_epoch_is_that_of_the_full_cost(data):
    x, neighbors, weights = data
    batches = neighborhood_batches(*data, batch_size=12)
    a = jnp.asarray([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]])

    def part(a, batch):
        y = jnp.tanh(batch.points @ a)
        return losses.lle_loss(y[batch.anchors], y[batch.gather], batch.weights, where=batch.where, reduction="sum") / N

    def full(a):
        y = jnp.tanh(x @ a)
        return losses.lle_loss(y, y[neighbors.indices], weights)

    grad = jax.jit(jax.grad(part))
    np.testing.assert_allclose(sum(grad(a, batches.batch(s)) for s in range(5)), jax.grad(full)(a), rtol=1e-4)
    assert grad._cache_size() == 1  # the last batch has the same shape although it has fewer anchors


def test_a_resumed_run_gets_the_same_batches(data):
    whole = neighborhood_batches(*data, batch_size=12, key=jax.random.key(1)).start_at()
    expected = [next(whole) for _ in range(9)][7:]
    resumed = neighborhood_batches(*data, batch_size=12, key=jax.random.key(1)).start_at(7)
    for (step, batch), (again, other) in zip(expected, resumed, strict=False):
        assert step == again
        jax.tree.map(np.testing.assert_array_equal, batch, other)
    other_key = neighborhood_batches(*data, batch_size=12, key=jax.random.key(2)).batch(7)
    assert (other_key.indices != expected[0][1].indices).any()


def test_the_anchors_are_divided_among_shards(data):
    def anchors(**options):
        batch = neighborhood_batches(*data, batch_size=12, **options).batch(4)
        return np.asarray(batch.indices[batch.anchors])[batch.where].tolist()

    parts = [anchors(shard=s, num_shards=3) for s in range(3)]
    assert [row for part in parts for row in part] == anchors()


def test_a_memmap_gives_the_same_batches_as_an_array(data, tmp_path):
    x, neighbors, weights = data
    np.save(tmp_path / "x.npy", x)
    lazy = neighborhood_batches(np.load(tmp_path / "x.npy", mmap_mode="r"), neighbors, weights, batch_size=12)
    resident = neighborhood_batches(jnp.asarray(x), neighbors, weights, batch_size=12)
    jax.tree.map(np.testing.assert_array_equal, lazy.batch(3), resident.batch(3))


def test_where_is_false_for_anchors_that_do_not_fit(data):
    neighbors = data[1]
    batch = neighborhood_batches(*data, batch_size=12, max_points=20).batch(0)
    assert batch.points.shape == (20, 3)
    assert 0 < batch.where.sum() < 12
    rows = np.asarray(batch.indices)[batch.anchors][batch.where]
    near = np.asarray(batch.indices)[batch.gather][batch.where]
    np.testing.assert_array_equal(near, np.asarray(neighbors.indices)[rows])
    np.testing.assert_array_equal(batch.mask, np.broadcast_to(batch.where[:, None], batch.mask.shape))
    assert not batch.weights[~batch.where].any()
    limited = neighborhood_batches(*data, batch_size=12).with_graph(neighbors, data[2], max_points=20)
    jax.tree.map(np.testing.assert_array_equal, limited.batch(0), batch)
    parts = [neighborhood_batches(*data, batch_size=12, shard=s, num_shards=3) for s in range(3)]
    assert {part.max_points for part in parts} == {4 * (K + 1)}  # as many as the four anchors of a shard can need


def test_another_graph_has_the_batches_of_the_same_anchors(data):
    x, _, _ = data
    neighbors = jaxlle.knn(x, K + 2)
    weights = jaxlle.barycentric_weights(x, neighbors)
    options = {"batch_size": 12, "key": jax.random.key(3)}
    other = neighborhood_batches(*data, **options).with_graph(neighbors, weights)
    expected = neighborhood_batches(x, neighbors, weights, **options)
    jax.tree.map(np.testing.assert_array_equal, other.batch(7), expected.batch(7))
    with pytest.raises(ValueError, match="indices from"):
        other.with_graph(neighbors._replace(indices=neighbors.indices + N), weights)


def test_masked_neighbors_are_excluded():
    x = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    neighbors = jaxlle.neighbors.radius_neighbors(x, 1.5, max_neighbors=40)
    weights = jaxlle.barycentric_weights(x, neighbors)
    batch = neighborhood_batches(x, neighbors, weights, batch_size=N).batch(0)
    y = batch.points[:, :2]
    cost = losses.lle_loss(y[batch.anchors], y[batch.gather], batch.weights, mask=batch.mask)
    y = jnp.asarray(x[:, :2])
    np.testing.assert_allclose(cost, losses.lle_loss(y, y[neighbors.indices], weights, mask=neighbors.mask), rtol=1e-5)


def test_an_epoch_is_iterated_and_indexed(data):
    batches = neighborhood_batches(*data, batch_size=12)
    listed = list(batches)
    assert len(listed) == len(batches) == 5
    for step, batch in enumerate(listed):
        np.testing.assert_array_equal(batch.indices, batches.batch(step).indices)
    np.testing.assert_array_equal(batches[-1].indices, listed[4].indices)
    with pytest.raises(IndexError, match="step = 5, but an epoch has 5 batches"):
        batches[5]


def test_batches_of_one_anchor_contain_its_neighborhood(data):
    x, neighbors, weights = data
    batch = neighborhood_batches(x, neighbors, weights, batch_size=1).batch(0)
    assert int(batch.where.sum()) == len(batch.anchors) == 1


def test_a_shard_has_room_for_its_own_neighborhoods_or_for_as_many_points_as_were_given(data):
    x, neighbors, weights = data
    k = neighbors.indices.shape[1]
    whole = neighborhood_batches(x, neighbors, weights, batch_size=8)
    assert whole.with_shard(0, 4).max_points == 2 * (k + 1)
    assert whole.with_shard(0, 4).with_shard(0, 1).max_points == whole.max_points
    given = neighborhood_batches(x, neighbors, weights, batch_size=8, max_points=k + 3)
    assert given.with_shard(0, 2).max_points == k + 3


def test_a_batch_size_larger_than_the_data_warns_and_gives_all_points(data):
    with pytest.warns(jaxlle.JaxlleWarning, match="every batch consists of all 50"):
        batches = neighborhood_batches(*data, batch_size=51)
    np.testing.assert_array_equal(batches[0].indices, neighborhood_batches(*data, batch_size=50)[0].indices)


def test_bad_arguments_raise(data, tmp_path):
    x, neighbors, weights = data
    with pytest.raises(ValueError, match="batch_size = 0"):
        neighborhood_batches(*data, batch_size=0)
    with pytest.raises(ValueError, match="not a multiple of num_shards"):
        neighborhood_batches(*data, batch_size=12, num_shards=5)
    bad = neighbors._replace(indices=neighbors.indices.at[0, 0].set(N))
    with pytest.raises(ValueError, match="indices from"):
        neighborhood_batches(x, bad, weights, batch_size=12)
    with pytest.raises(ValueError, match="finite numbers of shape"):
        neighborhood_batches(x, neighbors, weights.at[0, 0].set(jnp.nan), batch_size=12)
    with pytest.raises(ValueError, match="max_points = 3"):
        neighborhood_batches(*data, batch_size=12, max_points=3)
    x = x.copy()
    x[7] = np.nan
    batches = neighborhood_batches(x, neighbors, weights, batch_size=N)
    with pytest.raises(ValueError, match=r"Rows \[7\]"):
        batches.batch(0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        neighborhood_batches(jnp.asarray(x), neighbors, weights, batch_size=N)
