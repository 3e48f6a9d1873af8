"""Memory and latency over many sizes of input: `python tests/benchmarks/sizes.py [SECTION ...] [ARGUMENT=VALUE ...]`.

Sections: transform (2,000 calls of a map on random numbers of rows up to 5,000), fit (fits of many numbers of points), mapped
(peak memory of each stage on a memory map, each in a process of its own, on Linux; `solve=1` includes `lle`). Each runs in a
fresh process. The resident memory is that of the whole process, and `compilations` counts the programs that XLA compiled.
The persistent cache of compiled programs is off.
"""

import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from sections import heading

import jaxlle

COMPILED = "/jax/core/compile/backend_compile_duration"


class Meter:
    """Counts compilations, and reads the resident memory of this process (Linux)."""

    def __init__(self) -> None:
        self.compilations = 0
        jax.monitoring.register_event_duration_secs_listener(self._count)

    def _count(self, event: str, duration: float, **_: object) -> None:
        self.compilations += event == COMPILED

    @staticmethod
    def megabytes(field: str = "VmRSS") -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def transform(points: int = 5000, features: int = 3, calls: int = 2000, most: int = 5000) -> None:
    """Embed random numbers of new points."""
    meter, rng = Meter(), np.random.default_rng(0)
    x = rng.normal(size=(points, features)).astype(np.float32)
    known = jaxlle.serving.OutOfSampleMap(x, jaxlle.lle(x, 2, k=12).points, k=12)
    new = rng.normal(size=(most, features)).astype(np.float32)
    before = meter.megabytes()
    fitted, meter.compilations = meter.compilations, 0
    times, busy = [], []
    for count in rng.integers(1, most + 1, calls):
        start, processor = time.perf_counter(), time.process_time()
        jax.block_until_ready(known(new[:count]))
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - processor)
    print(
        f"{calls} transforms of 1 to {most} rows, n = {points}, d = {features}: {meter.compilations} compilations; resident "
        f"{before:.0f} MB after the fit ({fitted} compilations), {meter.megabytes():.0f} MB at the end, peak "
        f"{meter.megabytes('VmHWM'):.0f} MB; median {1e3 * statistics.median(times):.1f} ms (processor time of all threads "
        f"{1e3 * statistics.median(busy):.1f} ms), slowest {max(times):.2f} s, sum {sum(times):.0f} s"
    )


def fit(least: int = 500, features: int = 3, fits: int = 20, step: int = 7) -> None:
    """Fit many numbers of points, keep the compiled programs, and then release them after each further fit."""
    meter, rng = Meter(), np.random.default_rng(0)
    counts = least + step * np.arange(1, 2 * fits + 1)
    x = rng.normal(size=(counts[-1], features)).astype(np.float32)
    jax.block_until_ready(jaxlle.lle(x[:least], 2, k=12).points)
    before, meter.compilations, start = meter.megabytes(), 0, time.perf_counter()
    for count in counts[:fits]:
        jax.block_until_ready(jaxlle.lle(x[:count], 2, k=12).points)
    seconds, kept, compilations = time.perf_counter() - start, meter.megabytes(), meter.compilations
    for count in counts[fits:]:
        jax.clear_caches()
        jax.block_until_ready(jaxlle.lle(x[:count], 2, k=12).points)
    print(
        f"{fits} fits with a new number of points each, from {least}, d = {features}: {compilations / fits:.1f} compilations and "
        f"{seconds / fits:.2f} s per fit; {(kept - before) / fits:.1f} MB per fit ({before:.0f} to {kept:.0f} MB); "
        f"{meter.megabytes():.0f} MB after {fits} more with jax.clear_caches() before each"
    )


def mapped(points: int = 2_000_000, features: int = 64, k: int = 12, queries: int = 2_000, solve: int = 0) -> None:
    """Write waves over three coordinates and their neighbor graph to files, and measure the stages on a memory map."""
    with tempfile.TemporaryDirectory() as folder:
        _write_waves(Path(folder), points, features, k)
        for stage in (*STAGES, *["lle"] * solve):
            # A new process, because the allocator keeps the memory of other stages.
            process = multiprocessing.get_context("spawn").Process(target=_stage, args=(folder, stage, k, queries))
            process.start()
            process.join()


def _write_waves(folder: Path, points: int, features: int, k: int) -> None:
    rng = np.random.default_rng(0)
    latent = rng.random((points, 3), np.float32) * np.array([4, 1, 1], np.float32)
    directions = rng.normal(size=(3, features)).astype(np.float32)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (points, features))
    for start in range(0, points, 100_000):
        x[start : start + 100_000] = np.cos(0.3 * latent[start : start + 100_000] @ directions)
    x.flush()
    np.save(folder / "graph.npy", np.asarray(jaxlle.knn(latent, k).indices))


STAGES = ("prepare_points", "knn of queries", "weights", "alignment", "transform")


def _stage(folder: str, stage: str, k: int, queries: int) -> None:
    x, ids = (np.load(Path(folder) / name, mmap_mode="r") for name in ("x.npy", "graph.npy"))
    graph, new = jaxlle.Neighbors(np.array(ids), None), x[:queries] + np.float32(1e-3)
    y = (
        np.random.default_rng(0).normal(size=(len(x), 2)).astype(np.float32)
    )  # not from x, whose pages would count as used
    few = np.array(x[: 2 * k])
    jaxlle.barycentric_weights(few, jaxlle.knn(few, k))  # loads the libraries
    before = Meter.megabytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    start, processor = time.perf_counter(), time.process_time()
    # Without iterations, of which the memory is independent.
    coarse = jaxlle.solvers.Landmark(max_iterations=0, degree=2, ratio=4.0)
    out = {
        "prepare_points": lambda: jaxlle.neighbors.prepare_points(x).center,
        "knn of queries": lambda: jaxlle.knn(x, k, query=new),
        "weights": lambda: jaxlle.barycentric_weights(x, graph),
        "alignment": lambda: jaxlle.lle_alignment(x, k=k, neighbors=graph),
        "transform": lambda: jaxlle.transform(new, x, y, k=k),
        "lle": lambda: jaxlle.lle(x, 2, neighbors=graph, solver=coarse).points,
    }[stage]()
    jax.block_until_ready(out)
    data, rise = x.nbytes / 2**20, Meter.megabytes("VmHWM") - before
    print(
        f"{stage}, {x.shape[0]} x {x.shape[1]}, {data:.0f} MB: peak {rise:.0f} MB above the {before:.0f} MB before, "
        f"{rise / data:.2f} times the data; {time.perf_counter() - start:.0f} s, processor time "
        f"{time.process_time() - processor:.0f} s",
        flush=True,
    )


SECTIONS = {"transform": transform, "fit": fit, "mapped": mapped}


def main(arguments: list[str]) -> None:
    """Run the named sections, or all, each in a process of its own."""
    settings = {name: int(value) for name, value in (a.split("=") for a in arguments if "=" in a)}
    names = [a for a in arguments if "=" not in a] or list(SECTIONS)
    if len(names) == 1:
        SECTIONS[names[0]](**settings)
        return
    heading()
    for name in names:
        subprocess.run([sys.executable, __file__, name, *(a for a in arguments if "=" in a)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
