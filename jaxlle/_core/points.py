"""Input validation: points are checked, cast, centered and scaled once and then passed between stages as a `Points` value.

The values of traced arrays cannot be checked inside jit: there the same functions only check the shape and the dtype, and
invalid values are reported by fields of the result, such as `Embedding.converged`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .. import distances
from ..distances import PRECOMPUTED, Metric, power_of_two
from ..warnings import PrecisionWarning
from . import centering, integers, mapped
from .arrays import move_floats
from .checks import all_finite, is_traced, to_host_if_cheap, warn_user, x64_is_on
from .ladder import call_padded
from .missing import read_host

_TRANSLATION_INVARIANT = (distances.euclidean, distances.manhattan, distances.chebyshev)


@partial(jax.tree_util.register_dataclass, data_fields=("values", "scaled", "center", "unit"), meta_fields=("metric",))
@dataclass(frozen=True, eq=False)
class Points:
    """Validated points, centered and scaled into [-2, 2]: ``coordinates = (values - center) / unit``.

    Every stage accepts a `Points` value in place of an array, so that the validation is done once. The unit is a power of two,
    so that scaling is exact: differences and distances of the coordinates are those of the values divided by the unit, at any
    offset and any scale of the data.

    Attributes:
        values: the points as given, in floating point, shape (n, d); with the precomputed metric, distances of shape (n, n).
            Integers that are too large for the dtype of the computation, and under jit all integers of 32 and 64 bits that could
            be, are kept as integers. They are centered in integer arithmetic, so that the coordinates are exact; metrics and
            kernels that are functions receive the values and therefore round them.
        scaled: the coordinates on the device, in the dtype of the computation, shape (n, d); None with the precomputed metric,
            and for a memory map. Read them as `coordinates`, which raises, or computes them from the map at each access.
        center: the center that was subtracted, shape (d,), in the units of the values, in floating point.
        unit: the power of two by which the differences were divided, a scalar.
        metric: the metric of the neighborhoods.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> points = jaxlle.neighbors.prepare_points(jnp.array([[100.0], [101.0], [103.0]]))
        >>> points.coordinates[:, 0] * points.unit + points.center
        Array([100., 101., 103.], dtype=float32)
    """

    values: Any
    scaled: Any
    center: Any
    unit: Any
    metric: Metric = distances.euclidean

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of the values, (n, d)."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """Return the dtype of the computation."""
        return working_dtype(self.values) if self.scaled is None else np.dtype(self.scaled.dtype)

    @property
    def coordinates(self) -> Float[Array, "n d"]:
        """Return the centered and scaled points, on the device; raise with the precomputed metric, which has none."""
        if self.metric == PRECOMPUTED:
            raise ValueError(
                "Coordinates are needed here, but these points are precomputed distances: pass the points themselves."
            )
        if self.scaled is None:
            return rescale(self.values, self.center, self.unit, self.dtype)
        return self.scaled

    def is_streamed(self, block_bytes: int, query: Any = None) -> bool:
        """Return whether the points, or queries, are a memory map that is read in parts, because it is not small."""
        if self.metric == PRECOMPUTED or is_traced(self, query):
            return False
        files = (self.values if self.scaled is None else None, query)
        return any(mapped.is_in_parts(x, self.dtype.itemsize, block_bytes) for x in files)

    def part_rows(self, num: int, around: int, least: int, block_bytes: int, what: str) -> int:
        """Return how many of `num` mapped rows a part has in which each needs `around` rows: see `mapped.rows_per_part`."""
        row_bytes = self.values.shape[1] * self.dtype.itemsize
        return mapped.rows_per_part(num * row_bytes, around * row_bytes, least, block_bytes, what)

    def reader(self, query: Any = None) -> Callable[[slice], Float[Array, "m d"]]:
        """Return a function that returns the coordinates of consecutive rows of the points, or of validated queries."""
        x = self.values if query is None else query
        if mapped.memory_map(x) is not None:
            return lambda rows: self.apply(x[rows])
        coordinates = jax.device_get(self.coordinates if query is None else self.apply(query))
        return lambda rows: jax.device_put(coordinates[rows])

    def read_scattered(self, ids: np.ndarray, size: int) -> Float[Array, "size d"]:
        """Return the coordinates of rows of streamed points with ascending numbers, followed by zeros up to `size` rows."""
        out = mapped.aligned_empty((size, self.values.shape[1]), self.dtype)
        out[len(ids) :] = 0
        for block, rows in mapped.scattered_rows(self.values, ids):
            out[block] = centering.shift(rows, self.center, self.unit, self.dtype)
        return jax.device_put(out)

    def apply(self, x: Any) -> Float[Array, "q d"]:
        """Center and scale other validated points, such as queries; rows equal to rows of the values stay equal, bit for bit."""
        if (self.values if self.is_streamed(0) else self.coordinates).shape[1] != self.values.shape[1]:
            raise ValueError(
                "These points were prepared with drop_constant=True and accept no queries: prepare them without it."
            )
        scaled = rescale(x, self.center, self.unit, self.dtype)
        if not is_traced(scaled) and not all_finite(scaled):
            raise ValueError(
                f"Some queries are so far from the points, whose extent is about {float(self.unit):.3g}, that their coordinates "
                f"overflow {self.dtype}: check their units, or enable x64."
            )
        return scaled


def prepare_points(x: Any, *, metric: Metric = "euclidean", name: str = "x", drop_constant: bool = False) -> Points:
    """Validate, center and scale points once, for use by all stages.

    The coordinates are ``(x - c) / u``, where c is the mean of the points, rounded to a few significant bits, and u is the
    largest power of two that does not exceed the largest entry of ``|x - c|``. For integers that are too large for the dtype of
    the computation, such as Unix seconds in float32, c is an integer near the middle of each column, and x - c is computed in
    integers before the cast.

    Args:
        x: array-like of shape (n, d), distances of shape (n, n) with metric="precomputed", or a `Points` value, which is
            returned unchanged.
        metric: "euclidean", "cosine", "manhattan", "chebyshev", "precomputed", or a JAX function of two vectors.
        name: name of x in messages.
        drop_constant: whether to omit columns of a NumPy array that are equal in all rows, which are common in images, from
            the coordinates. They do not contribute to differences of the points. Such points accept no queries. Columns of a
            memory map are kept.

    Returns:
        Points.

    Raises:
        ValueError: if x is not a two-dimensional array of finite numbers, or has masked or missing entries, if precomputed
            distances are not a square matrix, if the metric is unknown, or if x is a `Points` value of another metric.
        TypeError: if x is a sparse matrix.

    Warns:
        PrecisionWarning: if x is a float64 NumPy array and JAX computes in float32.

    Example:
        >>> import jax, jaxlle
        >>> points = jaxlle.neighbors.prepare_points(jax.random.normal(jax.random.key(0), (100, 3)))
        >>> neighbors = jaxlle.knn(points, 8)
        >>> jaxlle.barycentric_weights(points, neighbors).shape
        (100, 8)
    """
    resolved = distances.resolve(metric)
    if isinstance(x, Points):
        if resolved not in (distances.euclidean, x.metric):
            raise ValueError(
                f"metric = {metric!r} is not the metric {x.metric!r} of the given Points value: pass it to prepare_points."
            )
        return x
    values = as_points(x, name) if resolved == PRECOMPUTED else as_rows(x, name)
    if resolved == PRECOMPUTED:
        if values.shape[0] != values.shape[1]:
            raise ValueError(f"Precomputed distances should be a square matrix, got shape {values.shape}.")
        return Points(values, None, 0.0, 1.0, resolved)
    if mapped.memory_map(values) is not None and not is_traced():
        center, unit = centering.center_and_unit(values)
        return Points(values, None, center, unit if np.isfinite(unit) else 1.0, resolved)
    drop_constant = drop_constant and resolved in _TRANSLATION_INVARIANT
    coordinates, center, unit = standardize(centering.without_constant_columns(values) if drop_constant else values)
    return Points(values, coordinates, center, unit, resolved)


def standardize(values: Any) -> tuple[Array, Any, Any]:
    """Center and scale validated points; return the coordinates, the center and the unit."""
    if integers.is_integer(values):
        return _standardize_integers(values)
    return _standardize_host(values) if isinstance(values, np.ndarray) else _standardize_device(values)


def check_spread(points: Points) -> None:
    """Raise if all points are equal, outside jit."""
    rows = points.values if points.scaled is None else points.scaled
    if is_traced(rows) or rows.shape[0] < 2:
        return
    rows = to_host_if_cheap(rows)
    if bool((rows[0] != rows[-1]).any() if isinstance(rows, np.ndarray) else _ends_differ(rows)):
        return
    blocks = (block for _, block in mapped.row_blocks(rows)) if isinstance(rows, np.ndarray) else [rows]
    if all(bool((block == rows[:1]).all()) for block in blocks):
        raise ValueError(
            f"All {rows.shape[0]} points of x are equal (degenerate data), so that no embedding exists: check how x was loaded."
        )


@jax.jit
def _ends_differ(rows: Any) -> Array:
    return (rows[0] != rows[-1]).any()


def working_dtype(x: Any) -> np.dtype:
    """Return the dtype of computations on x: float64 if x is float64 or not floating and x64 is enabled, else float32."""
    wide = jnp.dtype(x.dtype) == np.float64 or not jnp.issubdtype(x.dtype, jnp.floating)
    return np.dtype(np.float64 if wide and x64_is_on() else np.float32)


def as_points(x: Any, name: str = "x") -> Any:
    """Validate x as a finite two-dimensional array of numbers.

    Args:
        x: array-like of shape (n, d): a JAX or NumPy array, a list of lists, a pandas or polars frame.
        name: name of x in messages.

    Returns:
        A JAX array if x is one, else a NumPy array, of shape (n, d). Integers and booleans are cast to the default float on the
        device, and to float64 on the host (float32 if JAX computes in float32 and the cast is exact); lower precisions are cast
        to float32.

    Raises:
        ValueError: if x is complex, not numeric, not two-dimensional, empty, or contains NaN, infinity, masked entries (NumPy) or
            missing values (pandas).
        TypeError: if x is a sparse matrix.
    """
    return _validate(x, name)


def as_values(y: Any, name: str = "y") -> Float[Array, "n c"]:
    """Validate values that are combined by weights, such as an embedding, and return them on the device.

    They are validated and cast as by `as_points`, so that combinations of integers and booleans are not rounded. There is no
    `PrecisionWarning`, because the points from which the weights are computed determine the precision.
    """
    return move_floats(_validate(y, name, warn=False), name)


def as_rows(x: Any, name: str = "x") -> Any:
    """Validate points as `as_points`, but keep integers that are too large for the dtype of the computation as integers."""
    return _validate(x, name, keep=True)


def _validate(x: Any, name: str, warn: bool = True, keep: bool = False) -> Any:
    if is_traced(x):
        x = _two_dimensional(x, name)
        return x if keep and integers.exceeds(x, working_dtype(x)) else _cast_device(x)
    if hasattr(x, "tocsr"):
        raise TypeError(
            f"Sparse data was passed as {name}, but the points must be dense here (lle, knn and barycentric_weights accept "
            f"sparse points): use {name}.toarray(), or reduce the columns by TruncatedSVD of scikit-learn first."
        )
    on_device = isinstance(x, jax.Array)
    x = x if on_device else read_host(x, name)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError(f"Complex data not supported: {name} has dtype {x.dtype}; pass its real and imaginary parts.")
    x = _two_dimensional(x, name)
    if x.shape[0] == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={x.shape}) in {name} while a minimum of 1 is required.")
    if x.shape[1] == 0:
        raise ValueError(f"Found array with 0 feature(s) (shape={x.shape}) in {name} while a minimum of 1 is required.")
    if keep and integers.exceeds(x, working_dtype(x) if on_device else np.dtype(np.float64)):
        return x if on_device else x.astype(x.dtype.newbyteorder("="))
    x = _cast_device(x) if on_device else _cast_host(x, name, warn)
    if not all_finite(x):
        raise ValueError(f"Input {name} contains NaN or infinity: remove or impute those rows first.")
    return x


def _two_dimensional(x: Any, name: str) -> Any:
    if x.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {x.ndim}D array instead: {name} has shape {tuple(x.shape)}. Reshape your data "
            f"to (points, features); a single point is {name}.reshape(1, -1), a single feature {name}.reshape(-1, 1)."
        )
    return x


def _cast_device(x: Any) -> Any:
    keep = jnp.dtype(x.dtype) in (np.float32, np.float64)
    return x if keep else x.astype(working_dtype(x) if not jnp.issubdtype(x.dtype, jnp.floating) else np.float32)


def _cast_host(x: np.ndarray, name: str, warn: bool) -> np.ndarray:
    if x.dtype == np.float64 or x.dtype == np.float32:
        if warn and x.dtype == np.float64 and not x64_is_on():
            warn_user(
                f"{name} is float64, but JAX is configured to compute in float32: call "
                f'jax.config.update("jax_enable_x64", True) to compute in float64, or pass float32 to avoid this warning.',
                PrecisionWarning,
            )
        return x
    if x.dtype.kind in "biu" and not x64_is_on() and -(2**24) <= x.min() <= x.max() <= 2**24:
        # The cast is exact. Float64 would make a later stage warn about a dtype that the user did not pass.
        return x.astype(np.float32)
    if x.dtype.kind in "biu" or x.dtype == object:
        try:
            return x.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} contains objects that are not numbers ({error}): convert them first.") from None
    if jnp.issubdtype(x.dtype, jnp.floating):  # float16, bfloat16, float8, longdouble
        return x.astype(np.float32 if x.dtype.itemsize < 4 else np.float64)
    raise ValueError(f"{name} has dtype {x.dtype}, which is not numeric: convert strings and dates to numbers first.")


def rescale(x: Any, center: Any, unit: Any, dtype: Any) -> Float[Array, "q d"]:
    """Return ``(x - center) / unit`` in a dtype; a NumPy array is shifted in float64 unless the dtype holds the center."""
    if integers.is_integer(x):
        return _rescale_integers(x, center, unit, dtype)
    if isinstance(x, np.ndarray) and not is_traced(center, unit):
        return jax.device_put(centering.shift(x, np.asarray(center, np.float64), float(unit), np.dtype(dtype)))
    return call_padded(partial(_shift_device, dtype=np.dtype(dtype)), jnp.asarray(x), center, unit)


@partial(jax.jit, static_argnames=("dtype",))
def _shift_device(x: Array, center: Any, unit: Any, dtype: np.dtype) -> Float[Array, "q d"]:
    return ((x - center) / unit).astype(dtype)


def _rescale_integers(x: Any, center: Any, unit: Any, dtype: Any) -> Float[Array, "q d"]:
    if is_traced(x, center, unit):
        x, center = jnp.asarray(x), jnp.asarray(center, dtype)
        return integers.subtract(x, center, dtype) / jnp.asarray(unit, dtype)
    shifted = integers.subtract(np.asarray(x), np.asarray(center, np.float64), np.dtype(np.float64)) / float(unit)
    return jax.device_put(shifted.astype(dtype))


def _standardize_integers(x: Any) -> tuple[Array, Any, Any]:
    """Center integers without rounding, and cast and scale the differences."""
    dtype = working_dtype(x)
    if isinstance(x, np.ndarray):
        center = integers.center_of(x, np.dtype(np.float64)).astype(np.float64)
        unit = centering.power_of_two(float(np.abs(integers.subtract(x, center, np.dtype(np.float64))).max()))
        return _rescale_integers(x, center, unit, dtype), center, unit
    center = integers.center_of(x, dtype).astype(dtype)
    shifted = integers.subtract(x, center, dtype)
    unit = _unit_of(jnp.max(jnp.abs(shifted)))
    return shifted / unit, center, unit


def _standardize_host(x: np.ndarray) -> tuple[Array, np.ndarray, float]:
    """Center and scale in float64, whatever the dtype of x, and cast the result to the dtype of the computation."""
    center, unit = centering.center_and_unit(x)
    points = centering.shift(x, center, unit, working_dtype(x))
    return jax.device_put(points), center, unit if np.isfinite(unit) else 1.0


@jax.jit
def _standardize_device(x: Float[Array, "n d"]) -> tuple[Array, Array, Array]:
    """Center and scale in the dtype of x, in which subtracting a nearby center is exact."""
    # The extremes of the columns give the largest deviation from a center without another pass over the points.
    fixed = lax.stop_gradient(x)
    low, high = jnp.min(fixed, axis=0), jnp.max(fixed, axis=0)
    coarse = _unit_of(jnp.maximum(jnp.max(jnp.abs(low)), jnp.max(jnp.abs(high))))
    center = jnp.mean(fixed / coarse, axis=0)

    def largest_deviation(center: Array) -> Array:
        return jnp.max(jnp.maximum(high / coarse - center, center - low / coarse))

    grid = _unit_of(largest_deviation(center)) / 8
    center = jnp.round(center / grid) * grid  # see centering.round_center
    fine = _unit_of(largest_deviation(center))
    equal = jnp.all(low == high)  # as on the host: the differences are only rounding errors then
    points = (x / coarse - center) / jnp.where(equal, jnp.inf, fine)
    return points, center * coarse, jnp.where(equal, 1, fine * coarse)


def _unit_of(m: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(m > 0, power_of_two(m), 1)
