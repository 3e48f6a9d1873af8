"""What every metric accepts as data and as an embedding."""

import numpy as np
import pytest

import jaxlle
from jaxlle import metrics


def test_every_metric_accepts_an_embedding_and_a_points_value():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    embedding = jaxlle.lle(x, 2, k=8)
    measures = (
        metrics.trustworthiness,
        metrics.residual_variance,
        metrics.affine_residual,
        lambda x, y: metrics.label_accuracy(y, x[:, 0] > 0),
        lambda x, y: metrics.procrustes(y, x[:, :2]).disparity,
        lambda x, y: metrics.subspace_angle(x[:, :2], y),
        lambda x, y: metrics.relative_rank_errors(x, y, k=5),
        lambda x, y: metrics.coranking(x, y).auc,
    )
    for measure in measures:
        expected = measure(x, embedding.points)
        np.testing.assert_array_equal(measure(x, embedding), expected)
        np.testing.assert_array_equal(measure(x, jaxlle.neighbors.prepare_points(embedding.points)), expected)


def test_points_that_were_prepared_for_another_metric_raise():
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    points = jaxlle.neighbors.prepare_points(x, metric="cosine")
    for pair, name in (((points, x), "x"), ((x, points), "y")):
        with pytest.raises(ValueError, match=f"{name} was prepared for another metric"):
            metrics.trustworthiness(*pair)
