"""The sparse direct solver: LU of I - W itself, and Lanczos on the pseudo-inverse of (I - W)^T (I - W)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from .._core.checks import is_traced
from ..alignment import Alignment, Components, connected_components
from ._ordering import elimination_order
from .spectrum import NO_HINTS, Hints, Spectrum

Order = Int[np.ndarray, " n"] | None
Solve = Callable[[np.ndarray, str], np.ndarray]
_ROUNDING = 2**-46  # relative shift that makes a singular M regular, far below its eigenvalues that matter
_GOOD = 1e-12  # backward error of a solve that passes; elimination without pivoting is usually at 1e-16


@dataclass(frozen=True)
class SparseLU:
    """Solve on the host, in float64, by a sparse LU of B (for r = 1), never of M = B^T B.

    B has the constant as its right null vector and another vector, l, as its left one. With one point of each closed
    class of the graph grounded, B becomes regular; two solves with its factors and two projections (off the constant, off
    l) apply the pseudo-inverse of M exactly, and Lanczos finds its top. The factors' size grows with the intrinsic
    dimension of the data, not only with n; the extra `metis` (pymetis) halves it for real data by a better order of
    elimination. For r > 1 M is factored, with half the digits.

    Attributes:
        tol: relative accuracy of the eigenvalues of M.
        krylov: size of the Krylov space. None: 4 count, which as a rule saves Lanczos a restart.
        max_iterations: restarts of Lanczos after which the best so far is returned with `converged` False.
    """

    tol: float = 1e-10
    krylov: int | None = None
    max_iterations: int = 1000

    def __call__(self, alignment: Alignment, count: int, key: jax.Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values beyond the constant's, with their vectors."""
        if is_traced(alignment, key):
            raise TypeError(
                "SparseLU runs on the host and cannot be traced: inside jit, vmap or grad use solvers.DenseQR() or Landmark()."
            )
        matrix, inverse = pseudo_inverse(alignment)
        seed = np.asarray(jax.random.key_data(key)).ravel()
        return _lanczos(matrix, inverse, count, np.random.default_rng(seed), self)


class _Inverse(NamedTuple):
    """The pseudo-inverse of M off its null space, and an orthonormal basis of that space, the constant first."""

    apply: Callable[[np.ndarray], np.ndarray]
    null: Float[np.ndarray, "n c"]


def pseudo_inverse(alignment: Alignment) -> tuple[Any, _Inverse]:
    """Return B as a SciPy matrix in float64, and the pseudo-inverse of M = B^T B by sparse factors."""
    matrix = _balanced(alignment)
    return matrix, _invert(matrix, alignment)


def prescribed_inverse(
    alignment: Alignment, free: Float[np.ndarray, " n"], trust: Float[np.ndarray, " n"]
) -> tuple[Any, Callable[[np.ndarray], np.ndarray] | None]:
    """Return B as a SciPy matrix in float64, and the inverse of M + diag(trust) on the free points, 0 on the others.

    Some places are held or pulled, so that no null vector is left to project out; None where one is.
    """
    from scipy.sparse import diags_array

    matrix, kept = _balanced(alignment), np.flatnonzero(free)
    square = (matrix.T @ matrix + diags_array(trust)).tocsr()[kept][:, kept]
    order = elimination_order(square, alignment)
    factor = _factor(square, order, False) or _factor(square, order, True)

    def apply(b: np.ndarray) -> np.ndarray:
        out = np.zeros_like(b)
        out[kept] = factor(b[kept], "N")  # pyright: ignore[reportOptionalCall]
        return out

    return matrix, None if factor is None else apply


def _balanced(alignment: Alignment) -> Any:
    """Return B in float64, each row's rounding taken off its largest entry so that B 1 = 0 exactly."""
    blocks = np.array(alignment.blocks, np.float64)
    largest = np.abs(blocks).argmax(axis=2)[..., None]
    rounding = blocks.sum(axis=2, keepdims=True)
    np.put_along_axis(blocks, largest, np.take_along_axis(blocks, largest, axis=2) - rounding, axis=2)
    return Alignment(alignment.indices, blocks).to_scipy()  # pyright: ignore[reportArgumentType] - on the host


def _invert(matrix: Any, alignment: Alignment) -> _Inverse:
    components = connected_components(alignment)
    ground = _grounds(matrix, components)
    kept = np.delete(np.arange(matrix.shape[1]), ground)
    if alignment.blocks.shape[1] > 1:
        square = (matrix.T @ matrix).tocsr()[kept][:, kept]
        invert = partial(_invert_normal, labels=components.labels)
    else:
        square, invert = matrix[kept][:, kept], _invert_square
    order = elimination_order(square, alignment)
    for robust in (False, True):
        inverse = invert(matrix, square, order, ground, kept, robust)
        for good in () if inverse is None else (inverse, _refined(matrix, inverse)):
            if _is_good(matrix, good):
                return good
    raise np.linalg.LinAlgError(
        "The sparse LU of this alignment is too inaccurate to use, even with pivoting: the weights are extreme. Raise reg, "
        "or use solver=jaxlle.solvers.DenseQR()."
    )


def _grounds(matrix: Any, components: Components) -> np.ndarray:
    """Return one point of each closed class, the one that most rows look at: the stablest to hold fixed."""
    degree = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return np.array([members[degree[members].argmax()] for members in components.closed])


def _invert_square(
    matrix: Any, square: Any, order: Order, ground: np.ndarray, kept: np.ndarray, robust: bool
) -> _Inverse | None:
    factor = _factor(square, order, robust)
    if factor is None:
        return None
    n, c = matrix.shape[1], len(ground)

    def solve(b: np.ndarray, trans: str) -> np.ndarray:
        out = np.zeros_like(b)
        out[kept] = factor(b[kept], trans)
        return out

    # A null vector is 1 at one grounded point and 0 at the others; the equations of all the rest give it elsewhere.
    right, left = np.zeros((n, c)), np.zeros((n, c))
    right[kept] = factor(-matrix[kept][:, ground].toarray(), "N")
    left[kept] = factor(-matrix[ground][:, kept].toarray().T, "T")
    right[ground, np.arange(c)] = left[ground, np.arange(c)] = 1
    if not (np.isfinite(right).all() and np.isfinite(left).all()):
        return None
    null, left = _orthonormal_with_constant(right), np.linalg.qr(left)[0]

    def apply(b: np.ndarray) -> np.ndarray:
        z = _off(left, solve(_off(null, b), "T"))
        return _off(null, solve(z, "N"))

    return _Inverse(apply, null)


def _invert_normal(
    matrix: Any, square: Any, order: Order, ground: np.ndarray, kept: np.ndarray, robust: bool, labels: np.ndarray
) -> _Inverse | None:
    """Invert M = B^T B for tall B, whose null vectors are known: one constant on each part of the graph."""
    from scipy.sparse import eye_array

    if robust:
        # On flat data the affine functions are null vectors too. A shift by rounding keeps them from stopping the factors,
        # and Lanczos finds them first.
        square = square + _ROUNDING * square.diagonal().max() * eye_array(len(kept))
    factor = _factor(square, order, robust)
    if factor is None:
        return None
    null = _orthonormal_with_constant((labels[:, None] == np.arange(len(ground))).astype(float))

    def apply(b: np.ndarray) -> np.ndarray:
        out = np.zeros_like(b)
        out[kept] = factor(_off(null, b)[kept], "N")
        return _off(null, out)

    return _Inverse(apply, null)


def _factor(matrix: Any, order: Order, robust: bool) -> Solve | None:
    """Return what solves with a square matrix ("N") or its transpose ("T"), or None if it is singular."""
    from scipy.sparse.linalg import splu

    # No pivoting keeps the fill low; pivoting is for the rare matrix that needs it.
    # `relax` and `panel_size` stay at their defaults: relax = 30 is faster, and corrupts the heap (SciPy 1.17).
    pivoting = {"diag_pivot_thresh": 0.1} if robust else {"diag_pivot_thresh": 0.0}
    if order is not None:
        matrix = matrix.tocsr()[order][:, order]
    method = "MMD_AT_PLUS_A" if order is None else "NATURAL"
    try:
        factor = splu(matrix.tocsc(), permc_spec=method, options={"SymmetricMode": True}, **pivoting)
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


def _refined(matrix: Any, inverse: _Inverse) -> _Inverse:
    """Add a step of iterative refinement: of a few digits lost without pivoting it leaves none, for twice the solves."""

    def apply(b: np.ndarray) -> np.ndarray:
        y = inverse.apply(b)
        return y + inverse.apply(b - matrix.T @ (matrix @ y))

    return _Inverse(apply, inverse.null)


def _is_good(matrix: Any, inverse: _Inverse) -> bool:
    """Tell whether M (M^+ b) = b for one b off the null space, up to a small relative change of M."""
    b = _off(inverse.null, np.cos(np.arange(1.0, matrix.shape[1] + 1)))
    y = inverse.apply(b)
    if not np.isfinite(y).all():
        return False
    terms = np.linalg.norm(b) + _size(matrix) ** 2 * np.linalg.norm(y)
    return bool(np.linalg.norm(matrix.T @ (matrix @ y) - b) <= _GOOD * terms)


def _size(matrix: Any) -> float:
    size = abs(matrix)
    return float(np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max()))


def _lanczos(matrix: Any, inverse: _Inverse, count: int, rng: np.random.Generator, options: SparseLU) -> Spectrum:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    n, c = inverse.null.shape
    missing = max(0, count - (c - 1))
    vectors, converged = inverse.null[:, 1:], True
    if missing:
        krylov = min(n, max(4 * missing if options.krylov is None else options.krylov, missing + 1))
        operator = LinearOperator((n, n), matvec=lambda b: inverse.apply(b.ravel()), dtype=np.float64)  # pyright: ignore
        start = _off(inverse.null, rng.standard_normal(n))
        try:
            _, found = eigsh(
                operator,
                missing,
                which="LM",
                ncv=krylov,
                tol=options.tol,  # pyright: ignore[reportArgumentType]
                v0=start,
                maxiter=options.max_iterations,
            )
        except ArpackNoConvergence as error:
            found, converged = _off(inverse.null, rng.standard_normal((n, missing))), False
            found[:, : error.eigenvectors.shape[1]] = error.eigenvectors
        vectors = np.concatenate([vectors, np.linalg.qr(_off(inverse.null, found))[0]], axis=1)
    # Rayleigh-Ritz with B itself: singular values to full relative accuracy, where roots of eigenvalues have half.
    _, values, right = np.linalg.svd(np.linalg.qr(matrix @ vectors, mode="r"))
    return Spectrum(values[::-1][:count], (vectors @ right[::-1].T)[:, :count], c, converged)


def _orthonormal_with_constant(null: np.ndarray) -> np.ndarray:
    constant = np.full((null.shape[0], 1), null.shape[0] ** -0.5)
    if null.shape[1] == 1:
        return constant  # known exactly
    others = _off(constant, null)
    left, _, _ = np.linalg.svd(others, full_matrices=False)
    return np.concatenate([constant, _off(constant, left[:, : null.shape[1] - 1])], axis=1)


def _off(basis: np.ndarray, b: np.ndarray) -> np.ndarray:
    if basis.shape[1] == 1 and b.ndim == 1:  # nearly always; the general product is several times slower
        return b - basis[:, 0] * np.dot(basis[:, 0], b)
    return b - basis @ (basis.T @ b)
