"""Propagated targets: comparison with dense least squares, limits, invariances, derivatives, and invalid arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxlle
from jaxlle import JaxlleWarning
from jaxlle.derivatives import ConjugateGradient, DenseInverse, SparseInverse
from jaxlle.embedding import DisconnectedGraphError
from jaxlle.metrics import affine_residual
from jaxlle.semisupervised import propagate, propagation

N, M = 80, 9
KNOWN = np.random.default_rng(1).choice(N, M, replace=False)
PLACES = np.random.default_rng(2).normal(size=(M, 2))
TRUST = np.random.default_rng(3).uniform(0.01, 2, M)
LINEAR = [DenseInverse(), SparseInverse(), ConjugateGradient()]


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(N, 3))


def semisupervised_lle(x, known, targets, *, k, trust=None, neighbors=None):
    return propagate(jaxlle.lle_alignment(x, k=k, neighbors=neighbors), known, targets, trust=trust)


def alignments(x):
    return {"lle": jaxlle.lle_alignment(x, k=8), "ltsa": jaxlle.ltsa_alignment(x, 2, k=8)}


def oracle(alignment, known, places, trust=None):
    """Solve by NumPy's least squares, with the known columns on the right-hand side or as additional rows."""
    b = np.asarray(alignment.to_dense(), np.float64)
    n = b.shape[1]
    if trust is None:
        others, y = np.setdiff1d(np.arange(n), known), np.zeros((n, places.shape[1]))
        y[known] = places
        y[others] = np.linalg.lstsq(b[:, others], -b[:, known] @ places, rcond=None)[0]
        return y
    rows = np.sqrt(np.broadcast_to(trust, len(known)))[:, None]
    stacked = np.concatenate([b, rows * np.eye(n)[known]])
    return np.linalg.lstsq(stacked, np.concatenate([np.zeros((b.shape[0], 2)), rows * places]), rcond=None)[0]


@pytest.mark.slow_cases("lle-linear0", "lle-linear2")
@pytest.mark.parametrize(
    ("name", "linear"),
    [
        ("lle", DenseInverse()),
        ("ltsa", SparseInverse()),
        ("lle", ConjugateGradient()),
        pytest.param("ltsa", DenseInverse(), marks=pytest.mark.slow),
        pytest.param("lle", SparseInverse(), marks=pytest.mark.slow),
        pytest.param("ltsa", ConjugateGradient(), marks=pytest.mark.slow),
    ],
)
def test_targets_equal_those_of_dense_least_squares(x64, cloud, name, linear):
    alignment = alignments(cloud)[name]
    b = np.asarray(alignment.to_dense())
    for trust in (None, 0.05, TRUST):
        out = propagate(alignment, KNOWN, PLACES, trust=trust, solver=linear)
        y = oracle(alignment, KNOWN, PLACES, trust)
        np.testing.assert_allclose(out.targets, y, atol=1e-9)
        np.testing.assert_allclose(out.costs, np.sum((b @ y) ** 2, axis=0), rtol=1e-8)
        np.testing.assert_allclose(out.misfit, np.linalg.norm(y[KNOWN] - PLACES, axis=1), atol=1e-9)
        np.testing.assert_allclose(out.pull, np.linalg.norm((b.T @ (b @ y))[KNOWN], axis=1), atol=1e-9)
        assert bool(out.converged)
        assert out.error < 1e-9
        assert out.solver == type(linear).__name__
    others = np.setdiff1d(np.arange(N), KNOWN)
    exact = propagate(alignment, KNOWN, PLACES, solver=linear)
    smallest = np.linalg.svd(b[:, others], compute_uv=False)[-1] / float(alignment.norm_bound())
    assert smallest * 0.99 < exact.gap < 1.5 * smallest  # estimated from above by a few iterations
    np.testing.assert_array_equal(exact.targets[KNOWN], PLACES)


@pytest.mark.slow_cases("linear0")
@pytest.mark.parametrize("linear", LINEAR)
def test_results_in_float32_are_close_to_the_oracle_and_keep_their_dtype(cloud, linear):
    alignment = jaxlle.lle_alignment(cloud.astype(np.float32), k=8)
    for trust in (None, 0.05):
        out = propagate(alignment, KNOWN, PLACES.astype(np.float32), trust=trust, solver=linear)
        assert out.targets.dtype == jnp.float32
        assert bool(out.converged)
        np.testing.assert_allclose(out.targets, oracle(alignment, KNOWN, PLACES, trust), atol=2e-4)


def test_high_trust_approaches_the_exact_solution_and_low_trust_the_mean(x64, cloud):
    alignment = jaxlle.lle_alignment(cloud, k=8)
    exact = propagate(alignment, KNOWN, PLACES).targets
    for linear in LINEAR:
        tight = propagate(alignment, KNOWN, PLACES, trust=1e9, solver=linear)
        np.testing.assert_allclose(tight.targets, exact, atol=1e-7)
    loose = propagate(alignment, KNOWN, PLACES, trust=1e-11, solver=DenseInverse()).targets
    np.testing.assert_allclose(loose, np.broadcast_to(PLACES.mean(axis=0), (N, 2)), atol=1e-4)


def test_an_affine_map_of_the_places_is_applied_to_all_points(x64, cloud):
    turn, shift = np.array([[0.6, -0.8], [0.8, 0.6]]), np.array([1e6, -3.0])
    for trust in (None, TRUST):
        plain = semisupervised_lle(cloud, KNOWN, PLACES, k=8, trust=trust).targets
        moved = semisupervised_lle(cloud, KNOWN, 1e3 * PLACES @ turn + shift, k=8, trust=trust).targets
        np.testing.assert_allclose(moved, 1e3 * plain @ turn + shift, atol=1e-6)
        order = np.random.default_rng(5).permutation(M)
        weights = trust if trust is None else trust[order]
        same = semisupervised_lle(cloud, KNOWN[order], PLACES[order], k=8, trust=weights).targets
        np.testing.assert_allclose(same, plain, atol=1e-9)


@pytest.mark.slow_cases("ltsa_alignment")
@pytest.mark.parametrize("align", [jaxlle.ltsa_alignment, jaxlle.hessian_alignment])
def test_an_affine_map_of_a_flat_sheet_is_recovered_exactly_from_three_points(x64, align):
    flat = np.random.default_rng(0).uniform(size=(N, 2))
    x = flat @ np.random.default_rng(1).normal(size=(2, 4))
    truth = flat @ np.array([[1.0, 2.0], [-1.0, 3.0]]) + 5
    known = np.array([3, 40, 71])
    out = propagate(align(x, 2, k=9), known, truth[known])
    np.testing.assert_allclose(out.targets, truth, atol=1e-8)
    for linear in (DenseInverse(), SparseInverse()):
        with (
            pytest.warns(JaxlleWarning, match=r"1 of 1 components .* no more than 2 known points"),
            pytest.raises(ValueError, match="do not determine the others"),
        ):
            propagate(align(x, 2, k=9), known[:2], truth[known[:2]], solver=linear)


@pytest.mark.slow
def test_twenty_known_places_unroll_a_swiss_roll_and_the_pull_identifies_a_wrong_one(x64):
    roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 1000)
    truth = np.asarray(roll.parameters)
    known = np.random.default_rng(1).choice(1000, 20, replace=False)
    out = semisupervised_lle(roll.points, known, truth[known], k=12)
    off = np.linalg.norm(out.targets - truth) / np.linalg.norm(truth - truth.mean(axis=0))
    assert off < 0.03
    plain = affine_residual(truth, jaxlle.lle(roll.points, 2, k=12))
    assert plain > 0.1
    assert affine_residual(truth, out.targets) < plain / 50
    wrong = truth[known].copy()
    wrong[7] += 0.2 * np.ptp(truth, axis=0)
    with_error = semisupervised_lle(roll.points, known, wrong, k=12)
    assert np.argmax(with_error.pull) == 7


def generic(n):
    """Return the indices and random blocks of three rows of a ring graph."""
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(n, 3, 5))
    return (np.arange(n)[:, None] + np.arange(-2, 3)) % n, blocks - blocks.mean(axis=2, keepdims=True)


@pytest.mark.parametrize("linear", [DenseInverse(), pytest.param(ConjugateGradient(), marks=pytest.mark.slow)])
def test_derivatives_inside_jit_match_finite_differences(x64, linear):
    indices, blocks = map(jnp.asarray, generic(24))
    mix, known = np.random.default_rng(1).normal(size=(24, 2)), np.array([1, 8, 15, 20])

    @jax.jit
    def loss(blocks, places, trust):
        alignment = jaxlle.Alignment(indices, blocks)
        exact = propagate(alignment, known, places, solver=linear)
        loose = propagate(alignment, known, places, trust=trust, solver=linear)
        return jnp.sum(mix * (exact.targets**2 + loose.targets)) + jnp.sum(loose.misfit * exact.pull) + exact.costs[0]

    values = blocks, jnp.asarray(PLACES[:4]), jnp.asarray(TRUST[:4])
    check_grads(loss, values, order=1, modes=["rev"], eps=1e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_derivatives_on_the_host_match_finite_differences(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(24, 3)))
    neighbors, known = jaxlle.knn(x, 6), np.array([1, 8, 15, 20])
    mix = np.random.default_rng(1).normal(size=(24, 2))

    def loss(x, places, trust):
        alignment = jaxlle.lle_alignment(x, k=6, reg=0.1, neighbors=neighbors)
        exact = propagate(alignment, known, places, solver=SparseInverse())
        loose = propagate(alignment, known, places, trust=trust, solver=SparseInverse())
        return jnp.sum(mix * (exact.targets**2 + loose.targets))

    values = x, jnp.asarray(PLACES[:4]), jnp.asarray(TRUST[:4])
    check_grads(loss, values, order=1, modes=["rev"], eps=1e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_second_derivatives_match_finite_differences(x64):
    indices, blocks = map(jnp.asarray, generic(24))
    known = np.array([1, 8, 15, 20])

    @jax.jit
    def loss(blocks, places, trust):
        alignment = jaxlle.Alignment(indices, blocks)
        return jnp.sum(propagate(alignment, known, places, trust=trust).targets ** 3)

    values = blocks, jnp.asarray(PLACES[:4]), jnp.asarray(0.3)
    check_grads(loss, values, order=2, modes=["rev"], eps=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_propagate_runs_under_jit_and_vmap_and_traces_once(cloud):
    alignment = jaxlle.lle_alignment(jnp.asarray(cloud, jnp.float32), k=8)
    traces = []

    @jax.jit
    @jax.vmap
    def fit(known, places, trust):
        traces.append(1)
        return propagate(alignment, known, places, trust=trust)

    known = jnp.stack([jnp.asarray(KNOWN), jnp.arange(M)]).astype(jnp.int32)
    places = jnp.asarray(np.stack([PLACES, PLACES[::-1]]), jnp.float32)
    many = fit(known, places, jnp.array([0.1, 1.0]))
    fit(known, places + 1, jnp.array([0.2, 2.0]))
    assert len(traces) == 1
    assert many.solver == "DenseInverse"
    assert many.converged.all()
    for one, ids, p, trust in zip(many.targets, known, places, (0.1, 1.0), strict=True):
        np.testing.assert_allclose(one, oracle(alignment, np.asarray(ids), np.asarray(p), trust), atol=1e-3)


def test_too_few_iterations_give_a_warning(cloud):
    alignment = jaxlle.lle_alignment(cloud.astype(np.float32), k=8)
    with pytest.warns(jaxlle.warnings.ConvergenceWarning, match="ConjugateGradient left a relative error"):
        out = propagate(alignment, KNOWN, PLACES.astype(np.float32), solver=ConjugateGradient(5))
    assert not bool(out.converged)


def test_auto_tries_conjugate_gradients_first_where_sparse_factors_would_be_dense(cloud, monkeypatch):
    alignment = jaxlle.lle_alignment(cloud.astype(np.float32), k=8)
    places = PLACES.astype(np.float32)
    sparse = choose_sparse(alignment, places, monkeypatch, width=1e9)
    iterative = choose_sparse(alignment, places, monkeypatch, width=0)
    assert (sparse.solver, iterative.solver) == ("SparseInverse", "ConjugateGradient")
    np.testing.assert_allclose(iterative.targets, sparse.targets, atol=1e-4)
    problem = propagation.prepare_problem(alignment, KNOWN, places, None, SparseInverse())
    problem = problem._replace(linear=(ConjugateGradient(2), SparseInverse()))
    again = propagation.solve_problem(problem)
    assert again.solver == "SparseInverse"
    np.testing.assert_array_equal(again.targets, sparse.targets)


def choose_sparse(alignment, places, monkeypatch, width):
    monkeypatch.setattr(propagation, "_MAX_WIDTH", width)
    monkeypatch.setattr(propagation, "choose", lambda *_: jaxlle.solvers.SparseLU())
    return propagate(alignment, KNOWN, places)


def test_components_without_a_known_point_raise(cloud):
    x = cloud.astype(np.float32)
    x[50:] += 100
    places = PLACES[:4].astype(np.float32)
    with pytest.raises(
        DisconnectedGraphError, match=r"1 of 2 components .* no known point, such as that of point 50 \(30"
    ):
        semisupervised_lle(x, [1, 2, 3, 4], places, k=6)
    with pytest.warns(JaxlleWarning, match=r"1 of 2 components .* one of 30 points with 1"):
        out = semisupervised_lle(x, [1, 2, 3, 60], places, k=6)
    np.testing.assert_allclose(out.targets[50:], np.broadcast_to(places[3], (30, 2)), atol=1e-3)
    # A point between two clusters has neighbors in both: one component, in which only the clusters need known points.
    between = np.concatenate([x, [[0.45, 50, 50]]]).astype(np.float32)
    graph = jaxlle.knn(between, 6)
    graph = graph._replace(indices=graph.indices.at[80].set(jnp.array([0, 1, 2, 50, 51, 52])), distances=None)
    with pytest.raises(DisconnectedGraphError, match=r"1 closed classes .* no known point"):
        semisupervised_lle(between, [1, 2, 3, 80], places, k=6, neighbors=graph)


def test_invalid_arguments_of_propagate_raise(cloud):
    x, p = cloud.astype(np.float32), PLACES.astype(np.float32)
    alignment = jaxlle.lle_alignment(x, k=8)

    def check_raises(message, known=KNOWN, places=p, **options):
        with pytest.raises(ValueError, match=message):
            propagate(alignment, known, places, **options)

    check_raises("known lists 8 points, but targets has 9 rows", known=KNOWN[1:])
    check_raises(r"known ranges from 0 to 80, but there are 80 points", known=np.arange(0, 81, 10))
    check_raises("known ranges from -1", known=np.arange(-1, 8))
    check_raises("known lists point 3 2 times", known=[0, 1, 2, 3, 3, 5, 6, 7, 8])
    check_raises(r"integer row numbers .* numpy.flatnonzero", known=np.isin(np.arange(N), KNOWN))
    check_raises("integer row numbers", known=KNOWN.astype(float))
    check_raises("targets contains NaN", places=np.where(p > 0, np.nan, p))
    check_raises("Expected 2D array", places=p[:, 0])
    check_raises("number of exactly known points = 80", known=np.arange(N), places=np.ones((N, 1), np.float32))
    for trust in (0.0, -1.0, np.inf, np.where(np.arange(M) == 3, 0.0, 1.0)):
        check_raises("trust = .* must be positive and finite", trust=trust)
    check_raises(r"trust has shape \(3,\)", trust=np.ones(3))
    with pytest.raises(TypeError, match=r"inside jit or vmap use derivatives\.DenseInverse"):
        jax.jit(lambda p: propagate(alignment, KNOWN, p, solver=SparseInverse()))(p)
