"""Kouropteva, Okun and Pietikainen (2002), Selection of the optimal parameter value for the LLE algorithm. FSKD, 359-363.

DOI: none; in the proceedings of FSKD 2002, Singapore. The curves of residual variance against k.

Claim: the k with the smallest residual variance gives a good embedding. The residual variance of an embedding is 1 - r^2, where
r is the correlation between all distances in the data and in the embedding. Here this k is compared with the best one according
to the true coordinates (smallest affine residual), and with the selection by two later criteria.

Found: on twin peaks the selected k is the best one. On the Swiss roll it is among the worst, and the other criteria select
better ones.

Differs from the paper: its data are face images, and its samples are not published. The data here are two surfaces with known
coordinates, twin peaks (gently curved) and the Swiss roll. Residual variance compares distances in the ambient space, so that
even a perfect embedding of a roll has a large value; this limitation of the criterion is not shown in the paper. The other
criteria are Procrustes (Goldberg and Ritov 2009) and the preservation of neighborhoods (after Alvarez-Meza et al. 2011).

Run: jaxlle papers run kouropteva_okun_pietikainen_2002 --full
"""

import warnings
from collections.abc import Sequence

import jax
import numpy as np

import jaxlle

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the paper shows curves
SMALL = {"n": 400, "ks": (6, 10, 16), "seeds": 1}

SURFACES = {"twin peaks": jaxlle.datasets.twin_peaks, "Swiss roll": jaxlle.datasets.swiss_roll}
COLORS = {"affine residual": "k", "residual variance": "#0072B2", "procrustes": "#D55E00", "preservation": "#009E73"}
CRITERIA = {"residual variance": "residual_variance", "procrustes": "procrustes", "preservation": "preservation"}


def main(
    n: int = 1500,
    ks: Sequence[int] = (5, 6, 7, 8, 10, 12, 14, 16, 20, 25, 30),
    seeds: int = 3,
    *,
    report: Report = print,
) -> dict[str, float]:
    """Compute every criterion and the affine residual at every k, and the affine residual at the k that each selects."""
    out = {}
    for surface, make in SURFACES.items():
        samples = [make(jax.random.key(seed), n) for seed in range(seeds)]
        grids = [jaxlle.choose(sample.points, 2, ks=ks) for sample in samples]
        truth = np.array([[_residual(sample, k) for k in grids[0].ks] for sample in samples])
        rows = {f"{surface}, least affine residual": float(np.median(truth.min(axis=1)))}
        for name, field in CRITERIA.items():
            chosen = [int(np.argmax(grid.ks == grid.best(field)[0])) for grid in grids]
            rows[f"{surface}, {name}: k"] = float(np.median([grids[0].ks[place] for place in chosen]))
            residuals = [row[place] for row, place in zip(truth, chosen, strict=True)]
            rows[f"{surface}, {name}: affine residual at its k"] = float(np.median(residuals))
        report(surface, rows)
        out |= rows
    return out


def draw(
    results: dict[str, float], figure: str, n: int = 1500, ks: Sequence[int] = (5, 6, 7, 8, 10, 12, 14, 16, 20, 25, 30)
) -> None:
    """Draw the criteria and the affine residual against k for the first sample of each surface, with the selected k."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9, 3.6), layout="constrained")
    panels = picture.subplots(1, len(SURFACES), sharey=True)
    for panel, (surface, make) in zip(panels, SURFACES.items(), strict=True):
        sample = make(jax.random.key(0), n)
        grid = jaxlle.choose(sample.points, 2, ks=ks)
        curves = {name: np.asarray(getattr(grid, field))[:, 0] for name, field in CRITERIA.items()}
        curves["affine residual"] = np.array([_residual(sample, k) for k in grid.ks])
        lowest = 0.0
        for name, values in sorted(curves.items(), key=lambda curve: curve[1][-1]):
            color = COLORS[name]
            (line,) = panel.semilogy(grid.ks, values, "-", marker=".", color=color)
            best = (
                int(np.argmin(values))
                if name not in CRITERIA
                else int(np.argmax(grid.ks == grid.best(CRITERIA[name])[0]))
            )
            panel.plot(grid.ks[best], values[best], "o", ms=8, mfc="none", color=line.get_color())
            lowest = max(values[-1], 1.6 * lowest)  # labels must not overlap
            end = (grid.ks[-1], lowest)
            panel.annotate(name, end, (7, 0), textcoords="offset points", color=line.get_color(), va="center")
        panel.set(title=surface, xlabel="k (circles: selected)", xlim=(min(ks) - 1, 1.35 * max(ks)))
    panels[0].set_ylabel("criterion")
    picture.savefig(figure)


def _residual(sample: jaxlle.datasets.Manifold, k: int) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxlle.JaxlleWarning)  # failures are visible in the residual
        made = jaxlle.lle(sample.points, 2, k=int(k))
    return float(jaxlle.metrics.affine_residual(sample.parameters, made.points))
