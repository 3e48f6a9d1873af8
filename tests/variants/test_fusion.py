"""Other neighbourhoods and weights: by paths, from several views, and from the embedding itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import swiss_roll
from scipy.sparse.csgraph import shortest_path

import jaxlle
from jaxlle.metrics import subspace_angle


def test_neighbors_by_paths_are_those_of_all_shortest_paths(x64):
    x = np.concatenate([swiss_roll(150), swiss_roll(150)[:6]])  # copies lie at distance 0, and are reached
    graph = jaxlle.knn(x, 5)
    dense = np.full((156, 156), np.inf)
    dense[np.arange(156)[:, None], graph.indices] = np.maximum(graph.distances, 1e-6)  # 0 is no edge
    paths = shortest_path(np.minimum(dense, dense.T), directed=False)
    np.fill_diagonal(paths, np.inf)
    found = jaxlle.variants.geodesic_neighbors(x, 12, graph_k=5, block_bytes=2**17)
    np.testing.assert_allclose(found.distances, np.sort(paths, axis=1)[:, :12], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(paths, np.asarray(found.indices), 1), found.distances, atol=1e-5)
    ready = jaxlle.variants.geodesic_neighbors(x, 12, graph=graph)
    np.testing.assert_array_equal(ready.indices, found.indices)


@pytest.mark.slow
def test_paths_do_not_jump_between_the_sheets_of_a_roll():
    t = np.repeat(np.linspace(5, 14, 90), 4)
    x = np.stack([t * np.cos(t), np.tile(np.arange(4.0), 90), t * np.sin(t)], axis=1).astype(np.float32)
    jumps = [
        np.abs(t[np.asarray(near.indices)] - t[:, None]).max()
        for near in (jaxlle.knn(x, 100), jaxlle.variants.geodesic_neighbors(x, 100, graph_k=8))
    ]
    assert jumps[0] > 5  # a turn away
    assert jumps[1] < 4


def test_a_graph_as_wide_as_asked_for_changes_nothing():
    x = swiss_roll(200).astype(np.float32)
    np.testing.assert_allclose(
        jaxlle.variants.geodesic_neighbors(x, 8, graph_k=8).distances, jaxlle.knn(x, 8).distances, rtol=1e-5
    )
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda a: jaxlle.variants.isolle(a, 2, k=8).points)(x)
    with pytest.raises(ValueError, match="graph has 200 rows"):
        jaxlle.variants.geodesic_neighbors(x[:50], 8, graph=jaxlle.knn(x, 5))


@pytest.fixture
def views():
    rng = np.random.default_rng(0)
    return rng.normal(size=(70, 3)), 1e4 * rng.normal(size=(70, 4)) + 1e6


def test_fused_features_give_the_sum_of_the_local_gram_matrices(x64, views):
    a, b = views
    shares = np.array([0.3, 0.7])
    fused = np.asarray(jaxlle.variants.fuse_views(views, shares=shares))
    own = [v - v.mean(axis=0) for v in views]
    own = [v / np.sqrt((v**2).sum() / 70) for v in own]
    np.testing.assert_allclose(fused @ fused.T, 0.3 * own[0] @ own[0].T + 0.7 * own[1] @ own[1].T, atol=1e-9)
    np.testing.assert_allclose(jaxlle.variants.fuse_views([a, 5 * b - 3]), jaxlle.variants.fuse_views(views), atol=1e-9)
    grads = jax.grad(lambda s: jaxlle.lle_alignment(jaxlle.variants.fuse_views(views, shares=s), k=6).blocks[0].var())(
        jnp.array([0.5, 0.5])
    )
    assert np.isfinite(grads).all()


def test_averaged_and_stacked_alignments_are_their_dense_sums(x64, views):
    each = [jaxlle.lle_alignment(v, k=k) for v, k in zip(views, (6, 9), strict=True)]
    b = [np.asarray(a.to_dense()) for a in each]
    np.testing.assert_allclose(
        jaxlle.variants.average_alignments(each, shares=[1, 3]).to_dense(), b[0] / 4 + 3 * b[1] / 4, atol=1e-12
    )
    mixed = [each[0], jaxlle.ltsa_alignment(views[1], 2, k=8)]
    y = np.random.default_rng(1).normal(size=(70, 2))
    expected = sum(((np.asarray(a.to_dense()) @ y) ** 2).sum() / 2 for a in mixed)
    stacked = jaxlle.variants.stack_alignments(mixed)
    np.testing.assert_allclose((stacked.matvec(jnp.asarray(y)) ** 2).sum(), expected, rtol=1e-12)
    outs = [jaxlle.embed(stacked, 2, solver=s).points for s in (jaxlle.solvers.DenseQR(), jaxlle.solvers.SparseLU())]
    assert subspace_angle(*outs) < 1e-6


@pytest.mark.slow
def test_one_view_twice_is_lle(x64, views):
    out = jaxlle.variants.multiview_lle([views[0], views[0]], 2, k=8)
    assert subspace_angle(out.points, jaxlle.lle(views[0], 2, k=8).points) < 1e-8
    alone = jaxlle.variants.multiview_lle(views, 2, k=8, shares=[0, 1])
    assert subspace_angle(alone.points, jaxlle.lle(views[1], 2, k=8).points) < 1e-8


def test_views_that_do_not_fit_are_refused(views):
    a, b = (v.astype(np.float32) for v in views)
    for bad, message in (
        ({"views": [a, b[1:]]}, "row by row"),
        ({"views": []}, "no view"),
        ({"views": [a, np.ones_like(b)]}, r"views\[1\] are equal"),
        ({"views": [a, np.full_like(b, np.nan)]}, r"views\[1\] contains NaN"),
        ({"views": [a, b], "shares": [1, -1]}, "not negative"),
        ({"views": [a, b], "shares": [1]}, "one share per view"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxlle.variants.fuse_views(**bad)
    with pytest.raises(ValueError, match="cannot be averaged"):
        jaxlle.variants.average_alignments([jaxlle.lle_alignment(a, k=8), jaxlle.ltsa_alignment(a, 2, k=8)])
    with pytest.raises(ValueError, match="same points"):
        jaxlle.variants.stack_alignments([jaxlle.lle_alignment(a, k=8), jaxlle.lle_alignment(a[1:], k=8)])


@pytest.mark.slow
def test_without_a_share_of_the_embedding_iterations_stand_still():
    x = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    out = jaxlle.variants.iterative_lle(x, 2, k=10, share=0.0, steps=4)
    np.testing.assert_array_equal(out.changes, [0])
    neighbors = jaxlle.knn(x, 10)
    expected = jaxlle.embed(jaxlle.weights_alignment(neighbors, jaxlle.weights.simplex_weights(x, neighbors)), 2)
    assert subspace_angle(out.embedding.points, expected.points) < 1e-2


@pytest.mark.slow
def test_iterations_draw_clusters_together():
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
