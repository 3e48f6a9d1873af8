"""Iterative LLE: without a share of the embedding it is LLE with convex weights; with one it separates clusters."""

import numpy as np
import pytest

import jaxlle
from jaxlle.metrics import subspace_angle


@pytest.mark.slow
def test_a_zero_share_stops_after_one_iteration_with_convex_weights():
    x = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    out = jaxlle.variants.iterative_lle(x, 2, k=10, share=0.0, steps=4)
    np.testing.assert_array_equal(out.changes, [0])
    neighbors = jaxlle.knn(x, 10)
    expected = jaxlle.embed(jaxlle.weights_alignment(neighbors, jaxlle.weights.simplex_weights(x, neighbors)), 2)
    assert subspace_angle(out.embedding.points, expected.points) < 1e-2


@pytest.mark.slow
def test_iterations_increase_the_share_of_neighbors_in_the_same_cluster():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    x = (rng.normal(size=(120, 5)) + 1.2 * labels[:, None]).astype(np.float32)
    outs = [jaxlle.variants.iterative_lle(x, 2, k=12, share=s, steps=6) for s in (0.0, 0.6)]
    kept = [(labels[np.asarray(out.neighbors.indices)] == labels[:, None]).mean() for out in outs]
    assert kept[1] > kept[0]
    assert outs[1].changes[0] > 0
    with pytest.raises(ValueError, match="share = 1"):
        jaxlle.variants.iterative_lle(x, 2, k=12, share=1.0)
    with pytest.raises(ValueError, match="steps = 0"):
        jaxlle.variants.iterative_lle(x, 2, k=12, steps=0)
