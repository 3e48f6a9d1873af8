"""Wu and Wu (2018), Think globally, fit locally under the manifold setup. Annals of Statistics 46:3805-3837.

DOI: 10.48550/arXiv.1703.04058. The asymptotic analysis, on its simplest manifold: the unit circle, uniformly sampled.

Claim: the regulariser decides which operator LLE converges to: fourth order without one, the Laplacian with a heavy
one. With neighbours within arc length delta, W f - f tends to -(delta^4 / 280) (f'' + f'''') for weights of least norm
without a regulariser, and to (delta^2 / 6) f'' for a heavy one. On cos(m t) the eigenvalues of I - W are then (delta^4
/ 280) (m^4 - m^2) = 0, 12, 72, 240 and (delta^2 / 6) m^2, in pairs.

Found: without a regulariser 12.2, 71.9 and 233.6, with a heavy one 1.01, 3.98 and 8.73: within 3 % of the limits, in the
picture from one to the other over four decades of the regulariser. Against the circulant's closed form the weights are off by
4e-15 with a heavy regulariser, 2e-12 at 1e-6 of the trace and 2e-10 at 1e-9, as the conditioning of the local systems has it.

Differs from the paper: the constants are derived here for the circle, not read in it. The points are equispaced, where
W is circulant, so that its eigenvalues at any n, k and regulariser have a closed form: that is a test of the weights to
machine precision. "None" is 1e-9 of the trace, "heavy" 1000 of it; regularisers between are checked on a tenth of the
points with a tenth of the neighbours, which have the same delta. Eigenvalues come from the embedding's solver (I - W is
normal, so they are its singular values). The row "random" has as many uniform random points, whose half-widths vary by
a tenth, and delta^4 by more.

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
NONE, HEAVY = 1e-9, 1e3  # of the trace
SMALL = {"n": 400, "k": 40, "regs": (1e-3,)}


def main(
    n: int = 2000,
    k: int = 200,
    regs: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1.0),
    coarse: int = 10,
    seed: int = 0,
    *,
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Compare the spectrum of I - W on a circle with its limits and with its closed form, in float64."""
    results: dict[str, float] = {}
    delta = np.pi * k / n
    units = {NONE: delta**4 / 280, HEAVY: delta**2 / 6}
    measured, errors = {}, {}
    with jax.enable_x64(True):
        angles = 2 * np.pi * np.arange(n) / n
        for name, reg in (("none", NONE), ("heavy", HEAVY)):
            alignment = jaxlle.lle_alignment(on_circle(angles), k=k, reg=reg)
            measured[reg], errors[reg] = _on_waves(alignment, angles, k, reg)
            found = _pairs(alignment) / units[reg]
            rows = {f"{name}: m = {m}": float(found[m - 1]) for m in (1, 2, 3, 4)}
            rows[f"{name}: error against the circulant"] = errors[reg]
            results |= rows
            report(name, rows)
        fewer, near = n // coarse, k // coarse
        sparse = 2 * np.pi * np.arange(fewer) / fewer
        for reg in regs:
            alignment = jaxlle.lle_alignment(on_circle(sparse), k=near, reg=reg)
            measured[reg], errors[reg] = _on_waves(alignment, sparse, near, reg)
            results[f"reg {reg:g}: error against the circulant"] = errors[reg]
        report("regularisers between", {})
        results["error against the circulant"] = max(errors.values())
        thrown = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
        found = _pairs(jaxlle.lle_alignment(on_circle(thrown), k=k, reg=NONE)) / units[NONE]
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


def _pairs(alignment: jaxlle.Alignment) -> np.ndarray:
    """Return the mean of each pair of singular values: for waves 1, 2, 3, 4."""
    return np.asarray(jaxlle.embed(alignment, 8).singular_values).reshape(4, 2).mean(axis=1)


def _on_waves(alignment: jaxlle.Alignment, angles: np.ndarray, k: int, reg: float) -> tuple[np.ndarray, float]:
    """Return Rayleigh quotients on cos(m t), m = 1, ..., 6, and how far (I - W) cos(m t) is from the closed form's multiple."""
    waves = np.arange(1, 7)
    columns = np.cos(np.outer(angles, waves))
    moved = np.asarray(alignment.matvec(jnp.asarray(columns)))
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
    ax.set_title(
        f"Equispaced points; lines: exact for {n:,}, k = {k}; dots: computed; triangles: the limits", fontsize=10
    )
    ax.legend(ncols=2)
    picture.savefig(figure, dpi=110)
