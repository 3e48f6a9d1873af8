"""`jaxlle embed`: embed a data set or a file, and report on, save and draw the result."""

import argparse
from pathlib import Path
from typing import Any

from .._core.atomic import replacing
from . import _outputs
from ._arguments import add_data_arguments, add_embedding_arguments, add_output_arguments
from ._methods import METHODS
from ._pipeline import Result, run_stages
from ._summary import Rows, describe, print_summary, quality
from ._timing import StageTimer


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("embed", help="embed a built-in data set or a file", description=run.__doc__)
    command.set_defaults(run=run)
    add_data_arguments(command)
    add_embedding_arguments(command, list(METHODS), ["warn", "error", "largest", "separate"])
    add_output_arguments(command, "the embedding and its singular values to a .npz file")


def run(args: argparse.Namespace) -> int:
    """Embed a data set, print a report, and write the embedding and a figure. Files are written completely or not at all."""
    with run_stages(args, ".npz") as (data, result, timer):
        rows = [*describe(args, data, result), *_spectrum(args, result), *_local_condition(args, data, result)]
        rows += quality(args, data, result, timer)
        _write(args, data, result, timer)
    if not args.quiet:
        print_summary(rows, timer, {"embedding file": args.out, "figure file": args.plot})
    return 0


def _spectrum(args: argparse.Namespace, result: Result) -> Rows:
    import numpy as np

    embedding = result.embeddings[0]
    values = "  ".join(f"{float(s):.3g}" for s in embedding.singular_values[:6]) + "  ..." * (args.dim > 6)
    rows = [("singular values", values)]
    if not np.isnan(embedding.gap):
        angle = np.rad2deg(float(embedding.rounding_angle))
        rounding = f"rounding rotates the embedding by about {angle:.2g} degrees"
        rows.append(("gap", f"{float(embedding.gap):.3g} ({rounding})"))
    return rows


def _local_condition(args: argparse.Namespace, data: Any, result: Result) -> Rows:
    import numpy as np

    from ..weights import local_condition

    if args.metric == "precomputed":
        return []
    condition = np.asarray(local_condition(data.points, result.neighbors, reg=args.reg))
    return [("local condition", f"median {np.median(condition):.3g}, largest {condition.max():.3g}")]


def _write(args: argparse.Namespace, data: Any, result: Result, timer: StageTimer) -> None:
    """Write the files of --out and --plot. None replaces an older file before all are complete."""
    import numpy as np

    with _outputs.atomic_files() as files:
        if args.out is not None:
            temporary = files.enter_context(replacing(args.out))
            with temporary.open("wb") as file:  # np.savez appends .npz to a name that ends in .NPZ
                np.savez(file, **_arrays(result, args.components == "separate"))
        if args.plot is not None:
            with timer.stage("figure"):
                _draw(args, data, result, files.enter_context(replacing(args.plot)))


def _arrays(result: Result, separate: bool) -> dict[str, Any]:
    """Return the arrays to save: the fields of the embedding and of a linear map.

    Separately embedded components are concatenated; `component` holds the component of each point.
    """
    import numpy as np

    embeddings = result.embeddings
    fields = ("points", "singular_values", "residuals", "gap", "num_components", "converged", "rows")
    if not separate:
        linear_map = {} if result.projection is None else result.projection._asdict()
        map_arrays = {f"map_{name}": np.asarray(value) for name, value in linear_map.items()}
        return {**{field: np.asarray(getattr(embeddings[0], field)) for field in fields}, **map_arrays}
    stacked = {f: np.concatenate([np.atleast_1d(getattr(e, f)) for e in embeddings]) for f in fields}
    return {**stacked, "component": np.repeat(np.arange(len(embeddings)), [len(e.rows) for e in embeddings])}


def _draw(args: argparse.Namespace, data: Any, result: Result, path: Path) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    from .. import plot

    count = len(result.embeddings)
    shown = result.embeddings[:4]
    figure = Figure(figsize=(9 * min(len(shown), 2), 8), layout="constrained")  # not through pyplot: opens no window
    if count > len(shown):
        figure.suptitle(f"the {len(shown)} largest of {count} components")
    axes = {"projection": "3d"} if shown[0].points.shape[1] == 3 else {}
    for ax, embedding in zip(figure.subplots(1, len(shown), squeeze=False, subplot_kw=axes)[0], shown, strict=True):
        rows = np.asarray(embedding.rows)
        images = None if data.image_shape is None else data.points[rows].reshape(-1, *data.image_shape)
        if images is not None and images.ndim == 4:  # thumbnails are gray
            images = images[..., :3].mean(axis=3)
        color = None if data.labels is None else data.labels[rows]
        title = f"{len(rows)} points" if count > 1 else None
        plot.embedding(embedding, color=color, images=images, title=title, ax=ax)
    figure.savefig(path, dpi=200)
