"""Belkin, Niyogi and Sindhwani (2006), Manifold regularization. Journal of Machine Learning Research 7:2399-2434.

DOI: none; jmlr.org/papers/v7/belkin06a.html. Figure 2: two moons, one label each.

Claim: with one label in each of two moons, a kernel classifier that is smooth along the data's graph separates them all. Without
the graph it finds a straight border. The paper shows the borders of the Laplacian SVM; here the error over the other points is
measured for its least-squares twin, LapRLS (section 4.2), for many draws of the moons and of the labelled points.

Ours beside it: the same problem with the cost of LLE, f^T M f with M = (I - W)^T (I - W), in place of f^T L f.

Found: M does not do L's work with two labels. It costs nothing to be linear along a moon, so a straight border across both is
nearly free for it, while L charges for every change along an edge.

Differs from the paper: its 200 points are not published, and ours are drawn from two half circles with normal noise of 0.05. The
graph is of 6 neighbours, the kernel's width 0.35, gamma_A = 0.01; our graph has equal weights and a normalised Laplacian. The
paper's factor l / (u + l)^2 is left out of the intrinsic term, whose strength is a row of the table and not tuned.

Run: jaxlle papers run belkin_niyogi_sindhwani_2006 --full
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import jaxlle

PUBLISHED: dict[str, tuple[float, str]] = {}  # a picture
HEADLINE = ("no graph: error, %", "Laplacian, gamma_I = 10: error, %", "LLE, gamma_I = 10: error, %")
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
    report: Callable[[str, dict[str, float]], None] = print,
    figure: str | None = None,
) -> dict[str, float]:
    """Classify all draws of the moons at once, with every regulariser and strength."""
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
        if figure is not None:
            best = [max(strengths, key=lambda s: -out[f"{kind}, gamma_I = {s:g}: error, %"]) for kind in KINDS]
            draw(n, k, width, ambient, noise, best, figure)
    return out


def draw(n: int, k: int, width: float, ambient: float, noise: float, strengths: Sequence[float], figure: str) -> None:
    """Draw the borders of the first draw: without a graph, and with each regulariser at its best strength."""
    import matplotlib.pyplot as plt

    x, y, known = _moons(jax.random.key(0), n, noise)
    axis = jnp.linspace(-1.5, 2.5, 120)
    plane = jnp.stack(jnp.meshgrid(axis, axis - 0.75), axis=-1).reshape(-1, 2)
    picture, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    for panel, (kind, strength) in zip(panels, [(None, 0.0), *zip(KINDS, strengths, strict=True)], strict=True):
        alpha = _fit(x, y, known, _smoothness(kind or "Laplacian", x, k), width, ambient, jnp.asarray(strength))
        values = _kernel(plane, x, width) @ alpha
        panel.contourf(axis, axis - 0.75, values.reshape(120, 120) > 0, alpha=0.25, levels=1, cmap="coolwarm")
        panel.scatter(*x.T, c=y, s=8, cmap="coolwarm")
        panel.scatter(*x[known].T, c="k", s=60, marker="*")
        panel.set(title=f"{kind}, gamma_I = {strength:g}" if kind else "no graph", xticks=[], yticks=[])
    picture.savefig(figure, dpi=100)
    plt.close(picture)


def _errors(
    key: Array, strengths: Float[Array, " s"], *, n: int, k: int, width: float, ambient: float, noise: float
) -> Float[Array, "kinds s"]:
    """Return the share of the unlabelled points that are on the wrong side."""
    x, y, known = _moons(key, n, noise)
    gram = _kernel(x, x, width)

    def error(smoothness: Array, strength: Array) -> Array:
        values = gram @ _fit(x, y, known, smoothness, width, ambient, strength)
        return jnp.sum((values * y <= 0) & ~known) / jnp.sum(~known)

    return jnp.stack([jax.vmap(partial(error, _smoothness(kind, x, k)))(strengths) for kind in KINDS])


def _moons(key: Array, n: int, noise: float) -> tuple[Array, Array, Array]:
    """Return the points, their signs, and which one of each sign is labelled."""
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
    """Return the matrix of the intrinsic regulariser, dense: there are few points."""
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
    """Return the kernel's coefficients: equation 8 of the paper, l labelled points of n."""
    n, labeled = len(x), jnp.sum(known)
    gram = _kernel(x, x, width)
    system = known[:, None] * gram + ambient * labeled * jnp.eye(n) + strength * smoothness @ gram
    return jnp.linalg.solve(system, jnp.where(known, y, 0.0))
