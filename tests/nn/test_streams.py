"""Training on streams of batches: Grain, any iterable, resuming, shards of processes, and streams that are wrong."""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from encoders import ellipse, linear_model
from flax import nnx

import jaxlle
from jaxlle.losses import RecordRows
from jaxlle.nn import FitOptions, GrainStream, train, train_step

grain = pytest.importorskip("grain", reason="the extra grain is not installed")
SIZE, STEPS, EPOCHS = 24, 3, 3
SHARED = {"optimizer": optax.adam(3e-2), "penalty": optax.constant_schedule(1.0)}  # so that the step is compiled once


def model_of(**options):
    return linear_model(**{**SHARED, **options})


@pytest.fixture(scope="module")
def ring():
    return ellipse()


@pytest.fixture(scope="module")
def batches(ring, tmp_path_factory):
    """Return batches of a memory map."""
    path = tmp_path_factory.mktemp("data") / "x.npy"
    np.save(path, ring)
    return jaxlle.neighborhood_batches(np.load(path, mmap_mode="r"), *model_of().graph(ring), batch_size=SIZE)


@pytest.fixture(scope="module")
def reference(ring):
    """Return a model trained by the batcher of an array in memory, and its history."""
    model = model_of()
    return model, model.fit(ring, epochs=EPOCHS, batch_size=SIZE, progress=False)


def listed(batches, count=EPOCHS * STEPS):
    return [batches.batch(step) for step in range(count)]


def equal_parameters(one, other):
    jax.tree.map(np.testing.assert_array_equal, nnx.state(one, nnx.Param), nnx.state(other, nnx.Param))


class Rereadable:
    """An iterable of batches without a length, which can be iterated again."""

    def __init__(self, batches):
        self.batches, self.passes = batches, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.batches)


STREAMS = {
    "NeighborhoodBatches": lambda b: (b, None),
    "Grain stream": lambda b: (GrainStream(b), None),
    "Grain stream without threads": lambda b: (GrainStream(b, read=grain.ReadOptions(0, 0)), None),
    "Grain dataset": lambda b: (GrainStream(b).dataset.to_iter_dataset(grain.ReadOptions(1, 2)), STEPS),
    "Grain iterator": lambda b: (iter(GrainStream(b).dataset.to_iter_dataset(grain.ReadOptions(1, 2))), STEPS),
    "generator": lambda b: ((b.batch(step) for step in itertools.count()), STEPS),
    "list": lambda b: (listed(b), STEPS),
    "iterable": lambda b: (Rereadable(listed(b)), STEPS),
    "NumPy": lambda b: ([jax.tree.map(np.asarray, batch) for batch in listed(b)], STEPS),
}


@pytest.mark.slow_cases("NeighborhoodBatches")
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_of_the_same_batches_gives_the_same_parameters_bit_for_bit(ring, batches, reference, kind):
    stream, size = STREAMS[kind](batches)
    model = model_of()
    assert model.fit(stream, epochs=EPOCHS, steps_per_epoch=size, progress=False) == reference[1]
    equal_parameters(model, reference[0])
    if kind not in ("generator", "Grain iterator"):  # which cannot be read again for the statistics of the head
        np.testing.assert_allclose(model.transform(ring), reference[0].transform(ring), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_statistics_after_an_iterator_are_the_running_averages(batches):
    model, same = model_of(), model_of()
    model.fit(iter(listed(batches)), epochs=EPOCHS, steps_per_epoch=STEPS, progress=False)
    train(same, train_step, batches, epochs=EPOCHS, progress=False)
    np.testing.assert_array_equal(model.head.covariance[...], same.head.covariance[...])


@pytest.mark.slow
def test_without_steps_per_epoch_an_epoch_is_one_pass(batches):
    source = Rereadable(listed(batches, 2))
    history = model_of().fit(source, epochs=3, progress=False)
    assert [metrics["step"] for metrics in history] == [2, 4, 6]
    assert source.passes == 4  # three epochs, and the statistics of the head


@pytest.mark.slow_cases("Grain dataset", "Grain stream")
@pytest.mark.parametrize("kind", ["Grain stream", "Grain dataset", "Grain iterator", "generator", "list"])
def test_a_resumed_run_gives_the_result_of_an_uninterrupted_one(batches, reference, tmp_path, kind):
    options = {"progress": False, "options": FitOptions(checkpoint_dir=tmp_path)}
    for epochs in (1, EPOCHS):
        stream, size = STREAMS[kind](batches)
        model = model_of()
        history = model.fit(stream, epochs=epochs, steps_per_epoch=size, **options)
    assert history == reference[1][1:]
    equal_parameters(model, reference[0])


def test_a_grain_iterator_is_restored_by_its_state_without_reading_what_precedes(batches, tmp_path):
    read = []

    def observed(step):
        read.append(step)
        return batches.batch(step)

    def dataset():
        return grain.MapDataset.range(100).map(observed).to_iter_dataset(grain.ReadOptions(0, 0))

    options = {"steps_per_epoch": STEPS, "progress": False, "options": FitOptions(checkpoint_dir=tmp_path)}
    train(model_of(), train_step, dataset(), epochs=2, **options)
    read.clear()
    train(model_of(), train_step, dataset(), epochs=3, **options)
    assert read == [0, 6, 7, 8]  # the first batch is compared with that of the checkpoint


@pytest.mark.slow
def test_another_stream_is_not_resumed(batches, tmp_path):
    options = {"progress": False, "options": FitOptions(checkpoint_dir=tmp_path)}
    model_of().fit(listed(batches), epochs=1, steps_per_epoch=STEPS, **options)
    changed = {
        "first batch, array 0": (listed(batches)[1:], STEPS),
        "steps_per_epoch is 3 in the checkpoint and 4": (listed(batches), 4),
    }
    for message, (stream, size) in changed.items():
        with pytest.raises(ValueError, match=rf"cannot be resumed: .*{message}"):
            model_of().fit(stream, epochs=2, steps_per_epoch=size, **options)
    with pytest.raises(ValueError, match=r"cannot be resumed: .*k is 6 in the checkpoint and 7 here"):
        model_of(k=7).fit(listed(batches), epochs=2, steps_per_epoch=STEPS, **options)


def test_every_process_reads_its_part_of_the_anchors_and_together_they_read_each_once(batches):
    parts = [GrainStream(batches, sharding=grain.sharding.ShardOptions(i, 4)) for i in range(4)]
    assert {part.batches.max_points for part in parts} == {SIZE // 4 * 7}

    def anchors(stream):
        found = [np.asarray(batch.indices[batch.anchors])[np.asarray(batch.where)] for batch in stream]
        return np.concatenate(found)

    assert sorted(np.concatenate([anchors(part) for part in parts]).tolist()) == list(range(64))
    assert sorted(anchors(GrainStream(batches)).tolist()) == list(range(64))  # this process is the only one
    resharded = parts[1].batches.with_shard(0, 1)
    jax.tree.map(np.testing.assert_array_equal, resharded.batch(1), batches.batch(1))
    with pytest.raises(ValueError, match="batch_size = 24 is not a multiple of num_shards = 5"):
        GrainStream(batches, sharding=grain.sharding.ShardOptions(0, 5))


def test_a_stream_reads_by_default_the_part_of_its_process(batches, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    monkeypatch.setattr("jax.process_count", lambda: 2)
    assert (GrainStream(batches).batches.shard, GrainStream(batches).batches.num_shards) == (1, 2)
    part = GrainStream(batches.with_shard(2, 4)).batches  # divided already
    assert (part.shard, part.num_shards) == (2, 4)


@pytest.mark.slow
def test_a_limit_on_the_points_of_a_batch_is_kept_by_its_parts(ring):
    model = model_of()
    batches = jaxlle.neighborhood_batches(ring, *model.graph(ring), batch_size=SIZE, max_points=30)
    assert [batches.with_shard(0, parts).max_points for parts in (1, 2, 4)] == [30, 30, 30]
    assert batches.with_shard(0, 8).max_points == 21


def test_a_new_graph_takes_effect_in_a_grain_stream(ring, batches):
    neighbors, weights = model_of().graph(ring)
    other = neighbors, jnp.full_like(weights, 1 / 6)
    options = {"epochs": 3, "graph": lambda epoch: other if epoch == 1 else None, "progress": False}
    models = [model_of(), model_of()]
    histories = [model.fit(x, **options) for model, x in zip(models, (batches, GrainStream(batches)), strict=True)]
    assert histories[0] == histories[1]
    equal_parameters(*models)
    with pytest.raises(ValueError, match="graph returned neighbors, but the batches of a stream contain their own"):
        model_of().fit(listed(batches), steps_per_epoch=STEPS, **options)


@pytest.mark.slow
def test_records_of_a_source_give_the_batches_of_an_array(ring, batches, tmp_path):
    from array_record.python.array_record_module import ArrayRecordWriter

    path = str(tmp_path / "x.array_record")
    writer = ArrayRecordWriter(path, "group_size:1")
    for row in ring:
        writer.write(row.tobytes())
    writer.close()
    rows = RecordRows(grain.sources.ArrayRecordDataSource(path), lambda record: np.frombuffer(record, np.float32))
    assert (rows.shape, rows.dtype, rows.nbytes, len(rows), rows.ndim) == ((64, 3), np.float32, 64 * 12, 64, 2)
    np.testing.assert_array_equal(rows[10:50:3], ring[10:50:3])
    made = jaxlle.neighborhood_batches(rows, *model_of().graph(ring), batch_size=SIZE)
    jax.tree.map(np.testing.assert_array_equal, made.batch(4), batches.batch(4))
    model, same = model_of(), model_of()
    assert model.fit(GrainStream(made), epochs=1, progress=False) == same.fit(batches, epochs=1, progress=False)
    np.testing.assert_array_equal(model.transform(ring), same.transform(ring))


def test_invalid_records_raise():
    good = [np.zeros(3, np.float32), np.ones(3, np.float32)]
    for source, message in (
        ([], "source has no records"),
        ([np.zeros((2, 2))], r"Record 0 is an array of shape \(2, 2\)"),
        (["a"], "Record 0 is an array of shape .* must be a vector of numbers"),
        ([np.zeros(0)], "Record 0 is an array"),
    ):
        with pytest.raises(ValueError, match=message):
            RecordRows(source)
    with pytest.raises(TypeError, match="source is of type generator, but needs a length and records by number"):
        RecordRows(record for record in good)
    for bad in (np.zeros(4, np.float32), np.zeros(3, complex)):
        with pytest.raises(ValueError, match=r"Record 2 is an array .*all records must have the same features"):
            RecordRows([*good, bad])[np.array([1, 2])]
    rows = RecordRows([*good, np.array([0, np.nan, 0], np.float32)])
    graph = jaxlle.neighbors.as_neighbors(np.array([[1], [0], [0]]))
    made = GrainStream(jaxlle.neighborhood_batches(rows, graph, np.ones((3, 1)), batch_size=3))
    with pytest.raises(ValueError, match=r"Rows \[2\] of the data contain NaN"):
        list(made)


def test_batches_that_are_no_stream_of_neighborhoods_raise(ring, batches):
    wrong_types = (
        (lambda: GrainStream(ring), r"must be the value of jaxlle\.neighborhood_batches"),
        (
            lambda: model_of().fit(iter([1, 2]), epochs=1),
            "yields values of type int, but must yield values of .*NeighborhoodBatch",
        ),
        (lambda: train(model_of(), train_step, 3, epochs=1), "batches is of type int, but must be an iterable"),
    )
    for attempt, message in wrong_types:
        with pytest.raises(TypeError, match=f"{message}|Expected type"):  # the latter where annotations are checked
            attempt()
    with pytest.raises(ValueError, match="batch_size and key cannot be chosen for a stream"):
        model_of().fit(batches, epochs=1, batch_size=8, key=jax.random.key(0))
    with pytest.raises(ValueError, match="steps_per_epoch = 3 is for iterables of batches"):
        model_of().fit(ring, epochs=1, steps_per_epoch=3)
    with pytest.raises(ValueError, match="steps_per_epoch = 3 is for other iterables"):
        model_of().fit(batches, epochs=1, steps_per_epoch=3)
    with pytest.raises(ValueError, match="steps_per_epoch = 0"):
        model_of().fit(listed(batches), epochs=1, steps_per_epoch=0)
    with pytest.raises(ValueError, match="The stream repeats without end: pass steps_per_epoch"):
        model_of().fit(GrainStream(batches).dataset[:2].repeat(), epochs=1)
    assert sys.maxsize == len(grain.MapDataset.range(2).repeat())


def test_a_stream_that_ends_early_raises_and_the_complete_epochs_are_kept(batches, tmp_path):
    for stream, size, message in (
        (iter(listed(batches, 5)), 3, r"ended after 2 batches of epoch 1, but an epoch has 3: it is an iterator"),
        (listed(batches, 5), 3, "ended after 2 batches of epoch 1, but an epoch has 3: pass an iterable"),
        (iter(listed(batches, 3)), None, r"ended after 0 batches of epoch 1, but an epoch has 3: it is an iterator"),
        (iter([]), None, "ended after 0 batches of epoch 0, but at least one is needed"),
    ):
        with pytest.raises(ValueError, match=message):
            model_of().fit(stream, epochs=2, steps_per_epoch=size, progress=False)
    growing = Rereadable(listed(batches, 2))
    options = FitOptions(checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="Epoch 1 of the stream has 4 batches, but epoch 0 had 3"):
        model_of().fit(
            growing, epochs=2, progress=False, options=options, graph=lambda e: growing.batches.append(batches.batch(e))
        )
    assert [path.name for path in tmp_path.iterdir() if path.name.isdecimal()] == ["1"]
    with pytest.raises(ValueError, match="ended after 0 batches of epoch 0"):
        model_of().fit(Rereadable([]), epochs=1, options=FitOptions(checkpoint_dir=tmp_path / "none"))


def changed(batch, **fields):
    return batch._replace(**{name: change(np.array(getattr(batch, name))) for name, change in fields.items()})


def with_entry(place, value):
    def change(a):
        a[place] = value
        return a

    return change


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"points": lambda a: a[:-1], "indices": lambda a: a[:-1], "valid": lambda a: a[:-1]},
            "Batch 1 .* the first one had",
        ),
        (
            {"points": lambda a: a.astype(np.float16)},
            r"Batch 1 of epoch 0 has points float16\[64, 3\].*float32\[64, 3\]",
        ),
        ({"anchors": with_entry(3, 64)}, "Batch 1 of epoch 0 has anchors from .* to 64, but 64 points"),
        ({"gather": with_entry((3, 2), -1)}, "Batch 1 of epoch 0 has gather from -1 to"),
        ({"weights": with_entry((3, 2), 7.0)}, r"weights of 1 anchors do not sum to one \(row 3"),
        (
            {"points": with_entry((5, 1), np.nan)},
            r"Batch 1 of epoch 0 has points that contain NaN or infinity: remove rows",
        ),
    ],
    ids=["shape", "dtype", "anchors", "gather", "weights", "points"],
)
def test_a_stream_whose_batches_change_or_are_inconsistent_raises(batches, fields, message):
    stream = [batches.batch(0), changed(batches.batch(1), **fields)]
    with pytest.raises(ValueError, match=message):
        model_of().fit(stream, epochs=1, progress=False)


@pytest.mark.slow
def test_entries_that_do_not_count_may_have_any_value(batches):
    first = batches.batch(2)  # of the end of an epoch, with anchors that do not count
    assert not first.where.all()
    other = changed(first, anchors=with_entry(-1, 99), gather=with_entry((-1, 0), 99), weights=with_entry((-1, 0), 9.0))
    histories = [model_of().fit([batch], epochs=1, progress=False) for batch in (first, other)]
    assert histories[0] == histories[1]


@pytest.mark.slow
def test_a_batch_whose_shapes_do_not_match_raises(batches):
    batch = batches.batch(0)
    with pytest.raises(ValueError, match=r"Batch 0 of epoch 0 has arrays whose shapes do not match \(points \(64, 3\)"):
        model_of().fit([batch._replace(where=batch.where[:-1])], epochs=1)


def test_a_step_of_your_own_takes_batches_of_any_kind(ring):
    class Counter(nnx.Module):
        def __init__(self):
            self.step = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def step(counter, batch):
        counter.step[...] = counter.step[...] + 1
        return {"loss": batch["x"].sum(), "cost": batch["x"].sum()}

    def stream():
        return ({"x": np.full(2, i)} for i in range(6))

    history = train(Counter(), step, stream(), epochs=2, steps_per_epoch=2, progress=False)
    assert [metrics["loss"] for metrics in history] == [1.0, 5.0]
    with pytest.raises(ValueError, match=r"Batch 1 of epoch 0 has int64\[3\], but the first one had int64\[2\]"):
        train(Counter(), step, [{"x": np.full(2, 0)}, {"x": np.full(3, 0)}], epochs=1, progress=False)


def test_without_grain_a_stream_names_the_extra(batches, monkeypatch):
    monkeypatch.setattr("jaxlle.nn.grain_stream.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxlle\[grain\]'"):
        GrainStream(batches)


@pytest.mark.slow
def test_points_in_any_form_are_no_stream(ring, reference):
    frames = pytest.importorskip("pandas", reason="pandas is not installed")
    for x in (jnp.asarray(ring), frames.DataFrame(ring)):
        history = model_of().fit(x, epochs=1, batch_size=SIZE, progress=False)
        np.testing.assert_allclose(history[0]["loss"], reference[1][0]["loss"], rtol=1e-4)
    with pytest.raises(ValueError, match="Expected 2D array"):
        model_of().fit([1.0, 2.0], epochs=1)
