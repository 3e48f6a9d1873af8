"""Fewer columns for the products of a neighbour search: a projection whose bounds on distances still hold.

With orthonormal columns Q, the rest r(x) = |x - Q Q^T x| is one number a point, and by Cauchy and Schwarz
``q.x <= (Q^T q).(Q^T x) + r(q) r(x)``: products of m + 1 columns bound every distance from below. Images have most of
their length in a few dozen directions, so that few points but the neighbours themselves lie below the bound.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

MIN_POINTS, MIN_FEATURES = 6144, 128  # below, choosing a projection costs what it saves; twice the least width
_SAMPLE = 2000  # rows that the basis is made from
_OVERSAMPLE = 32  # directions searched beyond those kept
_PROBES = 128  # rows whose bounds are counted
_WIDTHS = (64, 128, 192)
_SURE = (0.8, 0.9, 0.95, 0.98)  # shares of the probes whose neighbours a number of candidates may settle
_MIN_SPARE, _MAX_SPARE = 4, 128
MORE = 4  # times as many candidates for rows that stay uncertain, before all columns are used
# What it costs on two cores, in multiply-adds of a product, to look at a point, to choose a candidate, and to measure one
# feature of it.
_SELECT, _CHOOSE, _MEASURE = 40, 20_000, 25


class Plan(NamedTuple):
    """A projection that pays: rows whose products bound distances, and how many candidates beyond k to measure."""

    factor: Float[np.ndarray, "n m+1"]
    squares: Float[np.ndarray, " n"]
    spare: int


def plan(points: Float[Array, "n d"], k: int) -> Plan | None:
    """Return the projection under which a search of all neighbours is cheapest, or None if that is none."""
    x = np.asarray(points)
    n, d = x.shape
    if n < MIN_POINTS or d < MIN_FEATURES:
        return None
    widths = [width for width in _WIDTHS if width <= d // 2]
    inside, rests, squares = _project(x, _basis(x[_spread(n, _SAMPLE)].astype(np.float32), widths[-1]), widths)
    probes = _spread(n, _PROBES)
    products = x[probes].astype(np.float32) @ x.T.astype(np.float32)
    reach = np.partition(squares - 2 * products, k, axis=1)[:, k, None]  # without |q|^2; the probe itself comes first
    best, cheapest = None, 0.8 * _cost(n, d, d, k + 1 + _MIN_SPARE, 0.0)
    for width, rest in zip(widths, rests, strict=True):
        bounds = inside[probes, :width] @ inside[:, :width].T + np.outer(rest[probes], rest)
        below = np.sum(squares - 2 * bounds < reach, axis=1)
        for sure in _SURE:
            spare = max(_MIN_SPARE, int(np.quantile(below, sure)) - k)
            unsure, at_last = (float(np.mean(below > k + count)) for count in (spare, MORE * spare))
            cost = _cost(n, d, width, k + 1 + spare, 0.0)
            cost += unsure * _cost(n, d, width, k + 1 + MORE * spare, at_last)
            if spare <= _MAX_SPARE and cost < cheapest:
                best, cheapest = (width, rest, spare), cost
    if best is None:
        return None
    width, rest, spare = best
    return Plan(np.concatenate([inside[:, :width], rest[:, None]], axis=1), squares, spare)


def _cost(n: int, d: int, width: int, candidates: int, unsure: float) -> float:
    """Return what searching one row costs: the products of some columns, the candidates, the rows to be searched again."""
    again = n * (d + _SELECT)
    return n * (width + _SELECT) + candidates * (_CHOOSE + d * _MEASURE) + unsure * again


def _project(
    x: Float[np.ndarray, "n d"], basis: Float[np.ndarray, "d m"], widths: list[int]
) -> tuple[Float[np.ndarray, "n m"], list[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]:
    """Return projections, what each width leaves over, and squared norms.

    All in float64, a few rows at a time: the cast to float32 is the only rounding left.
    """
    n, d = x.shape
    inside, squares = np.empty((n, basis.shape[1]), np.float32), np.empty(n, np.float32)
    rests = [np.empty(n, np.float32) for _ in widths]
    for start in range(0, n, 2**21 // d):
        rows = x[start : start + 2**21 // d].astype(np.float64)
        here, projected = slice(start, start + len(rows)), rows @ basis
        total = np.einsum("nd,nd->n", rows, rows)
        inside[here], squares[here] = projected, total
        for width, rest in zip(widths, rests, strict=True):
            left = total - np.einsum("nm,nm->n", projected[:, :width], projected[:, :width])
            length = np.sqrt(np.maximum(left, 0) + 1e-12 * total).astype(np.float32)
            rest[here] = np.nextafter(length, np.float32(np.inf))  # never too short
    return inside, rests, squares


def _basis(sample: Float[np.ndarray, "s d"], width: int) -> Float[np.ndarray, "d m"]:
    """Return leading right singular vectors, nearly: one step of a randomised subspace iteration, then Ritz.

    Halko, Martinsson and Tropp 2011, algorithm 4.4. Any orthonormal basis gives bounds that hold; a better one, tighter.
    """
    test = np.random.default_rng(0).standard_normal((sample.shape[1], width + _OVERSAMPLE), np.float32)
    basis = np.linalg.qr(sample.T @ (sample @ test))[0]
    inside = sample @ basis
    turn = np.linalg.eigh((inside.T @ inside).astype(np.float64))[1][:, ::-1]
    kept = basis.astype(np.float64) @ turn[:, :width]
    # The bound needs |Q| <= 1, and rounding may have left it a little longer.
    return kept / np.sqrt(1 + np.linalg.norm(kept.T @ kept - np.eye(width)))


def _spread(n: int, count: int) -> np.ndarray:
    return np.linspace(0, n - 1, min(n, count)).astype(int)
