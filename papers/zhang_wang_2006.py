"""Zhang and Wang (2006), MLLE: modified locally linear embedding using multiple weights. NIPS 19:1593-1600.

DOI: none; in the proceedings of NIPS. The figures on the stability in k.

Claim: with several weight vectors per point the embedding hardly depends on the number of neighbors k, whereas with one, as in
LLE, it does. The paper shows figures over a range of k and gives no number. Here the affine residual (the share of the variance
of the true coordinates that no affine map of the embedding explains) is measured at every k, on the S-curve and the Swiss roll.

Differs from the paper: its samples are not published; these are drawn by `jaxlle.datasets`. The regularization of the weights
of both methods is 1e-3 of the trace.

Run: jaxlle papers run zhang_wang_2006 --full
"""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the paper shows figures
SMALL = {"n": 400, "ks": (8, 14), "seeds": 2}

METHODS = {"LLE": jaxlle.lle, "modified LLE": jaxlle.modified_lle}
SURFACES = {"S-curve": jaxlle.datasets.s_curve, "Swiss roll": jaxlle.datasets.swiss_roll}


def main(
    n: int = 1500, ks: Sequence[int] = (8, 10, 12, 14, 16, 18, 20), seeds: int = 5, *, report: Report = print
) -> dict[str, float]:
    """Embed both surfaces at every k, and return the median affine residuals and the largest of them."""
    out = {}
    for surface, make in SURFACES.items():
        samples = [make(jax.random.key(seed), n) for seed in range(seeds)]
        found = [jaxlle.knn(sample.points, max(ks)) for sample in samples]
        for method, embed in METHODS.items():
            residuals = {
                k: [_residual(embed, s, f, k) for s, f in zip(samples, found, strict=True)] for k in sorted(ks)
            }
            medians = {k: float(np.median(values)) for k, values in residuals.items()}
            rows = {f"{surface}, {method}, k = {k}: affine residual": value for k, value in medians.items()}
            rows[f"{surface}, {method}: worst k"] = max(medians.values())
            report(f"{surface}, {method}", rows)
            out |= rows
    return out


def draw(results: dict[str, float], figure: str) -> None:
    """Draw the residual against k."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 3.4), layout="constrained")
    panels = picture.subplots(1, 2, sharex=True, sharey=True)
    for panel, surface in zip(panels, SURFACES, strict=True):
        for method in METHODS:
            start, end = f"{surface}, {method}, k = ", ": affine residual"
            keys = [key for key in results if key.startswith(start)]
            ks, values = [int(key[len(start) : -len(end)]) for key in keys], [results[key] for key in keys]
            (line,) = panel.semilogy(ks, values, "o-")
            panel.annotate(method, (ks[0], max(values[:3])), (0, 7), textcoords="offset points", color=line.get_color())
        panel.set(title=surface, xlabel="k")
    panels[0].set(ylabel="affine residual (median over samples)", ylim=(1e-5, 2))
    picture.savefig(figure)


def _residual(embed: Any, sample: jaxlle.datasets.Manifold, found: jaxlle.Neighbors, k: int) -> float:
    # With a mask, every k uses the same compiled program.
    near = found._replace(mask=jnp.broadcast_to(jnp.arange(found.indices.shape[1]) < k, found.indices.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxlle.JaxlleWarning)  # a disconnected graph is visible in the residual
        made = embed(sample.points, 2, k=k, neighbors=near)
    return float(jaxlle.metrics.affine_residual(sample.parameters, made.points))
