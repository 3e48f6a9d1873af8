"""PARDISO next to SuperLU, alternately in one process: `python tests/benchmarks/pardiso.py [SECTION ...]`.

Sections: factors, fits. The extra `mkl` is required. Seconds are wall times, with the processor time in parentheses.
"""

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import numpy as np
from sections import run

import jaxlle
from jaxlle.solvers import _factors, _ordering, _pardiso

K = 12


def data_sets() -> dict[str, np.ndarray]:
    """Return points of low intrinsic dimension, for which `SparseLU` is chosen."""
    key = jax.random.key(0)
    sets = {f"cube {n:,} x 6": jax.random.uniform(key, (n, 6)) for n in (10_000, 20_000)}
    sets |= {f"Swiss roll {n:,}": jaxlle.datasets.swiss_roll(key, n).points for n in (200_000, 1_000_000)}
    return {name: np.asarray(points) for name, points in sets.items()}


def timed(function: Callable, *args: Any) -> tuple[str, Any]:
    """Return the seconds of a call, formatted, and its result."""
    start, used = time.perf_counter(), time.process_time()
    out = function(*args)
    return f"{time.perf_counter() - start:6.2f} ({time.process_time() - used:6.2f})", out


def solver(name: str) -> Any:
    """Return a context in which the sparse factors are those of PARDISO, or of SuperLU."""
    return mock.patch.object(_pardiso, "has_pardiso", return_value=name == "PARDISO")


def factorize(square: Any, alignment: jaxlle.Alignment) -> Callable:
    """Return the function that solves with a matrix, after its factors are computed."""
    solve = _factors._factor(square, _ordering.elimination_order(square, alignment), False)
    assert solve is not None
    return solve


def fit(points: np.ndarray) -> Any:
    """Embed points and wait for the result."""
    return jax.block_until_ready(jaxlle.lle(points, 2, k=K).points)


def factors() -> None:
    """Print the seconds of the factors of I - W without a point, of a solve, and its relative residual."""
    print(f"\nfactors, k = {K}\n{'':22} {'':8} {'factors':>16} {'solve':>16}  residual")
    for name, points in data_sets().items():
        alignment = jaxlle.lle_alignment(points, k=K)
        matrix: Any = alignment.to_scipy().astype(np.float64)
        square = matrix[1:][:, 1:].tocsr()
        b = np.random.default_rng(0).normal(size=square.shape[0])
        for kind in ("SuperLU", "PARDISO"):
            with solver(kind):
                seconds, solve = timed(factorize, square, alignment)
                of_solve, y = timed(solve, b, "N")
            residual = np.linalg.norm(square @ y - b) / np.linalg.norm(b)
            print(f"{name:22} {kind:8} {seconds:>16} {of_solve:>16}  {residual:.1e}", flush=True)


def fits() -> None:
    """Print the seconds of the second of two fits, which compiles nothing."""
    print(f"\nfits, k = {K}\n{'':22} {'':8} {'fit':>16}")
    for name, points in data_sets().items():
        fit(points)
        for kind in ("SuperLU", "PARDISO"):
            with solver(kind):
                seconds, _ = timed(fit, points)
            print(f"{name:22} {kind:8} {seconds:>16}", flush=True)


SECTIONS = {f.__name__: f for f in (factors, fits)}


if __name__ == "__main__":
    run(SECTIONS)
