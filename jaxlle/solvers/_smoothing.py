"""Chebyshev smoothing: an approximate inverse of M on the rough part of a vector, from products with M alone."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .coarse import CoarseSpace
from .rows import Operator

_MAX_RATIO = 1500.0
_POWER_STEPS = 8  # iterations that estimate the largest eigenvalue
_EDGE_STEPS = 6  # pairs of corrections that estimate the lower end of the smoothed part of the spectrum
_EDGE_RATIO, _EDGE_DEGREE = 30, 6  # of the smoothings between them
_EDGE_MARGIN = 3  # factor by which so few iterations may overestimate it


class Smoothing(NamedTuple):
    """The Chebyshev semi-iteration for M z = r on an interval of eigenvalues (Saad 2003, 12.3).

    After k steps the error of an eigenvector with eigenvalue t in [low, high] is multiplied by the polynomial of degree k that is
    1 at zero and smallest on the interval.

    Attributes:
        operator: B.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    operator: Operator
    low: Float[Array, ""]
    high: Float[Array, ""]

    def first_move(self, rest: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return the change of z in the first step, from the residual."""
        return 2 * rest / (self.high + self.low)

    def advance(self, state: tuple[Array, Array, Array], start: Any, stop: Any) -> tuple[Array, Array, Array]:
        """Return z, the residual r - M z and the next change of z, after the steps from `start` to `stop`.

        Each step adds the pending change to z, updates the residual by one product with M and computes the next change. With
        `start` = 0 the pending change of any state is added first, so that the first change of the semi-iteration comes after
        it; (0, r, y) thus starts at z = y. With `start` = 1 the pending change is that of `first_move`.
        """
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        sigma = middle / half

        def step(number: Array, state: tuple) -> tuple:
            z, rest, move, rho = state
            rest = rest - self.operator.gram(move)
            fresh = 1 / jnp.where(number == 0, sigma, 2 * sigma - rho)
            before, scale = jnp.where(number == 0, 0, fresh * rho), jnp.where(number == 0, 1, 2) * fresh / half
            return z + move, rest, before * move + scale * rest, fresh

        return lax.fori_loop(start, stop, step, (*state, 1 / sigma))[:3]


class Smoother(NamedTuple):
    """A Chebyshev approximation of M^-1 on the upper part of its spectrum.

    Attributes:
        operator: B.
        top: the largest eigenvalue of M.
        ratio: largest over smallest smoothed eigenvalue.
        degree: degree of the polynomial.
        shortfall: how much larger the ratio would be that includes everything that the coarse space misses; 1 if it is included.
    """

    operator: Operator
    top: Float[Array, ""]
    ratio: Float[Array, ""]
    degree: Int[Array, ""]
    shortfall: Float[Array, ""]

    def damp(self, y: Float[Array, "n c"], factor: float) -> Float[Array, "n c"]:
        """Return vectors with their rough part damped, by a polynomial of `factor` times the degree over half the ratio."""
        low = 2 * self.top / (1 + self.ratio)  # less than the top for every ratio
        zero = jnp.zeros_like(y)
        smoothing = Smoothing(self.operator, low, self.top)
        z, _, move = smoothing.advance((zero, zero, y), 0, jnp.ceil(factor * self.degree).astype(jnp.int32))
        return z + move

    @property
    def smoothing(self) -> Smoothing:
        """Return the semi-iteration over the smoothed part of the spectrum."""
        return Smoothing(self.operator, self.top / self.ratio, self.top)


def make_smoother(
    operator: Operator,
    coarse: CoarseSpace,
    top: Array,
    probe: Float[Array, "n c"],
    ratio: float | None,
    degree: int | None,
) -> Smoother:
    """Return the smoother for the vectors that the coarse space misses; ratio and degree are estimated where they are None."""
    used = None if ratio is None else jnp.asarray(ratio, top.dtype)
    if (
        used is None or top.dtype == jnp.float32
    ):  # the shortfall is used in float32 only, and the estimate is slow to compile
        missed = top / _missed_eigenvalue(operator, coarse, top, probe)
        used = jnp.minimum(missed, _MAX_RATIO) if used is None else used
        shortfall = jnp.maximum(missed / used, 1)
    else:
        shortfall = jnp.ones((), top.dtype)
    steps = jnp.ceil(jnp.sqrt(used)) if degree is None else jnp.asarray(degree)
    return Smoother(operator, top, used, jnp.maximum(steps, 2).astype(jnp.int32), shortfall)


def top_eigenvalue(operator: Operator, start: Float[Array, "n c"]) -> Float[Array, ""]:
    """Return what is usually an upper bound of the largest eigenvalue of M, by block power iteration and a margin."""
    rows = operator.rows
    columns = start.shape[1]

    def iterate(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        image = operator.gram(state[0])
        return rows.orthonormal(image), rows.inner(state[0], image)

    # One iteration more than is used, because a product with M outside of the loop would be compiled again.
    _, small = lax.fori_loop(0, _POWER_STEPS + 1, iterate, (start, jnp.zeros((columns, columns), start.dtype)))
    return jnp.minimum(1.2 * jnp.linalg.eigvalsh(small)[-1], operator.norm_bound() ** 2)


def _missed_eigenvalue(operator: Operator, coarse: CoarseSpace, top: Array, probe: Array) -> Float[Array, ""]:
    """Estimate the smallest eigenvalue of M on the vectors that the coarse space cannot represent."""
    rows = operator.rows

    def column_sums(a: Float[Array, "n c"]) -> Float[Array, " c"]:
        return rows.all_sum(jnp.sum(a, axis=0))

    # Coarse corrections alternate with smoothings over a wide interval, which damp all that the coarse space misses but its
    # smoothest part.
    smoothing, last = Smoothing(operator, top / _EDGE_RATIO, top), 2 * _EDGE_STEPS + 1

    def damp(step: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        zero, is_coarse = jnp.zeros_like(probe), (step % 2 == 0) | (step == last)
        v, rest, move = smoothing.advance((zero, zero, state[0]), 0, jnp.where(is_coarse, 1, _EDGE_DEGREE))
        left = v + lax.cond(is_coarse, coarse.correct, lambda rest: move, rest)
        return left / jnp.sqrt(column_sums(left**2)), -column_sums(v * rest)

    # The values are those of the vectors before the last step, after a coarse correction.
    probe = rows.centered(probe)
    _, values = lax.fori_loop(0, last + 1, damp, (probe, jnp.zeros_like(probe[0])))
    return jnp.clip(jnp.min(values) / _EDGE_MARGIN, top / 1e4, top / 4)
