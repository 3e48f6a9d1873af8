"""Exported maps in files: damage, and forged programs, which are rejected before anything is compiled."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

import jaxlle
from jaxlle._core import programs
from jaxlle.nn import ParametricLLE
from jaxlle.serving import OutOfSampleMap, export_map, load_exported

pytest.importorskip("flatbuffers")

CALLBACK = "xla_ffi_python_cpu_callback"  # calls a Python function by its address in memory, an attribute of the call


def call_python(x):
    return jax.ffi.ffi_call(CALLBACK, jax.ShapeDtypeStruct(x.shape, x.dtype))(x, index=np.uint64(4096))


def call_library(x):
    return jax.ffi.ffi_call("evil_target", jax.ShapeDtypeStruct(x.shape, x.dtype))(x)


def in_branch(x):
    return jax.lax.cond(x[0, 0] > 0, lambda z: z, call_library, x)


def in_loop(x):
    return jax.lax.while_loop(lambda z: z[0, 0] < 0, jax.jit(call_library), x)


def forge(path, function, names, order=0):
    """Write a file with a valid checksum around a program that `export_map` would not write."""
    checks = [export.DisabledSafetyCheck.custom_call(name) for name in names]
    shape = jax.ShapeDtypeStruct((1, 2), jnp.float32)
    exported = export.export(jax.jit(function), platforms=("cpu",), disabled_checks=checks)(shape)
    path.write_bytes(programs.seal(bytes(exported.serialize(order))))


@pytest.mark.parametrize(
    ("function", "name"),
    [(call_python, CALLBACK), (call_library, "evil_target"), (in_branch, "evil_target"), (in_loop, "evil_target")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_custom_calls_that_jaxlle_does_not_export_raise_before_the_program_is_compiled(
    tmp_path, monkeypatch, function, name
):
    path = tmp_path / "map.bin"
    forge(path, function, [name])

    def fail(*_):
        raise AssertionError("the program was called or compiled")

    monkeypatch.setattr(export.Exported, "call", fail)
    with pytest.raises(
        ValueError, match=rf"map\.bin holds a program with the custom calls {name}.*custom_calls=\('{name}',\)"
    ):
        load_exported(path)


def test_a_custom_call_that_the_user_allows_is_loaded(tmp_path):
    path = tmp_path / "map.bin"
    path.write_bytes(export_map(lambda x: jnp.linalg.eigvals(x @ x.T).real, 2, rows=3, platforms=("cpu",)))
    with pytest.raises(ValueError, match="custom calls lapack_sgeev_ffi"):
        load_exported(path)
    x = np.array([[1, 0], [0, 2], [0, 0]], np.float32)
    np.testing.assert_allclose(sorted(load_exported(path, custom_calls=("lapack_sgeev_ffi",))(x)), [0, 1, 4], atol=1e-6)


def test_programs_with_derivatives_or_other_operations_raise(tmp_path):
    path = tmp_path / "map.bin"
    forge(path, lambda x: x**2, [], order=1)
    with pytest.raises(ValueError, match="with effects, a derivative or several devices"):
        load_exported(path)
    forge(path, lambda x: x**2, [])
    whole = export.deserialize(bytearray(path.read_bytes()))
    receive = b"""module @jit_f {
      func.func public @main(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
        %token = stablehlo.create_token : !stablehlo.token
        %y:2 = "stablehlo.infeed"(%token) {infeed_config = ""} : (!stablehlo.token) -> (tensor<1x2xf32>, !stablehlo.token)
        return %y#0 : tensor<1x2xf32>
      }
    }"""
    from jaxlib import _jax  # no public function serializes a module from its text

    module = _jax.mlir.serialize_portable_artifact(receive, "1.0.0")
    path.write_bytes(programs.seal(bytes(dataclasses.replace(whole, mlir_module_serialized=module).serialize())))
    with pytest.raises(ValueError, match=r"with the operations stablehlo\.infeed"):
        load_exported(path)


def test_any_damage_to_a_file_raises(tmp_path):
    path, rng = tmp_path / "map.bin", np.random.default_rng(0)
    whole = np.frombuffer(export_map(lambda x: 2 * x, 1), np.uint8)
    for position in rng.integers(len(whole), size=100):
        damaged = whole.copy()
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged.tobytes())
        with pytest.raises(
            ValueError, match=r"map\.bin is damaged|map\.bin is not an exported function with a checksum"
        ):
            load_exported(path)
    for content in (whole[:-1], whole[1:], whole[: len(whole) // 2], whole[-48:], b"", whole.tobytes() + b"\n"):
        path.write_bytes(bytes(content))
        with pytest.raises(ValueError, match=r"map\.bin is"):
            load_exported(path)


def test_files_without_a_checksum_raise(tmp_path):
    path = tmp_path / "map.bin"
    path.write_bytes(export.export(jax.jit(lambda x: x))(jax.ShapeDtypeStruct((1, 1), jnp.float32)).serialize())
    with pytest.raises(ValueError, match=r"not an exported function with a checksum.*Export the function again"):
        load_exported(path)


@pytest.mark.slow
def test_the_list_of_custom_calls_is_what_the_functions_of_jaxlle_contain():
    """Factorizations of small and of large matrices, in both precisions, of maps and of whole embeddings."""
    x = np.random.default_rng(0).normal(size=(40, 3))
    model = ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, k=6)
    model.eval()
    found = programs.operations(export.deserialize(bytearray(export_map(model, 3)))).called
    assert "shape_assertion" in found
    for dtype in (jnp.float32, jnp.float64):
        with jax.enable_x64(dtype == jnp.float64):
            found |= calls_of_maps(jnp.asarray(x, dtype))
    assert found == programs.CUSTOM_CALLS


def calls_of_maps(x):
    """Return the custom calls of maps and embeddings that are exported for all platforms in the dtype of x."""
    few, some, wide = (jax.ShapeDtypeStruct(shape, x.dtype) for shape in ((5, 3), (40, 3), (40, 1100)))
    functions = [
        (OutOfSampleMap(x, x[:, :2], k=6), few),
        (lambda z: jaxlle.extension.tangent_transform(z, x, x[:, :2], k=6), few),
        (lambda z: jaxlle.nn.head._whiten(z, z[0], z.T @ z, 1e-4), few),
        (lambda z: jaxlle.lle(z, 2, k=8).points, some),
        (lambda z: jaxlle.variants.npe(z, 2, k=8).matrix, wide),
    ]
    exported = (
        export.export(jax.jit(function), platforms=(platform,))(shape)
        for function, shape in functions
        for platform in ("cpu", "cuda", "rocm", "tpu")
    )
    return set().union(*(programs.operations(program).called for program in exported))
