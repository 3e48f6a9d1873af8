"""Barycentric weights: scikit-learn, constrained least squares in NumPy, invariances, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import indices_out_of_range
from jax.test_util import check_grads
from sklearn.manifold._locally_linear import barycenter_weights

import jaxlle
from jaxlle import Neighbors, regularizers
from jaxlle._core.linear import solve_positive


def points(n=60, d=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def problem(i, x, ids, ridge):
    """Solve the constrained least squares problem of one point by its KKT system in float64."""
    x = x.astype(np.float64)
    z = x[ids] - x[i]
    k = len(ids)
    kkt = np.block([[z @ z.T + ridge(z @ z.T) * np.eye(k), np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
    return np.linalg.solve(kkt, np.append(np.zeros(k), 1))[:k]


@pytest.mark.slow_cases("0.001-30-8", "0.001-64-32", "0.001-64-33")
@pytest.mark.parametrize(("d", "k"), [(3, 8), (30, 8), (64, 32), (64, 33)])
@pytest.mark.parametrize("reg", [1e-3, 1e-1])
def test_weights_match_scikit_learn(d, k, reg):
    x = points(d=d)
    neighbors = jaxlle.knn(x, k)
    expected = barycenter_weights(x.astype(np.float64), x.astype(np.float64), np.asarray(neighbors.indices), reg=reg)
    np.testing.assert_allclose(jaxlle.barycentric_weights(x, neighbors, reg=reg), expected, atol=2e-4)


@pytest.mark.slow_cases("regularizer0-<lambda>", "regularizer1-<lambda>", "regularizer3-<lambda>")
@pytest.mark.parametrize(
    ("regularizer", "ridge"),
    [
        (regularizers.TraceRidge(0.01), lambda g: 0.01 * np.trace(g)),
        (regularizers.MeanTraceRidge(0.01), lambda g: 0.01 * np.trace(g) / len(g)),
        (regularizers.AbsoluteRidge(0.01), lambda g: 0.01),
        (regularizers.NoRidge(), lambda g: 0),
    ],
)
def test_every_regularizer_solves_its_constrained_least_squares_problem(x64, regularizer, ridge):
    x = 3 * points(d=9).astype(np.float64)
    neighbors = jaxlle.knn(x, 6)
    out = jaxlle.barycentric_weights(x, neighbors, reg=regularizer)
    for i in range(0, 60, 7):
        np.testing.assert_allclose(out[i], problem(i, x, np.asarray(neighbors.indices)[i], ridge), rtol=1e-9)


def test_uncentered_ridge_regression_solves_the_normal_equations_and_normalizes(x64):
    x = points().astype(np.float64)
    neighbors = jaxlle.knn(x, 4)
    out = jaxlle.weights.ridge_regression_weights(x, neighbors, reg=0.01)
    around = x[np.asarray(neighbors.indices)[5]]
    gram = around @ around.T
    expected = np.linalg.solve(gram + 0.01 * np.trace(gram) * np.eye(4), around @ x[5])
    np.testing.assert_allclose(out[5], expected / expected.sum(), rtol=1e-9)


@pytest.mark.slow
def test_kernel_and_distance_and_gram_weights_agree_with_coordinates(x64):
    x = points().astype(np.float64)
    neighbors = jaxlle.knn(x, 8)
    expected = jaxlle.barycentric_weights(x, neighbors)
    far = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    z = x[np.asarray(neighbors.indices)] - x[:, None]
    gram = jnp.asarray(z @ z.transpose(0, 2, 1))
    np.testing.assert_allclose(jaxlle.weights.kernel_weights(x, neighbors, jnp.dot), expected, atol=1e-10)
    np.testing.assert_allclose(jaxlle.weights.distance_weights(far, neighbors), expected, atol=1e-10)
    np.testing.assert_allclose(jaxlle.weights.gram_weights(gram), expected, atol=1e-10)


def test_weights_are_invariant_to_translation_rotation_and_scaling():
    x = points()
    neighbors = jaxlle.knn(x, 8)
    rotation = np.linalg.qr(points(5, 5, seed=1))[0]
    base = jaxlle.barycentric_weights(x, neighbors)
    np.testing.assert_allclose(jaxlle.barycentric_weights(x @ rotation, neighbors), base, atol=1e-4)
    np.testing.assert_allclose(jaxlle.barycentric_weights(1e-15 * x, neighbors), base, atol=1e-4)
    np.testing.assert_allclose(jaxlle.barycentric_weights(x + 100, neighbors), base, atol=1e-3)


def test_weights_of_a_tight_distant_cluster_are_accurate():
    x = points()
    neighbors = jaxlle.knn(x, 4)
    base = jaxlle.barycentric_weights(x, neighbors)
    pair = np.concatenate([1e-3 * x, 1e-3 * x + 1]) - np.float32(0.5)
    ids = jnp.concatenate([neighbors.indices, neighbors.indices + 60])
    both = jaxlle.barycentric_weights(1e-25 * pair, Neighbors(ids, None))
    np.testing.assert_allclose(both[:60], base, atol=5e-3)
    np.testing.assert_allclose(both[60:], base, atol=5e-3)


@pytest.mark.slow
def test_weights_of_tiny_neighborhoods_and_distant_queries_are_accurate():
    x = points()
    neighbors = jaxlle.knn(x, 4)
    base = jaxlle.barycentric_weights(x, neighbors)
    wide = np.concatenate([1e-28 * x, np.ones((1, 5)), -np.ones((1, 5))]).astype(np.float32)
    tiny = jaxlle.barycentric_weights(wide, neighbors, query=wide[:60])
    np.testing.assert_allclose(tiny, base, atol=1e-4)
    query = np.concatenate([x, 1e15 * x[:1], np.full((1, 5), np.nan)]).astype(np.float32)
    ids = jnp.concatenate([neighbors.indices, neighbors.indices[:2]])
    out = jax.jit(lambda q: jaxlle.barycentric_weights(x, Neighbors(ids, None), query=q))(query)
    np.testing.assert_allclose(out[:60], base, atol=1e-4)
    np.testing.assert_allclose(out[60], 0.25, atol=1e-3)  # at this distance only the ridge determines the weights
    assert np.isnan(out[61]).all()


@pytest.mark.slow_cases("1e-20")
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
def test_small_cotangents_do_not_underflow_in_the_backward_pass(size):
    x, coefficients = points().astype(np.float32), np.random.default_rng(1).normal(size=(60, 4))
    neighbors = jaxlle.knn(x, 4)

    def gradient(x, factor, scale):
        def loss(x):
            return (
                factor
                * (jaxlle.barycentric_weights(scale * x, neighbors, reg=0.1) * coefficients.astype(x.dtype)).sum()
            )

        return jax.grad(loss)(x)

    with jax.enable_x64(True):
        expected = np.asarray(gradient(jnp.asarray(x, jnp.float64), 1.0, 1.0))
    out = np.asarray(gradient(jnp.asarray(x), np.float32(1e-12), np.float32(size)))
    np.testing.assert_allclose(1e12 * out, expected, atol=1e-4 * np.abs(expected).max())


def test_masked_neighbors_get_zero_weight_and_have_no_effect():
    x = points()
    wide, narrow = jaxlle.knn(x, 8), jaxlle.knn(x, 5)
    mask = jnp.broadcast_to(jnp.arange(8) < 5, (60, 8)).at[-1].set(False)
    out = jaxlle.barycentric_weights(x, wide._replace(mask=mask))
    np.testing.assert_allclose(out[:-1, :5], jaxlle.barycentric_weights(x, narrow)[:-1], atol=1e-3)
    assert (out[:, 5:] == 0).all()
    assert (out[-1] == 0).all()


def test_blocks_do_not_change_the_weights():
    x = points(d=40)
    neighbors = jaxlle.knn(x, 8)
    blocked = jaxlle.barycentric_weights(x, neighbors, block_bytes=20_000)
    np.testing.assert_allclose(blocked, jaxlle.barycentric_weights(x, neighbors), atol=1e-6)


def test_memory_is_less_than_n_by_k_by_d():
    from jaxlle.weights.barycentric import solve_points

    n, k, d = 20_000, 12, 100
    x = jax.ShapeDtypeStruct((n, d), np.float32)
    neighbors = Neighbors(jax.ShapeDtypeStruct((n, k), np.int32), None)
    analysis = solve_points.lower(x, x, neighbors, regularizers.TraceRidge(1e-3), 1.0).compile().memory_analysis()
    assert analysis.temp_size_in_bytes < n * k * d * 4 / 3


@pytest.mark.slow_cases("AbsoluteRidge")
@pytest.mark.parametrize("regularizer", [regularizers.TraceRidge, regularizers.AbsoluteRidge])
def test_the_derivative_matches_finite_differences(x64, regularizer):
    x = jnp.asarray(points(12, 3).astype(np.float64))
    neighbors = jax.tree.map(jax.lax.stop_gradient, jaxlle.knn(x, 5))

    @jax.jit
    def weights(x, reg):
        return jaxlle.barycentric_weights(x, neighbors, reg=regularizer(reg))

    check_grads(weights, (x, 0.1), order=1)
    check_grads(weights, (x, 0.1), order=2, modes=["rev"], rtol=1e-3, atol=1e-3)


def test_the_derivative_matches_the_closed_form(x64):
    # ubar = (g - (g.w) 1) / s, v = C^-1 ubar, Cbar = -(v u^T + u v^T) / 2, with u = C^-1 1, s = sum u.
    rng = np.random.default_rng(0)
    a = rng.normal(size=(6, 6))
    c, g = jnp.asarray(a @ a.T + np.eye(6)), rng.normal(size=6)

    def weights(c):
        u = solve_positive(c, jnp.ones(6))
        return u / u.sum()

    u = np.linalg.solve(c, np.ones(6))
    s, w = u.sum(), u / u.sum()
    v = np.linalg.solve(c, (g - (g @ w)) / s)
    cbar = jax.vjp(weights, c)[1](jnp.asarray(g))[0]
    np.testing.assert_allclose((cbar + cbar.T) / 2, -(np.outer(v, u) + np.outer(u, v)) / 2, atol=1e-12)


@pytest.mark.slow
def test_gradients_are_finite_where_points_coincide():
    x = points()
    x[1:30] = x[0]
    neighbors = jaxlle.knn(x, 6)
    with jax.debug_nans(True):
        grad = jax.grad(lambda a: jaxlle.barycentric_weights(a, neighbors)[:, 0].sum())(jnp.asarray(x))
    assert jnp.isfinite(grad).all()
    np.testing.assert_allclose(jaxlle.barycentric_weights(x, neighbors)[5], 1 / 6, atol=1e-6)


@pytest.mark.slow
def test_weights_can_be_vmapped_over_reg():
    x = jnp.asarray(points())
    neighbors = jaxlle.knn(x, 8)
    regs = jnp.array([1e-3, 1e-2, 1e-1])
    many = jax.vmap(lambda r: jaxlle.barycentric_weights(x, neighbors, reg=r))(regs)
    for one, r in zip(many, regs, strict=True):
        np.testing.assert_allclose(one, jaxlle.barycentric_weights(x, neighbors, reg=float(r)), atol=1e-5)


def test_another_reg_does_not_retrace():
    from jaxlle.weights.barycentric import solve_points

    x = points()
    neighbors = jaxlle.knn(x, 8)
    jaxlle.barycentric_weights(x, neighbors, reg=1e-3)
    before = solve_points._cache_size()
    jaxlle.barycentric_weights(x, neighbors, reg=1e-2)
    assert solve_points._cache_size() == before


@pytest.mark.slow_cases("1", "33", "5")
@pytest.mark.parametrize("k", [1, 5, 32, 33])
def test_small_systems_match_numpy(x64, k):
    a = np.random.default_rng(k).normal(size=(7, k, k))
    c, b = a @ a.transpose(0, 2, 1) + 0.1 * np.eye(k), np.random.default_rng(1).normal(size=(7, k))
    out = jax.vmap(solve_positive)(jnp.asarray(c), jnp.asarray(b))
    np.testing.assert_allclose(out, np.linalg.solve(c, b[..., None])[..., 0], rtol=1e-9)


def test_the_local_condition_matches_numpy(x64):
    x = points().astype(np.float64)
    neighbors = jaxlle.knn(x, 8)
    z = x[np.asarray(neighbors.indices)[3]] - x[3]
    g = z @ z.T
    expected = np.linalg.cond(g + 1e-3 * np.trace(g) * np.eye(8))
    np.testing.assert_allclose(jaxlle.weights.local_condition(x, neighbors, reg=1e-3)[3], expected, rtol=1e-6)


@pytest.mark.slow
def test_invalid_arguments_of_barycentric_weights_raise():
    x = points()
    neighbors = jaxlle.knn(x, 8)
    with pytest.raises(ValueError, match="reg = 0 with k = 8 neighbors in 5 dimensions"):
        jaxlle.barycentric_weights(x, neighbors, reg=0.0)
    with pytest.raises(ValueError, match="singular"):
        jaxlle.barycentric_weights(x, neighbors, reg=regularizers.NoRidge())
    for bad in (-1e-3, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="one finite number >= 0"):
            jaxlle.barycentric_weights(x, neighbors, reg=bad)
    with pytest.raises(ValueError, match="clamp"):
        jaxlle.barycentric_weights(x[:40], Neighbors(neighbors.indices[:40].at[0, 0].set(55), None))
    with pytest.raises(ValueError, match="one neighborhood per point"):
        jaxlle.barycentric_weights(x[:40], neighbors)
    with pytest.raises(ValueError, match="not positive definite"):
        jaxlle.weights.kernel_weights(x, neighbors, lambda a, b: -jnp.dot(a, b))


@pytest.mark.slow
def test_the_local_condition_validates_indices_and_reg(cloud):
    neighbors = jaxlle.knn(cloud, 8)
    for indices in indices_out_of_range(neighbors):
        with pytest.raises(ValueError, match="holds indices from"):
            jaxlle.weights.local_condition(cloud, jaxlle.Neighbors(indices, None))
    with pytest.raises(ValueError, match="has 119 rows"):
        jaxlle.weights.local_condition(cloud, jaxlle.Neighbors(neighbors.indices[1:], None))
    for reg in (-1e-3, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"reg = .* is not allowed"):
            jaxlle.weights.local_condition(cloud, neighbors, reg=reg)
    assert (jaxlle.weights.local_condition(cloud, neighbors, reg=0) > 1e5).all()  # 8 neighbors in 5 dimensions
