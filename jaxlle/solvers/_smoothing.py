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
_EDGE_MARGIN = 3  # factor by which so few iterations may overestimate it


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

    def __call__(self, r: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return an approximation of M^-1 r for rough r."""
        return _chebyshev(self.operator, self.top / self.ratio, self.top, self.degree, r)

    def damp(self, y: Float[Array, "n c"], factor: float) -> Float[Array, "n c"]:
        """Return vectors with their rough part damped, by a polynomial of `factor` times the degree over half the ratio."""
        degree = jnp.ceil(factor * self.degree).astype(jnp.int32)
        low = 2 * self.top / (1 + self.ratio)  # less than the top for every ratio
        return y - _chebyshev(self.operator, low, self.top, degree, self.operator.gram(y))


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

    # A smoothing over a wide interval damps all that the coarse space misses but its smoothest part.
    def smooth(r: Float[Array, "n c"]) -> Float[Array, "n c"]:
        return _chebyshev(operator, top / 30, top, jnp.asarray(6), r)

    def damp(step: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        v, image = state[0], operator.gram(state[0])
        left = v - lax.cond(step % 2 == 0, coarse.correct, smooth, image)
        return left / jnp.sqrt(column_sums(left**2)), column_sums(v * image)

    # The values are those of the vectors before the last step, after a coarse correction.
    probe = rows.centered(probe)
    _, values = lax.fori_loop(0, 2 * _EDGE_STEPS + 2, damp, (probe, jnp.zeros_like(probe[0])))
    return jnp.clip(jnp.min(values) / _EDGE_MARGIN, top / 1e4, top / 4)


def _chebyshev(
    operator: Operator, low: Array, high: Array, degree: Array, r: Float[Array, "n c"]
) -> Float[Array, "n c"]:
    """Return p(M) r, where 1 - t p(t) is the Chebyshev polynomial that is smallest on [low, high] (Saad 2003, 12.3)."""
    middle, half = (high + low) / 2, (high - low) / 2
    sigma = middle / half

    def step(_: Any, state: tuple) -> tuple:
        z, rest, move, rho = state
        rest = rest - operator.gram(move)
        fresh = 1 / (2 * sigma - rho)
        move = fresh * rho * move + 2 * fresh / half * rest
        return z + move, rest, move, fresh

    move = r / middle
    return lax.fori_loop(1, degree, step, (move, r, move, 1 / sigma))[0]
