"""Kernel mapping: a smooth regression from the data to their embedding, for new points."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import check_count
from .._core.linear import matmul
from .._core.points import Points, as_points, prepare_points
from ..neighbors import knn
from ..neighbors.graph import require_distances


class KernelMap(NamedTuple):
    """A map ``y(x) = sum_l a_l k_l(x) / sum_l k_l(x)`` with Gaussian kernels ``k_l`` at landmarks.

    Attributes:
        landmarks: coordinates of the landmarks, shape (m, d).
        widths: of their kernels, shape (m,).
        coefficients: a, shape (m, c).
        points: the training points, which also define the centering and scaling.
        embedding: of the training points, shape (n, c).
    """

    landmarks: Float[Array, "m d"]
    widths: Float[Array, " m"]
    coefficients: Float[Array, "m c"]
    points: Points
    embedding: Float[Array, "n c"]

    def transform(self, x_new: Any) -> Float[Array, "q c"]:
        """Map points, shape (q, d); a row of the training data gets its own place, others are differentiable in x_new.

        Raises:
            ValueError: for points that are not finite numbers, or of another number of features.
        """
        x_new = as_points(x_new, "x_new")
        if x_new.shape[1] != self.landmarks.shape[1]:
            raise ValueError(
                f"x_new has {x_new.shape[1]} features, but the map was made for {self.landmarks.shape[1]}."
            )
        query = self.points.apply(x_new)
        nearest = knn(self.points, 1, query=lax.stop_gradient(x_new))
        placed = matmul(_responses(query, self.landmarks, self.widths), self.coefficients)
        same = require_distances(nearest) == 0
        return jnp.where(same, self.embedding[nearest.indices[:, 0]], placed)


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
    """Fit a kernel regression from data to their embedding, by whichever method: a smooth map for new points.

    ``y(x) = sum_l a_l k_l(x) / sum_l k_l(x)``, ``k_l(x) = exp(-|x - x_l|^2 / (2 r_l^2))``, the widths r_l the distance from
    landmark l to its k-th neighbour times `width`, and a the least-squares solution (kernel mapping, Gisbrecht, Lueks, Mokbel and
    Hammer 2012, ESANN). With as many landmarks as points it passes through all of them. Checked against the authors' own code,
    the Kernel Mapping Toolbox (Gisbrecht and Schulz 2015): it normalises the kernels so, takes a width for each landmark from
    its k-th neighbour, and a pseudo-inverse for a. Its k is 2, and its `sig`, with squared distances, ``2 width^2``.

    Args:
        x: the data that were embedded, shape (n, d).
        y: their embedding, shape (n, c).
        width: of the kernels, in distances to the k-th neighbour.
        k: neighbour whose distance sets the width.
        num_landmarks: how many, chosen at random; time grows as n m^2. None: all points up to 1,000.
        key: chooses the landmarks; None: key(0).
        block_bytes: memory that one block may take.

    Returns:
        KernelMap.

    Raises:
        ValueError: for bad points, an embedding of another length, or k, width or num_landmarks out of range.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 2))
        >>> bool(jnp.abs(jaxlle.extension.kernel_map(x, x**2).transform(x + 0.01) - (x + 0.01) ** 2).mean() < 0.05)
        True
    """
    points, y = prepare_points(x), as_points(y, "y")
    n = points.shape[0]
    if y.shape[0] != n:
        raise ValueError(f"y has {y.shape[0]} rows and x has {n}: the embedding must be that of the data, row by row.")
    if not width > 0:
        raise ValueError(f"width = {width} is not allowed: it must be positive, in distances to the k-th neighbour.")
    k = check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points less itself")
    size = min(n, 1000) if num_landmarks is None else num_landmarks
    size = check_count(size, "num_landmarks", 1, n, f"at most the {n} points")
    key = jax.random.key(0) if key is None else key
    chosen = jnp.sort(jax.random.permutation(key, n)[:size])
    far = require_distances(knn(points, k, block_bytes=block_bytes))[chosen, -1]
    widths = width * jnp.where(far > 0, far, 1)
    landmarks, y = points.coordinates[chosen], jnp.asarray(y, points.dtype)
    coefficients = jnp.linalg.lstsq(_responses(points.coordinates, landmarks, widths), y)[0]
    return KernelMap(landmarks, widths, coefficients, points, y)


@jax.jit
def _responses(query: Float[Array, "q d"], landmarks: Float[Array, "m d"], widths: Float[Array, " m"]) -> Array:
    def row(point: Array) -> Array:
        # The largest of the exponents is taken out: far from all landmarks the nearest one rules, and nothing is 0 / 0.
        return jax.nn.softmax(-jnp.sum(((landmarks - point) / widths[:, None]) ** 2, axis=1) / 2)

    return map_rows(row, query, BLOCK_BYTES, 2 * landmarks.size * landmarks.dtype.itemsize)
