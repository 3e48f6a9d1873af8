"""The figure of `jaxlle embed`: static, or interactive if its name ends in .html."""

import argparse
from pathlib import Path
from typing import Any

from ._data import has_coordinates
from ._outputs import is_page
from ._pipeline import Result

SHOWN = 4  # components that are drawn side by side


def draw(args: argparse.Namespace, data: Any, result: Result, path: Path) -> None:
    """Draw the embedding, or the embeddings of the components side by side, to a temporary file."""
    if is_page(args.plot):
        _write_page(args, data, result, path)
    else:
        _draw_static(data, result, path)


def figure_title(data: Any, result: Result) -> str | None:
    """Return the title of a figure that does not show one embedding of all points, or None."""
    embeddings, n = result.embeddings, data.points.shape[0]
    count, size = len(embeddings), len(embeddings[0].rows)
    if count > SHOWN:
        shown = sum(len(embedding.rows) for embedding in embeddings[:SHOWN])
        return f"the {SHOWN} largest of {count} components, embedded separately: {shown:,} of {n:,} points"
    if count > 1:
        return f"the {count} components of the neighborhood graph, embedded separately"
    return None if size == n else f"the largest component, {size:,} of {n:,} points"


def _draw_static(data: Any, result: Result, path: Path) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    from .. import plot
    from ..plot.interactive import arrange

    shown = result.embeddings[:SHOWN]
    figure = Figure(figsize=(9, 8), layout="constrained")  # not through pyplot: opens no window
    embedding, rows, component = shown[0], np.asarray(shown[0].rows), np.zeros(0)
    if len(shown) > 1:
        embedding, rows, component, _ = arrange(shown)
        figure.set_size_inches(14, 7.5)
    images = None if data.image_shape is None else data.points[rows].reshape(-1, *data.image_shape)
    if images is not None and images.ndim == 4:  # thumbnails are gray
        images = images[..., :3].mean(axis=3)
    color = None if data.labels is None else data.labels[rows]
    three = len(shown) == 1 and shown[0].points.shape[1] == 3
    ax = figure.add_subplot(projection="3d" if three else None)
    plot.embedding(embedding, color=color, images=images, title=figure_title(data, result), ax=ax)
    for i in range(len(shown) if len(shown) > 1 else 0):
        own: Any = np.asarray(embedding)[component == i]
        at = float(own[:, 0].min() + own[:, 0].max()) / 2, float(own[:, 1].min())
        ax.annotate(f"{len(own):,} points", at, (0, -16), textcoords="offset points", ha="center", va="top")
    figure.savefig(path, dpi=200)


def _write_page(args: argparse.Namespace, data: Any, result: Result, path: Path) -> None:
    from ..plot.colorings import coloring_of, diagnostic_colorings
    from ..plot.interactive import arrange, write_page

    embeddings = list(result.embeddings[:SHOWN])
    points = arrange(embeddings if len(embeddings) > 1 else embeddings[0])
    colorings = [] if data.labels is None else [coloring_of("label", points.take(data.labels, "labels", 1))]
    colorings += diagnostic_colorings(_diagnostics(args, data, result, embeddings))
    images = None if data.image_shape is None else data.points.reshape(-1, *data.image_shape)
    title = figure_title(data, result)
    write_page(
        path,
        points,
        colorings,
        images=images,
        texts=data.texts,
        rows=data.rows,
        title=data.name if title is None else f"{data.name}: {title}",
    )


def _diagnostics(args: argparse.Namespace, data: Any, result: Result, embeddings: list) -> dict[str, Any]:
    """Return the diagnostics that the data and their graph allow, of the points in the order in which they are drawn."""
    import numpy as np

    from .._core.points import prepare_points
    from ..metrics import DIAGNOSTICS, diagnostics

    neighbors = result.neighbors
    left_out = set()
    if not has_coordinates(args, data):
        left_out |= {"reconstruction", "cost"}
    if neighbors.distances is None:
        left_out |= {"dimension", "density"}
    if neighbors.indices.shape[1] < 2:
        left_out |= {"dimension"}
    if args.components == "separate":
        left_out |= {"component"}  # all points of each embedding are one component
    kinds = [kind for kind in DIAGNOSTICS if kind not in left_out]
    points = prepare_points(data.points, metric="precomputed") if args.metric == "precomputed" else data.points
    found = [diagnostics(points, each, kinds=kinds, neighbors=neighbors, reg=args.reg) for each in embeddings]
    values = {kind: np.concatenate([each[kind] for each in found]) for kind in kinds}
    if len(embeddings) > 1:
        values["component"] = np.repeat(np.arange(len(embeddings)), [len(each.rows) for each in embeddings])
    return values
