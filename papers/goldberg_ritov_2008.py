"""Goldberg and Ritov (2008), LLE with low-dimensional neighborhood representation. arXiv 0808.0780.

DOI: 10.48550/arXiv.0808.0780. The claims of the abstract on noise and on linear projections.

Claim: weights that LLE computes in local tangent coordinates (LDR-LLE) are less sensitive to noise than those computed in all
dimensions, which describe the noise, and without a ridge they do not lead to a linear projection of the data.

Here a Swiss roll is placed in twelve dimensions with noise in all of them, whose standard deviation is given relative to the
median distance to the nearest neighbor. Measured are the change of the weights by the noise, relative to their size without it,
and the affine residual of the embedding: the share of the variance of the true coordinates that no affine map of it explains.

Found: the first part holds and the second does not carry over to the embedding. Noise changes the weights of LDR-LLE an eighth to
a twelfth as much as those of LLE with a ridge of 1e-3, and those of LLE without a ridge completely. The embedding of LDR-LLE
hardly depends on the noise, but has a higher affine residual (0.34 to 0.39) than that of LLE with the ridge (0.13 to 0.35), also
without noise. LLE without a ridge improves with the noise, which acts as one. LTSA, which uses the same tangent coordinates but
all affine functions of them instead of one weight vector, has a residual below 0.001.

Differs from the paper: of which only the abstract was read; the data are our own.

Run: jaxlle papers run goldberg_ritov_2008 --full
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle
from jaxlle.variants import ldr_alignment

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the abstract has no numbers
SMALL = {"n": 500, "noises": (0.0, 0.1), "seeds": 1}

METHODS: dict[str, Callable[[Any, jaxlle.Neighbors], jaxlle.Alignment]] = {
    "LLE, reg 1e-9": lambda x, near: jaxlle.lle_alignment(x, k=1, neighbors=near, reg=1e-9),
    "LLE, reg 1e-3": lambda x, near: jaxlle.lle_alignment(x, k=1, neighbors=near, reg=1e-3),
    "LDR-LLE": lambda x, near: ldr_alignment(x, 2, k=1, neighbors=near),
    "LTSA": lambda x, near: jaxlle.ltsa_alignment(x, 2, k=1, neighbors=near),
}


def main(
    n: int = 1000,
    k: int = 10,
    dimensions: int = 12,
    noises: Sequence[float] = (0.0, 0.01, 0.03, 0.1),
    seeds: int = 5,
    *,
    report: Report = print,
) -> dict[str, float]:
    """Embed noisy Swiss rolls, and compare the weights with those without noise on the same graph."""
    with jax.enable_x64(True):  # weights without a ridge need more digits than float32 has
        return _compare(n, k, dimensions, noises, seeds, report)


def _compare(n: int, k: int, dimensions: int, noises: Sequence[float], seeds: int, report: Report) -> dict[str, float]:
    out = {}
    samples = [jaxlle.datasets.swiss_roll(jax.random.key(seed), n) for seed in range(seeds)]
    for noise in noises:
        found: dict[str, list[float]] = {}
        for seed, sample in enumerate(samples):
            clean, moved = _noisy(sample.points, noise, dimensions, seed)
            near = jaxlle.knn(moved, k)
            for name, method in METHODS.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", jaxlle.JaxlleWarning)  # a failure is visible in the residual
                    alignment, still = method(moved, near), method(clean, near)
                    y = jaxlle.embed(alignment, 2, points=moved).points
                residual = float(jaxlle.metrics.affine_residual(sample.parameters, y))
                found.setdefault(f"{name}: affine residual", []).append(residual)
                if name != "LTSA":
                    change = jnp.linalg.norm(alignment.blocks - still.blocks) / jnp.linalg.norm(still.blocks)
                    found.setdefault(f"{name}: change of the weights", []).append(float(change))
        rows = {f"noise {noise}, {name}": float(np.median(values)) for name, values in found.items()}
        report(f"noise {noise}", rows)
        out |= rows
    return out


def draw(results: dict[str, float], figure: str) -> None:
    """Draw the change of the weights and the affine residual against the noise."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 3.2), layout="constrained")
    panels = picture.subplots(1, 2)
    for panel, quantity in zip(panels, ("change of the weights", "affine residual"), strict=True):
        for name in METHODS:
            end = f", {name}: {quantity}"
            keys = [key for key in results if key.endswith(end) and (quantity[0] == "a" or "noise 0.0," not in key)]
            if not keys:
                continue
            noise = [float(key[len("noise ") : -len(end)]) for key in keys]
            (line,) = panel.plot(noise, [results[key] for key in keys], "o-")
            panel.annotate(
                name,
                (noise[-1], results[keys[-1]]),
                (6, 0),
                textcoords="offset points",
                color=line.get_color(),
                va="center",
            )
        panel.set_xscale("symlog", linthresh=0.005)
        panel.set(xlabel="noise, relative to the distance to the nearest neighbor", ylabel=quantity, xlim=(0, 0.6))
    panels[0].set_yscale("log")
    picture.savefig(figure)


def _noisy(points: Any, noise: float, dimensions: int, seed: int) -> tuple[jax.Array, jax.Array]:
    """Return the points in a space of more dimensions, without and with noise."""
    clean = jnp.pad(jnp.asarray(points, jnp.float64), ((0, 0), (0, dimensions - points.shape[1])))
    distances = jaxlle.knn(clean, 1).distances
    assert distances is not None
    spread = noise * jnp.median(distances)
    return clean, clean + spread * jax.random.normal(jax.random.key(1000 + seed), clean.shape)
