"""Pairs of points of different sets: read, and checked for contradictions."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core.arrays import read_pairs
from .propagation import check_trust


class Links(NamedTuple):
    """The pairs of all sets, in joint numbers: those of a set follow those of the sets before it.

    Attributes:
        first: a point of each pair, shape (m,).
        second: its partner, in a later set, shape (m,).
        trust: the weights of the pairs, shape (m,), or None if they are exact.
    """

    first: Int[np.ndarray, " m"]
    second: Int[np.ndarray, " m"]
    trust: Float[Array, " m"] | None

    def rows_of(self, number: int, sizes: list[int]) -> Int[np.ndarray, " p"]:
        """Return the points of a set that have partners, in the numbers of the set."""
        points = np.unique(np.concatenate([self.first, self.second])) - sum(sizes[:number])
        return points[(points >= 0) & (points < sizes[number])]


def read_links(pairs: Any, trust: Any, sizes: list[int]) -> Links:
    """Return validated pairs: an array for two sets, or a dictionary of arrays by the numbers of two sets."""
    if not isinstance(pairs, Mapping):
        if len(sizes) > 2:
            raise TypeError(
                f"pairs of {len(sizes)} sets must be a dictionary such as {{(0, 1): [[3, 5], [8, 2]], (1, 2): ...}}, got a value "
                f"of type {type(pairs).__name__}."
            )
        pairs, trust = {(0, 1): pairs}, {(0, 1): trust}
    elif not isinstance(trust, Mapping):
        trust = dict.fromkeys(pairs, trust)
    if set(trust) != set(pairs):
        raise ValueError(f"trust has the keys {list(trust)}, but pairs has {list(pairs)}: give both for the same sets.")
    if not pairs:
        raise ValueError("pairs has no entry: give the pairs of at least two sets.")
    starts = np.cumsum([0, *sizes])
    found, weights = [], []
    for key, rows in pairs.items():
        u, v = _read_key(key, len(sizes))
        name = "pairs" if len(sizes) == 2 else f"pairs[{u}, {v}]"
        joint = read_pairs(rows, name, (sizes[u], sizes[v])) + starts[[u, v]]
        found.append(joint if u < v else joint[:, ::-1])
        values = check_trust(trust[key], len(joint), "pairs", "pairs")
        weights.append(None if values is None else jnp.broadcast_to(values, len(joint)))
    if any(w is None for w in weights) and not all(w is None for w in weights):
        raise ValueError(
            "trust is None for some sets and a number for others: give numbers for all pairs, or for none."
        )
    joint = np.concatenate(found)
    _check_repeated(joint, starts)
    return Links(joint[:, 0], joint[:, 1], None if weights[0] is None else jnp.concatenate(weights))


def read_groups(links: Links, sizes: list[int]) -> Int[np.ndarray, "n s"]:
    """Return the members of the group of each point, by set, -1 where a group has none of that set.

    Raises:
        ValueError: if pairs join two points of one set.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    n = sum(sizes)
    edges = csr_array((np.ones(len(links.first), np.int8), (links.first, links.second)), shape=(n, n))
    labels = connected_components(edges, directed=False)[1]
    number = np.repeat(np.arange(len(sizes)), sizes)
    members = np.full((labels.max() + 1, len(sizes)), -1)
    members[labels, number] = np.arange(n)
    lost = np.flatnonzero(members[labels, number] != np.arange(n))
    if len(lost):
        a, b, v = int(lost[0]), int(members[labels[lost[0]], number[lost[0]]]), int(number[lost[0]])
        start = sum(sizes[:v])
        raise ValueError(
            f"pairs contradict each other: as exact pairs they would join points {a - start} and {b - start} of alignments[{v}], "
            f"because both have the same partner, directly or through other sets. Leave a pair out, or pass trust, with which a "
            f"point may have several partners."
        )
    return members[labels]


def _read_key(key: Any, count: int) -> tuple[int, int]:
    """Return the numbers of the two sets of an entry of a dictionary of pairs."""
    whole = isinstance(key, tuple) and len(key) == 2 and all(isinstance(i, int | np.integer) for i in key)
    if not whole or key[0] == key[1] or not all(0 <= i < count for i in key):
        raise ValueError(
            f"pairs has the key {key!r}, but keys are tuples of the numbers of two different sets, from 0 to {count - 1}."
        )
    return int(key[0]), int(key[1])


def _check_repeated(joint: Int[np.ndarray, "m 2"], starts: Int[np.ndarray, " s"]) -> None:
    distinct, times = np.unique(joint, axis=0, return_counts=True)
    if (times > 1).any():
        pair = distinct[times > 1][0]
        u, v = np.searchsorted(starts, pair, side="right") - 1
        raise ValueError(
            f"pairs lists point {pair[0] - starts[u]} of alignments[{u}] with point {pair[1] - starts[v]} of alignments[{v}] "
            f"{times.max()} times: list every pair once, and weight it by trust."
        )
