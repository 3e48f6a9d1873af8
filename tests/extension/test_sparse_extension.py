"""New sparse points: maps, residuals and drift equal to those of the dense points, and files of maps."""

import json

import jax
import numpy as np
import pytest
import scipy.sparse as sp

import jaxlle
from jaxlle.serving import OutOfSampleMap, load_map, save_map

K = 6


@pytest.fixture(scope="module")
def data():
    """Return sparse points, other ones, and values of the former."""
    rng = np.random.default_rng(0)
    x, new = (sp.random_array((n, 50), density=0.3, rng=rng, format="csr") for n in (60, 15))
    return x, new, rng.normal(size=(60, 2))


@pytest.mark.slow_cases("euclidean")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_map_of_sparse_points_is_that_of_the_dense_points(data, metric, tmp_path):
    x, new, y = data
    with jax.enable_x64(True):
        known = OutOfSampleMap(x.tocoo(), y, k=K, metric=metric)
        save_map(tmp_path / "map.npz", known)
        loaded = load_map(tmp_path / "map.npz")
        for z in (new, x):
            expected = jaxlle.transform(z.toarray(), x.toarray(), y, k=K, metric=metric)
            for found in (jaxlle.transform(z, x, y, k=K, metric=metric), known(z), loaded(z)):
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(known(x), y)
    np.testing.assert_array_equal(loaded.points.toarray(), x.toarray())


def test_residuals_and_drift_are_those_of_the_dense_points(data):
    x, new, _ = data
    with jax.enable_x64(True):
        expected = jaxlle.extension.training_residuals(x.toarray(), K)
        np.testing.assert_allclose(jaxlle.extension.training_residuals(x, K), expected, rtol=1e-9)
        found, dense = jaxlle.extension.drift(new, x, K), jaxlle.extension.drift(new.toarray(), x.toarray(), K)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, dense)


def test_a_map_takes_the_rows_of_the_largest_component_of_sparse_points(data):
    x, far, _ = data
    both = sp.block_diag([x, far + sp.csr_array(np.full((15, 50), 100.0))]).tocoo()
    options = jaxlle.EmbedOptions(disconnected="largest")
    known = OutOfSampleMap(both, jaxlle.lle(both, 2, k=K, options=options), k=K)
    assert known.points.shape == (60, 100)


def test_files_of_sparse_maps_that_are_not_valid_raise(data, tmp_path):
    x, _, y = data
    path = tmp_path / "map.npz"
    save_map(path, OutOfSampleMap(x, y, k=K))
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(bytes(arrays["header"]))
    assert header["readable_from"] == 3
    del header["checksums"]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    for name, value in (
        ("indices", arrays["map/points/indices"] + 50),
        ("indices", -arrays["map/points/indices"] - 1),
        ("indptr", arrays["map/points/indptr"][:-1]),
        ("shape", np.array([60])),
        ("shape", np.array([60, -1])),
        ("data", np.full(x.nnz, np.nan)),
        ("data", np.full(x.nnz, "a")),
    ):
        np.savez(path, **{**arrays, f"map/points/{name}": value})
        with pytest.raises(ValueError, match=r"holds no valid map|declares the dtype"):
            load_map(path)
    del arrays["map/points/indptr"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="lacks points/indptr"):
        load_map(path)
