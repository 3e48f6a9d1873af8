"""Exported maps: the same numbers in a process that has no jaxlle, and files that are refused."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxlle
from jaxlle.nn import ParametricLLE
from jaxlle.serving import export_map, load_map

pytest.importorskip("flatbuffers")

SERVER = """
import sys, numpy as np, jax
sys.modules["jaxlle"] = None  # an import of it would fail
for name in ("encoder", "transform"):
    call = jax.export.deserialize(bytearray(open(name + ".bin", "rb").read()))
    assert set(call.platforms) == {"cpu", "cuda", "tpu"}
    np.save(name + ".npy", call.call(np.load("x.npy")))
"""


def test_an_encoder_and_the_out_of_sample_map_run_where_there_is_no_jaxlle(tmp_path):
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(1, 3)).astype(np.float32)
    bank = jnp.asarray(x)
    model = ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, k=6)
    model.fit(x, epochs=1, batch_size=20, progress=False)
    maps = {"encoder": (model, None), "transform": (lambda z: jaxlle.transform(z, bank, bank[:, :2], k=6), 1)}
    np.save(tmp_path / "x.npy", new)
    for name, (function, rows) in maps.items():
        (tmp_path / f"{name}.bin").write_bytes(export_map(function, 3, rows=rows))
    subprocess.run([sys.executable, "-c", SERVER], check=True, cwd=tmp_path)
    for name, (function, _) in maps.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), function(jnp.asarray(new)), atol=1e-5)
    many = load_map(tmp_path / "encoder.bin")(jnp.asarray(x))
    np.testing.assert_allclose(many, model(jnp.asarray(x)), atol=1e-5)


def test_files_that_are_no_maps_are_refused(tmp_path):
    file = tmp_path / "map.bin"
    whole = export_map(lambda x: 2 * x, 1)
    for spoilt in (whole[: len(whole) // 2], b"", b"not a map"):
        file.write_bytes(spoilt)
        with pytest.raises(ValueError, match="not an exported function"):
            load_map(file)
    with pytest.raises(FileNotFoundError):
        load_map(tmp_path / "none.bin")


def test_a_function_that_needs_its_number_of_rows_says_so():
    bank = jax.random.normal(jax.random.key(0), (20, 3))
    with pytest.raises(ValueError, match="pass rows=1"):
        export_map(lambda z: z if z.shape[0] > 5 else jaxlle.project(z, bank, 3).points, 3)
