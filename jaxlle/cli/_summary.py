"""The rows of the printed reports: method and data, quality of the embedding, times and files."""

import argparse
from pathlib import Path
from typing import Any

from ._data import has_coordinates
from ._methods import METHODS
from ._outputs import console, short_path
from ._pipeline import Result
from ._timing import StageTimer

Rows = list[tuple[str, str]]  # name and text of each row
_MEASURED = 10_000  # rows whose ranks are compared; the time per row grows with the number of all rows
_SCALINGS = {
    "standard": "standard: each column has mean 0 and variance 1",
    "robust": "robust: each column has median 0 and interquartile range 1",
    "unit": "unit: each column has minimum 0 and maximum 1",
}


def describe(args: argparse.Namespace, data: Any, result: Result) -> Rows:
    """Return the rows on the method, the data, the solver and the components of the graph."""
    embedding, (n, d), count = result.embeddings[0], data.points.shape, len(result.embeddings)
    components = str(int(embedding.num_components))
    if count > 1:
        size = len(embedding.rows)
        components = f"{count}, embedded separately; the rows below describe the largest, with {size} points"
    elif len(embedding.rows) < n:
        components = f"only the largest is embedded: {len(embedding.rows)} of {n} points"
    return [
        ("method", args.method),
        *result.k_rows,
        ("data", f"{data.name}: {n} x {d}, {data.points.dtype}; computed in {embedding.points.dtype}"),
        *describe_reading(data),
        ("solver", embedding.solver + ("" if bool(embedding.converged) else ", NOT converged")),
        ("components", components),
    ]


def describe_reading(data: Any) -> Rows:
    """Return the rows on the columns of a file, their scaling, and what was left out."""
    rows = []
    if data.texts is not None:
        return [
            ("documents", f"column {data.columns[0]!r}, TF-IDF of {data.points.shape[1]} words"),
            *([("left out", "; ".join(data.left_out))] if data.left_out else []),
        ]
    if data.columns is not None:
        names = data.columns if len(data.columns) <= 12 else (*data.columns[:10], f"... ({len(data.columns)} columns)")
        rows.append(("columns", ", ".join(names)))
    if data.columns is not None or data.scaling is not None:
        rows.append(("scaling", "none" if data.scaling is None else _SCALINGS[data.scaling.kind]))
    return [*rows, ("left out", "; ".join(data.left_out))] if data.left_out else rows


def quality(args: argparse.Namespace, data: Any, result: Result, timer: StageTimer) -> Rows:
    """Return the rows on the quality of the embedding, or of the largest component's."""
    import numpy as np

    from .. import metrics

    embedding = result.embeddings[0]
    rows, kept, y = [], np.asarray(embedding.rows), np.asarray(embedding.points)
    with timer.stage("quality") as progress:
        near = min(result.neighbors.indices.shape[1], (len(kept) - 1) // 2)
        if has_coordinates(args, data) and near > 0:
            some, used = None, ""
            if len(kept) > _MEASURED:
                some = np.random.default_rng(0).choice(len(kept), _MEASURED, replace=False)
                used = f", at {_MEASURED:,} random rows"
            value = float(metrics.trustworthiness(data.points[kept], y, k=near, rows=some, progress=progress))
            rows.append(("trustworthiness", f"{value:.4f} (k = {near}{used})"))
        if data.labels is not None and data.labels.dtype.kind != "f" and len(kept) > 10:
            value = metrics.label_accuracy(y, data.labels[kept], k=10)
            used = "; the method uses the labels" if METHODS[args.method].uses_labels else ""
            rows.append(("label accuracy", f"{value:.4f} (10 nearest neighbors in {args.dim} dimensions{used})"))
    return rows


def format_row(name: str, text: str) -> str:
    """Return a row as a line of text."""
    return f"{name:<17}{text}"


def print_summary(rows: Rows, timer: StageTimer, files: dict[str, Path | None]) -> None:
    """Print rows, the time of each stage, and the files that were written."""
    from rich.text import Text

    times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in timer.times.items())
    rows = [*rows, ("time", f"{times}; total {sum(timer.times.values()):.2f} s")]
    rows += [(name, short_path(path)) for name, path in files.items() if path is not None]
    shown = console()
    for name, text in rows:
        line = Text(format_row(name, text))
        line.stylize("bold", 0, len(name))
        shown.print(line, soft_wrap=True)
