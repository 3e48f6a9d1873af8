"""An inverted file: lists of near points by k-means, of which only the nearest are searched for each point."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.blocks import BLOCK_BYTES, device_limit, memory_advice
from .._core.checks import check_bytes, check_count
from .._core.points import Points
from ._candidates import complete, rank
from ._lists import fill_lists, kmeans
from ._probing import candidates
from ._products import SPARE
from .graph import Neighbors

_SAMPLED = 32  # points per list from which the centers are computed


class _Sizes(NamedTuple):
    """Sizes of a search that determine the shapes of its arrays."""

    lists: int
    capacity: int
    probes: int
    sampled: int
    iterations: int


@dataclass(frozen=True)
class InvertedFile:
    """Search the points of a few near lists for every point, in JAX on any device (Sivic and Zisserman 2003; Jegou et al. 2011).

    k-means on a sample divides the points into lists. The lists are divided further into lists of at most half their mean
    length, so that all products have the same shape however unequal the lists are; each has its own center. For every point,
    the `probes` lists with the nearest centers are searched by matrix products at the highest precision, the nearest points are
    measured again by differences, and a point whose lists hold fewer than k others is searched exactly. The search is one
    compiled program of fixed shapes without transfers to the host. With the default options it needs about ``16 n^1.5 d``
    multiply-adds for n points with d features, compared with ``n^2 d`` for all pairs, and memory for the points, the neighbors
    and a few blocks: 8.2 GB for 10,000,000 x 128 and k = 12 (compiled plan).

    Few probes suffice where the data have low intrinsic dimension or clusters. Points without structure, such as normally
    distributed ones in 64 dimensions, have their neighbors in a large part of the lists.
    On a CPU the search takes half of the time of `NearestNeighborDescent` for a Swiss roll in 64 dimensions, and 1.4 and 2.4
    times as long for 20,000 and 70,000 images at a recall of 0.98 (tests/benchmarks/README.md). It has not been timed on an
    accelerator.

    Attributes:
        lists: number of centers of k-means. None: ``2 sqrt(n)``, and at most so many that a list has 4 (k + 1) points on average.
        probes: number of lists that are searched for each point. With all of them the search is exact, up to rounding.
        iterations: steps of k-means.
        block_bytes: memory limit of one block of products, in bytes; the default grows with the memory of the device as for
            `knn`.

    Example:
        >>> import jaxlle
        >>> jaxlle.neighbors.InvertedFile(probes=64).probes
        64
    """

    lists: int | None = None
    probes: int = 32
    iterations: int = 5
    block_bytes: int = BLOCK_BYTES
    remedy: ClassVar[str] = "raise probes"

    def __call__(self, points: Points, k: int, key: Array) -> Neighbors:
        """Return neighbors, with distances between the coordinates of the points."""
        coordinates = points.coordinates
        limit = device_limit(check_bytes(self.block_bytes), coordinates.sharding.addressable_devices)
        with memory_advice(f"the inverted file used block_bytes = {limit}; try {limit // 8}, or fewer probes"):
            return complete(points, *_search(coordinates, key, k, self._sizes(len(coordinates), k), limit))

    def _sizes(self, n: int, k: int) -> _Sizes:
        lists = max(1, min(round(2 * math.sqrt(n)), n // (4 * (k + 1))))
        if self.lists is not None:
            lists = check_count(self.lists, "lists", 1, n, f"x has n_samples = {n} points")
        probes = check_count(self.probes, "probes", 1, None, "number of lists that are searched for each point")
        iterations = check_count(self.iterations, "iterations", 0, None, "steps of k-means")
        capacity = -(-n // (2 * lists))
        return _Sizes(lists, capacity, min(probes, n // capacity + lists), min(n, _SAMPLED * lists), iterations)


@partial(jax.jit, static_argnames=("k", "sizes", "block_bytes"))
def _search(
    points: Float[Array, "n d"], key: Array, k: int, sizes: _Sizes, block_bytes: int
) -> tuple[Int[Array, "n k"], Float[Array, "n k"], Bool[Array, " n"]]:
    """Return indices, distances, and whether each point has k neighbors in its lists."""
    single = points.astype(np.float32)
    sample = jax.random.permutation(key, jnp.arange(len(points), dtype=np.int32))[: sizes.sampled]
    centers = kmeans(single, sample, sizes.lists, sizes.iterations, block_bytes)
    lists = fill_lists(single, centers, sizes.capacity, block_bytes)
    count = min(k + 1 + SPARE, sizes.probes * sizes.capacity)
    return rank(points, candidates(single, lists, sizes.probes, count, block_bytes), k, block_bytes)
