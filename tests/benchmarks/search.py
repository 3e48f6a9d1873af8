"""Benchmarks of the neighbor search, in processor time: `python tests/benchmarks/search.py [SECTION ...]`.

Sections: knn, symmetry. Processor time is the sum over all cores, which varies less than wall time on a shared machine. To
compare two commits, run the section in a worktree of each, alternately.
"""

import statistics
import time
from collections.abc import Callable
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


if __name__ == "__main__":
    run({"knn": knn, "symmetry": symmetry})
