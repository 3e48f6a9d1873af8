"""Benchmarks of the tangent-space variants and of `choose`: `python tests/benchmarks/family.py [SECTION ...]`.

Sections: variants, tangent_weights, grid, hole, added, digits. The extras `sklearn` and `data` are required. Times are medians of
alternating runs after compilation. Quote the ratios, because seconds vary on a shared machine. `digits` takes minutes;
`digits=hessian,ltsa,20000` restricts it to two variants and 20,000 points.
"""

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from core import K, alternate, swiss_roll
from sections import heading

ALIGNMENTS = ("modified", "hessian", "ltsa")


def cosine(a: Any, b: Any) -> float:
    """Return the smallest cosine between two subspaces."""
    qa, qb = (np.linalg.qr(np.asarray(y, np.float64))[0] for y in (a, b))
    return float(np.linalg.svd(qa.T @ qb)[1].min())


def embed_by(method: str, x: np.ndarray, include_self: bool = True, **arguments: Any) -> Any:
    """Embed by one of the tangent-space variants."""
    import jaxlle

    if method == "modified":
        return jaxlle.modified_lle(x, 2, k=K, **arguments)
    pipeline = {"hessian": jaxlle.hessian_lle, "ltsa": jaxlle.ltsa}[method]
    return pipeline(x, 2, k=K, include_self=include_self, **arguments)


def variants(*methods: str) -> None:
    """Print the seconds of a whole fit and those of scikit-learn, and the cosine between the two subspaces.

    For the cosine a point is not a member of its own neighborhood, as in scikit-learn, whose method="hessian" is LTSA for k = 12.
    """
    import jax
    from sklearn.manifold import LocallyLinearEmbedding

    x = swiss_roll(10_000)
    print(f"\nSwiss roll 10,000, k = {K}, whole fit, seconds (scikit-learn computes in float64)")
    print(f"{'method':9} {'dtype':8} {'jaxlle':>8} {'sklearn':>8} {'ratio':>6}  cosine with scikit-learn's subspace")
    for method in methods or ALIGNMENTS:
        theirs = LocallyLinearEmbedding(n_neighbors=K, method=method, random_state=0, tol=1e-10)
        like = "ltsa" if method == "hessian" else method
        for dtype in (np.float32, np.float64):
            with jax.enable_x64(dtype == np.float64):
                data = x.astype(dtype)
                fit = lambda data=data, method=method: jax.block_until_ready(embed_by(method, data))  # noqa: E731
                a, b = alternate(fit, lambda theirs=theirs: theirs.fit(x), runs=2)
                same = embed_by(like, data, include_self=False)
            found = cosine(theirs.embedding_, same.points)
            print(f"{method:9} {dtype.__name__:8} {a:8.3f} {b:8.3f} {b / a:6.1f}  {found:.6f} ({like})", flush=True)


def tangent_weights() -> None:
    """Print the processor time of the alignments of LDR-LLE and of plain LLE on one graph, after compilation."""
    import jax

    import jaxlle

    x = swiss_roll(10_000).astype(np.float32)
    near = jaxlle.knn(x, K)
    alignments: dict[str, Callable] = {
        "LDR-LLE": lambda: jaxlle.variants.ldr_alignment(x, 2, k=K, neighbors=near),
        "LLE": lambda: jaxlle.lle_alignment(x, k=K, neighbors=near),
    }
    times: dict[str, list[float]] = {name: [] for name in alignments}
    for _ in range(6):  # the first of each compiles
        for name, compute in alignments.items():
            start = time.process_time()
            jax.block_until_ready(compute())
            times[name].append(time.process_time() - start)
    ldr, lle = (float(np.median(times[name][1:])) for name in alignments)
    print(
        f"\nalignment of 10,000 points, k = {K}, processor time: LDR-LLE {ldr:.3f} s, LLE {lle:.3f} s, ratio {ldr / lle:.1f}"
    )


def grid() -> None:
    """Print the seconds of a grid of 8 values of k by 8 of reg on 2,000 points, and those of a loop over scikit-learn."""
    from sklearn.manifold import LocallyLinearEmbedding

    import jaxlle

    x = swiss_roll(2000).astype(np.float32)
    ks, regs = (6, 8, 10, 12, 14, 16, 20, 24), np.logspace(-4, -1, 8)

    def loop() -> None:
        for k in ks:
            for reg in regs:
                LocallyLinearEmbedding(n_neighbors=k, reg=reg).fit(x)

    print("\n8 x 8 grid of k and reg, Swiss roll 2,000, seconds (scikit-learn: only the fits, without criteria)")
    every = ("residual_variance", "procrustes", "preservation")
    for name, criteria in (("all three criteria", every), ("Procrustes statistic", ("procrustes",))):
        measured = lambda criteria=criteria: jaxlle.choose(x, 2, ks=ks, regs=regs, criteria=criteria)  # noqa: E731
        a, b = alternate(measured, loop, runs=2)
        print(f"{name:21} jaxlle {a:6.2f}  sklearn {b:6.2f}  ratio {b / a:.1f}", flush=True)


def hole(seeds: int = 12) -> None:
    """Print the affine residual on Swiss rolls with a hole, n = 1,000, k = 12, for several samples.

    The printed value is a ratio of norms, the square root of `metrics.affine_residual`, as in the published
    values near 0.015.
    """
    import jax
    from sklearn.datasets import make_swiss_roll

    import jaxlle
    from jaxlle.metrics import affine_residual

    pipelines: dict[str, Callable] = {
        "LLE": jaxlle.lle,
        "MLLE": jaxlle.modified_lle,
        "HLLE": jaxlle.hessian_lle,
        "LTSA": jaxlle.ltsa,
    }
    print(f"\nSwiss roll with a hole, n = 1,000, k = {K}, {seeds} samples: affine residual to (arc length, height)")
    with jax.enable_x64(True):
        for name, pipeline in pipelines.items():
            values = []
            for seed in range(seeds):
                x, t = make_swiss_roll(1000, hole=True, random_state=seed)
                arc = (t * np.sqrt(1 + t**2) + np.arcsinh(t)) / 2
                out = pipeline(x, 2, k=K)
                values.append(float(affine_residual(np.column_stack([arc, x[:, 1]]), out.points)) ** 0.5)
            under = sum(v < 0.015 for v in values)
            print(
                f"{name:5} median {np.median(values):.4f}, {min(values):.4f} to {max(values):.4f}, {under} under 0.015"
            )


def added() -> None:
    """Print the time to add 20 points, relative to that to embed all, the same for `transform`, and how far they are apart."""
    import jax

    import jaxlle
    from jaxlle.variants import add_points, incremental_lle

    for n in (2_000, 20_000):
        x = swiss_roll(n + 20).astype(np.float32)
        state = incremental_lle(x[:-20], 2, k=K)
        whole = lambda x=x: jax.block_until_ready(jaxlle.lle(x, 2, k=K))  # noqa: E731
        print(f"\nSwiss roll {n:,} and 20 more, k = {K}, float32")
        for name, add in {
            "add_points": lambda x=x, state=state: add_points(state, x[-20:]).points[-20:],
            "transform": lambda x=x, state=state: jaxlle.transform(x[-20:], x[:-20], state.points[: len(x) - 20], k=K),
        }.items():
            seconds, reference = alternate(lambda add=add: jax.block_until_ready(add()), whole, runs=5)
            angle = np.rad2deg(np.arccos(min(1.0, cosine(np.concatenate([state.points, add()]), whole().points))))
            print(
                f"{name:10} {seconds / reference:6.2f} of {reference:.2f} s, {angle:.2f} degrees from lle of all points"
            )


def digits(*selected: str) -> None:
    """Print the seconds and residuals of the tangent-space variants on deformed digits with the landmark solver."""
    import jax

    import jaxlle

    methods = [name for name in selected if not name.isdecimal()]
    n, start = int(next((size for size in selected if size.isdecimal()), 70_000)), time.perf_counter()
    x = jax.block_until_ready(jaxlle.datasets.deformed_digits(jax.random.key(0), n).points)
    print(
        f"\n{n:,} deformed digits x {x.shape[1]}, float32, k = {K}, Landmark: generated in {time.perf_counter() - start:.0f} s"
    )
    start = time.perf_counter()
    neighbors = jax.block_until_ready(jaxlle.knn(x, K))
    print(f"neighbors {time.perf_counter() - start:.1f} s", flush=True)
    solver = jaxlle.solvers.Landmark()
    for method in methods or ALIGNMENTS:
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out = jax.block_until_ready(embed_by(method, x, neighbors=neighbors, solver=solver))
        seconds, s = time.perf_counter() - start, np.asarray(out.singular_values)
        print(
            f"{method:9} {seconds:7.1f} s including compilation; singular values {s[0]:.3g} {s[1]:.3g}, residuals "
            f"{float(out.residuals[0]):.2g} {float(out.residuals[1]):.2g}, gap {float(out.gap):.2g}, "
            f"converged {bool(out.converged)}; {', '.join(w.category.__name__ for w in caught) or 'no warning'}",
            flush=True,
        )


SECTIONS = {f.__name__: f for f in (variants, tangent_weights, grid, hole, added, digits)}


if __name__ == "__main__":
    heading()
    for section in sys.argv[1:] or SECTIONS:
        name, _, selected = section.partition("=")
        SECTIONS[name](*filter(None, selected.split(",")))
