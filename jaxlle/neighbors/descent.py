"""Nearest-neighbor descent on the host, by the package pynndescent."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array

from .._core.arrays import check_number
from .._core.points import Points
from .graph import Neighbors, as_neighbors

_CANDIDATES = 60  # length of the lists of candidates at effort 1, the default of pynndescent


def is_installed() -> bool:
    """Return whether pynndescent is installed, without importing it."""
    return find_spec("pynndescent") is not None


@dataclass(frozen=True)
class NearestNeighborDescent:
    """Search by nearest-neighbor descent (Dong, Moses and Li 2011), with the package pynndescent on the host.

    The search starts at trees of random projections and compares the neighbors of neighbors until few of them change.

    Attributes:
        effort: factor on the length of the lists of candidates; larger values find more neighbors in more time.

    Example:
        >>> import jaxlle
        >>> jaxlle.neighbors.NearestNeighborDescent(effort=2.0)
        NearestNeighborDescent(effort=2.0)
    """

    effort: float = 1.0
    remedy: ClassVar[str] = "raise effort"

    def __call__(self, points: Points, k: int, key: Array) -> Neighbors:
        """Return neighbors, with distances between the coordinates of the points."""
        check_number(self.effort, "effort", "positive", lambda value: value > 0)
        try:
            from pynndescent import NNDescent
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "NearestNeighborDescent requires pynndescent: pip install 'jaxlle[approximate]', or use InvertedFile()."
            ) from error
        seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1] % 2**31)
        candidates = max(k, round(_CANDIDATES * self.effort))
        # One more than k, because a point is found among its own neighbors and then removed by its index.
        index: Any = NNDescent(
            np.asarray(points.coordinates), n_neighbors=k + 1, max_candidates=candidates, random_state=seed
        )
        return as_neighbors(*index.neighbor_graph)
