"""Approximate neighbors, their recall, and the methods of the search."""

import builtins

import jax
import numpy as np
import pytest

import jaxlle
from jaxlle.neighbors import ApproxMinK, InvertedFile, NearestNeighborDescent, approximate, approximate_knn
from jaxlle.warnings import RecallWarning

X = np.random.default_rng(0).normal(size=(240, 5)).astype(np.float32)


@pytest.mark.slow
def test_nearest_neighbor_descent_finds_most_neighbors():
    pytest.importorskip("pynndescent")
    x = np.random.default_rng(0).normal(size=(800, 40)).astype(np.float32)
    out = approximate_knn(x, 10, sample=800, method=NearestNeighborDescent(effort=0.5))
    assert out.recall > 0.9
    found = np.asarray(out.neighbors.indices)
    assert not (found == np.arange(800)[:, None]).any()
    wanted = np.linalg.norm(x[found] - x[:, None], axis=2)
    np.testing.assert_allclose(out.neighbors.distances, wanted, rtol=1e-4)


def test_the_recall_matches_a_comparison_with_all_exact_neighbors():
    with pytest.warns(RecallWarning, match=r"Only \d\d% .* by InvertedFile\(.* on a sample of 240 .*: raise probes"):
        out = approximate_knn(X, 6, method=InvertedFile(lists=12, probes=2))
    exact, found = np.asarray(jaxlle.knn(X, 6).indices), np.asarray(out.neighbors.indices)
    shared = np.mean([len(set(a) & set(b)) / 6 for a, b in zip(exact, found, strict=True)])
    assert out.recall == pytest.approx(shared, abs=1e-6)
    assert 0.2 < shared < 0.9


def test_approx_min_k_returns_the_exact_neighbors_on_a_cpu():
    found, recall = approximate_knn(1e3 + X, 6, method=ApproxMinK(recall_target=1.0))
    exact = jaxlle.knn(1e3 + X, 6)
    np.testing.assert_array_equal(found.indices, exact.indices)
    np.testing.assert_allclose(found.distances, exact.distances, rtol=1e-6)
    assert recall == 1


def test_a_function_may_be_the_method():
    def reversed_exact(points, k, key):
        found = jaxlle.knn(points, k)
        return found._replace(indices=found.indices[:, ::-1], distances=found.distances[:, ::-1])

    found, recall = approximate_knn(1e3 * X, 6, method=reversed_exact)
    exact = jaxlle.knn(1e3 * X, 6)
    assert recall == 1
    np.testing.assert_allclose(found.distances, exact.distances[:, ::-1])


def test_the_default_is_a_method_that_is_installed(monkeypatch):
    points = jaxlle.neighbors.prepare_points(X)
    for installed, method in ((True, NearestNeighborDescent()), (False, InvertedFile())):
        monkeypatch.setattr(approximate, "is_installed", lambda installed=installed: installed)
        assert approximate._default(points) == method


def test_a_missing_package_raises(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pynndescent":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"jaxlle\[approximate\]'?, or use InvertedFile"):
        approximate_knn(X, 2, method=NearestNeighborDescent())


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        (NearestNeighborDescent(effort=0.0), ValueError, "effort = 0.0 is not allowed"),
        (ApproxMinK(recall_target=1.5), ValueError, "recall_target = 1.5 .* above 0 and at most 1"),
        (InvertedFile, TypeError, r"method is the class InvertedFile, .* pass InvertedFile\(\)"),
        ("ivf", TypeError, "method = 'ivf' is not known: use an object of jaxlle.neighbors|parameter 'method'"),
    ],
)
def test_invalid_methods_and_options_raise(method, error, message):
    with pytest.raises(error, match=message):
        approximate_knn(X, 2, method=method)


def test_invalid_points_and_numbers_raise():
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 240"):
        approximate_knn(X, 240)
    with pytest.raises(ValueError, match="sample = 0"):
        approximate_knn(X, 3, sample=0)
    with pytest.raises(ValueError, match="minimum of 2"):
        approximate_knn(X[:1], 1)
    with pytest.raises(ValueError, match="Euclidean metric, but x has the metric"):
        approximate_knn(jaxlle.neighbors.prepare_points(X, metric="manhattan"), 3)
    with pytest.raises(TypeError, match="not available inside jit"):
        jax.jit(lambda x: approximate_knn(x, 3).neighbors)(X)
