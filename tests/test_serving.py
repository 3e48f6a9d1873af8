"""Saved and exported maps: equal results in a process without jaxlle, later versions of the format, and invalid files."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxlle
from jaxlle._core import programs
from jaxlle.nn import ParametricLLE, load_model, save_model
from jaxlle.serving import OutOfSampleMap, export_map, load_exported, load_map, save_map

pytest.importorskip("flatbuffers")

SERVER = """
import sys, numpy as np, jax
sys.modules["jaxlle"] = None  # makes an import of jaxlle fail
for name in ("encoder", "transform"):
    call = jax.export.deserialize(bytearray(open(name + ".bin", "rb").read()))
    assert set(call.platforms) == {"cpu", "cuda", "tpu"}
    np.save(name + ".npy", call.call(np.load("x.npy")))
"""


@pytest.mark.slow
def test_an_exported_encoder_and_an_exported_map_run_without_jaxlle(tmp_path):
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(1, 3)).astype(np.float32)
    bank = jnp.asarray(x)
    model = ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, k=6)
    model.fit(x, epochs=1, batch_size=20, progress=False)
    maps = {"encoder": (model, None), "transform": (OutOfSampleMap(bank, bank[:, :2], k=6), 1)}
    np.save(tmp_path / "x.npy", new)
    for name, (function, rows) in maps.items():
        (tmp_path / f"{name}.bin").write_bytes(export_map(function, 3, rows=rows))
    subprocess.run([sys.executable, "-c", SERVER], check=True, cwd=tmp_path)
    for name, (function, _) in maps.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), function(jnp.asarray(new)), atol=1e-5)
    many = load_exported(tmp_path / "encoder.bin")(jnp.asarray(x))
    np.testing.assert_allclose(many, model(jnp.asarray(x)), atol=1e-5)


def test_a_compiled_map_contains_its_points_prepared_and_out_of_reach_of_constant_folding():
    rng = np.random.default_rng(0)
    x, new = rng.normal(100, 1, (40, 3)).astype(np.float32), rng.normal(100, 1, (6, 3)).astype(np.float32)
    for bank, metric in ((x, "euclidean"), (jnp.asarray(x), "euclidean"), (x, "cosine")):
        known = OutOfSampleMap(bank, jnp.asarray(x[:, :2]), k=6, metric=metric)
        program = str(jax.make_jaxpr(known)(new))
        assert "optimization_barrier" in program
        assert "standardize" not in program
        np.testing.assert_allclose(jax.jit(known)(new), known(new), rtol=1e-6)


def test_files_that_are_not_exported_maps_raise(tmp_path):
    file = tmp_path / "map.bin"
    whole = export_map(lambda x: 2 * x, 1)
    for content in (whole[: len(whole) // 2], b"", b"not a map"):
        for data in (content, programs.seal(content)):
            file.write_bytes(data)
            with pytest.raises(ValueError, match="not an exported function"):
                load_exported(file)
    with pytest.raises(FileNotFoundError):
        load_exported(tmp_path / "none.bin")


def test_a_function_that_needs_a_fixed_number_of_rows_raises_with_advice():
    bank = jax.random.normal(jax.random.key(0), (20, 3))
    with pytest.raises(ValueError, match="pass rows=1"):
        export_map(lambda z: z if z.shape[0] > 5 else jaxlle.extension.project(z, bank, 3).points, 3)


def test_programs_of_a_newer_jax_and_for_other_platforms_raise(tmp_path):
    file = tmp_path / "map.bin"
    call = jax.export.deserialize(bytearray(export_map(lambda x: 2 * x, 1)))
    newer = dataclasses.replace(call, calling_convention_version=99)
    broken = dataclasses.replace(call, mlir_module_serialized=b"ML\xefR newer")
    sealed = [programs.seal(bytes(forged.serialize())) for forged in (newer, broken)]
    for data in (*sealed, export_map(lambda x: 2 * x, 1, platforms=("tpu",))):
        file.write_bytes(data)
        with pytest.raises(ValueError, match="for other platforms, or from a newer JAX"):
            load_exported(file)


@pytest.fixture
def known():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    return OutOfSampleMap(x, x[:, :2] * 3, k=6, reg=1e-2, neighbors=jaxlle.knn(x, 6))


@pytest.mark.slow
def test_a_map_takes_an_embedding_with_the_rows_that_were_embedded(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    whole = jaxlle.lle(x, 2, k=8)
    np.testing.assert_array_equal(OutOfSampleMap(x, whole, k=8)(x), whole.points)
    x[:20] += 1000
    largest = jaxlle.lle(x, 2, k=8, options=jaxlle.EmbedOptions(disconnected="largest"))
    known = OutOfSampleMap(x, largest, k=8)
    np.testing.assert_array_equal(known.points, x[20:])
    np.testing.assert_array_equal(known(x[20:]), largest.points)
    save_map(tmp_path / "map.npz", known)
    np.testing.assert_array_equal(load_map(tmp_path / "map.npz")(x[20:]), largest.points)
    with pytest.raises(ValueError, match="only 40 points were embedded: pass no neighbors"):
        OutOfSampleMap(x, largest, k=8, neighbors=jaxlle.knn(x, 8))
    with pytest.raises(ValueError, match="row 59 of its data, but points has 50 rows"):
        OutOfSampleMap(x[:50], largest, k=8)
    assert jax.jit(lambda x: OutOfSampleMap(x, jaxlle.lle(x, 2, k=8), k=8)(x[:3]))(x).shape == (3, 2)


def test_a_map_has_the_metric_of_its_neighbors_and_files_with_one_need_a_reader_that_knows_it(known, tmp_path):
    file, new = tmp_path / "map.npz", np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    points, values = known.points, known.embedding
    written = {}
    for metric in ("euclidean", "cosine", jaxlle.distances.manhattan):
        save_map(file, OutOfSampleMap(points, values, k=6, metric=metric))
        expected = jaxlle.transform(new, points, values, k=6, metric=metric)
        np.testing.assert_array_equal(load_map(file)(new), expected)
        with np.load(file) as archive:
            written[str(metric)] = json.loads(bytes(archive["header"]))["readable_from"]
    assert list(written.values()) == [2, 3, 3]
    with pytest.raises(ValueError, match="cannot be saved: a file holds the name of one of euclidean, manhattan"):
        save_map(file, OutOfSampleMap(points, values, k=6, metric=lambda a, b: abs(a - b).sum()))
    with pytest.raises(ValueError, match="metric = 'nearest' is not known"):
        OutOfSampleMap(points, values, k=6, metric="nearest")


def encoder(width=2, seed=0, dtype=jnp.float32):
    return ParametricLLE(nnx.Linear(3, width, param_dtype=dtype, rngs=nnx.Rngs(seed)), width, k=6)


def test_a_saved_map_gives_equal_results_after_loading(known, tmp_path):
    save_map(tmp_path / "map.npz", known)
    loaded = load_map(tmp_path / "map.npz")
    new = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(new), known(new))
    np.testing.assert_array_equal(known(new), jaxlle.transform(new, known.points, known.embedding, k=6, reg=1e-2))
    jax.tree.map(np.testing.assert_array_equal, loaded.neighbors, known.neighbors)
    assert list(tmp_path.iterdir()) == [tmp_path / "map.npz"]
    save_map(tmp_path / "map.npz", dataclasses.replace(known, neighbors=None))
    assert load_map(tmp_path / "map.npz").neighbors is None
    masked = known.neighbors._replace(distances=None, mask=jnp.arange(6) < 3 + jnp.arange(40)[:, None] % 4)
    save_map(tmp_path / "map.npz", dataclasses.replace(known, neighbors=masked))
    found = load_map(tmp_path / "map.npz").neighbors
    assert found.distances is None
    jax.tree.map(np.testing.assert_array_equal, found, masked)


@pytest.mark.slow_cases("float32")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_saved_model_gives_equal_results_after_loading_and_contains_its_data(known, tmp_path, dtype):
    model, file = encoder(dtype=dtype), tmp_path / "model.npz"
    model.fit(known.points, epochs=2, batch_size=20, progress=False)
    save_model(file, model, known)
    other = encoder(seed=1, dtype=dtype)
    found = load_model(file, other)
    assert other.encoder.kernel[...].dtype == dtype
    np.testing.assert_array_equal(other(jnp.asarray(known.points)), model(jnp.asarray(known.points)))
    np.testing.assert_array_equal(found(known.points[:3] + 0.1), known(known.points[:3] + 0.1))
    assert int(other.step[...]) == 4
    with np.load(file, allow_pickle=False) as archive:
        assert not [name for name in archive.files if "opt" in name]


def test_a_file_of_a_later_version_is_read_unless_it_requires_a_later_reader(known, tmp_path):
    file = tmp_path / "map.npz"
    save_map(file, known)
    with np.load(file) as archive:
        arrays = dict(archive)
    header = json.loads(bytes(arrays["header"]))
    del header["checksums"]

    def rewritten(**changes):
        text = json.dumps({**header, "version": 7, "unknown": [1], **changes}).encode()
        np.savez(file, **{**arrays, "header": np.frombuffer(text, np.uint8), "map/unknown": np.ones(2)})
        return file

    np.testing.assert_array_equal(load_map(rewritten()).points, known.points)
    with pytest.raises(ValueError, match="version 7 of its format and needs 5 or later; this jaxlle reads up to 3"):
        load_map(rewritten(readable_from=5))
    with pytest.raises(ValueError, match="holds no out-of-sample map: it holds model"):
        load_map(rewritten(kind="model"))
    for invalid in ({"version": "two"}, {"dtypes": None}):
        with pytest.raises(ValueError, match="holds no out-of-sample map"):
            load_map(rewritten(**invalid))
    del arrays["map/embedding"]
    with pytest.raises(ValueError, match=r"map\.npz lacks embedding"):
        load_map(rewritten())


def test_truncated_unrelated_and_mismatched_files_raise_and_leave_the_model_unchanged(known, tmp_path):
    file = tmp_path / "model.npz"
    save_model(file, encoder(), known)
    model = encoder(width=3)
    before = jax.tree.map(jnp.copy, nnx.state(model))
    with pytest.raises(
        ValueError, match=r"encoder/bias is float32\[2\] in the saved state and float32\[3\] in the model"
    ):
        load_model(file, model)
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"neither"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"truncated, malformed|or no array"):
            load_model(file, model)
    np.savez(file, weights=np.ones(3))
    with pytest.raises(ValueError, match="holds no model: it holds weights"):
        load_model(file, model)
    np.savez(file, weights=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="pickled objects"):
        load_model(file, model)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_model(tmp_path / "none.npz", model)
    with pytest.raises(ValueError, match=r"suffix '.bin': a model is saved as .npz"):
        save_model(tmp_path / "model.bin", model)
    jax.tree.map(np.testing.assert_array_equal, before, nnx.state(model))


def test_arrays_whose_shapes_do_not_match_raise(known):
    with pytest.raises(ValueError, match="do not match"):
        OutOfSampleMap(known.points, known.embedding[1:], k=6)
    with pytest.raises(ValueError, match="neighbors has 40 rows"):
        OutOfSampleMap(known.points[1:], known.embedding[1:], k=6, neighbors=known.neighbors)
