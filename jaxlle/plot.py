"""Pictures: an embedding, its neighbour graph, its spectrum. Each draws on the given Axes and returns them."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from .embedding import Embedding
from .neighbors import Neighbors

_MAX_CLASSES = 20  # labels beyond this many are drawn as a scale, not as classes


def embedding(
    y: Any,
    *,
    color: Any = None,
    images: Any = None,
    image_count: int = 60,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Scatter the first two columns of an embedding, coloured, with images at some of the points.

    Args:
        y: an Embedding or points, shape (n, c); with c = 1 the second axis is the row number.
        color: one value a point: few distinct whole numbers or strings are classes with a legend, others a scale.
        images: one image a point, shape (n, h, w); those of points that lie apart from each other are shown.
        image_count: at most this many images.
        title: of the Axes.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if color or images do not match the points.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.plot.embedding(jaxlle.lle(x, 2, k=8), color=x[:, 0]).get_xlabel()
        'first coordinate'
    """
    points = np.asarray(y.points if isinstance(y, Embedding) else y)
    if points.ndim != 2:
        raise ValueError(f"An embedding has shape (n, c), got {points.shape}.")
    plane = points[:, :2] if points.shape[1] > 1 else np.column_stack([points[:, 0], np.arange(len(points))])
    ax = plt.subplots(figsize=(8, 7), layout="constrained")[1] if ax is None else ax
    size = np.clip(30_000 / len(plane), 4, 30)
    edges = None
    if color is None:
        ax.scatter(plane[:, 0], plane[:, 1], s=size, linewidths=0)
    else:
        edges = _scatter_colored(ax, plane, _matching(color, len(plane), "color"), size)
    if images is not None:
        _place_images(ax, plane, _matching(images, len(plane), "images"), image_count, edges)
    ax.set(xlabel="first coordinate", ylabel="second coordinate" if points.shape[1] > 1 else "row", title=title or "")
    ax.set(xticks=[], yticks=[])
    return ax


def neighbor_graph(points: Any, neighbors: Neighbors, *, color: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the edges of a neighbour graph over the first two columns of points.

    Args:
        points: where to draw them, shape (n, c), c >= 2: the data or an embedding.
        neighbors: of all the points.
        color: one value a point.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 2))
        >>> len(jaxlle.plot.neighbor_graph(x, jaxlle.knn(x, 3)).collections)
        2
    """
    plane = np.asarray(points)[:, :2]
    ids = np.asarray(neighbors.indices)
    keep = np.ones(ids.shape, bool) if neighbors.mask is None else np.asarray(neighbors.mask)
    rows = np.repeat(np.arange(len(ids)), ids.shape[1]).reshape(ids.shape)[keep]
    ax = plt.subplots(figsize=(8, 7), layout="constrained")[1] if ax is None else ax
    lines = np.stack([plane[rows], plane[ids[keep]]], axis=1)
    ax.add_collection(LineCollection(list(lines), colors="0.6", linewidths=0.4, zorder=1))
    values = None if color is None else _matching(color, len(plane), "color")
    ax.scatter(plane[:, 0], plane[:, 1], c=values, s=np.clip(30_000 / len(plane), 4, 30), linewidths=0, zorder=2)
    ax.autoscale_view()
    return ax


def spectrum(values: Any, dim: int | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw singular values on a logarithmic scale and mark the gap behind the first `dim`.

    Args:
        values: an Embedding, a `solvers.Spectrum`, or singular values, shape (count,).
        dim: number of columns of the embedding; None for an Embedding's own, else no mark.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Example:
        >>> import jaxlle
        >>> jaxlle.plot.spectrum([1e-4, 2e-4, 3e-3], 2).get_yscale()
        'log'
    """
    s = np.asarray(getattr(values, "singular_values", values), np.float64)
    ax = plt.subplots(figsize=(6, 4), layout="constrained")[1] if ax is None else ax
    number = np.arange(1, len(s) + 1)
    ax.semilogy(number, np.maximum(s, np.finfo(np.float64).tiny), "o-", linewidth=0.8)
    if isinstance(values, Embedding):
        ax.set_title(f"relative gap behind the last: {float(values.gap):.2g}")
    elif dim is not None and dim < len(s):
        ax.axvspan(dim, dim + 1, color="0.9", zorder=0)
        ax.set_title(f"gap behind {dim}: {s[dim] - s[dim - 1]:.2g}")
    ax.set(xlabel="number, the constant vector left out", ylabel="singular value of B", xticks=number[:: max(1, len(s) // 10)])
    return ax


def _matching(values: Any, n: int, name: str) -> np.ndarray:
    values = np.asarray(values)
    if len(values) != n:
        raise ValueError(f"{name} has {len(values)} entries, but there are {n} points.")
    return values


def _scatter_colored(ax: Axes, plane: np.ndarray, color: np.ndarray, size: float) -> list | None:
    """Draw the points; return the colour of each if they are classes."""
    classes = np.unique(color) if color.dtype.kind in "iubUSO" else np.array([])
    if not 0 < len(classes) <= _MAX_CLASSES:
        drawn = ax.scatter(plane[:, 0], plane[:, 1], c=color, s=size, linewidths=0, cmap="viridis")
        ax.figure.colorbar(drawn, ax=ax, shrink=0.6)
        return None
    palette = plt.get_cmap("tab10" if len(classes) <= 10 else "tab20")
    for number, name in enumerate(classes):
        rows = color == name
        ax.scatter(plane[rows, 0], plane[rows, 1], s=size, linewidths=0, color=palette(number), label=str(name))
    ax.legend(markerscale=2, fontsize="small", framealpha=0.7)
    return [palette(number) for number in np.searchsorted(classes, color)]


def _place_images(ax: Axes, plane: np.ndarray, images: np.ndarray, count: int, edges: list | None) -> None:
    """Show the images of points chosen farthest from those already shown, so that they spread along the shape."""
    extent = np.ptp(plane, axis=0)
    unit = (plane - plane.min(axis=0)) / np.where(extent > 0, extent, 1)
    nearest = np.full(len(unit), np.inf)
    chosen = int(np.argmax(np.linalg.norm(unit - 0.5, axis=1)))
    for _ in range(min(count, len(unit))):
        box = OffsetImage(images[chosen], cmap="gray_r", zoom=17 / max(images.shape[1:3]))
        frame = {"linewidth": 0.8, "edgecolor": "0.5" if edges is None else edges[chosen]}
        ax.add_artist(AnnotationBbox(box, tuple(plane[chosen]), pad=0.1, bboxprops=frame))
        nearest = np.minimum(nearest, np.linalg.norm(unit - unit[chosen], axis=1))
        chosen = int(nearest.argmax())
        if nearest[chosen] < 0.04:  # closer, and the images would cover each other
            break
