"""Sparse factors on the host, in float64: the pseudo-inverse of M = B^T B, and the inverse of M with prescribed points."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..alignment import Alignment, Components, connected_components
from . import _pardiso
from ._ordering import elimination_order

Order = Int[np.ndarray, " n"] | None
FactorSolve = Callable[[np.ndarray, str], np.ndarray]
HostSolve = Callable[[np.ndarray], np.ndarray]
_SHIFT = 2**-46  # relative shift that makes a singular M regular, far below the eigenvalues that are sought
_MAX_BACKWARD_ERROR = 1e-12  # of an accepted solve; elimination without pivoting usually reaches 1e-16


class PseudoInverse(NamedTuple):
    """The pseudo-inverse of M.

    Attributes:
        apply: multiplies a vector or the columns of a matrix by it.
        null: orthonormal basis of the null space of M, the constant first, shape (n, c).
    """

    apply: HostSolve
    null: Float[np.ndarray, "n c"]


def pseudo_inverse(alignment: Alignment) -> tuple[Any, PseudoInverse]:
    """Return B as a SciPy matrix in float64, and the pseudo-inverse of M = B^T B by sparse factors."""
    matrix = _to_scipy(alignment)
    components = connected_components(alignment)
    grounded = _grounded_points(matrix, components)
    kept = np.delete(np.arange(matrix.shape[1]), grounded)
    if alignment.blocks.shape[1] > 1:
        square, invert = (matrix.T @ matrix).tocsr(), partial(_invert_normal, labels=components.labels)
    else:
        square, invert = matrix, _invert_square
    square = _without(square, grounded)
    order = elimination_order(square, alignment)
    for pivoting in (False, True):
        inverse = invert(matrix, square, order, grounded, kept, pivoting)
        for candidate in () if inverse is None else (inverse, _refined(matrix, inverse)):
            if _is_accurate(matrix, candidate):
                return matrix, candidate
    raise np.linalg.LinAlgError(
        "The sparse LU of this alignment is too inaccurate to use, even with pivoting, because the weights are extreme. "
        "Raise reg, or use solver=jaxlle.solvers.DenseQR()."
    )


def prescribed_inverse(
    alignment: Alignment, free: Float[np.ndarray, " n"], trust: Float[np.ndarray, " n"]
) -> tuple[Any, HostSolve | None]:
    """Return B as a SciPy matrix in float64, and the inverse of M + diag(trust) on the free points, 0 on the others.

    The prescribed points leave no null vector to project out. The inverse is None if the matrix is singular nevertheless.
    """
    from scipy.sparse import diags_array

    matrix, kept = _to_scipy(alignment), np.flatnonzero(free)
    square = (matrix.T @ matrix + diags_array(trust)).tocsr()[kept][:, kept]
    order = elimination_order(square, alignment)
    factor = _factor(square, order, False, positive=True) or _factor(square, order, True)

    def apply(b: np.ndarray) -> np.ndarray:
        out = np.zeros_like(b)
        out[kept] = factor(b[kept], "N")  # pyright: ignore[reportOptionalCall]
        return out

    return matrix, None if factor is None else apply


def project_out_host(basis: Float[np.ndarray, "n c"], b: np.ndarray) -> np.ndarray:
    """Return b without its components along the orthonormal columns of a basis."""
    if basis.shape[1] == 1 and b.ndim == 1:  # the usual case, several times faster than the general product
        return b - basis[:, 0] * np.dot(basis[:, 0], b)
    return b - basis @ (basis.T @ b)


def _to_scipy(alignment: Alignment) -> Any:
    """Return B in float64, the rounding error of each row sum subtracted from its largest entry, so that B 1 = 0 exactly."""
    blocks = np.array(alignment.blocks, np.float64)
    largest = np.abs(blocks).argmax(axis=2)[..., None]
    rounding = blocks.sum(axis=2, keepdims=True)
    np.put_along_axis(blocks, largest, np.take_along_axis(blocks, largest, axis=2) - rounding, axis=2)
    return Alignment(alignment.indices, blocks).to_scipy()  # pyright: ignore[reportArgumentType] - on the host


def _grounded_points(matrix: Any, components: Components) -> np.ndarray:
    """Return one point of each closed class, the one of highest in-degree: fixing it is the most stable."""
    degree = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return np.array([members[degree[members].argmax()] for members in components.closed])


def _without(matrix: Any, points: np.ndarray) -> Any:
    """Return a square CSR matrix without some of its rows and columns, in a third of the time of indexing."""
    n = matrix.shape[0]
    kept = np.ones(n, bool)
    kept[points] = False
    entries = kept[matrix.indices]
    for point in points:
        entries[matrix.indptr[point] : matrix.indptr[point + 1]] = False
    starts = np.concatenate([[0], np.cumsum(entries)])[matrix.indptr]
    starts = np.append(starts[:-1][kept], starts[-1]).astype(matrix.indptr.dtype)
    place = np.cumsum(kept, dtype=matrix.indices.dtype) - 1
    size = n - len(points)
    return type(matrix)((matrix.data[entries], place[matrix.indices[entries]], starts), shape=(size, size))


def _invert_square(
    matrix: Any, square: Any, order: Order, grounded: np.ndarray, kept: np.ndarray, pivoting: bool
) -> PseudoInverse | None:
    """Invert M through the factors of square B itself, whose left null vectors differ from the right ones."""
    factor = _factor(square, order, pivoting)
    if factor is None:
        return None
    n, c = matrix.shape[1], len(grounded)

    def solve(b: np.ndarray, trans: str) -> np.ndarray:
        out = np.zeros_like(b)
        out[kept] = factor(b[kept], trans)
        return out

    # A null vector is 1 at one grounded point and 0 at the other grounded points; the equations of all other points
    # determine the rest of it.
    right, left = np.zeros((n, c)), np.zeros((n, c))
    right[kept] = factor(-matrix[:, grounded].toarray()[kept], "N")
    left[kept] = factor(-matrix[grounded][:, kept].toarray().T, "T")
    right[grounded, np.arange(c)] = left[grounded, np.arange(c)] = 1
    if not (np.isfinite(right).all() and np.isfinite(left).all()):
        return None
    null, left = _orthonormal_with_constant(right), np.linalg.qr(left)[0]

    def apply(b: np.ndarray) -> np.ndarray:
        z = project_out_host(left, solve(project_out_host(null, b), "T"))
        return project_out_host(null, solve(z, "N"))

    return PseudoInverse(apply, null)


def _invert_normal(
    matrix: Any, square: Any, order: Order, grounded: np.ndarray, kept: np.ndarray, pivoting: bool, labels: np.ndarray
) -> PseudoInverse | None:
    """Invert M = B^T B for tall B, whose null vectors are known: one constant on each component of the graph."""
    from scipy.sparse import eye_array

    if pivoting:
        # On flat data the affine functions are null vectors too. A shift of the size of rounding keeps the matrix
        # regular, and Lanczos iteration finds these vectors first.
        square = square + _SHIFT * square.diagonal().max() * eye_array(len(kept))
    factor = _factor(square, order, pivoting, positive=True)
    if factor is None:
        return None
    null = _orthonormal_with_constant((labels[:, None] == np.arange(len(grounded))).astype(float))

    def apply(b: np.ndarray) -> np.ndarray:
        out = np.zeros_like(b)
        out[kept] = factor(project_out_host(null, b)[kept], "N")
        return project_out_host(null, out)

    return PseudoInverse(apply, null)


def _factor(matrix: Any, order: Order, pivoting: bool, positive: bool = False) -> FactorSolve | None:
    """Return a function that solves with a square matrix ("N") or its transpose ("T"), or None if it is singular.

    A `positive` matrix is symmetric, and positive definite unless rounding made it indefinite.
    """
    if not pivoting and _pardiso.is_used(matrix.shape[0]):
        factors = _pardiso.factorize(matrix, positive)
        return None if factors is None else factors.solve
    from scipy.sparse.linalg import splu

    # Elimination without pivoting keeps the fill low; few matrices need pivoting.
    # `relax` and `panel_size` stay at their defaults: relax = 30 is faster, and corrupts the heap (SciPy 1.17).
    threshold = {"diag_pivot_thresh": 0.1 if pivoting else 0.0}
    if order is not None:
        matrix = matrix.tocsr()[order][:, order]
    method = "MMD_AT_PLUS_A" if order is None else "NATURAL"
    try:
        factor = splu(matrix.tocsc(), permc_spec=method, options={"SymmetricMode": True}, **threshold)
    except RuntimeError as error:
        if "singular" in str(error):
            return None
        raise

    def solve(b: np.ndarray, trans: str) -> np.ndarray:
        if order is None:
            return factor.solve(np.ascontiguousarray(b), trans=trans)
        out = np.empty(b.shape)
        out[order] = factor.solve(np.ascontiguousarray(b[order]), trans=trans)
        return out

    return solve


def _refined(matrix: Any, inverse: PseudoInverse) -> PseudoInverse:
    """Add a step of iterative refinement, which recovers a few digits lost without pivoting, for twice the solves."""

    def apply(b: np.ndarray) -> np.ndarray:
        y = inverse.apply(b)
        return y + inverse.apply(b - matrix.T @ (matrix @ y))

    return PseudoInverse(apply, inverse.null)


def _is_accurate(matrix: Any, inverse: PseudoInverse) -> bool:
    """Check M (M^+ b) = b for one b orthogonal to the null space, up to a small relative change of M."""
    b = project_out_host(inverse.null, np.cos(np.arange(1.0, matrix.shape[1] + 1)))
    y = inverse.apply(b)
    if not np.isfinite(y).all():
        return False
    terms = np.linalg.norm(b) + _norm_bound(matrix) ** 2 * np.linalg.norm(y)
    return bool(np.linalg.norm(matrix.T @ (matrix @ y) - b) <= _MAX_BACKWARD_ERROR * terms)


def _norm_bound(matrix: Any) -> float:
    size = abs(matrix)
    return float(np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max()))


def _orthonormal_with_constant(null: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of a space that contains the constant vector, the constant first."""
    constant = np.full((null.shape[0], 1), null.shape[0] ** -0.5)
    if null.shape[1] == 1:
        return constant  # known exactly
    others = project_out_host(constant, null)
    left, _, _ = np.linalg.svd(others, full_matrices=False)
    return np.concatenate([constant, project_out_host(constant, left[:, : null.shape[1] - 1])], axis=1)
