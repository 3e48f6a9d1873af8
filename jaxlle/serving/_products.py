"""ONNX operators for products, convolutions, pooling and triangular systems: rules as in `_elementwise`."""

import math
from typing import Any

import numpy as np
import scipy.linalg

from ._elementwise import Rule
from ._graph import Graph, Tensor


def _dot(graph: Graph, equation: Any, a: Any, b: Any) -> Any:
    """Arrange the factors as (batch, rows, contracted) and (batch, contracted, columns) for MatMul."""
    (contract_a, contract_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
    shape_a, shape_b = (variable.aval.shape for variable in equation.invars)
    free_a = [i for i in range(len(shape_a)) if i not in (*contract_a, *batch_a)]
    free_b = [i for i in range(len(shape_b)) if i not in (*contract_b, *batch_b)]
    batch = [shape_a[i] for i in batch_a]
    out = [*batch, *[shape_a[i] for i in free_a], *[shape_b[i] for i in free_b]]
    inner = math.prod(shape_a[i] for i in contract_a)
    columns = math.prod(shape_b[i] for i in free_b)
    a = graph.transpose(a, [*batch_a, *free_a, *contract_a])
    b = graph.transpose(b, [*batch_b, *contract_b, *free_b])
    # Without a batch MatMul keeps the rows of a as they are, whatever their number of dimensions is.
    rows = [shape_a[i] for i in free_a] if not batch and free_a else [math.prod(shape_a[i] for i in free_a)]
    a = _shaped(graph, a, [*batch, *[shape_a[i] for i in (*free_a, *contract_a)]], [*batch, *rows, inner])
    b = _shaped(graph, b, [*batch, *[shape_b[i] for i in (*contract_b, *free_b)]], [*batch, inner, columns])
    return _shaped(graph, graph.add("MatMul", a, b), [*batch, *rows, columns], out)


def _shaped(graph: Graph, value: Any, current: list[Any], wanted: list[Any]) -> Any:
    return value if current == wanted else graph.reshape(value, wanted)


def _conv(graph: Graph, equation: Any, x: Any, kernel: Any) -> Any:
    params = equation.params
    numbers, padding = params["dimension_numbers"], params["padding"]
    if set(params["lhs_dilation"]) - {1} or params["batch_group_count"] != 1 or any(min(pair) < 0 for pair in padding):
        return None
    found = graph.add(
        "Conv",
        graph.transpose(x, numbers.lhs_spec),
        graph.transpose(kernel, numbers.rhs_spec),
        strides=[int(size) for size in params["window_strides"]],
        dilations=[int(size) for size in params["rhs_dilation"]],
        pads=[int(low) for low, _ in padding] + [int(high) for _, high in padding],
        group=int(params["feature_group_count"]),
    )
    return graph.transpose(found, np.argsort(numbers.out_spec))


def _pool(operator: str) -> Rule:
    def rule(graph: Graph, equation: Any, x: Any) -> Any:
        params = equation.params
        window, strides, padding = (params[name] for name in ("window_dimensions", "window_strides", "padding"))
        still = [i for i, (size, stride) in enumerate(zip(window, strides, strict=True)) if size == stride == 1]
        dilated = set(params["base_dilation"]) | set(params["window_dilation"])
        if dilated != {1} or len(still) < 2 or any(sum(padding[i]) for i in still[:2]):
            return None
        order = [*still[:2], *[i for i in range(len(window)) if i not in still[:2]]]
        moved = order[2:]
        options: dict[str, Any] = {} if operator == "MaxPool" else {"count_include_pad": 1}
        found = graph.add(
            operator,
            graph.transpose(x, order),
            kernel_shape=[int(window[i]) for i in moved],
            strides=[int(strides[i]) for i in moved],
            pads=[int(padding[i][0]) for i in moved] + [int(padding[i][1]) for i in moved],
            **options,
        )
        if operator == "AveragePool":
            found = graph.add("Mul", found, np.asarray(math.prod(window), equation.invars[0].aval.dtype))
        return graph.transpose(found, np.argsort(order))

    return rule


def _triangular_solve(graph: Graph, equation: Any, factor: Any, b: Any) -> Any:
    """Multiply by the inverse of a known factor, such as the one by which `OrthonormalHead` whitens."""
    params = equation.params
    if isinstance(factor, Tensor) or np.ndim(factor) != 2 or params["conjugate_a"]:
        return None
    matrix = np.asarray(factor, np.float64)
    matrix = np.tril(matrix) if params["lower"] else np.triu(matrix)
    if params["unit_diagonal"]:
        np.fill_diagonal(matrix, 1)
    matrix, lower = (matrix.T, not params["lower"]) if params["transpose_a"] else (matrix, params["lower"])
    inverse = scipy.linalg.solve_triangular(matrix, np.eye(len(matrix)), lower=lower)
    inverse = inverse.astype(equation.outvars[0].aval.dtype)
    return graph.add("MatMul", inverse, b) if params["left_side"] else graph.add("MatMul", b, inverse)


PRODUCTS: dict[str, Rule] = {
    "conv_general_dilated": _conv,
    "dot_general": _dot,
    "reduce_window_max": _pool("MaxPool"),
    "reduce_window_sum": _pool("AveragePool"),
    "triangular_solve": _triangular_solve,
}
