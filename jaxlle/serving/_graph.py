"""A graph of ONNX operators that is being built, and the values on its edges."""

from typing import Any, NamedTuple

import numpy as np

OPSET = 18
IR_VERSION = 8  # the format that belongs to this opset: ONNX Runtime 1.14 and later read it
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "int8", "uint32", "uint64", "bool")


class Tensor(NamedTuple):
    """A value that is computed when the model runs."""

    name: str
    shape: tuple[Any, ...]  # integers, and multiples of the symbolic number of rows
    dtype: np.dtype


class Graph:
    """Nodes and constants of a model with one input, whose first dimension may be symbolic."""

    def __init__(self, features: int, rows: Any):
        """Start with the input; rows is an integer or a symbolic dimension."""
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.rows = rows
        self.input = Tensor("x", (rows, features), np.dtype(np.float32))
        self._shared: dict[tuple, str] = {}  # names of small constants and of other values that occur often

    def add(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; return the name of its output, or a list of names."""
        import onnx

        number = len(self.nodes)
        names = [f"{operator}_{number}"] if outputs == 1 else [f"{operator}_{number}_{i}" for i in range(outputs)]
        given = [self.name(value) for value in inputs]
        self.nodes.append(onnx.helper.make_node(operator, given, names, name=f"{operator}_{number}", **attributes))
        return names[0] if outputs == 1 else names

    def name(self, value: Any) -> str:
        """Return the name of a value; a known one becomes a constant of the model."""
        if isinstance(value, str):
            return value
        if isinstance(value, Tensor):
            return value.name
        import onnx

        array = np.asarray(value)
        check_dtype(array.dtype)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 64 else (id(value),)
        if key not in self._shared:
            self._shared[key] = name = f"constant_{len(self.constants)}"
            self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return self._shared[key]

    def integers(self, *values: int | np.integer) -> np.ndarray:
        """Return integers as an argument of an operator."""
        return np.asarray(values, np.int64)

    def count(self, size: Any) -> Any:
        """Return a dimension as an array of one integer: known, or computed from the number of rows."""
        if isinstance(size, int | np.integer):
            return self.integers(int(size))
        factor, rest = divmod(size, self.rows)
        if rest != 0 or not isinstance(factor, int):
            raise ValueError(
                f"The function cannot be exported to ONNX for any number of rows: an array has a dimension of size {size}, which "
                f"is no multiple of the number of rows. Pass rows=, the number of rows per call."
            )
        key = ("rows", factor)
        if key not in self._shared:
            one = self.add("Shape", self.input, start=0, end=1)
            self._shared[key] = one if factor == 1 else self.add("Mul", one, self.integers(factor))
        return self._shared[key]

    def shape(self, sizes: Any) -> Any:
        """Return a shape as an array of integers."""
        if all(isinstance(size, int | np.integer) for size in sizes):
            return self.integers(*sizes)
        return self.add("Concat", *[self.count(size) for size in sizes], axis=0)

    def reshape(self, value: Any, sizes: Any) -> Any:
        """Return a value in another shape."""
        symbolic = [not isinstance(size, int | np.integer) for size in sizes]
        if sum(symbolic) == 1 and 0 not in [
            size for size, is_symbolic in zip(sizes, symbolic, strict=True) if not is_symbolic
        ]:
            target = self.integers(*[-1 if s else int(size) for size, s in zip(sizes, symbolic, strict=True)])
        else:
            target = self.shape(sizes)
        if not isinstance(value, str | Tensor) and not any(symbolic):
            return np.asarray(value).reshape(tuple(sizes))
        return self.add("Reshape", value, target)

    def transpose(self, value: Any, order: Any) -> Any:
        """Return a value with its dimensions in another order."""
        order = [int(axis) for axis in order]
        if order == list(range(len(order))):
            return value
        if not isinstance(value, str | Tensor):
            return np.ascontiguousarray(np.transpose(np.asarray(value), order))
        return self.add("Transpose", value, perm=order)

    def cast(self, value: Any, dtype: Any) -> str:
        """Return a value in another dtype."""
        import onnx

        check_dtype(np.dtype(dtype))
        return self.add("Cast", value, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def check_dtype(dtype: Any) -> None:
    """Raise if a dtype does not occur in exported models."""
    if np.dtype(dtype).name not in DTYPES:
        raise ValueError(
            f"The function cannot be exported to ONNX: it computes in {np.dtype(dtype).name}, for which ONNX Runtime lacks "
            f"operators on a CPU. Use parameters and a dtype of float32, for example nnx.Linear(..., param_dtype=jnp.float32)."
        )
