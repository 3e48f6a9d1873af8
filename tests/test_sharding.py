"""Sharding over a mesh: eight simulated devices and two processes give the result of one device."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EIGHT = """
import jax, numpy as np, jaxlle
from sklearn.datasets import load_digits
from jaxlle.metrics import subspace_angle
from jaxlle.sharding import _mesh, _search, _weights
from jaxlle.solvers import Landmark

assert jax.device_count() == 8
x = (load_digits().data[:403] / 16).astype(np.float32)  # 403 is not divisible by 8
line, square = jax.make_mesh((8,), ("points",)), jax.make_mesh((2, 4), ("hosts", "chips"))
here = jaxlle.knn(x, 10)
for mesh in (line, square):
    there = jaxlle.sharding.knn(x, 10, mesh=mesh)
    np.testing.assert_array_equal(there.indices, here.indices)
    np.testing.assert_allclose(there.distances, here.distances, rtol=1e-5)
random = np.random.default_rng(0)
distinct = random.normal(size=(20, 20)).astype(np.float32)
hard = {
    "ties": random.integers(0, 3, size=(500, 20)),
    "duplicates": np.concatenate([distinct, distinct, distinct[:7]]),
    "more devices than shards with points": distinct[:9],
    "one point and its copies": np.eye(30, 20)[[0] + 29 * [21]],
    "a cluster whose squared distances underflow": distinct * np.where(np.arange(20) < 10, 1, 1e-22)[:, None],
}
for name, points in hard.items():
    points = points.astype(np.float32)
    there, alone = jaxlle.sharding.knn(points, 8, mesh=square), jaxlle.knn(points, 8)
    np.testing.assert_array_equal(there.indices, alone.indices, err_msg=name)
    np.testing.assert_allclose(there.distances, alone.distances, rtol=1e-5, err_msg=name)
alone = jaxlle.lle(x, 2, k=10, solver=Landmark(landmarks=100))
spread = jaxlle.sharding.lle(jax.numpy.asarray(x), 2, k=10, mesh=line, solver=Landmark(landmarks=100))
assert spread.points.shape == (403, 2)
assert bool(spread.converged) and spread.solver == "ShardedLandmark"
assert subspace_angle(spread.points, alone.points) < np.deg2rad(0.001)
np.testing.assert_allclose(spread.singular_values, alone.singular_values, rtol=1e-4)
one = jax.make_mesh((1,), ("points",), devices=jax.devices()[:1])
alignment = jaxlle.lle_alignment(x, k=10)
single = jaxlle.sharding.embed(alignment, 2, mesh=one, solver=Landmark(landmarks=100), points=x)
assert subspace_angle(single.points, alone.points) < np.deg2rad(0.05)
auto, n, d = _mesh.with_auto_axes(line), 2**20, 64  # no device holds an array as large as all points
x_shape, ids = (jax.ShapeDtypeStruct((n, c), t, sharding=_mesh.by_rows(auto)) for c, t in ((d, "float32"), (12, "int32")))
for program in (
    _search._knn.lower(x_shape, n, 12, jaxlle.distances.euclidean, auto, 2**22),
    _weights._solve_weights.lower(
        x_shape, n, jaxlle.Neighbors(ids, None), jaxlle.regularizers.TraceRidge(1e-3), np.float32(1), auto, 2**22
    ),
):
    plan = program.compile().memory_analysis()
    assert plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes < 0.75 * 4 * n * d
try:
    jaxlle.sharding.embed(jaxlle.lle_alignment(x[:7], k=3), 2, mesh=line)
except ValueError as error:
    assert "7 points, but 8 devices" in str(error), error
else:
    raise AssertionError("fewer points than devices")
for bad, text in (({"metric": "cosine"}, "not available over a mesh"), ({"k": 403}, "k (n_neighbors) = 403")):
    try:
        jaxlle.sharding.knn(x, **{"k": 10, "mesh": line, **bad})
    except ValueError as error:
        assert text in str(error), error
    else:
        raise AssertionError(bad)
print("same")
"""

THREE = """
import jax, jax.numpy as jnp, numpy as np, jaxlle
from jaxlle import sharding
from jaxlle.neighbors import ring

def ratio(a, b):  # depends on the origin and the scale
    return jnp.sum(jnp.abs(jnp.log(a / b)))

assert jax.device_count() == 3
x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32) + 7  # 50 is not divisible by 3
mesh = jax.make_mesh((3,), ("points",))
for metric in ("euclidean", "manhattan", ratio):
    here, there = (find(x, 6, metric=metric, **at) for find, at in ((jaxlle.knn, {}), (sharding.knn, {"mesh": mesh})))
    np.testing.assert_array_equal(there.indices, here.indices)
    np.testing.assert_allclose(there.distances, here.distances, rtol=1e-5)
SMALL = 2**11  # blocks of few rows and of 8 features
ring._ROUND_ROWS = 5  # the ties below need several rounds
ties = np.random.default_rng(1).integers(0, 2, size=(50, 20)).astype(np.float32)
ties[20:40] = ties[:20]
there = sharding.knn(ties, 6, mesh=mesh, block_bytes=SMALL)
np.testing.assert_array_equal(there.indices, jaxlle.knn(ties, 6).indices)
sharding.stages.embed = lambda alignment, dim, **given: (alignment, dim, given)  # its compilation takes most of the time
x = np.random.default_rng(2).normal(size=(50, 20)).astype(np.float32) + 7
here = jaxlle.knn(x, 6)
ridge = jaxlle.regularizers.AbsoluteRidge(0.5)
options = jaxlle.EmbedOptions(key=jax.random.key(1), block_bytes=SMALL)
solver = jaxlle.solvers.Landmark(landmarks=20)
for k, graph in ((6, None), (3, here)):
    alignment, dim, given = sharding.lle(
        x, 2, k=k, reg=ridge, mesh=mesh, solver=solver, neighbors=graph, options=options
    )
    alone = jaxlle.lle_alignment(x, k=k, reg=ridge, neighbors=graph)
    np.testing.assert_array_equal(alignment.indices, alone.indices)
    np.testing.assert_allclose(alignment.blocks, alone.blocks, atol=1e-5)
    assert dim == 2 and given["options"] is options and given["solver"] is solver and given["mesh"].size == 3
    assert given["points"].shape == x.shape
print("same")
"""

TWO = """
import sys, jax
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
import numpy as np, jaxlle
from sklearn.datasets import load_digits
from jaxlle.solvers import Landmark

assert jax.device_count() == 2 * jax.local_device_count() and jax.process_count() == 2
x = (load_digits().data[:501] / 16).astype(np.float32)
mesh = jax.make_mesh((jax.device_count(),), ("points",))
out = jaxlle.sharding.lle(x, 2, k=10, mesh=mesh, solver=Landmark(landmarks=60))
assert bool(out.converged)
np.save(sys.argv[3], np.asarray(out.points))
print("done")
"""


def run(script, *arguments, devices=None):
    flags = os.environ.get("XLA_FLAGS", "")
    if devices is not None:
        flags += f" --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_three_devices_find_the_neighbors_and_the_weights_of_one():
    process = run(THREE, devices=3)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.strip() == "same"


@pytest.mark.slow
def test_eight_devices_give_the_result_of_one():
    process = run(EIGHT, devices=8)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.strip().endswith("same")


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(tmp_path):
    import jax.numpy as jnp
    from sklearn.datasets import load_digits

    import jaxlle
    from jaxlle.metrics import subspace_angle
    from jaxlle.solvers import DenseQR

    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [run(TWO, address, i, tmp_path / f"{i}.npy") for i in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    first, second = (np.load(tmp_path / f"{i}.npy") for i in range(2))
    np.testing.assert_array_equal(first, second)
    x = (load_digits().data[:501] / 16).astype(np.float32)
    assert subspace_angle(jnp.asarray(first), jaxlle.lle(x, 2, k=10, solver=DenseQR()).points) < np.deg2rad(0.1)
