"""Approximate neighbors and their recall."""

import builtins

import numpy as np
import pytest

import jaxlle
from jaxlle.neighbors import approximate


@pytest.mark.slow
def test_the_recall_matches_a_comparison_with_all_exact_neighbors():
    pytest.importorskip("pynndescent")
    x = np.random.default_rng(0).normal(size=(800, 40)).astype(np.float32)
    out = jaxlle.neighbors.approximate_knn(x, 10, sample=800, effort=0.1)
    exact = np.asarray(jaxlle.knn(x, 10).indices)
    found = np.asarray(out.neighbors.indices)
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
    assert out.recall == pytest.approx(shared, abs=1e-6)
    assert out.recall > 0.8
    assert not (found == np.arange(800)[:, None]).any()
    wanted = np.linalg.norm(x[found] - x[:, None], axis=2)
    np.testing.assert_allclose(out.neighbors.distances, wanted, rtol=1e-4)


def test_the_search_for_tpus_returns_the_exact_neighbors_at_recall_1():
    x = np.random.default_rng(0).normal(size=(300, 20)).astype(np.float32)
    found = approximate._on_tpu(jaxlle.neighbors.prepare_points(x), 8, 1.0)  # approx_min_k is exact on a CPU
    exact = jaxlle.knn(x, 8)
    np.testing.assert_array_equal(found.indices, exact.indices)
    np.testing.assert_allclose(found.distances, exact.distances, rtol=1e-4)


def test_a_missing_package_and_an_invalid_k_raise(monkeypatch):
    x = np.eye(5, dtype=np.float32)
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 5"):
        jaxlle.neighbors.approximate_knn(x, 5)
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pynndescent":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"jaxlle\[approximate\]"):
        jaxlle.neighbors.approximate_knn(x, 2)
