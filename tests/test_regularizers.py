"""Ridges by their formulas, and the one chosen by generalized cross-validation: definition, weights, masks, gradients."""

import dataclasses
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlle
from jaxlle import regularizers
from jaxlle.regularizers import CrossValidatedRidge


def regression(x, i, ids):
    """Return the ridge regression equivalent to weights that sum to one: one row per feature, relative to the mean."""
    around = x[ids]
    basis = np.linalg.svd(np.eye(len(ids)) - 1 / len(ids))[0][:, :-1]  # basis of the weights that sum to zero
    return around.T @ basis, x[i] - around.mean(axis=0), basis


@pytest.mark.parametrize(("d", "k"), [(3, 8), (8, 8), (20, 8)])
def test_the_score_matches_the_definition_of_generalized_cross_validation(x64, d, k):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(k + 1, d))
    a, b, _ = regression(x, 0, np.arange(1, k + 1))
    spokes = x[1:] - x[0]
    gram, ridges = spokes @ spokes.T, np.array([1e-3, 0.1, 1.0, 30.0])
    found = CrossValidatedRidge(d).scores(jnp.asarray(gram), jnp.asarray(ridges))
    for ridge, score in zip(ridges, found, strict=True):
        hat = a @ np.linalg.solve(a.T @ a + ridge * np.eye(k - 1), a.T)
        expected = d * ((b - hat @ b) ** 2).sum() / np.trace(np.eye(d) - hat) ** 2
        np.testing.assert_allclose(score, expected, rtol=1e-7)


def test_the_weights_use_the_ridge_with_the_lowest_score(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4))
    neighbors = jaxlle.knn(x, 6)
    weights = jaxlle.barycentric_weights(x, neighbors, reg=CrossValidatedRidge(4, candidates=9, floor=1e-4))
    for i, ids in enumerate(np.asarray(neighbors.indices)):
        a, b, basis = regression(x, i, ids)
        ridges = ((x[ids] - x[i]) ** 2).sum() * 1e-4 ** np.linspace(1, 0, 9)
        scores, own = [], []
        for ridge in ridges:
            inverse = np.linalg.solve(a.T @ a + ridge * np.eye(5), a.T)
            scores.append(((b - a @ inverse @ b) ** 2).sum() / np.trace(np.eye(4) - a @ inverse) ** 2)
            own.append(1 / 6 + basis @ inverse @ b)
        np.testing.assert_allclose(weights[i], own[int(np.argmin(scores))], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_masked_neighbors_and_scale_do_not_change_the_ridge():
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    own, near = CrossValidatedRidge(5), jaxlle.knn(x, 9)
    few = jaxlle.Neighbors(near.indices[:, :6], near.distances[:, :6])
    masked = near._replace(mask=jnp.broadcast_to(jnp.arange(9) < 6, (40, 9)))
    narrow = jaxlle.barycentric_weights(x, few, reg=own)
    wide = jaxlle.barycentric_weights(x, masked, reg=own)
    np.testing.assert_allclose(wide[:, :6], narrow, atol=2e-4)
    assert float(jnp.abs(wide[:, 6:]).max()) == 0
    far = jaxlle.barycentric_weights(1e15 * x, few._replace(distances=None), reg=own)
    np.testing.assert_allclose(far, narrow, atol=2e-4)


@pytest.mark.slow
def test_gradients_hold_the_ridge_fixed_and_invalid_options_raise(x64):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(12, 3)))
    near = jaxlle.knn(x, 5)
    own = CrossValidatedRidge(3)
    grad = jax.grad(lambda x: jnp.sum(jaxlle.barycentric_weights(x, near, reg=own) ** 2))(x)
    assert np.isfinite(grad).all()
    assert float(jnp.abs(grad).max()) > 0
    with pytest.raises(ValueError, match="features = 0"):
        CrossValidatedRidge(0)
    with pytest.raises(ValueError, match="reg = 0"):
        jaxlle.barycentric_weights(x, near, reg=dataclasses.replace(own, floor=0.0))


def test_ridges_are_their_formulas_also_where_all_neighbors_coincide():
    gram, count = jnp.diag(jnp.array([1.0, 2.0, 5.0])), jnp.array(2)
    for strength in (0.5, 2.0):
        ridges = {
            regularizers.TraceRidge(strength): (8 * strength, strength),
            regularizers.MeanTraceRidge(strength): (4 * strength, strength),
            regularizers.AbsoluteRidge(strength): (strength / 9, strength / 9),  # in squared units of the Gram matrix
            regularizers.NoRidge(): (0, 0),
        }
        for ridge, expected in ridges.items():
            found = [ridge(a, count, 3.0) for a in (gram, 0 * gram)]
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=str(ridge))
    assert np.isfinite(regularizers.AbsoluteRidge(1.0)(gram, count, 1e-30))
    assert regularizers.as_regularizer(0.5) == regularizers.TraceRidge(0.5)
    assert (regularizers.NoRidge().strength, CrossValidatedRidge(3, floor=0.25).strength) == (0, 0.25)


@pytest.mark.parametrize("reg", [-1e-9, np.nan, np.inf, [0.1, 0.2]])
def test_strengths_that_are_not_one_finite_number_raise(reg):
    for given in (reg, regularizers.MeanTraceRidge(reg)):
        with pytest.raises(ValueError, match="it must be one finite number >= 0"):
            regularizers.check_reg(given, 2, 3)
    regularizers.check_reg(0, 3, 3)
    with pytest.raises(ValueError, match="reg = 0 with k = 4 neighbors in 3 dimensions"):
        regularizers.check_reg(regularizers.NoRidge(), 4, 3)
    with pytest.raises(ValueError, match="candidates = 1"):
        CrossValidatedRidge(3, candidates=1)


def test_every_strategy_has_a_structure_of_its_own():
    strategies = (
        regularizers.TraceRidge(0.5),
        regularizers.MeanTraceRidge(0.5),
        regularizers.AbsoluteRidge(0.5),
        jaxlle.nn.SoftmaxKernel(0.5),
        jaxlle.nn.GaussianKernel(0.5),
        regularizers.NoRidge(),
        regularizers.CrossValidatedRidge(5),
    )
    structures = [jax.tree.structure(strategy) for strategy in strategies]
    assert all(a != b for a, b in combinations(structures, 2))  # jit caches programs by structure
    for strategy, structure in zip(strategies, structures, strict=True):
        assert jax.tree.unflatten(structure, jax.tree.leaves(strategy)) == strategy
        assert jax.tree.map(lambda a: 2 * a, strategy).__class__ is strategy.__class__
