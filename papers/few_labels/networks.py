"""Networks of the study: deformed digits, the methods that train on labeled and unlabeled digits, and their settings."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int, Key, UInt8

from .._digits import WINDOWS

CLASSES = 10
LABELED, UNLABELED = 16, 96  # digits per step
SHAPES = ((25, 32), (128, 64), (1024, CLASSES))

Params = list[tuple[Array, Array]]


class Data(NamedTuple):
    """What a network is trained on."""

    mild: UInt8[Array, "digits copies 784"]  # deformed copies of all digits
    strong: UInt8[Array, "digits copies 784"]
    pool: Int[Array, " n"]  # the digits for training, of which the first `labeled` have labels
    labels: Int[Array, " labeled"]
    targets: Float[Array, "n classes"]  # propagated; not used without teaching
    weights: Float[Array, " n"]


class Term(NamedTuple):
    """Setting of a method: the weight of its term for unlabeled digits, and a further parameter.

    The latter is the radius of VAT, the threshold of FixMatch or, for the supervised network, the decay of the weights.
    """

    weight: float = 0.0
    second: float = 0.0
    strong: bool = False  # whether the labeled digits are strongly deformed

    def __str__(self) -> str:
        return f"weight {self.weight:g}, parameter {self.second:g}" + ", strong" * self.strong


class Teaching(NamedTuple):
    """How propagated targets are used: only the most probable class, and weighted by confidence."""

    hard: bool
    weighted: bool

    def __str__(self) -> str:
        return ("classes" if self.hard else "probabilities") + (", by confidence" if self.weighted else "")


TEACHING = [Teaching(hard, weighted) for hard in (True, False) for weighted in (True, False)]
SETTINGS = {  # of the methods without a graph
    "supervised": [Term(0, decay, strong) for decay in (0, 0.1) for strong in (False, True)],
    "pseudo-label": [Term(weight) for weight in (0.1, 0.3, 1, 3)],
    "VAT": [Term(1, radius) for radius in (0.5, 1, 2, 4)],
    "Mean Teacher": [Term(weight) for weight in (3, 10, 30, 100)],
    "FixMatch": [Term(weight, threshold) for weight in (1, 3) for threshold in (0.7, 0.9)],
}


def initial(key: Key[Array, ""]) -> Params:
    """Draw weights (He et al. 2015) and zero biases."""
    keys = jax.random.split(key, len(SHAPES))
    return [(jax.random.normal(a, s) * np.sqrt(2 / s[0]), jnp.zeros(s[1])) for a, s in zip(keys, SHAPES, strict=True)]


def features(params: Params, x: Float[Array, "n 784"]) -> Float[Array, "n 1024"]:
    """Return the outputs of two convolutions, 5 x 5 with stride 3 and 2 x 2 with stride 2, as products of matrices.

    On a CPU, XLA's own convolution is several times slower.
    """
    (w1, b1), (w2, b2), _ = params
    x = jax.nn.relu(x[:, WINDOWS].reshape(-1, 25) @ w1 + b1).reshape(-1, 128)
    return jax.nn.relu(x @ w2 + b2).reshape(-1, 1024)


def logits(params: Params, x: Float[Array, "n 784"]) -> Float[Array, "n classes"]:
    """Return the logits of the convolutional network."""
    return features(params, x) @ params[-1][0] + params[-1][1]


def teach(targets: Any, teaching: Teaching, labels: np.ndarray) -> tuple[Array, Array]:
    """Return the targets of all digits of the pool, with the labels where they are known, and their weights."""
    p = jax.nn.one_hot(targets.probabilities.argmax(axis=1), CLASSES) if teaching.hard else targets.probabilities
    weights = targets.confidence if teaching.weighted else jnp.ones(len(p))
    known = slice(len(labels))
    return p.at[known].set(jax.nn.one_hot(labels, CLASSES)), weights.at[known].set(1)


def cross_entropy(logits: Float[Array, "n classes"], targets: Float[Array, "n classes"]) -> Float[Array, " n"]:
    """Return -sum_c targets_c log p_c of each row."""
    return -(targets * jax.nn.log_softmax(logits)).sum(axis=1)


@partial(jax.jit, static_argnames=("method", "taught", "steps"))
def train(
    data: Data,
    key: Key[Array, ""],
    term: Term,
    rate: Float[Any, ""],
    *,
    method: str,
    taught: bool,
    steps: int,
) -> Params:
    """Train a network; return the average of its parameters over about the last hundred steps, for every method.

    All methods minimize the cross-entropy of 16 labeled, mildly deformed digits per step, and most add a term for 96 others.
    Taught networks add the cross-entropy of the latter from their propagated targets.
    """
    decay = term.second if method == "supervised" else 0.0
    optimizer = optax.adamw(optax.cosine_decay_schedule(rate, steps), weight_decay=decay)
    labeled = len(data.labels)
    given = jax.nn.one_hot(data.labels, CLASSES)

    def deformed(copies: Array, rows: Array, key: Array) -> Array:
        return copies[data.pool[rows], jax.random.randint(key, rows.shape, 0, copies.shape[1])] / jnp.float32(255)

    def step(carry: tuple, t: Array) -> tuple[tuple, None]:
        params, average, state = carry
        keys = jax.random.split(jax.random.fold_in(key, t), 8)
        rows = jax.random.randint(keys[0], (LABELED if labeled < len(data.pool) else LABELED + UNLABELED,), 0, labeled)
        others = jax.random.randint(keys[2], (UNLABELED,), 0, len(data.pool))
        x = deformed(data.mild, rows, keys[1])
        if method == "supervised":
            x = jnp.where(term.strong, deformed(data.strong, rows, keys[1]), x)
        x_others = deformed(data.strong if method == "FixMatch" else data.mild, others, keys[3])
        ramp = jnp.minimum(1, t / (0.4 * steps))

        def loss(params: Params) -> Array:
            if method == "supervised" and not taught:
                return cross_entropy(logits(params, x), given[rows]).mean()
            out, seen = jnp.split(logits(params, jnp.concatenate([x, x_others])), [LABELED])
            total = cross_entropy(out, given[rows]).mean()
            if taught:
                total += (data.weights[others] * cross_entropy(seen, data.targets[others])).mean()
            if method == "pseudo-label":
                total += term.weight * ramp * cross_entropy(seen, most_probable(seen)).mean()
            if method == "FixMatch":
                sure = lax.stop_gradient(logits(params, deformed(data.mild, others, keys[4])))
                mask = jax.nn.softmax(sure).max(axis=1) > term.second
                total += term.weight * (mask * cross_entropy(seen, most_probable(sure))).mean()
            if method == "Mean Teacher":
                p = jax.nn.softmax(logits(average, deformed(data.mild, others, keys[4])))
                total += term.weight * ramp * ((jax.nn.softmax(seen) - p) ** 2).sum(axis=1).mean()
            if method == "VAT":
                total += term.weight * adversarial_divergence(params, x_others, seen, term.second, keys[5])
            return total

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        keep = jnp.minimum(0.99, (t + 1) / (t + 10))
        return (params, jax.tree.map(lambda a, b: keep * a + (1 - keep) * b, average, params), state), None

    params = initial(jax.random.fold_in(key, steps))
    (_, average, _), _ = lax.scan(step, (params, params, optimizer.init(params)), jnp.arange(steps))
    return average


def most_probable(logits: Float[Array, "n classes"]) -> Float[Array, "n classes"]:
    """Return the most probable class of each row, as a row of the identity matrix."""
    return jax.nn.one_hot(logits.argmax(axis=1), CLASSES)


def adversarial_divergence(
    params: Params, x: Float[Array, "n 784"], seen: Float[Array, "n classes"], radius: Any, key: Key[Array, ""]
) -> Float[Array, ""]:
    """Return the divergence of the outputs `seen` from those after the change of x that raises it most (Miyato et al. 2018).

    The direction of the change is one step of the power iteration of the paper, and its length is the radius.
    """
    log_p = lax.stop_gradient(jax.nn.log_softmax(seen))

    def divergence(change: Array) -> Array:
        return (jnp.exp(log_p) * (log_p - jax.nn.log_softmax(logits(params, x + change)))).sum(axis=1).mean()

    def unit(v: Array) -> Array:
        return v / (jnp.linalg.norm(v, axis=1, keepdims=True) + 1e-12)

    direction = jax.grad(divergence)(0.1 * unit(jax.random.normal(key, x.shape)))
    return divergence(radius * unit(lax.stop_gradient(direction)))
