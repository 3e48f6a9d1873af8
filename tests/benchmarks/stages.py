"""Lower bounds of the times of the stages of LLE on a device, from the programs that JAX lowers for it, for `accelerator.py`."""

from collections.abc import Callable
from functools import partial
from math import ceil

from roofline import PEAKS, Cost, Rates, cost

K, COLUMNS, LANDMARKS, LEADING = 12, 8, 1000, 48  # the last three as in the landmark solver
# What the landmark solver is assumed to do: iterations, and the degree of its smoothing polynomials, from which its numbers of
# products with B^T B follow.
ITERATIONS, DEGREE = 20, 25
PADDING = 1.3  # entries of the slabs of columns, with their padding, per entry


def stage_functions(n: int, d: int, capacity: float) -> dict[str, tuple[Callable, tuple]]:
    """Return each stage as a function that JAX can trace, and the shapes of its arguments.

    The blocks of the search are those that `jaxlle.knn` uses on a device of that memory, three quarters of which JAX takes.
    """
    import jax
    import jax.numpy as jnp

    import jaxlle
    from jaxlle._core.blocks import _MEMORY_SHARE, BLOCK_BYTES
    from jaxlle.solvers import Hints, Landmark

    shape = jax.ShapeDtypeStruct
    block = max(BLOCK_BYTES, int(0.75 * capacity) // _MEMORY_SHARE)
    x, ids = shape((n, d), jnp.float32), shape((n, K), jnp.int32)
    alignment = jaxlle.Alignment(shape((n, K + 1), jnp.int32), shape((n, 1, K + 1), jnp.float32))
    return {
        "search": (lambda x: jaxlle.knn(x, K, block_bytes=block), (x,)),
        "weights": (lambda x, ids: jaxlle.barycentric_weights(x, jaxlle.Neighbors(ids, None)), (x, ids)),
        "Landmark": (
            lambda alignment, x: Landmark()(alignment, 3, jax.random.key(0), Hints(points=x)),
            (alignment, x),
        ),
    }


def stage_costs(n: int, d: int, kind: str, rates: Rates) -> dict[str, Cost]:
    """Return the costs of the stages of a fit, lowered for "cpu", "cuda" or "tpu"."""
    import jax
    import jax.numpy as jnp

    import jaxlle

    stages = stage_functions(n, d, rates.capacity)
    costs = {
        name: cost(*stages[name][:1], *stages[name][1], platform=kind, rates=rates) for name in ("search", "weights")
    }
    # The numbers of steps of the landmark solver depend on data, so that its parts are lowered one by one.
    f32 = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    alignment = stages["Landmark"][1][0]
    prepared = jax.eval_shape(lambda a: a.prepare(), alignment)
    blocks, size, width = prepared.columns.slab_rows.shape
    slabs = ceil(PADDING * n * (K + 1) / (size * blocks / len(prepared.columns.order) * width))
    count = min(LANDMARKS, max(200, n // 30))
    parts = {
        "preparation": (1, lambda a: a.prepare(), (alignment,)),
        # Two smoothings and four residuals per iteration; 8 columns at a time, also in the set-up, where there are 32.
        "products": (
            ITERATIONS * (2 * DEGREE + 6) + 6 * DEGREE + 65,
            lambda prepared, y: prepared.gram(y),
            (prepared, f32((n, COLUMNS))),
        ),
        "small products": (4 * ITERATIONS, lambda a, b: jnp.matmul(a.T, b, precision="highest"), (f32((n, 24)),) * 2),
        "orthonormal bases": (2 * ITERATIONS, jnp.linalg.qr, (f32((n, 25)),)),
        "landmarks": (
            1,
            lambda own, x: jaxlle.knn(own, 8, query=x),
            (f32((count, min(d, LEADING))), f32((n, min(d, LEADING)))),
        ),
        "coarse operator": (0.5, lambda b: jnp.matmul(b.T, b, precision="highest"), (f32((n, count)),)),
    }
    steps = (
        [1, 3] if kind == "cuda" or blocks == 1 else [slabs, 1, 3]
    )  # slabs, chunks of long columns, and their levels
    found = {
        name: cost(call, *shapes, platform=kind, rates=rates, steps=steps if name == "products" else ()) * times
        for name, (times, call, shapes) in parts.items()
    }
    return {**costs, "Landmark": sum(found.values(), Cost())}


def estimate(name: str, shapes: tuple[tuple[int, int], ...]) -> None:
    """Print the bounds of the stages for a device that need not be present."""
    rates, kind = PEAKS[name], "tpu" if "TPU" in name else "cuda"
    print(f"Estimate for {name} ({rates.source}): nothing was run on it.")
    for n, d in shapes:
        print(f"\n{n:,} x {d}, k = {K}{'TFLOP':>23}{'GB moved':>12}{'rows':>10}{'kernels':>10}{'bound':>12}")
        costs = stage_costs(n, d, kind, rates)
        for stage, found in {**costs, "all stages on the device": sum(costs.values(), Cost())}.items():
            print(
                f"{stage:28}{found.flops / 1e12:12.4g}{found.bytes / 1e9:12.4g}{found.rows:10.2g}{found.kernels:10.2g}"
                f"{found.seconds:10.3f} s"
            )
