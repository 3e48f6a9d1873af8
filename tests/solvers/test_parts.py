"""The parts of the solvers, each against dense algebra or a closed form, on one device and on the shards of several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import Alignment
from jaxlle.alignment.operator import prepare_rows
from jaxlle.solvers import DenseQR, SparseLU, coarse, random_landmarks
from jaxlle.solvers._deflation import make_deflation
from jaxlle.solvers._factors import _to_scipy
from jaxlle.solvers._smoothing import Smoother, Smoothing, top_eigenvalue
from jaxlle.solvers.dense import bottom_vectors
from jaxlle.solvers.rows import Operator, Rows
from jaxlle.warnings import DisconnectedGraphWarning

N = 50


def random_alignment(n=N, r=1, m=7, seed=0):
    rng = np.random.default_rng(seed)
    blocks = rng.normal(size=(n, r, m))
    indices = np.stack([rng.choice(n, m, replace=False) for _ in range(n)])
    return Alignment(jnp.asarray(indices, jnp.int32), jnp.asarray(blocks - blocks.mean(axis=2, keepdims=True)))


@pytest.fixture
def operator(x64):
    alignment = random_alignment()
    return Operator(prepare_rows(alignment, N), Rows(N))


def normal(operator):
    b = np.asarray(operator.prepared.alignment.to_dense())
    return b.T @ b


@pytest.mark.parametrize("solver", [DenseQR(), SparseLU()])
@pytest.mark.parametrize("size", [4, 8])
def test_rings_in_several_components_have_their_indicators_as_null_vectors(solver, size):
    # The pivots of the null vectors are exactly zero, because no operation on these numbers is rounded.
    own = np.arange(3 * size)
    ids = np.stack([own // size * size + (own + s) % size for s in (0, 1, -1)], axis=1)
    alignment = Alignment(jnp.asarray(ids), jnp.tile(jnp.array([[[1.0, -0.5, -0.5]]]), (3 * size, 1, 1)))
    with pytest.warns(DisconnectedGraphWarning, match="3 components"):
        out = jaxlle.embed(alignment, 2, solver=solver)
    assert bool(out.converged)
    assert int(out.num_components) == 3
    np.testing.assert_allclose(out.singular_values, 0, atol=1e-6)
    np.testing.assert_allclose(out.gap, (1 - np.cos(2 * np.pi / size)) / alignment.norm_bound(), rtol=1e-2)
    within = np.asarray(out.points).reshape(3, size, 2)
    np.testing.assert_allclose(within - within[:, :1], 0, atol=1e-6)


@pytest.mark.slow_cases("1")
@pytest.mark.parametrize("sign", [1, -1])
def test_a_null_vector_of_either_sign_is_left_out(x64, sign):
    b = np.asarray(random_alignment().to_dense())
    values = np.linalg.svd(b)[1][::-1]
    out = bottom_vectors(
        jnp.asarray(b), jnp.full(N, sign * N**-0.5), jnp.asarray(1e-15), 3, jax.random.key(0), DenseQR()
    )
    np.testing.assert_allclose(out.singular_values, values[1:4], rtol=1e-9)
    np.testing.assert_allclose(out.vectors.sum(axis=0), 0, atol=1e-12)
    assert int(out.num_components) == 1
    assert bool(out.converged)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_null_vector_along_the_first_axis_is_left_out(x64, sign):
    b = np.array(random_alignment().to_dense())
    b[:, 0] = 0
    null = jnp.zeros(N).at[0].set(sign)
    out = bottom_vectors(jnp.asarray(b), null, jnp.asarray(1e-15), 3, jax.random.key(0), DenseQR())
    np.testing.assert_allclose(out.singular_values, np.linalg.svd(b[:, 1:])[1][::-1][:3], rtol=1e-9)
    np.testing.assert_allclose(out.vectors[0], 0, atol=1e-12)


@pytest.mark.slow
def test_landmarks_are_interpolated_by_themselves_and_other_points_by_barycentric_weights(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(N, 3)))
    found = coarse.interpolate(x, 20, 5, random_landmarks, jax.random.key(0), x.dtype, Rows(N))
    dense = np.zeros((N, 20))
    np.add.at(dense, (np.arange(N)[:, None], np.asarray(found.nearest)), np.asarray(found.weights))
    np.testing.assert_allclose(dense.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(dense[np.asarray(found.landmarks)], np.eye(20))
    others = np.setdiff1d(np.arange(N), found.landmarks)
    own = x[found.landmarks]
    near = jaxlle.knn(own, 5, query=x[others])
    np.testing.assert_array_equal(np.asarray(found.nearest)[others], near.indices)
    expected = jaxlle.barycentric_weights(own, near, query=x[others])
    np.testing.assert_allclose(np.asarray(found.weights)[others], expected, atol=1e-9)
    np.testing.assert_allclose(found.rows(jnp.asarray(40), 16), np.vstack([dense[40:], np.zeros((6, 20))]), atol=1e-12)
    b = np.asarray(random_alignment(r=2).to_dense())
    image = found.image(random_alignment(r=2), jnp.asarray(40), 16)
    np.testing.assert_allclose(image, np.vstack([(b @ dense)[80:], np.zeros((12, 20))]), atol=1e-12)


@pytest.mark.parametrize("r", [1, 2])
def test_the_coarse_operator_is_computed_in_blocks_and_panels(x64, monkeypatch, r):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(N, 3)))
    found = coarse.interpolate(x, 20, 5, random_landmarks, jax.random.key(0), x.dtype, Rows(N))
    alignment = random_alignment(r=r)
    image = np.asarray(alignment.to_dense()) @ np.asarray(found.rows(jnp.asarray(0), N))
    monkeypatch.setattr(coarse, "_PANEL", 7)
    monkeypatch.setattr(coarse, "_BLOCK_BYTES", 16 * r * 20 * 8)  # 16 of 50 points in a block
    np.testing.assert_allclose(coarse._coarse_operator(alignment, found), image.T @ image, atol=1e-10)


def test_the_default_number_of_landmarks_is_between_200_and_1000():
    assert [coarse.default_num_landmarks(n, 30) for n in (100, 6_000, 15_000, 30_000, 10**6)] == [
        200,
        200,
        500,
        1000,
        1000,
    ]


@pytest.mark.parametrize("degree", [1, 2, 5])
def test_the_smoothing_is_the_chebyshev_polynomial_in_closed_form(operator, degree):
    values, vectors = np.linalg.eigh(normal(operator))
    top, ratio = 1.1 * values[-1], 20.0
    middle, half = top * (1 + 1 / ratio) / 2, top * (1 - 1 / ratio) / 2
    some = [3, 20, 45]
    chebyshev = np.polynomial.Chebyshev.basis(degree)
    left = chebyshev((middle - values[some]) / half) / chebyshev(middle / half)  # 1 - t p(t)
    v = jnp.asarray(vectors[:, some])
    zero, first = jnp.zeros_like(v), v / middle
    smoothing = Smoothing(operator, jnp.asarray(top / ratio), jnp.asarray(top))
    np.testing.assert_allclose(smoothing.first_move(v), first, rtol=1e-12)
    z, rest, move = smoothing.advance((zero, v, first), 1, degree)
    np.testing.assert_allclose(z + move, vectors[:, some] * (1 - left) / values[some], atol=1e-9)
    np.testing.assert_allclose(rest, v - operator.gram(z), atol=1e-9)
    z, rest, move = smoothing.advance((zero, zero, v), 0, degree)  # the solution of M z = 0 from z = v
    np.testing.assert_allclose(z + move, vectors[:, some] * left, atol=1e-9)
    np.testing.assert_allclose(rest, -operator.gram(z), atol=1e-9)


@pytest.mark.slow
def test_damping_is_the_chebyshev_polynomial_over_half_of_the_ratio(operator):
    values, vectors = np.linalg.eigh(normal(operator))
    top, ratio = 1.1 * values[-1], 20.0
    smoother = Smoother(operator, *map(jnp.asarray, (top, ratio, 4, 1.0)))
    low = 2 * top / (1 + ratio)
    middle, half = (top + low) / 2, (top - low) / 2
    chebyshev = np.polynomial.Chebyshev.basis(6)
    left = chebyshev((middle - values) / half) / chebyshev(middle / half)
    np.testing.assert_allclose(smoother.damp(jnp.asarray(vectors), 1.5), vectors * left, atol=1e-9)


def test_the_estimate_of_the_largest_eigenvalue_is_an_upper_bound_with_a_small_margin(operator):
    top = np.linalg.eigvalsh(normal(operator))[-1]
    start = operator.rows.random_normal(jax.random.key(0), operator.prepared.alignment.blocks[:, 0, 0], 8)
    assert top <= float(top_eigenvalue(operator, start)) <= 1.25 * top


@pytest.mark.slow
def test_the_deflation_inverts_m_on_its_space(operator):
    smoother = Smoother(operator, *map(jnp.asarray, (1.1 * np.linalg.norm(normal(operator), 2), 20.0, 4, 1.0)))
    start = operator.rows.random_normal(jax.random.key(0), operator.prepared.alignment.blocks[:, 0, 0], 6)
    deflation = make_deflation(operator, smoother, start)
    np.testing.assert_allclose(deflation.correct(operator.gram(deflation.vectors)), deflation.vectors, atol=1e-9)


def test_the_sparse_solver_subtracts_the_rounding_errors_of_row_sums():
    alignment = random_alignment()
    single = alignment._replace(blocks=alignment.blocks.astype(jnp.float32) + 1e-6 * jnp.eye(7)[0])
    assert np.abs(_to_scipy(single) @ np.ones(N)).max() < 1e-14


SHARDS, SHARE = 4, 13  # 52 rows, of which the last two are padding


def shards(a):
    return jnp.pad(a, [(0, SHARDS * SHARE - len(a))] + [(0, 0)] * (a.ndim - 1)).reshape(SHARDS, SHARE, *a.shape[1:])


def on_shards(function, *arrays):
    """Apply a function of the shard on each of several devices, which are simulated by a batch dimension with a name."""
    return jax.vmap(function, axis_name="devices")(*map(shards, arrays))


def whole(parts):
    return np.concatenate(np.asarray(parts))[:N]


@pytest.mark.slow
def test_vectors_distributed_over_devices_give_the_results_of_one_device(x64):
    rng = np.random.default_rng(0)
    a, b = jnp.asarray(rng.normal(size=(N, 3))), jnp.asarray(rng.normal(size=(N, 2)))
    one, many = Rows(N), Rows(N, "devices")
    for found in on_shards(many.inner, a, b):
        np.testing.assert_allclose(found, a.T @ b, atol=1e-12)
    for found in on_shards(lambda part: many.all_max(jnp.abs(part).max()), a):
        np.testing.assert_allclose(found, jnp.abs(a).max())
    points = on_shards(lambda part: many.is_point(SHARE), a)
    np.testing.assert_array_equal(np.concatenate(points), np.arange(SHARDS * SHARE) < N)
    constant = np.concatenate(on_shards(many.constant, a))
    np.testing.assert_allclose(constant[:N], N**-0.5)
    np.testing.assert_array_equal(constant[N:], 0)
    np.testing.assert_allclose(whole(on_shards(many.centered, a)), a - a.mean(axis=0), atol=1e-12)
    basis = on_shards(many.orthonormal, a)
    np.testing.assert_allclose(abs(whole(basis).T @ one.orthonormal(a)), np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(np.concatenate(basis)[N:], 0)
    for triangle in on_shards(many.r_factor, a):
        np.testing.assert_allclose(triangle.T @ triangle, a.T @ a, atol=1e-12)
    draw = lambda rows: lambda part: rows.random_normal(jax.random.key(0), part[:, 0], 4)  # noqa: E731
    assert np.linalg.matrix_rank(whole(on_shards(draw(many), a))) == 4
    np.testing.assert_array_equal(np.concatenate(on_shards(draw(many), a))[N:], 0)


@pytest.mark.slow_cases("1")
@pytest.mark.parametrize("r", [1, 3])
def test_an_operator_distributed_over_devices_gives_the_products_of_one_device(x64, r):
    rng = np.random.default_rng(0)
    alignment, y = random_alignment(r=r), jnp.asarray(rng.normal(size=(N, 2)))
    b = np.asarray(alignment.to_dense())

    def local(indices, blocks, part):
        own = Operator(prepare_rows(Alignment(indices, blocks), SHARDS * SHARE), Rows(N, "devices"))
        space = own.rows.orthonormal(part)
        return own.gram(part), own.norm_bound(), own.ritz(space)[1]

    gram, bounds, values = on_shards(local, *alignment, y)
    np.testing.assert_allclose(whole(gram), b.T @ (b @ y), atol=1e-10)
    np.testing.assert_allclose(bounds, alignment.norm_bound(), rtol=1e-12)
    size = np.abs(b)
    np.testing.assert_allclose(bounds[0], np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max()), rtol=1e-12)
    basis = np.linalg.qr(y - y.mean(axis=0))[0]
    np.testing.assert_allclose(values[0], np.linalg.svd(b @ basis, compute_uv=False)[::-1], rtol=1e-9)
