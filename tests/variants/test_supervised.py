"""Supervised neighbors and LLE: comparison with the published formulas in NumPy, and the forms of labels."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_iris

import jaxlle
from jaxlle import JaxlleWarning
from jaxlle.metrics import subspace_angle
from jaxlle.warnings import DisconnectedGraphWarning


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


def nearest(changed, k):
    np.fill_diagonal(changed, np.inf)
    return np.sort(changed, axis=1)[:, :k]


def different(labels):
    return (labels[:, None] != labels[None, :]).astype(float)


@pytest.mark.parametrize("alpha", [0.05, 1.0])
def test_shifted_distances_match_the_formula(x64, iris, alpha):
    x, labels = iris
    far = cdist(x, x)
    expected = nearest(far + alpha * far.max() * different(labels), 9)
    found = jaxlle.variants.supervised_neighbors(x, labels, 9, rule=jaxlle.variants.Shift(alpha))
    np.testing.assert_allclose(found.distances, expected, atol=1e-9)
    assert (np.asarray(found.indices) != np.arange(150)[:, None]).all()


def test_warped_distances_match_the_formula(x64, iris):
    x, labels = iris
    square = cdist(x, x) ** 2
    for beta in (None, 2.0):
        b = square[np.triu_indices(150, 1)].mean() if beta is None else beta
        across = np.sqrt(np.exp(square / b)) - 0.3
        expected = nearest(np.where(different(labels) > 0, across, np.sqrt(1 - np.exp(-square / b))), 9)
        found = jaxlle.variants.supervised_neighbors(x, labels, 9, rule=jaxlle.variants.Warp(0.3, beta))
        np.testing.assert_allclose(found.distances, expected, atol=1e-9)


def test_class_probabilities_are_accepted_as_labels(x64, iris):
    x, labels = iris
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 150)
    far = cdist(x, x)
    found = jaxlle.variants.supervised_neighbors(x, p, 9, rule=jaxlle.variants.Shift(0.2))
    np.testing.assert_allclose(found.distances, nearest(far + 0.2 * far.max() * (1 - p @ p.T), 9), atol=1e-9)
    certain = jaxlle.variants.supervised_neighbors(x, np.eye(3)[labels], 9)
    np.testing.assert_array_equal(certain.indices, jaxlle.variants.supervised_neighbors(x, labels, 9).indices)


def test_distances_to_points_without_a_label_are_unchanged(x64, iris):
    x, labels = iris
    partial = np.where(np.arange(150) % 2, labels, -1)
    found = jaxlle.variants.supervised_neighbors(x, partial, 9)
    far = cdist(x, x)
    known = (partial >= 0)[:, None] & (partial >= 0)[None, :]
    np.testing.assert_allclose(found.distances, nearest(far + far.max() * different(partial) * known, 9), atol=1e-9)


def test_a_zero_shift_gives_lle_and_a_full_shift_separates_the_classes(x64):
    x = np.random.default_rng(0).normal(size=(150, 4))
    labels = (x[:, 0] + x[:, 1] ** 2 > 1).astype(int)
    plain = jaxlle.lle(x, 2, k=12)
    assert (
        subspace_angle(
            jaxlle.variants.supervised_lle(x, labels, 2, k=12, rule=jaxlle.variants.Shift(0.0)).points, plain.points
        )
        < 1e-8
    )
    with pytest.warns(DisconnectedGraphWarning):
        full = jaxlle.variants.supervised_lle(x, labels, 2, k=12)
    assert jaxlle.metrics.label_accuracy(full.points, labels, k=5) == 1
    partly = jaxlle.variants.supervised_lle(x, labels, 2, k=12, rule=jaxlle.variants.Shift(0.1))
    own = jaxlle.lle(
        x, 2, k=12, neighbors=jaxlle.variants.supervised_neighbors(x, labels, 12, rule=jaxlle.variants.Shift(0.1))
    )
    np.testing.assert_array_equal(partly.points, own.points)
    accuracy = [float(jaxlle.metrics.label_accuracy(out.points, labels)) for out in (plain, partly)]
    assert accuracy[1] > accuracy[0] + 0.02


def test_invalid_labels_raise(iris):
    x, labels = iris[0].astype(np.float32), iris[1]
    for bad, message in (
        (labels[1:], r"labels has shape \(149,\)"),
        (np.where(labels, labels, np.nan), "missing values"),
        ([None, *labels[1:]], "missing values"),
        (np.ones((150, 2)), "sum to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxlle.variants.supervised_neighbors(x, bad, 9)
    with pytest.warns(JaxlleWarning, match=r"1 classes have no more than k = 9 members.* 5 \(4\)"):
        jaxlle.variants.supervised_neighbors(x, np.where(np.arange(150) < 4, 5, labels), 9)
    with pytest.raises(ValueError, match=r"k \(n_neighbors\) = 150"):
        jaxlle.variants.supervised_neighbors(x, labels, 150)
