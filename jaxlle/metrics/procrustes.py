"""Comparisons up to similarity, rotation or affine maps: Procrustes analysis, subspace angles, affine residuals."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.checks import embedding_points, is_traced
from .._core.linear import matmul
from .._core.points import as_points, standardize, working_dtype


class Procrustes(NamedTuple):
    """The similarity that carries one configuration onto another.

    Attributes:
        aligned: ``scale * a @ rotation + shift``, shape (n, c).
        rotation: orthogonal, shape (c, c); may reflect.
        scale: scalar.
        shift: shape (c,).
        disparity: ``|aligned - b|^2 / |b - mean(b)|^2``, in [0, 1].
    """

    aligned: Float[Array, "n c"]
    rotation: Float[Array, "c c"]
    scale: Float[Array, ""]
    shift: Float[Array, " c"]
    disparity: Float[Array, ""]


def procrustes(a: Any, b: Any) -> Procrustes:
    """Find the rotation, reflection, scale and shift of a that bring it closest to b (Schoenemann 1966).

    Args:
        a: configuration to move, shape (n, c).
        b: configuration to reach, shape (n, c).

    Returns:
        Procrustes; its disparity is 0 for similar configurations. Differentiable, also where the rotation's
        singular values are equal, as they are between embeddings of orthonormal columns.

    Raises:
        ValueError: for configurations that are not finite, of unequal shapes, or single places.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> a = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
        >>> float(jaxlle.metrics.procrustes(a, 3 * a[:, ::-1] + 1).disparity) < 1e-6
        True
    """
    a, b = as_points(embedding_points(a), "a"), as_points(embedding_points(b), "b")
    _check_shapes(a, b, "procrustes compares configurations")
    near_a, near_b = standardize(a), standardize(b)  # right at any scale and offset
    mean_a, mean_b = near_a.points.mean(axis=0), near_b.points.mean(axis=0)
    from_a, to_b = near_a.points - mean_a, near_b.points - mean_b
    size_a, size_b = jnp.sum(from_a**2), jnp.sum(to_b**2)
    if not is_traced(size_a, size_b) and not bool((size_a > 0) & (size_b > 0)):
        raise ValueError("All points of a configuration are equal: procrustes has no scale to match.")
    cross = matmul(from_a.T, to_b)
    rotation = _polar(cross)
    ratio = jnp.sum(cross * rotation) / size_a
    moved = ratio * matmul(from_a, rotation)
    scale = ratio * (near_b.unit / near_a.unit)
    reached = near_b.center + near_b.unit * mean_b
    shift = reached - scale * matmul(near_a.center + near_a.unit * mean_a, rotation)
    aligned = near_b.unit * moved + reached
    return Procrustes(aligned, rotation, scale, shift, jnp.sum((moved - to_b) ** 2) / size_b)


@jax.custom_jvp
def _polar(matrix: Float[Array, "c c"]) -> Float[Array, "c c"]:
    """Return the orthogonal factor U V^T of U S V^T."""
    left, _, right = jnp.linalg.svd(matrix)
    return matmul(left, right)


@_polar.defjvp
def _polar_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # U and V alone have no derivative where singular values are equal; their product has: with K = U^T dM V,
    # d(U V^T) = U (K - K^T) / (s_i + s_j) V^T.
    left, s, right = jnp.linalg.svd(primals[0])
    inner = matmul(matmul(left.T, tangents[0]), right.T)
    sums = s[:, None] + s[None, :]
    turn = jnp.where(sums > 0, (inner - inner.T) / jnp.where(sums > 0, sums, 1), 0)
    return matmul(left, right), matmul(matmul(left, turn), right)


def subspace_angle(a: Any, b: Any) -> Float[Array, ""]:
    """Return the largest principal angle between the spans of two sets of columns, in radians.

    The way to compare embeddings: columns may rotate among each other where singular values are close.
    Accurate for small and for large angles (Bjoerck and Golub 1973).

    Args:
        a: columns, linearly independent, shape (n, c).
        b: columns, linearly independent, shape (n, c).

    Raises:
        ValueError: for columns that are not finite numbers, or of unequal shapes.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.subspace_angle(jnp.array([[1.0], [0.0]]), jnp.array([[1.0], [1.0]])).round(4)
        Array(0.7854, dtype=float32)
    """
    a, b = as_points(embedding_points(a), "a"), as_points(embedding_points(b), "b")
    _check_shapes(a, b, "subspace_angle compares columns")
    qa, qb = (jnp.linalg.qr(jnp.asarray(c, working_dtype(c)))[0] for c in (a, b))
    inside = matmul(qb.T, qa)
    sine = jnp.linalg.svd(qa - matmul(qb, inside), compute_uv=False)[0]
    return jnp.arctan2(sine, jnp.linalg.svd(inside, compute_uv=False)[-1])


def affine_residual(truth: Any, y: Any) -> Float[Array, ""]:
    """Measure what no affine map of the embedding explains of the true coordinates, in [0, 1].

    ``mean_c min_{a, b} ||t_c - (Y a + b 1)||^2 / ||t_c - mean(t_c)||^2`` over the true coordinates t_c: each counts the
    same, whatever its unit. 0 where the embedding is the truth up to an affine map, which is all that LLE promises.

    Args:
        truth: true coordinates, shape (n, p).
        y: the embedding, an Embedding or shape (n, c); n > c.

    Returns:
        Scalar. Columns of y that depend on others, to their dtype's rounding, are left out of the map.

    Raises:
        ValueError: for arrays that are not finite, unequal numbers of rows, or a true coordinate that is constant.

    Example:
        >>> import jax, jaxlle
        >>> roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 400)
        >>> bool(jaxlle.metrics.affine_residual(roll.parameters, roll.parameters @ jax.numpy.ones((2, 2)) + 3) < 0.6)
        True
    """
    truth, y = as_points(truth, "truth"), as_points(embedding_points(y), "y")
    if len(truth) != len(y):
        raise ValueError(f"affine_residual compares rows of the same points: truth has {len(truth)}, y has {len(y)}.")
    truth, y = _scaled_columns(truth), _scaled_columns(y)
    total = jnp.sum(truth**2, axis=0)
    if not is_traced(total) and not bool((total > 0).all()):
        raise ValueError("A true coordinate is constant: nothing of it can be explained. Drop that column.")
    coefficients = jnp.linalg.lstsq(y, truth)[0]
    left = truth - matmul(y, coefficients)
    return jnp.mean(jnp.sum(left**2, axis=0) / total)


def _scaled_columns(x: Any) -> Float[Array, "n c"]:
    """Return the columns centred and of a largest entry 1; a constant column as 0."""
    points = standardize(x).points
    points = points - points.mean(axis=0)
    largest = jnp.abs(points).max(axis=0)
    return points / jnp.where(largest > 0, largest, 1)


def _check_shapes(a: Any, b: Any, what: str) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{what} of one shape (n, c), got {a.shape} and {b.shape}.")
