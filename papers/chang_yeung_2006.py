"""Chang and Yeung (2006), Robust locally linear embedding. Pattern Recognition 39:1053-1065.

DOI: 10.1016/j.patcog.2005.07.011. The figures on the Swiss roll and the S-curve with outliers.

Claim: outliers that spoil the embedding of LLE leave that of robust LLE as it was. With reliability scores from robust local PCA,
outliers are nobody's neighbours and count little in the cost. The paper shows pictures; here the clean points are measured:
trustworthiness against the true coordinates (a sheet that is folded over loses it) and the affine residual.

Found: with 5 % of outliers in the Swiss roll it holds. With 10 % only in part: two outliers in five look reliable, being near a
sheet, and those are enough for short cuts between sheets. On the S-curve LLE itself suffers less, and gains less.

Differs from the paper: its samples are not published; ours are the library's surfaces, with outliers uniform in their bounding
box. The threshold on the scores is half their median. k = 15 for all. What LLE gives for the clean points alone stands
beside, as the best that robust LLE can hope for.

Run: jaxlle papers run chang_yeung_2006 --full
"""

import warnings
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

PUBLISHED: dict[str, tuple[float, str]] = {}  # pictures only
HEADLINE = (
    "Swiss roll, 5% outliers: LLE, trustworthiness",
    "Swiss roll, 5% outliers: robust LLE, trustworthiness",
    "Swiss roll, 5% outliers: LLE without the outliers, trustworthiness",
    "Swiss roll, 5% outliers: outliers found reliable, %",
)
SMALL = {"n": 500, "shares": (0.0, 0.05), "seeds": 2}

SURFACES = {"Swiss roll": jaxlle.datasets.swiss_roll, "S-curve": jaxlle.datasets.s_curve}
METHODS = {"LLE": jaxlle.lle, "robust LLE": jaxlle.robust_lle}


def main(
    n: int = 1500,
    shares: Sequence[float] = (0.0, 0.05, 0.1),
    k: int = 15,
    seeds: int = 5,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Embed both surfaces with every share of outliers."""
    out = {}
    for surface in SURFACES:
        for share in shares:
            rows = [_row(surface, n, share, k, seed) for seed in range(seeds)]
            name = f"{surface}, {share:.0%} outliers"
            found = {f"{name}: {key}": float(np.median([row[key] for row in rows])) for key in rows[0]}
            report(name, found)
            out |= found
    if figure is not None:
        draw(n, k, out, figure)
    return out


def draw(n: int, k: int, out: dict[str, float], figure: str) -> None:
    """Draw one noisy Swiss roll and its two embeddings, clean points only, with the medians of the seeds."""
    import matplotlib.pyplot as plt

    x, parameters, clean = _sample("Swiss roll", n, 0.05, 0)
    picture = plt.figure(figsize=(13, 4), layout="constrained")
    space = picture.add_subplot(1, 3, 1, projection="3d")
    space.scatter(*np.asarray(x[clean]).T, c=np.asarray(parameters[:, 0]), s=4)
    space.scatter(*np.asarray(x[~clean]).T, c="red", s=8)
    space.set_title("Swiss roll, 5 % outliers (red)")
    for place, (method, embed) in enumerate(METHODS.items(), start=2):
        trust = out.get(f"Swiss roll, 5% outliers: {method}, trustworthiness", float("nan"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jaxlle.JaxlleWarning)
            y = embed(x, 2, k=k).points[clean]
        title = f"{method}: trustworthiness {trust:.3f} (median)"
        jaxlle.plot.embedding(y, color=parameters[:, 0], title=title, ax=picture.add_subplot(1, 3, place))
    picture.savefig(figure, dpi=80)
    plt.close(picture)


def _row(surface: str, n: int, share: float, k: int, seed: int) -> dict[str, float]:
    x, parameters, clean = _sample(surface, n, share, seed)
    row = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxlle.JaxlleWarning)  # what goes wrong shows in the measures
        made = {name: embed(x, 2, k=k).points[clean] for name, embed in METHODS.items()}
        made["LLE without the outliers"] = jaxlle.lle(x[clean], 2, k=k).points
    for name, y in made.items():
        row[f"{name}, trustworthiness"] = float(jaxlle.metrics.trustworthiness(parameters, y, k=k))
        row[f"{name}, affine residual"] = float(jaxlle.metrics.affine_residual(parameters, y))
    if share:
        scores = np.asarray(jaxlle.reliability(x, 2, jaxlle.knn(x, k)))
        reliable = scores > np.median(scores) / 2
        row["outliers found reliable, %"] = 100 * float(reliable[~clean].mean())
        row["clean points found unreliable, %"] = 100 * float((~reliable[clean]).mean())
    return row


def _sample(surface: str, n: int, share: float, seed: int) -> tuple[jax.Array, jax.Array, np.ndarray]:
    """Return points, outliers last; the parameters of the clean ones; and which are clean."""
    on_surface, off = jax.random.split(jax.random.key(seed))
    made = SURFACES[surface](on_surface, n - round(share * n))
    low, high = made.points.min(axis=0), made.points.max(axis=0)
    outliers = jax.random.uniform(off, (round(share * n), 3), minval=low, maxval=high)
    return jnp.concatenate([made.points, outliers]), made.parameters, np.arange(n) < len(made.points)
