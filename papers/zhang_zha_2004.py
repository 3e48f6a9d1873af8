"""Zhang and Zha (2004), Principal manifolds and nonlinear dimensionality reduction via tangent space alignment. SISC 26:313-338.

DOI: 10.1137/S1064827502419154. Section 6: embeddings of curves and surfaces with and without noise.

Claim: aligning local tangent coordinates recovers the coordinates of a manifold up to an affine map. The recovery improves with
the number of points, and LLE is less accurate. The paper shows figures and singular values. Here the affine residual (the share
of the variance of the true coordinates that no affine map of the embedding explains) is measured against the number of points
and the noise.

Also shown: LTSA and Hessian LLE coincide for surfaces with small neighborhoods. With d = 2 and six members per neighborhood,
the complement of the affine functions is three-dimensional and both methods penalize all of it, so that their alignment
matrices are equal. With more members, LTSA penalizes the whole complement and Hessian LLE its quadratic part; the embeddings
still span nearly the same plane.

Found: without noise the claim holds, with residuals smaller by three orders of magnitude. With noise of 0.2 and k = 10, LTSA
and Hessian LLE lose one of the two coordinates, and LLE, which is inexact everywhere, has the smallest residual.

Differs from the paper: its samples are not published; these are Swiss rolls of `jaxlle.datasets`, k = 10. As in the paper, a
point belongs to its own neighborhood. The noise is normal, in the units of the roll, which is 26 wide. Computed in float64.

Run: jaxlle papers run zhang_zha_2004 --full
"""

import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the paper shows figures
SMALL = {"sizes": (600, 800), "noises": (0.1,), "seeds": 2}

METHODS = {"LLE": jaxlle.lle, "LTSA": jaxlle.ltsa, "Hessian LLE": jaxlle.hessian_lle}


def main(
    sizes: Sequence[int] = (1000, 2000, 4000),
    noises: Sequence[float] = (0.1, 0.2, 0.4),
    k: int = 10,
    seeds: int = 5,
    *,
    report: Report = print,
) -> dict[str, float]:
    """Embed Swiss rolls of every size without noise, and of the second size with noise."""
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxlle.JaxlleWarning)  # failures are visible in the residual
        out = {"six members: difference of the alignment matrices": _difference(sizes[0])}
        for n, noise in [(n, 0.0) for n in sizes] + [(sizes[1], noise) for noise in noises]:
            rows = [_row(seed, n, noise, k) for seed in range(seeds)]
            name = f"n = {n}, noise {noise:g}"
            found = {f"{name}: {key}": float(np.median([row[key] for row in rows])) for key in rows[0]}
            report(name, found)
            out |= found
    return out


def draw(results: dict[str, float], figure: str) -> None:
    """Draw the residual against the number of points and against the noise."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = picture.subplots(1, 2, sharey=True)
    for method in METHODS:
        rows = [key.split(":")[0] for key in results if key.endswith(f": {method}")]
        points = [
            (int(row.split()[2].rstrip(",")), float(row.split()[-1]), results[f"{row}: {method}"]) for row in rows
        ]
        clean = sorted((n, value) for n, noise, value in points if noise == 0)
        noisy = sorted((noise, value) for n, noise, value in points if n == clean[1][0])
        (line,) = left.loglog(*zip(*clean, strict=True), "o-")
        right.semilogy(*zip(*noisy, strict=True), "o-", color=line.get_color())
        below = method == "Hessian LLE"
        style = {"textcoords": "offset points", "color": line.get_color(), "va": "top" if below else "bottom"}
        left.annotate(method, clean[0], (0, -13 if below else 6), **style)
    left.set(xlabel="points, without noise", ylabel="affine residual (median over samples)")
    sizes = [n for n, _ in clean]
    left.set_xticks(sizes, [f"{n:,}" for n in sizes])
    left.minorticks_off()
    right.set(xlabel=f"standard deviation of the noise, {clean[1][0]:,} points")
    picture.savefig(figure)


def _row(seed: int, n: int, noise: float, k: int) -> dict[str, float]:
    roll = jaxlle.datasets.swiss_roll(jax.random.key(seed), n, noise=noise)
    found = jaxlle.knn(roll.points, k)
    made = {name: embed(roll.points, 2, k=k, neighbors=found).points for name, embed in METHODS.items()}
    row = {name: float(jaxlle.metrics.affine_residual(roll.parameters, y)) for name, y in made.items()}
    cosines = jnp.linalg.svd(made["LTSA"].T @ made["Hessian LLE"], compute_uv=False)
    return row | {
        "angle of LTSA to Hessian LLE, degrees": float(jnp.rad2deg(jnp.arccos(jnp.clip(cosines.min(), -1, 1))))
    }


def _difference(n: int) -> float:
    """Return |M - M'| / |M| of LTSA and Hessian LLE with six members per neighborhood."""
    x = jaxlle.datasets.swiss_roll(jax.random.key(0), n).points
    some = jax.random.normal(jax.random.key(1), (n, 8))
    one, other = jaxlle.ltsa_alignment(x, 2, k=5), jaxlle.hessian_alignment(x, 2, k=5)
    a, b = (m.rmatvec(m.matvec(some)) for m in (one, other))
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(a))
