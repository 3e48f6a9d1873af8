"""Training with few targets: comparison with gradient steps and linear systems in NumPy, lower errors, and invalid arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxlle
from jaxlle.nn import Coupling, CrossEntropy, SquaredError, Steps, fit_jointly, fit_targets, fit_with_alignment

N, D, C = 40, 3, 2
KNOWN = np.array([2, 9, 17, 25, 33])
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
TARGETS = np.random.default_rng(1).normal(size=(N, C)).astype(np.float32)
ONE = Steps(1, N, optax.sgd(0.1))


def linear(outputs=C):
    return nnx.Linear(D, outputs, use_bias=False, rngs=nnx.Rngs(0))


def kernel(model):
    return np.asarray(model.kernel[...], np.float64)


def network(seed=0):
    rngs = nnx.Rngs(seed)
    return nnx.Sequential(nnx.Linear(D, 64, rngs=rngs), jax.nn.relu, nnx.Linear(64, C, rngs=rngs))


@pytest.mark.slow
def test_a_step_on_all_targets_is_a_gradient_step_with_normalized_confidence():
    confidence = np.linspace(0, 4, N).astype(np.float32)
    for weights in (None, confidence):
        model = linear()
        start = kernel(model)
        fit_targets(model, X, TARGETS, confidence=weights, options=ONE)
        w = np.ones(N) if weights is None else confidence / confidence.mean()
        gradient = 2 * X.T @ (w[:, None] * (X @ start - TARGETS)) / N
        np.testing.assert_allclose(kernel(model), start - 0.1 * gradient, atol=1e-6)


def test_points_without_confidence_do_not_matter():
    models, wrong = [linear(), linear()], TARGETS.copy()
    confidence = (np.arange(N) % 2).astype(np.float32)
    wrong[::2] = 100
    for model, targets in zip(models, (TARGETS, wrong), strict=True):
        fit_targets(model, X, targets, confidence=confidence, options=Steps(20, 16))
    np.testing.assert_array_equal(kernel(models[0]), kernel(models[1]))


@pytest.mark.slow_cases("lle")
@pytest.mark.parametrize("name", ["lle", "ltsa"])
def test_a_step_with_the_alignment_is_a_gradient_step_on_targets_and_cost(name):
    alignment = {"lle": jaxlle.lle_alignment(X, k=6), "ltsa": jaxlle.ltsa_alignment(X, 2, k=6)}[name]
    model = linear()
    start = kernel(model)
    fit_with_alignment(model, X, alignment, KNOWN, TARGETS[KNOWN], weight=3.0, options=ONE)
    b = np.asarray(alignment.to_dense(), np.float64)
    fit = X[KNOWN].T @ (X[KNOWN] @ start - TARGETS[KNOWN]) / len(KNOWN)
    cost = (b @ X).T @ (b @ X) @ start / N
    np.testing.assert_allclose(kernel(model), start - 0.1 * (2 * fit + 2 * 3.0 * cost), atol=1e-5)


@pytest.mark.slow
def test_mini_batches_give_an_unbiased_gradient_of_the_cost():
    alignment = jaxlle.lle_alignment(X, k=6)
    steps = []
    for seed in range(300):
        model = linear()
        options = Steps(1, 5, ONE.optimizer, seed=seed)
        fit_with_alignment(model, X, alignment, KNOWN, TARGETS[KNOWN], weight=3.0, options=options)
        steps.append(kernel(model))
    whole = linear()
    fit_with_alignment(whole, X, alignment, KNOWN, TARGETS[KNOWN], weight=3.0, options=ONE)
    error = np.std(steps, axis=0) / np.sqrt(len(steps))
    assert (np.abs(np.mean(steps, axis=0) - kernel(whole)) < 4 * error).all()


@pytest.mark.slow
def test_classes_are_trained_by_cross_entropy_and_the_cost_of_probabilities():
    alignment, labels = jaxlle.lle_alignment(X, k=6), np.eye(C, dtype=np.float32)[np.arange(5) % 2]
    model, b = linear(), alignment.to_dense()
    start = jnp.asarray(model.kernel[...])

    def objective(w):
        p = jax.nn.softmax(X @ w)
        fit = -jnp.mean(jnp.sum(labels * jnp.log(p[KNOWN]), axis=1))
        return fit + 3.0 * jnp.sum((b @ p) ** 2) / N

    options = {"weight": 3.0, "loss": CrossEntropy(), "options": ONE}
    found = fit_with_alignment(model, X, alignment, KNOWN, labels, **options)
    np.testing.assert_allclose(found[0], objective(start), rtol=1e-5)
    np.testing.assert_allclose(kernel(model), start - 0.1 * jax.grad(objective)(start), atol=1e-5)
    outside = jnp.array([[1.2, -0.1], [0.25, 0.5]])
    np.testing.assert_allclose(CrossEntropy().admissible(outside), [[1, 0], [1 / 3, 2 / 3]], atol=1e-6)


def test_the_joint_targets_solve_the_linear_system_of_the_trained_network():
    alignment = jaxlle.lle_alignment(X, k=6)
    m = np.asarray(alignment.to_dense(), np.float64)
    m, e = m.T @ m, np.isin(np.arange(N), KNOWN).astype(float)
    y = np.where(e[:, None] > 0, TARGETS, 0)
    first, both, options = linear(), linear(), Steps(30, 16)
    start = fit_jointly(first, X, alignment, KNOWN, TARGETS[KNOWN], Coupling(2.0, 0.3, 1), options=options)
    np.testing.assert_allclose(start.targets, np.linalg.solve(np.diag(e) + 2 * m, y), atol=1e-3)
    out = fit_jointly(both, X, alignment, KNOWN, TARGETS[KNOWN], Coupling(2.0, 0.3, 2), options=options)
    expected = np.linalg.solve(np.diag(e) + 2 * m + 0.3 * np.eye(N), y + 0.3 * X @ kernel(first))
    np.testing.assert_allclose(out.targets, expected, atol=1e-3)
    np.testing.assert_allclose(out.losses[:30], start.losses, atol=1e-5)
    assert out.losses.shape == (60,)


@pytest.mark.slow
def test_every_way_lowers_the_error_on_new_points_of_a_curved_surface():
    curve = jaxlle.datasets.s_curve(jax.random.key(0), 600)
    truth = (curve.parameters - curve.parameters.mean(axis=0)) / curve.parameters.std(axis=0)
    x, known = curve.points[:400], np.arange(0, 400, 40)
    alignment = jaxlle.ltsa_alignment(x, 2, k=10)
    options = Steps(400, 64, optax.adam(3e-3))

    def error(model):
        return float(jnp.sqrt(jnp.mean((model(curve.points[400:]) - truth[400:]) ** 2)))

    plain, taught, term, joint = (network() for _ in range(4))
    fit_targets(plain, x[known], truth[known], options=options)
    out = jaxlle.semisupervised.propagate(alignment, known, truth[known])
    fit_targets(taught, x, out.targets, options=options)
    steps = Steps(1500, 64, optax.adam(3e-3))  # the cost is small, and takes more steps; its weight is the best of five
    fit_with_alignment(term, x, alignment, known, truth[known], weight=30.0, options=steps)
    fit_jointly(joint, x, alignment, known, truth[known], Coupling(1.0, 1e-3, 2), options=options)
    assert error(taught) < 0.5 * error(plain)
    assert error(term) < 0.5 * error(plain)
    assert error(joint) < 0.5 * error(plain)


def test_the_same_seed_gives_the_same_network_and_batches_are_random():
    runs = []
    for seed in (0, 0, 1):
        model = linear()
        runs.append(fit_targets(model, X, TARGETS, options=Steps(10, 8, seed=seed)))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("returns outputs of shape", {"model": linear(3)}),
        ("one row of targets per row", {"targets": TARGETS[:9]}),
        ("targets contains NaN", {"targets": np.where(TARGETS > 2, np.nan, TARGETS)}),
        ("x contains NaN", {"x": np.where(X > 2, np.nan, X)}),
        ("confidence must be one nonnegative weight", {"confidence": -np.ones(N)}),
        ("confidence must be one nonnegative weight", {"confidence": np.ones(3)}),
        ("confidence must be one nonnegative weight", {"confidence": np.zeros(N)}),
    ],
)
def test_invalid_arguments_of_fit_targets_raise(message, changes):
    arguments = {"model": linear(), "x": X, "targets": TARGETS, "options": ONE, **changes}
    with pytest.raises(ValueError, match=message):
        fit_targets(**arguments)


def test_invalid_alignments_known_points_and_weights_raise():
    alignment = jaxlle.lle_alignment(X, k=6)
    with pytest.raises(ValueError, match="The alignment has 40 points, but x has 39 rows"):
        fit_with_alignment(linear(), X[:39], alignment, KNOWN, TARGETS[KNOWN], weight=1.0)
    with pytest.raises(ValueError, match="known ranges from 40 to 40, but there are 40 points"):
        fit_with_alignment(linear(), X, alignment, [40], TARGETS[:1], weight=1.0)
    with pytest.raises(ValueError, match="known lists no point"):
        fit_jointly(linear(), X, alignment, np.zeros(0, int), TARGETS[:0], Coupling(1.0, 1.0))
    with pytest.raises(ValueError, match="weight = -1"):
        fit_with_alignment(linear(), X, alignment, KNOWN, TARGETS[KNOWN], weight=-1.0)
    with pytest.raises(ValueError, match="known lists 5 points, but targets has 40 rows"):
        fit_with_alignment(linear(), X, alignment, KNOWN, TARGETS, weight=1.0)
    for smoothness, closeness in ((0.0, 1.0), (1.0, np.nan)):
        with pytest.raises(ValueError, match="must be positive and finite"):
            Coupling(smoothness, closeness)
    with pytest.raises(ValueError, match="steps = 0"):
        Steps(0)
    with pytest.raises(ValueError, match="rounds = 0"):
        Coupling(1.0, 1.0, 0)


def test_a_loss_that_is_not_finite_raises():
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        fit_targets(linear(), X, TARGETS, loss=SquaredError(), options=Steps(200, N, optax.sgd(1e3)))
