"""Explanations: agreement with forward-mode derivatives, linear maps, least squares in NumPy, and finite differences."""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxlle
from jaxlle.explanation import explain, influence, jacobian, jvp

matplotlib.use("Agg")

import matplotlib.pyplot as plt


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 4)), rng.normal(size=(60, 4)), rng.normal(size=(4, 3))


def curved(x):
    return jnp.stack([jnp.sin(x[:, 0]) * x[:, 1], jnp.sum(x**2, axis=1), jnp.tanh(x[:, 3])], axis=1)


@pytest.mark.slow
def test_the_jacobian_agrees_with_forward_mode_at_each_point(x64, data):
    z, _, _ = data
    expected = jax.vmap(jax.jacfwd(lambda a: curved(a[None])[0]))(z)
    np.testing.assert_allclose(jacobian(curved, z), expected, atol=1e-12)
    np.testing.assert_allclose(jax.jit(lambda a: jacobian(curved, a))(z), expected, atol=1e-12)


def test_the_jvp_is_the_jacobian_times_the_directions(x64, data):
    z, _, _ = data
    v = np.random.default_rng(1).normal(size=z.shape)
    expected = np.einsum("qcd,qd->qc", jacobian(curved, z), v)
    np.testing.assert_allclose(jvp(curved, z, v), expected, atol=1e-12)
    steps = (curved(z + 1e-6 * v) - curved(z - 1e-6 * v)) / 2e-6
    np.testing.assert_allclose(jvp(curved, z, v), steps, atol=1e-8)


def test_the_jacobian_of_the_out_of_sample_map_agrees_with_finite_differences(x64, data):
    z, bank, _ = data
    known = jaxlle.serving.OutOfSampleMap(bank, bank[:, :2] ** 2, k=5, reg=1e-2)
    v = np.random.default_rng(1).normal(size=z.shape)
    steps = (known(z + 1e-6 * v) - known(z - 1e-6 * v)) / 2e-6
    np.testing.assert_allclose(np.einsum("qcd,qd->qc", jacobian(known, z), v), steps, atol=1e-6)


def test_the_influence_on_a_row_of_a_mixture_of_all_points_is_its_matrix(data):
    z, _, a = data
    mixture = np.random.default_rng(1).normal(size=(5, 5))
    for row in (0, 3):
        found = influence(lambda x: jnp.asarray(mixture, x.dtype) @ x @ a, z.astype(np.float32), row)
        np.testing.assert_allclose(found, np.einsum("n,dc->cnd", mixture[row], a), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="row = 5"):
        influence(lambda x: x, z.astype(np.float32), 5)


@pytest.mark.slow
def test_the_influence_on_an_embedding_agrees_with_finite_differences_up_to_rotations(x64):
    x = np.random.default_rng(0).normal(size=(30, 3))
    neighbors = jaxlle.knn(x, 8)

    def embedding(a):
        return jaxlle.lle(a, 2, k=8, reg=1e-2, neighbors=neighbors, solver=jaxlle.solvers.SparseLU()).points

    y, maps = np.asarray(embedding(x)), np.asarray(influence(embedding, x, 4))
    v = np.random.default_rng(1).normal(size=x.shape)
    step = 1e-5
    squares = [float((np.asarray(embedding(x + s * step * v))[4] ** 2).sum()) for s in (1, -1)]
    moved = np.einsum("cnd,nd->c", maps, v)
    np.testing.assert_allclose(2 * y[4] @ moved, (squares[0] - squares[1]) / (2 * step), rtol=1e-5)
    np.testing.assert_allclose(
        maps.sum(axis=1), 0, atol=1e-8 * np.abs(maps).max()
    )  # the embedding is invariant under translations


@pytest.mark.slow
def test_a_linear_map_is_explained_on_the_span_of_the_neighbors(x64, data):
    z, bank, a = data
    out = explain(lambda x: x @ a + 1, z, bank, 6, reg=1e-9)
    ids = np.argsort(((z[:, None] - bank) ** 2).sum(-1), axis=1)[:, :6]
    np.testing.assert_array_equal(out.neighbors.indices, ids)
    np.testing.assert_allclose(out.contributions, out.weights[..., None] * (bank[ids] @ a + 1), atol=1e-10)
    np.testing.assert_allclose(
        out.contributions.sum(axis=1), out.outputs, atol=1e-6
    )  # k > d, so the neighbors span the space
    np.testing.assert_allclose(out.output_residuals, 0, atol=1e-6)
    np.testing.assert_allclose(out.slopes, np.broadcast_to(a.T, (5, 3, 4)), atol=1e-5)
    few = explain(lambda x: x @ a + 1, z, bank, 3, reg=1e-9)
    for i in range(5):  # the slopes are those of the map in the span of the neighbors, and 0 orthogonally to it
        differences = bank[ids[i, :3]] - z[i]
        projector = np.linalg.pinv(differences) @ differences
        np.testing.assert_allclose(few.slopes[i], a.T @ projector, atol=1e-4)


def test_residuals_spreads_and_slopes_agree_with_their_formulas(x64, data):
    z, bank, _ = data
    out = explain(curved, z, bank, 6, reg=0.1)
    f, values = np.asarray(curved(z)), np.asarray(curved(bank))[np.asarray(out.neighbors.indices)]
    residuals = np.linalg.norm(f - np.einsum("qk,qkc->qc", out.weights, values), axis=1)
    np.testing.assert_allclose(out.output_residuals, residuals, atol=1e-10)
    np.testing.assert_allclose(out.spreads, np.sqrt(((values - f[:, None]) ** 2).sum(-1).mean(1)), atol=1e-10)
    np.testing.assert_allclose(out.input_residuals, jaxlle.extension.project(z, bank, 6, reg=0.1).residuals)
    for i in range(5):
        differences = bank[np.asarray(out.neighbors.indices)[i]] - z[i]
        ridge = 0.1 * np.trace(differences @ differences.T)
        stacked = np.concatenate([differences, np.sqrt(ridge) * np.eye(4)])
        target = np.concatenate([values[i] - f[i], np.zeros((4, 3))])
        np.testing.assert_allclose(out.slopes[i], np.linalg.lstsq(stacked, target, rcond=None)[0].T, atol=1e-9)


@pytest.mark.slow
def test_an_explanation_runs_under_jit_vmap_and_grad(x64, data):
    z, bank, _ = map(jnp.asarray, data)

    def parts(z, bank):
        out = explain(curved, z, bank, 6, reg=0.1)
        return out.output_residuals, out.slopes, out.contributions

    expected = parts(z, bank)
    for got, want in zip(jax.jit(parts)(z, bank), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-10)
    each = jax.vmap(lambda a: parts(a[None], bank))(z)
    for got, want in zip(each, expected, strict=True):
        np.testing.assert_allclose(got[:, 0], want, atol=1e-10)
    check_grads(jax.jit(parts), (z[:2], bank), order=1, modes=["rev"])


@pytest.mark.slow
def test_explanations_do_not_depend_on_the_units_and_float32_agrees_with_float64(x64, data):
    z, bank, _ = data
    exact = explain(curved, z, bank, 6)
    single = explain(curved, z.astype(np.float32), bank.astype(np.float32), 6)
    assert single.slopes.dtype == np.float32
    np.testing.assert_allclose(single.slopes, exact.slopes, atol=1e-3 * abs(exact.slopes).max())
    far = explain(lambda x: curved(x / 1e30), 1e30 * z.astype(np.float32), 1e30 * bank.astype(np.float32), 6)
    np.testing.assert_allclose(1e30 * far.slopes, exact.slopes, atol=1e-3 * abs(exact.slopes).max())


@pytest.mark.slow
def test_repeated_points_and_a_constant_map_give_finite_values_and_gradients():
    bank = jnp.repeat(jnp.asarray(np.random.default_rng(0).normal(size=(10, 3)), jnp.float32), 4, axis=0)

    def total(z):
        out = explain(lambda x: 0 * x[:, :2] + 1, z, bank, 4)
        return out.output_residuals.sum() + out.spreads.sum() + out.slopes.sum() + out.input_residuals.sum()

    with jax.debug_nans(True):
        value, grad = jax.value_and_grad(total)(bank[:3])
    assert value == 0
    assert np.isfinite(grad).all()


def test_given_neighbors_replace_the_search_and_masked_ones_are_left_out(data):
    z, bank, _ = (a.astype(np.float32) for a in data)
    few = explain(curved, z, bank, 6, reg=0.1)
    nine = jaxlle.knn(bank, 9, query=z)._replace(mask=jnp.broadcast_to(jnp.arange(9) < 6, (5, 9)))
    found = explain(curved, z, bank, 3, reg=0.1, neighbors=nine)
    for name in ("outputs", "output_residuals", "spreads", "input_residuals", "slopes"):
        np.testing.assert_allclose(getattr(found, name), getattr(few, name), rtol=1e-3, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(found.contributions[:, :6], few.contributions, rtol=1e-3, atol=1e-5)
    assert not found.contributions[:, 6:].any()


@pytest.mark.slow
def test_outputs_that_are_integers_or_booleans_are_explained_in_floating_point(data):
    z, bank, _ = (a.astype(np.float32) for a in data)
    for dtype in (np.uint8, bool):
        out = explain(lambda x, dtype=dtype: (10 * (x[:, :1] > 0)).astype(dtype), z, bank, 6)
        expected = explain(lambda x, dtype=dtype: (10 * (x[:, :1] > 0)).astype(dtype).astype(jnp.float32), z, bank, 6)
        for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_invalid_input_raises(data):
    z, bank, _ = (a.astype(np.float32) for a in data)
    with pytest.raises(ValueError, match=r"returned outputs of shape \(5,\) for 5 points"):
        jacobian(lambda x: x.sum(axis=1), z)
    with pytest.raises(ValueError, match=r"returned outputs of shape \(1, 4\) for 5 points"):
        explain(lambda x: x[:1], z, bank, 3)
    with pytest.raises(ValueError, match="directions has shape"):
        jvp(curved, z, z[:2])
    with pytest.raises(ValueError, match="row = 5"):
        influence(curved, z, 5)
    with pytest.raises(ValueError, match="bank contains NaN"):
        explain(curved, z, np.full_like(bank, np.nan), 3)
    out = explain(curved, z, bank, 3)
    with pytest.raises(ValueError, match="do not match"):
        jaxlle.plot.explanation(out, z, bank, (3, 2))
    with pytest.raises(ValueError, match="output = 3 is not allowed"):
        jaxlle.plot.explanation(out, z, bank, (2, 2), output=3)


@pytest.mark.slow
def test_the_figure_shows_digits_their_derivatives_and_their_nearest_neighbors():
    digits = jaxlle.datasets.digits()
    x = (digits.points / 16).astype(np.float32)
    bank, z = x[3:400], x[:3]
    maps = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)

    def classifier(a):
        return jax.nn.softmax(a @ maps)

    out = explain(classifier, z, bank, 6)
    figure = jaxlle.plot.explanation(out, z, bank, (8, 8), jacobian=jacobian(classifier, z), count=2)
    figure.canvas.draw()
    axes = np.array(figure.axes).reshape(3, 5)
    for row, c in enumerate(np.asarray(out.outputs).argmax(axis=1)):
        shares = np.asarray(out.contributions)[row, :, c]
        first = int(np.abs(shares).argmax())
        drawn = [ax.images[0].get_array() for ax in axes[row]]
        np.testing.assert_array_equal(drawn[0], z[row].reshape(8, 8))
        np.testing.assert_allclose(drawn[1], np.asarray(out.slopes)[row, c].reshape(8, 8))
        np.testing.assert_array_equal(drawn[3], bank[int(out.neighbors.indices[row, first])].reshape(8, 8))
        assert axes[row, 3].get_title() == f"{shares[first]:+.3g}"
    plt.close("all")
