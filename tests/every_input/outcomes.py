"""What a call did: its answer, independent of what is arbitrary in it, or its error and where it was raised."""

import dataclasses
import linecache
import traceback
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxlle

LIBRARY = str(Path(jaxlle.__file__).parent)
_IGNORED = ("residuals", "gap", "error", "solver", "growth", "angle", "settings", "metric", "misfit", "rounding_angle")


def outcome(function, arguments):
    """Return ("answer", value), or ("error", text) for an error of jaxlle's own, or ("foreign", text) for any other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", jaxlle.JaxlleWarning)
            return "answer", canonical(function(**arguments))
    except Exception as error:
        return ("error" if is_own(error) else "foreign"), f"{type(error).__name__}: {error}"
    finally:
        plt.close("all")


def is_own(error):
    """Return whether an error was raised by a `raise` statement of jaxlle, as a ValueError or a TypeError."""
    if not isinstance(error, ValueError | TypeError):
        return False
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return frame.filename.startswith(LIBRARY) and linecache.getline(frame.filename, frame.lineno).lstrip().startswith(
        "raise"
    )


def canonical(value):
    """Return the arrays of a result, in forms that rotations, signs and the choice of a center do not change."""
    if isinstance(value, jaxlle.Embedding):
        y = np.asarray(value.points, np.float64)
        return [y @ y.T, np.asarray(value.singular_values), np.asarray(value.num_components)]
    if isinstance(value, jaxlle.Alignment):
        blocks = np.asarray(value.blocks, np.float64)
        return [np.asarray(value.indices), np.einsum("nra,nrb->nab", blocks, blocks)]
    if isinstance(value, jaxlle.datasets.Manifold | jaxlle.datasets.Data):
        return []  # random numbers, which differ between precisions
    if isinstance(value, jaxlle.neighbors.Points):
        x = np.asarray(value.coordinates, np.float64) * float(value.unit)
        return [x - x.mean(axis=0)]
    if isinstance(value, jaxlle.variants.LinearMap):
        a = np.asarray(value.matrix, np.float64) / float(value.unit)
        size = float(np.abs(a).max()) or 1.0  # products of numbers near 1e300 overflow
        a = a / size if np.isfinite(size) else a
        return [a @ a.T if np.isfinite(size) else a, np.asarray(size), np.asarray(value.values)]
    if isinstance(value, jaxlle.variants.WeightPosterior):
        factor = np.asarray(value.factor, np.float64)
        return [np.asarray(value.mean), factor @ np.swapaxes(factor, 1, 2)]
    if isinstance(value, jaxlle.extension.KernelMap):
        return [np.asarray(value.transform(value.points.values[:5]))]
    if dataclasses.is_dataclass(value):
        return [
            a for f in dataclasses.fields(value) if f.name not in _IGNORED for a in canonical(getattr(value, f.name))
        ]
    if hasattr(value, "_fields"):
        return [a for name in value._fields if name not in _IGNORED for a in canonical(getattr(value, name))]
    if isinstance(value, list | tuple):
        return [a for item in value for a in canonical(item)]
    if isinstance(value, np.ndarray | np.number | jax.Array | bool | int | float):
        return [np.asarray(value.astype(jnp.float32) if getattr(value, "dtype", None) == jnp.bfloat16 else value)]
    return []


def equal(found, wanted, tolerance):
    """Return whether two answers agree: integers exactly, other numbers up to a tolerance relative to the largest."""
    if len(found) != len(wanted):
        return False
    return all(_equal(np.asarray(a), np.asarray(b), tolerance) for a, b in zip(found, wanted, strict=True))


def _equal(a, b, tolerance):
    if a.shape != b.shape:
        return False
    if b.dtype.kind not in "fc":
        return bool((a == b).all())
    a, b = a.astype(np.float64), b.astype(np.float64)
    regular = np.isfinite(b)
    if not (np.isfinite(a) == regular).all():
        return False
    size = np.abs(b[regular]).max(initial=0)
    return bool((np.abs(a[regular] - b[regular]) <= tolerance * size).all())


def finite(answer, infinite=False):
    """Return whether no number of an answer is NaN or, unless it may be, infinite."""
    allowed = np.isnan if infinite else lambda a: ~np.isfinite(a)
    return not any(allowed(a).any() for a in answer if np.asarray(a).dtype.kind == "f")
