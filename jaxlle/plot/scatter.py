"""Drawings of points: embeddings and neighbor graphs."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from .._core.arrays import pairs_or_rows
from .._core.missing import read_host
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ._placement import Page, label_classes, place_images
from ._style import PALETTE, SCALE, class_colors, color_bar, new_axes, points_to_draw, remove_frame

MAX_CLASSES = 20  # labels with more distinct values are drawn on a continuous scale
_SIZE = (6.4, 5.6)


def embedding(
    y: Any,
    *,
    color: Any = None,
    images: Any = None,
    image_count: int = 40,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Scatter an embedding in two or three dimensions, with the names of its classes and images of some points.

    Three columns are drawn on three-dimensional Axes, unless `ax` is two-dimensional. Of more columns the first two (on
    three-dimensional Axes the first three) are drawn; a single column is drawn over the row number.

    Args:
        y: an Embedding or points, shape (n, c).
        color: one value per point, shape (n,). Up to 20 distinct integers, booleans or strings are classes: the name of each is
            written where it is densest. Other values get a continuous scale with a color bar (strings in sorted order).
        images: one image per point, shape (n, h, w). Those of some points are drawn beside them, spread over the embedding,
            where they hide few points. Images with a uniform border are drawn as ink on a transparent background. In
            three dimensions names and images are placed for the current view.
        image_count: maximum number of images.
        title: title of the Axes.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the points are not finite, color or images do not match them, or three-dimensional Axes are given for
            fewer than three columns.

    Example:
        >>> import jax, jaxlle
        >>> roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 300)
        >>> ax = jaxlle.plot.embedding(jaxlle.lle(roll.points, 2, k=10), color=roll.parameters[:, 0])
        >>> ax.name, len(ax.figure.axes)  # the second Axes are the color bar
        ('rectilinear', 2)
        >>> jaxlle.plot.embedding(roll.points).name
        '3d'
    """
    points = points_to_draw(y)
    color = None if color is None else matching(color, len(points), "color", 1)
    images = None if images is None else matching(images, len(points), "images", 3)
    ax, places = _axes(points, ax)
    if points.shape[1] == 1:
        ax.set(xlabel="coordinate", ylabel="row")
    ax.set_title(title or "")
    _draw_points(ax, places, color, images, image_count)
    return ax


def neighbor_graph(points: Any, neighbors: Neighbors, *, color: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the points of a neighbor graph, in two or three dimensions, and its edges.

    Args:
        points: where to draw them, shape (n, c), c >= 2: the data or an embedding. The columns are chosen as for `embedding`.
        neighbors: neighbors of all points.
        color: one value per point, as for `embedding`.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if points or color do not match the neighborhoods.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 2))
        >>> ax = jaxlle.plot.neighbor_graph(x, jaxlle.knn(x, 3))
        >>> len(ax.collections[0].get_segments())
        300
    """
    points, neighbors = points_to_draw(points), prepare_graph(neighbors)
    ids = np.asarray(neighbors.indices)
    if points.shape[1] < 2 or len(points) != len(ids):
        raise ValueError(
            f"points has shape {points.shape}, but must have at least two columns and one row for each of "
            f"{len(ids)} neighborhoods."
        )
    color = None if color is None else matching(color, len(points), "color", 1)
    keep = np.ones(ids.shape, bool) if neighbors.mask is None else np.asarray(neighbors.mask)
    rows = np.repeat(np.arange(len(ids)), ids.shape[1]).reshape(ids.shape)[keep]
    ax, places = _axes(points, ax)
    lines = Line3DCollection if isinstance(ax, Axes3D) else LineCollection
    edges = lines(list(np.stack([places[rows], places[ids[keep]]], axis=1)), colors="0.7", linewidths=0.4, zorder=0.5)
    ax.add_collection(edges)  # below the points
    _draw_points(ax, places, color)
    return ax


def pairs(a: Any, b: Any, pairs: Any = None, *, color: Any = None, ax: Axes | None = None) -> Axes:
    """Draw two aligned sets side by side, on one scale, with lines between the points of each pair.

    The second set is drawn to the right of the first, so that the line of two points with the same coordinates is horizontal and
    that of a wrong or inexact match is not. Sets of one column are drawn one above the other, with vertical lines.

    Args:
        a: an Embedding or points of the first set, shape (n, c), such as of `jaxlle.semisupervised.align`. The first two columns
            are drawn.
        b: those of the second set, shape (m, c).
        pairs: row numbers in a and in b of the pairs to connect, shape (p, 2); None to connect row i of a to row i of b.
        color: the colors of the points of each set, two arrays of shapes (n,) and (m,), as for `embedding`.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the points are not finite, the sets differ in their columns, or without pairs in their rows, or pairs or
            color do not match the sets.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> a = jnp.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]])
        >>> ax = jaxlle.plot.pairs(a, a[::-1], [[0, 2], [1, 1]])
        >>> [float(line[1, 1] - line[0, 1]) for line in ax.collections[0].get_segments()]  # both lines are horizontal
        [0.0, 0.0]
    """
    sets = [points_to_draw(y)[:, :2] for y in (a, b)]
    sizes = len(sets[0]), len(sets[1])
    if sets[0].shape[1] != sets[1].shape[1] or (pairs is None and sizes[0] != sizes[1]):
        raise ValueError(
            f"a has shape {sets[0].shape} and b {sets[1].shape} up to the second column: both must have the same columns, and "
            f"the same rows if no pairs are given."
        )
    rows = pairs_or_rows(pairs, sizes)
    places = np.concatenate(sets)
    extent = np.ptp(places, axis=0)
    if places.shape[1] == 1:
        places, extent = np.column_stack([places, np.zeros(len(places))]), np.array([0.0, extent[0] or 1])
    step = np.array([1.15 * extent[0], 0]) if extent[0] > 0 else np.array([0, 0.3 * extent[1]])
    places[sizes[0] :] += step
    if color is not None:
        color = _colors_of_both(color, sizes)
    ax, _ = _axes(places, ax)
    ends = np.stack([places[rows[:, 0]], places[rows[:, 1] + sizes[0]]], axis=1)
    ax.add_collection(LineCollection(list(ends), colors="0.6", linewidths=0.6, zorder=0.5))  # below the points
    _draw_points(ax, places, color)
    return ax


def _colors_of_both(color: Any, sizes: tuple[int, int]) -> np.ndarray:
    """Return the colors of the points of two sets as one array; raise if they have no common scale."""
    if not isinstance(color, list | tuple) or len(color) != 2:
        raise ValueError("color must be a list of two arrays, the colors of the points of a and of b.")
    both = [matching(values, n, f"color[{i}]", 1) for i, (values, n) in enumerate(zip(color, sizes, strict=True))]
    kinds = ["numbers" if c.dtype.kind in "biuf" else type(c.tolist()[0]).__name__ for c in both]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"color consists of {kinds[0]} for a and of {kinds[1]} for b, which have no order: use one kind for both."
        )
    return np.concatenate(both)


def _axes(points: np.ndarray, ax: Axes | None) -> tuple[Axes, np.ndarray]:
    """Return Axes without a frame and the coordinates that are drawn on them."""
    ax = new_axes(ax, _SIZE, "3d" if points.shape[1] == 3 else None)
    if isinstance(ax, Axes3D):
        if points.shape[1] < 3:
            raise ValueError(f"Points of shape {points.shape} have no third column: give two-dimensional Axes.")
        ax.set_axis_off()
        extent = np.ptp(points[:, :3], axis=0)
        ax.set_box_aspect(np.where(extent > 0, extent, extent.max() or 1), zoom=1.3)  # pyright: ignore[reportArgumentType] (stub)
        return ax, points[:, :3]
    remove_frame(ax)
    if points.shape[1] == 1:
        return ax, np.column_stack([points[:, 0], np.arange(len(points))])
    return ax, points[:, :2]


def _draw_points(
    ax: Any, places: np.ndarray, color: np.ndarray | None, images: np.ndarray | None = None, count: int = 0
) -> None:
    n = len(places)
    classes, members = np.zeros(0), np.zeros(n, int)
    if color is not None and color.dtype.kind in "iubUSO":
        classes, members = np.unique(color, return_inverse=True)
    side = ax.bbox.size.min() * 72 / ax.figure.figure.dpi  # in typographic points
    size = np.clip(20_000 / n, 3, 22) * np.clip(side / 400, 0.5, 1)
    style: dict[str, Any] = {"s": size, "alpha": 0.7, "linewidths": 0}
    if color is None:
        colors = np.repeat(class_colors(1), n, axis=0)
        ax.scatter(*places.T, color=PALETTE[0], **style)
    elif 0 < len(classes) <= MAX_CLASSES:
        colors = class_colors(len(classes))[members]
        order = np.random.default_rng(0).permutation(
            n
        )  # drawn one after the other, the last class would hide the others
        ax.scatter(*places[order].T, color=colors[order], **style)
    else:
        numbers = members if color.dtype.kind in "USO" else color
        drawn = ax.scatter(*places.T, c=numbers, cmap=SCALE, **style)
        bar = color_bar(ax, drawn)
        if color.dtype.kind in "USO":
            bar.set_ticks([0, len(classes) - 1], labels=[str(classes[0]), str(classes[-1])])
        colors, classes = SCALE(Normalize()(numbers)), classes[:0]
    if len(classes) or images is not None:
        page = Page(ax, places)
        if len(classes):
            label_classes(ax, page, places, members, [str(name) for name in classes], class_colors(len(classes)))
        if images is not None:
            place_images(ax, page, images, count, colors)


def matching(values: Any, n: int, name: str, ndim: int) -> np.ndarray:
    """Return one value or image per point, on the host; raise if they are not finite numbers or names, or not n."""
    values = read_host(values, name)
    if values.ndim != ndim or len(values) != n or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}, but must have {ndim} axes, the first of {n} points.")
    if values.dtype.kind not in ("biufUSO" if ndim == 1 else "biuf"):
        raise ValueError(f"{name} has dtype {values.dtype}, but must consist of numbers or names.")
    if values.dtype.kind == "O" and len({isinstance(value, str) for value in values.flat}) > 1:
        raise ValueError(f"{name} consists of numbers and names, which have no order: convert the numbers to names.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} contains NaN or infinity: leave those points out, or give them a value.")
    return values
