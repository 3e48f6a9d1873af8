"""Comparison of the methods: paired tests, the best methods with and without LLE, and the figure."""

import numpy as np
from matplotlib.figure import Figure

from .._comparison import paired

LAPLACIAN, LLE = " + Laplacian", " + LLE"
PAIRS = {"LLE vs. alone": ("", LLE), "Laplacian vs. alone": ("", LAPLACIAN), "LLE vs. Laplacian": (LAPLACIAN, LLE)}


def compare(errors: dict[str, np.ndarray], networks: tuple[str, ...], case: str, share: float) -> dict[str, float]:
    """Return mean errors, and the gains in percentage points of each network by LLE, and of the best methods.

    Args:
        errors: test errors in percent of each method, one per seed.
        networks: names of the network methods, without the additions.
        case: prefix of the names of the results.
        share: as for `paired`.
    """
    found = {f"{case}.{name}.error": float(np.mean(values)) for name, values in errors.items()}

    def add(name: str, base: str, other: str) -> None:
        values = paired(errors[base] - errors[other], share)
        found.update({f"{case}.{name}.{key}": v for key, v in zip(("gain", "low", "high", "p"), values, strict=True)})

    for network in networks:
        for name, (base, other) in PAIRS.items():
            add(f"{network}: {name}", network + base, network + other)
    add("graph alone: LLE vs. Laplacian", "harmonic functions", "LLE")
    trained = [network + suffix for network in networks for suffix in ("", LAPLACIAN, LLE)]
    groups = {
        "best network without a graph": [name for name in networks if name != "propagate, then train"],
        "best network without LLE": [name for name in trained if not name.endswith(LLE)],
        "best network with LLE": [name for name in trained if name.endswith(LLE)],
        "best method without LLE": [name for name in errors if not name.endswith(LLE.strip(" +"))],
        "best method with LLE": [name for name in errors if name.endswith(LLE.strip(" +"))],
    }
    best = {group: min(names, key=lambda name: float(np.mean(errors[name]))) for group, names in groups.items()}
    for group, name in best.items():
        found[f"{case}.{group}.error"] = found[f"{case}.{group}, {name}.error"] = float(np.mean(errors[name]))
    add("best networks: LLE vs. no graph", best["best network without a graph"], best["best network with LLE"])
    add("best networks: LLE vs. no LLE", best["best network without LLE"], best["best network with LLE"])
    add("best methods: LLE vs. no LLE", best["best method without LLE"], best["best method with LLE"])
    base = best["best network without LLE"].removesuffix(LAPLACIAN)
    add("LLE added to the best network", base, base + LLE)
    return found


STYLES = {
    "": ("0.45", ":", "alone"),
    LAPLACIAN: ("#D55E00", "--", "with the Laplacian"),
    LLE: ("#0072B2", "-", "with LLE"),
}
MARKERS = {
    "supervised": "o",
    "pseudo-label": "s",
    "VAT": "^",
    "Mean Teacher": "v",
    "FixMatch": "D",
    "propagate, then train": "P",
}
GRAPHS = {
    "1-NN": "0.45",
    "label spreading": "#E69F00",
    "harmonic functions": "#D55E00",
    "LapRLS": "#CC79A7",
    "LLE": "#0072B2",
}


def draw(results: dict[str, float], figure: str) -> None:
    """Draw the test error against the number of labels, of networks in three panels and of graphs without a network."""
    counts = sorted({int(key.split(" ")[0]) for key in results if key.endswith("labels.1-NN.error")})
    picture = Figure(figsize=(9.5, 4), layout="constrained")
    panels = picture.subplots(1, 4, sharey=True)
    bound = results["all labels.error"]

    def line(panel, name: str, **style) -> None:
        values = [results[f"{count} labels.{name}.error"] for count in counts]
        panel.plot(counts, values, ms=5, lw=1.2, **style)

    for panel, (suffix, (color, dashes, title)) in zip(panels, STYLES.items(), strict=False):
        for network, marker in MARKERS.items():
            if f"{counts[0]} labels.{network}{suffix}.error" in results:
                line(panel, network + suffix, color=color, ls=dashes, marker=marker, mfc="w", label=network)
        panel.set_title(f"networks, {title}")
    for (name, color), marker in zip(GRAPHS.items(), "osDv^", strict=True):
        line(panels[-1], name, color=color, marker=marker, label=name)
    panels[-1].set_title("graphs without a network")
    for panel in panels:
        panel.axhline(bound, color="0.2", lw=0.9)
        panel.set(xscale="log", yscale="log", xlabel="labels", xlim=(min(counts) / 1.25, max(counts) * 1.25))
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
    for panel in panels[1::2]:  # the markers of the networks are the same in the first three panels
        panel.legend(fontsize=8, loc="upper right", handlelength=1.6)
    below = {"textcoords": "offset points", "ha": "right", "va": "top", "fontsize": 8}
    panels[0].annotate("network, all labels", (max(counts), bound), (0, -3), **below)
    panels[0].set_ylabel("test error, %")
    ticks = [2, 3, 5, 10, 20, 30]
    panels[0].set_yticks(ticks, [str(tick) for tick in ticks])
    picture.savefig(figure)
