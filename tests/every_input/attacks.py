"""Changes of single arguments, and what a call with the changed argument has to do."""

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_array

import jaxlle

ENTERED = (jaxlle.Neighbors, jaxlle.Alignment, jaxlle.losses.Impostors)  # arguments whose arrays are changed
FIELDS = ("points", "singular_values")  # of an embedding
SORTABLE = ("complex numbers", "strings", "bytes", "dates", "objects", "records", "objects with a text")


class Tensor:
    """A tensor of PyTorch that NumPy cannot read, because it requires gradients or consists of bfloat16."""

    def __init__(self, values: Any, bfloat16: bool = False):
        self.values, self.shape, self.ndim = values, np.shape(values), np.ndim(values)
        self.dtype = "torch.bfloat16" if bfloat16 else "torch.float32"

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")

    def __len__(self) -> int:
        return self.shape[0]

    def __float__(self) -> float:
        return float(self.values)

    def __iter__(self) -> Iterator:
        return (Tensor(row) for row in self.values)

    def detach(self) -> "Tensor":
        """Return a tensor without gradients; it exists in PyTorch alone."""
        return self


class Attack(NamedTuple):
    """A changed argument.

    Attributes:
        path: name of the argument, and of fields in it.
        name: of the change.
        value: the changed value.
        plain: the same value as a plain NumPy array of float64 or as a number, with which the call has the right answer; None
            if the call has to raise.
        answers: whether the call has to have the answer, and may not raise.
        like: "float64" if the right answer is that of float64, "same" if it is that of the precision of the call, "finite" if
            any finite answer is right, "number" if any answer but NaN is.
    """

    path: tuple
    name: str
    value: Any
    plain: Any = None
    answers: bool = False
    like: str = "float64"


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Yield the paths and values of the arrays and numbers of an argument."""
    if isinstance(value, ENTERED):
        names = value._fields
        for name in names:
            yield from leaves(getattr(value, name), (*path, name))
    elif isinstance(value, jaxlle.Embedding):
        for name in FIELDS:
            yield (*path, name), getattr(value, name)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, (*path, i))
    elif isinstance(value, np.ndarray | float | int | str) or (
        isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    ):
        yield path, value


def leaves_of(arguments: dict) -> list:
    """Return the paths and values of all arrays and numbers of the arguments of a call."""
    return [pair for name, value in arguments.items() for pair in leaves(value, (name,))]


def replaced(value: Any, path: tuple, new: Any) -> Any:
    """Return an argument with the value at a path replaced."""
    if not path:
        return new
    first, *rest = path
    if isinstance(value, dict):
        return {**value, first: replaced(value[first], tuple(rest), new)}
    if isinstance(value, list):
        return [replaced(item, tuple(rest), new) if i == first else item for i, item in enumerate(value)]
    changed = {first: replaced(getattr(value, first), tuple(rest), new)}
    return dataclasses.replace(value, **changed) if dataclasses.is_dataclass(value) else value._replace(**changed)


def converted(value: Any, dtype: Any) -> Any:
    """Return arguments with their arrays of float64 in another precision."""
    if isinstance(value, dict):
        return {name: converted(item, dtype) for name, item in value.items()}
    for path, leaf in leaves(value):
        if isinstance(leaf, np.ndarray) and leaf.dtype == np.float64:
            value = replaced(value, path, leaf.astype(dtype))
    return value


def with_entry(a: np.ndarray, entry: Any) -> np.ndarray:
    """Return a copy of an array with another last entry."""
    a = a.copy()
    a.flat[-1] = entry
    return a


def invalid(path: tuple, a: Any, rows: bool, columns: bool) -> Iterator[Attack]:
    """Yield values for which no answer exists."""
    kinds = {"f": _invalid_floats, "i": _invalid_integers, "b": _invalid_masks}
    if isinstance(a, np.ndarray):
        changes = [*kinds[a.dtype.kind](path, a), *_invalid_arrays(a, rows, columns)]
        if path[-1] in ("labels", "color"):  # of any type that can be sorted
            changes = [change for change in changes if change[0] not in SORTABLE]
    elif isinstance(a, jax.Array):
        changes = [
            ("a string", "seed"),
            ("a float", 0.5),
            ("an array of floats", np.ones(2)),
            ("an integer", 0),
            ("a NumPy generator", np.random.default_rng(0)),
            ("two keys", jax.random.split(a)),
        ]
    elif isinstance(a, bool):
        changes = []
    elif isinstance(a, str):
        changes = [("an unknown name", "unknown"), ("a number", 3), ("an empty name", "")]
    else:
        changes = _invalid_counts(path, a) if isinstance(a, int) else _invalid_numbers(path, a)
    for name, value in changes:
        yield Attack(path, name, value)


def _invalid_floats(path: tuple, a: np.ndarray) -> list:
    missing, text = a.astype(object), a.astype(str).astype(object)
    missing.flat[-1], text.flat[0] = None, "one"
    small = a.astype(np.float32)
    return [
        ("NaN", with_entry(a, np.nan)),
        ("infinity", with_entry(a, np.inf)),
        ("minus infinity", with_entry(a, -np.inf)),
        ("only NaN", np.full_like(a, np.nan)),
        ("NaN in float16", with_entry(a.astype(np.float16), np.nan)),
        ("NaN in a JAX array", jnp.asarray(with_entry(small, np.nan))),
        ("infinity in a JAX array", jnp.asarray(with_entry(small, np.inf))),
        ("a complex JAX array", jnp.asarray(small + 1j)),
        ("a JAX array of zero rows", jnp.asarray(small[:0])),
        ("a JAX array with one more axis", jnp.asarray(small[None])),
        ("objects with None", missing),
        ("objects with a text", text),
    ]


def _invalid_arrays(a: np.ndarray, rows: bool, columns: bool) -> Iterator[tuple[str, Any]]:
    yield from [
        ("zero rows", a[:0]),
        ("one number", a.flat[0]),
        ("a row", a[0]) if a.ndim > 1 else ("an empty list", []),
        ("one more axis", a[None]),
        ("two more axes", a[None, None]),
        ("complex numbers", a + 1j),
        ("strings", a.astype(str)),
        ("bytes", a.astype("S8")),
        ("a text", "abc"),
        ("dates", np.full(a.shape, np.datetime64("2026-11-29"))),
        ("objects", np.full(a.shape, datetime.date(2026, 11, 29), object)),
        ("records", np.zeros(a.shape, [("a", float), ("b", float)])),
        ("a dictionary", {"a": 1}),
        ("a function", len),
        ("masked entries", np.ma.array(a, mask=np.arange(a.size).reshape(a.shape) == a.size - 1)),
        ("a mask of all entries", np.ma.masked_all(a.shape, a.dtype)),
        ("a tensor that requires gradients", Tensor(a)),
        ("a tensor of bfloat16", Tensor(a, bfloat16=True)),
        ("a graph", jaxlle.Neighbors(np.zeros((2, 2), int), np.ones((2, 2)))),
    ]
    if a.ndim > 1:
        yield "zero columns", a[:, :0]
        yield "rows of two lengths", [row.tolist() for row in a[:-1]] + [a[-1].tolist()[:-1]]
    if a.ndim == 2:
        yield "a sparse matrix", csr_array(a)
    if not rows:
        yield "a row fewer", a[:-1]
    if not columns and a.ndim > 1:
        yield "a column fewer", a[:, :-1]


def _invalid_integers(path: tuple, a: np.ndarray) -> list:
    if path[-1] == "labels":
        return [("NaN", with_entry(a.astype(float), np.nan)), ("objects with None", with_entry(a.astype(object), None))]
    wide = a.astype(np.int64)
    common = [
        ("a fraction", a + 0.5),
        ("NaN", with_entry(a.astype(float), np.nan)),
        ("a negative number", with_entry(a, -1)),
        ("the smallest integer", with_entry(wide, -(2**63))),
        ("an index of 2^32 + 3", with_entry(wide, 2**32 + 3)),
        ("an index of 2^63 in uint64", with_entry(a.astype(np.uint64), 2**63)),
        ("booleans", a > 1),
    ]
    if path[-1] == "ks":
        return common
    return [
        *common,
        ("an index of n", with_entry(a, 24)),
        ("an index of n in a JAX array", jnp.asarray(with_entry(a, 24), jnp.int32)),
    ]


def _invalid_masks(path: tuple, a: np.ndarray) -> list:
    return [
        ("NaN", with_entry(a.astype(float), np.nan)),
        ("numbers", a + 0.5),
        ("integers other than 0 and 1", a.astype(int) + 3),
    ]


def _invalid_numbers(path: tuple, a: float) -> list:
    return [
        ("NaN", np.nan),
        ("infinity", np.inf),
        ("minus infinity", -np.inf),
        ("a negative number", -1.0),
        ("a negative NumPy number", np.float32(-1)),
        ("NaN in a JAX array", jnp.asarray(np.nan)),
        ("a text", "1.0"),
        ("a complex number", 1j),
        ("two numbers", np.array([a, a])),
        ("an empty array", np.zeros(0)),
        ("an object", object()),
        ("a masked number", np.ma.masked),
        ("a tensor of one number", Tensor(np.asarray(a))),
    ]


def _invalid_counts(path: tuple, a: int) -> list:
    return [
        ("a negative number", -1),
        ("a fraction", a + 0.5),
        ("a whole float", float(a)),
        ("NaN", np.nan),
        ("infinity", np.inf),
        ("a text", str(a) + "0"),
        ("a boolean", True),
        ("a complex number", 1j),
        ("two numbers", np.array([a, a])),
        ("an array of no axes", np.array(a + 0.5)),
        ("2^70", 2**70),
        ("a tensor of one number", Tensor(np.asarray(a))),
        *([] if path[-1] in ("row", "output", "shard", "seed") else [("zero", 0)]),
    ]


def valid(path: tuple, a: Any, origin: bool) -> Iterator[Attack]:
    """Yield values for which an answer exists: a call has to return it, or to raise where the value is unusual."""
    if isinstance(a, np.ndarray):
        for name, value in _copies(a):
            yield Attack(path, name, value, a, name != "an object array")
        if a.dtype.kind == "f":
            for name, value, plain, like in _other_numbers(a, origin):
                yield Attack(path, name, value, plain, False, like)
        elif a.dtype.kind == "i":
            for dtype in (np.int8, np.uint8, np.uint16, np.int64, np.uint64, object):
                yield Attack(path, f"dtype {np.dtype(dtype)}", a.astype(dtype), a, dtype is not object)
        else:
            yield Attack(path, "integers 0 and 1", a.astype(int), a)
    elif isinstance(a, float):
        kinds = (np.float64, np.float32, np.float16, np.asarray, jnp.asarray)
        for kind, name in zip(kinds, ("float64", "float32", "float16", "an array", "a JAX array"), strict=True):
            value = kind(a)
            yield Attack(path, name, value, float(value), name != "float16")
        for name, value in (("zero", 0.0), ("an integer", 2), ("a boolean", True), ("tiny", 1e-30), ("large", 1e30)):
            yield Attack(path, name, value, float(value), False, "number" if name in ("tiny", "large") else "float64")
    elif isinstance(a, int) and not isinstance(a, bool):
        yield Attack(path, "int32", np.int32(a), a, True)
        yield Attack(path, "uint8", np.uint8(min(a, 255)), min(a, 255))
        if path[-1] == "block_bytes":
            yield Attack(path, "one byte", 1, a, True)


def _copies(a: np.ndarray) -> list:
    """Return arrays that hold the same numbers in another way."""
    fixed, backward = a.copy(), a[::-1].copy()
    fixed.flags.writeable = False
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return [
        ("read-only", fixed),
        ("Fortran order", np.asfortranarray(a)),
        ("big-endian", a.astype(a.dtype.newbyteorder(">"))),
        ("backward in memory", backward[::-1]),
        ("every other column", wide[..., ::2]),
        ("masked array without masked entries", np.ma.array(a)),
        ("a list", a.tolist()),
        ("a JAX array", jnp.asarray(a.astype(np.float32) if a.dtype == np.float64 else a)),
        ("an object array", a.astype(object)),
        ("float64", a.astype(float) if a.dtype.kind == "f" else a),
    ]


def _other_numbers(a: np.ndarray, origin: bool) -> list:
    """Return arrays of other numbers and dtypes: name, value, the plain array, and with what to compare."""
    size = np.abs(a).max()
    whole = np.round(a / size * 100)
    small = whole.astype(np.int64)
    half = a.astype(np.float16)
    # The right answer for large integers is that of the integers without the offset; those of an origin are not tried.
    large = [
        ("integers near 2^30", small + 2**30, whole, "float64"),
        ("integers near 2^30 in JAX", jnp.asarray(small + 2**30, jnp.int32), whole, "float64"),
        ("integers near 2^60", small + 2**60, whole, "float64"),
        ("integers near -2^62", small - 2**62, whole, "float64"),
        ("uint64 near 2^63", (small + 2**62).astype(np.uint64) + np.uint64(2**62), whole, "float64"),
    ]
    return [
        ("float16", half, half.astype(float), "float64"),
        (
            "bfloat16 in JAX",
            jnp.asarray(half, jnp.bfloat16),
            np.asarray(jnp.asarray(half, jnp.bfloat16), np.float64),
            "float64",
        ),
        ("longdouble", a.astype(np.longdouble), a, "float64"),
        ("int64", small, whole, "float64"),
        ("int32 in JAX", jnp.asarray(small, jnp.int32), whole, "float64"),
        ("int8", small.astype(np.int8), whole, "float64"),
        ("big-endian int16", small.astype(">i2"), whole, "float64"),
        ("objects of integers", small.astype(object), whole, "float64"),
        *([] if origin else large),
        ("booleans", a > np.median(a), (a > np.median(a)).astype(float), "same"),
        ("booleans in JAX", jnp.asarray(a > np.median(a)), (a > np.median(a)).astype(float), "same"),
        ("numbers near 1e300", 1e300 * a / size, 1e300 * a / size, "number"),
        ("numbers near 1e-300", 1e-300 * a / size, 1e-300 * a / size, "number"),
        ("numbers near 1e37", (1e37 * a / size).astype(np.float32), 1e37 * a / size, "number"),
        ("numbers near 1e-37", (1e-37 * a / size).astype(np.float32), 1e-37 * a / size, "number"),
        ("only zeros", np.zeros_like(a), np.zeros_like(a), "number"),
        ("equal numbers", np.full_like(a, 3.0), np.full_like(a, 3.0), "number"),
    ]
