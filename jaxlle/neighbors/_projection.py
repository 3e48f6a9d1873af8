"""Projections that reduce the columns of the products in a neighbor search and still give valid bounds on distances.

For m orthonormal columns Q let ``r(x) = |x - Q Q^T x|`` be the remainder of a point. By the Cauchy-Schwarz inequality
``q.x <= (Q^T q).(Q^T x) + r(q) r(x)``, so that products of m + 1 columns bound every distance from below. Most of the norm of
images lies in a few dozen directions, so that few points other than the neighbors themselves lie below the bound.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

MIN_POINTS, MIN_FEATURES = 6144, 128  # below, a projection costs more than it saves; 128 is twice the smallest width
_SAMPLE = 2000  # rows from which the basis is computed
_OVERSAMPLE = 32  # directions computed beyond those kept
_PROBES = 128  # rows from which the number of candidates is estimated
_WIDTHS = (64, 128, 192)
_SHARES = (0.8, 0.9, 0.95, 0.98)  # compared: shares of the probes for which the number of candidates is sufficient
_MIN_SPARE, _MAX_SPARE = 4, 128
MORE = 4  # factor on the candidates for rows that stay uncertain, before all columns are used
# Costs on two cores, in multiply-adds of a product: of scanning a point in the selection, of selecting a candidate, and of
# measuring one feature of a candidate.
_SELECT, _CHOOSE, _MEASURE = 40, 20_000, 25


class Plan(NamedTuple):
    """A projection that reduces the cost: rows whose products bound distances, and the number of candidates beyond k."""

    factor: Float[np.ndarray, "n m+1"]
    squares: Float[np.ndarray, " n"]
    spare: int


def plan(points: Float[Array, "n d"], k: int) -> Plan | None:
    """Return the projection with the lowest estimated cost of a search, or None if no projection reduces the cost."""
    x = np.asarray(points)
    n, d = x.shape
    if n < MIN_POINTS or d < MIN_FEATURES:
        return None
    widths = [width for width in _WIDTHS if width <= d // 2]
    inside, remainders, squares = _project(
        x, _basis(x[_evenly_spaced(n, _SAMPLE)].astype(np.float32), widths[-1]), widths
    )
    probes = _evenly_spaced(n, _PROBES)
    products = x[probes].astype(np.float32) @ x.T.astype(np.float32)
    reach = np.partition(squares - 2 * products, k, axis=1)[:, k, None]  # without |q|^2; the first is the probe itself
    best, cheapest = None, 0.8 * _cost(n, d, d, k + 1 + _MIN_SPARE, 0.0)
    for width, remainder in zip(widths, remainders, strict=True):
        bounds = inside[probes, :width] @ inside[:, :width].T + np.outer(remainder[probes], remainder)
        below = np.sum(squares - 2 * bounds < reach, axis=1)
        for share in _SHARES:
            spare = max(_MIN_SPARE, int(np.quantile(below, share)) - k)
            uncertain, still_uncertain = (float(np.mean(below > k + count)) for count in (spare, MORE * spare))
            cost = _cost(n, d, width, k + 1 + spare, 0.0)
            cost += uncertain * _cost(n, d, width, k + 1 + MORE * spare, still_uncertain)
            if spare <= _MAX_SPARE and cost < cheapest:
                best, cheapest = (width, remainder, spare), cost
    if best is None:
        return None
    width, remainder, spare = best
    return Plan(np.concatenate([inside[:, :width], remainder[:, None]], axis=1), squares, spare)


def _cost(n: int, d: int, width: int, candidates: int, uncertain: float) -> float:
    """Return the cost of searching one row: products, candidates, and a search with all columns for the uncertain share."""
    full_search = n * (d + _SELECT)
    return n * (width + _SELECT) + candidates * (_CHOOSE + d * _MEASURE) + uncertain * full_search


def _project(
    x: Float[np.ndarray, "n d"], basis: Float[np.ndarray, "d m"], widths: list[int]
) -> tuple[Float[np.ndarray, "n m"], list[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]:
    """Return projections, the remainders for each width, and squared norms.

    They are computed in float64, a few rows at a time, so that the cast to float32 is the only significant rounding.
    """
    n, d = x.shape
    inside, squares = np.empty((n, basis.shape[1]), np.float32), np.empty(n, np.float32)
    remainders = [np.empty(n, np.float32) for _ in widths]
    for start in range(0, n, 2**21 // d):
        rows = x[start : start + 2**21 // d].astype(np.float64)
        block, projected = slice(start, start + len(rows)), rows @ basis
        total = np.einsum("nd,nd->n", rows, rows)
        inside[block], squares[block] = projected, total
        for width, remainder in zip(widths, remainders, strict=True):
            left = total - np.einsum("nm,nm->n", projected[:, :width], projected[:, :width])
            length = np.sqrt(np.maximum(left, 0) + 1e-12 * total).astype(np.float32)
            remainder[block] = np.nextafter(length, np.float32(np.inf))  # rounded up, so that the bound holds
    return inside, remainders, squares


def _basis(sample: Float[np.ndarray, "s d"], width: int) -> Float[np.ndarray, "d m"]:
    """Return approximate leading right singular vectors: one step of randomized subspace iteration, then Rayleigh-Ritz.

    See Halko, Martinsson and Tropp 2011, algorithm 4.4. Any orthonormal basis gives valid bounds; a better one tighter bounds.
    """
    test = np.random.default_rng(0).standard_normal((sample.shape[1], width + _OVERSAMPLE), np.float32)
    basis = np.linalg.qr(sample.T @ (sample @ test))[0]
    inside = sample @ basis
    rotation = np.linalg.eigh((inside.T @ inside).astype(np.float64))[1][:, ::-1]
    kept = basis.astype(np.float64) @ rotation[:, :width]
    # The bound requires |Q| <= 1, which rounding may have violated slightly.
    return kept / np.sqrt(1 + np.linalg.norm(kept.T @ kept - np.eye(width)))


def _evenly_spaced(n: int, count: int) -> np.ndarray:
    return np.linspace(0, n - 1, min(n, count)).astype(int)
