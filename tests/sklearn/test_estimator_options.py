"""Every parameter of every estimator has its effect: results with other values than the defaults are those of the functions."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.manifold._locally_linear import barycenter_weights

import jaxlle
import jaxlle.sklearn as estimators
from jaxlle import EmbedOptions, variants
from jaxlle.solvers import DenseQR, SparseLU

SEED = 3
KEY = jax.random.key(np.random.RandomState(SEED).randint(np.iinfo(np.int32).max))
RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(120, 5)) + 3, RNG.normal(size=(4, 5)) + 3
LABELS = np.arange(120) % 2
COMMON = {"n_neighbors": 10, "n_components": 3, "reg": 0.02}


def solved():
    """Return the arguments of a function that correspond to `COMMON`, the solver and the seed."""
    return {"k": 10, "reg": 0.02, "solver": SparseLU(), "options": EmbedOptions(key=KEY)}


def cubic(a, b):
    return (1 + jnp.dot(a, b)) ** 3


# For each estimator: its other parameters, and the function that must give the same embedding.
VARIANTS = {
    "SupervisedLocallyLinearEmbedding": (
        {"alpha": 0.05},
        lambda: variants.supervised_lle(X, LABELS, 3, rule=variants.Shift(0.05), **solved()),
    ),
    "RobustLocallyLinearEmbedding": ({"threshold": 0.9}, lambda: variants.robust_lle(X, 3, threshold=0.9, **solved())),
    "KernelLocallyLinearEmbedding": ({"kernel": cubic}, lambda: variants.kernel_lle(X, 3, cubic, **solved())),
    "GeodesicLocallyLinearEmbedding": ({"graph_neighbors": 6}, lambda: variants.isolle(X, 3, graph_k=6, **solved())),
    "IncrementalLocallyLinearEmbedding": ({"tolerance": 0.3}, lambda: jaxlle.lle(X, 3, **solved())),
    "LandmarkLocallyLinearEmbedding": (
        {"n_landmarks": 30, "landmark_neighbors": 6},
        lambda: (
            variants.landmark_lle(
                X, 3, k=10, reg=0.02, num_landmarks=30, landmark_neighbors=6, options=EmbedOptions(key=KEY)
            ).embedding
        ),
    ),
    "NeighborhoodPreservingEmbedding": ({}, lambda: variants.npe(X, 3, k=10, reg=0.02).transform(X)),
    "OrthogonalNeighborhoodPreservingProjection": ({}, lambda: variants.onpp(X, 3, k=10, reg=0.02).transform(X)),
    "LinearLocalTangentSpaceAlignment": ({}, lambda: variants.lltsa(X, 3, k=10).transform(X)),
}


def test_every_variant_has_a_case():
    predictors = {"LocallyLinearClassifier", "LocallyLinearRegressor"}
    assert {*VARIANTS, *predictors, "LocallyLinearEmbedding"} == set(estimators.__all__)


def fit(name, **changes):
    kind = getattr(estimators, name)
    given = {**COMMON, **VARIANTS[name][0], "solver": SparseLU(), "random_state": SEED, **changes}
    accepted = inspect.signature(kind).parameters
    return kind(**{parameter: value for parameter, value in given.items() if parameter in accepted}).fit(X, LABELS)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_embedding_is_that_of_the_function_with_the_same_parameters(x64, name):
    estimator = fit(name)
    expected = VARIANTS[name][1]()
    points = getattr(expected, "points", expected)
    np.testing.assert_allclose(estimator.embedding_, points, atol=1e-8)
    assert estimator.embedding_.shape == (120, 3)
    if hasattr(estimator, "result_"):
        np.testing.assert_allclose(estimator.reconstruction_error_, (expected.singular_values**2).sum(), rtol=1e-10)
        assert estimator.result_.solver == expected.solver


def barycentric(new, data, values, metric="euclidean", k=10, reg=0.02):
    """Combine the values of the nearest rows by the weights that scikit-learn computes."""
    ids = np.argsort(cdist(new, data, metric), axis=1)[:, :k]
    return np.einsum("qk,qkc->qc", barycenter_weights(new, data, ids, reg=reg), values[ids])


@pytest.mark.parametrize("name", VARIANTS)
def test_new_points_are_combined_by_the_weights_of_scikit_learn_or_mapped_linearly(name):
    changes = {"kernel": "linear"} if name.startswith("Kernel") else {}  # the feature space is that of the data
    estimator = fit(name, **changes)
    if hasattr(estimator, "components_"):
        expected = (NEW - X.mean(axis=0)) @ estimator.components_.T + estimator.embedding_.mean(axis=0)
    else:
        expected = barycentric(NEW, X, estimator.embedding_)
    np.testing.assert_allclose(estimator.transform(NEW), expected, atol=1e-8)
    np.testing.assert_allclose(estimator.transform(X[:4]), estimator.embedding_[:4], atol=1e-10)


@pytest.mark.parametrize(
    ("given", "count", "width"), [((None, 8), None, 8), ((500, 200), 120, 120), ((30, 50), 30, 30)]
)
def test_there_are_at_most_as_many_landmarks_as_points(monkeypatch, given, count, width):
    class Called(Exception):
        pass

    def landmark_lle(*_, **options):
        raise Called(options["num_landmarks"], options["landmark_neighbors"])

    monkeypatch.setattr("jaxlle.sklearn.landmarks.landmark_lle", landmark_lle)
    number, neighbors = given
    with pytest.raises(Called) as called:
        estimators.LandmarkLocallyLinearEmbedding(n_landmarks=number, landmark_neighbors=neighbors).fit(X)
    assert called.value.args == (count, width)


def test_the_solver_is_an_argument_of_every_variant_that_has_one():
    for name in VARIANTS:
        kind = getattr(estimators, name)
        if "solver" in inspect.signature(kind).parameters:
            assert kind(solver=DenseQR(max_iterations=7))._arguments()["solver"] == DenseQR(max_iterations=7)


def test_the_bandwidth_of_the_kernel_is_given_or_follows_from_the_data():
    for gamma, expected in ((0.3, 0.3), (None, 1 / (5 * X.var()))):
        estimator = estimators.KernelLocallyLinearEmbedding(gamma=gamma)
        estimator._fit_X = X
        value = estimator._kernel_function()(jnp.asarray(X[0]), jnp.asarray(X[1]))
        np.testing.assert_allclose(value, np.exp(-expected * ((X[0] - X[1]) ** 2).sum()), rtol=1e-5)


def test_a_rule_replaces_the_separation_of_the_classes(x64):
    rule = variants.Shift(0.02)
    found = fit("SupervisedLocallyLinearEmbedding", rule=rule, alpha=1.0).embedding_
    np.testing.assert_allclose(found, variants.supervised_lle(X, LABELS, 3, rule=rule, **solved()).points, atol=1e-8)


LLE = estimators.LocallyLinearEmbedding


def test_the_parameters_decide_the_embedding(x64):
    estimator = LLE(**COMMON, eigen_solver=SparseLU(), random_state=SEED, metric="manhattan").fit(X)
    expected = jaxlle.lle(X, 3, metric="manhattan", **solved())
    np.testing.assert_allclose(estimator.embedding_, expected.points, atol=1e-8)
    np.testing.assert_allclose(estimator.reconstruction_error_, (expected.singular_values**2).sum(), rtol=1e-10)


@pytest.mark.parametrize(("method", "reg"), [("standard", 0.02), ("modified", 0.02), ("hessian", None), ("ltsa", None)])
def test_the_method_selects_the_function_and_the_regularizer(method, reg):
    found = LLE(method=method, reg=0.02)._variant()
    names = {"standard": "lle", "modified": "modified_lle", "hessian": "hessian_lle", "ltsa": "ltsa"}
    assert getattr(found, "func", found) is getattr(jaxlle, names[method])
    assert getattr(found, "keywords", {}) == ({} if reg is None else {"reg": reg})


def test_new_points_and_points_of_the_embedding_are_mapped_with_the_metric_and_the_ridge():
    for metric, name in (("manhattan", "cityblock"), ("chebyshev", "chebyshev")):
        estimator = LLE(**COMMON, eigen_solver=SparseLU(), metric=metric).fit(X)
        y = estimator.embedding_
        np.testing.assert_allclose(estimator.transform(NEW), barycentric(NEW, X, y, name), atol=1e-9)
        between = (y[:6] + y[1:7]) / 2
        np.testing.assert_allclose(estimator.inverse_transform(between), barycentric(between, y, X), atol=1e-8)
        found = estimator.nbrs_.kneighbors(NEW, return_distance=False)
        np.testing.assert_array_equal(found, np.argsort(cdist(NEW, X, name), axis=1)[:, :10])


@pytest.mark.slow
def test_new_points_are_mapped_by_their_distances_alone():
    estimator = LLE(**COMMON, eigen_solver=SparseLU(), metric="precomputed").fit(cdist(X, X))
    expected = barycentric(NEW, X, estimator.embedding_)
    np.testing.assert_allclose(estimator.transform(cdist(NEW, X)), expected, atol=1e-7)


def test_the_names_of_solvers_and_algorithms_select_them(monkeypatch):
    assert LLE(eigen_solver="arpack", tol=0.1, max_iter=7)._solver() == SparseLU(tol=0.1, max_iterations=7)
    assert LLE(eigen_solver="dense", max_iter=7)._solver() == DenseQR(max_iterations=7)
    assert LLE()._solver() == "auto"

    def tree(*_):
        raise RuntimeError("the tree is searched")

    monkeypatch.setattr("jaxlle.neighbors._kdtree.nearest", tree)
    for algorithm in ("auto", "ball_tree", "kd_tree"):
        with pytest.raises(RuntimeError, match="the tree is searched"):
            LLE(neighbors_algorithm=algorithm).fit(X)
    assert LLE(**COMMON, neighbors_algorithm="brute", eigen_solver=SparseLU()).fit(X).embedding_.shape == (120, 3)


def test_the_seed_is_that_of_the_random_state():
    first, same, other = (
        set(fit("LandmarkLocallyLinearEmbedding", random_state=seed).landmarks_) for seed in (3, 3, 4)
    )
    assert first == same != other
