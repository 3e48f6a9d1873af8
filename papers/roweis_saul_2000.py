"""Roweis and Saul (2000), Nonlinear dimensionality reduction by locally linear embedding. Science 290:2323-2326.

DOI: 10.1126/science.290.5500.2323. Figure 1: LLE unrolls a Swiss roll of N = 2000 points with K = 12 neighbours.

Claim: the two coordinates vary smoothly and one to one with the position on the roll. The paper shows a picture and gives
no number; here the affine residual (the share of the true coordinates' variance that no affine map of the embedding
explains) and the trustworthiness say how well it holds.

Differs from the paper: their sample is not published; ours is drawn from the same roll, t = 1.5 pi (1 + 2 u), height 21 v. The
regulariser is theirs, 1e-3 of the trace.

Run: jaxlle papers run roweis_saul_2000 --full
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

PUBLISHED: dict[str, tuple[float, str]] = {}  # the paper shows a picture
HEADLINE = ("affine residual", "trustworthiness")
SMALL = {"n": 1000}


def main(
    n: int = 2000,
    k: int = 12,
    reg: float = 1e-3,
    seed: int = 0,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Embed the Swiss roll, and draw it if a file is named."""
    roll = jaxlle.datasets.swiss_roll(jax.random.key(seed), n)
    out = jaxlle.lle(roll.points, 2, k=k, reg=reg, scaling="covariance")
    report(f"embedded {n} points", {})
    if figure is not None:
        draw(roll, out, figure)
    return {
        "affine residual": float(jaxlle.metrics.affine_residual(roll.parameters, out.points)),
        "trustworthiness": float(jaxlle.metrics.trustworthiness(roll.points, out.points, k=k)),
        "continuity": float(jaxlle.metrics.continuity(roll.points, out.points, k=k)),
        "cost": float(jnp.sum(out.singular_values**2)),
    }


def draw(roll: jaxlle.datasets.Manifold, out: jaxlle.Embedding, figure: str) -> None:
    """Draw the roll and its embedding, coloured by arc length."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    picture = plt.figure(figsize=(12, 5), layout="constrained")
    arc = np.asarray(roll.parameters[:, 0])
    space = picture.add_subplot(1, 2, 1, projection="3d")
    space.scatter(*np.asarray(roll.points).T, c=arc, s=6)
    space.set_title(f"{len(arc):,} points of the Swiss roll")
    plane = picture.add_subplot(1, 2, 2)
    jaxlle.plot.embedding(out, color=arc, ax=plane, title="LLE, K = 12; colour: arc length")
    picture.savefig(figure, dpi=110)
    plt.close(picture)
