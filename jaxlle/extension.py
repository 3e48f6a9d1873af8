"""New points by the eigenfunctions, the tangent spaces, or a kernel regression of a fitted embedding.

`out_of_sample.transform` places a new point by barycentric weights, as LLE itself would. These maps stand beside it: each gives
a row of the training data its own embedding.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from . import _inputs
from ._blocks import map_rows
from ._search import BLOCK_BYTES
from .embedding import Embedding
from .neighbors import Neighbors, knn, known_distances
from .out_of_sample import transform
from .variants._local import FromPoints, map_members


def eigenfunction_transform(
    x_new: Any,
    x: Any,
    embedding: Embedding,
    *,
    k: int,
    shift: Real[ArrayLike, ""] = 16.0,
    reg: Real[ArrayLike, ""] = 1e-3,
    block_bytes: int = BLOCK_BYTES,
) -> Float[Array, "q dim"]:
    """Embed new points by Nystrom's formula, with the kernel of which LLE is the principal components.

    The kernel of n points is ``K = shift I - M``, whose top eigenvectors are LLE's; for a new point
    ``K(x, x_j) = (shift - 1) w_j(x)`` with barycentric weights w, and ``y_c(x) = sum_j y_jc K(x, x_j) / (shift - s_c^2)``
    (Bengio et al. 2004, NIPS 16). As the shift grows this is `transform`.

    Args:
        x_new: new points, shape (q, d).
        x: the data that were embedded, shape (n, d).
        embedding: theirs, by LLE.
        k: neighbours of each new point; the number used for the embedding.
        shift: above the largest eigenvalue of M for a positive kernel; that is 3 to 12 on real data.
        reg: strength of the regularizer.
        block_bytes: memory that one block may take.

    Returns:
        The new points' embedding, shape (q, dim); a row of the data gets its own place.

    Raises:
        ValueError: as `transform`; also for a shift not above the embedding's eigenvalues.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> out = jaxlle.lle(x, 2, k=8)
        >>> bool(jnp.array_equal(jaxlle.eigenfunction_transform(x[:5], x, out, k=8), out.points[:5]))
        True
    """
    values = jnp.asarray(embedding.singular_values) ** 2
    if not _inputs.is_traced(shift, values) and not bool(jnp.asarray(shift) > jnp.maximum(1, values.max())):
        raise ValueError(
            f"shift = {shift} is not allowed: it must be above 1 and above the eigenvalues of M, as 16 is."
        )
    x, x_new = _inputs.as_points(x), _inputs.as_points(x_new, "x_new")
    y = jnp.asarray(embedding.points)
    placed = transform(x_new, x, y, k=k, reg=reg, block_bytes=block_bytes)
    nearest = knn(x, 1, query=x_new, block_bytes=block_bytes)
    same = known_distances(nearest) == 0  # there K has the row of the training point, and the formula gives its place
    return jnp.where(same, placed, placed * (shift - 1) / (shift - values))


def tangent_transform(
    x_new: Any, x: Any, y: Any, *, k: int, dim: int | None = None, block_bytes: int = BLOCK_BYTES
) -> Float[Array, "q c"]:
    """Embed new points by the affine map that carries the tangent coordinates of their neighbours to their places.

    LTSA, Hessian LLE and modified LLE seek an embedding that is, in every neighbourhood, affine in the tangent coordinates t:
    ``y = m + L t``. With t those of the neighbours of a new point, itself included, m and L are fitted to the places of the
    neighbours by least squares, and the new point is put where its own t leads: the place at which LTSA's cost of its
    neighbourhood is least (Zhang and Zha 2004, SIAM J. Sci. Comput. 26:313).

    Args:
        x_new: new points, shape (q, d).
        x: the data that were embedded, shape (n, d).
        y: their embedding, shape (n, c).
        k: neighbours of each new point, more than dim.
        dim: dimensions of the tangent spaces; None: c.
        block_bytes: memory that one block may take.

    Returns:
        The new points' embedding, shape (q, c); a row of the data gets its own place.

    Raises:
        ValueError: as `transform`; also for k too small.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> bool(jnp.allclose(jaxlle.tangent_transform(x[:5] + 0.1, x, 2 * x + 1, k=8), 2 * x[:5] + 1.2, atol=1e-4))
        True
    """
    x, x_new = _inputs.as_points(x), _inputs.as_points(x_new, "x_new")
    y = _inputs.as_points(y, "y") if not _inputs.is_traced(y) else y
    if y.shape[0] != x.shape[0]:
        raise ValueError(
            f"y has {y.shape[0]} rows and x has {x.shape[0]}: the embedding must be that of the data, row by row."
        )
    dim = min(y.shape[1], x.shape[1]) if dim is None else dim
    dim = _inputs.check_count(dim, "dim (n_components)", 1, x.shape[1], "at most the features")
    _inputs.check_count(
        k, "k (n_neighbors)", dim + 1, x.shape[0], f"an affine map of dim = {dim} variables has dim + 1 values"
    )
    neighbors = knn(x, k, query=x_new, block_bytes=block_bytes)
    standard = _inputs.standardize(x)
    both = jnp.concatenate([standard.points, _inputs.apply_standard(x_new, standard)])
    return _by_tangents(both, jnp.asarray(y), neighbors, dim, block_bytes)


class KernelMap(NamedTuple):
    """A map ``y(x) = sum_l a_l k_l(x) / sum_l k_l(x)`` with Gaussian kernels ``k_l`` at landmarks.

    Attributes:
        landmarks: standardised, shape (m, d).
        widths: of their kernels, shape (m,).
        coefficients: a, shape (m, c).
        standard: how points are standardised, with the training points.
        places: of the training points, shape (n, c).
    """

    landmarks: Float[Array, "m d"]
    widths: Float[Array, " m"]
    coefficients: Float[Array, "m c"]
    standard: _inputs.Standardized
    places: Float[Array, "n c"]

    def transform(self, x_new: Any) -> Float[Array, "q c"]:
        """Map points, shape (q, d); a row of the training data gets its own place, others are differentiable in x_new.

        Raises:
            ValueError: for points that are not finite numbers, or of another number of features.
        """
        x_new = _inputs.as_points(x_new, "x_new")
        if x_new.shape[1] != self.landmarks.shape[1]:
            raise ValueError(
                f"x_new has {x_new.shape[1]} features, but the map was made for {self.landmarks.shape[1]}."
            )
        query = _inputs.apply_standard(x_new, self.standard)
        nearest = knn(self.standard.points, 1, query=lax.stop_gradient(query))
        placed = _product(_responses(query, self.landmarks, self.widths), self.coefficients)
        same = known_distances(nearest) == 0
        return jnp.where(same, self.places[nearest.indices[:, 0]], placed)


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
        >>> bool(jnp.abs(jaxlle.kernel_map(x, x**2).transform(x + 0.01) - (x + 0.01) ** 2).mean() < 0.05)
        True
    """
    x, y = _inputs.as_points(x), _inputs.as_points(y, "y")
    n = x.shape[0]
    if y.shape[0] != n:
        raise ValueError(f"y has {y.shape[0]} rows and x has {n}: the embedding must be that of the data, row by row.")
    if not width > 0:
        raise ValueError(f"width = {width} is not allowed: it must be positive, in distances to the k-th neighbour.")
    k = _inputs.check_count(k, "k (n_neighbors)", 1, n - 1, f"x has n_samples = {n} points less itself")
    size = min(n, 1000) if num_landmarks is None else num_landmarks
    size = _inputs.check_count(size, "num_landmarks", 1, n, f"at most the {n} points")
    key = jax.random.key(0) if key is None else key
    standard = _inputs.standardize(x)
    chosen = jnp.sort(jax.random.permutation(key, n)[:size])
    far = known_distances(knn(standard.points, k, block_bytes=block_bytes))[chosen, -1]
    widths = width * jnp.where(far > 0, far, 1)
    landmarks, y = standard.points[chosen], jnp.asarray(y, standard.points.dtype)
    coefficients = jnp.linalg.lstsq(_responses(standard.points, landmarks, widths), y)[0]
    return KernelMap(landmarks, widths, coefficients, standard, y)


@jax.jit
def _responses(query: Float[Array, "q d"], landmarks: Float[Array, "m d"], widths: Float[Array, " m"]) -> Array:
    def row(point: Array) -> Array:
        # The largest of the exponents is taken out: far from all landmarks the nearest one rules, and nothing is 0 / 0.
        return jax.nn.softmax(-jnp.sum(((landmarks - point) / widths[:, None]) ** 2, axis=1) / 2)

    return map_rows(row, query, BLOCK_BYTES, 2 * landmarks.size * landmarks.dtype.itemsize)


@partial(jax.jit, static_argnames=("dim", "block_bytes"))
def _by_tangents(
    both: Float[Array, "n_plus_q d"], y: Float[Array, "n c"], neighbors: Neighbors, dim: int, block_bytes: int
) -> Float[Array, "q c"]:
    (q, k), n, source = neighbors.indices.shape, y.shape[0], FromPoints(both)

    def one(ids: Array, keep: Array) -> Array:
        t = source.patch(ids, keep, dim, "mean").coordinates
        design = jnp.concatenate([jnp.ones((k, 1), t.dtype), t[1:]], axis=1).astype(y.dtype)
        level = y[ids[1:]].mean(axis=0)  # no digits lost to an offset of the embedding
        left, sizes, right = jnp.linalg.svd(design, full_matrices=False)
        present = sizes > 8 * k * jnp.finfo(design.dtype).eps * sizes[0]
        inverse = jnp.where(present, 1 / jnp.where(present, sizes, 1), 0)
        solution = _product(right.T, inverse[:, None] * _product(left.T, y[ids[1:]] - level))
        return level + solution[0] + _product(t[0].astype(y.dtype), solution[1:])

    own = jnp.arange(n, n + q, dtype=neighbors.indices.dtype)[:, None]
    ids = jnp.concatenate([own, neighbors.indices], axis=1)
    placed = map_members(one, ids, jnp.ones(ids.shape, bool), source.row_bytes, block_bytes)
    same = known_distances(neighbors)[:, :1] == 0
    return jnp.where(same, y[neighbors.indices[:, 0]], placed)


def _product(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, precision=lax.Precision.HIGHEST)
