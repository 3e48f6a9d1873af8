"""Memory maps: the results are those of arrays, and files that were truncated and blocks that are too small raise."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle._core import mapped

N, K = 300, 5


def points(d, n=N, seed=0):
    x = (np.random.default_rng(seed).normal(size=(n, d)) + 100).astype(np.float32)
    x[7] = x[n // 2]  # copies in several parts of the file
    return x


@pytest.fixture
def save(tmp_path):
    """Return a function that returns a memory map of a file with the given array."""

    def write(x, mode="r", name="x"):
        np.save(tmp_path / f"{name}.npy", x)
        return np.load(tmp_path / f"{name}.npy", mmap_mode=mode)

    return write


def block(d, rows):
    """Return the bytes of some rows of float32."""
    return 4 * d * rows


def assert_equal(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow_cases("20")
@pytest.mark.parametrize("d", [3, 20])
def test_a_memory_map_that_is_read_in_parts_gives_the_results_of_an_array(d, save):
    x, limit = points(d), block(d, 70)
    file, dones = save(x), []
    neighbors = jaxlle.knn(file, K, block_bytes=limit, progress=lambda done, total: dones.append((done, total)))
    assert_equal(neighbors, jaxlle.knn(x, K))
    assert dones[-1] == (N, N)
    assert len(dones) > 10
    weights = jaxlle.barycentric_weights(x, neighbors, block_bytes=limit)
    assert_equal(jaxlle.barycentric_weights(file, neighbors, block_bytes=limit), weights)
    expected = jaxlle.embed(jaxlle.weights_alignment(neighbors, weights), 2).points
    assert_equal(jaxlle.lle(file, 2, k=K, options=jaxlle.EmbedOptions(block_bytes=limit)).points, expected)


def test_masked_neighbors_keep_weight_0_in_a_memory_map(save):
    x = points(3)
    neighbors = jaxlle.knn(x, K)
    neighbors = neighbors._replace(mask=jnp.arange(N)[:, None] + jnp.arange(K) > 3)
    expected = jaxlle.barycentric_weights(x, neighbors, block_bytes=block(3, 70))
    assert_equal(jaxlle.barycentric_weights(save(x), neighbors, block_bytes=block(3, 70)), expected)


@pytest.mark.slow_cases("points", "both")
@pytest.mark.parametrize("where", ["points", "queries", "both"])
def test_new_points_and_points_may_be_memory_maps(where, save):
    x, new, limit = points(3), points(3, 200, 1) + np.float32(0.1), block(3, 70)
    new[:3] = x[:3]
    y = np.random.default_rng(2).normal(size=(N, 2)).astype(np.float32)
    file = x if where == "queries" else save(x)
    other = new if where == "points" else save(new, name="new")
    assert_equal(jaxlle.knn(file, K, query=other, block_bytes=limit), jaxlle.knn(x, K, query=new))
    found = jaxlle.transform(other, file, y, k=K, block_bytes=limit)
    np.testing.assert_allclose(found, jaxlle.transform(new, x, y, k=K), atol=1e-4)
    np.testing.assert_array_equal(found[:3], y[:3])
    near = jaxlle.knn(x, K, query=new)
    weights = jaxlle.barycentric_weights(file, near, query=other, block_bytes=limit)
    expected = jaxlle.barycentric_weights(x, near, query=new, block_bytes=limit)
    np.testing.assert_allclose(weights, expected, atol=1e-4)


@pytest.mark.parametrize(
    "view", [lambda x: x, lambda x: x[::2], lambda x: x[:, 1:], lambda x: x[10:90], lambda x: x.T[:, :3]]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_views_of_a_memory_map_are_centered_and_scaled_as_arrays(view, order, save, monkeypatch):
    monkeypatch.setattr(mapped, "_BLOCK_ENTRIES", 30)
    x = np.asarray(points(3), order=order)
    x[12] = 500
    found = jaxlle.neighbors.prepare_points(view(save(x)))
    expected = jaxlle.neighbors.prepare_points(np.ascontiguousarray(view(x)))
    assert_equal((found.center, found.unit, found.coordinates), (expected.center, expected.unit, expected.coordinates))


def test_large_numbers_and_constant_columns_of_a_memory_map(save):
    x = points(3).astype(np.float64)
    x[:, 1] = 0.1
    plain = jaxlle.neighbors.prepare_points(x.astype(np.float32), drop_constant=True)
    kept = jaxlle.neighbors.prepare_points(save(x.astype(np.float32)), drop_constant=True)
    assert (plain.coordinates.shape[1], kept.coordinates.shape[1]) == (2, 3)
    with jax.enable_x64(True):
        expected, found = (jaxlle.knn(values, K).distances for values in (x * 2.0**980, save(x * 2.0**980)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_changes_of_a_memory_map_are_kept(mode, save):
    x = points(3)
    file = save(x, mode)
    file[5] = 0
    x[5] = 0
    assert_equal(jaxlle.knn(file, K, block_bytes=block(3, 70)), jaxlle.knn(x, K))
    np.testing.assert_array_equal(file[5], 0)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_values_that_are_not_finite_are_found_in_every_block_of_a_memory_map(value, save, monkeypatch):
    monkeypatch.setattr(mapped, "_BLOCK_ENTRIES", 30)
    x = points(3)
    x[-1, 2] = value
    with pytest.raises(ValueError, match="contains NaN or infinity"):
        jaxlle.knn(save(x), K)


def test_equal_points_in_a_memory_map_raise_and_one_other_point_suffices(save, monkeypatch):
    monkeypatch.setattr(mapped, "_BLOCK_ENTRIES", 30)
    x = np.full((N, 3), 0.1, np.float32)
    with pytest.raises(ValueError, match="All 300 points of x are equal"):
        jaxlle.lle_alignment(save(x), k=K)
    x[N // 2] = 1
    jaxlle.lle_alignment(save(x, name="other"), k=K, neighbors=jaxlle.knn(points(3), K))


@pytest.mark.parametrize(
    "read",
    [
        lambda x: jaxlle.knn(x, K),
        lambda x: jaxlle.lle(x, 2, k=K),
        lambda x: jaxlle.barycentric_weights(x, jaxlle.Neighbors(np.zeros((N, K), int), None)),
        lambda x: jaxlle.transform(x, points(3), points(3), k=K),
        lambda x: jaxlle.transform(points(3), x, points(3), k=K),
        lambda x: jaxlle.transform(points(3), points(3), x, k=K),
    ],
    ids=["knn", "lle", "barycentric_weights", "transform x_new", "transform x", "transform y"],
)
def test_a_file_that_was_truncated_after_it_was_opened_raises(read, save):
    file = save(points(3))
    os.truncate(file.filename, 1000)
    with pytest.raises(ValueError, match=r"x\.npy of .* was truncated .* has 1000 bytes, .* end at byte 3728"):
        read(file)


def test_the_rows_before_the_end_of_a_truncated_file_can_be_read(save):
    x = points(3)
    file = save(x)
    os.truncate(file.filename, 3728 - 12)
    assert_equal(jaxlle.knn(file[:-1], K), jaxlle.knn(x[:-1], K))
    with pytest.raises(ValueError, match="was truncated"):
        jaxlle.knn(file[1:], K)


@pytest.mark.slow_cases("1", "50", "100")
@pytest.mark.parametrize("after", [1, 20, 50, 100])
def test_a_file_that_is_truncated_while_it_is_read_raises(after, save, monkeypatch):
    x = points(2000)  # several pages: the end of the last page of a file can still be read
    file, neighbors, release, times = save(x), jaxlle.knn(x, K), mapped.release, []

    def release_and_truncate(some):
        release(some)
        times.append(1)
        if len(times) == after:
            os.truncate(file.filename, 5000)

    monkeypatch.setattr(mapped, "release", release_and_truncate)
    monkeypatch.setattr(mapped, "_BLOCK_ENTRIES", 40_000)
    with pytest.raises(ValueError, match="was truncated after it was opened"):
        jaxlle.lle(file, 2, neighbors=neighbors, options=jaxlle.EmbedOptions(block_bytes=block(2000, 20)))


def test_scattered_rows_of_a_file_that_is_truncated_while_they_are_read_raise(save, monkeypatch):
    monkeypatch.setattr(mapped, "_SCATTERED_ROWS", 2)
    x = points(3)
    file = save(x)
    pieces = mapped.scattered_rows(np.asarray(file), np.array([1, 4, 9, 200]))
    np.testing.assert_array_equal(next(pieces)[1], x[[1, 4]])
    os.truncate(file.filename, 3000)  # less than a page, which can still be read
    with pytest.raises(ValueError, match="was truncated"):
        next(pieces)


def test_a_file_that_is_shorter_than_its_header_states_raises(save, tmp_path):
    save(points(3))
    os.truncate(tmp_path / "x.npy", 2000)
    with pytest.raises(ValueError, match="mmap length is greater than file size"):  # NumPy's, before jaxlle is called
        np.load(tmp_path / "x.npy", mmap_mode="r")
    with pytest.raises(ValueError, match="truncated"):
        jaxlle.datasets.load(tmp_path / "x.npy")


def test_a_block_that_is_too_small_for_a_memory_map_raises_with_the_smallest_that_suffices(save):
    x = points(3)
    file, neighbors = save(x), jaxlle.knn(x, K)
    calls = {
        block(3, K + 1): [
            lambda limit: jaxlle.knn(file, K, block_bytes=limit),
            lambda limit: jaxlle.barycentric_weights(file, neighbors, block_bytes=limit),
            lambda limit: jaxlle.lle(file, 2, k=K, options=jaxlle.EmbedOptions(block_bytes=limit)),
            lambda limit: jaxlle.transform(x[:9], file, x, k=K, block_bytes=limit),
        ],
        block(3, 1): [lambda limit: jaxlle.transform(file, x, x, k=K, block_bytes=limit)],
    }
    for least, functions in calls.items():
        for function in functions:
            with pytest.raises(ValueError, match=f"block_bytes = {least - 1} is too small .* take {least} bytes"):
                function(least - 1)
    calls[block(3, K + 1)][1](block(3, K + 1))
    jaxlle.knn(file[:40], K, block_bytes=block(3, K + 1))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/smaps")
def test_the_pages_of_a_memory_map_are_released(save, monkeypatch):
    monkeypatch.setattr(mapped, "_BLOCK_ENTRIES", 2**16)
    file = save(points(200, 2000))

    def resident():
        """Return the kilobytes of the file in the memory of the process."""
        parts = Path("/proc/self/smaps").read_text().split(str(file.filename))[1:]
        return sum(int(part.split("\nRss:")[1].split()[0]) for part in parts)

    file.sum()
    assert resident() > 1500
    neighbors = jaxlle.Neighbors(np.random.default_rng(0).integers(0, 2000, (2000, K)), None)
    for read in (
        jaxlle.neighbors.prepare_points,
        lambda x: jaxlle.barycentric_weights(x, neighbors, block_bytes=2**19),
    ):
        read(file)
        assert resident() < 300


MEASURED = """
import resource, sys
import jax, numpy as np
import jaxlle

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

x, graph = (np.load(path, mmap_mode="r") for path in sys.argv[1:3])
neighbors = jaxlle.Neighbors(np.array(graph), None)
few = np.array(x[:40])
jaxlle.barycentric_weights(few, jaxlle.knn(few, 12))
before = peak()
jax.block_until_ready(jaxlle.lle_alignment(x, k=12, neighbors=neighbors))
jax.block_until_ready(jaxlle.knn(x, 12, query=few))
jax.block_until_ready(jaxlle.transform(few, x, np.zeros((len(x), 2), np.float32), k=12))
print((peak() - before) / x.nbytes)
"""


@pytest.mark.slow
def test_the_peak_of_the_memory_is_less_than_one_and_a_half_times_a_memory_map(tmp_path):
    n, d = 200_000, 256
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (n, d))
    x[:] = np.random.default_rng(0).random(d, np.float32)
    x[:, :2] = np.random.default_rng(1).random((n, 2), np.float32)
    x.flush()
    np.save(tmp_path / "graph.npy", np.random.default_rng(2).integers(0, n, (n, 12), np.int32))
    arguments = [sys.executable, "-c", MEASURED, str(tmp_path / "x.npy"), str(tmp_path / "graph.npy")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.5
