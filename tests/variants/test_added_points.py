"""Points added to an embedding: graphs with copies, the growth of the cost, the angle, distant points, and batches."""

import warnings

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

import jaxlle
from jaxlle import variants
from jaxlle.variants import incremental

pytestmark = pytest.mark.filterwarnings("ignore::jaxlle.warnings.GapWarning")


@pytest.fixture(scope="module")
def line():
    """Points on a curve, an embedding of most of them, and points to add: two copies, a few between, and two beyond an end."""
    t = np.linspace(0, 3, 40)
    x = np.stack([np.cos(t), np.sin(t), 0.01 * np.cos(40 * t)], axis=1).astype(np.float32)
    new = np.concatenate([x[[7, 20]], (x[[3, 11, 30]] + x[[4, 12, 31]]) / 2, x[-1:] + 0.02])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = variants.incremental_lle(x, 2, k=4, reg=1e-2, tolerance=0.5)
        return x, new, state, variants.add_points(state, new)


def check_graph(x, neighbors):
    """Compare a graph with all distances; copies are at equal distances up to rounding."""
    far = cdist(x, x)
    np.fill_diagonal(far, np.inf)
    found = np.take_along_axis(far, np.asarray(neighbors.indices), axis=1)
    np.testing.assert_allclose(neighbors.distances, found, atol=1e-6)
    np.testing.assert_allclose(found, np.sort(far, axis=1)[:, : found.shape[1]], atol=1e-6)


def test_added_copies_are_not_their_own_neighbors(line):
    x, new, _, more = line
    both = np.concatenate([x, new])
    check_graph(both, more.neighbors)
    assert more.neighbors.indices[40:42, 0].tolist() == [7, 20]
    assert more.neighbors.distances[40:42, 0].tolist() == [0, 0]
    expected = jaxlle.barycentric_weights(both, more.neighbors, reg=1e-2)
    np.testing.assert_allclose(more.weights, expected, atol=1e-3)


def test_the_growth_of_the_cost_and_the_angle_follow_their_definitions(line):
    _, _, state, more = line
    assert (float(state.growth), float(state.angle), state.refit) == (1, 0, False)
    b = np.asarray(jaxlle.weights_alignment(more.neighbors, more.weights).to_dense(), np.float64)
    y = np.asarray(more.points, np.float64)
    own = np.linalg.qr(y - y.mean(axis=0))[0]
    expected = ((b @ own) ** 2).sum() / (np.asarray(state.fitted.singular_values) ** 2).sum()
    np.testing.assert_allclose(more.growth, expected, rtol=1e-2)
    modes = np.asarray(more.modes, np.float64)
    m = b.T @ b
    for _ in range(10):
        modes = modes - (m @ modes) / (2 * np.diag(m)[:, None])
    basis = np.linalg.qr(modes - modes.mean(axis=0))[0]
    best = basis @ np.linalg.svd(b @ basis)[2][::-1][:2].T
    sine = np.linalg.norm(own - best @ (best.T @ own), 2)
    np.testing.assert_allclose(more.angle, np.arcsin(sine), rtol=2e-2, atol=1e-4)


def test_a_refit_is_needed_beyond_the_tolerance_or_for_more_new_points_than_fitted(line):
    _, new, state, more = line
    assert not more.refit
    strict = variants.add_points(state._replace(settings=state.settings._replace(tolerance=1e-9)), new)
    assert strict.refit
    half = state._replace(fitted=jax.tree.map(lambda a: a, state.fitted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        many = variants.add_points(half, np.tile(new, (7, 1)) + 1e-3 * np.arange(42.0, dtype=np.float32)[:, None])
    assert many.refit
    again = variants.refit(more)
    assert again.fitted.points.shape == (46, 2)
    assert (again.refit, float(again.growth), len(again.far)) == (False, 1, 0)


def test_points_farther_than_three_radii_are_far_also_after_other_points(line):
    x, _, state, more = line
    radius = float(state.neighbors.distances[:, -1].max())
    assert not more.far.any()
    beyond = (x[-1:] * [1, 1, 0] + [0, 0, 1]).astype(np.float32)
    near = x[-1] + np.float32(2.5 * radius) * np.array([[0, 0, 1]], np.float32)
    with pytest.warns(jaxlle.JaxlleWarning, match="1 of 2 new points"):
        later = variants.add_points(more, np.concatenate([near, beyond]))
    assert later.far.tolist() == [False] * 7 + [True]
    with pytest.raises(ValueError, match="1 of 1 new points"):
        variants.add_points(more, beyond, far="error")


@pytest.mark.slow
def test_batches_of_new_points_give_the_graph_of_one_batch(line, monkeypatch):
    x, new, state, more = line
    monkeypatch.setattr(incremental, "_BATCH", 4)
    batched = variants.add_points(state, new)
    check_graph(np.concatenate([x, new]), batched.neighbors)
    np.testing.assert_array_equal(batched.points[:44], variants.add_points(state, new[:4]).points)
    np.testing.assert_allclose(batched.points, more.points, atol=0.05)


def test_new_points_whose_neighbors_are_all_new_have_finite_positions(line):
    _, _, state, _ = line
    cluster = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32) * 0.01 + 50
    with pytest.warns(jaxlle.JaxlleWarning, match="6 of 6 new points"):
        out = variants.add_points(state, cluster)
    assert (np.asarray(out.neighbors.indices[40:]) >= 40).all()
    assert np.isfinite(out.points).all()
    assert np.abs(out.points).max() < 10


def test_the_angle_and_the_growth_are_those_of_centered_columns():
    y = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32) + 5
    basis = np.asarray(incremental._orthonormal(jax.numpy.asarray(y)), np.float64)
    np.testing.assert_allclose(basis.sum(axis=0), 0, atol=1e-5)
    expected = np.linalg.qr(y - y.mean(axis=0))[0]
    np.testing.assert_allclose(basis @ basis.T, expected @ expected.T, atol=1e-5)


@pytest.mark.slow
def test_added_points_solve_the_problem_that_keeps_the_eigenvalues(x64):
    added = 12
    x = np.asarray(jaxlle.datasets.s_curve(jax.random.key(2), 150 + added).points)
    state = variants.incremental_lle(x[:150], 2, k=8)
    more = variants.add_points(state, x[150:])
    b = np.asarray(jaxlle.weights_alignment(more.neighbors, more.weights).to_dense())
    m, kept = b.T @ b, np.diag(np.asarray(state.fitted.singular_values) ** 2)
    old, new = np.asarray(more.points[:150]), np.asarray(more.points[150:])

    def excess(new):
        z = np.concatenate([old, new])
        return z.T @ m @ z - kept

    assert np.linalg.eigvalsh(excess(new)).min() > 0
    best = np.linalg.norm(excess(new))
    rng = np.random.default_rng(0)
    for size in (1e-4, 1e-2, 1):
        for _ in range(20):
            assert np.linalg.norm(excess(new + size * np.abs(new).max() * rng.normal(size=new.shape))) > best
    # The eigenvalues in the equations of the new rows are negligible.
    for column, value in zip(range(2), np.diag(kept), strict=True):
        shifted = np.linalg.solve(m[150:, 150:] - value * np.eye(added), -m[150:, :150] @ old[:, column])
        np.testing.assert_allclose(new[:, column], shifted, rtol=0, atol=1e-4 * np.abs(new).max())
