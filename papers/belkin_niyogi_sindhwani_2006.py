"""Belkin, Niyogi and Sindhwani (2006), Manifold regularization. Journal of Machine Learning Research 7:2399-2434.

DOI: none; jmlr.org/papers/v7/belkin06a.html. Figure 2: two moons with one label each.

Claim: with one label in each of two moons, a kernel classifier that is smooth along the graph of the data separates the moons.
Without the graph its decision boundary is nearly straight. The paper shows the decision boundaries of the Laplacian SVM. Here
the error on the unlabeled points is measured for its least-squares counterpart, LapRLS (section 4.2), over many draws of the
moons and of the labeled points.

For comparison: the same problem with the LLE cost f^T M f, M = (I - W)^T (I - W), in place of f^T L f.

Found: with two labels, M does not replace L. A function that is linear along a moon has no LLE cost, so a straight boundary
across both moons costs almost nothing, whereas L penalizes every change along an edge.

Differs from the paper: its 200 points are not published; these are drawn from two half circles with normal noise of 0.05. The
graph has 6 neighbors, the kernel width is 0.35, and gamma_A = 0.01. The graph has equal weights and a normalized Laplacian. The
paper's factor l / (u + l)^2 of the intrinsic term is omitted. The strength of that term is not tuned; results are given for
each.

Run: jaxlle papers run belkin_niyogi_sindhwani_2006 --full
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import jaxlle

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # the paper shows a figure
SMALL = {"seeds": 20, "strengths": (0.1, 1.0)}

KINDS = ("Laplacian", "LLE")


def main(
    n: int = 200,
    k: int = 6,
    width: float = 0.35,
    ambient: float = 0.01,
    strengths: Sequence[float] = (0.01, 0.1, 1.0, 10.0, 100.0),
    noise: float = 0.05,
    seeds: int = 100,
    *,
    report: Report = print,
) -> dict[str, float]:
    """Classify all draws of the moons at once, with every regularizer and strength."""
    with jax.enable_x64(True):
        keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
        solve = jax.jit(
            jax.vmap(partial(_errors, n=n, k=k, width=width, ambient=ambient, noise=noise), in_axes=(0, None))
        )
        errors = np.asarray(solve(keys, jnp.array([0.0, *strengths])))  # seeds, kinds, strengths
        out = {"no graph: error, %": float(100 * errors[:, 0, 0].mean())}
        for row, kind in enumerate(KINDS):
            for column, strength in enumerate(strengths, start=1):
                name = f"{kind}, gamma_I = {strength:g}"
                out[f"{name}: error, %"] = float(100 * errors[:, row, column].mean())
                out[f"{name}: draws without error, %"] = float(100 * (errors[:, row, column] == 0).mean())
        report(f"{seeds} draws", out)
    return out


def draw(
    results: dict[str, float],
    figure: str,
    n: int = 200,
    k: int = 6,
    width: float = 0.35,
    ambient: float = 0.01,
    noise: float = 0.05,
) -> None:
    """Draw the decision regions of the first draw: without a graph, and with each regularizer at its best strength."""
    from matplotlib.figure import Figure

    shown = [("no graph", "Laplacian", 0.0)]
    for kind in KINDS:
        names = [
            key.removesuffix(": error, %") for key in results if key.startswith(kind) and key.endswith(": error, %")
        ]
        best = min(names, key=lambda name: results[f"{name}: error, %"])
        shown.append((best, kind, float(best.split()[-1])))
    picture = Figure(figsize=(9, 2.9), layout="constrained")
    with jax.enable_x64(True):
        x, y, known = _moons(jax.random.key(0), n, noise)
        across, up = jnp.linspace(-1.5, 2.5, 160), jnp.linspace(-1.0, 1.5, 100)
        plane = jnp.stack(jnp.meshgrid(across, up), axis=-1).reshape(-1, 2)
        for panel, (name, kind, strength) in zip(picture.subplots(1, 3), shown, strict=True):
            alpha = _fit(x, y, known, _smoothness(kind, x, k), width, ambient, jnp.asarray(strength))
            values = _kernel(plane, x, width) @ alpha
            panel.contourf(across, up, values.reshape(100, 160) > 0, levels=[-0.5, 0.5, 1.5], colors=COLORS, alpha=0.2)
            for sign, color in zip((-1, 1), COLORS, strict=True):
                panel.scatter(*x[y == sign].T, color=color, s=9, alpha=0.7, lw=0)
            panel.scatter(*x[known].T, c="k", s=70, marker="*")
            panel.set(title=f"{name}: error {results[f'{name}: error, %']:.3g} %", aspect="equal")
            panel.set_axis_off()
    picture.savefig(figure)


COLORS = ("#0072B2", "#D55E00")  # of the classes -1 and 1


def _errors(
    key: Array, strengths: Float[Array, " s"], *, n: int, k: int, width: float, ambient: float, noise: float
) -> Float[Array, "kinds s"]:
    """Return the share of the unlabeled points that are classified wrongly."""
    x, y, known = _moons(key, n, noise)
    gram = _kernel(x, x, width)

    def error(smoothness: Array, strength: Array) -> Array:
        values = gram @ _fit(x, y, known, smoothness, width, ambient, strength)
        return jnp.sum((values * y <= 0) & ~known) / jnp.sum(~known)

    return jnp.stack([jax.vmap(partial(error, _smoothness(kind, x, k)))(strengths) for kind in KINDS])


def _moons(key: Array, n: int, noise: float) -> tuple[Array, Array, Array]:
    """Return the points, their classes -1 and 1, and a mask of the labeled points, one per class."""
    place, shake, pick = jax.random.split(key, 3)
    y = jnp.where(jnp.arange(n) < n // 2, 1.0, -1.0)
    angle = jnp.pi * jax.random.uniform(place, (n,))
    x = jnp.stack([jnp.where(y > 0, jnp.cos(angle), 1 - jnp.cos(angle)), y * jnp.sin(angle) + jnp.where(y > 0, 0, 0.5)])
    first, second = jax.random.randint(pick, (2,), 0, n // 2)
    known = (jnp.arange(n) == first) | (jnp.arange(n) == n // 2 + second)
    return x.T + noise * jax.random.normal(shake, (n, 2)), y, known


def _kernel(a: Float[Array, "m 2"], b: Float[Array, "n 2"], width: float) -> Float[Array, "m n"]:
    return jnp.exp(-jnp.sum((a[:, None] - b[None, :]) ** 2, axis=2) / (2 * width**2))


def _smoothness(kind: str, x: Float[Array, "n 2"], k: int) -> Float[Array, "n n"]:
    """Return the matrix of the intrinsic regularizer, dense because there are few points."""
    n = len(x)
    near = jaxlle.knn(x, k)
    if kind == "LLE":
        alignment = jaxlle.weights_alignment(near, jaxlle.barycentric_weights(x, near))
        return alignment.rmatvec(alignment.matvec(jnp.eye(n)))
    edges = jnp.zeros((n, n)).at[jnp.arange(n)[:, None], near.indices].set(1)
    edges = jnp.maximum(edges, edges.T)
    scale = 1 / jnp.sqrt(edges.sum(axis=1))
    return jnp.eye(n) - scale[:, None] * edges * scale


def _fit(
    x: Array, y: Array, known: Array, smoothness: Array, width: float, ambient: float, strength: Array
) -> Float[Array, " n"]:
    """Return the coefficients of the kernel expansion, equation 8 of the paper, for l labeled points of n."""
    n, labeled = len(x), jnp.sum(known)
    gram = _kernel(x, x, width)
    system = known[:, None] * gram + ambient * labeled * jnp.eye(n) + strength * smoothness @ gram
    return jnp.linalg.solve(system, jnp.where(known, y, 0.0))
