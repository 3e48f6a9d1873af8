"""LDR-LLE: weights of least norm in tangent coordinates, against LLE of the projected neighbors with a vanishing ridge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle.metrics import affine_residual, subspace_angle
from jaxlle.variants import ldr_alignment, ldr_lle
from jaxlle.warnings import RankWarning


def weights_of(alignment):
    return -np.asarray(alignment.blocks)[:, 0, 1:]


def oracle(x, ids, dim):
    """Return the weights of LLE of every point in its tangent coordinates, by the pseudo-inverse of the constraints."""
    out = []
    for i, near in enumerate(ids):
        differences = x[near] - x[i]
        axes = np.linalg.svd(differences, full_matrices=False)[2][:dim]
        constraints = np.concatenate([(differences @ axes.T).T, np.ones((1, len(near)))])
        out.append(np.linalg.pinv(constraints) @ np.eye(dim + 1)[dim])
    return np.array(out)


def cloud(n=40, d=5):
    return np.random.default_rng(0).normal(size=(n, d)) * np.linspace(2, 0.3, d)


@pytest.mark.parametrize(("dim", "k"), [(1, 4), (2, 9)])
def test_weights_are_those_of_least_norm_that_reconstruct_the_tangent_coordinates(x64, dim, k):
    x = cloud()
    alignment = ldr_alignment(x, dim, k=k)
    weights = weights_of(alignment)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(weights, oracle(x, np.asarray(alignment.indices)[:, 1:], dim), atol=1e-9)


def test_in_the_plane_they_are_the_limit_of_lle_with_a_vanishing_ridge(x64):
    x = cloud(d=2)
    expected = jaxlle.barycentric_weights(x, jaxlle.knn(x, 8), reg=1e-11)
    np.testing.assert_allclose(weights_of(ldr_alignment(x, 2, k=8)), expected, atol=1e-4)


def test_distances_give_the_weights_of_the_points_and_masked_neighbors_those_of_fewer(x64):
    x = cloud()
    expected = weights_of(ldr_alignment(x, 2, k=7))
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.testing.assert_allclose(weights_of(ldr_alignment(distances, 2, k=7, metric="precomputed")), expected, atol=1e-9)
    wide = jaxlle.knn(x, 10)
    masked = wide._replace(mask=jnp.broadcast_to(jnp.arange(10) < 7, wide.indices.shape))
    found = weights_of(ldr_alignment(x, 2, k=10, neighbors=masked))
    np.testing.assert_allclose(found[:, :7], expected, atol=1e-9)
    assert not found[:, 7:].any()


def test_a_plane_in_a_space_of_many_dimensions_is_recovered_exactly_without_a_ridge():
    flat = np.random.default_rng(1).uniform(size=(300, 2)).astype(np.float32)
    x = flat @ np.linalg.qr(np.random.default_rng(2).normal(size=(30, 2)))[0].T.astype(np.float32)
    assert affine_residual(flat, ldr_lle(x, 2, k=10).points) < 1e-4


@pytest.mark.slow
def test_float32_agrees_with_float64_and_jit_and_vmap_with_plain_calls(x64):
    x = cloud()
    wide = weights_of(ldr_alignment(x, 2, k=8))
    narrow = x.astype(np.float32)
    found = jax.jit(lambda x: ldr_alignment(x, 2, k=8).blocks)(narrow)
    np.testing.assert_allclose(-found[:, 0, 1:], wide, atol=2e-4)
    many = jax.vmap(lambda x: ldr_alignment(x, 2, k=8).blocks)(jnp.stack([narrow, 3 * narrow + 1]))
    np.testing.assert_allclose(-many[:, :, 0, 1:], np.stack([wide, wide]), atol=2e-4)


def test_the_embedding_is_invariant_to_rotation_and_scale(x64):
    x = np.asarray(jaxlle.datasets.s_curve(jax.random.key(0), 200).points, np.float64)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    first, second = ldr_lle(x, 2, k=10).points, ldr_lle(5 * x @ turn + 3, 2, k=10).points
    assert subspace_angle(first, second) < 1e-6


def test_neighbors_at_one_distance_on_one_side_give_a_warning_and_the_weights_of_least_error(x64):
    x = np.concatenate([[[0.0, 0.0]], [[1.0, y] for y in (-1e-9, 0.0, 1e-9)], [[5.0, y] for y in (0.0, 1.0, 2.0, 3.0)]])
    graph = jaxlle.Neighbors(jnp.asarray([[1, 2, 3]] + [[0, 4, 5]] * 3 + [[1, 5, 6]] * 4), jnp.ones((8, 3)))
    with pytest.warns(RankWarning, match="not an affine combination"):
        alignment = ldr_alignment(x, 1, k=3, neighbors=graph)
    np.testing.assert_allclose(weights_of(alignment)[0], 1 / 3, atol=1e-6)
    line = np.concatenate(
        [[[0.0, 0.0]], [[1.0, y] for y in (-1.0, 0.0, 2.0)], [[5.0, y] for y in (0.0, 1.0, 2.0, 3.0)]]
    )
    with pytest.warns(RankWarning, match="not an affine combination"):
        alignment = ldr_alignment(line, 2, k=3, neighbors=graph)
    # The combinations that are closest to the origin are those at (1, 0); of these the one of least norm.
    nearest = np.linalg.pinv([[-1.0, 0.0, 2.0], [1.0, 1.0, 1.0]]) @ [0.0, 1.0]
    np.testing.assert_allclose(weights_of(alignment)[0], nearest, atol=1e-9)


def test_too_few_neighbors_raise(x64):
    for function in (ldr_alignment, ldr_lle):
        with pytest.raises(ValueError, match="more neighbors than coordinates"):
            function(cloud(), 3, k=3)
