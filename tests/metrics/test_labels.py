"""Label accuracy: agreement with scikit-learn, ties, and invalid input."""

import jax
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jaxlle import metrics


@pytest.mark.parametrize("k", [1, 4, 10])
def test_label_accuracy_agrees_with_leave_one_out_classification_of_scikit_learn(x64, k):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(80, 2))
    labels = np.digitize(y[:, 0] + 0.5 * rng.normal(size=80), [-1, 0, 1])
    hits = 0
    for i in range(80):
        others = np.arange(80) != i
        model = KNeighborsClassifier(k).fit(y[others], labels[others])
        hits += int(model.predict(y[[i]])[0] == labels[i])
    assert metrics.label_accuracy(y, labels, k=k) == pytest.approx(hits / 80, abs=1e-12)
    names = np.array(["ash", "elm", "fir", "oak"])[labels]  # sorted as the numbers are
    assert metrics.label_accuracy(y, names, k=k) == metrics.label_accuracy(y, labels, k=k)
    assert metrics.label_accuracy(y, list(names), k=k) == metrics.label_accuracy(y, labels, k=k)


def test_the_smallest_label_wins_a_tie():
    y = np.array([[0.0], [1.0], [2.1]], np.float32)  # the two neighbors of each point are the other two
    # Votes, nearest first: a, a for the point b; b, a for the first point a; a, b for the second point a.
    assert metrics.label_accuracy(y, ["b", "a", "a"], k=2) == pytest.approx(2 / 3)
    assert metrics.label_accuracy(y, ["a", "b", "c"], k=2) == 0


def test_there_may_be_as_many_classes_as_points():
    y = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    assert metrics.label_accuracy(y, np.arange(3000)) == 0


def test_invalid_input_raises():
    y = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    for labels in (np.zeros(29), np.zeros((30, 2)), np.zeros((30, 1))):
        with pytest.raises(ValueError, match="one for each of 30 points"):
            metrics.label_accuracy(y, labels)
    with pytest.raises(ValueError, match=r"k .* = 30 is not allowed"):
        metrics.label_accuracy(y, np.zeros(30), k=30)
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda y: metrics.label_accuracy(y, np.zeros(30)))(y)
