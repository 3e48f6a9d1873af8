"""The options of `load`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from .data import Vocabulary

Missing = Literal["error", "drop", "mean"]
Scale = Literal["none", "standard", "robust", "unit"]


@dataclass(frozen=True)
class ReadOptions:
    """Options for reading points from a file.

    A column of a table is given by its name in the header, or by its number from 0.

    Attributes:
        columns: columns of a table to use as features, in this order; one, or a sequence. None: all columns of numbers but the
            labels, `drop`, and those that look like identifiers or row numbers, for which there is a warning.
        drop: columns of a table not to use.
        missing: treatment of empty cells, NA and NaN. "error" raises with row and column, "drop" leaves out the rows, "mean" uses
            the mean of the column. Of images in a folder, "drop" leaves out those that are damaged, and of a sparse matrix rows
            without entries.
        scale: "standard" for columns with mean 0 and variance 1, "robust" for columns with median 0 and interquartile range 1,
            "unit" for columns with minimum 0 and maximum 1, or "none". A column without spread is only centered.
        array: name of the array of points in a .npz file. None: see `load`.
        encoding: encoding of a text file, for example "cp1252" or "utf-16".
        size: height and width to which the images in a folder are resized, or one number for both. None: all have one size.
        text: column of a table that holds documents, which become TF-IDF vectors of length 1 (scikit-learn), a sparse matrix.
            Words in only one document, or in more than half of them, are not used; the other columns are not used either.
        vocabulary: `Data.vocabulary` of other documents, for vectors of the same features. None: the words of the documents.

    Raises:
        ValueError: if missing or scale is unknown, size is not positive, or there is a vocabulary without text.

    Example:
        >>> import jaxlle
        >>> jaxlle.datasets.ReadOptions(drop="year", scale="standard").missing
        'error'
    """

    columns: str | Sequence[str] | None = None
    drop: str | Sequence[str] = ()
    missing: Missing = "error"
    scale: Scale = "none"
    array: str | None = None
    encoding: str = "utf-8"
    size: int | tuple[int, int] | None = None
    text: str | None = None
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("missing", get_args(Missing)), ("scale", get_args(Scale))):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} = {value!r} is not known: give one of {', '.join(allowed)}.")
        sides = () if self.size is None else (self.size,) if isinstance(self.size, int) else self.size
        if any(side < 1 for side in sides):
            raise ValueError(f"size = {self.size} is not allowed: give positive numbers of pixels.")
        if self.vocabulary is not None and self.text is None:
            raise ValueError("vocabulary applies to documents: name their column in text, or remove vocabulary.")
