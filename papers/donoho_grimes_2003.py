"""Donoho and Grimes (2003), Hessian eigenmaps: Locally linear embedding techniques for high-dimensional data. PNAS 100:5591-5596.

DOI: 10.1073/pnas.1031596100. The figure on the Swiss roll with a piece of its middle left out, whose parameters are no
convex set.

Claim: Hessian LLE recovers the parameters of a sheet with a hole, where LLE stretches the hole. The paper shows
pictures; here the affine residual (the share of the true coordinates' variance that no affine map of the embedding
explains) says how well, over several samples: the median, the smallest and the largest.

Found: medians of ten samples 0.00014 for Hessian LLE, 0.00019 for LTSA, 0.0007 for modified LLE and 0.086 for LLE; but
the largest are 0.17, 0.19, 0.17 and 0.49: not every sample of 1,000 points unrolls. At n = 600 and k = 12
neighbourhoods reach across the roll's gap, and the medians of all four are 0.18 or more; with k = 8 that of Hessian LLE
is 0.0005.

Differs: their sample is not published; ours is uniform in the square (u, v) of t = 1.5 pi (1 + 2 u), h = 21 v less its
middle ninth. LTSA and modified LLE, which are later, stand beside. The values beside ours were computed with other code
on other samples, we take it against the angle t: what is exact in arc length has a residual of 0.008 to (t, h), since
an affine map of arc length leaves 0.016 of the variance of t. Ours are against (arc length, h).

Run: jaxlle papers run donoho_grimes_2003 --full
"""

from collections.abc import Callable

import jax
import numpy as np

import jaxlle

PUBLISHED = {
    "lle: smallest": (0.07, "R"),
    "lle: largest": (0.13, "R"),
    "hessian: smallest": (0.006, "R"),
    "hessian: largest": (0.011, "R"),
    "ltsa: smallest": (0.006, "R"),
    "ltsa: largest": (0.011, "R"),
    "modified: smallest": (0.008, "R"),
    "modified: largest": (0.022, "R"),
    "hessian, n = 600, k = 8: median": (0.018, "R"),
}
HEADLINE = ("lle: median", "modified: median", "hessian: median", "ltsa: median", "hessian, n = 600, k = 8: median")
SMALL = {"seeds": 1, "sparse": ()}


def main(
    n: int = 1000,
    k: int = 12,
    seeds: int = 10,
    sparse: tuple[tuple[int, int], ...] = ((600, 12), (600, 8)),
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Embed the roll with a hole by four variants over several samples, in float64."""
    results, shown = {}, []
    with jax.enable_x64(True):
        for name, variant in VARIANTS.items():
            runs = [_run(variant, n, k, seed) for seed in range(seeds)]
            shown.append((name, *runs[0]))
            results |= (found := _summary(name, [residual for _, _, residual in runs]))
            report(name, found)
        for fewer, near in sparse:
            for name, variant in VARIANTS.items():
                residuals = [_run(variant, fewer, near, seed)[2] for seed in range(seeds)]
                label = f"{name}, n = {fewer}, k = {near}"
                results |= (found := _summary(label, residuals))
                report(label, found)
    if figure is not None:
        draw(shown, figure)
    return results


VARIANTS: dict[str, Callable[..., jaxlle.Embedding]] = {
    "lle": jaxlle.lle,
    "modified": jaxlle.modified_lle,
    "hessian": jaxlle.hessian_lle,
    "ltsa": jaxlle.ltsa,
}


def _run(
    variant: Callable[..., jaxlle.Embedding], n: int, k: int, seed: int
) -> tuple[jaxlle.datasets.Manifold, jaxlle.Embedding, float]:
    roll = jaxlle.datasets.swiss_roll(jax.random.key(seed), n, hole=True)
    out = variant(roll.points, 2, k=k)
    return roll, out, float(jaxlle.metrics.affine_residual(roll.parameters, out.points))


def _summary(name: str, residuals: list[float]) -> dict[str, float]:
    values = {"median": np.median(residuals), "smallest": min(residuals), "largest": max(residuals)}
    return {f"{name}: {which}": float(value) for which, value in values.items()}


def draw(shown: list[tuple[str, jaxlle.datasets.Manifold, jaxlle.Embedding, float]], figure: str) -> None:
    """Draw the first sample, its parameters, and its four embeddings, coloured by arc length."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(12, 7.4), layout="constrained")
    _, roll, _, _ = shown[0]
    arc = np.asarray(roll.parameters[:, 0])
    space = picture.add_subplot(2, 3, 1, projection="3d")
    space.scatter(*np.asarray(roll.points).T, c=arc, s=6)
    space.set_title(f"{len(arc):,} points of the roll with a hole")
    plane = picture.add_subplot(2, 3, 2)
    plane.scatter(*np.asarray(roll.parameters).T, c=arc, s=12)
    plane.set(title="its parameters", xlabel="arc length", ylabel="height")
    for place, (name, _, out, residual) in enumerate(shown, start=3):
        ax = picture.add_subplot(2, 3, place)
        jaxlle.plot.embedding(out, color=arc, ax=ax, title=f"{name}: affine residual {residual:.4f}")
    picture.savefig(figure, dpi=60)
