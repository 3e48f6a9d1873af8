"""Eigenvectors, roots and pseudo-inverses of small matrices, with derivatives that exist where eigenvalues are equal.

An eigenvector has no derivative where its eigenvalue is repeated, and a derivative that consists of rounding errors where two
eigenvalues differ by rounding only. The span of several eigenvectors has a derivative wherever a gap separates their eigenvalues
from the others, and so have roots, pseudo-inverses and the orthogonal factor of a matrix. The rules below divide only by such
gaps or by sums of eigenvalues. They are linear systems in the function itself, so that they can be differentiated again.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..distances import square_root
from .linear import matmul


def principal_axes(matrix: Float[Array, "m m"], cut: Any) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Return the eigenvalues of a symmetric matrix, in decreasing order, and its eigenvectors as columns.

    Args:
        matrix: symmetric matrix.
        cut: number of leading eigenvectors whose span is differentiated, as described in `as_subspace`; may be traced.

    >>> import jax.numpy as jnp
    >>> principal_axes(jnp.diag(jnp.array([1.0, 3.0])), 1)[0]
    Array([3., 1.], dtype=float32)
    """
    values, axes = jnp.linalg.eigh(lax.stop_gradient(matrix), symmetrize_input=False)
    return as_subspace(values[::-1], axes[:, ::-1], matrix, cut, rounding_of(values))


def right_subspace(
    tall: Float[Array, "n m"], values: Float[Array, " c"], right: Float[Array, "m m"], cut: Any
) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Return singular values and all right singular vectors (rows) as they are, with derivatives as in `as_subspace`.

    Values that are missing at the end are 0.
    """
    values, right = lax.stop_gradient((jnp.pad(values, (0, len(right) - len(values))), right))
    image = matmul(tall, right.T)  # so that small singular values keep their accuracy in the squares
    rounding = 2 * values * rounding_of(values)
    squares, turn = as_subspace(
        values**2, jnp.eye(len(values), dtype=tall.dtype), matmul(image.T, image), cut, rounding
    )
    return with_derivative(values, square_root(squares)), matmul(turn.T, right)


def rounding_of(values: Float[Array, " m"]) -> Float[Array, ""]:
    """Return the size of rounding errors of eigenvalues or singular values."""
    return 4 * len(values) * jnp.finfo(values.dtype).eps * lax.stop_gradient(jnp.max(jnp.abs(values)))


@jax.custom_jvp
def with_derivative(value: Float[Array, "*s"], same: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Return a value with the derivative of another expression of it, which is not computed without differentiation."""
    return value


@with_derivative.defjvp
def _with_derivative_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return with_derivative(*primals), tangents[1]


@jax.custom_jvp
def as_subspace(
    values: Float[Array, " m"], axes: Float[Array, "m m"], matrix: Float[Array, "m m"], cut: Any, rounding: Any
) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Return eigenvalues and eigenvectors of a symmetric matrix as they are, with the derivative of a subspace.

    The derivative of the eigenvectors is correct for functions of two spans: that of the first `cut` eigenvectors and that of the
    others. It has components between the two spans only, because rotations within a span, which have no derivative where
    eigenvalues are equal, do not change it. The derivative of the eigenvalues is correct for symmetric functions of the
    eigenvalues of a span. Where the gap at the cut is zero up to rounding, the spans jump, and components without a gap are left
    out, so that the derivative is finite.

    Args:
        values: all eigenvalues, those of the first span before the others.
        axes: their eigenvectors as columns. Within the two spans, the matrix is diagonal in these.
        matrix: the symmetric matrix, of which only the derivative is used.
        cut: number of eigenvectors of the first span; may be traced.
        rounding: size of the rounding errors of the eigenvalues, one number or one per eigenvalue.

    Returns:
        The eigenvalues and the eigenvectors.
    """
    return values, axes


@as_subspace.defjvp
def _as_subspace_jvp(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    values, axes, matrix, cut, rounding = primals
    values, axes = as_subspace(values, axes, matrix, cut, rounding)
    fixed, rounding = lax.stop_gradient((values, jnp.broadcast_to(rounding, values.shape)))
    first = jnp.arange(len(values)) < cut
    across = first[:, None] != first[None, :]
    inner = matmul(matmul(axes.T, tangents[2]), axes)
    # With dV = V T, the condition that no entry of V^T A V between the two spans changes is T L - L T = V^T dA V there, where L
    # is V^T A V within the spans: a Sylvester equation, diagonal here but not in its derivatives.
    within = jnp.where(across, 0, matmul(matmul(axes.T, matrix), axes))
    gaps = fixed[None, :] - fixed[:, None]
    distinct = across & (jnp.abs(gaps) > rounding[None, :] + rounding[:, None])
    turn = lax.custom_linear_solve(
        lambda t: jnp.where(across, matmul(t, within) - matmul(within, t), 0),
        jnp.where(across, inner, 0),
        lambda _, b: jnp.where(distinct, b / jnp.where(distinct, gaps, 1), 0),
        symmetric=True,
    )
    return (values, axes), (jnp.diagonal(inner), matmul(axes, turn))


@jax.custom_jvp
def inverse_root(matrix: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """Return the symmetric C^(-1/2) of a symmetric positive definite C; smaller eigenvalues are raised to eps times the largest.

    Unlike the eigenvectors, it is differentiable wherever C is positive definite: ``dC^(-1/2) = -C^(-1/2) dS C^(-1/2)`` with the
    root S of C, whose derivative solves ``S dS + dS S = dC``.

    >>> import jax.numpy as jnp
    >>> inverse_root(jnp.diag(jnp.array([4.0, 1.0])))
    Array([[0.5, 0. ],
           [0. , 1. ]], dtype=float32)
    """
    roots, axes = _roots(matrix)
    return matmul(axes / roots, axes.T)


@inverse_root.defjvp
def _inverse_root_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    inverse = inverse_root(primals[0])
    change = _solve_sums(matmul(primals[0], inverse), tangents[0], *_roots(lax.stop_gradient(primals[0])))
    return inverse, -matmul(matmul(inverse, change), inverse)


@jax.custom_jvp
def root(matrix: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """Return the symmetric root S of a symmetric positive definite C; smaller eigenvalues are raised to eps times the largest.

    Its derivative solves ``S dS + dS S = dC``.

    >>> import jax.numpy as jnp
    >>> root(jnp.diag(jnp.array([4.0, 1.0])))
    Array([[2., 0.],
           [0., 1.]], dtype=float32)
    """
    roots, axes = _roots(matrix)
    return matmul(axes * roots, axes.T)


@root.defjvp
def _root_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    found = root(primals[0])
    return found, _solve_sums(found, tangents[0], *_roots(lax.stop_gradient(primals[0])))


@jax.custom_jvp
def polar(matrix: Float[Array, "c c"]) -> Float[Array, "c c"]:
    """Return the orthogonal factor Q = U V^T of ``M = U S V^T``.

    It is differentiable where at most one singular value is 0, equal or not: ``dQ = Q T`` with the antisymmetric T that solves
    ``H T + T H = Q^T dM - dM^T Q``, where ``H = Q^T M``.

    >>> import jax.numpy as jnp
    >>> polar(jnp.array([[0.0, -3.0], [2.0, 0.0]]))
    Array([[ 0., -1.],
           [ 1.,  0.]], dtype=float32)
    """
    left, _, right = jnp.linalg.svd(matrix)
    return matmul(left, right)


@polar.defjvp
def _polar_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    factor = polar(primals[0])
    stretch, change = matmul(factor.T, primals[0]), matmul(factor.T, tangents[0])
    _, sizes, right = jnp.linalg.svd(lax.stop_gradient(primals[0]))
    return factor, matmul(factor, _solve_sums((stretch + stretch.T) / 2, change - change.T, sizes, right.T))


def _roots(matrix: Float[Array, "m m"]) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Return the square roots of the eigenvalues, and the eigenvectors."""
    values, axes = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return jnp.sqrt(jnp.maximum(values, jnp.finfo(values.dtype).eps * jnp.abs(values).max())), axes


def _solve_sums(
    matrix: Float[Array, "m m"], target: Float[Array, "m m"], values: Float[Array, " m"], axes: Float[Array, "m m"]
) -> Float[Array, "m m"]:
    """Solve ``A X + X A = B`` for symmetric A with known eigenvalues and eigenvectors; components of sum zero are 0."""
    sums = values[:, None] + values[None, :]

    def solve(_: Any, b: Array) -> Array:
        inner = matmul(matmul(axes.T, b), axes)
        return matmul(matmul(axes, jnp.where(sums > 0, inner / jnp.where(sums > 0, sums, 1), 0)), axes.T)

    return lax.custom_linear_solve(lambda x: matmul(matrix, x) + matmul(x, matrix), target, solve, symmetric=True)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def pseudo_inverse(matrix: Float[Array, "n c"], margin: int = 1) -> Float[Array, "c n"]:
    """Return the pseudo-inverse P of a matrix A; singular values up to margin max(n, c) eps times the largest count as 0.

    Its derivative, ``dP = -P dA P + P P^T dA^T (I - A P) + (I - P A) dA^T P^T P`` (Golub and Pereyra 1973, SIAM J. Numer. Anal.
    10:413), is correct for changes that keep the rank.

    >>> import jax.numpy as jnp
    >>> pseudo_inverse(jnp.array([[2.0], [0.0]]))
    Array([[0.5, 0. ]], dtype=float32)
    """
    left, inverse, right = _inverse_sizes(matrix, margin)
    return matmul(right.T * inverse, left.T)


@pseudo_inverse.defjvp
def _pseudo_inverse_jvp(margin: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    a, da = primals[0], tangents[0]
    p = pseudo_inverse(a, margin)
    outside = matmul(matmul(p, p.T), da.T)
    missed = matmul(da.T, matmul(p.T, p))
    change = -matmul(matmul(p, da), p) + outside - matmul(matmul(outside, a), p) + missed - matmul(p, matmul(a, missed))
    return p, change


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def least_squares(matrix: Float[Array, "n c"], target: Float[Array, "n *q"], margin: int = 1) -> Float[Array, "c *q"]:
    """Return the X of minimum norm among those that minimize ``|A X - B|``, with the rank and derivative of `pseudo_inverse`.

    >>> import jax.numpy as jnp
    >>> least_squares(jnp.array([[2.0], [0.0]]), jnp.array([[4.0], [5.0]]))
    Array([[2.]], dtype=float32)
    """
    left, inverse, right = _inverse_sizes(matrix, margin)
    return matmul(right.T * inverse, matmul(left.T, target))


@least_squares.defjvp
def _least_squares_jvp(margin: int, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (a, b), (da, db) = primals, tangents
    x, p = least_squares(a, b, margin), pseudo_inverse(a, margin)
    rest = matmul(da.T, b - matmul(a, x))
    missed = matmul(da.T, matmul(p.T, x))
    return x, matmul(p, db - matmul(da, x)) + matmul(p, matmul(p.T, rest)) + missed - matmul(p, matmul(a, missed))


def _inverse_sizes(matrix: Float[Array, "n c"], margin: int) -> tuple[Array, Array, Array]:
    """Return the thin SVD with the inverse of the singular values, 0 for those that count as 0."""
    left, sizes, right = jnp.linalg.svd(matrix, full_matrices=False)
    present = sizes > margin * max(matrix.shape) * jnp.finfo(sizes.dtype).eps * sizes[0]
    return left, jnp.where(present, 1 / jnp.where(present, sizes, 1), 0), right
