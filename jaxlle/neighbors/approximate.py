"""Approximate neighbors for data that are too large for an exact search, with their measured recall."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int

from .. import distances
from .._core.blocks import on_cpu
from .._core.checks import check_count, check_key, is_traced, warn_user
from .._core.points import Points, prepare_points
from ..warnings import RecallWarning
from ._candidates import nearest_of_rows
from .approx_min_k import ApproxMinK
from .descent import NearestNeighborDescent, is_installed
from .exact import check_shapes, in_data_units
from .graph import Neighbors
from .inverted_file import InvertedFile

Method = Callable[[Points, int, Array], Neighbors]  # called with the points, k and a random key
_LOW_RECALL = 0.9


class ApproximateNeighbors(NamedTuple):
    """An approximate neighbor graph and its recall.

    Attributes:
        neighbors: neighbors as returned by `knn`, in which some of the exact neighbors may be missing.
        recall: share of the exact neighbors that were found, measured on a sample of the points.
    """

    neighbors: Neighbors
    recall: float


def approximate_knn(
    x: Any, k: int, *, method: Method | None = None, sample: int = 1000, key: Array | None = None
) -> ApproximateNeighbors:
    """Find most of the k nearest neighbors of every point in the Euclidean metric.

    The recall ``|found & exact| / |exact|`` is measured on a sample of the points, whose exact neighbors are computed. Missing
    neighbors change the weights of a point: if the recall is below 0.99, compare with an exact search on a subset first. Not
    available inside jit.

    Args:
        x: points, shape (n, d), or a `Points` value.
        k: neighbors per point.
        method: `NearestNeighborDescent` (on the host), `InvertedFile` (any device), `ApproxMinK` (TPU), or a function of a
            `Points` value, k and a random key that returns `Neighbors` with distances between its coordinates. None means, with
            default options, `NearestNeighborDescent` on a CPU if pynndescent is installed, `ApproxMinK` on a TPU, and
            `InvertedFile` in all other cases. On a TPU, `InvertedFile` has the lower cost for many points.
        sample: number of points on which the recall is measured.
        key: random key of the method and the sample; None means key(0).

    Returns:
        ApproximateNeighbors, with distances in the units of the points.

    Raises:
        ModuleNotFoundError: if the method requires pynndescent, which is not installed: pip install 'jaxlle[approximate]'.
        TypeError: inside jit, or if the method is not an object that can be called.
        ValueError: as for `knn`, if an option of the method is out of range, or if x has another metric.

    Warns:
        RecallWarning: if the recall is below 0.9.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 500).points
        >>> jaxlle.neighbors.approximate_knn(x, 10, method=jaxlle.neighbors.InvertedFile(probes=8)).recall > 0.95
        True
    """
    if is_traced(x, key):
        raise TypeError("approximate_knn is not available inside jit, vmap or grad: use knn there, or call it before.")
    points = prepare_points(x)
    if points.metric is not distances.euclidean:
        raise ValueError(
            f"approximate_knn searches in the Euclidean metric, but x has the metric {points.metric!r}: use knn."
        )
    k = check_shapes(points, None, k)
    sample = min(points.shape[0], check_count(sample, "sample", 1, None, "points on which the recall is measured"))
    key = check_key(key)
    search = _default(points) if method is None else _check_method(method)
    found = search(points, k, key)
    recall = _recall(points, k, found.indices, sample, key)
    if recall < _LOW_RECALL:
        remedy = getattr(search, "remedy", "let the method search more")
        warn_user(
            f"Only {recall:.0%} of the exact neighbors were found by {search!r}, on a sample of {sample} points, and the weights "
            f"of a neighborhood depend on the missing ones: {remedy}, or use knn, which is exact.",
            RecallWarning,
        )
    return ApproximateNeighbors(in_data_units(found, points), recall)


def _default(points: Points) -> Method:
    devices = points.coordinates.devices()
    if all(device.platform == "tpu" for device in devices):
        return ApproxMinK()
    return NearestNeighborDescent() if on_cpu(points.coordinates) and is_installed() else InvertedFile()


def _check_method(method: Any) -> Any:
    if isinstance(method, type):
        raise TypeError(
            f"method is the class {method.__name__}, but must be an object of it: pass {method.__name__}()."
        )
    if not callable(method):
        raise TypeError(
            f"method = {method!r} is not known: use an object of jaxlle.neighbors, such as InvertedFile(probes=64)."
        )
    return method


def _recall(points: Points, k: int, indices: Int[Array, "n k"], sample: int, key: Array) -> float:
    rows = np.asarray(jax.random.choice(key, points.shape[0], (sample,), replace=False))
    exact, _ = nearest_of_rows(points, rows, k)
    return float((exact[:, :, None] == np.asarray(indices)[rows][:, None, :]).any(axis=2).mean())
