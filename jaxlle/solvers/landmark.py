"""The iterative solver: LOBPCG on B^T B, preconditioned by landmarks, deflation and Chebyshev smoothing, all under jit."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.blocks import memory_advice
from .._core.checks import check_count
from .._core.linear import matmul
from ..alignment import Alignment
from ..alignment.operator import prepare_rows
from ._deflation import make_deflation
from ._smoothing import make_smoother, top_eigenvalue
from .coarse import Choice, coarse_space, random_landmarks
from .dense import DenseQR
from .linear import ConjugateGradient
from .rows import Operator, Rows
from .spectrum import NO_HINTS, TYPICAL_ROUNDING, Hints, Spectrum

_DEFLATED = 4  # deflated vectors per iterated vector
_COLUMNS = 8  # products with eight columns cost no more than products with five
_INITIAL_RATE = 0.9  # assumed ratio of the sizes of consecutive steps, before two steps are known
_RATE_DECAY = 0.8  # how fast the estimated ratio may improve from step to step
_STATIONARY = 0.01  # relative decrease of a squared singular value in a step, below which it counts as converged


@dataclass(frozen=True)
class Landmark:
    """Solve by LOBPCG (Knyazev 2001), preconditioned by a landmark coarse space; matrix-free, on any device.

    Every point is interpolated from its nearest landmarks, so that a vector on the landmarks represents a smooth vector on
    all points. The bottom vectors of the coarse operator are the Locally Linear Landmarks embedding (Vladymyrov and
    Carreira-Perpinan 2013); a Chebyshev polynomial smooths them, and the result is the deflation space. The preconditioner
    applies the inverses on the coarse space and on the deflation space between two smoothings; the limit of the iteration is
    exact. The time is nearly linear in n where the intrinsic dimension is high, as for images; where it is low and n is
    large, `SparseLU` is faster. The solver works on B and not on M = B^T B, so that float32 is sufficient wherever
    `Embedding.gap` is large enough. Runs under jit. Up to eight points are passed to `DenseQR`.

    Attributes:
        landmarks: number of landmarks. None: a thirtieth of the points, between 200 and 1,000.
        choice: function that chooses them: `random_landmarks`, `farthest_landmarks`, `kmeans_landmarks` or your own.
        landmark_neighbors: number of landmarks from which a point is interpolated.
        degree: degree of the smoothing polynomials. None: the square root of the ratio.
        ratio: largest over smallest smoothed eigenvalue. None: estimated from the vectors that the landmarks miss, at most
            1,500.
        oversample: smallest number of iterated vectors beyond those requested; the block is rounded up to a multiple of eight.
        tol: largest accepted angle, in radians, between the computed and the exact subspace. None: 1e-6 in float64, 3e-4 in
            float32. It is raised to the angle that rounding allows.
        max_iterations: iterations after which the best result so far is returned with `converged` False.
    """

    landmarks: int | None = None
    choice: Choice = random_landmarks
    landmark_neighbors: int = 8
    degree: int | None = None
    ratio: float | None = None
    oversample: int = 3
    tol: float | None = None
    max_iterations: int = 200

    def __call__(self, alignment: Alignment, count: int, key: Array, hints: Hints = NO_HINTS) -> Spectrum:
        """Return the `count` smallest singular values beyond the constant's, with their vectors."""
        _check_options(self, alignment.blocks.dtype, count)
        if alignment.shape[1] <= _COLUMNS:  # the solver iterates on more vectors than there are
            return DenseQR()(alignment, count, key, hints)
        with memory_advice(
            "the landmark solver stores about a hundred vectors of all points; try fewer landmarks, or SparseLU"
        ):
            return _solve(alignment, count, key, hints, self)

    @property
    def tangent_solver(self) -> ConjugateGradient:
        """Return the linear solver for the derivative of an embedding, which is matrix-free too."""
        return ConjugateGradient()


def _check_options(options: Landmark, dtype: Any, count: int) -> None:
    """Raise if options are out of range, inside jit too, as they are static."""
    whole = {"landmark_neighbors": (options.landmark_neighbors, 2), "degree": (options.degree, 1)}
    whole |= {"landmarks": (options.landmarks, count + 2), "oversample": (options.oversample, 0)}
    for name, (value, low) in (whole | {"max_iterations": (options.max_iterations, 0)}).items():
        if value is not None:
            check_count(value, name, low, None, "of solvers.Landmark")
    if options.ratio is not None and not options.ratio > 1:
        raise ValueError(
            f"ratio = {options.ratio} is not allowed: the smoothed interval [top / ratio, top] needs ratio > 1."
        )
    floor = 10 * float(jnp.finfo(dtype).eps)
    if options.tol is not None and not options.tol >= floor:
        raise ValueError(
            f"tol = {options.tol} is below what {dtype} can reach, {floor:.2g}: raise it, or compute in float64."
        )


class _State(NamedTuple):
    basis: Float[Array, "n b"]
    image: Float[Array, "nr b"]  # B times the basis
    direction: Float[Array, "n b"]
    values: Float[Array, " b"]
    change: Float[Array, ""]  # sine of the angle between the wanted vectors and the previous block
    rate: Float[Array, ""]  # estimated ratio of consecutive changes
    error: Float[Array, ""]  # estimated angle between the computed and the exact subspace
    limit: Float[Array, ""]
    step: Int[Array, ""]


class _Goal(NamedTuple):
    wanted: int  # number of vectors
    rounding: Float[Array, ""]  # of a value
    tol: float | None  # of the angle

    def limit(self, values: Float[Array, " b"]) -> Float[Array, ""]:
        """Return the angle at which the iteration stops."""
        gap = values[min(self.wanted, len(values) - 1)] - values[self.wanted - 1]
        angle = TYPICAL_ROUNDING * self.rounding / jnp.maximum(gap, jnp.finfo(values.dtype).tiny)
        tol = (3e-4 if values.dtype == jnp.float32 else 1e-6) if self.tol is None else self.tol
        return jnp.clip(angle, tol, 0.1).astype(values.dtype)


@partial(jax.jit, static_argnames=("count", "options"))
def _solve(alignment: Alignment, count: int, key: Array, hints: Hints, options: Landmark) -> Spectrum:
    return solve_rows(alignment, count, key, hints, options, Rows(alignment.shape[1]))


def solve_rows(alignment: Alignment, count: int, key: Array, hints: Hints, options: Landmark, rows: Rows) -> Spectrum:
    """Solve with the rows of this device, of the alignment, the points and the vectors alike."""
    like = alignment.blocks[:, 0, 0]
    operator = Operator(prepare_rows(alignment, rows.offset_and_total(len(like))[1]), rows)
    keys = jax.random.split(key, 5)
    columns = min(_COLUMNS, rows.num_points - 1)
    start, probe = jax.vmap(lambda key: rows.random_normal(key, like, columns))(keys[jnp.array([0, 2])])
    top = top_eigenvalue(operator, start)
    coarse = coarse_space(
        operator, hints.points, top, keys[1], options.landmarks, options.landmark_neighbors, options.choice
    )
    smoother = make_smoother(operator, coarse, top, probe, options.ratio, options.degree)
    size = min(-(-(count + options.oversample) // _COLUMNS) * _COLUMNS, rows.num_points - 1)
    num_deflated = min(_DEFLATED * size, rows.num_points - 1)
    rounding = jnp.finfo(like.dtype).eps * operator.norm_bound()
    wanted = max(1, count - 1)  # the last vector is computed for the gap only
    goal = _Goal(wanted, rounding, options.tol)
    smoothest = _pad_with_random(keys[4], coarse.bottom_vectors(keys[3], num_deflated), num_deflated, rows)
    deflation = make_deflation(operator, smoother, smoothest)

    def precondition(r: Float[Array, "n c"]) -> Float[Array, "n c"]:
        smoothing, degree = smoother.smoothing, smoother.degree
        corrections = (smoothing.first_move, deflation.correct, coarse.correct)
        order = jnp.array([0, 1, 2, 1, 0])
        stops = jnp.stack([degree + 1, 2, 2, 2, degree])  # the last step leaves its change pending

        # A loop, because every product with M of the program takes a tenth of a second to compile. Each correction is followed
        # by the product that updates the residual, and those by the smoother by the further steps of the semi-iteration.
        def correct(step: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            z, rest, _ = state
            move = lax.switch(order[step], corrections, rest)
            return smoothing.advance((z, rest, move), 1, stops[step])

        zero = jnp.zeros_like(r)
        z, _, move = lax.fori_loop(0, len(order), correct, (zero, r, zero))
        return z + move

    def improve(state: _State) -> _State:
        residual = operator.rmatvec(state.image) - state.basis * state.values**2
        step = rows.centered(precondition(residual))
        step = step - matmul(state.basis, rows.inner(state.basis, step))
        space = rows.orthonormal(jnp.concatenate([state.basis, step, state.direction], axis=1))
        new = _rayleigh_ritz(operator, space, size, goal)
        return _with_error_estimate(state, new, wanted, 4 * rounding, smoother.shortfall)

    if hints.start is None:
        first = deflation.vectors[:, :size], deflation.image[:, :size], deflation.values[:size]
        state = _state(first, jnp.zeros_like(first[0]), 0.0, goal)
    else:
        start = rows.orthonormal(_pad_with_random(keys[4], hints.start, size, rows)[:, :size])
        state = _rayleigh_ritz(operator, start, size, goal)
    state = lax.while_loop(lambda s: (s.error > s.limit) & (s.step < options.max_iterations), improve, state)
    num_components = 1 + jnp.sum(state.values <= 4 * rounding, dtype=jnp.int32)
    return Spectrum(state.values[:count], state.basis[:, :count], num_components, state.error <= state.limit)


def _rayleigh_ritz(operator: Operator, space: Float[Array, "n s"], size: int, goal: _Goal) -> _State:
    """Return the bottom vectors of B within a space with an orthonormal basis, which begins with the previous block."""
    image, values, mix = operator.ritz(space)
    values, mix = values[:size], mix[:, :size]
    direction, change = matmul(space[:, size:], mix[size:]), jnp.linalg.norm(mix[size:, : goal.wanted])
    return _state((matmul(space, mix), matmul(image, mix), values), direction, change, goal)


def _state(ritz: tuple[Array, Array, Array], direction: Float[Array, "n b"], change: Any, goal: _Goal) -> _State:
    """Return the state of an iteration, from the basis, its image and its values, before its error is estimated."""
    basis, image, values = ritz
    return _State(
        basis=basis,
        image=image,
        direction=direction,
        values=values,
        change=jnp.asarray(change, values.dtype),
        rate=jnp.full((), _INITIAL_RATE, values.dtype),
        error=jnp.full((), jnp.inf, values.dtype),
        limit=goal.limit(values),
        step=jnp.zeros((), jnp.int32),
    )


def _with_error_estimate(
    old: _State, new: _State, wanted: int, floor: Float[Array, ""], shortfall: Float[Array, ""]
) -> _State:
    """Return the new state with an estimate of the angle between the computed and the exact subspace.

    The changes of the subspace shrink geometrically, so that their sum to infinity estimates the error. They are a better
    measure than the residual, which contains rounding errors in rough vectors that do not rotate the subspace, and better than
    the preconditioned residual, which is too small where the smoother covers only a part of what the coarse space misses.
    As long as the values still decrease, small changes can hide smooth errors, so the decrease is a lower bound. In float32,
    where changes may reach rounding before convergence, the sum is multiplied by the shortfall of the smoother.
    """
    tiny = jnp.finfo(new.change.dtype).tiny
    ratio = jnp.where(old.step > 0, jnp.clip(new.change / jnp.maximum(old.change, tiny), 0.05, 0.99), _INITIAL_RATE)
    rate = jnp.maximum(ratio, _RATE_DECAY * old.rate)  # where convergence is slow, a single small change is no evidence
    after, before = new.values[:wanted] ** 2, old.values[:wanted] ** 2
    decrease = jnp.max((before - after) / jnp.maximum(after + floor**2, tiny))
    hidden = jnp.where(decrease > _STATIONARY, jnp.sqrt(decrease), 0)
    remaining = new.change * rate / (1 - rate) * (shortfall if new.change.dtype == jnp.float32 else 1)
    return new._replace(rate=rate, error=jnp.maximum(remaining, hidden), step=old.step + 1)


def _pad_with_random(key: Array, start: Float[Array, "n c"], size: int, rows: Rows) -> Float[Array, "n b"]:
    """Return `size` vectors: the given vectors, followed by random vectors if there are fewer."""
    columns = min(start.shape[1], size)
    if columns == size:
        return start[:, :size]
    return rows.random_normal(key, start[:, 0], size).at[:, :columns].set(start[:, :columns])
