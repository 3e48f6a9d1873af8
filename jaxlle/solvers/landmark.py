"""The iterative solver: LOBPCG on B^T B, preconditioned by landmarks, deflation and Chebyshev smoothing, all of it jitted."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._core.blocks import memory_advice
from .._core.checks import check_count
from .._core.points import standardize
from ..alignment import Alignment
from ..alignment.operator import prepare_rows
from ._deflation import deflation
from ._smoothing import smoother, top_eigenvalue
from .coarse import Choice, coarse_space, random_landmarks
from .rows import Operator, Rows, product
from .spectrum import NO_HINTS, TYPICAL_ROUNDING, Hints, Spectrum

_DEFLATED = 4  # vectors solved for exactly in every step, for each one iterated
_LANES = 8  # products with eight columns cost no more than with five
_FIRST_RATE, _FORGETTING = 0.9, 0.8  # at which steps shrink before two have been seen; how fast slow ones are forgotten
_SETTLED = 0.01  # values that fall by less in a step have settled


@dataclass(frozen=True)
class Landmark:
    """Solve by LOBPCG (Knyazev 2001), preconditioned by a landmark coarse space; matrix-free, on any device.

    Every point is written by its nearest landmarks, so that a vector on the landmarks stands for a smooth vector on all
    points. The coarse operator's bottom is the Locally Linear Landmarks embedding (Vladymyrov and Carreira-Perpinan 2013),
    which a Chebyshev polynomial then smooths: the space to deflate by. Between two smoothings the inverses on both
    precondition an iteration whose limit is exact. Time grows nearly linearly in n where the intrinsic dimension is high,
    as in images; where it is low and n is large, `SparseLU` is faster. Works on B and not on M = B^T B, so that float32 is
    enough wherever `Embedding.gap` says so. Runs under jit.

    Attributes:
        landmarks: how many. None: a thirtieth of the points, between 200 and 1,000.
        choice: how they are chosen: `random_landmarks`, `farthest_landmarks`, `kmeans_landmarks` or your own.
        landmark_neighbors: landmarks that a point is written by.
        degree: of the smoothing polynomials. None: by the interval, the square root of its ratio.
        ratio: largest over smallest eigenvalue that is smoothed. None: estimated from what the landmarks miss, at
            most 1,500.
        oversample: vectors iterated, at least, beyond those asked for; the block is filled up to a multiple of eight.
        tol: largest angle, in radians, by which the wanted subspace may still be off. None: 1e-6 in float64, 3e-4 in
            float32. Never below what rounding lets settle.
        max_iterations: after which the best so far is returned with `converged` False.
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
        _check(self, alignment.blocks.dtype, count)
        if hints.points is not None:
            hints = hints._replace(points=standardize(hints.points).points)
        with memory_advice(
            "the landmark solver holds some hundred vectors of all points; try fewer landmarks, or SparseLU"
        ):
            return _solve(alignment, count, key, hints, self)


def _check(options: Landmark, dtype: Any, count: int) -> None:
    """Raise for options that cannot work; they are static, so inside jit too."""
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
            f"tol = {options.tol} is below what {dtype} can settle, {floor:.2g}: raise it, or compute in float64."
        )


class _State(NamedTuple):
    basis: Float[Array, "n b"]
    direction: Float[Array, "n b"]
    values: Float[Array, " b"]
    residual: Float[Array, "n b"]
    moved: Float[Array, ""]  # by how much the wanted vectors left the old block in the last step
    rate: Float[Array, ""]  # at which such steps shrink
    error: Float[Array, ""]
    limit: Float[Array, ""]
    step: Int[Array, ""]


@partial(jax.jit, static_argnames=("count", "options"))
def _solve(alignment: Alignment, count: int, key: Array, hints: Hints, options: Landmark) -> Spectrum:
    return solve_rows(alignment, count, key, hints, options, Rows(alignment.shape[1]))


def solve_rows(alignment: Alignment, count: int, key: Array, hints: Hints, options: Landmark, rows: Rows) -> Spectrum:
    """Solve with the rows that are here, of the alignment, the points and the vectors alike."""
    like = alignment.blocks[:, 0, 0]
    operator = Operator(prepare_rows(alignment, rows.here(len(like))[1]), rows)
    keys = jax.random.split(key, 5)
    top = top_eigenvalue(operator, rows.normal(keys[0], like, _LANES))
    coarse = coarse_space(
        operator, hints.points, top, keys[1], options.landmarks, options.landmark_neighbors, options.choice
    )
    smooth = smoother(operator, coarse, top, rows.normal(keys[2], like, _LANES), options.ratio, options.degree)
    size = min(-(-(count + options.oversample) // _LANES) * _LANES, rows.num_points - 1)
    num_deflated = min(_DEFLATED * size, rows.num_points - 1)
    rounding = jnp.finfo(like.dtype).eps * operator.norm_bound()
    wanted = max(1, count - 1)  # the last vector only tells the gap
    smoothest = _filled(keys[4], coarse.bottom(keys[3], num_deflated), num_deflated, rows)
    bottom = deflation(operator, smooth, smoothest)

    def precondition(r: Float[Array, "n c"]) -> Float[Array, "n c"]:
        z = smooth(r)
        for solve in (bottom.correct, coarse.correct, bottom.correct, smooth):
            z = z + solve(r - operator.gram(z))
        return z

    def improve(state: _State) -> _State:
        step = rows.centered(precondition(state.residual))
        step = step - product(state.basis, rows.inner(state.basis, step))
        space = rows.orthonormal(jnp.concatenate([state.basis, step, state.direction], axis=1))
        new = _rayleigh_ritz(operator, space, size, wanted, rounding, options)
        return _progress(state, new, wanted, 4 * rounding, smooth.short)

    start = bottom.vectors[:, :size] if hints.start is None else _filled(keys[4], hints.start, size, rows)
    state = _rayleigh_ritz(operator, rows.orthonormal(start), size, wanted, rounding, options)
    state = lax.while_loop(lambda s: (s.error > s.limit) & (s.step < options.max_iterations), improve, state)
    num_components = 1 + jnp.sum(state.values <= 4 * rounding, dtype=jnp.int32)
    return Spectrum(state.values[:count], state.basis[:, :count], num_components, state.error <= state.limit)


def _rayleigh_ritz(
    operator: Operator,
    space: Float[Array, "n s"],
    size: int,
    wanted: int,
    rounding: Float[Array, ""],
    options: Landmark,
) -> _State:
    """Return the bottom of B within a space with orthonormal columns, the first of which are the old basis."""
    image, values, mix = operator.ritz(space)
    values, mix = values[:size], mix[:, :size]
    basis = product(space, mix)
    gap = values[min(wanted, size - 1)] - values[wanted - 1]
    angle = TYPICAL_ROUNDING * rounding / jnp.maximum(gap, jnp.finfo(values.dtype).tiny)
    tol = (3e-4 if values.dtype == jnp.float32 else 1e-6) if options.tol is None else options.tol
    return _State(
        basis=basis,
        direction=product(space[:, size:], mix[size:]),
        values=values,
        residual=operator.rmatvec(product(image, mix)) - basis * values**2,
        moved=jnp.linalg.norm(mix[size:, :wanted]),
        rate=jnp.full((), _FIRST_RATE, values.dtype),
        error=jnp.full((), jnp.inf, values.dtype),
        limit=jnp.clip(angle, tol, 0.1).astype(values.dtype),
        step=jnp.zeros((), jnp.int32),
    )


def _progress(old: _State, new: _State, wanted: int, floor: Float[Array, ""], short: Float[Array, ""]) -> _State:
    """Return the new state with the angle by which the wanted subspace is still off.

    Steps that shrink by a rate leave the sum of those to come. What the steps moved tells more than the residual, whose
    rounding in the rough end of the spectrum turns nothing, and more than the preconditioned residual, which falls short
    where the smoothing covers only a part of what the landmarks miss. But rough errors, however short, hide smooth ones as
    long as the values still fall. And in float32 steps that fall short may drown in rounding before they have arrived.
    """
    tiny = jnp.finfo(new.moved.dtype).tiny
    seen = jnp.where(old.step > 0, jnp.clip(new.moved / jnp.maximum(old.moved, tiny), 0.05, 0.99), _FIRST_RATE)
    rate = jnp.maximum(seen, _FORGETTING * old.rate)  # where progress is slow, a single short step says little
    ends, before = new.values[:wanted] ** 2, old.values[:wanted] ** 2
    fall = jnp.max((before - ends) / jnp.maximum(ends + floor**2, tiny))
    hidden = jnp.where(fall > _SETTLED, jnp.sqrt(fall), 0)
    to_come = new.moved * rate / (1 - rate) * (short if new.moved.dtype == jnp.float32 else 1)
    return new._replace(rate=rate, error=jnp.maximum(to_come, hidden), step=old.step + 1)


def _filled(key: Array, start: Float[Array, "n c"], size: int, rows: Rows) -> Float[Array, "n b"]:
    """Return so many vectors, those given first, filled up with random ones."""
    columns = min(start.shape[1], size)
    if columns == size:
        return start[:, :size]
    return rows.normal(key, start[:, 0], size).at[:, :columns].set(start[:, :columns])
