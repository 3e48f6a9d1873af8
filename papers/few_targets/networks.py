"""The networks of the study and the four ways to train them: on the labels, on propagated targets, with a term, and jointly."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float

import jaxlle
from jaxlle.derivatives import ConjugateGradient

from .graphs import propagate

ROUNDS = 6  # of joint training
LABEL_TRUST = 100.0  # t in joint training, where the energy of white noise is 1 per point


class Network(NamedTuple):
    """The initial parameters from a key, and the outputs from parameters and images."""

    initial: Callable[[Array, int, int], list]
    apply: Callable[[list, Array], Array]


class Schedule(NamedTuple):
    """The steps of Adam, the images (or anchors) of a step, and the first learning rate, which decreases to 0."""

    steps: int
    batch: int
    rate: float = 3e-3


def perceptron(params: list, x: Float[Array, "n pixels"]) -> Float[Array, "n c"]:
    """Return the outputs of a network of dense layers."""
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    return x @ params[-1][0] + params[-1][1]


def convolutional(params: list, x: Float[Array, "n pixels"]) -> Float[Array, "n c"]:
    """Return the outputs of two convolutions, 5 x 5 with stride 3 and 2 x 2 with stride 2, and two dense layers.

    The convolutions are products with windows of the image; on a CPU, XLA's own convolutions are far slower.
    """
    (w1, b1), (w2, b2), *dense = params
    n, side = len(x), int(np.sqrt(x.shape[1]))
    places = (side - 5) // 3 + 1
    images = x.reshape(n, side, side)
    parts = [images[:, i : i + 3 * places - 2 : 3, j : j + 3 * places - 2 : 3] for i in range(5) for j in range(5)]
    x = jax.nn.relu(jnp.stack(parts, axis=-1) @ w1 + b1)
    x = x.reshape(n, places // 2, 2, places // 2, 2, -1).transpose(0, 1, 3, 2, 4, 5).reshape(n, (places // 2) ** 2, -1)
    return perceptron(dense, jax.nn.relu(x @ w2 + b2).reshape(n, -1))


def _dense(key: Array, pixels: int, outputs: int) -> list:
    return _drawn(key, ((pixels, 128), (128, 128), (128, outputs)))


def _filters(key: Array, pixels: int, outputs: int) -> list:
    places = (int(np.sqrt(pixels)) - 5) // 3 + 1
    return _drawn(key, ((25, 16), (64, 32), (32 * (places // 2) ** 2, 128), (128, outputs)))


def _drawn(key: Array, shapes: tuple[tuple[int, int], ...]) -> list[tuple[Array, Array]]:
    """Draw weights (He et al. 2015) and zero biases."""
    keys = jax.random.split(key, len(shapes))
    return [(jax.random.normal(a, s) * np.sqrt(2 / s[0]), jnp.zeros(s[1])) for a, s in zip(keys, shapes, strict=True)]


NETWORKS = {"mlp": Network(_dense, perceptron), "cnn": Network(_filters, convolutional)}


@partial(jax.jit, static_argnames=("network", "schedule"))
def fit(
    network: str,
    schedule: Schedule,
    x: Float[Array, "n pixels"],
    targets: Float[Array, "n c"],
    seed: int,
    decay: float = 0.0,
) -> list:
    """Train on the targets of all given images, by full batches if a batch is no smaller."""
    state = _start(network, schedule, (x.shape[1], targets.shape[1]), seed, decay)
    return _descend(_squares(network, schedule, x, targets), schedule, schedule.steps, state, _key(seed), decay)[0]


@partial(jax.jit, static_argnames=("network", "schedule"))
def fit_with_term(
    network: str,
    schedule: Schedule,
    x: Float[Array, "n pixels"],
    targets: Float[Array, "m c"],
    alignment: jaxlle.Alignment,
    weight: float,
    seed: int,
) -> list:
    """Train on the labels and on the energy of the outputs at random anchors and their neighbors."""
    apply, labeled = NETWORKS[network].apply, x[: len(targets)]

    def loss(params: list, key: Array) -> Array:
        anchors = jax.random.randint(key, (schedule.batch,), 0, len(x))
        members = alignment.indices[anchors]
        y = apply(params, x[members.ravel()]).reshape(*members.shape, -1)
        fit = jnp.mean((apply(params, labeled) - targets) ** 2)
        return fit + weight * jaxlle.losses.alignment_loss(y, alignment.blocks[anchors])

    state = _start(network, schedule, (x.shape[1], targets.shape[1]), seed)
    return _descend(loss, schedule, schedule.steps, state, _key(seed))[0]


def fit_jointly(
    network: str,
    schedule: Schedule,
    x: Float[Array, "n pixels"],
    targets: Float[Array, "m c"],
    propagated: Float[Array, "n c"],
    alignment: jaxlle.Alignment,
    attraction: float,
    seed: int,
) -> list:
    """Alternate steps of the network toward f with the closed form of f, and begin with what the labels propagate."""
    state, f = _start(network, schedule, (x.shape[1], targets.shape[1]), seed), propagated
    for r in range(ROUNDS):
        state = _advance(network, schedule, x, f, state, jax.random.fold_in(_key(seed), r))
        f = joint_targets(alignment, targets, predict(network, state[0], x), attraction)
    return state[0]


def joint_targets(
    alignment: jaxlle.Alignment, targets: Float[Array, "m c"], outputs: Float[Array, "n c"], attraction: float
) -> Float[Array, "n c"]:
    """Return the f that minimizes ``t |f_L - y|^2 + |B f|^2 + attraction |f - net(x)|^2``, where t is LABEL_TRUST.

    It is what is propagated from all points, with the weighted mean of label and output where there are both.
    """
    m = len(targets)
    trust = jnp.full(len(outputs), attraction).at[:m].add(LABEL_TRUST)
    wanted = outputs.at[:m].set((LABEL_TRUST * targets + attraction * outputs[:m]) / trust[:m, None])
    return propagate(alignment, wanted, trust, ConjugateGradient())


@partial(jax.jit, static_argnames=("network", "schedule"))
def _advance(network: str, schedule: Schedule, x: Array, targets: Array, state: tuple, key: Array) -> tuple:
    return _descend(_squares(network, schedule, x, targets), schedule, schedule.steps // ROUNDS, state, key)


def _squares(network: str, schedule: Schedule, x: Array, targets: Array) -> Callable[[list, Array], Array]:
    """Return the mean squared error of a random batch as a function of the parameters and a key."""

    def loss(params: list, key: Array) -> Array:
        rows = jax.random.randint(key, (schedule.batch,), 0, len(x))
        seen, wanted = (x, targets) if schedule.batch >= len(x) else (x[rows], targets[rows])
        return jnp.mean((NETWORKS[network].apply(params, seen) - wanted) ** 2)

    return loss


def _key(seed: int | Array) -> Array:
    return jax.random.fold_in(jax.random.key(seed), 1)


def _optimizer(schedule: Schedule, decay: float | Array) -> optax.GradientTransformation:
    return optax.adamw(optax.cosine_decay_schedule(schedule.rate, schedule.steps), weight_decay=decay)


@partial(jax.jit, static_argnames=("network", "schedule", "shape"))
def _start(
    network: str, schedule: Schedule, shape: tuple[int, int], seed: int | Array, decay: float | Array = 0.0
) -> tuple:
    params = NETWORKS[network].initial(jax.random.key(seed), *shape)
    return params, _optimizer(schedule, decay).init(params)


def _descend(
    loss: Callable, schedule: Schedule, steps: int, state: tuple, key: Array, decay: float | Array = 0.0
) -> tuple:
    optimizer = _optimizer(schedule, decay)

    def step(carry: tuple, key: Array) -> tuple[tuple, None]:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params, key), state, params)
        return (optax.apply_updates(params, updates), state), None

    return lax.scan(step, state, jax.random.split(key, steps))[0]


@partial(jax.jit, static_argnames="network")
def predict(network: str, params: list, x: Float[Array, "n pixels"]) -> Float[Array, "n c"]:
    """Return the outputs of a network."""
    return NETWORKS[network].apply(params, x)
