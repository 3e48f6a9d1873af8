"""Benchmark of one GPU or TPU, next to lower bounds of its times: `python tests/benchmarks/accelerator.py [SECTION ...]`.

Sections: device, digits, training, precision, compiling, million, plans. It takes less than five minutes on one device, needs no
extra and downloads nothing: the points are random smooth manifolds, 70,000 x 784 and 1,000,000 x 64. Each section runs in a
process of its own and prints its rows as they are measured, so that one that fails or runs out of memory or time does not end the
others.

Options: `--small` runs everything at a small size, `--minutes 5` limits the time, and `--estimate H100` (or H200, A100,
"TPU v5e", "TPU v5p") runs nothing and prints the bounds for a device that need not be present. `roofline.py` explains the bounds.
"""

import argparse
import hashlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from roofline import PEAKS, Rates, cost, fastest, gathered_row, measured, published
from stages import K, estimate, stage_costs, stage_functions

sys.path.append(str(Path(__file__).parents[2]))  # the library need not be installed

_PATIENCE = 40.0  # seconds; a search that takes longer is not repeated


class Size(NamedTuple):
    """The numbers of points and features of each section."""

    digits: tuple[int, int] = (70_000, 784)
    million: tuple[int, int] = (1_000_000, 64)
    compiled: tuple[int, int] = (10_000, 784)
    compared: int = 5_000  # points whose float64 embedding is affordable on the host
    trained: int = 20_000
    product: int = 8192  # rows of the products that measure the device


SMALL = Size((400, 24), (400, 24), (400, 24), 400, 400, 256)  # one shape, whose programs the sections can share


def manifold(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Return n points of a random smooth manifold in d dimensions, as sines of ten normal variables of decreasing scale."""
    import jax
    import jax.numpy as jnp

    @partial(jax.jit, static_argnums=0)
    def make(n: int, key: Any) -> Any:
        keys = jax.random.split(key, 3)
        hidden = jax.random.normal(keys[0], (n, 10)) * 0.8 ** jnp.arange(10)
        directions = jax.random.normal(keys[1], (10, d)) / 2
        return jnp.sin(jnp.matmul(hidden, directions, precision="highest") + 6 * jax.random.uniform(keys[2], (d,)))

    return np.asarray(make(n, jax.random.key(seed)))


def device_rates(size: Size) -> tuple[str, Rates]:
    """Return the platform for which JAX compiles, and the published rates, or measured ones if the device is not in the table."""
    import jax

    found = jax.devices()[0]
    rates = published(found.device_kind) or measured(min(size.product, 2048))
    kind = "cuda" if found.platform == "gpu" else found.platform
    return kind, rates._replace(row=gathered_row()) if kind == "tpu" else rates


def row(name: str, seconds: Any, bound: float | None = None) -> None:
    """Print a measured time next to its bound."""
    text = "" if bound is None else f"{bound:11.4g} s {bound / seconds:8.0%}"
    print(f"{name:44}{seconds:11.4g} s{text}", flush=True)


def device(size: Size) -> None:
    """Print the device, the versions, and published next to measured rates."""
    import jax

    found = jax.devices()[0]
    print(
        f"{date.today()}, {found.device_kind} ({len(jax.devices())} of them, one is used), {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, jax {jax.__version__}"
    )
    for rates in (published(found.device_kind), measured(size.product)):
        if rates is None:
            print("not in the table of devices: bounds use measured rates")
            continue
        print(
            f"float32 products, highest precision {rates.exact / 1e12:.3g} TFLOP/s, default {rates.quick / 1e12:.3g} TFLOP/s; "
            f"memory {rates.memory / 1e9:.4g} GB/s ({rates.source})"
        )
    print(f"a gathered row of eight numbers takes {gathered_row() * 1e9:.2g} ns")


def repeat(name: str, call: Callable[[], Any], bound: float, patience: float = np.inf) -> tuple[Any, Any]:
    """Print the time of a call that compiles, and of a second one unless the first took too long; return both results."""
    import jax

    results = []
    for kind in ("first call", "second call"):
        start = time.perf_counter()
        results.append(jax.block_until_ready(call()))
        seconds = time.perf_counter() - start
        row(f"{name}, {kind}", seconds, bound)
        if seconds > patience:
            break
    return results[0], results[-1]


def same_bits(a: Any, b: Any) -> bool:
    """Return whether all arrays of two results are equal bit for bit."""
    import jax

    return all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
    )


def embedding(n: int, d: int, size: Size) -> None:
    """Print the times of the stages and of a whole fit, whether two runs give the same bits, and the memory in use."""
    import jax

    import jaxlle
    from jaxlle.neighbors import prepare_points

    kind, rates = device_rates(size)
    bounds = {name: found.seconds for name, found in stage_costs(n, d, kind, rates).items()}
    print(f"\n{n:,} x {d}, k = {K}, float32, Landmark{'time':>19}{'bound':>14}{'share':>9}")
    x = manifold(n, d)
    start = time.perf_counter()
    points = jax.block_until_ready(prepare_points(x))
    row("preparation of the points on the host", time.perf_counter() - start)
    equal = {}
    neighbors, again = repeat("search", lambda: jaxlle.knn(points, K), bounds["search"], _PATIENCE)
    equal["search"] = same_bits(neighbors, again)
    weights, again = repeat("weights", lambda: jaxlle.barycentric_weights(points, neighbors), bounds["weights"])
    equal["weights"] = same_bits(weights, again)
    alignment = jaxlle.weights_alignment(neighbors, weights)
    solver = jaxlle.solvers.Landmark()
    parts, again = repeat(
        "Landmark", lambda: jaxlle.embed(alignment, 2, solver=solver, points=points), bounds["Landmark"]
    )
    equal["Landmark"] = same_bits(parts.points, again.points)
    start = time.perf_counter()
    whole = jaxlle.lle(x, 2, k=K, solver=solver)
    jax.block_until_ready(whole.points)
    row("whole fit, after compilation", time.perf_counter() - start, sum(bounds.values()))
    equal["stages and whole fit"] = same_bits(parts.points, whole.points)
    print("the same bits in two runs: " + ", ".join(f"{name} {'yes' if yes else 'NO'}" for name, yes in equal.items()))
    angle = np.rad2deg(float(whole.rounding_angle))
    print(
        f"converged {bool(whole.converged)}, singular values {whole.singular_values}, expected rounding {angle:.2g} degrees"
    )
    memory = jax.devices()[0].memory_stats() or {}
    used = [f"{name} {memory[name] / 2**30:.2f} GiB" for name in ("peak_bytes_in_use", "bytes_limit") if name in memory]
    print("memory of the device: " + (", ".join(used) or "not reported by this device"))


def digits(size: Size) -> None:
    """Run the stages on as many points as MNIST has."""
    embedding(*size.digits, size)


def million(size: Size) -> None:
    """Run the stages on a million points."""
    embedding(*size.million, size)


def training(size: Size) -> None:
    """Print the time of a step of Adam on a perceptron with the LLE loss, and without it."""
    import jax
    import jax.numpy as jnp
    import optax

    import jaxlle

    kind, rates = device_rates(size)
    x = manifold(size.trained, size.digits[1])
    neighbors = jaxlle.knn(x, K)
    weights = jaxlle.barycentric_weights(x, neighbors)
    batch = jaxlle.neighborhood_batches(jnp.asarray(x), neighbors, weights, batch_size=256).batch(0)
    widths = (size.digits[1], 512, 512, 10)
    keys = jax.random.split(jax.random.key(0), len(widths))
    start = [jax.random.normal(key, (a, b)) / a**0.5 for key, a, b in zip(keys, widths, widths[1:], strict=False)]
    rule = optax.adam(1e-3)

    def loss(matrices: list, batch: Any, penalty: float) -> Any:
        y = batch.points
        for matrix in matrices[:-1]:
            y = jnp.tanh(y @ matrix)
        y = y @ matrices[-1]
        task = jnp.mean((y[batch.anchors] - 1) ** 2)
        if not penalty:
            return task
        options = {"mask": batch.mask, "where": batch.where}
        return task + penalty * jaxlle.losses.lle_loss(y[batch.anchors], y[batch.gather], batch.weights, **options)

    def step(matrices: list, state: Any, batch: Any, penalty: float) -> tuple:
        value, gradient = jax.value_and_grad(loss)(matrices, batch, penalty)
        change, state = rule.update(gradient, state, matrices)
        return optax.apply_updates(matrices, change), state, value

    print(
        f"\na training step, 256 anchors, perceptron {'-'.join(map(str, widths))}{'time':>15}{'bound':>14}{'share':>9}"
    )
    arguments = (start, rule.init(start), batch)
    for name, penalty in (("with the LLE loss", 1.0), ("without it", 0.0)):
        one = partial(step, penalty=penalty)
        bound = cost(one, *arguments, platform=kind, rates=rates).seconds
        row(name, fastest(jax.jit(one), *arguments, runs=20), bound)


def precision(size: Size) -> None:
    """Print the angle between float32 embeddings of the device and a float64 embedding, which is computed on the host."""
    import jax

    import jaxlle

    x = manifold(size.compared, size.digits[1])
    try:
        host = jax.devices("cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names the accelerator only
        host = jax.devices()[0]
    with jax.enable_x64(True), jax.default_device(host):
        exact = np.asarray(jaxlle.lle(x.astype(np.float64), 2, k=K).points)
    print(f"\nfloat32 on the device next to float64 on {host.platform}, {size.compared:,} x {size.digits[1]}, degrees")
    for solver in (jaxlle.solvers.Landmark(), jaxlle.solvers.DenseQR()):
        out = jaxlle.lle(x, 2, k=K, solver=solver)
        with jax.enable_x64(True), jax.default_device(host):
            angle = np.rad2deg(float(jaxlle.metrics.subspace_angle(np.asarray(out.points, np.float64), exact)))
        expected = np.rad2deg(float(out.rounding_angle))
        print(
            f"{type(solver).__name__:10} angle {angle:.2g}, expected rounding {expected:.2g}, converged {bool(out.converged)}",
            flush=True,
        )


_FITS = """
import sys, time
start = time.perf_counter()
sys.path[:0] = sys.argv[4:]
import jax, jaxlle
from accelerator import K, fingerprint, manifold
jaxlle.enable_compilation_cache(sys.argv[1])
x = manifold(int(sys.argv[2]), int(sys.argv[3]))
print(time.perf_counter() - start)
for _ in range(2):
    start = time.perf_counter()
    out = jax.block_until_ready(jaxlle.lle(x, 2, k=K, solver=jaxlle.solvers.Landmark()).points)
    print(time.perf_counter() - start)
print(fingerprint(out))
"""


def fingerprint(array: Any) -> str:
    """Return a number that identifies the bits of an array."""
    return hashlib.sha256(np.asarray(array).tobytes()).hexdigest()[:16]


def compiling(size: Size) -> None:
    """Print the first and second fit of two new processes, the second of which finds the compiled programs of the first."""
    import jaxlle

    n, d = size.compiled
    print(f"\nfits of {n:,} x {d} in new processes, with Landmark, seconds")
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        marks = []
        for name in ("without compiled programs", "with them"):
            command = [sys.executable, "-c", _FITS, folder, str(n), str(d), str(here), str(here.parents[1])]
            lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
            start, first, second = map(float, lines[-4:-1])
            marks.append(lines[-1])
            print(
                f"{name:27} start {start:.2f}, first fit {first:.2f}, second fit {second:.2f}, so compiling {first - second:.2f}",
                flush=True,
            )
        size_of_cache = jaxlle.compilation.cache_bytes(folder) / 2**20
    print(
        f"{size_of_cache:.1f} MiB of programs; the same bits in both processes: {'yes' if len(set(marks)) == 1 else 'NO'}"
    )


def plans(size: Size) -> None:
    """Print the memory that the compiled programs of the stages plan for, and the seconds to compile each."""
    import jax

    capacity = device_rates(size)[1].capacity
    for n, d in (size.digits, size.million):
        print(f"\nmemory plan of {n:,} x {d}, GiB")
        for name, (call, shapes) in stage_functions(n, d, capacity).items():
            start = time.perf_counter()
            plan = jax.jit(call).lower(*shapes).compile().memory_analysis()
            seconds = time.perf_counter() - start
            sizes = [getattr(plan, f"{kind}_size_in_bytes", 0) / 2**30 for kind in ("argument", "output", "temp")]
            print(
                f"{name:10} arguments {sizes[0]:.3f}, results {sizes[1]:.3f}, temporary {sizes[2]:.3f}; "
                f"compiled in {seconds:.1f} s",
                flush=True,
            )


SECTIONS = {f.__name__: f for f in (device, digits, training, precision, compiling, million, plans)}


def run_apart(arguments: list[str], seconds: float) -> str:
    """Run this script for one section in a new process, for a limited time, and return what went wrong, if anything."""
    command = [sys.executable, "-u", __file__, "--here", *arguments]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(timeout=seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return f"stopped after {seconds:.0f} s"
        raise
    return "" if code == 0 else f"failed with status {code}"


def run_here(name: str, size: Size) -> bool:
    """Run a section in this process, report its failure, and return whether it succeeded."""
    try:
        SECTIONS[name](size)
    except Exception as error:
        traceback.print_exc(limit=-3)
        print(f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[:1]}", flush=True)
        return False
    return True


def main(arguments: list[str]) -> int:
    """Run the sections that are named, or all, and return the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--small", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--minutes", type=float, default=5.0, help="time after which no section continues")
    parser.add_argument("--estimate", choices=list(PEAKS), help="print the bounds for a device and run nothing")
    parser.add_argument("--here", action="store_true", help="run the sections in this process")
    given = parser.parse_args(arguments)
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"unknown sections {sorted(unknown)}: use some of {', '.join(SECTIONS)}")
    size, end = SMALL if given.small else Size(), time.monotonic() + 60 * given.minutes
    if given.estimate:
        estimate(given.estimate, (size.digits, size.million))
        return 0
    names = given.sections or list(SECTIONS)
    if given.here:
        return sum(not run_here(name, size) for name in names)
    failed = 0
    for name in names:
        left = end - time.monotonic()
        problem = run_apart([name] + ["--small"] * given.small, left) if left > 0 else "not run, no time is left"
        if problem:
            failed += 1
            print(f"\n{name}: {problem}", flush=True)
    print(f"\n{given.minutes * 60 - (end - time.monotonic()):.0f} s; {failed} of {len(names)} sections failed")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
