"""The translation of a traced JAX function: what does not depend on its input is computed, and the rest becomes operators."""

from typing import Any

import jax
import numpy as np

from ._elementwise import ELEMENTWISE
from ._graph import Graph, Tensor, check_dtype
from ._products import PRODUCTS
from ._shapes import SHAPES

_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # parameters that hold the function of a call
_CALLERS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "remat",
    "remat2",
    "checkpoint",
)
_RULES = {**ELEMENTWISE, **SHAPES, **PRODUCTS}


def translate(graph: Graph, closed: Any, *values: Any) -> list[Any]:
    """Append the operators of a traced function to a graph; return its outputs, which are tensors or known arrays."""
    jaxpr = getattr(closed, "jaxpr", closed)
    known = dict(zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True))
    known.update(zip(jaxpr.invars, values, strict=True))

    def read(atom: Any) -> Any:
        return np.asarray(atom.val, atom.aval.dtype) if hasattr(atom, "val") else known[atom]

    for equation in jaxpr.eqns:
        outputs = _translate_equation(graph, equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _translate_equation(graph: Graph, equation: Any, values: list[Any]) -> list[Any]:
    """Return the outputs of one primitive."""
    primitive, name = equation.primitive, equation.primitive.name
    if name in _CALLERS:
        function = next(equation.params[key] for key in _CALLS if key in equation.params)
        return translate(graph, function, *values)
    symbolic = any(not isinstance(size, int) for out in equation.outvars for size in out.aval.shape)
    if name != "dim_as_value" and not symbolic and not any(isinstance(value, Tensor) for value in values):
        with jax.ensure_compile_time_eval():
            outputs = primitive.bind(*values, **equation.params)
        return list(outputs) if primitive.multiple_results else [outputs]
    if name not in _RULES:
        raise unsupported(equation)
    outputs = _RULES[name](graph, equation, *values)
    if outputs is None:
        raise unsupported(equation)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return [_wrap(output, out) for output, out in zip(outputs, equation.outvars, strict=True)]


def _wrap(output: Any, variable: Any) -> Any:
    """Return an output of a rule as a value: names of edges become tensors."""
    if not isinstance(output, str):
        return output
    check_dtype(variable.aval.dtype)
    return Tensor(output, variable.aval.shape, np.dtype(variable.aval.dtype))


def unsupported(equation: Any) -> ValueError:
    """Return the error for a primitive without equivalent."""
    shapes = ", ".join(str(atom.aval.str_short()) for atom in equation.invars)
    return ValueError(
        f"The function cannot be exported to ONNX: it applies the primitive {equation.primitive.name!r} of JAX to {shapes}, for "
        f"which there is no translation. Replace it in the function, or use export_map, which exports every function for JAX. "
        f"An out-of-sample map is exported if it is passed as an OutOfSampleMap."
    )
