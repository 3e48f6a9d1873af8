"""Benchmarks of measures of an embedding and of ONNX models: `python tests/benchmarks/evaluation.py [SECTION ...]`.

Sections: metrics (of the embedding of 5,000 MNIST digits: times relative to that of the embedding, after compilation), onnx (an
encoder and an out-of-sample map in JAX and in ONNX Runtime: difference, latency of one row, time of many). The extras `data`,
`onnx` and `plot` are required.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from learning import digits, medians, perceptron
from sections import run

import jaxlle
from jaxlle import metrics

ROUNDS = 5


def measures() -> None:
    """Print the time of each measure of the embedding of 5,000 digits, and its value."""
    x, labels = digits()
    embedding = jaxlle.lle(x, 2, k=12)
    y, key = embedding.points, jax.random.key(0)
    calls: dict[str, Callable[[], Any]] = {
        "lle": lambda: jaxlle.lle(x, 2, k=12).points,
        "label_accuracy": lambda: metrics.label_accuracy(y, labels),
        "silhouette": lambda: metrics.silhouette(y, labels),
        "kmeans_agreement": lambda: metrics.kmeans_agreement(y, labels, key=key).adjusted_rand,
        "trustworthiness": lambda: metrics.trustworthiness(x, y, k=12),
        "residual_variance": lambda: metrics.residual_variance(x, y),
        "preservation_error": lambda: metrics.preservation_error(x, y, k=12),
    }
    for kind in ("dimension", "preservation", "reconstruction", "cost", "density", "component"):
        calls[f"diagnostics: {kind}"] = lambda kind=kind: metrics.diagnostics(x, y, kinds=[kind], k=12)[kind]
    times = medians(calls, ROUNDS)
    print(f"\n5,000 digits of {x.shape[1]} pixels, lle {times['lle']:.2f} s; medians of {ROUNDS} alternating calls")
    for name, call in calls.items():
        value = np.asarray(call())
        text = f"{float(value):.4f}" if value.ndim == 0 else f"median {np.median(value):.3g}"
        print(
            f"{name:28} {1e3 * times[name]:8.0f} ms, {times[name] / times['lle']:5.2f} of lle   {text if name != 'lle' else ''}"
        )


def onnx() -> None:
    """Compare JAX and ONNX Runtime: the largest difference, the latency of one row and the time of 1,000."""
    import onnxruntime

    x, _ = digits()
    known = jaxlle.serving.OutOfSampleMap(jnp.asarray(x), jaxlle.lle(x, 2, k=12).points, k=12)
    noise = np.random.default_rng(0).normal(size=(1000, x.shape[1]))
    new = np.clip(x[:1000] + 0.1 * noise, 0, 1).astype(np.float32)
    print("\nJAX / ONNX Runtime, medians of alternating calls")
    for name, function in {"encoder 784-256-2": perceptron([784, 256, 2]), "map, bank of 5,000": known}.items():
        model = jaxlle.serving.export_onnx(function, 784)
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0].name
        calls: dict[str, Callable[[Any], Any]] = {
            "jax": jax.jit(function),
            "onnx": lambda rows, session=session, given=given: session.run(None, {given: rows})[0],
        }
        expected, found = (np.asarray(call(new)) for call in calls.values())
        error = np.abs(found - expected).max() / np.abs(expected).max()
        one, many = (
            medians({kind: partial(call, rows) for kind, call in calls.items()}, rounds)
            for rows, rounds in ((new[:1], 200), (new, 10))
        )
        print(
            f"{name:20} difference {error:.0e}   one row {1e6 * one['jax']:.0f} / {1e6 * one['onnx']:.0f} us   "
            f"1,000 rows {1e3 * many['jax']:.1f} / {1e3 * many['onnx']:.1f} ms   file {len(model) / 2**20:.1f} MiB"
        )


if __name__ == "__main__":
    run({"metrics": measures, "onnx": onnx})
