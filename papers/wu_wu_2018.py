"""Wu and Wu (2018), Think globally, fit locally under the manifold setup. Annals of Statistics 46:3805-3837.

DOI: 10.48550/arXiv.1703.04058. The asymptotic analysis, on its simplest manifold: the unit circle, uniformly sampled.

Claim: the regulariser decides which operator LLE converges to: fourth order without one, the Laplacian with a heavy
one. With neighbours within arc length delta, W f - f tends to -(delta^4 / 280) (f'' + f'''') for weights of least norm
without a regulariser, and to (delta^2 / 6) f'' for a heavy one. On cos(m t) the eigenvalues of I - W are then (delta^4
/ 280) (m^4 - m^2) = 0, 12, 72, 240 and (delta^2 / 6) m^2, in pairs.

Differs from the paper: the constants are derived here for the circle, not read in it. The points are equispaced, where
W is circulant, so that its eigenvalues at any n, k and regulariser have a closed form: that is a test of the weights to
machine precision. "None" is 1e-9 of the trace, "heavy" 1000 of it. Eigenvalues come from the embedding's solver (I - W
is normal, so they are its singular values). The row "random" has as many uniform random points, whose half-widths vary
by a tenth, and delta^4 by more.

Run: jaxlle papers run wu_wu_2018 --full
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

PUBLISHED = {
    "none: m = 1": (0.0, "D"),
    "none: m = 2": (12.0, "D"),
    "none: m = 3": (72.0, "D"),
    "none: m = 4": (240.0, "D"),
    "heavy: m = 1": (1.0, "D"),
    "heavy: m = 2": (4.0, "D"),
    "heavy: m = 3": (9.0, "D"),
}
HEADLINE = ("none: m = 2", "none: m = 3", "none: m = 4", "heavy: m = 2", "heavy: m = 3", "error against the circulant")
SMALL = {"n": 400, "k": 40, "regs": (1e-9, 1e-3, 1e3)}


def main(
    n: int = 2000,
    k: int = 200,
    regs: tuple[float, ...] = (1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1.0, 1e3),
    seed: int = 0,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Compare the spectrum of I - W on a circle with its limits and with its closed form, in float64."""
    results: dict[str, float] = {}
    delta = np.pi * k / n
    units = {"none": delta**4 / 280, "heavy": delta**2 / 6}
    with jax.enable_x64(True):
        angles = 2 * np.pi * np.arange(n) / n
        neighbors = jaxlle.knn(on_circle(angles), k)
        for name, reg in (("none", regs[0]), ("heavy", regs[-1])):
            found = _pairs(on_circle(angles), k, reg, neighbors) / units[name]
            results |= (rows := {f"{name}: m = {m}": float(found[m - 1]) for m in (1, 2, 3, 4)})
            report(name, rows)
        measured = {}
        for reg in regs:
            measured[reg], error = _on_waves(angles, k, reg, neighbors)
            report(f"reg {reg:g}", {f"error against the circulant at reg {reg:g}": error})
            results[f"error against the circulant at reg {reg:g}"] = error
        results["error against the circulant"] = max(v for key, v in results.items() if key.startswith("error"))
        thrown = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
        found = _pairs(on_circle(thrown), k, regs[0], None) / units["none"]
        results |= (rows := {f"random: m = {m}": float(found[m - 1]) for m in (1, 2, 3, 4)})
        report("random points, no regulariser", rows)
    if figure is not None:
        draw(n, k, measured, figure)
    return results


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Return the points of the unit circle at some angles."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def circulant_eigenvalues(n: int, k: int, reg: float, waves: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of I - W on cos(m t), for n equispaced points and k neighbours.

    In the plane of tangent and normal, neighbour j lies at (sin(j h), c_j), c_j = cos(j h) - 1. The sines sum to zero, so by
    Woodbury's formula the solution of (G + r I) w = 1 is proportional to 1 - c_j sum(c) / (sum(c^2) + r), with r = reg tr(G).
    """
    h = 2 * np.pi / n
    steps = h * np.setdiff1d(np.arange(-k // 2, k // 2 + 1), 0)
    c = -2 * np.sin(steps / 2) ** 2
    weights = 1 - c * c.sum() / ((c**2).sum() + reg * (2 * np.abs(c)).sum())
    weights = weights / weights.sum()
    return (2 * np.sin(np.outer(waves, steps) / 2) ** 2 * weights).sum(axis=1)


def _pairs(points: np.ndarray, k: int, reg: float, neighbors: jaxlle.Neighbors | None) -> np.ndarray:
    """Return the mean of each pair of singular values: for waves 1, 2, 3, 4."""
    alignment = jaxlle.lle_alignment(points, k=k, reg=reg, neighbors=neighbors)
    return np.asarray(jaxlle.embed(alignment, 8).singular_values).reshape(4, 2).mean(axis=1)


def _on_waves(angles: np.ndarray, k: int, reg: float, neighbors: jaxlle.Neighbors) -> tuple[np.ndarray, float]:
    """Return Rayleigh quotients on cos(m t), m = 1, ..., 6, and how far (I - W) cos(m t) is from the closed form's multiple."""
    waves = np.arange(1, 7)
    columns = np.cos(np.outer(angles, waves))
    moved = np.asarray(
        jaxlle.lle_alignment(on_circle(angles), k=k, reg=reg, neighbors=neighbors).matvec(jnp.asarray(columns))
    )
    exact = circulant_eigenvalues(len(angles), k, reg, waves)
    return (columns * moved).sum(axis=0) / (columns**2).sum(axis=0), float(np.abs(moved - exact * columns).max())


def draw(n: int, k: int, measured: dict[float, np.ndarray], figure: str) -> None:
    """Draw the eigenvalues against the regulariser: computed, exact at these n and k, and the two limits."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 5), layout="constrained")
    ax = picture.subplots()
    grid, waves, delta = np.logspace(-10, 4, 120), np.arange(1, 7), np.pi * k / n
    exact = np.stack([circulant_eigenvalues(n, k, reg, waves) for reg in grid])
    for m in waves:
        (line,) = ax.loglog(grid, exact[:, m - 1], lw=1, label=f"m = {m}")
        ax.loglog(list(measured), [values[m - 1] for values in measured.values()], "o", ms=4, color=line.get_color())
        ax.plot(grid[-1] * 2, delta**2 / 6 * m**2, "<", color=line.get_color())
        if m > 1:
            ax.plot(grid[0] / 2, delta**4 / 280 * (m**4 - m**2), ">", color=line.get_color())
    ax.set(ylim=(1e-7, None), xlabel="regulariser, share of the trace", ylabel="eigenvalue of I - W on cos(m t)")
    ax.set_title(f"{n:,} equispaced points, k = {k}. Dots: computed; lines: exact; triangles: the limits", fontsize=10)
    ax.legend(ncols=2)
    picture.savefig(figure, dpi=110)
