"""Linear maps: the embedding is a matrix times the data, so a new point needs a product and nothing else.

Every alignment has two linear embeddings, with orthonormal outputs or with an orthonormal matrix; the published methods are
those of LLE's alignment and of LTSA's. The objective of the article that this project grew from has a closed form too.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count, is_traced
from .._core.linear import matmul
from .._core.points import Points, as_points, prepare_points, rescale
from ..alignment import Alignment
from ..alignment.operator import check_alignment
from ..neighbors import Neighbors
from .ltsa import ltsa_alignment
from .standard import lle_alignment
from .supervised import read_classes


class LinearMap(NamedTuple):
    """An affine map ``y = (x - center) / unit @ matrix + offset`` of data space.

    Attributes:
        matrix: shape (d, c).
        center: shape (d,).
        unit: scalar.
        offset: shape (c,).
        values: singular values of the problem that the map solves, shape (c,), rising for costs and falling for what is
            explained; see the function that made the map.
    """

    matrix: Float[Array, "d c"]
    center: Any
    unit: Any
    offset: Float[Array, " c"]
    values: Float[Array, " c"]

    def transform(self, x: Any) -> Float[Array, "q c"]:
        """Map points, shape (q, d), to shape (q, c); differentiable in x.

        Raises:
            ValueError: for points that are not finite numbers, or of another number of features.
        """
        x = as_points(x)
        if x.shape[1] != self.matrix.shape[0]:
            raise ValueError(f"x has {x.shape[1]} features, but the map was made for {self.matrix.shape[0]}.")
        return matmul(rescale(x, self.center, self.unit, self.matrix.dtype), self.matrix) + self.offset


def linear_projection(alignment: Alignment, x: Any, dim: int) -> LinearMap:
    """Find the linear map with orthonormal outputs that fits an alignment best.

    Minimises ``|B X A|^2`` subject to ``A^T X^T X A = I``, X centred: neighbourhood preserving embedding (NPE) for the
    alignment of LLE (He, Cai, Yan and Zhang 2005, ICCV), linear local tangent space alignment (LLTSA) for that of LTSA (Zhang,
    Yang, Zhao and Ge 2007, Neurocomputing 70:1547). Directions in which the data have no extent take no part, as in the papers,
    which remove them by PCA.

    Args:
        alignment: of the n points, by any variant.
        x: the points, shape (n, d).
        dim: outputs, at most the rank of the centred data.

    Returns:
        LinearMap whose columns of outputs on x are orthonormal and centred; `values` are the singular values ``|B X a|``, rising.

    Raises:
        ValueError: for bad points or alignments, or dim out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> made = jaxlle.variants.linear_projection(jaxlle.lle_alignment(x, k=8), x, 2)
        >>> made.transform(x[:3]).shape
        (3, 2)
    """
    return _fit(alignment, x, dim, False)


def orthogonal_projection(alignment: Alignment, x: Any, dim: int) -> LinearMap:
    """Find the orthogonal projection that fits an alignment best.

    Minimises ``|B X A|^2`` subject to ``A^T A = I``: orthogonal neighbourhood preserving projections (ONPP) for the alignment of
    LLE (Kokiopoulou and Saad 2007, IEEE TPAMI 29:2143). Distances along the projection are those of the data. Directions in
    which the data have no extent take no part.

    Args:
        alignment: of the n points, by any variant.
        x: the points, shape (n, d).
        dim: outputs, at most the rank of the centred data.

    Returns:
        LinearMap with ``matrix / unit`` orthonormal; `values` are the singular values ``|B X a|``, rising.

    Raises:
        ValueError: for bad points or alignments, or dim out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> made = jaxlle.variants.orthogonal_projection(jaxlle.lle_alignment(x, k=8), x, 2)
        >>> made.transform(x[:3]).shape
        (3, 2)
    """
    return _fit(alignment, x, dim, True)


def npe(
    x: Any,
    dim: int,
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> LinearMap:
    """Map points linearly by neighbourhood preserving embedding (He et al. 2005): see `linear_projection`.

    Args:
        x: points, shape (n, d).
        dim: outputs.
        k: neighbours a point.
        reg: as for `lle`.
        neighbors: a ready graph to use in place of `knn`.
        block_bytes: memory that one block of points may take.

    Returns:
        LinearMap.

    Raises:
        ValueError: as `lle_alignment` and `linear_projection`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> jaxlle.variants.npe(x, 2, k=8).matrix.shape
        (5, 2)
    """
    points = prepare_points(x)
    alignment = lle_alignment(points, k=k, reg=reg, neighbors=neighbors, block_bytes=block_bytes)
    return linear_projection(alignment, points, dim)


def lltsa(x: Any, dim: int, *, k: int, neighbors: Neighbors | None = None, block_bytes: int = BLOCK_BYTES) -> LinearMap:
    """Map points linearly by linear local tangent space alignment (Zhang et al. 2007): see `linear_projection`.

    Args:
        x: points, shape (n, d).
        dim: outputs, and dimensions of the tangent spaces.
        k: neighbours a point, at least dim + 1.
        neighbors: a ready graph to use in place of `knn`.
        block_bytes: memory that one block of points may take.

    Returns:
        LinearMap.

    Raises:
        ValueError: as `ltsa_alignment` and `linear_projection`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> jaxlle.variants.lltsa(x, 2, k=8).matrix.shape
        (5, 2)
    """
    points = prepare_points(x)
    alignment = ltsa_alignment(points, dim, k=k, neighbors=neighbors, block_bytes=block_bytes)
    return linear_projection(alignment, points, dim)


def onpp(
    x: Any,
    dim: int,
    *,
    k: int,
    reg: Real[ArrayLike, ""] = 1e-3,
    neighbors: Neighbors | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> LinearMap:
    """Project points by orthogonal neighbourhood preserving projections (Kokiopoulou and Saad 2007).

    See `orthogonal_projection`.

    Args:
        x: points, shape (n, d).
        dim: outputs.
        k: neighbours a point.
        reg: as for `lle`.
        neighbors: a ready graph to use in place of `knn`.
        block_bytes: memory that one block of points may take.

    Returns:
        LinearMap.

    Raises:
        ValueError: as `lle_alignment` and `orthogonal_projection`.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> jaxlle.variants.onpp(x, 2, k=8).matrix.shape
        (5, 2)
    """
    points = prepare_points(x)
    alignment = lle_alignment(points, k=k, reg=reg, neighbors=neighbors, block_bytes=block_bytes)
    return orthogonal_projection(alignment, points, dim)


def reconstruction_map(alignment: Alignment, x: Any, dim: int | None = None) -> LinearMap:
    """Find the affine map whose outputs, combined by the weights of LLE, rebuild the inputs.

    Minimises ``sum_i |x_i - y_i - sum_j w_ij (y_j - y_i)|^2`` over ``y = x A + b``, the objective of the article that this
    project grew from. The weights sum to one, so it is ``|X - W Y|^2``: every input is rebuilt from its neighbours' outputs, that
    live in data space. A is a least-squares solution; with dim it is the best of that rank (reduced-rank regression, Izenman
    1975): the fit ``W X A`` projected on its first principal axes.

    Args:
        alignment: with blocks ``[1, -w]``, from `lle_alignment` or `weights_alignment`.
        x: the points, shape (n, d).
        dim: rank of A; None for no limit.

    Returns:
        LinearMap from data space to data space, shape (d, d); `values` are the singular values of the centred fit, falling.

    Raises:
        ValueError: for bad points, alignments with more than one row a point, or dim out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> made = jaxlle.variants.reconstruction_map(jaxlle.lle_alignment(x, k=8), x, 2)
        >>> made.matrix.shape, made.transform(x[:3]).shape
        ((5, 5), (3, 5))
    """
    points = _prepare(alignment, x)
    d = points.shape[1]
    if alignment.blocks.shape[1] != 1:
        raise ValueError(
            f"reconstruction_map needs one weight vector a point (r = 1), but the blocks have r = {alignment.blocks.shape[1]}: "
            f"use lle_alignment."
        )
    if dim is not None:
        check_count(dim, "dim (rank)", 1, d, "features of x")
    matrix, center, mean, values = _reconstruct(alignment, points.coordinates, dim)
    offset = (mean - matmul(center, matrix)) * points.unit + jnp.asarray(points.center, mean.dtype)
    return LinearMap(matrix * points.unit, points.center, points.unit, offset, values)


def discriminant_projection(
    alignment: Alignment, x: Any, labels: Any, dim: int, *, reg: Real[ArrayLike, ""] = 1e-6
) -> LinearMap:
    """Find the linear map that parts the classes most for the cost of an alignment.

    Maximises ``tr(A^T S A)`` subject to ``A^T (C + reg tr(C) / d I) A = I`` with ``C = X^T M X``, M = B^T B, and S the scatter of
    the class means: the within-class scatter of Fisher's discriminant analysis is replaced by the cost of LLE, so that a class
    may be a bent sheet. For a within-class cost make the alignment on `supervised_neighbors`. This is our definition,
    after discriminant LLE (Li, Lin, Yan and Xu 2008, IEEE Transactions on Systems, Man, and Cybernetics B 38:342), whose text
    was not available.

    Args:
        alignment: of the n points, by any variant.
        x: the points, shape (n, d).
        labels: as for `supervised_neighbors`; a point without a label takes part in the cost alone.
        dim: outputs, at most one fewer than the classes.
        reg: ridge of the within-class cost, relative to its mean.

    Returns:
        LinearMap; `values` are the roots of the ratio of scatter to cost, falling.

    Raises:
        ValueError: for bad points, alignments or labels, or dim out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> neighbors = jaxlle.variants.supervised_neighbors(x, x[:, 0] > 0, 8)
        >>> alignment = jaxlle.lle_alignment(x, k=8, neighbors=neighbors)
        >>> jaxlle.variants.discriminant_projection(alignment, x, x[:, 0] > 0, 1).transform(x[:3]).shape
        (3, 1)
    """
    points = _prepare(alignment, x)
    n, d = points.shape
    classes = read_classes(labels, n)
    shares = jnp.where(classes.known[:, None], classes.probabilities, 0).astype(points.dtype)
    count = int((shares.sum(axis=0) > 0).sum())
    most = min(count - 1, d)
    check_count(dim, "dim (n_components)", 1, most, f"there are {count} classes and {d} features")
    matrix, mean, values = _discriminate(alignment, points.coordinates, shares, reg, dim)
    return LinearMap(matrix, points.center, points.unit, -matmul(mean, matrix), values)


def _prepare(alignment: Alignment, x: Any) -> Points:
    """Return the points, prepared, after checking that the alignment is of as many."""
    points = prepare_points(x)
    if alignment.indices.shape[0] != points.shape[0]:
        raise ValueError(f"The alignment has {alignment.indices.shape[0]} points and x has {points.shape[0]} rows.")
    if not is_traced(alignment):
        check_alignment(alignment)
    return points


def _fit(alignment: Alignment, x: Any, dim: int, orthogonal: bool) -> LinearMap:
    points = _prepare(alignment, x)
    n, d = points.shape
    check_count(dim, "dim (n_components)", 1, min(n - 1, d), f"outputs of a linear map of {d} features, n = {n}")
    matrix, mean, values, rank = _bottom(alignment, points.coordinates, dim, orthogonal)
    if not is_traced(rank) and int(rank) < dim:
        raise ValueError(
            f"dim (n_components) = {dim} is not allowed: the centred data have rank {int(rank)}, so there are no more "
            f"directions to map along."
        )
    scale = points.unit if orthogonal else 1
    return LinearMap(matrix * scale, points.center, points.unit, -matmul(mean, matrix) * scale, values * scale)


@partial(jax.jit, static_argnames=("dim", "orthogonal"))
def _bottom(
    alignment: Alignment, points: Float[Array, "n d"], dim: int, orthogonal: bool
) -> tuple[Float[Array, "d dim"], Float[Array, " d"], Float[Array, " dim"], Array]:
    """Return the matrix, the mean of the points, the costs, and the rank of the centred points."""
    mean = points.mean(axis=0)
    centered = points - mean
    left, sizes, axes = _thin_svd(centered)
    present = sizes > max(points.shape) * jnp.finfo(points.dtype).eps * sizes[0]
    # In coordinates along the principal axes: whitened for orthonormal outputs, as they are for an orthonormal matrix.
    basis = left * jnp.where(present, sizes if orthogonal else 1, 0)
    # A direction without extent costs nothing; it must look dearer than any other.
    wall = jnp.where(present, 0, 2 * alignment.norm_bound() * (jnp.maximum(sizes[0], 1) if orthogonal else 1))
    tall = jnp.concatenate([alignment.matvec(basis), jnp.diag(wall.astype(basis.dtype))])
    _, values, turn = jnp.linalg.svd(jnp.linalg.qr(tall, mode="r"))
    turn = turn[::-1][:dim].T
    inverse = jnp.where(present, 1 if orthogonal else 1 / jnp.where(present, sizes, 1), 0)
    matrix = matmul(axes.T * inverse, turn)
    top = jnp.take_along_axis(matrix, jnp.argmax(jnp.abs(matrix), axis=0)[None], axis=0)
    return matrix * jnp.where(top < 0, -1, 1), mean, values[::-1][:dim], present.sum()


@partial(jax.jit, static_argnames=("dim",))
def _discriminate(
    alignment: Alignment, points: Float[Array, "n d"], shares: Float[Array, "n g"], reg: Any, dim: int
) -> tuple[Float[Array, "d dim"], Float[Array, " d"], Float[Array, " dim"]]:
    """Return the matrix, the mean of the points, and the roots of the ratios."""
    mean = points.mean(axis=0)
    counts = shares.sum(axis=0)
    sizes = jnp.sqrt(jnp.where(counts > 0, counts, 1))
    means = matmul(shares.T, points - mean) / sizes[:, None]  # S is the Gram matrix of these rows
    tall = alignment.matvec(points - mean)
    ridge = jnp.sqrt(reg * jnp.sum(tall**2) / points.shape[1])
    triangle = jnp.linalg.qr(jnp.concatenate([tall, ridge * jnp.eye(points.shape[1], dtype=tall.dtype)]), mode="r")
    whitened = solve_triangular(triangle, means.T, trans="T").T
    _, values, turn = jnp.linalg.svd(whitened, full_matrices=False)
    matrix = solve_triangular(triangle, turn[:dim].T)
    top = jnp.take_along_axis(matrix, jnp.argmax(jnp.abs(matrix), axis=0)[None], axis=0)
    return matrix * jnp.where(top < 0, -1, 1), mean, values[:dim]


@partial(jax.jit, static_argnames=("dim",))
def _reconstruct(
    alignment: Alignment, points: Float[Array, "n d"], dim: int | None
) -> tuple[Float[Array, "d d"], Float[Array, " d"], Float[Array, " d"], Float[Array, " d"]]:
    """Return the matrix, the means of the combined points and of the points, and the sizes of the fit."""
    combined = points - alignment.matvec(points)  # W X
    center, mean = combined.mean(axis=0), points.mean(axis=0)
    left, sizes, axes = _thin_svd(combined - center)
    present = sizes > max(points.shape) * jnp.finfo(points.dtype).eps * sizes[0]
    inside = jnp.where(present[:, None], matmul(left.T, points - mean), 0)  # the fit in coordinates of `left`
    _, values, right = jnp.linalg.svd(inside, full_matrices=False)
    kept = right if dim is None else right[:dim]
    matrix = matmul(axes.T / jnp.where(present, sizes, 1), inside)
    return matmul(matmul(matrix, kept.T), kept), center, mean, values


def _thin_svd(tall: Float[Array, "n d"]) -> tuple[Array, Array, Array]:
    """Return the thin SVD through a QR, which leaves only a small matrix to the SVD where there are many points."""
    if tall.shape[0] <= tall.shape[1]:
        left, sizes, axes = jnp.linalg.svd(tall, full_matrices=False)
        return left, sizes, axes
    q, r = jnp.linalg.qr(tall)
    left, sizes, axes = jnp.linalg.svd(r, full_matrices=False)
    return matmul(q, left), sizes, axes
