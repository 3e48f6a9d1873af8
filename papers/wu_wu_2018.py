"""Wu and Wu (2018), Think globally, fit locally under the manifold setup. Annals of Statistics 46:3805-3837.

DOI: 10.48550/arXiv.1703.04058. The asymptotic analysis on its simplest manifold: the unit circle, uniformly sampled.

Claim: the regularization determines the operator to which LLE converges: a fourth-order operator without regularization, the
Laplacian with strong regularization. With neighbors within arc length delta, W f - f tends to -(delta^4 / 280) (f'' + f'''')
for weights of minimum norm without regularization, and to (delta^2 / 6) f'' with strong regularization. On cos(m t) the
eigenvalues of I - W are then (delta^4 / 280) (m^4 - m^2) = 0, 12, 72, 240 and (delta^2 / 6) m^2, in pairs.

Found: 12.2, 71.9 and 233.6 without regularization, and 1.01, 3.98 and 8.73 with strong regularization: within 3 % of the
limits. The transition between them takes four decades of the regularization. The weights differ from the closed form of the
circulant by 4e-15 with strong regularization, 2e-12 at 1e-6 of the trace and 2e-10 at 1e-9, in line with the conditioning of
the local systems.

Differs from the paper: the constants for the circle are derived here, not read in the paper. The points are equispaced. W is
then circulant, and its eigenvalues have a closed form for any n, k and regularization, which tests the weights to machine
precision. "None" is 1e-9 of the trace, "heavy" is 1000 of it; values in between are checked with a tenth of the points and a
tenth of the neighbors, which have the same delta. The eigenvalues are computed by the solver of the embedding (I - W is normal,
so they are its singular values). The row "random" has the same number of uniform random points; the radii of their
neighborhoods vary by a tenth, and delta^4 varies more.

Run: jaxlle papers run wu_wu_2018 --full
"""

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle

from ._report import Report

PUBLISHED = {
    "none: m = 1": (0.0, "D"),
    "none: m = 2": (12.0, "D"),
    "none: m = 3": (72.0, "D"),
    "none: m = 4": (240.0, "D"),
    "heavy: m = 1": (1.0, "D"),
    "heavy: m = 2": (4.0, "D"),
    "heavy: m = 3": (9.0, "D"),
}
NONE, HEAVY = 1e-9, 1e3  # of the trace
SMALL = {"n": 400, "k": 40, "regs": (1e-3,)}


def main(
    n: int = 2000,
    k: int = 200,
    regs: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1.0),
    coarse: int = 10,
    seed: int = 0,
    *,
    report: Report = print,
) -> dict[str, float]:
    """Compare the spectrum of I - W on a circle with its limits and with its closed form, in float64."""
    results: dict[str, float] = {}
    delta = np.pi * k / n
    units = {NONE: delta**4 / 280, HEAVY: delta**2 / 6}
    errors = {}
    with jax.enable_x64(True):
        angles = 2 * np.pi * np.arange(n) / n
        for name, reg in (("none", NONE), ("heavy", HEAVY)):
            alignment = jaxlle.lle_alignment(on_circle(angles), k=k, reg=reg)
            _, errors[reg] = _on_waves(alignment, angles, k, reg)
            found = _pairs(alignment) / units[reg]
            rows = {f"{name}: m = {m}": float(found[m - 1]) for m in (1, 2, 3, 4)}
            rows[f"{name}: error against the circulant"] = errors[reg]
            results |= rows
            report(name, rows)
        for reg in regs:
            _, errors[reg] = _equispaced(n // coarse, k // coarse, reg)
            results[f"reg {reg:g}: error against the circulant"] = errors[reg]
        report("values in between", {})
        results["error against the circulant"] = max(errors.values())
        uniform = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
        found = _pairs(jaxlle.lle_alignment(on_circle(uniform), k=k, reg=NONE)) / units[NONE]
        results |= (rows := {f"random: m = {m}": float(found[m - 1]) for m in (1, 2, 3, 4)})
        report("random points, no regularization", rows)
    return results


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Return the points of the unit circle at the given angles."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def circulant_eigenvalues(n: int, k: int, reg: float, waves: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of I - W on cos(m t), for n equispaced points and k neighbors.

    In the plane of tangent and normal, neighbor j lies at (sin(j h), c_j), c_j = cos(j h) - 1. The sines sum to zero, so by
    Woodbury's formula the solution of (G + r I) w = 1 is proportional to 1 - c_j sum(c) / (sum(c^2) + r), with r = reg tr(G).
    """
    h = 2 * np.pi / n
    steps = h * np.setdiff1d(np.arange(-k // 2, k // 2 + 1), 0)
    c = -2 * np.sin(steps / 2) ** 2
    weights = 1 - c * c.sum() / ((c**2).sum() + reg * (2 * np.abs(c)).sum())
    weights = weights / weights.sum()
    return (2 * np.sin(np.outer(waves, steps) / 2) ** 2 * weights).sum(axis=1)


def _pairs(alignment: jaxlle.Alignment) -> np.ndarray:
    """Return the mean of each pair of singular values, for m = 1, 2, 3, 4."""
    return np.asarray(jaxlle.embed(alignment, 8).singular_values).reshape(4, 2).mean(axis=1)


def _equispaced(n: int, k: int, reg: float) -> tuple[np.ndarray, float]:
    """Return the result of `_on_waves` for n equispaced points."""
    angles = 2 * np.pi * np.arange(n) / n
    return _on_waves(jaxlle.lle_alignment(on_circle(angles), k=k, reg=reg), angles, k, reg)


def _on_waves(alignment: jaxlle.Alignment, angles: np.ndarray, k: int, reg: float) -> tuple[np.ndarray, float]:
    """Return Rayleigh quotients on cos(m t), m = 1, ..., 6, and the largest error of (I - W) cos(m t) against the closed form."""
    waves = np.arange(1, 7)
    columns = np.cos(np.outer(angles, waves))
    moved = np.asarray(alignment.matvec(jnp.asarray(columns)))
    exact = circulant_eigenvalues(len(angles), k, reg, waves)
    return (columns * moved).sum(axis=0) / (columns**2).sum(axis=0), float(np.abs(moved - exact * columns).max())


def draw(
    results: dict[str, float],
    figure: str,
    n: int = 2000,
    k: int = 200,
    regs: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1.0),
    coarse: int = 10,
) -> None:
    """Draw the eigenvalues against the regularization: lines for the closed form, dots for W, triangles for the limits."""
    from matplotlib.figure import Figure

    with jax.enable_x64(True):
        measured = {reg: _equispaced(n, k, reg)[0] for reg in (NONE, HEAVY)}
        measured |= {reg: _equispaced(n // coarse, k // coarse, reg)[0] for reg in regs}
    picture = Figure(figsize=(7, 4.2), layout="constrained")
    panel = picture.subplots()
    grid, waves, delta = np.logspace(-10, 4, 120), np.arange(1, 7), np.pi * k / n
    exact = np.stack([circulant_eigenvalues(n, k, reg, waves) for reg in grid])
    for m in waves:
        (line,) = panel.loglog(grid, exact[:, m - 1], lw=1.2)
        color = line.get_color()
        panel.loglog(list(measured), [values[m - 1] for values in measured.values()], "o", color=color)
        strong, none = (grid[-1] * 2, delta**2 / 6 * m**2), (grid[0] / 2, delta**4 / 280 * (m**4 - m**2))
        panel.plot(*strong, "<", color=color)
        if m > 1:
            panel.plot(*none, ">", color=color)
        style = {"textcoords": "offset points", "color": color, "va": "center"}
        panel.annotate(f"m = {m}", none if m > 1 else strong, (-35 if m > 1 else 7, 0), **style)
    panel.set(ylim=(1e-7, None), xlim=(5e-13, 1e6), xlabel="regularization relative to the trace")
    panel.set_ylabel("eigenvalue of I - W on cos(m t)")
    picture.savefig(figure)
