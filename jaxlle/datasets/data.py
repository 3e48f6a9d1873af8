"""The value that every loader of real data returns."""

from typing import NamedTuple

import numpy as np


class Data(NamedTuple):
    """A real data set.

    Attributes:
        points: shape (n, d).
        labels: shape (n,), or None.
        image_shape: height and width in pixels if the points are images, or None.
        name: name of the data set, for titles.
    """

    points: np.ndarray
    labels: np.ndarray | None
    image_shape: tuple[int, int] | None
    name: str
