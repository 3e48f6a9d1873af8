"""The effects of the study: the paired comparison of both arms, the number of significant rows, and the figure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from .._comparison import paired

LEFT = -32  # percent; reductions below this are clipped and annotated with their value
TRAINING = "Digits, MLP, 100 labels, trained in other ways"
LOWER = ".LLE below Laplacian"  # the key of the relative reduction of the error with the Laplacian by LLE instead
SIZED = ("names", "syllables", "diabetes")


def effect(name: str, plain: np.ndarray, lle: np.ndarray, share: float) -> dict[str, float]:
    """Return both mean errors and the relative reduction, with the interval and p-value of `paired`."""
    mean, low, high, p = paired(plain - lle, share)
    scale = plain.mean()
    values = {
        "without": scale,
        "with": lle.mean(),
        "reduction": mean / scale,
        "low": low / scale,
        "high": high / scale,
        "p": p,
    }
    return {f"{name}.{key}": float(value) for key, value in values.items()}


def against_laplacian(name: str, laplacian: np.ndarray, lle: np.ndarray, share: float) -> dict[str, float]:
    """Return the mean error with the Laplacian, and the relative reduction of it by LLE instead, as in `effect`."""
    compared = effect("", laplacian, lle, share)
    found = {f"{name}.with Laplacian": compared[".without"], f"{name}{LOWER}": compared[".reduction"]}
    return found | {f"{name}{LOWER}, {key}": compared[f".{key}"] for key in ("low", "high", "p")}


def count_significant(results: dict[str, float]) -> dict[str, float]:
    """Count the rows with a change at a false discovery rate of 5 % over all rows (Benjamini and Hochberg 1995)."""
    found: dict[str, float] = {}
    for gain, p, mark, kinds in (
        (".reduction", ".p", ".significant", ("rows improved", "rows worsened", "rows undecided")),
        (
            LOWER,
            f"{LOWER}, p",
            f"{LOWER}, significant",
            ("LLE better", "Laplacian better", "LLE and Laplacian undecided"),
        ),
    ):
        names = [key.removesuffix(gain) for key in results if key.endswith(gain)]
        significant = stats.false_discovery_control([results[f"{name}{p}"] for name in names]) < 0.05
        lower = np.array([results[f"{name}{gain}"] > 0 for name in names])
        found |= {f"{name}{mark}": float(value) for name, value in zip(names, significant, strict=True)}
        shares = significant & lower, significant & ~lower, ~significant
        found |= {kind: float(np.sum(part)) for kind, part in zip(kinds, shares, strict=True)}
    return found | {"rows": found["rows improved"] + found["rows worsened"] + found["rows undecided"]}


def draw(results: dict[str, float], figure: str) -> None:
    """Draw the relative reduction of the error with its interval for every row, grouped by data set."""
    groups: dict[str, list[str]] = {}
    for key in results:
        if key.endswith(".reduction"):
            name = key[: -len(".reduction")]
            groups.setdefault(_group(name), []).append(name)
    count = sum(map(len, groups.values())) + 1.3 * len(groups)
    picture = Figure(figsize=(7.5, 0.6 + 0.185 * count), layout="constrained")
    ax = picture.subplots()
    places, labels = [], []
    place = 0.0
    for group, names in groups.items():
        place -= 1.3
        ax.annotate(group, (-0.005, place), xycoords=("axes fraction", "data"), ha="right", va="center", weight="bold")
        for name in names:
            place -= 1
            _draw_row(ax, place, {key: results[f"{name}.{key}"] for key in ("reduction", "low", "high", "significant")})
            if f"{name}.with Laplacian" in results:
                gain = 1 - results[f"{name}.with Laplacian"] / results[f"{name}.without"]
                ax.plot(max(100 * gain, LEFT), place, "|", color="k", ms=8, mew=1.3, clip_on=False)
            places.append(place)
            labels.append(_label(name, group))
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set_yticks(places, labels)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color="0.92")
    ax.set_axisbelow(True)
    ax.set(xlim=(LEFT, 62), ylim=(place - 0.7, -0.3))
    ax.set_xlabel(
        "change of the test error by the LLE term, %\n(95 % intervals; gray: not significant; black bar: the Laplacian instead)"
    )
    ax.set_xticks(range(-20, 61, 20), ["20 higher", "0", "20 lower", "40 lower", "60 lower"])
    picture.savefig(figure)


def _group(name: str) -> str:
    """Return the heading under which a row is drawn."""
    first = name.split(",")[0]
    if name.endswith("attacked"):
        return "Digits, attacked"
    if "digits" in first:
        return "Digits" if first == "digits" else "Corrupted digits"
    return first.capitalize() if first in SIZED else TRAINING


def _label(name: str, group: str) -> str:
    """Return the name of a row without what its heading contains."""
    if group == TRAINING:
        return name.removesuffix(", MLP, 100 labels")
    short = name.removesuffix(", attacked")
    return short if group == "Corrupted digits" else short.split(", ", 1)[1]


def _draw_row(ax: Axes, place: float, row: dict[str, float]) -> None:
    """Draw the reduction of one row in percent: blue if significantly positive, red if negative, gray otherwise."""
    gain, low, high = (100 * row[key] for key in ("reduction", "low", "high"))
    color = "0.55" if not row["significant"] else "#0072B2" if gain > 0 else "#D55E00"
    if gain < LEFT:
        ax.plot(LEFT, place, "<", color=color, clip_on=False)
        text = f"error {-gain:.0f} % higher ({-high:.0f} to {-low:.0f})"
        box = {"facecolor": "w", "edgecolor": "none", "pad": 1}
        ax.annotate(text, (LEFT, place), (7, 0), textcoords="offset points", color=color, va="center", bbox=box)
        return
    ax.plot((low, high), (place, place), color=color, lw=1.8, solid_capstyle="round")
    face = color if row["significant"] else "w"
    ax.plot(gain, place, "o", color=color, ms=4.5, mfc=face)
