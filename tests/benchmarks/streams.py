"""Benchmarks of batches that are read from disk and of a memory of features: `python tests/benchmarks/streams.py [SECTION ...]`.

Sections: batches, memory. The extras `data` and `grain` are required. All kinds are measured in turn in one run, after
compilation. Quote the ratios, because seconds vary on a shared machine.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from learning import K, digits, perceptron
from sections import run

import jaxlle
from jaxlle import losses
from jaxlle.nn import FeatureMemory, GrainStream


def batches() -> None:
    """Print the throughput of neighborhood batches, with random neighbors, from several sources, relative to the first."""
    n, size, rounds, count, ahead = 60_000, 256, 15, 12, 4
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 784), np.float32)
    neighbors = jaxlle.Neighbors(jnp.asarray(rng.integers(n, size=(n, K), dtype=np.int32)), None)
    weights = jnp.full((n, K), 1 / K)
    print(
        f"\nneighborhood batches of {size} anchors, k = {K}, from {n:,} x 784 float32 (random neighbors: the worst case), "
        f"medians of {rounds} rounds of {count} batches"
    )
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", x)
        file = np.load(Path(folder) / "x.npy", mmap_mode="r")
        resident, lazy = (
            jaxlle.neighborhood_batches(source, neighbors, weights, batch_size=size)
            for source in (jnp.asarray(x), file)
        )
        stream = GrainStream(lazy, read=grain.ReadOptions(num_threads=2, prefetch_buffer_size=ahead))
        readers = {
            "on the device": (batch for _, batch in resident.start_at()),
            "memmap": (batch for _, batch in lazy.start_at()),
            "GrainStream of the memmap": stream.start_at(),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
        for _, (name, reader) in product(range(rounds), readers.items()):
            for _ in range(ahead):  # read before the round, while others were timed
                jax.block_until_ready(next(reader))
            start = time.perf_counter(), time.process_time()
            for _ in range(count):
                jax.block_until_ready(next(reader))
            seconds[name].append(((time.perf_counter() - start[0]) / count, (time.process_time() - start[1]) / count))
        middle = {name: np.median(found, axis=0) for name, found in seconds.items()}
        for name, (wall, processor) in middle.items():
            print(
                f"{name:26} {1e3 * wall:7.2f} ms per batch, {size / wall:9,.0f} anchors/s, {1e3 * processor:7.2f} ms of "
                f"processor time, {middle['on the device'][0] / wall:.2f} of the anchors/s on the device"
            )


def memory() -> None:
    """Print the time of a self-supervised step with a memory of features, relative to the same step without one."""
    n, size, width, steps = 4000, 128, 64, 100
    x = jnp.asarray(digits()[0][:n])
    rows = [jnp.asarray(a) for a in np.random.default_rng(0).integers(n, size=(steps, size), dtype=np.int32)]
    rule = optax.adam(1e-3)

    def stepping(capacity: int | None, search: bool) -> Callable[[], Any]:
        model = perceptron([784, 512, 512, width])
        optimizer = nnx.Optimizer(model, rule, wrt=nnx.Param)
        every = None if search else steps
        stored = capacity and FeatureMemory(n, width, k=K, capacity=capacity, refresh_every=every, reg=0.1)

        @nnx.jit
        def one(model: nnx.Sequential, optimizer: nnx.Optimizer, stored: Any, rows: jax.Array) -> jax.Array:
            def loss(model: nnx.Sequential) -> tuple[jax.Array, jax.Array]:
                pixels = x[rows]
                a, b = jnp.split(model(jnp.concatenate([pixels, jnp.roll(pixels, 1, axis=1)])), 2)
                total = jnp.mean((a - b) ** 2) + losses.variance_hinge(a) + losses.covariance_penalty(a)
                return total if stored is None else total + stored.loss(rows, a, search=search), b

            (value, b), grads = nnx.value_and_grad(loss, has_aux=True)(model)
            optimizer.update(model, grads)
            if stored is not None:
                stored.store(rows, b)
            return value

        def epoch() -> Any:
            for batch in rows:
                value = one(model, optimizer, stored, batch)
            return value

        return epoch

    kinds = {
        "without": stepping(None, False),
        f"memory of {n:,}, a graph every {steps} steps": stepping(n, False),
        "queue of 1,000, searched in every step": stepping(1000, True),
    }
    for call in kinds.values():
        jax.block_until_ready(call())
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _, (name, call) in product(range(5), kinds.items()):
        start = time.process_time()
        jax.block_until_ready(call())
        found[name].append(1e3 * (time.process_time() - start) / steps)
    plain = statistics.median(found["without"])
    print(
        f"\na step on two views of {size} digits, MLP 784-512-512-{width}: medians of the processor time of {steps} steps"
    )
    for name, times in found.items():
        print(f"{name:45} {statistics.median(times):6.2f} ms, ratio {statistics.median(times) / plain:.3f}")


SECTIONS = {f.__name__: f for f in (batches, memory)}


if __name__ == "__main__":
    run(SECTIONS)
