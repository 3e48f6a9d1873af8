"""Roweis and Saul (2000), Nonlinear dimensionality reduction by locally linear embedding. Science 290:2323-2326.

DOI: 10.1126/science.290.5500.2323. Figure 1: LLE unrolls a Swiss roll of N = 2000 points with K = 12 neighbors.

Claim: the two coordinates of the embedding depend smoothly and one-to-one on the position on the roll. The paper shows a figure
and gives no number. Here the affine residual (the share of the variance of the true coordinates that no affine map of the
embedding explains), trustworthiness and continuity (k = 12) are measured; the median, the best and the worst of ten samples are
given.

Found: all ten samples are unrolled, with trustworthiness and continuity above 0.996. Arc length is an affine function of the
embedding up to a residual below 5e-4 in every sample. Height is not (0.02 to 0.71, median 0.24): the width of the sheet varies
along the roll, a distortion caused by LLE itself. With the 1,000 points of the small run arc length is recovered less well,
too.

Differs from the paper: its sample is not published; these are drawn from the same roll, t = 1.5 pi (1 + 2 u), height 21 v. The
regularization is that of the paper, 1e-3 of the trace. Computed in float32.

Run: jaxlle papers run roweis_saul_2000 --full
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the paper shows a figure
COVARIANCE = jaxlle.EmbedOptions(scaling="covariance")  # the constraint of the paper
SMALL = {"n": 1000, "seeds": 2}


class Sample(NamedTuple):
    """A roll, its embedding, and the best affine approximation of arc length and height by the embedding."""

    roll: jaxlle.datasets.Manifold
    embedding: jaxlle.Embedding
    recovered: np.ndarray


def main(n: int = 2000, k: int = 12, reg: float = 1e-3, seeds: int = 10, *, report: Report = print) -> dict[str, float]:
    """Embed samples of the Swiss roll and measure the embeddings."""
    rows = []
    for seed in range(seeds):
        rows.append(_measures(_sample(seed, n, k, reg), k))
        report(f"sample {seed}", {f"{name} of sample {seed}": value for name, value in rows[-1].items()})
    results = {}
    for name in rows[0]:
        values = sorted((row[name] for row in rows), reverse=name in ("trustworthiness", "continuity"))
        summary = {"median": float(np.median(values)), "best": values[0], "worst": values[-1]}
        results |= {f"{name}: {which}": value for which, value in summary.items()}
    return results


def _sample(seed: int, n: int, k: int, reg: float) -> Sample:
    roll = jaxlle.datasets.swiss_roll(jax.random.key(seed), n)
    out = jaxlle.lle(roll.points, 2, k=k, reg=reg, options=COVARIANCE)
    return Sample(roll, out, _recover(np.asarray(roll.parameters), np.asarray(out.points)))


def _measures(sample: Sample, k: int) -> dict[str, float]:
    roll, out, _ = sample
    separate = {
        f"{name}: affine residual": float(jaxlle.metrics.affine_residual(roll.parameters[:, [column]], out.points))
        for column, name in enumerate(("arc length", "height"))
    }
    return {
        "affine residual": float(jaxlle.metrics.affine_residual(roll.parameters, out.points)),
        **separate,
        "trustworthiness": float(jaxlle.metrics.trustworthiness(roll.points, out.points, k=k)),
        "continuity": float(jaxlle.metrics.continuity(roll.points, out.points, k=k)),
        "cost": float(jnp.sum(out.singular_values**2)),
    }


def _recover(truth: np.ndarray, y: np.ndarray) -> np.ndarray:
    columns = np.column_stack([np.ones(len(y)), y])
    return columns @ np.linalg.lstsq(columns, truth, rcond=None)[0]


def draw(results: dict[str, float], figure: str, n: int = 2000, k: int = 12, reg: float = 1e-3) -> None:
    """Draw the first roll, its embedding, and the recovered against the true coordinates, colored by arc length."""
    from matplotlib.figure import Figure

    roll, out, recovered = _sample(0, n, k, reg)
    truth = np.asarray(roll.parameters)
    style = {"c": truth[:, 0], "s": 5, "alpha": 0.6, "lw": 0}
    picture = Figure(figsize=(9.6, 3), layout="constrained")
    space: Any = picture.add_subplot(1, 3, 1, projection="3d")
    space.scatter(*np.asarray(roll.points).T, **style)
    space.set(title=f"{n:,} points of the Swiss roll")
    space.view_init(8, -72)
    space.set_box_aspect((1, 1.2, 1), zoom=1.5)
    space.set_axis_off()
    plane = picture.add_subplot(1, 3, 2)
    plane.scatter(*np.asarray(out.points).T, **style)
    plane.set(title="LLE")
    plane.set_axis_off()
    against = picture.add_subplot(1, 3, 3)
    against.plot([0, truth.max()], [0, truth.max()], color="0.5", lw=0.8)
    for column, (name, color) in enumerate((("arc length", "#0072B2"), ("height", "#D55E00"))):
        against.plot(truth[:, column], recovered[:, column], ".", color=color, ms=2.5, alpha=0.5, mew=0)
        end = int(truth[:, column].argmax())
        place = (truth[end, column], recovered[end, column])
        against.annotate(name, place, (-8, 10), textcoords="offset points", color=color, ha="right")
    against.set(xlabel="true coordinate", ylabel="affine map of the embedding")
    picture.savefig(figure)
