"""Solvers and `embed`, compared with spectra in closed form, dense linear algebra, and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import Alignment
from jaxlle.embedding import DisconnectedGraphError
from jaxlle.metrics import subspace_angle
from jaxlle.solvers import DenseQR, SparseLU
from jaxlle.warnings import ConvergenceWarning, DisconnectedGraphWarning, GapWarning

SOLVERS = [DenseQR(), SparseLU()]


def grid(rows, columns, dtype=np.float64):
    """Return I minus the reflecting random walk on a grid: symmetric, with eigenvalues in closed form."""
    ids = np.arange(rows * columns).reshape(rows, columns)
    shifted = [
        np.pad(ids, 1, mode="edge")[1 + a : 1 + a + rows, 1 + b : 1 + b + columns]
        for a, b in ((0, 1), (0, -1), (1, 0), (-1, 0))
    ]
    indices = np.stack([ids, *shifted], axis=-1).reshape(-1, 5)
    blocks = np.tile([1.0, -0.25, -0.25, -0.25, -0.25], (rows * columns, 1))
    return Alignment(jnp.asarray(indices), jnp.asarray(blocks[:, None, :], dtype))


def grid_values(rows, columns):
    a, b = np.cos(np.pi * np.arange(rows) / rows), np.cos(np.pi * np.arange(columns) / columns)
    return np.sort((1 - (a[:, None] + b[None, :]) / 2).ravel())[1:]


def two_components(dtype=np.float32, gap=100.0):
    x = np.random.default_rng(0).normal(size=(150, 4)).astype(dtype)
    x[:50] += gap
    return x


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_spectrum_of_a_grid_matches_its_closed_form(x64, solver):
    alignment = grid(13, 9)
    out = jaxlle.embed(alignment, 4, solver=solver)
    np.testing.assert_allclose(out.singular_values, grid_values(13, 9)[:4], rtol=1e-9)
    expected = (grid_values(13, 9)[4] - grid_values(13, 9)[3]) / alignment.norm_bound()
    np.testing.assert_allclose(out.gap, expected, rtol=1e-6)
    assert (out.residuals < 1e-12).all()
    assert bool(out.converged)
    assert int(out.num_components) == 1
    first = np.cos(np.pi * (np.arange(13) + 0.5) / 13).repeat(9)
    assert subspace_angle(out.points[:, :1], jnp.asarray(first)[:, None]) < 1e-8


def test_the_dense_solver_finds_the_spectrum_of_a_grid_in_float32():
    out = jaxlle.embed(grid(13, 9, np.float32), 4, solver=DenseQR())
    np.testing.assert_allclose(out.singular_values, grid_values(13, 9)[:4], rtol=1e-4)


@pytest.mark.exhaustive_cases("20-0.1-solver0")
@pytest.mark.slow_cases("20-0.1-solver0", "8-0.001-solver0")
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("k", "reg"), [(8, 1e-3), (20, 1e-1)])
def test_the_subspace_matches_a_dense_svd(x64, solver, k, reg):
    x = np.random.default_rng(0).normal(size=(200, 5))
    alignment = jaxlle.lle_alignment(x, k=k, reg=reg)
    _, s, vt = np.linalg.svd(np.asarray(alignment.to_dense()))
    out = jaxlle.embed(alignment, 3, solver=solver)
    np.testing.assert_allclose(out.singular_values, s[::-1][1:4], rtol=1e-7)
    assert subspace_angle(out.points, jnp.asarray(vt[::-1][1:4].T)) < 1e-7


@pytest.mark.slow_cases("solver0")
@pytest.mark.parametrize("solver", SOLVERS)
def test_blocks_with_several_rows_match_a_dense_svd(x64, solver):
    rng = np.random.default_rng(0)
    indices = np.stack([rng.choice(90, 6, replace=False) for _ in range(90)])
    blocks = rng.normal(size=(90, 2, 6))
    alignment = Alignment(jnp.asarray(indices), jnp.asarray(blocks - blocks.mean(axis=2, keepdims=True)))
    _, s, vt = np.linalg.svd(np.asarray(alignment.to_dense()))
    out = jaxlle.embed(alignment, 2, solver=solver)
    np.testing.assert_allclose(out.singular_values, s[::-1][1:3], rtol=1e-7)
    assert subspace_angle(out.points, jnp.asarray(vt[::-1][1:3].T)) < 1e-6


@pytest.mark.slow
def test_nested_dissection_gives_the_same_result_with_smaller_factors(x64, monkeypatch):
    from scipy.sparse.linalg import splu

    from jaxlle.solvers import _factors, _ordering

    seen = []
    factor = _factors._factor
    record = lambda *args, **options: seen.append(args[:2]) or factor(*args, **options)  # noqa: E731
    monkeypatch.setattr(_factors, "_factor", record)
    x = np.random.default_rng(0).random((1200, 6))
    alignments = (jaxlle.lle_alignment(x, k=8), jaxlle.ltsa_alignment(x[:300], 2, k=10))
    ordered = [jaxlle.embed(a, 2, solver=SparseLU()) for a in alignments]
    monkeypatch.setattr(_ordering, "has_metis", lambda: False)
    plain = [jaxlle.embed(a, 2, solver=SparseLU()) for a in alignments]
    for one, other in zip(ordered, plain, strict=True):
        np.testing.assert_allclose(one.singular_values, other.singular_values, rtol=1e-8)
        assert subspace_angle(one.points, other.points) < 1e-7
    assert [order is None for _, order in seen] == [False, False, True, True]
    for matrix, order in seen[:2]:
        np.testing.assert_array_equal(np.sort(order), np.arange(matrix.shape[0]))
    matrix, order = seen[0]
    options = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    dissected = splu(matrix.tocsr()[order][:, order].tocsc(), permc_spec="NATURAL", **options)
    assert dissected.L.nnz < 0.9 * splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", **options).L.nnz


@pytest.mark.slow
def test_iterative_refinement_recovers_accuracy_without_another_factorization(x64, monkeypatch):
    from jaxlle.solvers import _factors

    x = np.random.default_rng(0).random((300, 3))
    exact, factor, factored = jaxlle.lle(x, 2, k=8, solver=SparseLU()), _factors._factor, []

    def rough(matrix, order, robust):
        solve, noise = factor(matrix, order, robust), 1e-7 * np.cos(np.arange(matrix.shape[0]))[:, None]
        factored.append(robust)

        def lossy(b, trans):
            y = solve(b, trans)
            return y * (1 + (noise if y.ndim == 2 else noise[:, 0]))

        return lossy

    monkeypatch.setattr(_factors, "_factor", rough)
    refined = jaxlle.lle(x, 2, k=8, solver=SparseLU())
    assert factored == [False]
    np.testing.assert_allclose(refined.singular_values, exact.singular_values, rtol=1e-8)
    assert subspace_angle(refined.points, exact.points) < 1e-7


@pytest.mark.exhaustive_cases("2-solver0", "5-solver0")
@pytest.mark.slow_cases("1-solver0", "2-solver0", "5-solver0", "9-solver0")
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dim", [1, 2, 5, 9])
def test_columns_are_orthonormal_centered_ordered_and_have_a_fixed_sign(cloud, solver, dim):
    out = jaxlle.lle(np.pad(cloud, ((0, 0), (0, 5))), dim, k=10, solver=solver)
    y = np.asarray(out.points)
    np.testing.assert_allclose(y.T @ y, np.eye(dim), atol=1e-4)
    np.testing.assert_allclose(y.sum(axis=0), 0, atol=1e-4)
    assert (np.diff(out.singular_values) >= 0).all()
    assert (y[np.abs(y).argmax(axis=0), np.arange(dim)] > 0).all()
    cost = np.linalg.norm(np.asarray(jaxlle.lle_alignment(cloud, k=10).matvec(out.points))) ** 2
    np.testing.assert_allclose(cost, (np.asarray(out.singular_values) ** 2).sum(), rtol=1e-3)


def test_points_have_the_requested_scaling(cloud):
    unit = jaxlle.lle(cloud, 2, k=10)
    roweis = jaxlle.lle(cloud, 2, k=10, options=jaxlle.EmbedOptions(scaling="covariance"))
    np.testing.assert_allclose(roweis.points, unit.points * np.sqrt(120), rtol=1e-4)
    np.testing.assert_allclose(roweis.points.T @ roweis.points / 120, np.eye(2), atol=1e-4)


@pytest.mark.slow
def test_the_same_key_reproduces_the_points_exactly_and_another_key_approximately(cloud):
    for solver in SOLVERS:
        a, b = (
            jaxlle.lle(cloud, 2, k=10, solver=solver, options=jaxlle.EmbedOptions(key=jax.random.key(7))).points
            for _ in range(2)
        )
        np.testing.assert_array_equal(a, b)
        other = jaxlle.lle(cloud, 2, k=10, solver=solver, options=jaxlle.EmbedOptions(key=jax.random.key(8))).points
        np.testing.assert_allclose(other, a, atol=1e-3)


@pytest.mark.slow_cases("solver0")
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_disconnected_graph_gives_a_warning_with_number_and_sizes_of_components(solver):
    x = two_components()
    with pytest.warns(DisconnectedGraphWarning, match="2 components of 100, 50 points"):
        out = jaxlle.lle(x, 2, k=8, solver=solver)
    assert int(out.num_components) == 2
    side = np.asarray(out.points[:, 0])
    assert np.ptp(side[:50]) < 1e-3 * np.ptp(side)
    assert np.isfinite(out.points).all()
    with pytest.raises(DisconnectedGraphError, match="2 components of 100, 50 points"):
        jaxlle.lle(x, 2, k=8, solver=solver, options=jaxlle.EmbedOptions(disconnected="error"))


@pytest.mark.slow_cases("solver0")
@pytest.mark.parametrize("solver", SOLVERS)
def test_components_are_embedded_as_if_given_separately(solver):
    x = two_components()
    alone = [jaxlle.lle(x[50:], 2, k=8, solver=solver), jaxlle.lle(x[:50], 2, k=8, solver=solver)]
    largest = jaxlle.lle(x, 2, k=8, solver=solver, options=jaxlle.EmbedOptions(disconnected="largest"))
    np.testing.assert_array_equal(largest.rows, np.arange(50, 150))
    parts = jaxlle.embedding.embed_components(jaxlle.lle_alignment(x, k=8), 2, solver=solver)
    assert [len(p.rows) for p in parts] == [100, 50]
    for found, expected in zip([largest, parts[1]], alone, strict=True):
        assert subspace_angle(found.points, expected.points) < 2e-3
        assert int(found.num_components) == 1


@pytest.mark.slow
def test_closed_classes_of_a_connected_graph_are_counted_by_both_solvers(x64):
    # Two rings without outgoing edges, and one point with a neighbor in each.
    rings = np.array([[10 * (i // 10) + (i + s) % 10 for s in (1, 9)] for i in range(20)])
    indices = np.concatenate([np.arange(21)[:, None], np.vstack([rings, [[0, 10]]])], axis=1)
    alignment = Alignment(jnp.asarray(indices), jnp.tile(jnp.array([[[1.0, -0.5, -0.5]]]), (21, 1, 1)))
    for solver in SOLVERS:
        with pytest.warns(DisconnectedGraphWarning, match="2 closed classes of 10, 10 points"):
            out = jaxlle.embed(alignment, 1, solver=solver)
        assert int(out.num_components) == 2
        assert out.singular_values[0] < 1e-12
        np.testing.assert_allclose(abs(out.points[20, 0]), 0, atol=1e-9)


@pytest.mark.filterwarnings("ignore::jaxlle.warnings.GapWarning")
def test_singular_values_below_rounding_error_are_not_counted_as_components():
    from helpers import swiss_roll

    x = jnp.asarray(swiss_roll(300), jnp.float32)
    out = jaxlle.lle(x, 2, k=12, reg=1e-6, solver=DenseQR())
    assert out.rounding_angle > np.deg2rad(0.1)  # the gap is too small for float32
    assert int(out.num_components) == 1
    assert int(jax.jit(lambda a: jaxlle.lle(a, 2, k=12, reg=1e-6))(x).num_components) == 1


@pytest.mark.slow
def test_the_number_of_components_is_returned_inside_jit():
    out = jax.jit(lambda a: jaxlle.lle(a, 2, k=8))(two_components())
    assert int(out.num_components) == 2
    assert out.solver == "DenseQR"


def test_a_gap_too_small_for_float32_gives_a_warning():
    from helpers import swiss_roll

    x = swiss_roll(500).astype(np.float32)
    with pytest.warns(GapWarning, match=r"too small for float32.*float64"):
        out = jaxlle.lle(x, 2, k=12, reg=1e-6)
    assert out.rounding_angle > np.deg2rad(0.1)


def test_missing_convergence_gives_a_warning_and_a_finite_result(cloud):
    for solver in (DenseQR(max_iterations=1, oversample=0), SparseLU(max_iterations=1, krylov=4, tol=1e-15)):
        with pytest.warns(ConvergenceWarning, match="did not converge"):
            out = jaxlle.lle(cloud, 2, k=10, solver=solver)
        assert not bool(out.converged)
        assert np.isfinite(out.points).all()


@pytest.mark.slow
def test_auto_reports_its_choice_and_chooses_no_dense_solver_for_many_points(cloud):
    assert jaxlle.lle(cloud, 2, k=10).solver == "SparseLU"
    assert jaxlle.lle(cloud[:40], 2, k=10).solver == "DenseQR"
    big = Alignment(jax.ShapeDtypeStruct((30_000, 4), np.int32), jax.ShapeDtypeStruct((30_000, 1, 4), np.float32))
    names = []
    jax.eval_shape(lambda a: names.append(type(jaxlle.solvers.choose(a, traced=True)).__name__), big)
    assert names == ["Landmark"]
    with pytest.raises(TypeError, match=r"use solvers.DenseQR"):
        jax.jit(lambda a: jaxlle.lle(a, 2, k=5, solver=SparseLU()).points)(cloud)


def test_solvers_are_hashable_and_equal_solvers_do_not_retrace(cloud):
    from jaxlle.solvers import dense

    assert DenseQR() == DenseQR()
    assert hash(SparseLU(tol=1e-8)) == hash(SparseLU(tol=1e-8))
    jaxlle.lle(cloud, 2, k=10, solver=DenseQR())
    before = dense._solve._cache_size()
    jaxlle.lle(cloud + 1, 2, k=10, solver=DenseQR(), reg=1e-2)
    assert dense._solve._cache_size() == before


@pytest.mark.slow
def test_the_maximum_number_of_columns_can_be_computed():
    x = np.random.default_rng(0).normal(size=(10, 9)).astype(np.float32)
    out = jaxlle.lle(x, 9, k=9, solver=DenseQR())
    assert out.points.shape == (10, 9)
    assert np.isinf(out.gap)


@pytest.mark.slow
def test_solvers_agree_for_extreme_weights(x64):
    from helpers import swiss_roll

    alignment = jaxlle.lle_alignment(swiss_roll(400), k=12, reg=1e-9)
    outs = [jaxlle.embed(alignment, 2, solver=s).points for s in SOLVERS]
    assert subspace_angle(*outs) < 1e-4


@pytest.mark.slow
def test_invalid_options_raise(cloud):
    alignment = jaxlle.lle_alignment(cloud, k=10)
    for bad in ({"scaling": "none"}, {"disconnected": "ignore"}, {"solver": "arpack"}):
        with pytest.raises((ValueError, TypeError), match=next(iter(bad))):
            jaxlle.embed(alignment, 2, **bad)
    for dim in (0, 120):
        with pytest.raises(ValueError, match=r"dim \(n_components\)"):
            jaxlle.embed(alignment, dim)
    with pytest.raises(ValueError, match="smallest component"):
        jaxlle.embedding.embed_components(jaxlle.lle_alignment(two_components()[40:], k=8), 12)
