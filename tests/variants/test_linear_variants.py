"""Linear maps, compared with generalized eigenproblems in SciPy, least squares, and LLE itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.test_util import check_grads

import jaxlle
from jaxlle.metrics import subspace_angle


@pytest.fixture
def wide():
    return np.random.default_rng(0).normal(size=(120, 6)) @ np.diag([3, 2, 1, 1, 0.5, 0.1]) + 5


def quadratic(alignment, x):
    b = np.asarray(alignment.to_dense(), np.float64)
    bx = b @ (x - x.mean(axis=0))
    return bx.T @ bx


@pytest.mark.slow_cases("npe")
@pytest.mark.parametrize("method", ["npe", "lltsa"])
def test_orthonormal_outputs_solve_the_generalized_eigenproblem(x64, wide, method):
    made = getattr(jaxlle.variants, method)(wide, 2, k=10)
    alignment = jaxlle.lle_alignment(wide, k=10) if method == "npe" else jaxlle.ltsa_alignment(wide, 2, k=10)
    centered = wide - wide.mean(axis=0)
    values, vectors = scipy.linalg.eigh(quadratic(alignment, wide), centered.T @ centered)
    y = made.transform(wide)
    assert subspace_angle(y, centered @ vectors[:, :2]) < 1e-10
    np.testing.assert_allclose(made.values**2, values[:2], rtol=1e-9)
    np.testing.assert_allclose(y.T @ y, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(y.sum(axis=0), 0, atol=1e-12)


def test_an_orthonormal_matrix_solves_the_eigenproblem(x64, wide):
    made = jaxlle.variants.onpp(wide, 2, k=10)
    values, vectors = scipy.linalg.eigh(quadratic(jaxlle.lle_alignment(wide, k=10), wide))
    np.testing.assert_allclose(made.values**2, values[:2], rtol=1e-9)
    matrix = made.matrix / made.unit
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(2), atol=1e-12)
    assert subspace_angle(matrix, vectors[:, :2]) < 1e-9
    far = np.linalg.norm(vectors[:, :2].T @ (wide[0] - wide[1]))
    np.testing.assert_allclose(jnp.linalg.norm(made.transform(wide)[0] - made.transform(wide)[1]), far, rtol=1e-9)


@pytest.mark.slow
def test_with_more_features_than_points_the_linear_map_equals_lle(x64):
    x = np.random.default_rng(0).normal(size=(40, 60))
    made = jaxlle.variants.npe(x, 2, k=8)
    assert subspace_angle(made.transform(x), jaxlle.lle(x, 2, k=8).points) < 1e-8


def test_directions_without_variance_have_no_effect(x64, wide):
    padded = np.concatenate([wide, np.ones((120, 1)), wide[:, :1] - wide[:, 1:2]], axis=1)
    alignment = jaxlle.lle_alignment(wide, k=10)
    for fit in (jaxlle.variants.linear_projection, jaxlle.variants.orthogonal_projection):
        made = fit(alignment, padded, 2)
        assert np.isfinite(made.matrix).all()
    whitened = jaxlle.variants.linear_projection(alignment, padded, 2).transform(padded)
    assert subspace_angle(whitened, jaxlle.variants.linear_projection(alignment, wide, 2).transform(wide)) < 1e-9
    orthogonal = np.asarray(jaxlle.variants.orthogonal_projection(alignment, padded, 2).matrix)
    np.testing.assert_allclose(orthogonal[6], 0, atol=1e-12)  # the constant feature
    assert np.ptp(jaxlle.variants.orthogonal_projection(alignment, padded, 2).transform(padded), axis=0).min() > 0.1


def test_the_reconstruction_map_is_the_least_squares_solution(x64, wide):
    alignment = jaxlle.lle_alignment(wide, k=10)
    w = np.eye(120) - np.asarray(alignment.to_dense())
    made = jaxlle.variants.reconstruction_map(alignment, wide)
    design = np.column_stack([w @ wide, np.ones(120)])
    solution = np.linalg.lstsq(design, wide)[0]
    np.testing.assert_allclose(made.transform(wide), wide @ solution[:6] + solution[6], atol=1e-9)
    y = np.asarray(made.transform(wide))
    moved = wide - y - ((w @ y) - y)  # the form of the article, for weights that sum to one
    np.testing.assert_allclose((moved**2).sum(), ((design @ solution - wide) ** 2).sum(), rtol=1e-9)


def test_the_reconstruction_map_of_low_rank_is_optimal_for_its_rank(x64, wide):
    alignment = jaxlle.lle_alignment(wide, k=10)
    w = np.eye(120) - np.asarray(alignment.to_dense())
    made = jaxlle.variants.reconstruction_map(alignment, wide, 2)
    assert np.linalg.matrix_rank(made.matrix, tol=1e-9) == 2
    cost = ((wide - w @ np.asarray(made.transform(wide))) ** 2).sum()
    # Eckart and Young: the cost is that of the full map plus the squared singular values beyond the second.
    full = ((wide - w @ np.asarray(jaxlle.variants.reconstruction_map(alignment, wide).transform(wide))) ** 2).sum()
    np.testing.assert_allclose(cost, full + (np.asarray(made.values)[2:] ** 2).sum(), rtol=1e-9)
    rng = np.random.default_rng(1)
    a, b = np.asarray(made.matrix / made.unit), np.asarray(made.offset)
    left, s, right = np.linalg.svd(a)
    for _ in range(20):
        perturbed = (left[:, :2] * s[:2] + 0.01 * rng.normal(size=(6, 2))) @ (
            right[:2] + 0.01 * rng.normal(size=(2, 6))
        )
        y = (wide - np.asarray(made.center)) @ perturbed + b
        assert ((wide - w @ y) ** 2).sum() > cost


def test_the_discriminant_map_solves_its_generalized_eigenproblem(x64, wide):
    labels = (wide[:, 0] > 5).astype(int) + 2 * (wide[:, 1] > 5)
    alignment = jaxlle.lle_alignment(wide, k=10)
    made = jaxlle.variants.discriminant_projection(alignment, wide, labels, 2, reg=1e-3)
    cost = quadratic(alignment, wide)
    cost += 1e-3 * np.trace(cost) / 6 * np.eye(6)
    centered = wide - wide.mean(axis=0)
    groups = [centered[labels == g] for g in range(4)]
    scatter = sum(len(g) * np.outer(g.mean(axis=0), g.mean(axis=0)) for g in groups)
    values, vectors = scipy.linalg.eigh(scatter, cost)
    np.testing.assert_allclose(made.values**2, values[::-1][:2], rtol=1e-9)
    assert subspace_angle(made.transform(wide), centered @ vectors[:, ::-1][:, :2]) < 1e-8
    with pytest.raises(ValueError, match="there are 4 classes"):
        jaxlle.variants.discriminant_projection(alignment, wide, labels, 4)
    with pytest.raises(ValueError, match="labels has shape"):
        jaxlle.variants.discriminant_projection(alignment, wide, labels[1:], 1)


def test_the_discriminant_map_of_pairs_solves_its_generalized_eigenproblem(x64, wide):
    labels = (wide[:, 0] > 5).astype(int) + 2 * (wide[:, 1] > 5)
    labels[::7] = -1  # without a label
    alignment = jaxlle.lle_alignment(wide, k=10)
    made = jaxlle.variants.discriminant_projection(alignment, wide, labels, 5, reg=1e-3, scatter="pairs")
    cost = quadratic(alignment, wide)
    cost += 1e-3 * np.trace(cost) / 6 * np.eye(6)
    known = np.flatnonzero(labels >= 0)
    differences = [
        wide[i] - wide[j] for at, i in enumerate(known) for j in known[:at] if labels[i] != labels[j]
    ]  # of every pair of different classes
    values, vectors = scipy.linalg.eigh(np.transpose(differences) @ differences / len(known), cost)
    np.testing.assert_allclose(made.values**2, values[::-1][:5], rtol=1e-9)
    assert subspace_angle(made.transform(wide), (wide - wide.mean(axis=0)) @ vectors[:, ::-1][:, :5]) < 1e-8
    p = np.random.default_rng(0).dirichlet(np.ones(4), len(wide))  # probabilities of the classes
    soft = jaxlle.variants.discriminant_projection(alignment, wide, p, 5, reg=1e-3, scatter="pairs")
    steps = wide[:, None] - wide[None]
    sums = np.einsum("ij,ija,ijb->ab", 1 - p @ p.T, steps, steps) / 2 / len(wide)
    np.testing.assert_allclose(soft.values**2, scipy.linalg.eigh(sums, cost)[0][::-1][:5], rtol=1e-9)


def test_the_parameters_of_the_discriminant_map_are_validated(wide):
    x = wide.astype(np.float32)
    labels, alignment = x[:, 0] > 5, jaxlle.lle_alignment(x, k=10)
    for reg in (-1e-3, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"reg = .* is not allowed"):
            jaxlle.variants.discriminant_projection(alignment, x, labels, 1, reg=reg)
    with pytest.raises(ValueError, match="scatter = 'within' is not known"):
        jaxlle.variants.discriminant_projection(alignment, x, labels, 1, scatter="within")
    for one, dim in ((np.zeros(len(x), int), 1), (labels, 7)):
        with pytest.raises(ValueError, match=r"dim .* is not allowed"):
            jaxlle.variants.discriminant_projection(alignment, x, one, dim, scatter="pairs")
    constant = np.column_stack([x, np.ones(len(x), np.float32)])
    with pytest.raises(ValueError, match="reg = 0 is too small"):
        jaxlle.variants.discriminant_projection(alignment, constant, labels, 1, reg=0)
    assert np.isfinite(jaxlle.variants.discriminant_projection(alignment, constant, labels, 1).matrix).all()


def test_maps_are_invariant_to_the_offset_and_the_scale_of_the_data(wide):
    x = wide.astype(np.float32)
    base = jaxlle.variants.npe(x, 2, k=10).transform(x)
    for moved in (1e-20 * x, 1e15 * x, x + 1000):
        assert subspace_angle(jaxlle.variants.npe(moved, 2, k=10).transform(moved), base) < 2e-2
    with jax.enable_x64(True):
        exact = jaxlle.variants.npe(wide, 2, k=10).transform(wide)
        assert subspace_angle(np.asarray(base, np.float64), np.asarray(exact)) < 1e-3


def test_maps_are_fitted_under_jit_and_vmap_and_their_outputs_are_differentiable(wide):
    x = jnp.asarray(np.stack([wide, wide[::-1] ** 2]), jnp.float32)
    made = jax.jit(jax.vmap(lambda a: jaxlle.variants.npe(a, 2, k=10)))(x)
    alone = jaxlle.variants.npe(x[1], 2, k=10)
    assert subspace_angle(made.matrix[1], alone.matrix) < 1e-3
    check_grads(lambda a: jnp.asarray(alone.transform(a)), (x[1, :5],), order=1, modes=["rev"], rtol=1e-2)


def test_invalid_arguments_of_linear_maps_raise(wide):
    x = wide.astype(np.float32)
    with pytest.raises(ValueError, match=r"dim \(n_components\) = 7"):
        jaxlle.variants.npe(x, 7, k=10)
    flat = np.concatenate([x[:, :2], x[:, :2]], axis=1)
    with pytest.raises(ValueError, match="rank 2"):
        jaxlle.variants.onpp(flat, 3, k=10)
    with pytest.raises(ValueError, match="120 points, but there are 119"):
        jaxlle.variants.linear_projection(jaxlle.lle_alignment(x, k=10), x[1:], 2)
    with pytest.raises(ValueError, match=r"one weight vector per point \(r = 1\)"):
        jaxlle.variants.reconstruction_map(jaxlle.ltsa_alignment(x, 2, k=10), x)
    with pytest.raises(ValueError, match="the map expects 6"):
        jaxlle.variants.npe(x, 2, k=10).transform(x[:, :5])
    with pytest.raises(ValueError, match="NaN"):
        jaxlle.variants.npe(np.where(np.arange(6) == 1, np.nan, x), 2, k=10)


def test_large_integers_are_mapped_as_their_shifted_values():
    rng = np.random.default_rng(0)
    x, new = rng.integers(-1000, 1000, (120, 3)), rng.integers(-900, 900, (10, 3))
    small = jaxlle.variants.npe(x.astype(np.float32), 2, k=8).transform(new.astype(np.float32))
    large = jaxlle.variants.npe(x + 2**60, 2, k=8).transform(new + 2**60)
    assert np.allclose(small, large, atol=1e-4 * np.abs(small).max())
