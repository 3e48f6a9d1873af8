"""Benchmarks of plain LLE, next to scikit-learn in the same run: `python tests/benchmarks/core.py [SECTION ...]`.

Sections: precision, subspace, speed, batch, memory, start, first. The extras `sklearn` and `data` are required. Times are medians
of alternating runs after compilation. Quote the ratios, because seconds vary on a shared machine.
"""

import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sections import run

K = 12


def swiss_roll(n: int) -> np.ndarray:
    from sklearn.datasets import make_swiss_roll

    return make_swiss_roll(n, random_state=0)[0]


def mnist() -> np.ndarray:
    import jaxlle

    return jaxlle.datasets.mnist().points.astype(np.float64)


def small_data() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits, make_s_curve

    return {
        "Swiss roll 500": swiss_roll(500),
        "Swiss roll 2,000": swiss_roll(2000),
        "S-curve 1,000": make_s_curve(1000, random_state=0)[0],
        "digits 1,797": load_digits().data,
    }


def precision() -> None:
    """Print the angle between float32 and float64 embeddings, the expected angle, and whether `GapWarning` was issued."""
    import jax

    import jaxlle
    from jaxlle.metrics import subspace_angle

    print("\nfloat32 compared with float64 (degrees); expected = eps / (32 gap)")
    print(f"{'data':18} {'reg':>6} {'solver':9} {'angle':>9} {'expected':>9} {'eps / gap':>9}  warning")
    for name, x in small_data().items():
        for reg in (1e-3, 1e-6):
            with jax.enable_x64(True):
                exact = np.asarray(jaxlle.lle(x, 2, k=K, reg=reg).points)
            for solver in (jaxlle.solvers.DenseQR(), jaxlle.solvers.SparseLU()):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    out = jaxlle.lle(x.astype(np.float32), 2, k=K, reg=reg, solver=solver)
                warned = any(issubclass(w.category, jaxlle.warnings.GapWarning) for w in caught)
                with jax.enable_x64(True):
                    angle = np.rad2deg(float(subspace_angle(np.asarray(out.points, np.float64), exact)))
                expected = np.rad2deg(float(out.rounding_angle))
                bound = min(90.0, np.rad2deg(np.finfo(np.float32).eps / float(out.gap)))
                print(
                    f"{name:18} {reg:6.0e} {out.solver:9} {angle:9.5f} {expected:9.5f} {bound:9.3f}  {'yes' if warned else '-'}"
                )


def subspace() -> None:
    """Print the smallest cosine between the subspaces of jaxlle and scikit-learn, in float64, for each solver."""
    import jax
    from sklearn.manifold import locally_linear_embedding

    import jaxlle

    tests = Path(__file__).parents[1]
    sys.path[:0] = [str(tests), str(tests / "variants")]
    from test_standard import scikit_learn

    print(
        "\nsmallest cosine with scikit-learn's subspace, float64; on jaxlle's graph / on its own, with ties in random order"
    )
    with jax.enable_x64(True):
        for name, x in {**small_data(), "MNIST 5,000": mnist()}.items():
            same, _ = scikit_learn(x, 2, K, solver="arpack")
            own, _ = locally_linear_embedding(x, n_neighbors=K, n_components=2, random_state=0, tol=1e-10)
            for solver in (jaxlle.solvers.DenseQR(), jaxlle.solvers.SparseLU()):
                y = np.linalg.qr(np.asarray(jaxlle.lle(x, 2, k=K, solver=solver).points))[0]
                cosines = [np.linalg.svd(np.linalg.qr(other)[0].T @ y)[1].min() for other in (same, own)]
                print(f"{name:18} {type(solver).__name__:9} {cosines[0]:.8f} / {cosines[1]:.8f}")


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Return the median seconds of two functions, which are called alternately after one call of the first."""
    ours()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for f, seconds in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            f()
            seconds.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def speed() -> None:
    """Print the seconds of a whole fit after compilation and those of scikit-learn, for the same data and k, in both dtypes."""
    from sklearn.manifold import LocallyLinearEmbedding as Theirs

    from jaxlle.sklearn import LocallyLinearEmbedding as Ours

    print("\nwhole fit, k = 12, seconds (scikit-learn always computes in float64)")
    print(f"{'data':20} {'dtype':8} {'jaxlle':>8} {'sklearn':>8} {'ratio':>6}")
    for name, x in {
        "MNIST 5,000 x 784": mnist(),
        "Swiss roll 10,000": swiss_roll(10_000),
        "Swiss roll 50,000": swiss_roll(50_000),
    }.items():
        for dtype in (np.float32, np.float64):
            data = x.astype(dtype)
            fits = [lambda e=e, data=data: e(n_neighbors=K, random_state=0).fit(data) for e in (Ours, Theirs)]
            a, b = alternate(*fits, runs=5)
            print(f"{name:20} {dtype.__name__:8} {a:8.3f} {b:8.3f} {b / a:6.1f}", flush=True)


def batch() -> None:
    """Print the seconds of 64 data sets of 200 points in one vmapped call and in a loop over scikit-learn."""
    import jax
    from sklearn.manifold import LocallyLinearEmbedding

    import jaxlle

    x = jax.vmap(lambda key: jaxlle.datasets.swiss_roll(key, 200).points)(jax.random.split(jax.random.key(0), 64))
    fit = jax.jit(jax.vmap(lambda a: jaxlle.lle(a, 2, k=K).points))
    host = np.asarray(x, np.float64)
    a, b = alternate(
        lambda: jax.block_until_ready(fit(x)),
        lambda: [LocallyLinearEmbedding(n_neighbors=K).fit(one) for one in host],
        runs=5,
    )
    print(
        f"\n64 data sets of 200 points: one vmapped call {a:.3f} s, a loop over scikit-learn {b:.3f} s, ratio {b / a:.1f}"
    )


def child(code: str, *arguments: str) -> str:
    """Run code in a new process and return its output."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


_MEMORY = """
import resource, jax, numpy as np, jaxlle
x = np.random.default_rng(0).standard_normal((50_000, 784), np.float32)
jaxlle.lle_alignment(x[:2000], k=12)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
jax.block_until_ready(jaxlle.lle_alignment(x, k=12))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""


def memory() -> None:
    """Print the peak memory of neighbors and weights above that of the data, 50,000 x 784, in a new process."""
    print(
        f"\nneighbors and weights of 50,000 x 784 float32: peak resident memory {float(child(_MEMORY)):.2f} GiB above the data's"
    )


_START = """
import time; start = time.perf_counter()
import numpy as np
import jaxlle
from jaxlle.sklearn import LocallyLinearEmbedding
imported = time.perf_counter() - start
x = {data}
start = time.perf_counter()
LocallyLinearEmbedding(n_neighbors=12).fit(x)
cold = time.perf_counter() - start
start = time.perf_counter()
LocallyLinearEmbedding(n_neighbors=12).fit(x)
print(imported, cold, time.perf_counter() - start)
"""


def start() -> None:
    """Print the seconds of the import, and of the first and the second fit in a new process."""
    for _ in range(2):
        alone = float(child("import time; s = time.perf_counter(); import jaxlle; print(time.perf_counter() - s)"))
        jax_alone = float(child("import time; s = time.perf_counter(); import jax; print(time.perf_counter() - s)"))
    print(f"\nimport jaxlle {alone:.3f} s (import jax, which the first use of a name triggers, {jax_alone:.2f} s)")
    for name, data in {
        "MNIST 5,000": "jaxlle.datasets.mnist().points",
        "Swiss roll 10,000": "np.asarray(__import__('sklearn.datasets').datasets.make_swiss_roll(10_000, random_state=0)[0])",
    }.items():
        imported, cold, warm = map(float, child(_START.format(data=data)).split())
        print(
            f"{name}: import {imported:.2f} s, first fit {cold:.2f} s, warm fit {warm:.2f} s; "
            f"import plus first fit minus warm fit {imported + cold - warm:.2f} s"
        )


_FIRST = """
import sys, time
import jax
import numpy as np
import jaxlle
n, folder = int(sys.argv[1]), sys.argv[2]
data = jaxlle.datasets.mnist() if n <= 5000 else jaxlle.datasets.deformed_digits(jax.random.key(0), n)
x = np.asarray(data.points)[:n]
if folder != "none":
    jaxlle.enable_compilation_cache(folder)
for _ in range(2):
    start = time.perf_counter()
    jaxlle.lle(x, 2, k=12).points.block_until_ready()
    print(time.perf_counter() - start)
"""


def first() -> None:
    """Print the seconds of the first fit of a new process, without compiled programs and with those of an earlier process."""
    for n in (1000, 5000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            child(_FIRST, str(n), folder)
            runs = [[float(s) for s in child(_FIRST, str(n), where).split()] for where in ("none", folder) * 3]
        (cold, warm), (kept, _) = (np.median(runs[i::2], axis=0) for i in (0, 1))
        print(f"{n:,} digits: first fit {cold:.2f} s, with kept programs {kept:.2f} s; second fit {warm:.2f} s")


SECTIONS = {f.__name__: f for f in (precision, subspace, speed, batch, memory, start, first)}


if __name__ == "__main__":
    run(SECTIONS)
