"""The values that the loaders of real data return and exchange."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Scaling(NamedTuple):
    """The scaling that was applied to the columns of a data set: (x - shift) / factor.

    Attributes:
        kind: "standard", "robust" or "unit".
        shift: shape (d,).
        factor: shape (d,), positive.
    """

    kind: str
    shift: np.ndarray
    factor: np.ndarray


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words of documents, with which new documents become vectors of the same features.

    Attributes:
        words: the word of each feature, shape (d,).
        weights: the inverse document frequency of each word, shape (d,).
    """

    words: np.ndarray
    weights: np.ndarray


class Data(NamedTuple):
    """A real data set.

    Attributes:
        points: shape (n, d), a NumPy array, or a sparse array of SciPy in CSR format.
        labels: shape (n,), or None.
        image_shape: height and width in pixels if the points are images, and 3 if they are in color, or None.
        name: name of the data set, for titles.
        columns: names of the columns of a table that are the d features, or of the column of documents, or None.
        scaling: the scaling that was applied, or None.
        left_out: what was left out of a file or filled, one sentence each.
        rows: number in the file of each point, if rows were left out, or None.
        texts: the documents whose TF-IDF vectors are the points, shape (n,), or None.
        vocabulary: the words of the documents, or None.
    """

    points: Any
    labels: np.ndarray | None
    image_shape: tuple[int, ...] | None
    name: str
    columns: tuple[str, ...] | None = None
    scaling: Scaling | None = None
    left_out: tuple[str, ...] = ()
    rows: np.ndarray | None = None
    texts: np.ndarray | None = None
    vocabulary: Vocabulary | None = None


class Table(NamedTuple):
    """A table with columns of numbers or text.

    Attributes:
        names: name of each column; its number without a header.
        columns: each of shape (n,), numbers with NaN where cells are missing, or objects that are
            strings, whose lengths can differ much.
        header: whether the file names the columns.
        lines: line of each row in a text file, or None.
    """

    names: tuple[str, ...]
    columns: list[np.ndarray]
    header: bool
    lines: np.ndarray | None
