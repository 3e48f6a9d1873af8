"""Derivatives of an embedding: against finite differences where the spectrum is degenerate, and against each other."""

import degenerate_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import swiss_roll

import jaxlle
from jaxlle import Alignment, losses
from jaxlle._core.host import on_host
from jaxlle.derivatives import ConjugateGradient, DenseInverse, SparseInverse, subspace, tangent_solver
from jaxlle.metrics import procrustes
from jaxlle.solvers import DenseQR, SparseLU

N, K = degenerate_cases.N, 10


def circle():
    return np.pad(degenerate_cases.circle(), ((0, 0), (0, 1)))


DATA = {
    "circle": (circle, 2),
    "sphere": (degenerate_cases.sphere, 3),
    "repeated points": (degenerate_cases.duplicates, 2),
}
MIX = np.random.default_rng(1).normal(size=(2, N, N))


def invariant(y):
    """A function of the Gram matrix, which is invariant to rotations of the rows."""
    gram = y @ y.T
    return jnp.sum(MIX[0] * gram) + jnp.sum(MIX[1] * gram**2)


def slope(f, x, along, h=1e-5):
    return (f(x + h * along) - f(x - h * along)) / (2 * h)


@pytest.mark.slow_cases("circle-solver1", "sphere-solver2")
@pytest.mark.parametrize(
    ("name", "solver"),
    [pytest.param("sphere", DenseQR(), marks=pytest.mark.slow), *((name, SparseLU()) for name in DATA)],
)
def test_the_gradient_of_an_embedding_agrees_with_finite_differences(x64, name, solver):
    make, dim = DATA[name]
    x = jnp.asarray(make())
    neighbors = jaxlle.knn(x, K)

    def f(x):
        return invariant(jaxlle.lle(x, dim, k=K, reg=1e-2, neighbors=neighbors, solver=solver).points)

    f, grad = (jax.jit(f), jax.jit(jax.grad(f))) if solver == DenseQR() else (f, jax.grad(f))
    along = jnp.asarray(np.random.default_rng(2).normal(size=x.shape))
    if name == "sphere":
        values = jaxlle.lle(x, 3, k=K, reg=1e-2).singular_values
        assert np.ptp(values) < 1e-9 * values[0]
    np.testing.assert_allclose(jnp.sum(grad(x) * along), slope(f, x, along), rtol=1e-6)
    if solver == SparseLU():  # outside jit in both modes
        np.testing.assert_allclose(jax.jvp(f, (x,), (along,))[1], jnp.sum(grad(x) * along), rtol=1e-8)


@pytest.mark.slow
def test_gradients_need_no_given_neighbors_and_have_no_nan_in_intermediate_results():
    x = jnp.asarray(degenerate_cases.duplicates(), jnp.float32)
    with jax.debug_nans(True):
        grad = jax.grad(lambda a: jnp.sum(jaxlle.lle(a, 2, k=K, reg=1e-2).points[:5] ** 4))(x)
    assert np.isfinite(grad).all()
    assert (grad != 0).any()


@pytest.fixture(scope="module")
def tall():
    """A ring of local maps with two rows each: a generic alignment whose bottom pair is well separated from the rest."""
    rng = np.random.default_rng(0)
    indices = (np.arange(N)[:, None] + np.arange(-2, 3)) % N
    pattern = np.array([[-1.0, 16, -30, 16, -1], [1, -8, 0, 8, -1]]) / 24
    noise = 0.02 * rng.normal(size=(N, 2, 5))
    return indices, pattern + noise - noise.mean(axis=2, keepdims=True)


@pytest.mark.slow
def test_every_linear_solver_gives_the_same_derivative(x64, tall):
    b = Alignment(*map(jnp.asarray, tall))
    out = jaxlle.embed(b, 2, solver=DenseQR())

    def f(blocks, linear):
        y = subspace(b._replace(blocks=blocks), out.singular_values, out.points, linear)[1]
        return invariant(y)

    grads = [jax.grad(f)(b.blocks, linear) for linear in (DenseInverse(), SparseInverse(), ConjugateGradient())]
    for grad in grads[1:]:
        np.testing.assert_allclose(grad, grads[0], rtol=1e-6, atol=1e-8 * abs(grads[0]).max())
    # Only changes whose rows sum to zero keep the constant a null vector.
    along = np.random.default_rng(2).normal(size=b.blocks.shape)
    along = jnp.asarray(along - along.mean(axis=2, keepdims=True))
    exact = slope(lambda a: invariant(jaxlle.embed(b._replace(blocks=a), 2).points), b.blocks, along)
    np.testing.assert_allclose(jnp.sum(grads[0] * along), exact, rtol=1e-6)


def test_the_second_derivative_agrees_with_finite_differences(x64, tall):
    b = Alignment(*map(jnp.asarray, tall))
    along = np.random.default_rng(2).normal(size=b.blocks.shape)
    along = jnp.asarray(along - along.mean(axis=2, keepdims=True))

    @jax.jit
    def grad(blocks):
        g = jax.grad(lambda a: invariant(jaxlle.embed(b._replace(blocks=a), 2).points))(blocks)
        return jnp.sum(g * along)

    second = jax.jit(lambda a: jax.jvp(grad, (a,), (along,))[1])(b.blocks)
    np.testing.assert_allclose(second, slope(grad, b.blocks, along), rtol=1e-5)


def test_each_solver_names_its_tangent_solver():
    assert tangent_solver(DenseQR()) == DenseInverse()
    assert tangent_solver(SparseLU(tol=1e-8)) == SparseInverse()
    assert tangent_solver(lambda alignment, count, key: None) == ConjugateGradient()


def test_a_fixed_gauge_makes_rotation_dependent_functions_differentiable(x64):
    x = jnp.asarray(circle())
    neighbors = jaxlle.knn(x, K)

    def f(x):
        y = jaxlle.lle(x, 2, k=K, reg=1e-2, neighbors=neighbors, solver=SparseLU()).points
        return jnp.sum(MIX[0][:, :2] * procrustes(y, x[:, :2]).aligned)

    along = jnp.asarray(np.random.default_rng(2).normal(size=x.shape))
    np.testing.assert_allclose(jnp.sum(jax.grad(f)(x) * along), slope(f, x, along), rtol=1e-5)


@pytest.mark.slow
def test_the_derivative_of_the_cost_is_that_of_the_spectral_loss(x64):
    b = jaxlle.lle_alignment(jnp.asarray(degenerate_cases.duplicates()), k=K, reg=1e-2)

    def cost(blocks):
        return jnp.sum(
            jaxlle.embed(
                b._replace(blocks=blocks), 2, options=jaxlle.EmbedOptions(scaling="covariance")
            ).singular_values
            ** 2
        )

    expected = jax.grad(lambda a: losses.spectral_loss(b._replace(blocks=a), 2))(b.blocks)
    np.testing.assert_allclose(jax.grad(cost)(b.blocks), expected, atol=1e-10)


@pytest.mark.slow
def test_float32_gradients_under_jit_and_vmap_agree_with_float64():
    rolls = np.stack([swiss_roll(N, seed) for seed in (0, 1)])
    ids = jnp.stack([jaxlle.knn(roll.astype(np.float32), K).indices for roll in rolls])

    def f(x, ids, solver):
        y = jaxlle.lle(x, 2, k=K, reg=1e-2, neighbors=jaxlle.Neighbors(ids, None), solver=solver).points
        return jnp.sum(MIX[0].astype(y.dtype) * (y @ y.T))

    many = jax.jit(jax.vmap(jax.grad(lambda x, ids: f(x, ids, DenseQR()))))(jnp.asarray(rolls, jnp.float32), ids)
    with jax.enable_x64(True):
        for roll, graph, single in zip(rolls, ids, many, strict=True):
            double = np.asarray(jax.grad(f)(jnp.asarray(roll), graph, SparseLU()))
            assert np.linalg.norm(single - double) < 0.01 * np.linalg.norm(double)


@pytest.mark.slow
def test_the_gradient_is_nan_where_no_derivative_exists(x64):
    x = jnp.asarray(circle())
    neighbors = jaxlle.knn(x, K)

    def f(x, dim):
        return invariant(jaxlle.lle(x, dim, k=K, reg=1e-2, neighbors=neighbors, solver=SparseLU()).points)

    with pytest.warns(jaxlle.warnings.GapWarning):
        grad = jax.grad(f)(x, 1)  # the cut separates a pair of equal singular values
    assert np.isnan(grad).any()
    with pytest.raises(TypeError, match="SparseLU runs on the host"):
        jax.jit(jax.grad(f), static_argnums=1)(x, 2)


@pytest.mark.slow
def test_a_disconnected_graph_has_a_derivative_where_the_cut_has_a_gap(x64):
    x = np.random.default_rng(0).normal(size=(N, 3))
    x[: N // 2] += 100
    b = jaxlle.lle_alignment(x, k=6, reg=1e-2)

    def f(blocks):
        with pytest.warns(jaxlle.warnings.DisconnectedGraphWarning):
            return invariant(jaxlle.embed(b._replace(blocks=blocks), 2, solver=SparseLU()).points)

    along = np.random.default_rng(2).normal(size=b.blocks.shape)
    along = jnp.asarray(along - along.mean(axis=2, keepdims=True))
    np.testing.assert_allclose(jnp.sum(jax.grad(f)(b.blocks) * along), slope(f, b.blocks, along), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_host_functions_receive_all_digits_on_any_thread_of_jax(dtype, x64):
    slow = jnp.full((800, 800), 1 / 800, dtype)
    # Not computed yet when the call is made, so that JAX calls back from another thread.
    pending = (slow @ slow @ slow)[:3, 0] * 800 / 3
    seen = []

    def double(x):
        seen.append(x.dtype)
        return 2.0 * x.astype(np.float64)

    doubled = jax.jit(lambda x: on_host(double, x))(pending)
    assert doubled.dtype == dtype
    assert seen == [jnp.dtype(dtype)]
    np.testing.assert_array_equal(doubled, 2 * np.asarray(pending))
    rows = jnp.stack([pending, -pending])
    np.testing.assert_array_equal(jax.vmap(lambda x: on_host(double, x))(rows), 2 * np.asarray(rows))


def test_float64_is_passed_to_the_host_as_bits(x64):
    # A thread of JAX may round float64 arguments to float32, depending on the time at which it calls back.
    traced = jax.make_jaxpr(lambda x: on_host(np.cos, x))(jnp.ones(3))
    (call,) = [eqn for eqn in traced.eqns if eqn.primitive.name == "pure_callback"]
    assert {v.aval.dtype for v in [*call.invars, *call.outvars]} == {jnp.dtype("uint32")}
