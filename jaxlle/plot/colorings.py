"""Colorings of interactive figures: one value per point, by classes or on a continuous scale."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .pointwise import TITLES, color_limits, component_names, scaled_values
from .scatter import MAX_CLASSES

_LOGARITHMIC = ("cost", "density")


class Coloring(NamedTuple):
    """One value per point that determines its color.

    Attributes:
        name: as shown in the choice of colorings.
        numbers: values on a continuous scale, or numbers of classes, shape (n,).
        limits: ends of the continuous scale.
        names: name of the class of each point; None for numbers.
        classes: names of the classes, in order; empty for a continuous scale.
    """

    name: str
    numbers: np.ndarray
    limits: tuple[float, float]
    names: np.ndarray | None = None
    classes: tuple[str, ...] = ()


def diagnostic_colorings(values: Mapping[str, np.ndarray]) -> list[Coloring]:
    """Return colorings by diagnostics."""
    found = []
    for kind, each in values.items():
        if kind == "component":
            if each.max() > 0:
                found.append(coloring_of("component", component_names(each)))
            continue
        numbers = scaled_values(kind, each)
        name = TITLES[kind] + (" (log10)" if kind in _LOGARITHMIC else "")
        found.append(Coloring(name, numbers, color_limits(numbers)))
    return found


def coloring_of(name: str, values: np.ndarray) -> Coloring:
    """Return a coloring by classes, if there are few integers or names, or else on a continuous scale."""
    if values.dtype.kind == "f":
        return Coloring(name, values, (float(values.min()), float(values.max())))
    distinct, members = np.unique(values, return_inverse=True)
    names, members = distinct.astype(str), members.reshape(len(values))
    if len(distinct) <= MAX_CLASSES:
        return Coloring(name, members, (-0.5, len(distinct) - 0.5), names[members], tuple(names.tolist()))
    if values.dtype.kind in "USO":
        return Coloring(name, members, (0, len(distinct) - 1), names[members])
    return Coloring(name, values, (float(values.min()), float(values.max())), names[members])
