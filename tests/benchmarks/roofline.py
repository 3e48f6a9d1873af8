"""Lower bounds of the time of a program from what it computes and moves, for `accelerator.py`.

The lowered program (StableHLO) is read operation by operation, with the calls and the steps of its loops. A product of matrices
takes at least its operations divided by the rate of the device, and every operation that cannot be fused with its neighbors at
least its bytes divided by the bandwidth. Elementwise operations count as fused. Each kernel adds a fixed overhead, and on a TPU a
gathered row takes a time of its own. (XLA's own analysis of a program counts one step of every loop.)
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

_BITS = {"i1": 8, "ui8": 8, "i8": 8, "bf16": 16, "f16": 16, "i32": 32, "ui32": 32, "f32": 32}  # others: 64
# Kernels of a library, whose operands are written to memory by the kernel before.
_LIBRARY = {"stablehlo.dot_general", "stablehlo.sort", "chlo.top_k", "stablehlo.custom_call", "stablehlo.convolution"}
_ROWS = {"stablehlo.gather", "stablehlo.scatter"}
_PARTS = _ROWS | {
    "stablehlo.dynamic_slice",
    "stablehlo.dynamic_update_slice",
}  # they touch a part of their first operand
_MATERIALIZED = (
    _LIBRARY
    | _PARTS
    | {f"stablehlo.{name}" for name in ("reduce", "reduce_window", "concatenate", "pad", "transpose", "cholesky")}
    | {"stablehlo.triangular_solve", "stablehlo.rng_bit_generator", "stablehlo.reverse"}
)


class Rates(NamedTuple):
    """Rates of a device.

    Attributes:
        exact: operations per second of float32 products at the highest precision.
        quick: the same at the default precision, which is lower on a GPU and a TPU.
        memory: bytes per second.
        row: seconds per gathered row.
        capacity: bytes of its memory; 0 if unknown.
        source: where the figures are from.
    """

    exact: float
    quick: float
    memory: float
    row: float
    capacity: float
    source: str


# Peak figures of the vendors' data sheets, without sparsity. On a TPU a float32 product at the highest precision takes six passes
# of bfloat16. The time of a gathered row on a TPU is an assumption, because Google does not publish it.
_TPU_ROW = 10e-9  # seconds
PEAKS = {
    "H100": Rates(66.9e12, 494e12, 3.35e12, 0.0, 80e9, "NVIDIA H100 data sheet, SXM"),
    "H200": Rates(66.9e12, 494e12, 4.8e12, 0.0, 141e9, "NVIDIA H200 data sheet, SXM"),
    "A100": Rates(19.5e12, 156e12, 2.04e12, 0.0, 80e9, "NVIDIA A100 data sheet, SXM 80 GB"),
    "TPU v5e": Rates(
        197e12 / 6, 197e12, 0.82e12, _TPU_ROW, 16e9, "Google Cloud, TPU v5e; 10 ns per gathered row assumed"
    ),
    "TPU v5p": Rates(
        459e12 / 6, 459e12, 2.77e12, _TPU_ROW, 95e9, "Google Cloud, TPU v5p; 10 ns per gathered row assumed"
    ),
}
_KINDS = {
    "H100": "H100",
    "H200": "H200",
    "A100": "A100",
    "v5 lite": "TPU v5e",
    "v5e": "TPU v5e",
    "v5p": "TPU v5p",
    "TPU v5": "TPU v5p",
}
KERNEL = 5e-6  # seconds to start a kernel


def published(kind: str) -> Rates | None:
    """Return the published rates of a kind of device, as JAX names it, or None if it is not in the table."""
    return next((PEAKS[name] for part, name in _KINDS.items() if part in kind), None)


def measured(size: int) -> Rates:
    """Return the rates of products of square matrices and of copies on the default device; the size must be large."""
    import jax
    import jax.numpy as jnp

    a = jnp.full((size, size), 0.5, jnp.float32)
    numbers = jnp.ones((size, 4 * size), jnp.float32)
    rates = [
        2 * size**3 / fastest(jax.jit(lambda a, p=p: jnp.matmul(a, a, precision=p)), a) for p in ("highest", "default")
    ]
    return Rates(*rates, 2 * numbers.nbytes / fastest(jax.jit(lambda b: b + 1), numbers), 0.0, 0.0, "measured here")


def gathered_row() -> float:
    """Return the measured seconds per gathered row of eight numbers on the default device."""
    import jax
    import jax.numpy as jnp

    ids = jax.random.randint(jax.random.key(0), (1_000_000,), 0, 70_000)
    return fastest(jax.jit(lambda table, ids: table[ids]), jnp.ones((70_000, 8)), ids) / len(ids)


def fastest(call: Callable, *arguments: Any, runs: int = 5) -> float:
    """Return the seconds of the fastest of some calls, after one that compiles."""
    import jax

    jax.block_until_ready(call(*arguments))
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        jax.block_until_ready(call(*arguments))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@dataclass(frozen=True)
class Cost:
    """What a program computes and moves, and the shortest time that takes.

    Attributes:
        flops: operations of its products of matrices.
        bytes: bytes read and written by operations that are not fused.
        rows: rows gathered or scattered.
        kernels: operations that are not fused.
        seconds: lower bound of its time.
    """

    flops: float = 0.0
    bytes: float = 0.0
    rows: float = 0.0
    kernels: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __mul__(self, times: float) -> "Cost":
        return Cost(*(times * a for a in vars(self).values()))


def cost(function: Callable, *shapes: Any, platform: str, rates: Rates, steps: Iterable[int] = ()) -> Cost:
    """Return the cost of a function of arrays of the given shapes, lowered for "cpu", "cuda" or "tpu".

    Args:
        function: a function that JAX can trace.
        shapes: its arguments, such as `jax.ShapeDtypeStruct`.
        platform: what to lower it for, which need not be present.
        rates: of the device.
        steps: numbers of steps of the loops whose number depends on data, in the order of the program; beyond its end, none.
    """
    import jax

    lowered = jax.jit(function).trace(*shapes).lower(lowering_platforms=(platform,))
    return _Counter(lowered.compiler_ir("stablehlo"), rates, iter(steps)).total


class _Counter:
    """Counts the operations of a module, which it enters at the function `main`."""

    def __init__(self, module: Any, rates: Rates, steps: Iterator[int]):
        functions = {op.attributes["sym_name"].value: op for op in module.body.operations}
        self.functions, self.rates, self.steps = functions, rates, steps
        self.total = self._region(functions["main"].regions[0])

    def _region(self, region: Any) -> Cost:
        return sum((self._operation(op.operation) for block in region.blocks for op in block.operations), Cost())

    def _operation(self, op: Any) -> Cost:
        if op.name == "func.call":
            return self._region(self.functions[op.attributes["callee"].value].regions[0])
        if op.name == "stablehlo.while":
            count = _number_of_steps(op)
            return self._region(op.regions[1]) * (next(self.steps, 0) if count is None else count)
        if op.name in ("stablehlo.case", "stablehlo.if"):
            return max((self._region(region) for region in op.regions), key=lambda found: found.seconds)
        touched = op.results if op.name in _PARTS else [*op.operands, *op.results]
        if op.name not in _MATERIALIZED or all(math.prod(_shape(value)) < 2 for value in touched):
            return Cost()
        return self._kernel(op)

    def _kernel(self, op: Any) -> Cost:
        flops, rows, rate = 0.0, 0.0, self.rates.exact
        moved = sum(map(_bytes, op.results))
        if op.name == "stablehlo.dot_general":
            contracted = re.search(r"contracting_dims = \[([\d, ]*)\]", str(op))
            axes = [int(axis) for axis in contracted[1].split(",") if axis.strip()] if contracted else []
            flops = 2.0 * math.prod(_shape(op.results[0])) * math.prod(_shape(op.operands[0])[axis] for axis in axes)
            rate = self.rates.exact if "HIGHEST" in str(op) else self.rates.quick
        if op.name in _PARTS:
            if op.name in ("stablehlo.scatter", "stablehlo.dynamic_update_slice"):
                moved = 2 * _bytes(op.operands[-1 if op.name == "stablehlo.scatter" else 1])
            if op.name in _ROWS:
                moved += _bytes(op.operands[1])
                rows = math.prod(_shape(op.operands[1])[:-1])
        else:
            written = 2 if op.name in _LIBRARY else 1
            moved += sum(_bytes(value) * (written if _is_fused(value) else 1) for value in op.operands)
        least = max(flops / rate, moved / self.rates.memory, rows * self.rates.row)
        return Cost(flops, moved, rows, 1, KERNEL + least)


def _number_of_steps(loop: Any) -> int | None:
    """Return the number of steps of a loop that counts from zero to a constant, or None for any other."""
    for op in loop.regions[0].blocks[0].operations:
        if op.operation.name == "stablehlo.compare":
            bound = getattr(op.operation.operands[1].owner, "attributes", {})
            return int(re.sub(r"\D", "", str(bound["value"]).split(":")[0])) if "value" in bound else None
    return None


def _is_fused(value: Any) -> bool:
    """Return whether a value is computed elementwise, so that a kernel of its own writes it for a library."""
    name = getattr(value.owner, "name", None)
    return name is not None and name not in _MATERIALIZED | {"stablehlo.constant", "func.call", "stablehlo.while"}


def _shape(value: Any) -> list[int]:
    return [int(size) for size in re.findall(r"(\d+)x", str(value.type))]


def _bytes(value: Any) -> int:
    kind = re.search(r"(\w+?)>$", str(value.type).split("x")[-1])
    return math.prod(_shape(value)) * _BITS.get(kind[1] if kind else "", 64) // 8
