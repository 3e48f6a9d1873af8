"""Barycentric maps for new points: scikit-learn, inverse, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn.manifold import LocallyLinearEmbedding

import jaxlle
from jaxlle.metrics import trustworthiness


@pytest.fixture(scope="module")
def fitted():
    x = np.asarray(jaxlle.datasets.s_curve(jax.random.key(0), 900).points)
    return x[:800], x[800:], np.asarray(jaxlle.lle(x[:800], 2, k=12).points)


def test_training_rows_get_exactly_their_own_embedding(fitted):
    x, _, y = fitted
    np.testing.assert_array_equal(jaxlle.transform(x, x, y, k=12), y)
    np.testing.assert_array_equal(jaxlle.transform(jnp.asarray(x[::7]), x, y, k=12), y[::7])
    np.testing.assert_array_equal(jaxlle.inverse_transform(y, y, x, k=12), x)


def test_new_points_match_scikit_learn(x64, fitted):
    x, new, _ = (np.asarray(a, np.float64) for a in fitted)
    oracle = LocallyLinearEmbedding(n_neighbors=12, eigen_solver="dense").fit(x)
    out = jaxlle.transform(new, x, oracle.embedding_, k=12)
    np.testing.assert_allclose(out, oracle.transform(new), atol=1e-10)


def test_new_points_are_embedded_near_their_neighbors(fitted):
    x, new, y = fitted
    both = np.concatenate([y, jaxlle.transform(new, x, y, k=12)])
    assert trustworthiness(np.concatenate([x, new]), both, k=12) > 0.98


def test_the_inverse_transform_of_the_transform_is_near_the_point(fitted):
    x, new, y = fitted
    back = jaxlle.inverse_transform(jaxlle.transform(new, x, y, k=12), y, x, k=12)
    spacing = jaxlle.knn(x, 12).distances.mean()
    assert np.median(np.linalg.norm(back - new, axis=1)) < spacing


def test_precomputed_distances_are_supported(fitted):
    x, new, y = fitted

    def far(a, b):
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))

    out = jaxlle.transform(far(new, x), far(x, x), y, k=12, metric="precomputed", reg=1e-2)
    np.testing.assert_allclose(out, jaxlle.transform(new, x, y, k=12, reg=1e-2), atol=1e-4)
    np.testing.assert_array_equal(jaxlle.transform(far(x, x), far(x, x), y, k=12, metric="precomputed"), y)


def test_points_transformed_one_at_a_time_match_a_batch(fitted):
    x, new, y = fitted
    alone = np.concatenate([jaxlle.transform(new[i : i + 1], x, y, k=12) for i in range(5)])
    np.testing.assert_allclose(alone, jaxlle.transform(new, x, y, k=12)[:5], atol=1e-6)


@pytest.mark.slow
def test_transform_is_differentiable_and_runs_under_jit_and_vmap(x64):
    rng = np.random.default_rng(0)
    x, new, y = (jnp.asarray(rng.normal(size=s)) for s in ((40, 3), (4, 3), (40, 2)))

    def f(new, x, y):
        return jaxlle.transform(new, x, y, k=6, reg=0.1)

    check_grads(f, (new, x, y), order=1)
    np.testing.assert_allclose(jax.jit(f)(new, x, y), f(new, x, y), atol=1e-12)
    np.testing.assert_allclose(jax.vmap(f, (0, None, None))(new[None], x, y)[0], f(new, x, y), atol=1e-12)


def test_shapes_that_do_not_match_raise(fitted):
    x, new, y = fitted
    with pytest.raises(ValueError, match="row by row"):
        jaxlle.transform(new, x, y[:-1], k=12)
    with pytest.raises(ValueError, match="x_new has 2 columns"):
        jaxlle.transform(new[:, :2], x, y, k=12)
    with pytest.raises(ValueError, match="x_new contains NaN"):
        jaxlle.transform(np.full((1, 3), np.nan, np.float32), x, y, k=12)


@pytest.mark.slow_cases("int32")
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool])
def test_integer_and_boolean_values_are_combined_in_floating_point(fitted, dtype):
    x, new, y = fitted
    values = y > 0 if dtype is bool else np.round(100 * (y - y.min()) / np.ptp(y)).astype(dtype)
    expected = jaxlle.extension.project(new, x, 12, values.astype(np.float32)).points
    known = jaxlle.serving.OutOfSampleMap(x, values, k=12)
    traced = jax.jit(lambda v: jaxlle.transform(new, x, v, k=12))(jnp.asarray(values))
    for out in (
        jaxlle.transform(new, x, values, k=12),
        jaxlle.transform(new, x, jnp.asarray(values), k=12),
        known(new),
        traced,
    ):
        assert out.dtype == np.float32
        np.testing.assert_allclose(out, expected, atol=1e-5)
    assert np.abs(expected - np.round(expected)).max() > 0.01


def test_the_inverse_of_images_of_integers_is_in_floating_point(fitted):
    x, _, y = fitted
    images = np.round(50 * (x - x.min())).astype(np.uint8)
    new = y[:20] + 1e-3
    expected = jaxlle.inverse_transform(new, y, images.astype(np.float32), k=12)
    np.testing.assert_array_equal(jaxlle.inverse_transform(new, y, images, k=12), expected)
    np.testing.assert_array_equal(jaxlle.inverse_transform(y[:5], y, images, k=12), images[:5])
    assert expected.max() > 50


@pytest.mark.slow
def test_the_other_extensions_map_integer_embeddings_as_their_floating_point_values(fitted):
    x, new, y = fitted
    whole = np.round(100 * y).astype(np.int32)
    ext = jaxlle.extension
    for function in (
        lambda v: ext.tangent_transform(new, x, v, k=12),
        jax.jit(lambda v: ext.tangent_transform(new, x, v, k=12)),
        lambda v: ext.kernel_map(x, v, num_landmarks=50).transform(new),
        lambda v: ext.project(new, x, 12, v).points,
    ):
        np.testing.assert_array_equal(function(jnp.asarray(whole)), function(jnp.asarray(whole, jnp.float32)))


def test_values_that_are_not_finite_raise(fitted):
    x, new, y = fitted
    bad = y.copy()
    bad[3, 1] = np.nan
    for values in (bad, jnp.asarray(bad)):
        with pytest.raises(ValueError, match="Input y contains NaN"):
            jaxlle.transform(new, x, values, k=12)
    with pytest.raises(ValueError, match="Input x contains NaN"):
        jaxlle.inverse_transform(y, y, np.full_like(x, np.inf), k=12)
    assert np.isnan(jax.jit(lambda v: jaxlle.transform(x, x, v, k=12))(bad)[3, 1])
