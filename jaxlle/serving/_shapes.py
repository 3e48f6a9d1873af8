"""ONNX operators for primitives of JAX that change shapes, or select entries: rules as in `_elementwise`."""

from typing import Any

import numpy as np
from jax import lax

from ._elementwise import Rule
from ._graph import Graph, Tensor


def _reshape(graph: Graph, equation: Any, x: Any) -> Any:
    return graph.reshape(x, equation.outvars[0].aval.shape)


def _broadcast(graph: Graph, equation: Any, x: Any) -> Any:
    out, own = equation.outvars[0].aval.shape, equation.invars[0].aval.shape
    axes = [int(axis) for axis in equation.params["broadcast_dimensions"]]
    placed = [own[axes.index(axis)] if axis in axes else 1 for axis in range(len(out))]
    x = graph.reshape(x, placed)
    # Expand takes the larger of two dimensions, so that those that stay need not be computed.
    target = [1 if mine is size or mine == size else size for mine, size in zip(placed, out, strict=True)]
    return (
        x if all(size == 1 for size in target) and isinstance(x, str) else graph.add("Expand", x, graph.shape(target))
    )


def _transpose(graph: Graph, equation: Any, x: Any) -> Any:
    return graph.transpose(x, equation.params["permutation"])


def _concatenate(graph: Graph, equation: Any, *values: Any) -> Any:
    return graph.add("Concat", *values, axis=int(equation.params["dimension"]))


def _stack(graph: Graph, equation: Any, *values: Any) -> Any:
    axis = int(equation.params["axis"])
    return graph.add("Concat", *[graph.add("Unsqueeze", value, graph.integers(axis)) for value in values], axis=axis)


def _split(graph: Graph, equation: Any, x: Any) -> Any:
    sizes = [int(size) for size in equation.params["sizes"]]
    found = graph.add("Split", x, graph.integers(*sizes), outputs=len(sizes), axis=int(equation.params["axis"]))
    return found if isinstance(found, list) else [found]


def _slice(graph: Graph, equation: Any, x: Any) -> Any:
    params, shape = equation.params, equation.invars[0].aval.shape
    strides = params["strides"] or (1,) * len(shape)
    return _cut(graph, x, shape, params["start_indices"], params["limit_indices"], strides)


def _cut(graph: Graph, x: Any, shape: Any, starts: Any, stops: Any, strides: Any) -> Any:
    """Return a slice; the dimensions that stay whole need not be known."""
    axes = [
        axis
        for axis, size in enumerate(shape)
        if not (starts[axis] == 0 and _same(stops[axis], size) and strides[axis] == 1)
    ]
    if not axes:
        return graph.add("Identity", x)
    starts, stops = graph.shape([starts[axis] for axis in axes]), graph.shape([stops[axis] for axis in axes])
    return graph.add(
        "Slice", x, starts, stops, graph.integers(*axes), graph.integers(*[strides[axis] for axis in axes])
    )


def _same(a: Any, b: Any) -> bool:
    return a is b or bool(a == b)


def _tile(graph: Graph, equation: Any, x: Any) -> Any:
    return graph.add("Tile", x, graph.integers(*equation.params["reps"]))


def _reverse(graph: Graph, equation: Any, x: Any) -> Any:
    axes = [int(axis) for axis in equation.params["dimensions"]]
    first, last = [-1] * len(axes), [np.iinfo(np.int64).min] * len(axes)
    return graph.add("Slice", x, *[graph.integers(*part) for part in (first, last, axes, first)])


def _pad(graph: Graph, equation: Any, x: Any, value: Any) -> Any:
    config = equation.params["padding_config"]
    if any(low < 0 or high < 0 or interior for low, high, interior in config):
        return None
    return graph.add("Pad", x, graph.integers(*[low for low, _, _ in config], *[high for _, high, _ in config]), value)


def _iota(graph: Graph, equation: Any) -> Any:
    shape, axis, dtype = (equation.params[name] for name in ("shape", "dimension", "dtype"))
    stop = graph.add("Squeeze", graph.count(shape[axis]), graph.integers(0))
    counted = graph.cast(graph.add("Range", np.asarray(0, np.int64), stop, np.asarray(1, np.int64)), dtype)
    placed = graph.reshape(counted, [size if i == axis else 1 for i, size in enumerate(shape)])
    return graph.add("Expand", placed, graph.shape(shape))


def _dimension(graph: Graph, equation: Any) -> Any:
    count = graph.add("Squeeze", graph.count(equation.params["dim"]), graph.integers(0))
    return graph.cast(count, equation.outvars[0].aval.dtype)


def _top_k(graph: Graph, equation: Any, x: Any) -> Any:
    axis, k = int(equation.params["axis"]), graph.integers(int(equation.params["k"]))
    values, indices = graph.add("TopK", x, k, outputs=2, axis=axis)
    return [values, graph.cast(indices, equation.outvars[1].aval.dtype)]


def _gather(graph: Graph, equation: Any, x: Any, indices: Any) -> Any:
    """Translate x[:, start:stop] with known starts, x[indices] along one axis, and take_along_axis along the last axis."""
    params, shape = equation.params, equation.invars[0].aval.shape
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    axes = numbers.start_index_map
    known = not isinstance(indices, Tensor)
    if known and np.ndim(indices) == 1 and not numbers.operand_batching_dims:
        starts = dict(zip(axes, np.asarray(indices).tolist(), strict=True))
        if any(not 0 <= start <= shape[axis] - sizes[axis] for axis, start in starts.items()):
            return None
        first = [starts.get(axis, 0) for axis in range(len(shape))]
        cut = _cut(graph, x, shape, first, [a + b for a, b in zip(first, sizes, strict=True)], [1] * len(shape))
        return graph.reshape(cut, equation.outvars[0].aval.shape)
    if len(axes) != 1 or numbers.collapsed_slice_dims != axes:
        return None
    (axis,), batch = axes, numbers.operand_batching_dims
    indices_shape = equation.invars[1].aval.shape[:-1]
    whole = all(
        _same(size, have) for i, (size, have) in enumerate(zip(sizes, shape, strict=True)) if i not in (axis, *batch)
    )
    if not whole or not isinstance(shape[axis], int):
        return None
    indices = graph.reshape(indices, indices_shape)
    inside = graph.add("Min", graph.add("Max", indices, _zero(equation)), _zero(equation) + shape[axis] - 1)
    if batch:
        if axis != len(shape) - 1 or batch != tuple(range(axis)) or numbers.start_indices_batching_dims != batch:
            return None
        found = graph.add("GatherElements", x, inside, axis=axis)
    else:
        rank = len(equation.outvars[0].aval.shape)
        placed = [i for i in range(rank) if i not in numbers.offset_dims]  # dimensions of the indices in the output
        rest = [i for i in range(rank) if not axis <= i < axis + len(placed)]
        position = dict(zip((*placed, *numbers.offset_dims), (*range(axis, axis + len(placed)), *rest), strict=True))
        found = graph.transpose(graph.add("Gather", x, inside, axis=axis), [position[i] for i in range(rank)])
        spread = [size if i in placed else 1 for i, size in enumerate(equation.outvars[0].aval.shape)]
        indices, inside = graph.reshape(indices, spread), graph.reshape(inside, spread)
    if params["mode"] != lax.GatherScatterMode.FILL_OR_DROP:
        return found
    outside = graph.add("Not", graph.add("Equal", indices, inside))
    fill, dtype = params["fill_value"], equation.outvars[0].aval.dtype
    if fill is None and not np.issubdtype(dtype, np.floating):
        return None
    return graph.add("Where", outside, np.asarray(np.nan if fill is None else fill, dtype), found)


def _zero(equation: Any) -> np.ndarray:
    return np.asarray(0, equation.invars[1].aval.dtype)


def _dynamic_slice(graph: Graph, equation: Any, x: Any, *starts: Any) -> Any:
    shape, sizes = equation.invars[0].aval.shape, equation.params["slice_sizes"]
    if any(isinstance(start, Tensor) for start in starts):
        return None
    first = [
        0 if _same(size, have) else int(np.clip(np.asarray(start), 0, have - size))
        for start, size, have in zip(starts, sizes, shape, strict=True)
    ]
    return _cut(graph, x, shape, first, [a + b for a, b in zip(first, sizes, strict=True)], [1] * len(shape))


SHAPES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dim_as_value": _dimension,
    "dynamic_slice": _dynamic_slice,
    "expand_dims": _reshape,
    "gather": _gather,
    "iota": _iota,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "split": _split,
    "squeeze": _reshape,
    "stack": _stack,
    "tile": _tile,
    "top_k": _top_k,
    "transpose": _transpose,
}
