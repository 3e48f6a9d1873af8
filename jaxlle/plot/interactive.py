"""An interactive drawing of an embedding: one HTML file that needs neither Python nor a network."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._core.atomic import replacing
from .._core.missing import read_host
from ..embedding import Embedding
from ..metrics import DIAGNOSTICS, diagnostics
from ._sprites import make_sprites
from ._style import points_to_draw
from .colorings import Coloring, coloring_of, diagnostic_colorings
from .pointwise import component_names
from .scatter import matching

_TEXT = 280  # characters of a text that are shown


class Points(NamedTuple):
    """Points of one embedding or of several side by side.

    Attributes:
        places: where they are drawn, shape (n, 2).
        rows: their rows in the data, shape (n,).
        component: number of the embedding of each, shape (n,).
        embedded: whether they are those of Embeddings, which may be of some rows of the data.
    """

    places: np.ndarray
    rows: np.ndarray
    component: np.ndarray
    embedded: bool

    def take(self, values: Any, name: str, ndim: int) -> np.ndarray:
        """Return the values of these points, from those of all rows of the data or of the points alone."""
        values = read_host(values, name)
        n = len(self.rows)
        if self.embedded and values.ndim and len(values) > self.rows.max():
            values = values[self.rows]
        return matching(values, n, name, ndim)


def interactive(
    y: Any,
    path: str | Path,
    *,
    x: Any = None,
    color: Any = None,
    images: Any = None,
    texts: Any = None,
    rows: Any = None,
    title: str | None = None,
) -> None:
    """Write an embedding as an interactive figure to one HTML file, to be opened in a browser.

    The page shows the row, the classes, the diagnostics, and the image or text of the point under the pointer; it can be panned
    and zoomed, lists the points inside a lasso, and has a choice of colorings. It contains all it needs. Requires Bokeh
    (``pip install 'jaxlle[interactive]'``).

    The first two columns of the embedding are drawn; a single column is drawn over the row number. Values per point are those of
    all rows of the data, of which an Embedding of one component takes its own.

    Args:
        y: an Embedding or points, shape (n, c); or several Embeddings, such as those of the components of a graph
            by `jaxlle.embedding.embed_components`, which are drawn side by side.
        path: the file, whose name ends in .html; an existing one is replaced when the new one is complete.
        x: the data, shape (n, d), which adds the colorings of `jaxlle.metrics.diagnostics`.
        color: one value per point, as for `embedding`, or several colorings by name, of which the first is shown first.
        images: one image per point, shape (n, h, w) or (n, h, w, 3), gray or in color.
        texts: one text per point; the first 280 characters are shown.
        rows: number of each point to show, shape (n,). None: the row number in the data, from 0.
        title: title of the figure and of the page.

    Raises:
        ModuleNotFoundError: if Bokeh is not installed.
        ValueError: if the points are not finite, values do not match them, or path does not end in .html.
        OSError: if the file cannot be written.

    Example:
        >>> import jax, jaxlle, tempfile, pathlib
        >>> roll = jaxlle.datasets.swiss_roll(jax.random.key(0), 300)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "roll.html"
        ...     jaxlle.plot.interactive(jaxlle.lle(roll.points, 2, k=10), path, color=roll.parameters[:, 0])
        ...     path.stat().st_size < 4_000_000
        True
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"path = {str(path)!r} is not allowed: the name of the file must end in .html.")
    if find_spec("bokeh") is None:
        raise ModuleNotFoundError("Interactive figures are made by Bokeh: pip install 'jaxlle[interactive]'.")
    points = arrange(y)
    write_page(path, points, _colorings(points, color, x, y), images=images, texts=texts, rows=rows, title=title)


def write_page(
    path: Path,
    points: Points,
    colorings: list[Coloring],
    *,
    images: Any = None,
    texts: Any = None,
    rows: Any = None,
    title: str | None = None,
) -> None:
    """Write the page of an interactive figure, whose arguments are those of `interactive`."""
    from ._page import make_page

    columns = {"row": points.rows if rows is None else points.take(rows, "rows", 1)}
    if texts is not None:
        columns["text"] = np.array([_shorten(str(text)) for text in points.take(texts, "texts", 1)])
    sprites = None if images is None else make_sprites(_images(images, points))
    with replacing(path) as temporary:
        temporary.write_text(make_page(points.places, columns, colorings, sprites, title), encoding="utf-8")


def arrange(y: Any) -> Points:
    """Return the points of an embedding, or of several side by side, with areas in proportion to their numbers of points."""
    several = isinstance(y, list | tuple) and len(y) > 0 and all(isinstance(part, Embedding) for part in y)
    parts = y if several else [y]
    places, rows, left = [], [], 0.0
    for part in parts:
        points = points_to_draw(part)
        flat = points[:, :2] if points.shape[1] > 1 else np.column_stack([points[:, 0], np.arange(len(points))])
        if several:
            extent = np.ptp(flat, axis=0)
            side = np.sqrt(len(flat) / max(len(points_to_draw(other)) for other in parts))
            flat = (flat - flat.min(axis=0)) / np.where(extent > 0, extent, 1) * side - [0, side / 2]
            flat[:, 0] += left
            left += side + 0.15
        places.append(flat)
        rows.append(np.asarray(getattr(part, "rows", np.arange(len(flat)))))
    component = np.repeat(np.arange(len(parts)), [len(part) for part in places])
    return Points(np.concatenate(places), np.concatenate(rows), component, all(hasattr(part, "rows") for part in parts))


def _images(images: Any, points: Points) -> np.ndarray:
    images = read_host(images, "images")
    images = points.take(images, "images", 4 if images.ndim == 4 else 3)
    if images.ndim == 4 and images.shape[3] not in (1, 3, 4):
        raise ValueError(f"images has shape {images.shape}, but images in color have three channels, the last axis.")
    return images if images.ndim == 3 else images[..., 0] if images.shape[3] == 1 else images[..., :3]


def _shorten(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1].rstrip() + "\u2026"


def _colorings(points: Points, color: Any, x: Any, y: Any) -> list[Coloring]:
    """Return the colorings by the given values, by the diagnostics of the data, and by component if there are several."""
    given = color if isinstance(color, Mapping) else {} if color is None else {"label": color}
    found = [coloring_of(str(name), points.take(values, f"color[{name!r}]", 1)) for name, values in given.items()]
    if x is not None:
        parts = y if len(points.component) and points.component[-1] else [y]
        values = [diagnostics(x, part) for part in parts]
        found += diagnostic_colorings({kind: np.concatenate([part[kind] for part in values]) for kind in DIAGNOSTICS})
    if points.component[-1] and not any(coloring.name == "component" for coloring in found):
        found.append(coloring_of("component", component_names(points.component)))
    return found
