"""The landmark solver and landmark embeddings: against dense solvers, dense algebra and limits."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled_as_users_do
from sklearn.datasets import load_digits

import jaxlle
from jaxlle import Alignment
from jaxlle.metrics import subspace_angle
from jaxlle.solvers import DenseQR, Landmark, SparseLU, farthest_landmarks, kmeans_landmarks, random_landmarks
from jaxlle.warnings import ConvergenceWarning

CHOICES = [random_landmarks, farthest_landmarks, kmeans_landmarks]


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data[:500] / 16).astype(np.float32)


@pytest.fixture(scope="module")
def exact(digits):
    with jax.enable_x64(True):
        alignment = jaxlle.lle_alignment(digits.astype(np.float64), k=10)
        return jax.tree.map(np.asarray, jaxlle.embed(alignment, 2, solver=DenseQR()))


@pytest.mark.slow
def test_float32_finds_the_subspace_of_a_dense_solve_in_float64(digits, exact):
    out = jaxlle.lle(digits, 2, k=10, solver=Landmark())
    assert out.solver == "Landmark"
    assert bool(out.converged)
    assert int(out.num_components) == 1
    assert subspace_angle(out.points, jnp.asarray(exact.points, np.float32)) < np.deg2rad(0.1)
    np.testing.assert_allclose(out.singular_values, exact.singular_values, rtol=1e-4)


@pytest.mark.slow
def test_float64_finds_the_subspace_to_the_tolerance(x64, digits, exact):
    out = jaxlle.lle(digits.astype(np.float64), 2, k=10, solver=Landmark(tol=1e-8))
    assert out.points.dtype == np.float64
    assert subspace_angle(out.points, exact.points) < 1e-7
    np.testing.assert_allclose(out.singular_values, exact.singular_values, rtol=1e-9)


@pytest.mark.slow
def test_without_points_the_solver_computes_smooth_coordinates(digits, exact):
    alignment = jaxlle.lle_alignment(digits, k=10)
    out = jaxlle.embed(alignment, 2, solver=Landmark())
    assert subspace_angle(out.points, jnp.asarray(exact.points, np.float32)) < np.deg2rad(0.1)


SHEET = """
import sys
import numpy as np
from sklearn.datasets import make_swiss_roll
import jaxlle
from jaxlle.solvers import Landmark, SparseLU

x = make_swiss_roll(int(sys.argv[1]), random_state=0)[0].astype(np.float32)
alignment = jaxlle.lle_alignment(x, k=12)
exact = jaxlle.embed(alignment, 2, solver=SparseLU())
out = jaxlle.embed(alignment, 2, solver=Landmark(), points=x)
print(bool(out.converged), float(jaxlle.metrics.subspace_angle(out.points, exact.points)))
"""


@pytest.mark.exhaustive_cases("20000")
@pytest.mark.slow
@pytest.mark.parametrize("n", [6_000, 20_000])
def test_a_two_dimensional_sheet_in_float32_is_not_reported_as_converged_too_early(n):
    # In its own process, compiled with optimization as by users: without it the thousands of products take five times as long.
    command = [sys.executable, "-W", "error", "-c", SHEET, str(n)]
    converged, angle = subprocess.run(
        command, capture_output=True, text=True, env=compiled_as_users_do(), check=True
    ).stdout.split()
    assert converged == "True"
    assert float(angle) < np.deg2rad(0.1)


def test_deflation_solves_a_sheet_in_few_iterations():
    # Interpolation from landmarks has kinks, which dominate the cost on a surface: without deflation it takes 25 iterations.
    x = jaxlle.datasets.swiss_roll(jax.random.key(0), 1_500).points
    alignment = jaxlle.lle_alignment(x, k=12)
    out = jaxlle.embed(alignment, 2, solver=Landmark(max_iterations=8), points=x)
    assert bool(out.converged)
    exact = jaxlle.embed(alignment, 2, solver=SparseLU())
    assert subspace_angle(out.points, exact.points) < np.deg2rad(0.1)


@pytest.mark.slow
def test_few_iterations_on_a_sheet_are_not_reported_as_converged():
    x = jaxlle.datasets.swiss_roll(jax.random.key(0), 1_500).points  # which takes eight
    few_iterations = Landmark(max_iterations=2)
    with pytest.warns(ConvergenceWarning, match="Landmark did not converge"):
        jaxlle.embed(jaxlle.lle_alignment(x, k=12), 2, solver=few_iterations, points=x)


@pytest.mark.slow
def test_tall_alignments_are_solved_too():
    rng = np.random.default_rng(0)
    near = jaxlle.knn(rng.normal(size=(300, 3)).astype(np.float32), 8).indices
    indices = jnp.concatenate([jnp.arange(300)[:, None], near], axis=1)
    blocks = rng.normal(size=(300, 2, 9)).astype(np.float32)
    alignment = Alignment(indices, jnp.asarray(blocks - blocks.mean(axis=2, keepdims=True)))
    a, b = (jaxlle.embed(alignment, 2, solver=s) for s in (Landmark(), DenseQR()))
    assert subspace_angle(a.points, b.points) < np.deg2rad(0.1)


@pytest.mark.slow_cases("kmeans_landmarks")
@pytest.mark.parametrize("choice", CHOICES)
def test_landmarks_are_distinct_points(choice, digits):
    with_copies = jnp.asarray(np.concatenate([digits[:200], digits[:50]]))
    chosen = np.asarray(choice(with_copies, 60, jax.random.key(1)))
    assert len(set(chosen.tolist())) == 60
    assert 0 <= chosen.min() <= chosen.max() < 250


def test_no_point_is_farther_from_farthest_landmarks_than_they_are_from_each_other():
    x = jax.random.uniform(jax.random.key(0), (400, 2))
    chosen = x[farthest_landmarks(x, 20, jax.random.key(1))]
    apart = np.linalg.norm(chosen[:, None] - chosen[None], axis=-1)[np.triu_indices(20, 1)].min()
    assert np.linalg.norm(x[:, None] - chosen[None], axis=-1).min(axis=1).max() <= apart + 1e-6


def test_kmeans_landmarks_are_nearer_to_the_points_than_random_landmarks():
    x = jax.random.normal(jax.random.key(0), (400, 2))

    def cost(choice):
        chosen = x[choice(x, 20, jax.random.key(1))]
        return (np.linalg.norm(x[:, None] - chosen[None], axis=-1).min(axis=1) ** 2).sum()

    assert cost(kmeans_landmarks) < 0.9 * cost(random_landmarks)


@pytest.mark.slow
def test_the_choice_of_landmarks_does_not_change_the_result(digits, exact):
    for choice in (farthest_landmarks, kmeans_landmarks):
        out = jaxlle.lle(digits, 2, k=10, solver=Landmark(choice=choice, landmarks=60))
        assert subspace_angle(out.points, jnp.asarray(exact.points, np.float32)) < np.deg2rad(0.1)


@pytest.mark.slow
def test_fewer_points_than_landmarks_and_duplicates_are_solved(digits):
    x = np.concatenate([digits[:60], digits[:30]])
    a, b = (jaxlle.lle(x, 2, k=10, solver=s) for s in (Landmark(landmarks=1000), DenseQR()))
    assert subspace_angle(a.points, b.points) < np.deg2rad(0.1)


@pytest.mark.slow
def test_fewer_landmarks_than_iterated_vectors_give_the_same_result(digits, exact):
    out = jaxlle.lle(digits, 2, k=10, solver=Landmark(landmarks=5))
    assert subspace_angle(out.points, jnp.asarray(exact.points, np.float32)) < np.deg2rad(0.1)


@pytest.mark.slow
def test_a_smoother_of_a_very_short_interval_is_finite_and_only_slow(digits, exact):
    with pytest.warns(ConvergenceWarning, match="Landmark did not converge"):
        out = jaxlle.lle(digits, 2, k=10, solver=Landmark(ratio=2.0, max_iterations=80))
    assert subspace_angle(out.points, jnp.asarray(exact.points, np.float32)) < np.deg2rad(0.1)


@pytest.mark.slow
def test_a_disconnected_graph_is_reported_and_its_indicator_found(digits):
    x = np.concatenate([digits[:120], digits[120:250] + 10])
    with pytest.warns(jaxlle.warnings.DisconnectedGraphWarning, match="2 components of 130, 120"):
        out = jaxlle.lle(x, 2, k=10, solver=Landmark(landmarks=100))
    indicator = np.repeat([130.0, -120.0], [120, 130])[:, None].astype(np.float32)
    assert subspace_angle(out.points[:, :1], jnp.asarray(indicator)) < 1e-3
    assert int(out.num_components) == 2


@pytest.mark.slow
def test_the_solver_runs_under_jit_and_vmap_and_does_not_retrace(digits, exact):
    from jaxlle.solvers import landmark

    solver = Landmark(landmarks=100)
    points = jax.vmap(lambda reg: jaxlle.lle(digits, 2, k=10, reg=reg, solver=solver).points)(jnp.array([1e-3, 1e-2]))
    assert subspace_angle(points[0], jnp.asarray(exact.points, np.float32)) < np.deg2rad(0.1)
    jaxlle.lle(digits, 2, k=10, solver=solver)
    before = landmark._solve._cache_size()
    jaxlle.lle(digits[::-1], 2, k=10, reg=1e-2, solver=Landmark(landmarks=100))
    assert landmark._solve._cache_size() == before


def test_auto_selects_the_landmark_solver_under_jit_for_many_points():
    like = Alignment(jax.ShapeDtypeStruct((3_000, 4), np.int32), jax.ShapeDtypeStruct((3_000, 1, 4), np.float32))
    chosen = []
    jax.eval_shape(lambda alignment: chosen.append(jaxlle.solvers.choose(alignment, traced=True)), like)
    assert chosen == [Landmark()]


def test_auto_depends_on_the_width_of_the_graph():
    rng = np.random.default_rng(0)
    strip = jaxlle.knn((rng.random((6000, 2)) * [10, 1]).astype(np.float32), 8)
    cloud = jaxlle.Neighbors(jnp.asarray((np.arange(6000)[:, None] + rng.integers(1, 6000, (6000, 8))) % 6000), None)
    for neighbors, name in ((strip, "SparseLU"), (cloud, "Landmark")):
        alignment = jaxlle.weights_alignment(neighbors, jnp.full((6000, 8), 1 / 8))
        assert type(jaxlle.solvers.choose(alignment)).__name__ == name


@pytest.mark.slow
def test_a_warm_start_saves_iterations(digits, exact):
    alignment = jaxlle.lle_alignment(digits, k=10)
    few_iterations = Landmark(max_iterations=2)
    with pytest.warns(ConvergenceWarning, match="Landmark did not converge"):
        cold = jaxlle.embed(alignment, 2, solver=few_iterations, points=digits)
    assert np.isfinite(cold.points).all()
    with jax.enable_x64(True):
        wide = jaxlle.lle_alignment(digits.astype(np.float64), k=10)
        start = jaxlle.embed(wide, 5, solver=DenseQR()).points
    warm = jaxlle.embed(alignment, 2, solver=few_iterations, points=digits, start=jnp.asarray(start, np.float32))
    assert bool(warm.converged)
    assert subspace_angle(warm.points, jnp.asarray(exact.points, np.float32)) < np.deg2rad(0.1)


def test_bad_options_raise_with_their_name(digits):
    for solver, text in (
        (Landmark(tol=1e-9), "tol = 1e-09 is below what float32"),
        (Landmark(landmarks=3), "landmarks = 3"),
        (Landmark(landmark_neighbors=1), "landmark_neighbors = 1"),
        (Landmark(degree=0), "degree = 0"),
        (Landmark(ratio=0.5), "ratio = 0.5"),
    ):
        with pytest.raises(ValueError, match=text):
            jaxlle.lle(digits, 2, k=10, solver=solver)


def test_landmark_embedding_solves_the_generalized_eigenproblem_of_its_paper(x64):
    from scipy.linalg import eigh
    from sklearn.manifold._locally_linear import barycenter_weights
    from sklearn.neighbors import NearestNeighbors

    x = np.random.default_rng(0).normal(size=(200, 3)) * [3, 2, 1]
    alignment = jaxlle.lle_alignment(x, k=8)
    out = jaxlle.variants.landmark_embed(alignment, 2, points=x, num_landmarks=40, landmark_neighbors=5)
    own = x[np.asarray(out.landmarks)]
    near = NearestNeighbors(n_neighbors=5).fit(own).kneighbors(x, return_distance=False)
    p = np.zeros((200, 40))
    p[np.arange(200)[:, None], near] = barycenter_weights(x, own, near, reg=1e-3)
    p[np.asarray(out.landmarks)] = np.eye(40)
    b = np.asarray(alignment.to_dense())
    values, vectors = eigh(p.T @ b.T @ b @ p, p.T @ p)
    np.testing.assert_allclose(out.embedding.singular_values**2, values[1:3], rtol=1e-6)
    assert subspace_angle(out.embedding.points, jnp.asarray(p @ vectors[:, 1:3])) < 1e-5
    np.testing.assert_allclose(out.embedding.points.T @ out.embedding.points, np.eye(2), atol=1e-10)


@pytest.mark.slow
def test_with_all_points_as_landmarks_both_approximations_are_exact(digits):
    x = digits[:150]
    wanted = jaxlle.lle(x, 2, k=10, solver=DenseQR()).points
    for approximate in (jaxlle.variants.landmark_lle, jaxlle.variants.nystrom_lle):
        out = approximate(x, 2, k=10, num_landmarks=150)
        assert sorted(out.landmarks.tolist()) == list(range(150))
        assert subspace_angle(out.embedding.points, wanted) < np.deg2rad(0.1)


@pytest.mark.slow
def test_new_points_are_embedded_by_the_landmarks(digits):
    for approximate, k in ((jaxlle.variants.landmark_lle, 8), (jaxlle.variants.nystrom_lle, 10)):
        out = approximate(digits, 2, k=10, num_landmarks=100)
        y = out.embedding.points
        again = jaxlle.transform(digits, digits[out.landmarks], y[out.landmarks], k=k)
        np.testing.assert_allclose(again, y, atol=1e-5)


def test_too_few_points_or_landmarks_raise_with_their_number(digits):
    with pytest.raises(ValueError, match=r"num_landmarks = 501 .*at most the 500 points"):
        jaxlle.variants.landmark_lle(digits, 2, k=10, num_landmarks=501)
    with pytest.raises(ValueError, match=r"num_landmarks = 10 "):
        jaxlle.variants.nystrom_lle(digits, 2, k=10, num_landmarks=10)
    with pytest.raises(ValueError, match=r"landmark_neighbors = 2 .*at least dim \+ 1"):
        jaxlle.variants.landmark_lle(digits, 2, k=10, landmark_neighbors=2)


@pytest.mark.slow
def test_the_gradient_agrees_with_that_of_a_dense_solver(x64, digits):
    x = jnp.asarray(digits[:150], jnp.float64)
    neighbors = jaxlle.knn(x, 10)

    def spread(x, solver):
        y = jaxlle.lle(x, 2, k=10, neighbors=neighbors, solver=solver).points
        return jnp.sum((y[:20] - y[20:40]) ** 2)

    ours, dense = (jax.grad(spread)(x, solver) for solver in (Landmark(landmarks=60, tol=1e-9), DenseQR()))
    np.testing.assert_allclose(ours, dense, atol=1e-5 * float(jnp.abs(dense).max()))
