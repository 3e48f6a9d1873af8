"""Kernel mapping: a smooth regression from data to their embedding, for the embedding of new points."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.arrays import check_number
from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import check_count, check_key, without_derivative
from .._core.ladder import call_padded
from .._core.linear import matmul
from .._core.points import Points, as_points, as_rows, prepare_points
from .._core.spectral import least_squares
from ..neighbors import Neighbors, knn
from ..neighbors.graph import require_distances
from ._rows import exact_at_rows


class KernelMap(NamedTuple):
    """A map ``y(x) = sum_l a_l k_l(x) / sum_l k_l(x)`` with Gaussian kernels ``k_l`` at landmarks.

    Attributes:
        landmarks: centered and scaled coordinates of the landmarks, shape (m, d).
        widths: widths of the kernels, in the units of the coordinates, shape (m,).
        coefficients: the coefficients a, shape (m, c).
        points: the training points, which also define the centering and scaling.
        embedding: embedding of the training points, shape (n, c).
    """

    landmarks: Float[Array, "m d"]
    widths: Float[Array, " m"]
    coefficients: Float[Array, "m c"]
    points: Points
    embedding: Float[Array, "n c"]

    def transform(self, x_new: Any) -> Float[Array, "q c"]:
        """Embed new points of shape (q, d); rows of the training data are mapped to their own embedding.

        The derivative is that of the formula, also at rows of the training data.

        Raises:
            ValueError: if points are not finite numbers or have another number of features than the training points.
        """
        x_new = as_rows(x_new, "x_new")
        if x_new.shape[1] != self.landmarks.shape[1]:
            raise ValueError(
                f"x_new has {x_new.shape[1]} features, but the map was fitted to {self.landmarks.shape[1]}."
            )
        nearest = knn(self.points, 1, query=without_derivative(x_new))
        parameters = self.landmarks, self.widths, self.coefficients, self.embedding
        return call_padded(lambda rows, *fixed: _place(*rows, *fixed), (self.points.apply(x_new), nearest), *parameters)


def kernel_map(
    x: Any,
    y: Any,
    *,
    width: float | int = 1.0,
    k: int = 10,
    num_landmarks: int | None = None,
    key: Array | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> KernelMap:
    """Fit a kernel regression from data to their embedding, which maps new points smoothly.

    ``y(x) = sum_l a_l k_l(x) / sum_l k_l(x)`` with ``k_l(x) = exp(-|x - x_l|^2 / (2 r_l^2))``. The width r_l is the distance from
    landmark l to its k-th neighbor times `width`, and a is the least-squares solution (kernel mapping, Gisbrecht, Lueks, Mokbel
    and Hammer 2012, ESANN). The embedding can come from any method. If all points are landmarks, the map interpolates them.
    The formula was compared with the code of the authors, the Kernel Mapping Toolbox (Gisbrecht and Schulz 2015): it normalizes
    the kernels in the same way, computes a width per landmark from its k-th neighbor, and a by a pseudo-inverse. Its default
    k is 2, and its parameter `sig`, for squared distances, is ``2 width^2``.

    Args:
        x: the embedded data, shape (n, d), or a `Points` value.
        y: the embedding of the data, shape (n, c).
        width: width of the kernels, relative to the distance to the k-th neighbor.
        k: number of the neighbor whose distance determines the width.
        num_landmarks: number of landmarks m, chosen at random; the time grows as n m^2. None means all points, at most 1,000.
        key: random key for the choice of landmarks; None means key(0).
        block_bytes: memory limit of one block, in bytes.

    Returns:
        KernelMap.

    Raises:
        ValueError: for invalid points, if x and y have different numbers of rows, or k, width or num_landmarks is out of range.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 2))
        >>> bool(jnp.abs(jaxlle.extension.kernel_map(x, x**2).transform(x + 0.01) - (x + 0.01) ** 2).mean() < 0.05)
        True
    """
    points, y = prepare_points(x), as_points(y, "y")
    n = points.shape[0]
    if y.shape[0] != n:
        raise ValueError(f"y has {y.shape[0]} rows and x has {n}: y must be the embedding of x, row by row.")
    check_number(width, "width", "positive, relative to the distance to the k-th neighbor", lambda value: value > 0)
    k = check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points excluding the point itself")
    size = min(n, 1000) if num_landmarks is None else num_landmarks
    size = check_count(size, "num_landmarks", 1, n, f"at most the number of points, {n}")
    chosen = jnp.sort(jax.random.permutation(check_key(key), n)[:size])
    radii = require_distances(knn(points, k, block_bytes=block_bytes))[chosen, -1]
    widths = width * jnp.where(radii > 0, radii, 1)
    landmarks, y = points.coordinates[chosen], jnp.asarray(y, points.dtype)
    coefficients = least_squares(_normalized_kernels(points.coordinates, landmarks, widths), y)
    return KernelMap(landmarks, widths, coefficients, points, y)


@jax.jit
def _place(
    query: Float[Array, "q d"],
    nearest: Neighbors,
    landmarks: Array,
    widths: Array,
    coefficients: Array,
    embedding: Array,
) -> Float[Array, "q c"]:
    mapped = matmul(_normalized_kernels(query, landmarks, widths), coefficients)
    same = require_distances(nearest)[:, 0] == 0
    return exact_at_rows(same, embedding[nearest.indices[:, 0]].astype(mapped.dtype), mapped)


@jax.jit
def _normalized_kernels(
    query: Float[Array, "q d"], landmarks: Float[Array, "m d"], widths: Float[Array, " m"]
) -> Array:
    def row(point: Array) -> Array:
        # Softmax subtracts the largest exponent: far from all landmarks the nearest one determines the result.
        return jax.nn.softmax(-jnp.sum(((landmarks - point) / widths[:, None]) ** 2, axis=1) / 2)

    return map_rows(row, query, BLOCK_BYTES, 2 * landmarks.size * landmarks.dtype.itemsize)
