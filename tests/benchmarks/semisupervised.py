"""Benchmarks of propagation and of the classifier: `python tests/benchmarks/semisupervised.py [SECTION ...]`.

Sections: classifiers (5,000 MNIST digits with 100 labels, next to scikit-learn's estimators with several kernels and parameters),
propagation (70,000 deformed digits with 700 labels: time after the graph, and memory of the process). Times are medians of
alternating fits after a first one.
"""

import os
import platform
import resource
import statistics
import sys
import time
import warnings
from datetime import date
from typing import Any

import jax
import numpy as np
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

import jaxlle
from jaxlle.semisupervised import classify
from jaxlle.sklearn import LocallyLinearClassifier

SPLITS = 5


def few_labels(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Return labels with -1 for all but `per_class` random points of each class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    known = np.concatenate([order[labels[order] == c][:per_class] for c in np.unique(labels)])
    few = np.full(len(labels), -1)
    few[known] = labels[known]
    return few


def classifiers() -> None:
    """Compare errors on the unlabeled digits and times of fits."""
    data = jaxlle.datasets.mnist()
    x, labels = np.asarray(data.points, np.float32) / 255, np.asarray(data.labels)
    estimators: dict[str, Any] = {
        "LocallyLinearClassifier()": LocallyLinearClassifier(),
        "LocallyLinearClassifier(reg=0.1)": LocallyLinearClassifier(reg=0.1),
        "LocallyLinearClassifier(method='laplacian')": LocallyLinearClassifier(method="laplacian"),
        "LabelSpreading()": LabelSpreading(),
        "LabelPropagation()": LabelPropagation(),
    }
    for cls in (LabelSpreading, LabelPropagation):
        for k in (5, 7, 10):
            estimators[f"{cls.__name__}(kernel='knn', n_neighbors={k})"] = cls(kernel="knn", n_neighbors=k)
    for alpha in (0.9, 0.99):
        name = f"LabelSpreading(kernel='knn', n_neighbors=10, alpha={alpha})"
        estimators[name] = LabelSpreading(kernel="knn", n_neighbors=10, alpha=alpha)
    times: dict[str, list[float]] = {name: [] for name in estimators}
    errors: dict[str, list[float]] = {name: [] for name in estimators}
    for seed in range(-1, SPLITS):
        few = few_labels(labels, 10, max(seed, 0))
        for name, estimator in estimators.items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of scikit-learn's, that it has not converged, or divides by zero
                estimator.fit(x, few)
            if seed >= 0:
                times[name].append(time.perf_counter() - start)
                errors[name].append(float((estimator.transduction_ != labels)[few == -1].mean()))
    ours = statistics.median(times["LocallyLinearClassifier()"])
    print(f"5,000 digits, 10 labels per class, {SPLITS} splits: error, seconds, ratio to the first row")
    for name in estimators:
        seconds = statistics.median(times[name])
        print(f"{name:62} {100 * np.mean(errors[name]):5.1f} % {seconds:7.2f} s {seconds / ours:6.1f}")


def propagation(points: int = 70_000, labeled: int = 700) -> None:
    """Classify deformed digits; report the time after the graph."""
    data = jaxlle.datasets.deformed_digits(jax.random.key(0), points)
    x, labels = np.asarray(data.points), np.asarray(data.labels)
    known = np.random.default_rng(0).choice(points, labeled, replace=False)
    others = np.setdiff1d(np.arange(points), known)
    start = time.perf_counter()
    neighbors = jax.block_until_ready(jaxlle.knn(x, 10))
    print(f"{points} digits: neighbors in {time.perf_counter() - start:.1f} s")
    for call in ("first call", "second call"):
        start = time.perf_counter()
        alignment = jax.block_until_ready(jaxlle.lle_alignment(x, k=10, reg=0.1, neighbors=neighbors))
        weights = time.perf_counter() - start
        out = classify(alignment, known, labels[known])
        seconds = time.perf_counter() - start
        error = (out.labels[others] != labels[others]).mean()
        print(
            f"{call}: weights {weights:.1f} s, weights and classes {seconds:.1f} s; error {100 * error:.1f} %, converged "
            f"{bool(out.converged)}, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
        )


SECTIONS = {f.__name__: f for f in (classifiers, propagation)}


def main(names: list[str]) -> None:
    """Run the named sections, or all."""
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, jax {jax.__version__}"
    )
    for name in names or SECTIONS:
        SECTIONS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
