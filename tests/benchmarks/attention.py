"""Benchmark of local linear attention next to softmax attention: `python tests/benchmarks/attention.py [SECTION ...]`.

Sections: time, memory. Processor times are medians of alternating calls after compilation; quote the ratios.
"""

import statistics
import time as clock
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from sections import run

from jaxlle.nn import ConjugateGradients, NearestKeys, local_linear_attention

SOLVERS = {
    "4 steps": ConjugateGradients(4),
    "8 steps": ConjugateGradients(8),
    "12 steps": ConjugateGradients(12),
    "32 keys": NearestKeys(32),
}


def forms() -> dict[str, Callable]:
    return {
        "softmax": jax.nn.dot_product_attention,
        **{name: partial(local_linear_attention, solver=solver) for name, solver in SOLVERS.items()},
    }


def gradient(function: Callable) -> Callable:
    return jax.grad(lambda q, k, v: jnp.sum(function(q, k, v) ** 2), (0, 1, 2))


def time(runs: int = 11) -> None:
    """Print the processor time of the forward pass and of the gradient relative to softmax attention, and the error."""
    for width in (64, 16):
        q, k, v = jax.random.normal(jax.random.key(0), (3, 8, 512, 4, width))
        print(f"\n(batch 8, length 512, heads 4, width {width}): processor time relative to softmax attention; error")
        calls = {(name, "forward"): jax.jit(form) for name, form in forms().items()}
        calls |= {(name, "gradient"): jax.jit(gradient(form)) for name, form in forms().items()}
        times: dict[tuple[str, str], list[tuple[float, float]]] = {name: [] for name in calls}
        for call in calls.values():
            jax.block_until_ready(call(q, k, v))
        for _ in range(runs):
            for name, call in calls.items():
                start = clock.process_time(), clock.perf_counter()
                jax.block_until_ready(call(q, k, v))
                times[name].append((clock.process_time() - start[0], clock.perf_counter() - start[1]))
        medians = {name: [statistics.median(t) for t in zip(*found, strict=True)] for name, found in times.items()}
        one = (q[:1, :, :1], k[:1, :, :1], v[:1, :, :1])
        exact = local_linear_attention(*one, solver=NearestKeys(512))
        for name, form in forms().items():
            ratios = [
                f"{kind} {medians[name, kind][0] / medians['softmax', kind][0]:.1f} "
                f"(wall {medians[name, kind][1] / medians['softmax', kind][1]:.1f})"
                for kind in ("forward", "gradient")
            ]
            error = jnp.linalg.norm(form(*one) - exact) / jnp.linalg.norm(exact)
            print(f"{name:9} {'; '.join(ratios)}; {float(error):.1e}", flush=True)


def memory() -> None:
    """Print the temporary memory of the gradient by length, for one head of width 64."""
    for length in (2_048, 8_192, 32_768):
        shape = jax.ShapeDtypeStruct((1, length, 1, 64), jnp.float32)
        for name in ("softmax", "12 steps", "32 keys"):
            if name == "softmax" and length > 8_192:
                continue
            found = jax.jit(gradient(forms()[name])).lower(shape, shape, shape).compile().memory_analysis()
            assert found is not None
            print(f"length {length:6}, {name:9} {found.temp_size_in_bytes / 2**20:8.0f} MiB", flush=True)


SECTIONS = {f.__name__: f for f in (time, memory)}


if __name__ == "__main__":
    run(SECTIONS)
