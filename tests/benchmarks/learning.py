"""The figures of the learning part: `python tests/benchmarks/learning.py [SECTION ...]`.

Sections: step, gradient, batches, latency, encoder. Needs the extras `data` and `serve`. Times are medians of warm runs taken
in turn; quote the ratios, for seconds drift on a shared machine.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxlle
from jaxlle import losses

K = 10


def medians(calls: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Return the median seconds of each call, run in turn after a warm-up."""
    for call in calls.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def digits() -> tuple[np.ndarray, np.ndarray]:
    data = jaxlle.datasets.mnist()
    return (data.points / 255).astype(np.float32), np.asarray(data.labels)


def graph_of(x: Any, k: int = K, reg: float = 1e-3) -> tuple[jaxlle.Neighbors, jax.Array]:
    neighbors = jaxlle.knn(x, k)
    return neighbors, jaxlle.barycentric_weights(x, neighbors, reg=reg)


def perceptron(sizes: list[int], seed: int = 0) -> nnx.Sequential:
    rngs = nnx.Rngs(seed)
    layers: list[Any] = []
    for a, b in pairwise(sizes):
        layers += [nnx.Linear(a, b, rngs=rngs), jnp.tanh]
    return nnx.Sequential(*layers[:-1])


def step() -> None:
    """Print a step with the LLE term against one without it, over the same points: the cost of the term itself."""
    x, labels = digits()
    batches = jaxlle.neighborhood_batches(jnp.asarray(x), *graph_of(x), batch_size=256)
    batch = batches.batch(0)
    labels = jnp.asarray(labels)[batch.indices]

    def stepping(penalty: float) -> Callable[[], Any]:
        model = perceptron([784, 256, 10])
        optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

        def loss(model: nnx.Sequential, batch: jaxlle.NeighborhoodBatch) -> jax.Array:
            logits = model(batch.points)
            task = optax.softmax_cross_entropy_with_integer_labels(logits[batch.anchors], labels[batch.anchors]).mean()
            if not penalty:
                return task
            near = logits[batch.gather]
            return task + penalty * losses.probability_lle_loss(logits[batch.anchors], near, batch.weights)

        @nnx.jit
        def one(model: nnx.Sequential, optimizer: nnx.Optimizer, batch: jaxlle.NeighborhoodBatch) -> jax.Array:
            value, grads = nnx.value_and_grad(loss)(model, batch)
            optimizer.update(model, grads)
            return value

        return lambda: one(model, optimizer, batch)

    found = medians({"with": stepping(100.0), "without": stepping(0.0)}, runs=100)
    print(
        f"\na step of 256 anchors (k = {K}, {batch.points.shape[0]} points), MLP 784-256-10: with the LLE term on probabilities "
        f"{1e3 * found['with']:.2f} ms, without it {1e3 * found['without']:.2f} ms, ratio {found['with'] / found['without']:.3f}"
    )


def gradient() -> None:
    """Print the gradient through lle(x) by the implicit rule against JAX's rule for a dense eigh, n = 2,000, float64."""
    n = 2000
    with jax.enable_x64(True):
        turn = 2 * np.pi * np.arange(n) / n
        circle = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        roll = np.asarray(jaxlle.datasets.swiss_roll(jax.random.key(0), n).points, np.float64)
        pairs = np.random.default_rng(0).integers(n, size=(2, 500))
        print(f"\nd(squared distances of 500 pairs in lle(x))/dx, n = {n}, k = 12, float64")
        for name, x in {"Swiss roll": jnp.asarray(roll), "circle": jnp.asarray(circle)}.items():
            neighbors = jaxlle.knn(x, 12)

            def spread(y: jax.Array) -> jax.Array:
                return jnp.sum((y[pairs[0]] - y[pairs[1]]) ** 2)

            def implicit(x: jax.Array, neighbors: Any = neighbors) -> jax.Array:
                return spread(jaxlle.lle(x, 2, k=12, neighbors=neighbors).points)

            @jax.jit
            def dense(x: jax.Array, neighbors: Any = neighbors) -> jax.Array:
                weights = jaxlle.barycentric_weights(x, neighbors)
                b = jnp.eye(n).at[jnp.arange(n)[:, None], neighbors.indices].add(-weights)
                return spread(jnp.linalg.eigh(b.T @ b)[1][:, 1:3])

            grads = {"implicit": jax.grad(implicit), "eigh": jax.jit(jax.grad(dense))}
            values = {rule: np.asarray(grad(x)) for rule, grad in grads.items()}
            kinds = {rule: "finite" if np.isfinite(value).all() else "NaN" for rule, value in values.items()}
            off = np.linalg.norm(values["implicit"] - values["eigh"]) / np.linalg.norm(values["implicit"])
            found = medians({rule: lambda grad=grad, x=x: grad(x) for rule, grad in grads.items()}, runs=3)
            print(
                f"{name:11} implicit {found['implicit']:.2f} s ({kinds['implicit']}), "
                f"eigh {found['eigh']:.2f} s ({kinds['eigh']}), ratio {found['eigh'] / found['implicit']:.1f}, "
                f"relative difference {off:.1e}",
                flush=True,
            )


def batches() -> None:
    """Print the batcher's throughput for a device's array and for a memmap, 60,000 x 784 float32, random neighbours."""
    n, size = 60_000, 256
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 784), np.float32)
    neighbors = jaxlle.Neighbors(jnp.asarray(rng.integers(n, size=(n, K), dtype=np.int32)), None)
    weights = jnp.full((n, K), 1 / K)
    print(
        f"\nneighbourhood batches of {size} anchors, k = {K}, from {n:,} x 784 float32 (random neighbours: the worst case)"
    )
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", x)
        sources = {"on the device": jnp.asarray(x), "memmap": np.load(Path(folder) / "x.npy", mmap_mode="r")}
        for name, source in sources.items():
            made = jaxlle.neighborhood_batches(source, neighbors, weights, batch_size=size)
            steps = iter(range(10**6))
            seconds = medians({name: lambda made=made, steps=steps: made.batch(next(steps))}, runs=50)[name]
            points = made.batch(0).points
            print(
                f"{name:14} {1e3 * seconds:7.2f} ms a batch, {size / seconds:9,.0f} anchors/s, "
                f"{points.shape[0] / seconds:10,.0f} points/s, {points.nbytes / seconds / 2**20:7,.0f} MiB/s"
            )


def latency() -> None:
    """Print the time of one vector through an exported encoder and an exported out-of-sample map."""
    x, _ = digits()
    encoder = perceptron([784, 256, 2])
    known = jaxlle.serving.OutOfSampleMap(jnp.asarray(x), jaxlle.lle(x, 2, k=12).points, k=12)
    print("\none vector of 784 through an exported map, 1,000 calls")
    with tempfile.TemporaryDirectory() as folder:
        for name, function in {"encoder 784-256-2": encoder, "out-of-sample map, bank of 5,000": known}.items():
            file = Path(folder) / "map.bin"
            file.write_bytes(jaxlle.serving.export_map(function, 784, rows=1))
            call = jaxlle.serving.load_map(file)
            one = jnp.asarray(x[:1] + 0.01)
            jax.block_until_ready(call(one))
            times = []
            for _ in range(1000):
                start = time.perf_counter()
                jax.block_until_ready(call(one))
                times.append(1e6 * (time.perf_counter() - start))
            size = file.stat().st_size / 2**20
            middle, late = np.percentile(times, [50, 99])
            print(f"{name:33} {middle:7.0f} us median, {late:7.0f} us at 99 %; file {size:.1f} MiB")


SECTIONS = {f.__name__: f for f in (step, gradient, batches, latency)}


def main(names: list[str]) -> None:
    """Run the named sections, or all."""
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}"
    )
    for name in names or SECTIONS:
        SECTIONS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
