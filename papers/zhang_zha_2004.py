"""Zhang and Zha (2004), Principal manifolds and nonlinear dimensionality reduction via tangent space alignment. SISC 26:313-338.

DOI: 10.1137/S1064827502419154. Section 6: embeddings of curves and surfaces with and without noise.

Claim: aligning local tangent coordinates recovers a manifold's coordinates up to an affine map. The denser the sample, the more
exactly; LLE is less exact. The paper shows pictures and singular values; here the affine residual (the share of the true
coordinates' variance that no affine map of the embedding explains) is measured against the number of points and the noise.

Also shown: LTSA and Hessian LLE are one method for surfaces. With d = 2 and six members a neighbourhood, what is orthogonal to
the affine functions is three-dimensional, and both penalise all of it, so their alignment matrices are equal. With more
members LTSA penalises all that is not affine and Hessian LLE the quadratic part, and the embeddings still span nearly one plane.

Found: without noise the claim holds by three orders of magnitude. With noise of 0.2 and k = 10 LTSA and Hessian LLE lose one of
the two coordinates, and LLE, exact nowhere, is the least bad.

Differs from the paper: its samples are not published; ours are Swiss rolls of the library, k = 10. A point belongs to its own
neighbourhood, as in the paper. Noise is normal on the points, in the units of the roll, which is 26 wide. In float64.

Run: jaxlle papers run zhang_zha_2004 --full
"""

import warnings
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

PUBLISHED: dict[str, tuple[float, str]] = {}  # pictures only
HEADLINE = (
    "n = 2000, noise 0: LLE",
    "n = 2000, noise 0: LTSA",
    "n = 2000, noise 0: Hessian LLE",
    "six members: difference of the alignment matrices",
)
SMALL = {"sizes": (600, 800), "noises": (0.1,), "seeds": 2}

METHODS = {"LLE": jaxlle.lle, "LTSA": jaxlle.ltsa, "Hessian LLE": jaxlle.hessian_lle}


def main(
    sizes: Sequence[int] = (1000, 2000, 4000),
    noises: Sequence[float] = (0.1, 0.2, 0.4),
    k: int = 10,
    seeds: int = 5,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Embed Swiss rolls of every size without noise, and of the second size with noise."""
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxlle.JaxlleWarning)  # what goes wrong shows in the residual
        out = {"six members: difference of the alignment matrices": _difference(sizes[0])}
        for n, noise in [(n, 0.0) for n in sizes] + [(sizes[1], noise) for noise in noises]:
            rows = [_row(seed, n, noise, k) for seed in range(seeds)]
            name = f"n = {n}, noise {noise:g}"
            found = {f"{name}: {key}": float(np.median([row[key] for row in rows])) for key in rows[0]}
            report(name, found)
            out |= found
    if figure is not None:
        draw(out, figure)
    return out


def draw(out: dict[str, float], figure: str) -> None:
    """Draw the residual against the number of points and against the noise."""
    import matplotlib.pyplot as plt

    picture, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for method in METHODS:
        rows = [key.split(":")[0] for key in out if key.endswith(f": {method}")]
        points = [(int(row.split()[2].rstrip(",")), float(row.split()[-1]), out[f"{row}: {method}"]) for row in rows]
        clean = sorted((n, value) for n, noise, value in points if noise == 0)
        noisy = sorted((noise, value) for n, noise, value in points if n == clean[1][0])
        left.plot(*zip(*clean, strict=True), "o-", label=method)
        right.plot(*zip(*noisy, strict=True), "o-", label=method)
    left.set(xscale="log", yscale="log", xlabel="points, without noise", ylabel="affine residual (median)")
    right.set(yscale="log", xlabel="standard deviation of the noise")
    left.legend()
    picture.savefig(figure, dpi=110)
    plt.close(picture)


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
    """Return |M - M'| / |M| of LTSA and Hessian LLE with six members a neighbourhood."""
    x = jaxlle.datasets.swiss_roll(jax.random.key(0), n).points
    some = jax.random.normal(jax.random.key(1), (n, 8))
    one, other = jaxlle.ltsa_alignment(x, 2, k=5), jaxlle.hessian_alignment(x, 2, k=5)
    a, b = (m.rmatvec(m.matvec(some)) for m in (one, other))
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(a))
