"""Benchmarks of propagation and of the classifier: `python tests/benchmarks/semisupervised.py [SECTION ...]`.

Sections: classifiers (5,000 MNIST digits with 100 labels, next to scikit-learn's estimators with several kernels and parameters),
propagation (70,000 deformed digits with 700 labels: time after the graph, and memory of the process), alignment (two views of
2,000 points with 10 pairs, and the halves of digits with 200: how many partners are found). Times of classifiers are medians of
alternating fits after a first one.
"""

import resource
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from sections import run
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

import jaxlle
from jaxlle.metrics import foscttm, matching_accuracy
from jaxlle.semisupervised import align, classify
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
    x, labels = np.asarray(data.points, np.float32), np.asarray(data.labels)
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
    for gamma in (0.01, 0.03, 0.1, 0.3):  # LabelPropagation takes minutes with these
        estimators[f"LabelSpreading(gamma={gamma})"] = LabelSpreading(gamma=gamma)
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


VARIANTS: dict[str, Callable[..., jaxlle.Alignment]] = {
    "LTSA": lambda x, dim: jaxlle.ltsa_alignment(x, dim, k=12),
    "Hessian LLE": lambda x, dim: jaxlle.hessian_alignment(x, dim, k=12),
    "modified LLE": lambda x, dim: jaxlle.modified_alignment(x, dim, k=12),
    "LLE": lambda x, dim: jaxlle.lle_alignment(x, k=12),
    "LLE, reg 0.1": lambda x, dim: jaxlle.lle_alignment(x, k=12, reg=0.1),
    "Laplacian": lambda x, dim: jaxlle.alignment.laplacian_alignment(jaxlle.knn(x, 12)),
}


def alignment(points: int = 2000) -> None:
    """Align two views of a surface by 10 pairs, and the halves of digits by 200, and look for all other partners."""
    roll = jaxlle.datasets.swiss_roll(jax.random.key(0), points)
    t, h = np.asarray(roll.parameters).T / 20
    arch = np.stack([np.sin(t), np.cos(t), t, h, 0.3 * np.sin(h)], axis=1).astype(np.float32)
    digits = jaxlle.datasets.digits()
    images = digits.points.reshape(-1, 8, 8) / 16
    halves = [np.ascontiguousarray(half.reshape(-1, 32)) for half in (images[:, :, :4], images[:, :, 4:])]
    print(f"two views of {points} points, 10 pairs, 3 draws, and halves of 1,797 digits, 200 pairs, 10 dimensions:")
    print(
        "partner among the 10 nearest, fraction closer than the partner (FOSCTTM), seconds; of digits also the same class"
    )
    for name, variant in VARIANTS.items():
        for views, count, dim in (([roll.points, arch], 10, 2), (halves, 200, 10)):
            if dim == 10 and name in ("Hessian LLE", "LTSA"):
                continue  # they need more neighbors than dimensions of the tangent space
            sets = [variant(view, dim) for view in views]
            found = []
            for seed in range(3):
                known = np.random.default_rng(seed).choice(len(views[0]), count, replace=False)
                others = np.setdiff1d(np.arange(len(views[0])), known)
                start = time.process_time()
                first, second = align(sets, np.stack([known, known], axis=1), dim)
                seconds = time.process_time() - start
                rows = np.stack([others, others], axis=1)
                scores = [matching_accuracy(first, second, pairs=rows), foscttm(first, second, pairs=rows), seconds]
                if dim == 10:
                    nearest = np.asarray(jaxlle.knn(second.points, 1, query=first.points[others]).indices)[:, 0]
                    scores.append((digits.labels[nearest] == digits.labels[others]).mean())
                found.append([float(score) for score in scores])
            low, high = np.min(found, axis=0), np.max(found, axis=0)
            print(
                f"{name:13} {'digits' if dim == 10 else 'views':6}",
                *(f"{a:7.4f} - {b:.4f}" for a, b in zip(low, high, strict=True)),
            )


SECTIONS = {f.__name__: f for f in (classifiers, propagation, alignment)}


if __name__ == "__main__":
    run(SECTIONS)
