"""Pictures: an embedding, its neighbour graph, its spectrum. Each draws on given Axes and returns them."""

from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from ._choosing import Grid
from ._diagnostics import Diagnosis
from .embedding import Embedding, places
from .explanation import Explanation
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
        color: one value a point: up to 20 distinct whole numbers, booleans or strings are classes with a
            legend, others a scale (of strings, in their sorted order).
        images: one image a point, shape (n, h, w); those of points that lie apart from each other are shown.
        image_count: at most this many images.
        title: of the Axes.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the points are not finite, or color or images do not match them.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.plot.embedding(jaxlle.lle(x, 2, k=8), color=x[:, 0]).get_xlabel()
        'first coordinate'
    """
    points = _points(y)
    plane = points[:, :2] if points.shape[1] > 1 else np.column_stack([points[:, 0], np.arange(len(points))])
    color = None if color is None else _matching(color, len(plane), "color", 1)
    images = None if images is None else _matching(images, len(plane), "images", 3)
    ax = plt.subplots(figsize=(8, 7), layout="constrained")[1] if ax is None else ax
    edges = _scatter(ax, plane, color)
    if images is not None:
        _place_images(ax, plane, images, image_count, edges)
    ax.set(
        xlabel="first coordinate",
        ylabel="second coordinate" if points.shape[1] > 1 else "row",
        title=title or "",
    )
    ax.set(xticks=[], yticks=[])
    return ax


def neighbor_graph(points: Any, neighbors: Neighbors, *, color: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the edges of a neighbour graph over the first two columns of points.

    Args:
        points: where to draw them, shape (n, c), c >= 2: the data or an embedding.
        neighbors: of all the points.
        color: one value a point, as for `embedding`.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if points or color do not match the neighbourhoods.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 2))
        >>> len(jaxlle.plot.neighbor_graph(x, jaxlle.knn(x, 3)).collections)
        2
    """
    points, ids = _points(points), np.asarray(neighbors.indices)
    plane = points[:, :2]
    if plane.shape != (len(ids), 2):
        raise ValueError(
            f"points has shape {points.shape}, but must have two columns or more, and a row for each of "
            f"{len(ids)} neighbourhoods."
        )
    color = None if color is None else _matching(color, len(plane), "color", 1)
    keep = np.ones(ids.shape, bool) if neighbors.mask is None else np.asarray(neighbors.mask)
    rows = np.repeat(np.arange(len(ids)), ids.shape[1]).reshape(ids.shape)[keep]
    ax = plt.subplots(figsize=(8, 7), layout="constrained")[1] if ax is None else ax
    lines = np.stack([plane[rows], plane[ids[keep]]], axis=1)
    edges = LineCollection(list(lines), colors="0.6", linewidths=0.4, zorder=0.5)  # below the points
    ax.add_collection(edges)
    _scatter(ax, plane, color)
    return ax


def spectrum(values: Any, dim: int | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw singular values on a logarithmic scale and mark the gap behind the first `dim`.

    Args:
        values: an Embedding, a `solvers.Spectrum`, or singular values, shape (count,).
        dim: number of columns of the embedding, less than count; None for no mark. An Embedding's values end
            at its own, with the gap in the title.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if values are not a vector, or there is no gap behind dim.

    Example:
        >>> import jaxlle
        >>> jaxlle.plot.spectrum([1e-4, 2e-4, 3e-3], 2).get_yscale()
        'log'
    """
    s = np.asarray(getattr(values, "singular_values", values), np.float64)
    if s.ndim != 1 or s.size == 0:
        raise ValueError(f"Singular values have shape (count,), got {s.shape}.")
    if dim is not None and not isinstance(values, Embedding) and not 1 <= dim < len(s):
        raise ValueError(f"dim = {dim} is not allowed: of {len(s)} values the gap lies behind 1 to {len(s) - 1}.")
    ax = plt.subplots(figsize=(6, 4), layout="constrained")[1] if ax is None else ax
    number = np.arange(1, len(s) + 1)
    floor = max(1e-20 * float(s.max()), np.finfo(np.float64).tiny)  # where a zero is drawn
    ax.semilogy(number, np.maximum(s, floor), "o-", linewidth=0.8)
    if isinstance(values, Embedding):
        ax.set_title(f"relative gap behind the last: {float(values.gap):.2g}")
    elif dim is not None:
        ax.axvspan(dim, dim + 1, color="0.9", zorder=0)
        ax.set_title(f"gap behind {dim}: {s[dim] - s[dim - 1]:.2g}")
    ax.set(xlabel="number, the constant vector left out", ylabel="singular value of B")
    ax.set_xticks(number[:: max(1, len(s) // 10)])
    return ax


def grid(grid: Grid, criterion: str = "procrustes", *, ax: Axes | None = None) -> Axes:
    """Draw one measure of a grid of k and reg as shades, with its best marked; disconnected graphs are left blank.

    Args:
        grid: from `jaxlle.choose`.
        criterion: "procrustes", "residual_variance" or "preservation".
        ax: Axes to draw on; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: for an unknown criterion, or if no graph is connected.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> jaxlle.plot.grid(jaxlle.choose(x, 2, ks=[6, 12])).get_ylabel()
        'k'
    """
    k, reg = grid.best(criterion)
    values = np.where(grid.num_components == 1, getattr(grid, criterion), np.nan)
    ax = plt.subplots(figsize=(6, 5), layout="constrained")[1] if ax is None else ax
    drawn = ax.imshow(values, aspect="auto", origin="lower", cmap="viridis_r")
    ax.figure.colorbar(drawn, ax=ax, label=criterion.replace("_", " "))
    ax.plot(np.searchsorted(grid.regs, reg), np.searchsorted(grid.ks, k), "o", mfc="none", mec="red", ms=14)
    ax.set_xticks(range(len(grid.regs)), [f"{r:.2g}" for r in grid.regs], rotation=45)
    ax.set_yticks(range(len(grid.ks)), [str(k) for k in grid.ks])
    ax.set(xlabel="reg", ylabel="k", title=f"best: k = {k}, reg = {reg:.2g}")
    return ax


def diagnosis(facts: Diagnosis, y: Any) -> Figure:
    """Draw a diagnosis: where the map tears, hubs, the condition of the local problems, and the spectrum.

    Args:
        facts: from `jaxlle.diagnose`.
        y: the embedding that it is of, or any points to draw the errors at, shape (n, c).

    Returns:
        The figure.

    Raises:
        ValueError: if the points do not match.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> alignment = jaxlle.lle_alignment(x, k=10)
        >>> out = jaxlle.embed(alignment, 2)
        >>> len(jaxlle.plot.diagnosis(jaxlle.diagnose(alignment, out), out).axes)
        5
    """
    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    floor = max(float(facts.error.max()) * 1e-6, float(np.finfo(facts.error.dtype).tiny))
    embedding(y, color=np.log10(np.maximum(facts.error, floor)), title="share of the cost", ax=axes[0, 0])
    axes[0, 1].hist(facts.in_degree, bins=min(40, int(facts.in_degree.max()) + 1))
    axes[0, 1].set(title="in-degree", xlabel="neighbourhoods that a point is in", ylabel="points")
    if facts.condition is not None:
        axes[1, 0].hist(np.log10(facts.condition), bins=40)
    axes[1, 0].set(title="condition of the local problems", xlabel="power of ten", ylabel="points")
    spectrum(facts.singular_values, ax=axes[1, 1]).set_title("singular values")
    return figure


def explanation(
    found: Explanation,
    z: Any,
    bank: Any,
    image_shape: tuple[int, int],
    *,
    sensitivity: Any = None,
    output: int | None = None,
    count: int = 4,
) -> Figure:
    """Draw how images' outputs are accounted for: the image, what moves its output, and the neighbours that stand for it.

    A row an image: itself with f(z); the pixels that raise (red) and lower (blue) the output, by the slopes along the data and,
    if given, by the map's own derivative; then the neighbours of the largest contributions, with those.

    Args:
        found: from `jaxlle.explanation.explain`.
        z: the images that were explained, shape (q, d).
        bank: the known ones, shape (n, d).
        image_shape: height and width, with product d.
        sensitivity: from `jaxlle.explanation.sensitivity`, shape (q, c, d).
        output: which output; None takes each image's largest.
        count: neighbours to show.

    Returns:
        The figure.

    Raises:
        ValueError: if the images do not match, or there is no such output.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (50, 6))
        >>> out = jaxlle.explanation.explain(lambda x: x[:, :2], x[:3], x[3:], 5)
        >>> len(jaxlle.plot.explanation(out, x[:3], x[3:], (2, 3)).axes)
        18
    """
    z, bank = _points(z), _points(bank)
    f = np.asarray(found.outputs)
    if z.shape != (len(f), bank.shape[1]) or image_shape[0] * image_shape[1] != z.shape[1]:
        raise ValueError(
            f"{len(f)} explained images of shape {image_shape} do not match z of shape {z.shape} and a bank of {bank.shape}."
        )
    if output is not None and not 0 <= output < f.shape[1]:
        raise ValueError(f"output = {output} is not allowed: the map has {f.shape[1]}, counted from 0.")
    chosen = f.argmax(axis=1) if output is None else np.full(len(f), output)
    maps = [np.asarray(a) for a in (found.slopes, sensitivity) if a is not None]
    count = min(count, found.weights.shape[1])
    columns = 1 + len(maps) + count
    figure, axes = plt.subplots(
        len(f), columns, figsize=(1.5 * columns, 1.8 * len(f)), squeeze=False, layout="constrained"
    )
    for row, (place, c) in enumerate(zip(axes, chosen, strict=True)):
        _explained_row(place, found, row, int(c), z, bank, [a[row, c] for a in maps], image_shape)
    return figure


def _explained_row(
    axes: Any, found: Explanation, row: int, c: int, z: Any, bank: Any, maps: list, shape: tuple[int, int]
) -> None:
    axes[0].imshow(z[row].reshape(shape), cmap="gray_r")
    axes[0].set_title(f"f{c} = {float(found.outputs[row, c]):.3g}", fontsize="small")
    for ax, values, name in zip(axes[1:], maps, ("slopes", "sensitivity"), strict=False):
        reach = float(np.abs(values).max()) or 1.0
        ax.imshow(values.reshape(shape), cmap="RdBu_r", vmin=-reach, vmax=reach)
        ax.set_title(name, fontsize="small")
    shares = np.asarray(found.contributions)[row, :, c]
    near = axes[1 + len(maps) :]
    for ax, j in zip(near, np.argsort(-np.abs(shares), kind="stable")[: len(near)], strict=True):
        ax.imshow(bank[int(found.neighbors.indices[row, j])].reshape(shape), cmap="gray_r")
        ax.set_title(f"{shares[j]:+.3g}", fontsize="small")
    for ax in axes:
        ax.set(xticks=[], yticks=[])


def _points(y: Any) -> np.ndarray:
    points = np.asarray(places(y))
    if points.ndim != 2 or points.size == 0:
        raise ValueError(f"Points to draw have shape (n, c), got {points.shape}.")
    if not np.isfinite(points).all():
        raise ValueError("Points to draw contain NaN or infinity: those would be missing from the picture.")
    return points


def _matching(values: Any, n: int, name: str, ndim: int) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != ndim or len(values) != n:
        raise ValueError(f"{name} has shape {values.shape}, but must have {ndim} axes, the first of {n} points.")
    return values


def _scatter(ax: Axes, plane: np.ndarray, color: np.ndarray | None) -> list | None:
    """Draw the points; return the colour of each if they are classes."""
    draw = partial(ax.scatter, s=np.clip(30_000 / len(plane), 4, 30), linewidths=0)
    if color is None:
        draw(plane[:, 0], plane[:, 1])
        return None
    discrete = color.dtype.kind in "iubUSO"
    classes, members = np.unique(color, return_inverse=True) if discrete else (color[:0], color)
    if not 0 < len(classes) <= _MAX_CLASSES:
        numbers = members if color.dtype.kind in "USO" else color
        drawn = draw(plane[:, 0], plane[:, 1], c=numbers, cmap="viridis")
        ax.figure.colorbar(drawn, ax=ax, shrink=0.6)
        return None
    palette = plt.get_cmap("tab10" if len(classes) <= 10 else "tab20")
    for number, name in enumerate(classes):
        rows = members == number
        draw(plane[rows, 0], plane[rows, 1], color=palette(number), label=str(name))
    ax.legend(markerscale=2, fontsize="small", framealpha=0.7)
    return [palette(number) for number in members]


def _place_images(ax: Axes, plane: np.ndarray, images: np.ndarray, count: int, edges: list | None) -> None:
    """Show the images of points farthest from those already shown, so that they spread along the shape."""
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
