"""What all drawings share: colors, Axes without a frame, and the validation of points."""

from typing import Any

import jax
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba_array
from matplotlib.ticker import MaxNLocator

from .._core.arrays import read_floats
from .._core.checks import embedding_points

# Optimized for the least distance in CIELAB between two colors, with full vision and with each dichromacy, at evenly spaced
# lightnesses; tests/plot checks the distances.
PALETTE = (
    "#196fef",
    "#f28e1f",
    "#6c163c",
    "#70c6c5",
    "#ea4e57",
    "#6b1e99",
    "#c5ce99",
    "#5f5712",
    "#a686dc",
    "#5c638d",
)

# viridis without its last yellow, which is hardly visible on white
SCALE = ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.95, 256)), "jaxlle")
DPI = 200


def new_axes(ax: Axes | None, size: tuple[float, float], projection: str | None = None) -> Axes:
    """Return the given Axes, or those of a new figure of `size` inches."""
    if ax is not None:
        return ax
    return plt.figure(figsize=size, dpi=DPI, layout="constrained").add_subplot(projection=projection)


def remove_frame(ax: Axes, keep: tuple[str, ...] = ()) -> None:
    """Hide the frame; `keep` names the sides that stay because they carry a scale."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in keep)
    if not keep:
        ax.set(xticks=[], yticks=[])


def color_bar(ax: Any, drawn: Any, label: str = "") -> Any:
    """Add a slim color bar beside the Axes."""
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.6, aspect=30, pad=0.02, ticks=MaxNLocator(4), label=label)
    bar.outline.set_visible(False)
    bar.solids.set_alpha(1)
    bar.ax.tick_params(length=0, labelsize="small")
    return bar


def class_colors(count: int) -> np.ndarray:
    """Return a color per class, shape (count, 4), for up to 20 classes: the palette, then darker versions of it."""
    colors = to_rgba_array(PALETTE)
    return np.concatenate([colors, darker(colors)])[:count]


def darker(colors: np.ndarray) -> np.ndarray:
    """Return colors for text and thin lines, which need more contrast than points."""
    return colors * [0.6, 0.6, 0.6, 1]


def points_to_draw(y: Any) -> np.ndarray:
    """Return the points of an Embedding, or points; raise if they are not finite or not of shape (n, c)."""
    with jax.enable_x64(True):  # float64 points are drawn with all their digits
        points = np.asarray(read_floats(embedding_points(y), "the points to draw", finite=False))
    if points.ndim != 2 or points.size == 0:
        raise ValueError(f"Points to draw have shape (n, c), got {points.shape}.")
    if not np.isfinite(points).all():
        raise ValueError("Points to draw contain NaN or infinity, which would be missing from the drawing.")
    return points
