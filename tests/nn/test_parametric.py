"""The Flax NNX face: the head, the training loop, checkpoints; and the same losses in other frameworks."""

import io
import json
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxlle
from jaxlle import losses
from jaxlle.metrics import affine_residual, subspace_angle
from jaxlle.nn import OrthonormalHead, ParametricLLE, train_step

N = 64


@pytest.fixture(scope="module")
def ring():
    """An ellipse in space, unevenly sampled: its embedding in the plane is very nearly a linear map of it."""
    t = 2 * np.pi * (np.arange(N) + 0.2 * np.random.default_rng(0).random(N)) / N
    return np.stack([2 * np.cos(t), np.sin(t), np.sin(t) + np.cos(t)], axis=1).astype(np.float32)


def linear(**options):
    options = {"k": 6, "optimizer": optax.adam(3e-2), **options}
    return ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, **options)


def correlated(rows=200):
    y = np.random.default_rng(0).normal(size=(rows, 3)) @ np.array([[3, 1, 0], [0, 0.1, 2], [0, 0, 0.5]]) + 50
    return jnp.asarray(y, jnp.float32)


def test_the_head_whitens_and_computes_the_same_after_training():
    head, y = OrthonormalHead(3, eps=1e-7), correlated()
    z = head(y)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(3), atol=2e-2)
    for _ in range(30):
        trained = head(y)
    head.eval()
    np.testing.assert_allclose(head(y), trained, atol=1e-4)
    np.testing.assert_allclose(head(y[:2]), trained[:2], atol=1e-4)  # a row's image depends on that row alone
    head.train()
    head(y + 1)  # the running mean moves by a tenth of the step, once there is that much past
    np.testing.assert_allclose(head.mean[...] - y.mean(axis=0), 0.1, atol=1e-3)


def test_the_scale_of_the_features_has_no_gradient():
    graph, state = nnx.split(OrthonormalHead(3))

    def loss(scale):
        z = nnx.merge(graph, state, copy=True)(scale * correlated())
        return jnp.mean(jnp.abs(z[1:] - z[:-1]) ** 2)

    value, slope = jax.value_and_grad(loss)(1.0)
    assert abs(slope) < 1e-3 * value


def test_features_that_outgrow_the_running_statistics_are_not_told_to_grow_on():
    head = OrthonormalHead(3, momentum=0.99)
    for _ in range(100):
        head(correlated())
    graph, state = nnx.split(head)

    def loss(stretch):  # whitening by a batch's own statistics undoes any linear map of its features
        z = nnx.merge(graph, state, copy=True)(correlated() @ (2 * jnp.eye(3) + stretch))
        return jnp.mean(jnp.sum((z[1:] - z[:-1]) ** 2, axis=1))

    value, slope = jax.value_and_grad(loss)(jnp.zeros((3, 3)))
    assert np.abs(np.trace(slope)) < 1e-2 * value


@pytest.mark.parametrize("spoil", [lambda y: 0 * y, lambda y: y.at[:, 1].set(y[:, 0]), lambda y: y.at[:, 2].set(7.0)])
def test_dead_and_repeated_features_break_nothing(spoil):
    graph, state = nnx.split(OrthonormalHead(3))

    def loss(y):
        return jnp.sum(nnx.merge(graph, state, copy=True)(y) ** 3)

    with jax.debug_nans(True):
        value, grad = jax.value_and_grad(loss)(spoil(correlated()))
    assert np.isfinite(value)
    assert np.isfinite(grad).all()


def test_devices_share_the_head_s_statistics():
    graph, state = nnx.split(OrthonormalHead(3, axis_name="devices"))
    y = correlated()
    parts = jax.vmap(lambda a: nnx.merge(graph, state, copy=True)(a), axis_name="devices")(y.reshape(4, 50, 3))
    np.testing.assert_allclose(parts.reshape(200, 3), OrthonormalHead(3)(y), atol=1e-3)


def test_an_encoder_learns_the_exact_embedding(ring):
    model = linear()
    history = model.fit(ring, epochs=150, batch_size=32, progress=False)
    exact = jaxlle.lle(ring, 2, k=6)
    z = model.transform(ring)
    cosine = np.linalg.svd(np.linalg.qr(z - z.mean(axis=0))[0].T @ exact.points, compute_uv=False).min()
    assert cosine > 0.99
    assert history[-1]["cost"] < history[0]["cost"]
    assert 1 <= history[-1]["directions"] <= 2
    np.testing.assert_allclose(model(jnp.asarray(ring[:3])), z[:3], atol=1e-5)  # compiled and not, in float32


def test_the_training_points_are_white_after_a_short_training(ring):
    model = linear(optimizer=optax.adam(0.3))  # the features move far in a step
    model.fit(ring, epochs=3, batch_size=16, progress=False)
    z = model.transform(ring)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(z.T @ z / N, np.eye(2), atol=1e-2)


def test_a_resumed_run_ends_as_an_uninterrupted_one(ring, tmp_path):
    whole, options = linear(), {"batch_size": 32, "progress": False}
    whole.fit(ring, epochs=4, metrics_path=tmp_path / "whole.jsonl", **options)
    options |= {"checkpoint_dir": tmp_path / "steps", "metrics_path": tmp_path / "parts.jsonl"}
    linear().fit(ring, epochs=2, **options)
    with (tmp_path / "parts.jsonl").open("a") as file:
        file.write('{"epoch": 2, "co')  # what a kill leaves
    resumed = linear()
    assert [m["epoch"] for m in resumed.fit(ring, epochs=4, **options)] == [2, 3]
    lines = [[json.loads(a) for a in (tmp_path / f).read_text().splitlines()] for f in ("whole.jsonl", "parts.jsonl")]
    assert lines[0] == lines[1]
    events = [file.read_bytes() for file in tmp_path.glob("events*")]  # TensorBoard's, one file a run
    assert len(events) == 3
    assert all(name in data for data in events for name in (b"cost", b"directions"))
    jax.tree.map(np.testing.assert_array_equal, nnx.state(whole, nnx.Param), nnx.state(resumed, nnx.Param))
    assert resumed.fit(ring, epochs=4, **options) == []


def test_damaged_and_foreign_checkpoints_are_refused(ring, tmp_path):
    options = {"batch_size": 32, "progress": False, "checkpoint_dir": tmp_path}
    linear().fit(ring, epochs=1, **options)
    wide = ParametricLLE(nnx.Linear(3, 3, rngs=nnx.Rngs(0)), 3, k=6)
    with pytest.raises(ValueError, match="cannot be restored"):
        wide.fit(ring, epochs=2, **options)
    meta = tmp_path / "1" / "meta" / "metadata"
    found = json.loads(meta.read_text())
    meta.write_text(json.dumps({**found, "format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        linear().fit(ring, epochs=2, **options)
    meta.write_text("{")
    with pytest.raises(ValueError, match="cannot be restored"):
        linear().fit(ring, epochs=2, **options)


def test_a_checkpoint_cut_short_is_refused_and_the_one_before_it_goes_on(ring, tmp_path):
    options = {"batch_size": 32, "progress": False, "checkpoint_dir": tmp_path / "steps"}
    whole = linear()
    whole.fit(ring, epochs=3, batch_size=32, progress=False)
    linear().fit(ring, epochs=2, metrics_path=tmp_path / "metrics.jsonl", **options)
    written = (tmp_path / "metrics.jsonl").read_text()
    for file in (tmp_path / "steps" / "2" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"it is damaged.*remove its folder to resume from the one before"):
        linear().fit(ring, epochs=3, metrics_path=tmp_path / "metrics.jsonl", **options)
    assert (tmp_path / "metrics.jsonl").read_text() == written
    shutil.rmtree(tmp_path / "steps" / "2")
    resumed = linear()
    assert [m["epoch"] for m in resumed.fit(ring, epochs=3, **options)] == [1, 2]
    jax.tree.map(np.testing.assert_array_equal, nnx.state(whole, nnx.Param), nnx.state(resumed, nnx.Param))


def test_a_decoder_a_schedule_a_refresh_and_a_half_precision_encoder(ring):
    encoder = nnx.Linear(3, 2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    decoder = nnx.Linear(2, 3, rngs=nnx.Rngs(1))
    schedule = optax.linear_schedule(1.0, 0.0, 10)
    model = ParametricLLE(encoder, 2, k=6, decoder=decoder, penalty=schedule, optimizer=optax.adam(1e-1))
    asked = []

    def graph(epoch):
        asked.append(epoch)
        return model.graph(ring) if epoch == 1 else None

    history = model.fit(ring, epochs=6, batch_size=32, graph=graph, progress=False)
    assert asked == list(range(6))
    first, last = history[0], history[-1]
    np.testing.assert_allclose(last["loss"], last["cost"], rtol=1e-2)  # the schedule has ended
    assert first["loss"] > first["cost"]
    z = model.transform(ring)
    assert z.dtype == jnp.float32
    assert model.inverse(z).shape == ring.shape
    assert last["error"] < first["error"]
    before = float(model.step[...])
    assert model.partial_fit(ring[:20])["cost"] > 0
    assert model.step[...] == before + 1


def test_a_new_graph_takes_effect_from_its_epoch_on_and_the_same_one_changes_nothing(ring):
    neighbors, weights = linear().graph(ring)
    graphs = {"none": None, "same": (neighbors, weights), "other": (neighbors, jnp.full_like(weights, 1 / 6))}

    def costs(name):
        history = linear().fit(ring, epochs=3, batch_size=N, graph=lambda e: graphs[name] if e == 1 else None)
        return [metrics["cost"] for metrics in history]

    none, same, other = map(costs, graphs)
    assert none == same
    assert none[0] == other[0]
    assert other[1] > 2 * none[1]


def test_progress_is_drawn_on_a_terminal_alone(ring, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for kind, expected in ((Terminal, ["epoch 1/2", "epoch 2/2"]), (io.StringIO, [])):
        monkeypatch.setattr("sys.stderr", kind())
        linear().fit(ring, epochs=2, batch_size=N)
        drawn = sys.stderr.getvalue()
        assert [line.split("  ")[0] for line in drawn.split("\r")[1:]] == expected
        assert drawn.endswith("\n") == bool(expected)


def test_training_stops_where_nothing_is_gained(ring):
    model = linear(optimizer=optax.sgd(0.0))
    history = model.fit(ring, epochs=50, batch_size=N, patience=2, progress=False)
    assert len(history) < 50


def test_bad_requests_are_refused(ring):
    with pytest.raises(ValueError, match=r"shape \(1, 2\) for one point, but dim = 3"):
        ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 3, k=6).fit(ring, epochs=1)
    with pytest.raises(ValueError, match="batch_size = 1 is smaller than dim = 2"):
        linear().fit(ring, epochs=1, batch_size=1)
    with pytest.raises(ValueError, match="k \\(n_neighbors\\) = 64"):
        linear(k=64).fit(ring, epochs=1)
    with pytest.raises(ValueError, match="k \\(n_neighbors\\) = 6"):
        linear().partial_fit(ring[:6])
    neighbors, weights = linear().graph(ring)
    with pytest.raises(ValueError, match="do not sum to one"):
        linear().fit(ring, epochs=1, graph=lambda epoch: (neighbors, 2 * weights))
    outside = neighbors._replace(indices=neighbors.indices.at[0, 0].set(N))
    with pytest.raises(ValueError, match="indices from"):
        linear().partial_fit(ring, graph=(outside, weights))
    with pytest.raises(ValueError, match="NaN"):
        linear().fit(np.where(np.arange(3) == 1, np.nan, ring), epochs=1)
    with pytest.raises(ValueError, match="no decoder"):
        linear().inverse(ring[:, :2])
    with pytest.raises(ValueError, match="cannot span 3 features"):
        OrthonormalHead(3)(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="whitens 3 features"):
        OrthonormalHead(3)(jnp.ones((9, 2)))
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        linear(optimizer=optax.sgd(float("nan"))).fit(ring, epochs=2, batch_size=32, progress=False)


def test_a_loss_that_is_no_number_costs_no_checkpoint(ring, tmp_path):
    options = {"batch_size": 32, "progress": False, "checkpoint_dir": tmp_path}
    linear().fit(ring, epochs=2, **options)
    with pytest.raises(FloatingPointError, match="in epoch 2"):
        linear(optimizer=optax.adam(float("nan"))).fit(ring, epochs=9, **options)
    assert [m["epoch"] for m in linear().fit(ring, epochs=3, **options)] == [2]


def test_a_batch_with_nan_shows_in_the_step_s_metrics(ring):
    model = linear()
    batch = jaxlle.neighborhood_batches(ring, *model.graph(ring), batch_size=N).batch(0)
    assert np.isnan(train_step(model, batch._replace(points=batch.points.at[3].set(jnp.nan)))["loss"])


def test_a_step_on_repeated_points_and_a_rank_deficient_batch_is_finite():
    x = np.repeat(np.random.default_rng(0).normal(size=(8, 3)), 4, axis=0).astype(np.float32)
    x[:, 2] = x[:, 0]
    model = linear(k=4)
    with jax.debug_nans(True):
        metrics = model.partial_fit(x)
    assert np.isfinite(list(metrics.values())).all()
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(nnx.state(model, nnx.Param)))


def test_the_step_is_public_and_compiles_once(ring):
    model = linear()
    batches = jaxlle.neighborhood_batches(ring, *model.graph(ring), batch_size=24)
    costs = [float(train_step(model, batches.batch(s))["cost"]) for s in range(60)]
    assert np.mean(costs[-6:]) < np.mean(costs[:6])


def descend(loss, params):
    """Take Adam's steps in the way that any framework of pure functions does."""
    optimizer = optax.adam(3e-2)

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    state, values = optimizer.init(params), []
    for _ in range(40):
        params, state, value = step(params, state)
        values.append(float(value))
    return values


def cost_of(ring, function):
    neighbors = jaxlle.knn(ring, 6)
    weights = jaxlle.barycentric_weights(ring, neighbors)

    def loss(params):
        y = function(params, jnp.asarray(ring))
        return losses.lle_loss(y, y[neighbors.indices], weights) + losses.log_det_penalty(y)

    return loss


def test_linen_uses_the_same_losses(ring):
    from flax import linen

    model = linen.Dense(2)
    values = descend(cost_of(ring, model.apply), model.init(jax.random.key(0), ring))
    assert values[-1] < 0.5 * values[0]


def test_equinox_uses_the_same_losses(ring):
    equinox = pytest.importorskip("equinox")
    params, static = equinox.partition(equinox.nn.Linear(3, 2, key=jax.random.key(0)), equinox.is_array)
    values = descend(cost_of(ring, lambda p, x: jax.vmap(equinox.combine(p, static))(x)), params)
    assert values[-1] < 0.5 * values[0]


def test_bare_arrays_use_the_same_losses(ring):
    values = descend(cost_of(ring, lambda p, x: x @ p["w"]), {"w": 0.1 * jax.random.normal(jax.random.key(0), (3, 2))})
    assert values[-1] < 0.5 * values[0]


def wide(width=128, dim=2, seed=0, **options):
    rngs = nnx.Rngs(seed)
    hidden = nnx.Linear(3, width, bias_init=nnx.initializers.normal(1.0), rngs=rngs)
    network = nnx.Sequential(hidden, jnp.tanh, nnx.Linear(width, dim, rngs=rngs, **options))
    return ParametricLLE(network, dim, k=12, reg=0.1)


@pytest.fixture(scope="module")
def roll():
    x = np.asarray(jaxlle.datasets.swiss_roll(jax.random.key(0), 900).points)
    return (x - x.mean(axis=0)) / x.std()


@pytest.mark.parametrize("width", [3, 4])
def test_the_last_layer_of_least_cost_of_a_linear_encoder_is_npe(width):
    x = (np.random.default_rng(0).normal(size=(120, 4)) @ np.diag([3, 2, 1, 0.5]) + 5).astype(np.float32)
    encoder = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    if width == 3:  # what the linear map before it leaves of the data is all that npe sees
        encoder = nnx.Sequential(
            nnx.Linear(4, 3, rngs=nnx.Rngs(1)), nnx.Sequential(nnx.Linear(3, 2, use_bias=False, rngs=nnx.Rngs(2)))
        )
    model = ParametricLLE(encoder, 2, k=10)
    cost = model.solve_last_layer(x)
    seen = x if width == 4 else np.asarray(encoder.layers[0](jnp.asarray(x)))
    with jax.enable_x64(True):
        made = jaxlle.variants.linear_projection(
            jaxlle.lle_alignment(x.astype(np.float64), k=10), seen.astype(np.float64), 2
        )
        known, least = np.asarray(made.transform(seen.astype(np.float64))), float((made.values**2).sum())
        z = np.asarray(model.transform(x), np.float64)
        assert subspace_angle(z - z.mean(axis=0), known) < 1e-4
    assert cost == pytest.approx(least, rel=1e-4)


def centered(y):
    return (y - y.mean(axis=0)).astype(np.float32)


def test_the_cost_of_the_last_layer_is_that_of_the_outputs_and_training_finds_none_lower(roll):
    model = wide()
    cost = model.solve_last_layer(roll)
    neighbors, weights = model.graph(roll)
    z = model.transform(roll)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(2), atol=1e-3)
    assert float(losses.lle_loss(z, z[neighbors.indices], weights)) == pytest.approx(cost, rel=0.01)
    for shift in np.random.default_rng(0).normal(size=(5, 128, 2)).astype(np.float32):
        other = wide()
        other.encoder.layers[-1].kernel[...] = model.encoder.layers[-1].kernel[...] + 0.01 * shift
        other._calibrate(roll)
        z = other.transform(roll)
        assert float(losses.lle_loss(z, z[neighbors.indices], weights)) > cost


def test_any_alignment_serves_for_the_last_layer(roll):
    loose, tight = (jaxlle.lle_alignment(roll, k=12, reg=reg) for reg in (0.1, 0.01))
    both = jaxlle.Alignment(loose.indices, jnp.concatenate([loose.blocks, tight.blocks], axis=1))  # two rows a point
    model = wide()
    cost = model.solve_last_layer(roll, alignment=both)
    assert float(losses.alignment_loss(model.transform(roll)[both.indices], both.blocks)) == pytest.approx(
        cost, rel=0.01
    )
    assert cost > wide().solve_last_layer(roll, alignment=loose) + wide().solve_last_layer(roll, alignment=tight)


def test_the_layer_that_matches_an_embedding_is_the_least_squares_solution_whatever_the_embedding_s_units(roll):
    exact = np.asarray(jaxlle.lle(roll, 2, k=12, reg=0.1).points, np.float64)
    model, turned = wide(16), wide(16)
    missed = model.match_embedding(roll, exact)
    features = np.asarray(nnx.Sequential(*model.encoder.layers[:-1])(jnp.asarray(roll)), np.float64)
    design = np.column_stack([features, np.ones(len(roll))])
    fitted = design @ np.linalg.lstsq(design, exact)[0]
    z = np.asarray(model.transform(roll))
    assert subspace_angle(z, centered(fitted)) < 1e-3
    white = np.linalg.qr(exact - exact.mean(axis=0))[0]
    left = white - design @ np.linalg.lstsq(design, white)[0]
    assert missed == pytest.approx((left**2).sum() / 2, rel=1e-4)
    again = turned.match_embedding(roll, 1e3 * exact @ np.array([[2.0, 1e-3], [0.5, 1e-3]]) + 7)
    assert again == pytest.approx(missed, rel=1e-4)
    assert subspace_angle(z, turned.transform(roll)) < 1e-3


def test_held_out_points_are_mapped_as_well_as_by_the_out_of_sample_map(roll):
    known, new = roll[:750], roll[750:]
    exact = jaxlle.lle(known, 2, k=12, reg=0.1).points
    every = jaxlle.lle(roll, 2, k=12, reg=0.1).points[750:]
    model = wide(256)
    model.match_embedding(known, exact)
    ours, theirs = (
        float(affine_residual(every, z)) for z in (model.transform(new), jaxlle.transform(new, known, exact, k=12))
    )
    assert ours < 1.5 * theirs


def test_a_last_layer_without_bias_in_half_precision_and_dead_features(roll):
    model = wide(64, use_bias=False)
    full = model.solve_last_layer(roll)
    first = model.encoder.layers[0]
    first.kernel[...] = first.kernel[...].at[:, :8].set(0)
    assert np.isfinite(model.match_embedding(roll, roll[:, :2]))
    assert np.isfinite(model.transform(roll)).all()
    rngs = nnx.Rngs(0)
    layers = (
        nnx.Linear(3, 64, dtype=jnp.bfloat16, rngs=rngs),
        jnp.tanh,
        nnx.Linear(64, 2, dtype=jnp.bfloat16, rngs=rngs),
    )
    half = ParametricLLE(nnx.Sequential(*layers), 2, k=12, reg=0.1)
    assert 0 < full < half.solve_last_layer(roll) < 1


def test_a_last_layer_that_cannot_be_solved_for_is_refused(roll):
    ends = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), jnp.tanh)
    for bad in (ends, nnx.LoRALinear(3, 2, lora_rank=1, rngs=nnx.Rngs(0))):
        with pytest.raises(ValueError, match=r"only an nnx.Linear has a closed form.*nnx.Sequential"):
            ParametricLLE(bad, 2, k=12).solve_last_layer(roll)
    model = wide()
    before = model.encoder.layers[-1].kernel[...]
    for embedding, message in (
        (roll[:-1, :2], r"shape \(899, 2\), but .* ask for \(900, 2\)"),
        (roll, r"shape \(900, 3\)"),
        (np.ones((900, 2)), "fewer than its 2 dimensions"),
        (roll[:, [0, 0]], "fewer than its 2 dimensions"),
        (np.full((900, 2), np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            model.match_embedding(roll, embedding)
    with pytest.raises(ValueError, match="The alignment has 899 points"):
        model.solve_last_layer(roll, alignment=jaxlle.lle_alignment(roll[:-1], k=12))
    with pytest.raises(ValueError, match="NaN"):
        model.solve_last_layer(np.full((20, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="asks for \\(1, 3\\)"):
        ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 3, k=12).solve_last_layer(roll)
    np.testing.assert_array_equal(model.encoder.layers[-1].kernel[...], before)
    model.encoder.layers[0].kernel[...] = 0 * model.encoder.layers[0].kernel[...]
    with pytest.raises(ValueError, match="span 0 dimensions"):
        model.solve_last_layer(roll)


@pytest.mark.slow
def test_an_encoder_reaches_the_exact_embedding_of_a_swiss_roll_and_maps_held_out_points_as_well_as_transform():
    from benchmarks.learning import encoder

    random, trained = encoder(n=1500, held_out=300, seeds=1, graphs=("LLE, k = 20, reg 0.1",))
    assert random["encoder cosine"] < 0.9 < 0.99 < random["solved cosine"]
    assert trained["encoder cosine"] > 0.99
    for row in (random, trained):
        assert row["matched cosine"] > 0.999
        assert row["matched"] < 1.25 * row["transform"]
