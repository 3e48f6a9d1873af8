"""Neighbors by deformed distances, compared with a loop over all points and with the moments that define them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle


def loop_over_points(x, k, dim):
    x, found = np.asarray(x, np.float64), []
    for i in range(len(x)):
        spokes = x - x[i]
        lengths = np.linalg.norm(spokes, axis=1)
        lengths[i] = np.inf
        first = np.argsort(lengths)[:k]
        mean = spokes[first].mean(axis=0)
        b = min(dim * np.linalg.norm(mean) / lengths[first].mean(), 0.9)
        cosines = spokes @ mean / np.where(np.isfinite(lengths), lengths, 1) / np.linalg.norm(mean)
        deformed = lengths / (1 + b * cosines)
        found.append(np.argsort(deformed)[:k])
    return np.array(found)


@pytest.fixture(scope="module")
def cloud():
    return np.random.default_rng(0).gamma(1.0, size=(150, 3)).astype(np.float32)


def test_deformed_neighbors_equal_those_of_a_loop_over_all_points(cloud):
    found = jaxlle.variants.deformed_neighbors(cloud, 6, dim=2)
    np.testing.assert_array_equal(found.indices, loop_over_points(cloud, 6, 2))
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert (np.asarray(found.indices) != np.asarray(jaxlle.knn(cloud, 6).indices)).any()


def test_deformed_neighbors_are_invariant_to_shift_scale_and_rotation(cloud):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    a = jaxlle.variants.deformed_neighbors(cloud, 6, dim=2)
    b = jaxlle.variants.deformed_neighbors((4 * cloud @ turn + 7).astype(np.float32), 6, dim=2)
    # Rounding may break ties differently.
    assert (np.sort(a.indices, axis=1) == np.sort(b.indices, axis=1)).mean() > 0.99
    np.testing.assert_allclose(b.distances, 4 * a.distances, rtol=1e-4)


def test_distances_are_unchanged_where_neighbors_are_balanced():
    line = jnp.arange(30.0)[:, None]
    inner = slice(4, -4)
    a, b = jaxlle.variants.deformed_neighbors(line, 4, dim=1), jaxlle.knn(line, 4)
    np.testing.assert_array_equal(np.sort(a.indices, axis=1)[inner], np.sort(b.indices, axis=1)[inner])
    np.testing.assert_allclose(a.distances[inner], b.distances[inner], rtol=1e-6)


@pytest.mark.slow
def test_a_known_deformation_is_inverted():
    b, n, direction = 0.5, 2_000, np.array([0.0, 0.6, 0.8])
    normal = np.random.default_rng(0).normal(size=(n, 3))
    cloud = normal * (1 + b * (normal @ direction) / np.linalg.norm(normal, axis=1))[:, None]
    x = np.concatenate([np.zeros((1, 3)), cloud]).astype(np.float32)
    found = jaxlle.variants.deformed_neighbors(x, n, dim=3)
    around = x[np.asarray(found.indices[0])]
    lengths = np.linalg.norm(around, axis=1)
    # The distances from the center are those before the deformation, up to the error of estimating b from 2,000 points.
    undone = lengths / (1 + b * around @ direction / lengths)
    np.testing.assert_allclose(found.distances[0], undone, rtol=6 / np.sqrt(n))


def test_deformed_neighbors_run_under_jit_with_a_pool_and_in_float64(x64, cloud):
    wide = cloud.astype(np.float64)
    eager = jaxlle.variants.deformed_neighbors(wide, 6, dim=2, pool=60)
    traced = jax.jit(lambda x: jaxlle.variants.deformed_neighbors(x, 6, dim=2, pool=60))(wide)
    np.testing.assert_array_equal(eager.indices, traced.indices)
    assert eager.distances.dtype == np.float64


def test_invalid_arguments_raise(cloud):
    for options, text in (
        ({"k": 150, "dim": 2}, "k \\(n_neighbors\\) = 150"),
        ({"k": 6, "dim": 0}, "dim = 0"),
        ({"k": 6, "dim": 2, "pool": 5}, "pool = 5"),
        ({"k": 6, "dim": 2, "pool": 150}, "pool = 150"),
    ):
        with pytest.raises(ValueError, match=text):
            jaxlle.variants.deformed_neighbors(cloud, **options)
    with pytest.raises(ValueError, match="NaN"):
        jaxlle.variants.deformed_neighbors(np.where(cloud > 1, np.nan, cloud), 6, dim=2)
    with pytest.raises(TypeError, match="pass pool"):
        jax.jit(lambda x: jaxlle.variants.deformed_neighbors(x, 6, dim=2))(cloud)
