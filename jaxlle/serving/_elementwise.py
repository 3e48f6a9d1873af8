"""ONNX operators for elementwise primitives and reductions of JAX.

A rule takes the graph, the equation and its inputs, and returns the name of its output, a list of names, or None if it has no
translation for these parameters. Scalars are broadcast by ONNX as by NumPy.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from ._graph import Graph

Rule = Callable[..., Any]

_SAME = {  # primitives with an operator of the same meaning
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "add": "Add",
    "add_any": "Add",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
}
_LOGICAL = {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}  # of booleans only
_REDUCTIONS = {
    "reduce_sum": "ReduceSum",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
}


def _operator(operator: str) -> Rule:
    return lambda graph, equation, *values: graph.add(operator, *values)


def _logical(operator: str) -> Rule:
    def rule(graph: Graph, equation: Any, *values: Any) -> Any:
        return graph.add(operator, *values) if equation.invars[0].aval.dtype == bool else None

    return rule


def _like(equation: Any, value: int | float) -> np.ndarray:
    """Return a number in the dtype of the first input."""
    return np.asarray(value, equation.invars[0].aval.dtype)


def _integer_pow(graph: Graph, equation: Any, x: Any) -> Any:
    return graph.add("Pow", x, _like(equation, equation.params["y"]))


def _round(graph: Graph, equation: Any, x: Any) -> Any:
    if equation.params["rounding_method"] == lax.RoundingMethod.TO_NEAREST_EVEN:
        return graph.add("Round", x)
    away = graph.add("Floor", graph.add("Add", graph.add("Abs", x), _like(equation, 0.5)))
    return graph.add("Mul", graph.add("Sign", x), away)


def _select(graph: Graph, equation: Any, which: Any, *cases: Any) -> Any:
    if equation.invars[0].aval.dtype != bool or len(cases) != 2:
        return None
    return graph.add("Where", which, cases[1], cases[0])


def _is_finite(graph: Graph, equation: Any, x: Any) -> Any:
    return graph.add("Not", graph.add("Or", graph.add("IsInf", x), graph.add("IsNaN", x)))


def _clamp(graph: Graph, equation: Any, low: Any, x: Any, high: Any) -> Any:
    return graph.add("Min", graph.add("Max", x, low), high)


def _cast(graph: Graph, equation: Any, x: Any) -> Any:
    return graph.cast(x, equation.params["new_dtype"])


def _reduce(operator: str) -> Rule:
    def rule(graph: Graph, equation: Any, x: Any) -> Any:
        if not equation.params["axes"]:
            return graph.add("Identity", x)
        return graph.add(operator, x, graph.integers(*equation.params["axes"]), keepdims=0)

    return rule


def _reduce_logical(operator: str) -> Rule:
    def rule(graph: Graph, equation: Any, x: Any) -> Any:
        return graph.cast(_reduce(operator)(graph, equation, graph.cast(x, np.int32)), bool)

    return rule


def _arg(operator: str) -> Rule:
    def rule(graph: Graph, equation: Any, x: Any) -> Any:
        (axis,) = equation.params["axes"]
        return graph.cast(graph.add(operator, x, axis=int(axis), keepdims=0), equation.params["index_dtype"])

    return rule


def _cumsum(graph: Graph, equation: Any, x: Any) -> Any:
    return graph.add(
        "CumSum", x, np.asarray(equation.params["axis"], np.int64), reverse=int(equation.params["reverse"])
    )


ELEMENTWISE: dict[str, Rule] = {
    **{name: _operator(operator) for name, operator in _SAME.items()},
    **{name: _logical(operator) for name, operator in _LOGICAL.items()},
    **{name: _reduce(operator) for name, operator in _REDUCTIONS.items()},
    "reduce_and": _reduce_logical("ReduceMin"),
    "reduce_or": _reduce_logical("ReduceMax"),
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "cumsum": _cumsum,
    "clamp": _clamp,
    "convert_element_type": _cast,
    "copy": _operator("Identity"),
    "copy_p": _operator("Identity"),
    "stop_gradient": _operator("Identity"),
    "optimization_barrier": lambda graph, equation, *values: [graph.add("Identity", value) for value in values],
    "erfc": lambda graph, equation, x: graph.add("Sub", _like(equation, 1), graph.add("Erf", x)),
    "exp2": lambda graph, equation, x: graph.add("Pow", _like(equation, 2), x),
    "expm1": lambda graph, equation, x: graph.add("Sub", graph.add("Exp", x), _like(equation, 1)),
    "log1p": lambda graph, equation, x: graph.add("Log", graph.add("Add", x, _like(equation, 1))),
    "integer_pow": _integer_pow,
    "is_finite": _is_finite,
    "ne": lambda graph, equation, *values: graph.add("Not", graph.add("Equal", *values)),
    "rem": lambda graph, equation, *values: graph.add("Mod", *values, fmod=1),
    "round": _round,
    "rsqrt": lambda graph, equation, x: graph.add("Reciprocal", graph.add("Sqrt", x)),
    "select_n": _select,
    "square": lambda graph, equation, x: graph.add("Mul", x, x),
}
