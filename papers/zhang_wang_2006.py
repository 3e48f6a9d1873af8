"""Zhang and Wang (2006), MLLE: modified locally linear embedding using multiple weights. NIPS 19:1593-1600.

DOI: none; in the proceedings of NIPS. The figures on the stability in k.

Claim: with several weight vectors a point the embedding hardly depends on the number of neighbours k. That of LLE, with one,
changes with it. The paper shows pictures over a range of k and gives no number; here the affine residual (the share
of the true coordinates' variance that no affine map of the embedding explains) is measured at every k, on the S-curve and on
the Swiss roll.

Differs from the paper: its samples are not published, and ours are drawn from the library's generators. The regulariser of both
methods' weights is 1e-3 of the trace.

Run: jaxlle papers run zhang_wang_2006 --full
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

PUBLISHED: dict[str, tuple[float, str]] = {}  # pictures only
HEADLINE = (
    "S-curve, LLE: worst k",
    "S-curve, modified LLE: worst k",
    "Swiss roll, LLE: worst k",
    "Swiss roll, modified LLE: worst k",
)
SMALL = {"n": 400, "ks": (8, 14), "seeds": 2}

METHODS = {"LLE": jaxlle.lle, "modified LLE": jaxlle.modified_lle}
SURFACES = {"S-curve": jaxlle.datasets.s_curve, "Swiss roll": jaxlle.datasets.swiss_roll}


def main(
    n: int = 1500,
    ks: Sequence[int] = (8, 10, 12, 14, 16, 18, 20),
    seeds: int = 5,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Embed both surfaces at every k, and tell how much the result depends on it."""
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
    if figure is not None:
        draw(out, figure)
    return out


def draw(out: dict[str, float], figure: str) -> None:
    """Draw the residual against k."""
    import matplotlib.pyplot as plt

    picture, planes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for plane, surface in zip(planes, SURFACES, strict=True):
        for method in METHODS:
            start, end = f"{surface}, {method}, k = ", ": affine residual"
            curve = {int(key[len(start) : -len(end)]): value for key, value in out.items() if key.startswith(start)}
            plane.plot(list(curve), list(curve.values()), "o-", label=method)
        plane.set(title=surface, xlabel="k", yscale="log")
    planes[0].set_ylabel("affine residual (median of the seeds)")
    planes[0].legend()
    picture.savefig(figure, dpi=110)
    plt.close(picture)


def _residual(embed: Any, sample: jaxlle.datasets.Manifold, found: jaxlle.Neighbors, k: int) -> float:
    # A mask, so that every k is the same compiled program.
    near = found._replace(mask=jnp.broadcast_to(jnp.arange(found.indices.shape[1]) < k, found.indices.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxlle.JaxlleWarning)  # a graph that falls apart shows in the residual
        made = embed(sample.points, 2, k=k, neighbors=near)
    return float(jaxlle.metrics.affine_residual(sample.parameters, made.points))
