"""Lin (2021), Avoiding unwanted results in locally linear embedding: a new understanding of regularization. arXiv 2108.12680.

DOI: 10.48550/arXiv.2108.12680. The claims of the abstract and of the introduction.

Claim: without regularization LLE returns a linear projection of the data, whatever their geometry, if the neighbors reconstruct
every point exactly, also with fewer neighbors than dimensions, where the original algorithm uses none; a ridge prevents it.

A Swiss roll with a hole is placed in 18 dimensions in three ways: by a linear isometry; with a wave of a tenth of the radius of
the roll in every further dimension, so that the roll is curved in all of them; and with noise of a tenth of the median distance
to the nearest neighbor. There are twelve neighbors, fewer than dimensions. Measured are the share of the embedding's variance
that no linear projection of the data explains, which is 0 for a projection, and the affine residual: the share of the variance of
arc length and height that no affine map of the embedding explains.

Found: confirmed. For the isometric placement LLE without a ridge returns a projection up to 1e-12, with an affine residual of
0.46, compared with 0.09 for a ridge of 1e-3; a ridge of 1e-6 is in between (0.13). With waves 93 % of the variance of the
embedding are still a projection, and the affine residual of 0.51 falls to 0.07 with the ridge of 1e-3, but not with one of 1e-6.
Noise acts as a ridge: the embedding without one is no projection, and has an affine residual of 0.11, compared with 0.03 with the
ridge of 1e-3.

Differs from the paper: of which the abstract and the introduction were read; the placements in 18 dimensions are our own, and
"without regularization" is a ridge of 1e-12 times the trace in float64, because the exact systems are singular.

Run: jaxlle papers run lin_2021 --full
"""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the parts that were read have no numbers
SMALL = {"n": 400, "seeds": 1}


def isometric(points: Any, dimensions: int, key: Any) -> jax.Array:
    """Return the points in a space of more dimensions, rotated at random."""
    basis, _ = jnp.linalg.qr(jax.random.normal(key, (dimensions, points.shape[1]), points.dtype))
    return points @ basis.T


def wavy(points: Any, dimensions: int, key: Any) -> jax.Array:
    """Return the points with a wave along a random direction as each further coordinate."""
    count = dimensions - points.shape[1]
    scale = jnp.std(points)
    directions = jax.random.normal(key, (points.shape[1], count), points.dtype) / scale
    phases = jax.random.uniform(jax.random.fold_in(key, 1), (count,), maxval=2 * np.pi)
    return jnp.concatenate([points, 0.1 * scale * jnp.sin(points @ directions + phases)], axis=1)


def noisy(points: Any, dimensions: int, key: Any) -> jax.Array:
    """Return the points in a space of more dimensions with noise in all of them."""
    placed = isometric(points, dimensions, key)
    distances = jaxlle.knn(placed, 1).distances
    assert distances is not None
    spread = 0.1 * jnp.median(distances)
    return placed + spread * jax.random.normal(jax.random.fold_in(key, 1), placed.shape, placed.dtype)


PLACEMENTS: dict[str, Callable[[Any, int, Any], jax.Array]] = {"isometric": isometric, "wavy": wavy, "noisy": noisy}
RIDGES = {"no ridge": 1e-12, "reg 1e-6": 1e-6, "reg 1e-3": 1e-3}


def main(
    n: int = 1000, k: int = 12, dimensions: int = 18, seeds: int = 3, *, report: Report = print
) -> dict[str, float]:
    """Embed several samples of the roll with a hole in three placements, with and without a ridge, in float64."""
    out = {}
    with jax.enable_x64(True):
        for place in PLACEMENTS:
            for ridge in RIDGES:
                found = [_run(place, ridge, n, k, dimensions, seed)[2:] for seed in range(seeds)]
                projection, residual = np.median(np.array(found), axis=0)
                rows = {
                    f"{place}, {ridge}: not a projection": float(projection),
                    f"{place}, {ridge}: affine residual": float(residual),
                }
                report(f"{place}, {ridge}", rows)
                out |= rows
    return out


def draw(results: dict[str, float], figure: str, n: int = 1000, k: int = 12, dimensions: int = 18) -> None:
    """Draw the embeddings of the first sample, colored by arc length."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7.2, 7.2), layout="constrained")
    panels: Any = picture.subplots(len(PLACEMENTS), len(RIDGES))
    with jax.enable_x64(True):
        for row, place in zip(panels, PLACEMENTS, strict=True):
            for panel, ridge in zip(row, RIDGES, strict=True):
                color, y, projection, residual = _run(place, ridge, n, k, dimensions, 0)
                panel.scatter(*y.T, c=color, s=5, alpha=0.7, lw=0)
                panel.set(title=f"{place}, {ridge}", xticks=[], yticks=[])
                panel.set_xlabel(f"not a projection {projection:.1g}\naffine residual {residual:.2f}")
                panel.spines[:].set_visible(False)
    picture.savefig(figure)


def _run(
    place: str, ridge: str, n: int, k: int, dimensions: int, seed: int
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return the arc length, the embedding, the share of it that is no projection, and the affine residual."""
    roll = jaxlle.datasets.swiss_roll(jax.random.key(seed), n, hole=True)
    x = PLACEMENTS[place](roll.points, dimensions, jax.random.key(100 + seed))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", jaxlle.JaxlleWarning
        )  # of several eigenvectors of value 0, which the figures show
        y = jaxlle.lle(x, 2, k=k, reg=RIDGES[ridge]).points
    projection = jaxlle.metrics.affine_residual(y, x)
    residual = jaxlle.metrics.affine_residual(roll.parameters, y)
    return np.asarray(roll.parameters[:, 0]), np.asarray(y), float(projection), float(residual)
