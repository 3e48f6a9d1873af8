"""Linear variants: the embedding is a matrix times the data, so that new points are embedded by a matrix product.

Every alignment has two linear embeddings: with orthonormal outputs (`linear_projection`) and with an orthonormal matrix
(`orthogonal_projection`). The published methods apply them to the alignments of LLE and of LTSA. `reconstruction_map` minimizes
the objective of the article from which this project originated, in closed form.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count, is_traced
from .._core.ladder import call_padded
from .._core.linear import matmul
from .._core.points import Points, as_rows, prepare_points, rescale
from .._core.spectral import inverse_root, least_squares, right_subspace, with_derivative
from ..alignment import Alignment
from ..alignment.operator import prepare_alignment
from ..neighbors import Neighbors
from .ltsa import ltsa_alignment
from .standard import lle_alignment


class LinearMap(NamedTuple):
    """An affine map of data space, ``y = (x - center) / unit @ matrix + offset``.

    Attributes:
        matrix: shape (d, c).
        center: shape (d,).
        unit: scalar, in the units of the data.
        offset: shape (c,).
        values: singular values of the problem that the map solves, shape (c,): ascending if they measure a cost, descending
            if they measure what the map explains. See the function that returned the map.
    """

    matrix: Float[Array, "d c"]
    center: Any
    unit: Any
    offset: Float[Array, " c"]
    values: Float[Array, " c"]

    def transform(self, x: Any) -> Float[Array, "q c"]:
        """Map points to the output space; differentiable in x.

        Args:
            x: points, shape (q, d).

        Returns:
            Outputs, shape (q, c).

        Raises:
            ValueError: if x is not an array of finite numbers, or has another number of features than the map.

        Example:
            >>> import jax, jaxlle
            >>> x = jax.random.normal(jax.random.key(0), (100, 5))
            >>> jaxlle.variants.npe(x, 2, k=8).transform(x[:3]).shape
            (3, 2)
        """
        x = as_rows(x)
        if x.shape[1] != self.matrix.shape[0]:
            raise ValueError(f"x has {x.shape[1]} features, but the map expects {self.matrix.shape[0]}.")
        rows = rescale(x, self.center, self.unit, self.matrix.dtype)
        return call_padded(_apply, rows, jnp.asarray(self.matrix), jnp.asarray(self.offset))


@jax.jit
def _apply(x: Float[Array, "q d"], matrix: Float[Array, "d c"], offset: Float[Array, " c"]) -> Float[Array, "q c"]:
    return matmul(x, matrix) + offset


def linear_projection(alignment: Alignment, x: Any, dim: int) -> LinearMap:
    """Find the linear map with orthonormal outputs that minimizes the cost of an alignment.

    Minimizes ``|B X A|^2`` subject to ``A^T X^T X A = I``, where X are the centered data. For the alignment of LLE this is
    neighborhood preserving embedding (NPE; He, Cai, Yan and Zhang 2005, ICCV), for that of LTSA it is linear local tangent
    space alignment (LLTSA; Zhang, Yang, Zhao and Ge 2007, Neurocomputing 70:1547). Directions in which the data have no
    variance are excluded, as in the papers, which remove them by PCA.

    Args:
        alignment: alignment of the n points, of any variant.
        x: points, shape (n, d), or a `Points` value.
        dim: number of outputs, at most the rank of the centered data.

    Returns:
        LinearMap. Its outputs on x have mean 0 and orthonormal columns; `values` are the singular values ``|B X a|``,
        ascending.

    Raises:
        ValueError: if x is not an array of finite numbers, the alignment is malformed or has another number of points, or dim
            is out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> projection = jaxlle.variants.linear_projection(jaxlle.lle_alignment(x, k=8), x, 2)
        >>> projection.transform(x[:3]).shape
        (3, 2)
    """
    return _fit(alignment, x, dim, False)


def orthogonal_projection(alignment: Alignment, x: Any, dim: int) -> LinearMap:
    """Find the orthogonal projection that minimizes the cost of an alignment.

    Minimizes ``|B X A|^2`` subject to ``A^T A = I``, where X are the centered data. For the alignment of LLE these are the
    orthogonal neighborhood preserving projections (ONPP) of Kokiopoulou and Saad (2007, IEEE TPAMI 29:2143). Distances within
    the subspace of the projection equal those of the data. Directions in which the data have no variance are excluded.

    Args:
        alignment: alignment of the n points, of any variant.
        x: points, shape (n, d), or a `Points` value.
        dim: number of outputs, at most the rank of the centered data.

    Returns:
        LinearMap. The columns of ``matrix / unit`` are orthonormal; `values` are the singular values ``|B X a|`` in the units
        of the data, ascending.

    Raises:
        ValueError: if x is not an array of finite numbers, the alignment is malformed or has another number of points, or dim
            is out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> projection = jaxlle.variants.orthogonal_projection(jaxlle.lle_alignment(x, k=8), x, 2)
        >>> projection.transform(x[:3]).shape
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
    """Map points linearly by neighborhood preserving embedding (He, Cai, Yan and Zhang 2005, ICCV).

    Minimizes ``|B X A|^2`` subject to ``A^T X^T X A = I`` with the alignment ``B = I - W`` of LLE: see `linear_projection`.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: number of outputs, at most the rank of the centered data.
        k: neighbors per point.
        reg: strength of the ridge of the weights, as for `lle`.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        LinearMap, as described in `linear_projection`.

    Raises:
        ValueError: as `lle_alignment` and `linear_projection`.

    Warns:
        DuplicateWarning: if a point has at least k exact copies.

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
    """Map points linearly by linear local tangent space alignment (Zhang, Yang, Zhao and Ge 2007, Neurocomputing 70:1547).

    Minimizes ``|B X A|^2`` subject to ``A^T X^T X A = I`` with the alignment B of LTSA: see `linear_projection`.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: number of outputs, and dimension of the tangent spaces.
        k: neighbors per point, at least dim + 1.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        LinearMap, as described in `linear_projection`.

    Raises:
        ValueError: as `ltsa_alignment` and `linear_projection`.

    Warns:
        DuplicateWarning: if a point has at least k exact copies.
        RankWarning: if neighborhoods span fewer than dim dimensions.

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
    """Project points by orthogonal neighborhood preserving projections (Kokiopoulou and Saad 2007, IEEE TPAMI 29:2143).

    Minimizes ``|B X A|^2`` subject to ``A^T A = I`` with the alignment ``B = I - W`` of LLE: see `orthogonal_projection`.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: number of outputs, at most the rank of the centered data.
        k: neighbors per point.
        reg: strength of the ridge of the weights, as for `lle`.
        neighbors: graph to use in place of the k nearest neighbors; its width replaces k.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        LinearMap, as described in `orthogonal_projection`.

    Raises:
        ValueError: as `lle_alignment` and `orthogonal_projection`.

    Warns:
        DuplicateWarning: if a point has at least k exact copies.

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
    """Find the affine map whose outputs, combined by the weights of LLE, reconstruct the inputs best.

    Minimizes ``sum_i |x_i - y_i - sum_j w_ij (y_j - y_i)|^2`` over ``y = x A + b``, the objective of the article from which
    this project originated. Because the weights sum to one, the objective equals ``|X - W Y|^2``: every input is
    reconstructed from the outputs of its neighbors, which lie in data space. Without dim, A is a least-squares solution. With
    dim it is the best solution of that rank, the fit ``W X A`` projected on its first principal axes (reduced-rank
    regression, Izenman 1975).

    Args:
        alignment: alignment with blocks ``[1, -w]``, from `lle_alignment` or `weights_alignment`.
        x: points, shape (n, d), or a `Points` value.
        dim: rank of A; None: no limit.

    Returns:
        LinearMap from data space to data space, with a matrix of shape (d, d). `values` are the singular values of the
        centered fit of full rank, in the units of the data, descending.

    Raises:
        ValueError: if x is not an array of finite numbers, the alignment is malformed, has another number of points or more
            than one row per point, or dim is out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 5))
        >>> fitted = jaxlle.variants.reconstruction_map(jaxlle.lle_alignment(x, k=8), x, 2)
        >>> fitted.matrix.shape, fitted.transform(x[:3]).shape
        ((5, 5), (3, 5))
    """
    alignment, points = prepare_map(alignment, x)
    d = points.shape[1]
    if alignment.blocks.shape[1] != 1:
        raise ValueError(
            f"reconstruction_map needs one weight vector per point (r = 1), but the blocks of the alignment have "
            f"r = {alignment.blocks.shape[1]}: use lle_alignment or weights_alignment."
        )
    if dim is not None:
        check_count(dim, "dim (rank)", 1, d, f"x has {d} features")
    _require_representable(points)
    matrix, center, mean, values = _reconstruct(alignment, points.coordinates, dim)
    offset = (mean - matmul(center, matrix)) * points.unit + jnp.asarray(points.center, mean.dtype)
    return LinearMap(matrix * points.unit, points.center, points.unit, offset, values * points.unit)


def prepare_map(alignment: Alignment, x: Any) -> tuple[Alignment, Points]:
    """Return the validated alignment and points, of the same number."""
    points = prepare_points(x)
    return prepare_alignment(alignment, points.shape[0]), points


def _require_representable(points: Points) -> None:
    """Raise if a matrix in the units of the data, such as 1e300, would overflow the dtype of the computation."""
    if not is_traced(points.unit) and float(points.unit) > float(jnp.finfo(points.dtype).max):
        raise ValueError(f"x contains numbers that overflow {points.dtype}: rescale it, or enable x64.")


def _fit(alignment: Alignment, x: Any, dim: int, orthogonal: bool) -> LinearMap:
    alignment, points = prepare_map(alignment, x)
    n, d = points.shape
    check_count(dim, "dim (n_components)", 1, min(n - 1, d), f"x has {n} rows and {d} features")
    matrix, mean, values, rank = _bottom(alignment, points.coordinates, dim, orthogonal)
    if not is_traced(rank) and int(rank) < dim:
        raise ValueError(
            f"dim (n_components) = {dim} is not allowed: it must not exceed the rank of the centered data, which have "
            f"rank {int(rank)}."
        )
    if orthogonal:
        _require_representable(points)
    scale = points.unit if orthogonal else 1
    return LinearMap(matrix * scale, points.center, points.unit, -matmul(mean, matrix) * scale, values * scale)


@partial(jax.jit, static_argnames=("dim", "orthogonal"))
def _bottom(
    alignment: Alignment, points: Float[Array, "n d"], dim: int, orthogonal: bool
) -> tuple[Float[Array, "d dim"], Float[Array, " d"], Float[Array, " dim"], Array]:
    """Return the matrix, the mean of the points, the singular values, and the rank of the centered points."""
    mean = points.mean(axis=0)
    centered = points - mean
    left, singular_values, axes = _thin_svd(lax.stop_gradient(centered))
    present = singular_values > max(points.shape) * jnp.finfo(points.dtype).eps * singular_values[0]
    inverse = jnp.where(present, 1 / jnp.where(present, singular_values, 1), 0)
    # Coordinates along the principal axes: whitened for orthonormal outputs, unscaled for an orthonormal matrix.
    basis = left * jnp.where(present, singular_values if orthogonal else 1, 0)
    columns = axes.T * (present if orthogonal else inverse)
    # Principal axes of equal variance have no derivative. That of another basis of the space of the data, orthonormal in the same
    # inner product, serves as well, because the solution does not depend on the basis.
    moved = matmul(centered.T, left * (inverse if orthogonal else inverse**2))
    image = moved if orthogonal else matmul(centered, moved)
    moved = matmul(moved, inverse_root(matmul(image.T, image) + jnp.diag(~present)))
    basis, columns = with_derivative(basis, matmul(centered, moved)), with_derivative(columns, moved)
    # A direction without variance has cost 0: a penalty above every other cost excludes it.
    penalty = jnp.where(
        present, 0, 2 * alignment.norm_bound() * (jnp.maximum(singular_values[0], 1) if orthogonal else 1)
    )
    tall = jnp.concatenate([alignment.matvec(basis), jnp.diag(penalty.astype(basis.dtype))])
    _, values, rotation = jnp.linalg.svd(jnp.linalg.qr(lax.stop_gradient(tall), mode="r"))
    values, rotation = right_subspace(tall, values[::-1], rotation[::-1], dim)
    matrix = matmul(columns, rotation[:dim].T)
    top = jnp.take_along_axis(matrix, jnp.argmax(jnp.abs(matrix), axis=0)[None], axis=0)
    return matrix * jnp.where(top < 0, -1, 1), mean, values[:dim], present.sum()


@partial(jax.jit, static_argnames=("dim",))
def _reconstruct(
    alignment: Alignment, points: Float[Array, "n d"], dim: int | None
) -> tuple[Float[Array, "d d"], Float[Array, " d"], Float[Array, " d"], Float[Array, " d"]]:
    """Return the matrix, the means of the combined points and of the points, and the singular values of the fit."""
    combined = points - alignment.matvec(points)  # W X
    center, mean = combined.mean(axis=0), points.mean(axis=0)
    matrix = least_squares(combined - center, points - mean)
    fit = matmul(combined - center, matrix)
    d = points.shape[1]
    _, values, right = jnp.linalg.svd(jnp.linalg.qr(lax.stop_gradient(fit), mode="r"))
    values, right = right_subspace(fit, values, right, dim or d)
    kept = right[:dim]
    return matmul(matmul(matrix, kept.T), kept), center, mean, values[: min(points.shape)]


def _thin_svd(tall: Float[Array, "n d"]) -> tuple[Array, Array, Array]:
    """Return the thin SVD, of a tall matrix by way of its QR decomposition, which leaves a small matrix to the SVD."""
    if tall.shape[0] <= tall.shape[1]:
        left, singular_values, axes = jnp.linalg.svd(tall, full_matrices=False)
        return left, singular_values, axes
    q, r = jnp.linalg.qr(tall)
    left, singular_values, axes = jnp.linalg.svd(r, full_matrices=False)
    return matmul(q, left), singular_values, axes
