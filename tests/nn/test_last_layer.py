"""The last layer in closed form: least cost, least squares, and encoders that have no closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxlle
from jaxlle import losses
from jaxlle.metrics import affine_residual, subspace_angle
from jaxlle.nn import ParametricLLE, match_embedding, solve_last_layer
from jaxlle.nn.head import calibrate


def tanh_model(width=128, dim=2, seed=0, **options):
    rngs = nnx.Rngs(seed)
    hidden = nnx.Linear(3, width, bias_init=nnx.initializers.normal(1.0), rngs=rngs)
    network = nnx.Sequential(hidden, jnp.tanh, nnx.Linear(width, dim, rngs=rngs, **options))
    return ParametricLLE(network, dim, k=12, reg=0.1)


@pytest.fixture(scope="module")
def roll():
    x = np.asarray(jaxlle.datasets.swiss_roll(jax.random.key(0), 900).points)
    return (x - x.mean(axis=0)) / x.std()


@pytest.mark.slow_cases("3")
@pytest.mark.parametrize("width", [3, 4])
def test_the_last_layer_of_least_cost_of_a_linear_encoder_is_neighborhood_preserving_embedding(width):
    x = (np.random.default_rng(0).normal(size=(120, 4)) @ np.diag([3, 2, 1, 0.5]) + 5).astype(np.float32)
    encoder = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    if width == 3:  # the output of the first linear layer is the input of neighborhood preserving embedding
        encoder = nnx.Sequential(
            nnx.Linear(4, 3, rngs=nnx.Rngs(1)), nnx.Sequential(nnx.Linear(3, 2, use_bias=False, rngs=nnx.Rngs(2)))
        )
    model = ParametricLLE(encoder, 2, k=10)
    cost = model.solve_last_layer(x)
    seen = x if width == 4 else np.asarray(encoder.layers[0](jnp.asarray(x)))
    with jax.enable_x64(True):
        projection = jaxlle.variants.linear_projection(
            jaxlle.lle_alignment(x.astype(np.float64), k=10), seen.astype(np.float64), 2
        )
        known, least = np.asarray(projection.transform(seen.astype(np.float64))), float((projection.values**2).sum())
        z = np.asarray(model.transform(x), np.float64)
        assert subspace_angle(z - z.mean(axis=0), known) < 1e-4
    assert cost == pytest.approx(least, rel=1e-4)


def centered(y):
    return (y - y.mean(axis=0)).astype(np.float32)


@pytest.mark.slow
def test_the_cost_of_the_last_layer_is_that_of_the_outputs_and_other_layers_cost_more(roll):
    model = tanh_model()
    cost = model.solve_last_layer(roll)
    neighbors, weights = model.graph(roll)
    z = model.transform(roll)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(2), atol=1e-3)
    assert float(losses.lle_loss(z, z[neighbors.indices], weights)) == pytest.approx(cost, rel=0.01)
    for shift in np.random.default_rng(0).normal(size=(5, 128, 2)).astype(np.float32):
        other = tanh_model()
        other.encoder.layers[-1].kernel[...] = model.encoder.layers[-1].kernel[...] + 0.01 * shift
        calibrate(other.head, other.encoder, roll)
        z = other.transform(roll)
        assert float(losses.lle_loss(z, z[neighbors.indices], weights)) > cost


def test_the_last_layer_can_minimize_the_cost_of_any_alignment(roll):
    loose, tight = (jaxlle.lle_alignment(roll, k=12, reg=reg) for reg in (0.1, 0.01))
    both = jaxlle.Alignment(loose.indices, jnp.concatenate([loose.blocks, tight.blocks], axis=1))  # two rows per point
    model = tanh_model()
    cost = model.solve_last_layer(roll, alignment=both)
    assert float(losses.alignment_loss(model.transform(roll)[both.indices], both.blocks)) == pytest.approx(
        cost, rel=0.01
    )
    assert cost > tanh_model().solve_last_layer(roll, alignment=loose) + tanh_model().solve_last_layer(
        roll, alignment=tight
    )


def test_the_layer_that_matches_an_embedding_is_the_least_squares_solution_for_any_units_of_the_embedding(roll):
    exact = np.asarray(jaxlle.lle(roll, 2, k=12, reg=0.1).points, np.float64)
    model, transformed = tanh_model(16), tanh_model(16)
    unexplained = model.match_embedding(roll, exact)
    features = np.asarray(nnx.Sequential(*model.encoder.layers[:-1])(jnp.asarray(roll)), np.float64)
    design = np.column_stack([features, np.ones(len(roll))])
    fitted = design @ np.linalg.lstsq(design, exact)[0]
    z = np.asarray(model.transform(roll))
    assert subspace_angle(z, centered(fitted)) < 1e-3
    white = np.linalg.qr(exact - exact.mean(axis=0))[0]
    residual = white - design @ np.linalg.lstsq(design, white)[0]
    assert unexplained == pytest.approx((residual**2).sum() / 2, rel=1e-4)
    again = transformed.match_embedding(roll, 1e3 * exact @ np.array([[2.0, 1e-3], [0.5, 1e-3]]) + 7)
    assert again == pytest.approx(unexplained, rel=1e-4)
    assert subspace_angle(z, transformed.transform(roll)) < 1e-3


@pytest.mark.slow
def test_new_points_are_mapped_as_accurately_as_by_the_out_of_sample_map(roll):
    known, new = roll[:750], roll[750:]
    exact = jaxlle.lle(known, 2, k=12, reg=0.1).points
    joint = jaxlle.lle(roll, 2, k=12, reg=0.1).points[750:]
    model = tanh_model(256)
    model.match_embedding(known, exact)
    ours, theirs = (
        float(affine_residual(joint, z)) for z in (model.transform(new), jaxlle.transform(new, known, exact, k=12))
    )
    assert ours < 1.5 * theirs


@pytest.mark.slow
def test_a_last_layer_without_bias_with_constant_features_and_in_half_precision(roll):
    model = tanh_model(64, use_bias=False)
    full = model.solve_last_layer(roll)
    first = model.encoder.layers[0]
    first.kernel[...] = first.kernel[...].at[:, :8].set(0)
    assert np.isfinite(model.match_embedding(roll, roll[:, :2]))
    assert np.isfinite(model.transform(roll)).all()
    rngs = nnx.Rngs(0)
    layers = (
        nnx.Linear(3, 64, dtype=jnp.bfloat16, rngs=rngs),
        jnp.tanh,
        nnx.Linear(64, 2, dtype=jnp.bfloat16, rngs=rngs),
    )
    half = ParametricLLE(nnx.Sequential(*layers), 2, k=12, reg=0.1)
    assert 0 < full < half.solve_last_layer(roll) < 1


@pytest.mark.slow
def test_an_encoder_points_or_an_embedding_without_a_solution_raise(roll):
    ends = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), jnp.tanh)
    for bad in (ends, nnx.LoRALinear(3, 2, lora_rank=1, rngs=nnx.Rngs(0))):
        with pytest.raises(ValueError, match=r"only an nnx.Linear has a closed form.*nnx.Sequential"):
            ParametricLLE(bad, 2, k=12).solve_last_layer(roll)
    model = tanh_model()
    before = model.encoder.layers[-1].kernel[...]
    for embedding, message in (
        (roll[:-1, :2], r"shape \(899, 2\), but .* require \(900, 2\)"),
        (roll, r"shape \(900, 3\)"),
        (np.ones((900, 2)), "fewer than its 2 dimensions"),
        (roll[:, [0, 0]], "fewer than its 2 dimensions"),
        (np.full((900, 2), np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            model.match_embedding(roll, embedding)
    with pytest.raises(ValueError, match="The alignment has 899 points"):
        model.solve_last_layer(roll, alignment=jaxlle.lle_alignment(roll[:-1], k=12))
    with pytest.raises(ValueError, match="NaN"):
        model.solve_last_layer(np.full((20, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="requires \\(1, 3\\)"):
        ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 3, k=12).solve_last_layer(roll)
    np.testing.assert_array_equal(model.encoder.layers[-1].kernel[...], before)
    model.encoder.layers[0].kernel[...] = 0 * model.encoder.layers[0].kernel[...]
    with pytest.raises(ValueError, match="span 0 dimensions"):
        model.solve_last_layer(roll)


def test_the_outputs_of_an_encoder_with_a_new_last_layer_are_centered_and_white_or_the_least_squares_fit(roll):
    layers = nnx.Linear(3, 8, rngs=nnx.Rngs(0)), jnp.tanh, nnx.Linear(8, 2, rngs=nnx.Rngs(1))
    encoder, x = nnx.Sequential(*layers), roll[:300] + 1  # the features have a mean, which the bias removes
    alignment = jaxlle.lle_alignment(x, k=12, reg=0.1)
    cost = solve_last_layer(encoder, x, alignment)
    z = np.asarray(encoder(jnp.asarray(x)))
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(z.T @ z / 300, np.eye(2), atol=1e-3)
    assert cost == pytest.approx(float((alignment.matvec(jnp.asarray(z)) ** 2).sum()) / 300, rel=1e-2)
    exact = np.stack([x[:, 1], np.arctan2(x[:, 0], x[:, 2])], axis=1).astype(np.float64)
    unexplained = match_embedding(encoder, x, exact)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(exact.T, bias=True)), (exact - exact.mean(axis=0)).T).T
    design = np.column_stack([np.tanh(layers[0](jnp.asarray(x))), np.ones(300)]).astype(np.float64)
    fit = design @ np.linalg.lstsq(design, white)[0]
    np.testing.assert_allclose(encoder(jnp.asarray(x)), fit, atol=1e-3)
    assert unexplained == pytest.approx(((white - fit) ** 2).sum() / (white**2).sum(), rel=1e-3)
