"""Maps of points as ONNX models, which run without JAX."""

import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Array

from .._core.checks import check_count
from ._graph import IR_VERSION, OPSET, Graph, Tensor
from ._interpreter import translate
from ._rows import row_function
from .maps import OutOfSampleMap

_LARGEST = 2**31 - 1  # bytes of a model in one file, the limit of its format


def export_onnx(function: Callable[[Array], Array], features: int, *, rows: int | None = None) -> bytes:
    """Export a map of points as an ONNX model, with all arrays that it closes over.

    The model has one input "x" of shape (rows, features), float32, and one output "y". It uses the standard operators of
    version 18, which ONNX Runtime runs from version 1.14. Parts of the function that do not depend on the points, such as the
    factor of a whitening layer, are computed now and stored as constants.

    An exported out-of-sample map agrees with the map up to rounding. It compares a point with all n points of the data at once,
    and needs memory for rows * n distances, and up to 16 features for rows * n * features numbers. With more features, the
    nearest 2 k + 16 candidates are selected by a product in float32; points whose distances are equal up to the rounding of
    this product can be exchanged.

    Args:
        function: an `OutOfSampleMap` of dense points, or any function of points of shape (rows, features) that consists of
            elementwise operations, products, convolutions, pooling, reductions, changes of shape and lookups, such as a model
            in evaluation mode (``model.eval()``).
        features: number of columns of the points.
        rows: number of points per call. None allows any number.

    Returns:
        The serialized model, to be written to a file.

    Raises:
        ValueError: if the function contains a primitive of JAX without translation, which the message names, computes in
            bfloat16 or float16, returns several arrays, or cannot be traced for any number of rows; for a map of sparse points
            or precomputed distances; if features or rows is less than 1, or the model exceeds 2 GiB.
        TypeError: if features or rows is not an integer.
        ImportError: if onnx is not installed (``pip install 'jaxlle[onnx]'``).

    Example:
        >>> import jax.numpy as jnp, jaxlle, onnxruntime
        >>> model = jaxlle.serving.export_onnx(lambda x: jnp.tanh(x[:, :2]), 3)
        >>> session = onnxruntime.InferenceSession(model)
        >>> session.run(["y"], {"x": [[1.0, 0.0, 5.0]]})[0].round(3).tolist()
        [[0.762, 0.0]]
    """
    if importlib.util.find_spec("onnx") is None:
        raise ImportError("Models are written by the package onnx, which is not installed: pip install 'jaxlle[onnx]'.")
    import onnx

    features = check_count(features, "features", 1, None, "the points have at least one column")
    rows = None if rows is None else check_count(rows, "rows", 1, None, "the model has at least one row per call")
    size = export.symbolic_shape("rows")[0] if rows is None else rows
    graph = Graph(features, size)
    traced = row_function(function, features) if isinstance(function, OutOfSampleMap) else lambda x: function(x)
    outputs = translate(graph, _trace(traced, (size, features), rows), graph.input)
    if len(outputs) != 1:
        raise ValueError(f"The function returns {len(outputs)} arrays, but an exported function must return one.")
    output = _as_tensor(graph, outputs[0])
    graph.nodes.append(onnx.helper.make_node("Identity", [output.name], ["y"], name="y"))
    described = onnx.helper.make_graph(
        graph.nodes, "jaxlle", [_describe(graph.input)], [_describe(output._replace(name="y"))], graph.constants
    )
    model = onnx.helper.make_model(
        described, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="jaxlle"
    )
    if model.ByteSize() > _LARGEST:
        raise ValueError(
            f"The model has {model.ByteSize()} bytes, more than the 2 GiB that an ONNX file can hold: export a map of fewer "
            f"points, for example of landmarks, or use export_map."
        )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _trace(function: Callable[[Array], Array], shape: tuple[Any, int], rows: int | None) -> Any:
    """Return the jaxpr of a function of points."""
    given = jax.ShapeDtypeStruct(shape, jnp.float32)
    try:
        return jax.make_jaxpr(function)(given)
    except Exception as error:  # the exception of JAX for inconclusive dimension comparisons is not public
        from flax.errors import TraceContextError  # here, because the import takes a second

        if isinstance(error, TraceContextError):
            raise ValueError(
                f"The function changes its state, as a model in training mode does: call model.eval() first. ({error})"
            ) from error
        if rows is not None or "dimension" not in str(error).lower():
            raise
        raise ValueError(
            f"The function cannot be exported for an arbitrary number of rows: call model.eval() if it is a model, pass the "
            f"OutOfSampleMap itself if it is a map, or pass rows=, the number of rows per call. "
            f"({error})"
        ) from error


def _as_tensor(graph: Graph, value: Any) -> Tensor:
    """Return an output as a tensor, also if it does not depend on the input."""
    return value if isinstance(value, Tensor) else Tensor(graph.name(value), value.shape, value.dtype)


def _describe(tensor: Tensor) -> Any:
    """Return the name, dtype and shape of an input or output; a symbolic dimension is any number."""
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(tensor.dtype)
    return onnx.helper.make_tensor_value_info(
        tensor.name, kind, [size if isinstance(size, int) else str(size) for size in tensor.shape]
    )
