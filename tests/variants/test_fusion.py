"""Fusion of several views: features, averaged and stacked alignments, and multiview LLE."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle.metrics import subspace_angle


@pytest.fixture
def views():
    rng = np.random.default_rng(0)
    return rng.normal(size=(70, 3)), 1e4 * rng.normal(size=(70, 4)) + 1e6


@pytest.mark.slow
def test_the_gram_matrix_of_fused_features_is_the_weighted_sum_of_those_of_the_views(x64, views):
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


@pytest.mark.slow
def test_averaged_and_stacked_alignments_equal_their_dense_sums(x64, views):
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
def test_two_equal_views_give_lle_and_a_zero_share_ignores_a_view(x64, views):
    out = jaxlle.variants.multiview_lle([views[0], views[0]], 2, k=8)
    assert subspace_angle(out.points, jaxlle.lle(views[0], 2, k=8).points) < 1e-8
    alone = jaxlle.variants.multiview_lle(views, 2, k=8, shares=[0, 1])
    assert subspace_angle(alone.points, jaxlle.lle(views[1], 2, k=8).points) < 1e-8


def test_views_that_do_not_match_raise(views):
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
