"""Weston, Ratle and Collobert (2008), Deep learning via semi-supervised embedding. ICML, 1168-1175.

DOI: 10.1145/1390156.1390303. The table of small data sets, g50c: 50 labelled of 550 points, two Gaussians in 50 dimensions.

Claim: a network that also embeds unlabelled points errs half as often as one that sees the labels alone. The embedding pulls
neighbours' outputs together and pushes others to a margin, beside the supervised loss.

Ours beside it: the same network with the cost of LLE in place of the pull.

What the numbers can be: the best rule errs on 5 % of all points, and on 3 to 8 % of the 500 that are measured in a sample, so
that rule's error on the same points stands beside the methods'.

Found: unlabelled points help, by a third rather than by half: the network alone, its penalty on the weights chosen too, errs on
7.96 %. EmbedNN errs on 5.56 % where the best rule errs on 5.19 %: the published 5.66 % is reached, and the difference from it is
near a standard error (0.09). All three ways of using the unlabelled points (the push alone 5.56, the LLE network 5.56) come
within 0.4 points of the best rule and cannot be told apart. With a strong penalty on the weights, pushing all outputs apart
already finds the direction in which the points differ most: neither the pull nor the cost of LLE adds to it.

Differs from the paper: its ten splits of one sample are not published; ours are fresh samples, with the means 3.29 standard
deviations apart, for which the best rule errs on 5 %. The direction from mean to mean is drawn at random: where it is the
diagonal, Adam's steps, which are alike in all coordinates, find it too easily (the push alone then came within 0.02 points of
the best rule). The network is one unit on centred inputs, without a bias, and the push is on its output. All points are used in
every step, each pushed from four random others. The strengths of the terms, one set a method, were chosen on other samples, and
every setting was tried in all of the methods that have its terms.

Run: jaxlle papers run weston_ratle_collobert_2008 --full
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from sklearn.svm import SVC

import jaxlle
from jaxlle.losses import lle_loss, pull_loss, push_loss

PUBLISHED: dict[str, tuple[float, str]] = {
    "SVM: error, %": (8.32, "M"),
    "network: error, %": (10.62, "M"),
    "Laplacian SVM: error, %": (5.4, "M"),
    "EmbedNN: error, %": (5.66, "M"),
    "best rule: error, %": (5.0, "D"),
}
HEADLINE = (
    "best rule: error, %",
    "SVM: error, %",
    "network: error, %",
    "push alone: error, %",
    "EmbedNN: error, %",
    "LLE network: error, %",
)
SMALL = {"seeds": 4, "steps": 100}


class Strengths(NamedTuple):
    """Weights of the terms beside the cross-entropy, and the margin of the push."""

    lle: float | Array = 0.0
    pull: float | Array = 0.0
    push: float | Array = 0.0
    margin: float | Array = 1.0
    decay: float | Array = 1e-2


class Sample(NamedTuple):
    """Points, the first of them labelled, with the direction from class to class and with their graphs."""

    x: Float[Array, "n d"]
    y: Int[Array, " n"]
    direction: Float[Array, " d"]
    near: Int[Array, "n k"]
    weights: Float[Array, "n k"]


METHODS = {
    "network": Strengths(decay=40.0),
    "push alone": Strengths(push=100.0, margin=3.0, decay=400.0),
    "EmbedNN": Strengths(pull=10.0, push=100.0, margin=3.0, decay=400.0),
    "LLE network": Strengths(lle=10.0, push=100.0, margin=3.0, decay=400.0),
}
SHIFT = 1.6448536  # where the normal distribution's upper tail is 5 %


def main(
    n: int = 550,
    features: int = 50,
    labeled: int = 50,
    k: int = 20,
    reg: float = 1.0,
    steps: int = 250,
    seeds: int = 50,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Train every method on all samples at once, and measure it on the points without labels."""
    samples = [_sample(seed, n, features, k, reg) for seed in range(seeds)]
    stacked = Sample(*(jnp.stack(parts) for parts in zip(*samples, strict=True)))
    report(f"{seeds} samples", {})
    best = (jax.vmap(jnp.dot)(stacked.x, stacked.direction) > 0) != stacked.y
    errors = {"best rule": np.asarray(best[:, labeled:].mean(axis=1)), "SVM": _svm_errors(samples, labeled)}
    train = jax.jit(jax.vmap(partial(_train, labeled=labeled, steps=steps), in_axes=(0, 0, None)))
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    out = {}
    for name, strengths in METHODS.items():
        weights = train(stacked, keys, Strengths(*map(jnp.asarray, strengths)))
        wrong = (jax.vmap(_outputs)(weights, stacked.x) > 0) != stacked.y
        errors[name] = np.asarray(wrong[:, labeled:].mean(axis=1))
        report(name, _summary(name, errors))
    for name in errors:
        out |= _summary(name, errors)
    if figure is not None:
        draw(errors, figure)
    return out


def draw(errors: dict[str, np.ndarray], figure: str) -> None:
    """Draw the errors of all samples, method by method."""
    import matplotlib.pyplot as plt

    picture, plane = plt.subplots(figsize=(8, 4.5), layout="constrained")
    plane.boxplot([100 * e for e in errors.values()], tick_labels=list(errors), showmeans=True)
    plane.axhline(5.66, color="0.6", linestyle="--", label="EmbedNN as published [from memory]")
    plane.set(ylabel="error on the unlabelled points, %")
    plane.legend()
    picture.savefig(figure, dpi=110)
    plt.close(picture)


def _summary(name: str, errors: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the mean error in percent, and how far it is above the best rule's with the mean's standard error."""
    over = 100 * (errors[name] - errors["best rule"])
    row = {f"{name}: error, %": 100 * float(errors[name].mean())}
    if name == "best rule":
        return row
    spread = float(over.std(ddof=1) / np.sqrt(len(over)))
    return row | {f"{name}: above the best rule": float(over.mean()), f"{name}: standard error": spread}


def _sample(seed: int, n: int, features: int, k: int, reg: float) -> Sample:
    noise, turn = jax.random.split(jax.random.key(seed))
    direction = jax.random.normal(turn, (features,))  # at random: Adam's equal steps would favour the diagonal
    direction /= jnp.linalg.norm(direction)
    y = jnp.arange(n) % 2
    x = jax.random.normal(noise, (n, features)) + SHIFT * (2 * y[:, None] - 1) * direction
    near = jaxlle.knn(x, k)
    return Sample(x, y, direction, near.indices, jaxlle.barycentric_weights(x, near, reg=reg))


def _svm_errors(samples: list[Sample], labeled: int) -> np.ndarray:
    def one(sample: Sample) -> float:
        x, y = np.asarray(sample.x), np.asarray(sample.y)
        return float(np.mean(SVC().fit(x[:labeled], y[:labeled]).predict(x[labeled:]) != y[labeled:]))

    return np.array([one(sample) for sample in samples])


def _outputs(weights: Float[Array, " d"], x: Float[Array, "n d"]) -> Float[Array, " n"]:
    return jnp.dot(x - x.mean(axis=0), weights, precision="highest")


def _train(sample: Sample, key: Array, strengths: Strengths, *, labeled: int, steps: int) -> Float[Array, " d"]:
    """Return the weights of a network trained on one sample."""
    optimizer = optax.adam(optax.linear_schedule(0.03, 0.0, steps))
    n, features = sample.x.shape

    def loss(weights: Array, key: Array) -> Array:
        outputs = _outputs(weights, sample.x)
        supervised = optax.sigmoid_binary_cross_entropy(
            outputs[:labeled], sample.y[:labeled].astype(outputs.dtype)
        ).mean()
        z = outputs[:, None]
        others = z[jax.random.randint(key, (n, 4), 0, n)]
        return (
            supervised
            + strengths.lle * lle_loss(z, z[sample.near], sample.weights)
            + strengths.pull * pull_loss(z, z[sample.near])
            + strengths.push * push_loss(z, others, margin=strengths.margin)
            + strengths.decay * jnp.sum(weights**2)
        )

    def step(carry: tuple, key: Array) -> tuple[tuple, None]:
        weights, state = carry
        change, state = optimizer.update(jax.grad(loss)(weights, key), state)
        return (optax.apply_updates(weights, change), state), None

    weights = jnp.zeros(features)  # from 0, where the push is flat, so that the labels choose which side is which
    (weights, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), jax.random.split(key, steps))
    return weights
