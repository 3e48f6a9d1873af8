"""Comparisons of configurations up to a similarity, a basis or an affine map."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.checks import all_finite, embedding_points, is_traced
from .._core.linear import matmul
from .._core.points import Points, prepare_points
from .._core.spectral import least_squares, polar


class Procrustes(NamedTuple):
    """The similarity that maps one configuration as close as possible to another.

    Attributes:
        aligned: ``scale * a @ rotation + shift``, shape (n, c).
        rotation: orthogonal matrix, shape (c, c), possibly a reflection.
        scale: factor, scalar.
        shift: translation, shape (c,).
        disparity: ``|aligned - b|^2 / |b - mean(b)|^2``, in [0, 1].
    """

    aligned: Float[Array, "n c"]
    rotation: Float[Array, "c c"]
    scale: Float[Array, ""]
    shift: Float[Array, " c"]
    disparity: Float[Array, ""]


def procrustes(a: Any, b: Any) -> Procrustes:
    """Find the rotation or reflection, the scale and the shift of a that bring it closest to b.

    The similarity minimizes ``|scale * a @ rotation + shift - b|^2`` (Schoenemann 1966, Psychometrika 31:1; with scale and shift
    Schoenemann and Carroll 1970).

    Args:
        a: configuration to move, an Embedding or shape (n, c).
        b: configuration to match, an Embedding or shape (n, c).

    Returns:
        Procrustes; its disparity is 0 for similar configurations. Differentiable, also where singular values of the
        cross-covariance are equal, as they are between embeddings with orthonormal columns.

    Raises:
        ValueError: if a or b is not an array of finite numbers or all its points are equal, their shapes differ, or, outside
            jit, the scale is out of the range of the dtype.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> a = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
        >>> float(jaxlle.metrics.procrustes(a, 3 * a[:, ::-1] + 1).disparity) < 1e-6
        True
    """
    near_a, near_b = prepare_points(embedding_points(a), name="a"), prepare_points(embedding_points(b), name="b")
    _check_shapes(near_a, near_b, "procrustes compares configurations")
    mean_a, mean_b = near_a.coordinates.mean(axis=0), near_b.coordinates.mean(axis=0)
    from_a, to_b = near_a.coordinates - mean_a, near_b.coordinates - mean_b
    size_a, size_b = jnp.sum(from_a**2), jnp.sum(to_b**2)
    if not is_traced(size_a, size_b) and not bool((size_a > 0) & (size_b > 0)):
        raise ValueError("All points of a configuration are equal, so procrustes has no scale to match.")
    cross = matmul(from_a.T, to_b)
    rotation = polar(cross)
    ratio = jnp.sum(cross * rotation) / size_a
    moved = ratio * matmul(from_a, rotation)
    scale = ratio * (near_b.unit / near_a.unit)
    reached = near_b.center + near_b.unit * mean_b
    shift = reached - scale * matmul(near_a.center + near_a.unit * mean_a, rotation)
    aligned = near_b.unit * moved + reached
    if not is_traced(aligned, shift):
        lost = ((scale == 0) & (ratio != 0)) | ~jnp.isfinite(scale)
        if bool(lost) or not (all_finite(shift) and all_finite(aligned)):
            raise ValueError(
                f"The configurations are {near_a.unit:.3g} and {near_b.unit:.3g} in size, so that the similarity between them is "
                f"out of the range of {aligned.dtype}: rescale them, or enable x64."
            )
    return Procrustes(aligned, rotation, scale, shift, jnp.sum((moved - to_b) ** 2) / size_b)


def subspace_angle(a: Any, b: Any) -> Float[Array, ""]:
    """Return the largest principal angle between the spans of two sets of columns, in radians.

    Embeddings should be compared by this angle and not by coordinates, because their columns may rotate among each other where
    singular values are close. Small angles are computed from the sine, so that all are accurate (Bjoerck and Golub 1973,
    Mathematics of Computation 27:579).

    Args:
        a: linearly independent columns, an Embedding or shape (n, c).
        b: linearly independent columns, an Embedding or shape (n, c).

    Returns:
        Scalar in [0, pi / 2].

    Raises:
        ValueError: if a or b is not an array of finite numbers, or their shapes differ.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.subspace_angle(jnp.array([[1.0], [0.0]]), jnp.array([[1.0], [1.0]])).round(4)
        Array(0.7854, dtype=float32)
    """
    a, b = prepare_points(embedding_points(a), name="a"), prepare_points(embedding_points(b), name="b")
    _check_shapes(a, b, "subspace_angle compares columns")
    qa, qb = (jnp.linalg.qr(jnp.asarray(c.values / c.unit, c.dtype))[0] for c in (a, b))  # the span has no scale
    inside = matmul(qb.T, qa)
    sine = jnp.linalg.svd(qa - matmul(qb, inside), compute_uv=False)[0]
    return jnp.arctan2(sine, jnp.linalg.svd(inside, compute_uv=False)[-1])


def affine_residual(truth: Any, y: Any) -> Float[Array, ""]:
    """Measure the variance of the true coordinates that no affine map of the embedding explains, in [0, 1].

    ``mean_c min_{a, b} ||t_c - (Y a + b 1)||^2 / ||t_c - mean(t_c)||^2`` over the true coordinates t_c, which have equal weight
    whatever their units. It is one minus the mean coefficient of determination (R^2) of a linear regression, and 0 if the
    embedding is the truth up to an affine map, which is the most that LLE can recover.

    Args:
        truth: true coordinates, shape (n, p).
        y: the embedding, an Embedding or shape (n, c); n > c.

    Returns:
        Scalar; 0 is best. Columns of y that depend linearly on others, to the rounding of their dtype, do not contribute.

    Raises:
        ValueError: if truth or y is not an array of finite numbers, they differ in their numbers of rows, or a true coordinate
            is constant.

    Example:
        >>> import jax, jaxlle
        >>> roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 400)
        >>> bool(jaxlle.metrics.affine_residual(roll.parameters, roll.parameters @ jax.numpy.ones((2, 2)) + 3) < 0.6)
        True
    """
    truth, y = prepare_points(truth, name="truth"), prepare_points(embedding_points(y), name="y")
    n, rows = truth.shape[0], y.shape[0]
    if n != rows:
        raise ValueError(f"affine_residual compares rows of the same points: truth has {n}, y has {rows}.")
    truth, y = _scaled_columns(truth), _scaled_columns(y)
    total = jnp.sum(truth**2, axis=0)
    if not is_traced(total) and not bool((total > 0).all()):
        raise ValueError("A true coordinate is constant, so it has no variance to explain: drop that column.")
    coefficients = least_squares(y, truth)
    residual = truth - matmul(y, coefficients)
    return jnp.mean(jnp.sum(residual**2, axis=0) / total)


def _scaled_columns(x: Points) -> Float[Array, "n c"]:
    """Return the columns centered and scaled to a largest entry of 1; a constant column as 0."""
    points = x.coordinates - x.coordinates.mean(axis=0)
    largest = jnp.abs(points).max(axis=0)
    return points / jnp.where(largest > 0, largest, 1)


def _check_shapes(a: Any, b: Any, statement: str) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{statement} of one shape (n, c), got {a.shape} and {b.shape}.")
