"""The founding claim: a study of our own of whether adding the LLE term to the loss improves deep models.

DOI: none; the term is the cost of Roweis and Saul (2000), 10.1126/science.290.5500.2323, applied to a network's outputs.

Claim: a deep model trained with the LLE term has a lower test error than the same model trained without it, over several data
sets, networks and training methods. This is the claim of the article that started this project. One row of the study is one
model on one data set, trained in one way, without a term, with the LLE term, and with that of the graph Laplacian. The three
arms share folds, initial weights, number of steps and number of settings tried. The LLE term is |f_i - sum_j w_ij f_j|^2, the
Laplacian's the mean of |f_i - f_j|^2 over the neighbors j, both over the whole training pool, labeled or not, where f are the
class probabilities or the predicted number, w the LLE weights, and the ten nearest neighbors are found in pixels, pairs of
letters or measurements. In one row every point has the neighbors of another point, which shows what the terms do without
geometry.

Found: compared with no term, yes with few labels. The LLE term reduces the test error of the MLP and of the convolutional
network on 50, 100 and 500 labeled digits by 23 to 41 %, with either optimizer, schedule, loss or weight penalty (25 to 40 % at
100 labels); less with augmentation (14 %) and noise (11 %). It reduces the error of the recurrent network on 100 names by 42 %,
and that of a regression on 50 patients by 12 %. With all labels the change on digits and diabetes is not significant; it is 18 %
on names and 7 % on noisy digits. There is no effect on counting syllables. On sparse digits, whose neighbors are unreliable, the
error rises by 8 %, and with the neighbors of other points by 144 %. Under attack the MLP with few labels is worse with the term
(10 to 12 %), the convolutional network better (17 to 24 %). With few labels the term needs fewer steps but more time, since each
step passes over all rows.

Compared with the graph Laplacian, no: in 25 of 27 rows the difference is not significant. LLE is better on noisy digits with 100
labels, where the Laplacian does not help (an error of 42 instead of 48 %), and worse with the neighbors of other points.

Measured: ten folds, each with a part for testing, a part for validation and a training pool, of which some rows are labeled.
Each arm tries four settings on two folds: four learning rates without a term; two rates and two strengths with one; with a
weight penalty (L1, L2), two rates and two penalties without a term. The strengths of the Laplacian are the two best of 0.03, 0.1,
0.3, 1, 3, 10 and 30 by the validation error of one row per data set on these two folds. Errors are shares of wrong classes or,
for numbers, root mean squared errors in standard deviations. Intervals and p-values are those of the paired t-test with the
correction of Nadeau and Bengio (2003, 10.1023/A:1024068626366) for folds that share training data. A row is significant at a
false discovery rate of 5 % over all rows. Costs are CPU seconds: rows with few labels pay for the unlabeled rows, rows with all
labels for the term alone. The attack is the fast gradient sign method with 0.05 of the range of a pixel.

Differs from the article: it gives no numbers to compare with. The networks are small and the steps few, so that the study takes
ten minutes on two cores: digits averaged over 2 x 2 pixels, one hidden layer of 64, a recurrent network of 32 units, full
batches. The validation part is larger than the labeled part if labels are few, for all arms alike; the results contain the
validation error of every setting. Runs are sequential, since `vmap` over ten of them was three times slower on a CPU.

Run: jaxlle papers run lle_improves_deep_models --full
"""

import time
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

from .._report import Report
from .effects import against_laplacian, count_significant, draw, effect
from .tasks import CLASSES, NETWORKS, Fold, fold


class Row(NamedTuple):
    """One comparison: the data, the network and the training method."""

    data: str
    network: str
    labels: int | None = None  # None: the whole pool
    optimizer: str = "adam"
    constant: bool = False  # the learning rate: constant, or decreasing to 0 as a cosine
    penalty: str = ""  # on the weights, in both arms: "l1" or "l2"
    augmented: bool = False
    corruption: str = ""  # of the inputs: "noisy" or "sparse"
    squared: bool = False  # the loss: squared error of the probabilities, or cross-entropy
    shuffled: bool = False  # neighbors of another point


STUDY = {
    "digits, MLP, 50 labels": Row("digits", "mlp", 50),
    "digits, MLP, 100 labels": Row("digits", "mlp", 100),
    "digits, MLP, 500 labels": Row("digits", "mlp", 500),
    "digits, MLP, all 4,000 labels": Row("digits", "mlp"),
    "digits, CNN, 50 labels": Row("digits", "cnn", 50),
    "digits, CNN, 100 labels": Row("digits", "cnn", 100),
    "digits, CNN, 500 labels": Row("digits", "cnn", 500),
    "digits, CNN, all 4,000 labels": Row("digits", "cnn"),
    "names, RNN, 100 labels": Row("names", "rnn", 100),
    "names, RNN, 500 labels": Row("names", "rnn", 500),
    "names, RNN, all 1,000 labels": Row("names", "rnn"),
    "syllables, RNN, 100 labels": Row("syllables", "rnn", 100),
    "syllables, RNN, 500 labels": Row("syllables", "rnn", 500),
    "syllables, RNN, all 1,000 labels": Row("syllables", "rnn"),
    "diabetes, MLP, 50 labels": Row("diabetes", "mlp", 50),
    "diabetes, MLP, all 352 labels": Row("diabetes", "mlp"),
    "noisy digits, MLP, 100 labels": Row("digits", "mlp", 100, corruption="noisy"),
    "sparse digits, MLP, 100 labels": Row("digits", "mlp", 100, corruption="sparse"),
    "noisy digits, MLP, all 4,000 labels": Row("digits", "mlp", corruption="noisy"),
    "constant rate, MLP, 100 labels": Row("digits", "mlp", 100, constant=True),
    "SGD, MLP, 100 labels": Row("digits", "mlp", 100, "sgd"),
    "SGD, constant rate, MLP, 100 labels": Row("digits", "mlp", 100, "sgd", constant=True),
    "L1, MLP, 100 labels": Row("digits", "mlp", 100, penalty="l1"),
    "L2, MLP, 100 labels": Row("digits", "mlp", 100, penalty="l2"),
    "augmented, MLP, 100 labels": Row("digits", "mlp", 100, augmented=True),
    "squared loss, MLP, 100 labels": Row("digits", "mlp", 100, squared=True),
    "wrong neighbors, MLP, 100 labels": Row("digits", "mlp", 100, shuffled=True),
}
PUBLISHED: dict[str, tuple[float, str]] = {}
SMALL = {
    "rows": ("digits, CNN, 100 labels", "syllables, RNN, 100 labels", "diabetes, MLP, 50 labels"),
    "digits": 600,
    "words": 400,
    "folds": 3,
    "tuning_folds": 1,
    "steps": 20,
}

__all__ = ["PUBLISHED", "SMALL", "draw", "main"]  # what `jaxlle papers` uses

RATES = {"adam": (2e-3, 5e-3, 1e-2, 3e-2), "sgd": (0.03, 0.1, 0.3, 1.0)}
SHARED_RATES = {"adam": (5e-3, 2e-2), "sgd": (0.05, 0.2)}  # combined with two values of another parameter
TERM = {
    "lle": {"digits": (5.0, 30.0), "names": (3.0, 30.0), "syllables": (0.3, 3.0), "diabetes": (0.3, 3.0)},
    "laplacian": {"digits": (1.0, 3.0), "names": (10.0, 30.0), "syllables": (0.03, 0.1), "diabetes": (1.0, 3.0)},
}
STRENGTHS = {"l1": (1e-5, 1e-4), "l2": (1e-4, 1e-3)}
ATTACK = 0.05  # of the range of a pixel
INTERVAL = 10  # steps between evaluations of the test error, which only the learning curves use


class Setting(NamedTuple):
    """The parameters that are tuned: the learning rate, and the weights of the term of a graph and of the penalties."""

    rate: float
    lle: float = 0.0
    laplacian: float = 0.0
    l1: float = 0.0
    l2: float = 0.0

    def __str__(self) -> str:
        return " ".join(f"{name} {value:g}" for name, value in self._asdict().items() if value)


class Outcome(NamedTuple):
    """Errors of one run (the test error also under attack, and as a curve over the steps) and its CPU seconds per step."""

    validation: float
    test: float
    attacked: float
    curve: np.ndarray
    seconds: float


class Plan(NamedTuple):
    """The static part of a training run, which determines the compiled program."""

    network: str
    rows: int  # rows that pass through the network: the whole pool, or the labeled rows if there is no term
    energy: str  # the term: "lle", "laplacian", or "" for none
    optimizer: str
    augmented: bool
    loss: str
    classes: int


def main(
    rows: tuple[str, ...] = tuple(STUDY),
    digits: int = 5000,
    words: int = 1250,
    folds: int = 10,
    tuning_folds: int = 2,
    k: int = 10,
    steps: int = 100,
    *,
    report: Report = print,
) -> dict[str, float]:
    """Compare the arms in each row, and count the significant differences."""
    results: dict[str, float] = {}
    for name in rows:
        row = STUDY[name]
        n = digits if row.data == "digits" else words
        make = partial(fold, row.data, row.corruption, row.shuffled, n, folds, k)
        found = compare(name, row, make, folds, tuning_folds, steps)
        results |= found
        report(name, found)
    return results | count_significant(results)


def compare(
    name: str, row: Row, make: Callable[[int], Fold], folds: int, tuning_folds: int, steps: int
) -> dict[str, float]:
    """Tune and run the arms of a row; return the validation error of every setting, the errors, effects and costs."""
    found: dict[str, float] = {}
    arms: dict[str, list[Outcome]] = {}
    for arm, settings in {"plain": plain_settings(row), **{e: term_settings(row, e) for e in TERM}}.items():
        tried = [[train(row, make(f), f, s, steps) for f in range(tuning_folds)] for s in settings]
        errors = [float(np.mean([out.validation for out in outs])) for outs in tried]
        found |= {f"{name}.tried.{arm} {s}": error for s, error in zip(settings, errors, strict=True)}
        best = int(np.argmin(errors))
        arms[arm] = tried[best] + [train(row, make(f), f, settings[best], steps) for f in range(tuning_folds, folds)]
        found |= {f"{name}.{arm} {parameter}": value for parameter, value in settings[best]._asdict().items() if value}
    share = 1 / (folds - 2)  # size of the test part relative to the training pool
    tests, attacks = ({a: np.array([getattr(o, key) for o in arms[a]]) for a in arms} for key in ("test", "attacked"))
    found |= effect(name, tests["plain"], tests["lle"], share)
    found |= against_laplacian(name, tests["laplacian"], tests["lle"], share)
    if row.data == "digits" and row[3:] == Row("", "")[3:]:  # trained in the default way
        found |= effect(f"{name}, attacked", attacks["plain"], attacks["lle"], share)
    return found | costs(name, arms)


def plain_settings(row: Row) -> list[Setting]:
    """Return four settings without the term: learning rates, or rates and strengths of the penalty of the row."""
    if row.penalty:
        pairs = [(r, s) for r in SHARED_RATES[row.optimizer] for s in STRENGTHS[row.penalty]]
        return [Setting(r, **{row.penalty: s}) for r, s in pairs]
    return [Setting(r) for r in RATES[row.optimizer]]


def term_settings(row: Row, energy: str) -> list[Setting]:
    """Return four settings with a term: learning rates and weights of the term; a penalty has its larger strength."""
    fixed = {row.penalty: STRENGTHS[row.penalty][1]} if row.penalty else {}
    pairs = [(r, w) for r in SHARED_RATES[row.optimizer] for w in TERM[energy][row.data]]
    return [Setting(r, **{energy: w}, **fixed) for r, w in pairs]


def train(row: Row, data: Fold, seed: int, setting: Setting, steps: int) -> Outcome:
    """Train the network of a row on a fold; a run that diverges has an infinite error."""
    pool, classes = len(data.targets), CLASSES.get(row.data, 0)
    loss = "numbers" if not classes else "squared" if row.squared else "cross-entropy"
    labels = pool if row.labels is None else min(row.labels, pool)
    energy = next((name for name in TERM if getattr(setting, name) > 0), "")
    plan = Plan(row.network, pool if energy else labels, energy, row.optimizer, row.augmented, loss, classes)
    place = np.arange(steps) / steps
    rates = setting.rate * (np.ones(steps) if row.constant else (1 + np.cos(np.pi * place)) / 2)
    began = time.process_time()
    validation, curve, attacked = _train(plan, data, labels, jax.random.key(seed), setting, rates.astype(np.float32))
    curve = np.nan_to_num(np.asarray(curve, np.float64), nan=np.inf)
    seconds = (time.process_time() - began) / steps
    return Outcome(float(np.nan_to_num(validation, nan=np.inf)), curve[-1], float(attacked), curve, seconds)


@partial(jax.jit, static_argnames="plan")
def _train(
    plan: Plan, data: Fold, labels: int | Array, key: Array, setting: Setting, rates: Array
) -> tuple[Array, Array, Array]:
    network = NETWORKS[plan.network]
    optimizer = {"adam": optax.scale_by_adam(), "sgd": optax.trace(0.9)}[plan.optimizer]
    seen, targets = data.x[: plan.rows], data.targets[: plan.rows]
    ready, labeled = network.prepare(seen), jnp.arange(plan.rows) < labels

    def loss(params: list, key: Array) -> Array:
        out = network.apply(params, network.prepare(_shifted(seen, key)) if plan.augmented else ready)
        fit = jnp.sum(task_losses(plan.loss, out, targets) * labeled) / labels
        matrices = [w for w in jax.tree.leaves(params) if w.ndim > 1]
        fit += setting.l1 * sum(jnp.abs(w).sum() for w in matrices) + setting.l2 * sum((w**2).sum() for w in matrices)
        if not plan.energy:
            return fit
        f = jax.nn.softmax(out) if plan.classes else out
        near = f[data.neighbors]
        if plan.energy == "lle":
            return fit + setting.lle * jaxlle.losses.lle_loss(f, near, data.weights)
        return fit + setting.laplacian * jaxlle.losses.laplacian_loss(f, near)

    def step(carry: tuple, now: tuple[Array, Array]) -> tuple[tuple, None]:
        params, state = carry
        direction, state = optimizer.update(jax.grad(loss)(params, now[1]), state)
        return (jax.tree.map(lambda p, d: p - now[0] * d, params, direction), state), None

    def steps(carry: tuple, now: tuple[Array, Array]) -> tuple[tuple, Array]:
        carry, _ = lax.scan(step, carry, now)
        return carry, error(plan, carry[0], *data.test)

    start, turn = jax.random.split(key)
    params = network.initial(start, data.x.shape[-1], max(plan.classes, 1))
    now = (rates.reshape(-1, INTERVAL), jax.random.split(turn, rates.size).reshape(-1, INTERVAL))
    (params, _), curve = lax.scan(steps, (params, optimizer.init(params)), now)
    attacked = _attacked(plan, params, *data.test) if plan.classes and plan.network != "rnn" else jnp.inf
    return error(plan, params, *data.validation), curve, jnp.asarray(attacked)


def task_losses(kind: str, out: Float[Array, "n c"], targets: Array) -> Float[Array, " n"]:
    """Return the cross-entropy of each row, or the squared error of its probabilities or of its number."""
    if kind == "cross-entropy":
        return optax.softmax_cross_entropy_with_integer_labels(out, targets)
    if kind == "squared":
        return jnp.sum((jax.nn.softmax(out) - jax.nn.one_hot(targets, out.shape[1])) ** 2, axis=1)
    return (out[:, 0] - targets) ** 2


def error(plan: Plan, params: list, x: Array, targets: Array) -> Float[Array, ""]:
    """Return the share of wrong classes, or the root mean squared error of numbers."""
    network = NETWORKS[plan.network]
    out = network.apply(params, network.prepare(x))
    wrong = jnp.where(jnp.isfinite(out).all(), jnp.mean(out.argmax(axis=1) != targets), jnp.nan)
    return wrong if plan.classes else jnp.sqrt(jnp.mean((out[:, 0] - targets) ** 2))


def _attacked(plan: Plan, params: list, x: Array, targets: Array) -> Array:
    """Return the error after the fast gradient sign attack (Goodfellow, Shlens and Szegedy 2015)."""
    network = NETWORKS[plan.network]

    def total_loss(x: Array) -> Array:
        return task_losses("cross-entropy", network.apply(params, network.prepare(x)), targets).sum()

    return error(plan, params, jnp.clip(x + ATTACK * jnp.sign(jax.grad(total_loss)(x)), 0, 1), targets)


def _shifted(x: Float[Array, "n 196"], key: Array) -> Float[Array, "n 196"]:
    """Shift all images by the same random offset of at most one pixel."""
    images = jnp.pad(x.reshape(-1, 14, 14), ((0, 0), (1, 1), (1, 1)))
    down, right = jax.random.randint(key, (2,), 0, 3)
    return lax.dynamic_slice(images, (0, down, right), (len(x), 14, 14)).reshape(len(x), -1)


def costs(name: str, arms: dict[str, list[Outcome]]) -> dict[str, float]:
    """Return CPU time per step, and steps and seconds until the mean test error reaches the final one of the plain arm."""
    found = {}
    goal = np.mean([out.curve for out in arms["plain"]], axis=0)[-1]
    for arm, outs in arms.items():
        seconds = float(np.median([out.seconds for out in outs]))
        reached = np.flatnonzero(np.mean([out.curve for out in outs], axis=0) <= goal)
        steps = INTERVAL * (reached[0] + 1) if len(reached) else np.inf
        found |= {f"{name}.{arm} ms per step": 1e3 * seconds, f"{name}.{arm} steps to goal": float(steps)}
        found[f"{name}.{arm} seconds to goal"] = float(steps * seconds)
    return found
