"""Incremental LLE and maps for new points: exact graphs, least squares, and training rows that are returned unchanged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import swiss_roll
from jax.test_util import check_grads

import jaxlle
from jaxlle.metrics import subspace_angle

pytestmark = pytest.mark.filterwarnings("ignore::jaxlle.warnings.GapWarning")


@pytest.fixture(scope="module")
def grown():
    x = np.asarray(jaxlle.datasets.s_curve(jax.random.key(0), 330).points)
    start = jaxlle.variants.incremental_lle(x[:300], 2, k=10)
    return x, start, jaxlle.variants.add_points(start, x[300:])


def test_the_extended_graph_and_weights_equal_those_of_all_points(grown):
    x, _, more = grown
    exact = jaxlle.knn(x, 10)
    np.testing.assert_array_equal(more.neighbors.indices, exact.indices)
    np.testing.assert_allclose(more.neighbors.distances, exact.distances, rtol=1e-5)
    np.testing.assert_allclose(more.weights, jaxlle.barycentric_weights(x, exact), atol=2e-3)


def test_old_points_are_unchanged_and_new_points_solve_the_least_squares_problem(grown):
    _, start, more = grown
    np.testing.assert_array_equal(more.points[:300], start.points)
    b = np.asarray(jaxlle.weights_alignment(more.neighbors, more.weights).to_dense(), np.float64)
    old = np.asarray(start.points, np.float64)
    expected = np.linalg.lstsq(b[:, 300:], -b[:, :300] @ old)[0]
    np.testing.assert_allclose(more.points[300:], expected, atol=1e-4)


@pytest.mark.slow
def test_a_few_new_points_rotate_the_span_little_and_a_refit_is_the_full_solution(grown):
    x, start, more = grown
    full = jaxlle.lle(x, 2, k=10)
    true = float(subspace_angle(more.points - more.points.mean(axis=0), full.points))
    assert true < 0.4
    assert true / 8 < float(more.angle) < 8 * true
    assert more.growth > 0
    assert start.angle == 0
    assert start.growth == 1
    again = jaxlle.variants.refit(more)
    assert subspace_angle(again.points, full.points) < 2e-2
    assert not again.refit
    assert again.far.shape == (0,)


@pytest.mark.slow
def test_the_initial_embedding_is_lle_with_the_same_gap(grown):
    x, start, _ = grown
    plain = jaxlle.lle(x[:300], 2, k=10)
    assert subspace_angle(start.points, plain.points) < 2e-2
    np.testing.assert_allclose(start.fitted.gap, plain.gap, rtol=5e-2)
    np.testing.assert_allclose(start.fitted.singular_values, plain.singular_values, rtol=1e-2)


@pytest.mark.slow
def test_more_new_points_than_fitted_points_require_a_refit():
    x = swiss_roll(160).astype(np.float32)
    assert jaxlle.variants.add_points(jaxlle.variants.incremental_lle(x[:70], 2, k=8, tolerance=9), x[70:]).refit
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda a: jaxlle.variants.incremental_lle(a, 2, k=8).points)(x)


@pytest.fixture(scope="module")
def fitted():
    x = np.asarray(jaxlle.datasets.s_curve(jax.random.key(1), 330).points)
    return x[:300], x[300:]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ltsa", "hessian_lle", "modified_lle", "lle"])
def test_every_map_returns_training_rows_unchanged_and_places_new_rows_near_their_neighbors(fitted, method):
    x, new = fitted
    fit = getattr(jaxlle, method)
    out = fit(x, 2, k=12)
    maps = {
        "transform": lambda a: jaxlle.transform(a, x, out.points, k=12),
        "tangent": lambda a: jaxlle.extension.tangent_transform(a, x, out.points, k=12),
        "eigenfunctions": lambda a: jaxlle.extension.eigenfunction_transform(a, x, out, k=12),
        "kernel": jaxlle.extension.kernel_map(x, out.points).transform,
    }
    for name, place in maps.items():
        np.testing.assert_array_equal(place(x), out.points, err_msg=name)
        both = np.concatenate([x, new])
        where = np.concatenate([out.points, place(new)])
        assert jaxlle.metrics.trustworthiness(both, where, k=8) > 0.97, name


def test_tangent_maps_reproduce_affine_functions_exactly(x64):
    rng = np.random.default_rng(0)
    t, basis = rng.uniform(size=(80, 2)), np.linalg.qr(rng.normal(size=(5, 2)))[0]
    x = t @ basis.T + 1e3
    y = t @ np.array([[1.0, 2.0], [0.5, -1.0]]) + 4
    found = jaxlle.extension.tangent_transform(x[70:], x[:70], y[:70], k=8)
    np.testing.assert_allclose(found, y[70:], atol=1e-8)
    check_grads(lambda y: jaxlle.extension.tangent_transform(x[70:], x[:70], y, k=8), (jnp.asarray(y[:70]),), order=1)


@pytest.mark.slow
def test_the_tangent_map_minimizes_the_cost_of_ltsa(x64):
    x = swiss_roll(120)
    y = np.asarray(jaxlle.ltsa(x[:-1], 2, k=9).points)
    near = jaxlle.knn(x[:-1], 9, query=x[-1:])
    graph = jaxlle.neighbors.as_neighbors(np.concatenate([np.asarray(jaxlle.knn(x, 9).indices)[:-1], near.indices]))
    block = np.asarray(jaxlle.ltsa_alignment(x, 2, k=9, neighbors=graph).blocks[-1])
    target = -block[:, 1:] @ y[np.asarray(near.indices[0])]
    expected = np.linalg.lstsq(block[:, :1], target)[0]
    np.testing.assert_allclose(jaxlle.extension.tangent_transform(x[-1:], x[:-1], y, k=9), expected, atol=1e-9)


def test_the_eigenfunction_map_is_the_nystrom_formula_for_the_kernel_of_lle(x64):
    x = np.random.default_rng(0).normal(size=(70, 3))
    out = jaxlle.lle(x[:60], 2, k=8)
    near = jaxlle.knn(x[:60], 8, query=x[60:])
    row = np.zeros((10, 60))
    weights = jaxlle.barycentric_weights(x[:60], near, query=x[60:])
    np.put_along_axis(row, np.asarray(near.indices), 4.0 * np.asarray(weights), axis=1)  # shift - 1 = 4
    expected = row @ np.asarray(out.points) / (5 - np.asarray(out.singular_values) ** 2)
    np.testing.assert_allclose(
        jaxlle.extension.eigenfunction_transform(x[60:], x[:60], out, k=8, shift=5.0), expected, atol=1e-10
    )
    far = jaxlle.extension.eigenfunction_transform(x[60:], x[:60], out, k=8, shift=1e12)
    np.testing.assert_allclose(far, jaxlle.transform(x[60:], x[:60], out.points, k=8), atol=1e-9)
    with pytest.raises(ValueError, match="shift = "):
        jaxlle.extension.eigenfunction_transform(x[60:], x[:60], out, k=8, shift=0.5)


@pytest.mark.slow
def test_kernel_maps_equal_the_published_regression(x64):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    made = jaxlle.extension.kernel_map(x, y, k=5)
    r = np.asarray(jaxlle.knn(x, 5).distances)[:, -1]

    def responses(a):
        k = np.exp(-(((a[:, None] - x[None]) ** 2).sum(-1)) / (2 * r**2))
        return k / k.sum(axis=1, keepdims=True)

    new = rng.normal(size=(6, 3))
    expected = responses(new) @ np.linalg.solve(responses(x), y)
    np.testing.assert_allclose(made.transform(new), expected, atol=1e-6)
    check_grads(lambda a: jnp.asarray(made.transform(a)), (jnp.asarray(new),), order=1, modes=["rev"])
    assert np.isfinite(made.transform(new + 1e6)).all()
    for bad in ({"width": 0}, {"num_landmarks": 41}, {"k": 40}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            jaxlle.extension.kernel_map(x, y, **bad)


@pytest.mark.slow
def test_large_integers_join_exactly_and_mixed_kinds_raise():
    rng = np.random.default_rng(0)
    x, new = rng.integers(-1000, 1000, (120, 3)), rng.integers(-900, 900, (10, 3))
    small = jaxlle.variants.incremental_lle(x.astype(np.float32), 2, k=8)
    large = jaxlle.variants.incremental_lle(x + 2**60, 2, k=8)
    small = jaxlle.variants.add_points(small, new.astype(np.float32))
    large = jaxlle.variants.add_points(large, new + 2**60)
    assert np.array_equal(small.points, large.points)
    with pytest.raises(ValueError, match="pass integers"):
        jaxlle.variants.add_points(large, new.astype(np.float32))
