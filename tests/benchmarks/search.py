"""Benchmarks of the neighbor search, in processor time: `python tests/benchmarks/search.py [SECTION ...]`.

Sections: knn, symmetry, memory, roll, digits (20,000 of them), digits70. The last three compare approximate searches, and take
several minutes each. Processor time is the sum over all cores, which varies less than wall time on a shared machine. To compare
two commits, run the section in a worktree of each, alternately.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sections import run

K, CANDIDATES = 12, 17


def processor_seconds(function: Callable[[], Any], runs: int) -> float:
    """Return the median of some runs after one that compiles."""
    import jax

    jax.block_until_ready(function())
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        jax.block_until_ready(function())
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def normal_points(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def knn() -> None:
    """Print the processor time of searches of normally distributed points and of MNIST digits."""
    import jaxlle

    digits = jaxlle.datasets.mnist().points.astype(np.float32)
    print(f"\nneighbors, k = {K}, processor seconds")
    cases = {"MNIST 5,000 x 784": (digits, 5)}
    cases |= {
        f"normal {n:,} x {d}": ((n, d), runs) for n, d, runs in ((20_000, 20, 5), (20_000, 64, 5), (70_000, 64, 1))
    }
    for name, (data, runs) in cases.items():
        points = jaxlle.neighbors.prepare_points(normal_points(*data) if isinstance(data, tuple) else data)
        print(f"{name:20} {processor_seconds(lambda points=points: jaxlle.knn(points, K), runs):8.2f}", flush=True)


def symmetry() -> None:
    """Print what a product of two blocks of points costs, and the selection from its rows and from its columns.

    A search that uses each product for the rows of both blocks saves one product, but selects from narrow blocks twice.
    """
    import jax

    from jaxlle._core.linear import matmul
    from jaxlle.neighbors._selection import largest

    product = jax.jit(lambda a, b: matmul(a, b.T))
    rows = jax.jit(lambda p, squares: largest(p - squares, CANDIDATES))
    columns = jax.jit(lambda p, squares: largest((p - squares[:, None]).T, CANDIDATES))
    print(f"\none product of two blocks, and {CANDIDATES} candidates per row and column, processor milliseconds")
    print(f"{'block':>6} {'features':>9} {'product':>8} {'rows':>8} {'columns':>8}")
    for size, d in ((2500, 256), (2500, 784), (5000, 784)):
        a, b = normal_points(2 * size, d).reshape(2, size, d)
        squares = (b**2).sum(axis=1) / 2
        p = product(a, b)
        calls = (lambda a=a, b=b: product(a, b), *(lambda f=f, p=p, s=squares: f(p, s) for f in (rows, columns)))
        print(f"{size:6} {d:9}", *(f"{1e3 * processor_seconds(call, 7):8.1f}" for call in calls), flush=True)


def memory() -> None:
    """Print the memory plan of an inverted file for 10,000,000 points, which is compiled and not run."""
    import jax
    import jax.numpy as jnp

    from jaxlle.neighbors import InvertedFile
    from jaxlle.neighbors.inverted_file import _search

    n, method = 10_000_000, InvertedFile()
    x = jax.ShapeDtypeStruct((n, 128), jnp.float32)
    plan = _search.lower(x, jax.random.key(0), K, method._sizes(n, K), method.block_bytes).compile().memory_analysis()
    sizes = {"points": plan.argument_size_in_bytes, "neighbors": plan.output_size_in_bytes}
    for name, size in {**sizes, "temporary": plan.temp_size_in_bytes}.items():
        print(f"{name:12} {size / 1e9:6.1f} GB")


def roll() -> None:
    """Compare approximate searches of a Swiss roll in 64 dimensions, with noise."""
    import jax

    import jaxlle

    x = np.asarray(jaxlle.datasets.swiss_roll(jax.random.key(0), 100_000).points)
    x = x @ np.random.default_rng(0).normal(size=(3, 64)) + normal_points(100_000, 64)
    approximate("Swiss roll 100,000 x 64", x.astype(np.float32), (16, 32))


def digits(n: int = 20_000, probes: tuple[int, ...] = (32, 64, 128)) -> None:
    """Compare approximate searches of deformed digits."""
    import jax

    import jaxlle

    x = jaxlle.datasets.deformed_digits(jax.random.key(0), n).points
    approximate(f"deformed digits {n:,} x 784", np.asarray(x), probes)


def approximate(name: str, x: np.ndarray, probes: tuple[int, ...]) -> None:
    """Print the processor time of approximate searches, without compilation and recall, and of the exact search."""
    import jax

    import jaxlle
    from jaxlle.neighbors import InvertedFile, NearestNeighborDescent
    from jaxlle.neighbors.approximate import _recall

    key, points = jax.random.key(0), jaxlle.neighbors.prepare_points(x)
    NearestNeighborDescent()(jaxlle.neighbors.prepare_points(x[:1000]), K, key)  # compiles
    print(f"\n{name}, k = {K}\n{'method':36} {'processor s':>12} {'recall':>8}")
    for method in (*map(NearestNeighborDescent, (0.5, 1.0)), *(InvertedFile(probes=number) for number in probes)):
        if isinstance(method, InvertedFile):
            method(points, K, key)  # compiles
        start = time.process_time()
        found = jax.block_until_ready(method(points, K, key))
        seconds = time.process_time() - start
        short = str(method).partition(", iterations")[0].replace("lists=None, ", "").rstrip(")") + ")"
        print(f"{short:36} {seconds:12.1f} {_recall(points, K, found.indices, 1000, key):8.4f}", flush=True)
    start = time.process_time()
    jax.block_until_ready(jaxlle.knn(points, K))
    print(f"{'exact, with compilation':36} {time.process_time() - start:12.1f} {1:8.4f}", flush=True)


if __name__ == "__main__":
    sections = {"knn": knn, "symmetry": symmetry, "memory": memory, "roll": roll, "digits": digits}
    run({**sections, "digits70": partial(digits, 70_000, (32, 64))})
