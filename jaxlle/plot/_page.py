"""The page of an interactive figure, made by Bokeh."""

import base64
import html
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.embed import file_html
from bokeh.layouts import column, row
from bokeh.models import ColorBar, ColumnDataSource, CustomJS, Div, HoverTool, LinearColorMapper, Select
from bokeh.plotting import figure
from bokeh.resources import INLINE
from matplotlib.colors import to_hex

from ._placement import prominence
from ._sprites import Sprites
from ._style import PALETTE, SCALE, class_colors, darker
from .colorings import Coloring

_HELP = "Choose the lasso in the toolbar and draw around points to list them. Drag to pan, scroll to zoom."
_STYLE = """
:host { font: 14px system-ui, sans-serif; color: #222; line-height: 1.4; }
.title { margin-top: 12px; color: #666; }
.images { display: flex; flex-wrap: wrap; gap: 2px; margin-top: 12px; }
textarea { box-sizing: border-box; width: 100%; height: 5em; font: 12px monospace; border: 1px solid #ccc; color: #222; }
td { padding-right: 8px; }
td:first-child { text-align: right; }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 5px; margin-right: 6px; }
p { margin: 8px 0; overflow-wrap: anywhere; }
"""
_SIDE = 300  # width of the column beside the drawing, in pixels


def make_page(
    places: np.ndarray,
    columns: dict[str, np.ndarray],
    colorings: list[Coloring],
    sprites: Sprites | None,
    title: str | None,
) -> str:
    """Return the HTML page.

    Args:
        places: where the points are drawn, shape (n, 2).
        columns: "row", the number of each point, and maybe "text".
        colorings: to choose from, the first one at first.
        sprites: thumbnails.
        title: of the page.
    """
    # Drawn one after the other, the last class would hide the others.
    order = np.random.default_rng(0).permutation(len(places))
    data: dict[str, Any] = {"x": places[:, 0].astype(np.float32), "y": places[:, 1].astype(np.float32), **columns}
    if sprites is not None:
        data["left"], data["top"] = sprites.places(len(places))
    for i, coloring in enumerate(colorings):
        data[f"color{i}"] = coloring.numbers.astype(np.float32)
        if coloring.names is not None:
            data[f"name{i}"] = coloring.names
    source = ColumnDataSource({name: _plain(values[order]) for name, values in data.items()})
    plot, points = _draw(source, len(places), title)
    side: list[Any] = []
    if colorings:
        side.append(_choice(plot, points, places, colorings))
    plot.add_tools(_hover(points, columns, colorings, sprites))
    side.append(_selection(source, colorings, sprites))
    panel = column(side, width=_SIDE, sizing_mode="stretch_height", styles={"overflow-y": "auto"})
    page = row(plot, panel, sizing_mode="stretch_both")
    png = None if sprites is None else base64.b64encode(sprites.png).decode()
    return file_html(
        page, INLINE, title or "embedding", template=_read("_page.html"), template_variables={"thumbnails": png}
    )


def _read(name: str) -> str:
    return (files("jaxlle.plot") / name).read_text(encoding="utf-8")


def _plain(values: np.ndarray) -> Any:
    """Return a column as Bokeh writes it compactly: arrays of 32 bits, or lists of strings."""
    if values.dtype.kind in "iub":
        values = values.astype(np.int64)
        return values.astype(np.int32) if np.abs(values).max() < 2**31 else values.astype(np.float64)
    return values if values.dtype.kind == "f" else values.astype(str).tolist()


def _draw(source: ColumnDataSource, n: int, title: str | None) -> tuple[Any, Any]:
    """Return a figure without axes, and the renderer of the points."""
    tools = "pan,wheel_zoom,box_zoom,lasso_select,reset,save"
    plot: Any = figure(
        output_backend="webgl",
        tools=tools,
        active_drag="pan",
        active_scroll="wheel_zoom",
        title=title or "",
        sizing_mode="stretch_both",
        outline_line_color=None,
        min_border=10,
    )
    plot.axis.visible = False
    plot.grid.visible = False
    plot.toolbar.logo = None
    plot.title.text_font = "system-ui"
    plot.title.text_font_size = "16px"
    points = plot.scatter(
        "x",
        "y",
        source=source,
        size=float(np.clip(300 / np.sqrt(n), 2.5, 7)),
        fill_color=PALETTE[0],
        fill_alpha=0.7,
        line_color=None,
        selection_fill_alpha=0.7,
        nonselection_fill_alpha=0.06,
    )
    return plot, points


def _choice(plot: Any, points: Any, places: np.ndarray, colorings: list[Coloring]) -> Select:
    """Add the color bars and the names of the classes to the figure; return the choice of colorings."""
    mappers, bars, names = {}, {}, {}
    for i, coloring in enumerate(colorings):
        classes, first = coloring.classes, i == 0
        colors = class_colors(len(classes)) if classes else SCALE(np.linspace(0, 1, 256))
        low, high = coloring.limits
        mapper = LinearColorMapper(
            palette=[to_hex(color) for color in colors], low=low, high=high if high > low else low + 1
        )
        mappers[coloring.name] = {"column": f"color{i}", "mapper": mapper}
        if classes:
            names[coloring.name] = _write_names(plot, places, coloring, first)
        else:
            bar = ColorBar(
                color_mapper=mapper, width=10, height=220, bar_line_color=None, visible=first, location="center"
            )
            bar.update(major_tick_line_color=None, major_label_text_font="system-ui", background_fill_color=None)
            plot.add_layout(bar, "right")
            bars[coloring.name] = bar
    for glyph in (points.glyph, points.selection_glyph, points.nonselection_glyph):
        glyph.fill_color = {"field": "color0", "transform": mappers[colorings[0].name]["mapper"]}
    choice = Select(title="Color", value=colorings[0].name, options=list(mappers), width=_SIDE - 20)
    arguments = {"points": points, "names": names, "bars": bars, "colorings": mappers}
    choice.js_on_change("value", CustomJS(args=arguments, code=_read("_color.js")))
    return choice


def _write_names(plot: Any, places: np.ndarray, coloring: Coloring, visible: bool) -> list[Any]:
    """Write the name of each class at one of its points, where the class is dense and other classes are not."""
    members = coloring.numbers.astype(int)
    scores = prominence(places, members, len(coloring.classes))
    best = [int(np.argmax(np.where(members == c, scores, -1))) for c in range(len(coloring.classes))]
    shared = {
        "text_font": value("system-ui"),
        "text_font_size": "15px",
        "text_font_style": "bold",
        "text_align": "center",
        "text_baseline": "middle",
        "visible": visible,
        "level": "annotation",
    }
    at = places[best, 0].tolist(), places[best, 1].tolist(), list(coloring.classes)
    colors = [to_hex(color) for color in darker(class_colors(len(best)))]
    # Bokeh draws the outline of a text over its inside.
    outline = plot.text(*at, text_color="white", text_outline_color="white", text_outline_width=4, **shared)
    return [outline, plot.text(*at, text_color=colors, **shared)]


def _hover(
    points: Any, columns: dict[str, np.ndarray], colorings: list[Coloring], sprites: Sprites | None
) -> HoverTool:
    formatters: Any = {f"@color{i}": "printf" for i, coloring in enumerate(colorings) if coloring.names is None}
    tooltip = _tooltip(columns, colorings, sprites)
    return HoverTool(renderers=[points], tooltips=tooltip, formatters=formatters, limit=1)


def _tooltip(columns: dict[str, np.ndarray], colorings: list[Coloring], sprites: Sprites | None) -> str:
    """Return what is shown at the point under the pointer; Bokeh fills in and escapes the values of the columns."""
    lines = ["<b>row @row</b>"]
    for i, coloring in enumerate(colorings):
        value = f"@color{i}{{%0.3g}}" if coloring.names is None else f"@name{i}"
        style = "color:#777" if coloring.names is None else "font-weight:bold"
        lines.append(f'<div style="{style}">{_literal(coloring.name)}: {value}</div>')
    if "text" in columns:
        lines.append('<div style="margin-top:4px">@text</div>')
    image = ""
    if sprites is not None:
        size = f"width:{sprites.width}px;height:{sprites.height}px;flex:none"
        place = f"-@left{{0}}px -@top{{0}}px/{sprites.sheet_width}px auto"
        image = f'<div style="{size};background:var(--thumbnails) {place};image-rendering:pixelated"></div>'
    text = f"<div>{''.join(lines)}</div>"
    style = "display:flex;gap:10px;max-width:360px;font:12px/1.4 system-ui,sans-serif;color:#222"
    return f'<div class="point" style="{style}">{image}{text}</div>'


def _literal(text: str) -> str:
    """Return text for a template of Bokeh, where @ and $ mark columns."""
    return html.escape(text).replace("@", "&#64;").replace("$", "&#36;")


def _selection(source: ColumnDataSource, colorings: list[Coloring], sprites: Sprites | None) -> Div:
    """Return the list of the selected points."""
    listed = Div(text=_HELP, stylesheets=[_STYLE], width=_SIDE - 20)
    size = None if sprites is None else {name: getattr(sprites, name) for name in ("width", "height", "sheet_width")}
    classes = {}
    for i, coloring in enumerate(colorings):
        if coloring.names is not None:
            colors = [to_hex(color) for color in class_colors(len(coloring.classes))]
            classes[coloring.name] = {"column": f"name{i}", "colors": dict(zip(coloring.classes, colors, strict=True))}
    arguments = {
        "source": source,
        "list": listed,
        "classes": classes,
        "thumbnails": size,
        "has_texts": "text" in source.column_names,
        "help": _HELP,
    }
    source.selected.js_on_change("indices", CustomJS(args=arguments, code=_read("_selection.js")))
    return listed
