"""Zuo, Yin, Zeng, Li, Zhu and Wang (2025), Local Linear Attention: an optimal interpolation of linear and softmax attention.

DOI: 10.48550/arXiv.2510.01450. Its experiments on in-context regression and associative recall, as described in the abstract.

Claim: attention by local linear regression adapts to functions that differ between regions of the input, where it has lower
errors of in-context regression than linear and softmax attention. A network of one attention layer sees 64 examples (x, f(x))
of a new function and predicts f at 16 new points; the function is linear, linear in each of four regions with a jump between
them, or constant in each. In associative recall it sees 64 pairs of a name and a value and is asked for values by name.

For comparison: local linear attention with Gaussian instead of softmax weights of the keys.

Found: on linear functions local linear attention has 1 % of the error of softmax attention. On functions that are linear in each
region its error is 21 % lower with the weights of softmax, and 43 % lower with Gaussian weights of the keys; on step functions 11
and 35 % lower. How much of the second difference is due to the Gaussian weights alone was not measured. Linear attention has the
highest error in all tasks. Associative recall by softmax and local linear attention is nearly perfect (less than 0.1 % wrong).

Differs from the paper: of which only the abstract was read. The functions, the sizes and the networks are our own. All networks
have the same parameters: linear maps of x to queries and keys and of (x, f(x)) to values, two heads of width 8, and an MLP of 32
units on x and the outputs of the heads, except that local linear attention also trains a ridge per head. Each attention has its
better rate of Adam of two, selected with another seed.

Run: jaxlle papers run local_linear_attention_2025 --full
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxlle.nn import GaussianKernel, local_linear_attention

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the abstract has no numbers
SMALL = {"steps": 150, "seeds": 1, "rates": (1e-2,)}

HEADS, WIDTH, HIDDEN = 2, 8, 32
FEATURES, REGIONS, NOISE = 3, 4, 0.05
EXAMPLES, QUERIES, NAMES, VALUES = 64, 16, 128, 16
BATCH = 16

Batch = tuple[Array, Array, Array, Array]  # x and f(x) of the examples, x and f(x) of the queries


def _linear_attention(params: Any, q: Array, k: Array, v: Array) -> Float[Array, "b l h e"]:
    return jnp.einsum("blhd,bshd,bshe->blhe", q, k, v) / k.shape[1]


def _softmax_attention(params: Any, q: Array, k: Array, v: Array) -> Float[Array, "b l h e"]:
    return jax.nn.dot_product_attention(q, k, v)


def _local_attention(params: Any, q: Array, k: Array, v: Array) -> Float[Array, "b l h e"]:
    return local_linear_attention(q, k, v, ridge=jnp.exp(params["ridge"]))


def _local_gaussian(params: Any, q: Array, k: Array, v: Array) -> Float[Array, "b l h e"]:
    return local_linear_attention(q, k, v, ridge=jnp.exp(params["ridge"]), kernel=GaussianKernel())


ATTENTIONS: dict[str, Callable] = {
    "linear": _linear_attention,
    "softmax": _softmax_attention,
    "local linear": _local_attention,
    "local linear, Gaussian": _local_gaussian,
}


def _functions(key: Array, kind: Array) -> Batch:
    """Draw one function per row of the batch, and its noisy values at random points.

    The kind states whether the regions differ, and the factors of the slopes and of the levels.
    """
    places, centers, slopes, levels, noise = jax.random.split(key, 5)
    count = EXAMPLES + QUERIES
    x = jax.random.normal(places, (BATCH, count, FEATURES))
    centers = jax.random.normal(centers, (BATCH, REGIONS, FEATURES))
    region = jnp.argmin(jnp.sum((x[:, :, None] - centers[:, None]) ** 2, axis=-1), axis=-1)
    region = jnp.where(kind[0] == 0, 0, region)
    slopes = jax.random.normal(slopes, (BATCH, REGIONS, FEATURES)) / FEATURES**0.5 * kind[1]
    levels = jax.random.normal(levels, (BATCH, REGIONS)) * kind[2]
    y = jnp.take_along_axis(jnp.einsum("bnd,brd->bnr", x, slopes) + levels[:, None], region[:, :, None], axis=2)
    noisy = y[:, :EXAMPLES] + NOISE * jax.random.normal(noise, (BATCH, EXAMPLES, 1))
    return x[:, :EXAMPLES], noisy, x[:, EXAMPLES:], y[:, EXAMPLES:]


def _pairs(key: Array, kind: Array) -> Batch:
    """Draw different names with values, and some of the names again."""
    first, second, third = jax.random.split(key, 3)
    order = jax.vmap(lambda k: jax.random.permutation(k, NAMES))(jax.random.split(first, BATCH))[:, :EXAMPLES]
    values = jax.random.randint(second, (BATCH, EXAMPLES), 0, VALUES)
    asked = jax.random.randint(third, (BATCH, QUERIES), 0, EXAMPLES)
    names = jnp.take_along_axis(order, asked, axis=1)
    wanted = jnp.take_along_axis(values, asked, axis=1)
    x, y, x_new, y_new = (
        jax.nn.one_hot(order, NAMES),
        jax.nn.one_hot(values, VALUES),
        jax.nn.one_hot(names, NAMES),
        wanted,
    )
    return x, y, x_new, y_new[..., None]


def _squared(outputs: Array, wanted: Array) -> Array:
    return (outputs - wanted) ** 2


def _entropy(outputs: Array, wanted: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(outputs, wanted[..., 0])


def _wrong(outputs: Array, wanted: Array) -> Array:
    return jnp.argmax(outputs, axis=-1) != wanted[..., 0]


# What is drawn, the sizes of x and y, the loss, and the error: the squared error, or the share of wrong answers.
REGRESSION = (_functions, FEATURES, 1, _squared, _squared)
RECALL = (_pairs, NAMES, VALUES, _entropy, _wrong)
# The setup, and the kind of functions, which the compiled programs take as an argument.
TASKS: dict[str, tuple[tuple, tuple[float, float, float]]] = {
    "linear functions": (REGRESSION, (0.0, 1.0, 0.5)),
    "locally linear functions": (REGRESSION, (1.0, 1.0, 0.5)),
    "step functions": (REGRESSION, (1.0, 0.0, 1.0)),
    "associative recall": (RECALL, (0.0, 0.0, 0.0)),
}


def main(
    steps: int = 400, seeds: int = 2, rates: tuple[float, ...] = (1e-2, 3e-2), *, report: Report = print
) -> dict[str, float]:
    """Train every attention on every task, and measure its error on new functions."""
    out = {}
    for task in TASKS:
        for name in ATTENTIONS:
            setup, kind = TASKS[task]
            train = _trainer(setup, name, steps)
            keys = [1000, *range(seeds)]  # the first selects the rate
            runs = np.array([(key, rate) for rate in rates for key in keys])
            seeded = jax.vmap(jax.random.key)(jnp.asarray(runs[:, 0], jnp.uint32))
            found = train(jnp.asarray(kind), seeded, jnp.asarray(runs[:, 1]))
            errors = np.nan_to_num(found, nan=np.inf).reshape(len(rates), len(keys))
            best = int(errors[:, 0].argmin())
            rows = {f"{task}, {name}: error": float(errors[best, 1:].mean()), f"{task}, {name}: rate": rates[best]}
            rows[f"{task}, {name}: largest error"] = float(errors[best, 1:].max())
            report(f"{task}, {name}", rows)
            out |= rows
        for name in ("local linear", "local linear, Gaussian"):
            ratio = out[f"{task}, {name}: error"] / max(out[f"{task}, softmax: error"], 1e-9)
            out[f"{task}, {name}: reduction of softmax attention's error"] = 1 - ratio
    return out


def draw(results: dict[str, float], figure: str) -> None:
    """Draw the errors of all attentions, one row per task."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7, 2.6), layout="constrained")
    panel = picture.subplots()
    colors = dict(zip(ATTENTIONS, ("0.6", "#0072B2", "#E69F00", "#D55E00"), strict=True))
    for row, task in enumerate(reversed(TASKS)):
        for name, color in colors.items():
            error = max(results[f"{task}, {name}: error"], 1e-4)
            panel.plot(error, row, "o", color=color, label=name if row == 0 else None)
    panel.set_yticks(range(len(TASKS)), list(reversed(TASKS)))
    panel.set(
        xscale="log", xlabel="squared error on new functions; share of wrong answers", ylim=(-0.5, len(TASKS) - 0.5)
    )
    panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    picture.savefig(figure)


@cache
def _trainer(setup: tuple, name: str, steps: int) -> Callable:
    """Return the compiled training of several networks, for functions of any kind."""
    return jax.jit(jax.vmap(partial(_train, setup, name, steps), in_axes=(None, 0, 0)))


def _train(setup: tuple, name: str, steps: int, kind: Array, key: Array, rate: Any) -> Array:
    """Train one network, each step on new functions, and return its error on others."""
    sample, features, outputs, loss, error = setup
    start, training, test = jax.random.split(key, 3)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, steps)))
    params = _parameters(start, features, outputs)

    def objective(params: Any, batch: Batch) -> Array:
        return jnp.mean(loss(_apply(params, name, *batch[:3]), batch[3]))

    def step(state: tuple, key: Array) -> tuple[tuple, None]:
        params, moments = state
        updates, moments = optimizer.update(jax.grad(objective)(params, sample(key, kind)), moments)
        return (optax.apply_updates(params, updates), moments), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(training, steps))

    def measured(key: Array) -> Array:
        batch = sample(key, kind)
        return jnp.mean(error(_apply(params, name, *batch[:3]), batch[3]))

    return jax.lax.map(measured, jax.random.split(test, 30)).mean()


def _parameters(key: Array, features: int, outputs: int) -> dict[str, Array]:
    shapes = {
        "query": (features, HEADS * WIDTH),
        "key": (features, HEADS * WIDTH),
        "value": (features + outputs, HEADS * WIDTH),
        "hidden": (features + HEADS * WIDTH, HIDDEN),
        "out": (HIDDEN, outputs),
        "skip": (HEADS * WIDTH, outputs),
    }
    keys = jax.random.split(key, len(shapes))
    params = {n: jax.random.normal(k, s) / s[0] ** 0.5 for k, (n, s) in zip(keys, shapes.items(), strict=True)}
    return params | {"ridge": jnp.full(HEADS, jnp.log(1e-2))}


def _apply(params: Any, name: str, x: Array, y: Array, x_new: Array) -> Array:
    def heads(a: Array) -> Array:
        return a.reshape(*a.shape[:2], HEADS, WIDTH)

    parts = x_new @ params["query"], x @ params["key"], jnp.concatenate([x, y], axis=-1) @ params["value"]
    found = ATTENTIONS[name](params, *map(heads, parts)).reshape(*x_new.shape[:2], -1)
    hidden = jax.nn.gelu(jnp.concatenate([x_new, found], axis=-1) @ params["hidden"])
    return hidden @ params["out"] + found @ params["skip"]
