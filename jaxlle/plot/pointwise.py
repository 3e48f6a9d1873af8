"""Drawings of the diagnostics of an embedding, whose colors show one value per point."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics import Diagnostic, diagnostics
from ..neighbors import Neighbors
from ._style import DPI, points_to_draw
from .scatter import MAX_CLASSES, embedding

TITLES: dict[str, str] = {
    "dimension": "local dimension",
    "preservation": "preserved neighbors",
    "reconstruction": "reconstruction error",
    "cost": "share of the cost",
    "density": "density",
    "component": "component",
}
UNITS: dict[str, str] = {  # beside the color bar, where the title does not suffice
    "preservation": "fraction",
    "reconstruction": "relative to the distances",
    "cost": "logarithm (base 10)",
    "density": "logarithm (base 10)",
}


def diagnostic(
    y: Any,
    x: Any,
    kind: Diagnostic = "preservation",
    *,
    k: int | None = None,
    neighbors: Neighbors | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Scatter an embedding with the points colored by a diagnostic of `jaxlle.metrics.diagnostics`.

    The scale of the colors ends at the percentiles 1 and 99, so that single points do not determine it. The cost is drawn on a
    logarithmic scale. Components are labeled with their number of points.

    Args:
        y: an Embedding or points, shape (n, c).
        x: the data, shape (n, d).
        kind: "dimension" (of the neighborhoods), "preservation" (of the nearest neighbors), "reconstruction" (its error in the
            data), "cost" (the same error in the embedding), "density" or "component".
        k: neighbors per point. None: that of neighbors, or 12 without them.
        neighbors: neighborhoods of the data; None computes them.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the points are not finite or do not match, the kind is unknown, or k is out of range.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 300).points
        >>> jaxlle.plot.diagnostic(jaxlle.lle(x, 2, k=10), x, "density", k=10).get_title()
        'density'
    """
    values = diagnostics(x, y, kinds=[kind], k=k, neighbors=neighbors)[kind]
    return draw_diagnostic(y, kind, values, TITLES[kind], ax)


def draw_diagnostic(y: Any, kind: str, values: np.ndarray, title: str, ax: Axes | None) -> Axes:
    """Scatter an embedding with the points colored by values of a diagnostic."""
    if kind == "component":
        return embedding(y, color=component_names(values), title=title, ax=ax)
    values = scaled_values(kind, values)
    ax = embedding(y, color=np.clip(values, *color_limits(values)), title=title, ax=ax)
    ax.figure.figure.axes[-1].set_ylabel(UNITS.get(kind, ""), fontsize="small")  # of the color bar
    return ax


def scaled_values(kind: str, values: np.ndarray) -> np.ndarray:
    """Return the values of a diagnostic, or the logarithms of the cost."""
    if kind != "cost":
        return values.astype(np.float64)
    floor = max(float(values.max()) * 1e-8, float(np.finfo(values.dtype).tiny))  # where a zero is drawn
    return np.log10(np.maximum(values, floor)).astype(np.float64)


def color_limits(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the scale of colors, which single points do not determine: the percentiles 1 and 99."""
    low, high = np.percentile(values, [1, 99])
    return float(low), float(high)


def component_names(labels: np.ndarray) -> np.ndarray:
    """Return the name of the component of each point; the smallest of many share one."""
    sizes = np.bincount(labels)
    names = [f"{i + 1}: {size} points" for i, size in enumerate(sizes)]
    if len(sizes) > MAX_CLASSES:
        names[MAX_CLASSES - 1 :] = ["others"] * (len(sizes) - MAX_CLASSES + 1)
    return np.array(names)[labels]


def summary(
    y: Any,
    x: Any,
    *,
    color: Any = None,
    images: Any = None,
    k: int | None = None,
    neighbors: Neighbors | None = None,
    title: str | None = None,
) -> Figure:
    """Draw an embedding and its diagnostics in one figure: a large panel with classes or images, and four small ones.

    The small panels show how well each neighborhood is preserved, the local dimension, the error of the local reconstructions,
    and the density, see `diagnostic`. Their titles give the mean or the median over the points.

    Args:
        y: an Embedding or points, shape (n, c).
        x: the data, shape (n, d).
        color: one value per point, for the large panel, as for `embedding`.
        images: one image per point, as for `embedding`.
        k: neighbors per point. None: that of neighbors, or 12 without them.
        neighbors: neighborhoods of the data; None computes them.
        title: title of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: as for `embedding` and `diagnostic`.

    Example:
        >>> import jax, jaxlle
        >>> roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 300)
        >>> figure = jaxlle.plot.summary(jaxlle.lle(roll.points, 2, k=10), roll.points, color=roll.parameters[:, 0], k=10)
        >>> sorted(ax.get_title()[:19] for ax in figure.axes if ax.get_title())
        ['density', 'local dimension, me', 'preserved neighbors', 'reconstruction erro']
    """
    shown = ("preservation", "dimension", "reconstruction", "density")
    found = diagnostics(x, y, kinds=shown, k=k, neighbors=neighbors)
    figure = plt.figure(figsize=(11, 5.4), dpi=DPI, layout="constrained")
    parts: Any = figure.subfigures(1, 2, width_ratios=[1, 1.1], wspace=0.03)
    main, rest = parts
    three: dict[str, Any] = {"projection": "3d"} if points_to_draw(y).shape[1] == 3 else {}
    embedding(y, color=color, images=images, ax=main.add_subplot(**three))
    texts = {
        "preservation": f"mean {found['preservation'].mean():.2f}",
        "dimension": f"median {np.median(found['dimension']):.1f}",
        "reconstruction": f"median {np.median(found['reconstruction']):.2g}",
    }
    for place, kind in enumerate(shown, 1):
        text = ", ".join([TITLES[kind], *([texts[kind]] if kind in texts else [])])
        ax = draw_diagnostic(y, kind, found[kind], "", rest.add_subplot(2, 2, place, **three))
        ax.set_title(text, fontsize="medium")
    if title is not None:
        figure.suptitle(title)
    return figure
