"""Silhouette and agreement of k-means with classes: agreement with their definitions, and invalid input."""

import sys

import jax
import numpy as np
import pytest

import jaxlle
from jaxlle import metrics

RNG = np.random.default_rng(3)
Y = RNG.normal(size=(60, 2)).astype(np.float32)
LABELS = np.digitize(Y[:, 0] + 0.7 * RNG.normal(size=60), [-0.5, 0.5])


def silhouette(y, labels):
    distances = np.linalg.norm(y[:, None].astype(float) - y[None], axis=2)
    values = []
    for i, label in enumerate(labels):
        own = labels == label
        if own.sum() == 1:
            values.append(0.0)
            continue
        a = distances[i, own].sum() / (own.sum() - 1)
        b = min(distances[i, labels == other].mean() for other in set(labels.tolist()) - {label.item()})
        values.append((b - a) / max(a, b))
    return np.mean(values)


def adjusted_rand(a, b):
    """Return the index from the definition: pairs that are together, compared with all pairs."""
    rows, columns = np.triu_indices(len(a), 1)
    same_a, same_b = a[rows] == a[columns], b[rows] == b[columns]
    both, pairs = (same_a & same_b).sum(), len(rows)
    expected = same_a.sum() * same_b.sum() / pairs
    return (both - expected) / ((same_a.sum() + same_b.sum()) / 2 - expected)


def mutual_information(a, b):
    joint = np.array([[np.mean((a == i) & (b == j)) for j in np.unique(b)] for i in np.unique(a)])

    def entropy(p):
        return -sum(q * np.log(q) for q in p.ravel() if q > 0)

    h_a, h_b = entropy(joint.sum(axis=1)), entropy(joint.sum(axis=0))
    return 2 * (h_a + h_b - entropy(joint)) / (h_a + h_b)


def test_the_silhouette_is_that_of_its_definition_at_any_offset_and_scale_and_for_any_type_of_label():
    expected = silhouette(Y, LABELS)
    assert metrics.silhouette(Y, LABELS) == pytest.approx(expected, abs=1e-6)
    with jax.enable_x64(True):
        assert metrics.silhouette(1e6 + Y.astype(np.float64) * 1e-3, LABELS) == pytest.approx(expected, abs=1e-6)
    assert metrics.silhouette(Y, np.array(["ash", "elm", "fir"])[LABELS]) == pytest.approx(expected, abs=1e-6)
    alone = np.where(np.arange(60) == 7, 9, LABELS)  # a class of one point
    assert metrics.silhouette(Y, alone) == pytest.approx(silhouette(Y, alone), abs=1e-6)


def test_separated_clusters_are_found_and_the_agreement_with_other_classes_is_that_of_its_definition():
    clusters = RNG.integers(0, 4, 80)
    y = np.array([[0, 0], [9, 0], [0, 9], [9, 9]])[clusters] + RNG.uniform(
        -1, 1, (80, 2)
    )  # k-means is certain to find them
    y = y.astype(np.float32)
    assert metrics.kmeans_agreement(y, clusters) == (1.0, pytest.approx(1.0))
    assert metrics.kmeans_agreement(y, 3 - clusters) == (1.0, pytest.approx(1.0))
    mixed = np.where(RNG.uniform(size=80) < 0.3, RNG.integers(0, 4, 80), clusters)
    found = metrics.kmeans_agreement(y, mixed)
    assert found.adjusted_rand == pytest.approx(adjusted_rand(mixed, clusters), abs=1e-12)
    assert found.mutual_information == pytest.approx(mutual_information(mixed, clusters), abs=1e-12)
    halves = (clusters > 1).astype(int)
    four = metrics.kmeans_agreement(y, halves, clusters=4)
    assert four.adjusted_rand == pytest.approx(adjusted_rand(halves, clusters), abs=1e-12)
    assert four.mutual_information == pytest.approx(mutual_information(halves, clusters), abs=1e-12)


def test_an_embedding_is_accepted_and_the_same_key_gives_the_same_result():
    embedding = jaxlle.lle(RNG.normal(size=(60, 3)).astype(np.float32), 2, k=8)
    assert metrics.silhouette(embedding, LABELS) == metrics.silhouette(embedding.points, LABELS)
    first, second = (metrics.kmeans_agreement(embedding, LABELS, starts=1, key=jax.random.key(5)) for _ in range(2))
    assert first == second
    others = {metrics.kmeans_agreement(Y, LABELS, clusters=9, starts=1, key=jax.random.key(s)) for s in range(6)}
    assert len(others) > 1


def test_fewer_distinct_points_than_clusters_give_an_answer():
    y = np.repeat(np.float32([[0, 0], [1, 1]]), 5, axis=0)
    assert metrics.kmeans_agreement(y, np.arange(10) % 3, clusters=3).adjusted_rand <= 0


@pytest.mark.parametrize("metric", [metrics.silhouette, metrics.kmeans_agreement])
def test_invalid_input_raises(metric, monkeypatch):
    for labels in (LABELS[:-1], LABELS[:, None]):
        with pytest.raises(ValueError, match="one for each of 60 points"):
            metric(Y, labels)
    with pytest.raises(ValueError, match="missing values"):
        metric(Y, np.where(LABELS == 0, np.nan, LABELS))
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda y: metric(y, LABELS))(Y)
    for name in ("metrics", "cluster", "exceptions"):
        monkeypatch.setitem(sys.modules, f"sklearn.{name}", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxlle\[sklearn\]'"):
        metric(Y, LABELS)


def test_a_silhouette_needs_two_classes_and_a_class_of_two_points():
    for labels, count in ((np.zeros(60), 1), (np.arange(60), 60)):
        with pytest.raises(ValueError, match=f"{count} classes for 60 points, but a silhouette needs between 2 and 59"):
            metrics.silhouette(Y, labels)
    with pytest.raises(ValueError, match="clusters = 61 is not allowed"):
        metrics.kmeans_agreement(Y, LABELS, clusters=61)
