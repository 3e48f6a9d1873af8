"""Options reach the solvers: keys, hints, tolerances, sizes of spaces and limits; what a solver returns is checked."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import Alignment, EmbedOptions
from jaxlle.solvers import DenseQR, Landmark, SparseLU, Spectrum, farthest_landmarks, random_landmarks
from jaxlle.warnings import ConvergenceWarning, DisconnectedGraphWarning


@pytest.fixture(scope="module")
def cloud():
    return np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def alignment(cloud):
    return jaxlle.lle_alignment(cloud, k=10)


def recorder(calls, **changes):
    """Return a solver that records its arguments and changes some fields of its result."""

    def solver(alignment, count, key, hints):
        calls.append((alignment, count, key, hints))
        found = Spectrum(*map(jnp.asarray, SparseLU()(alignment, count, key, hints)))
        return found._replace(**{name: change(getattr(found, name)) for name, change in changes.items()})

    return solver


def test_a_solver_receives_the_key_the_points_and_the_start(cloud, alignment):
    calls, key = [], jax.random.key(7)
    start = jnp.ones((120, 2))
    jaxlle.embed(alignment, 2, solver=recorder(calls), options=EmbedOptions(key=key), points=cloud, start=start)
    ((given, count, used, hints),) = calls
    assert given.blocks.shape == (120, 1, 11)
    assert count == 3  # one more than requested, for the gap
    assert used == key
    np.testing.assert_array_equal(hints.points, jaxlle.neighbors.prepare_points(cloud).coordinates)
    np.testing.assert_array_equal(hints.start, start)
    with pytest.raises(ValueError, match="points has 119 rows, but the alignment has 120"):
        jaxlle.embed(alignment, 2, points=cloud[1:])


def test_the_solver_of_a_component_receives_the_points_and_the_start_of_that_component(cloud):
    x = cloud.copy()
    x[::3] += 100
    alignment, calls = jaxlle.lle_alignment(x, k=8), []
    start = jnp.arange(240.0).reshape(120, 2)
    largest = EmbedOptions(disconnected="largest")
    jaxlle.embed(alignment, 2, solver=recorder(calls), options=largest, points=x, start=start)
    jaxlle.embedding.embed_components(alignment, 2, solver=recorder(calls), points=x)
    rows = [np.flatnonzero(np.arange(120) % 3 != 0), np.arange(0, 120, 3)]
    points = jaxlle.neighbors.prepare_points(x).coordinates
    for (given, _, _, hints), own in zip(calls, (rows[0], *rows), strict=True):
        assert given.indices.shape[0] == len(own)
        np.testing.assert_array_equal(hints.points, points[own])
    np.testing.assert_array_equal(calls[0][3].start, start[rows[0]])


def test_points_that_are_not_finite_are_not_converged(alignment):
    spoiled = recorder([], vectors=lambda v: v.at[3, 0].set(jnp.nan))
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        assert not bool(jaxlle.embed(alignment, 2, solver=spoiled).converged)
    unfinished = recorder([], converged=lambda c: ~c)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        assert not bool(jaxlle.embed(alignment, 2, solver=unfinished).converged)


def test_closed_classes_within_the_largest_component_give_a_warning(x64):
    # Two rings and a point with a neighbor in each are one component; a third ring is another.
    rings = np.array([[10 * (i // 10) + (i + s) % 10 for s in (1, 9)] for i in range(20)])
    small = np.array([[21 + (i + s) % 5 for s in (1, 4)] for i in range(5)])
    indices = np.concatenate([np.arange(26)[:, None], np.vstack([rings, [[0, 10]], small])], axis=1)
    alignment = Alignment(jnp.asarray(indices), jnp.tile(jnp.array([[[1.0, -0.5, -0.5]]]), (26, 1, 1)))
    with pytest.warns(DisconnectedGraphWarning, match="2 closed classes of 10, 10 points"):
        out = jaxlle.embed(alignment, 1, options=EmbedOptions(disconnected="largest"))
    assert int(out.num_components) == 2
    np.testing.assert_array_equal(out.rows, np.arange(21))


def converged(alignment, solver, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(jaxlle.embed(alignment, 2, solver=solver, **options).converged)


def test_more_iterated_vectors_need_fewer_iterations_of_the_dense_solver(alignment):
    assert not converged(alignment, DenseQR(max_iterations=5, oversample=0))
    assert converged(alignment, DenseQR(max_iterations=5, oversample=60))


def test_a_larger_tolerance_of_the_dense_solver_accepts_an_earlier_result(alignment):
    assert not converged(alignment, DenseQR(max_iterations=5, oversample=0))
    assert converged(alignment, DenseQR(max_iterations=5, oversample=0, tol=0.09))


def test_the_krylov_space_and_the_tolerance_of_the_sparse_solver_are_used(alignment):
    exact = SparseLU(max_iterations=1, krylov=60)
    assert converged(alignment, exact)
    assert not converged(alignment, SparseLU(max_iterations=1, krylov=4))
    assert converged(alignment, SparseLU(max_iterations=1, krylov=4, tol=0.9))


def test_options_of_the_landmark_solver_are_used(cloud, alignment, monkeypatch):
    """The options appear in the program or change the state before the first iteration; nothing is compiled here."""
    from jaxlle.solvers import coarse, landmark

    seen = []
    monkeypatch.setattr(coarse, "interpolate", lambda *args, kept=coarse.interpolate: seen.append(args) or kept(*args))
    hints = jaxlle.solvers.Hints(jnp.asarray(cloud))

    def shapes(options, hints=hints):
        rows = landmark.Rows(120)
        solve = lambda a: landmark.solve_rows(a, 3, jax.random.key(0), hints, options, rows)  # noqa: E731
        return str(jax.make_jaxpr(solve)(alignment))

    shapes(Landmark(landmarks=33, landmark_neighbors=5, choice=farthest_landmarks))
    ((_, count, k, choice, *_),) = seen
    assert (count, k, choice) == (33, 5, farthest_landmarks)
    default = shapes(Landmark(landmarks=33))
    assert seen[-1][2:4] == (8, random_landmarks)
    for other in ({"tol": 1e-3}, {"degree": 7}, {"oversample": 20}):
        assert shapes(Landmark(landmarks=33, **other)) != default, other
    assert shapes(Landmark(landmarks=33), hints._replace(start=jnp.ones((120, 8)))) != default
