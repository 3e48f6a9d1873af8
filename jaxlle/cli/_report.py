"""`jaxlle report`: diagnose an embedding, as text and as a figure."""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .._core.atomic import replacing
from . import _outputs
from ._arguments import add_data_arguments, add_embedding_arguments, add_output_arguments
from ._data import has_coordinates
from ._methods import METHODS, embed_options, solver_of
from ._pipeline import Result, run_stages
from ._summary import Rows, describe, format_row, print_summary, quality
from ._timing import StageTimer

_VALUES = 20  # singular values that are shown


def add(commands: Any) -> None:
    """Add the command to the parser."""
    summary = "diagnose an embedding: graph, local problems, spectrum, quality"
    command = commands.add_parser("report", help=summary, description=run.__doc__)
    command.set_defaults(run=run, separable=False, save=None)
    add_data_arguments(command)
    methods = [name for name, method in METHODS.items() if method.align is not None]
    add_embedding_arguments(command, methods, ["auto", "largest", "warn", "error"])
    add_output_arguments(command, "the report to a .txt file")


def run(args: argparse.Namespace) -> int:
    """Embed a data set, and report on its graph, its local problems, its spectrum, its quality and the data's dimension.

    Files are written completely or not at all.
    """
    with run_stages(args, (".txt",)) as (data, result, timer):
        rows = [row for row in describe(args, data, result) if row[0] != "solver"]  # which the diagnosis has
        total = data.points.shape[0]
        data, result = _restrict(data, result)
        n = data.points.shape[0]
        title = f"{data.name}, {args.method}"
        if n < total:
            title += f", the largest component, {n:,} of {total:,} points"
        diagnosis, values = _diagnose(args, data, result, timer), _spectrum(args, result, timer)
        own = dict(diagnosis.rows())
        if values is not None:
            own["singular values"] = _list_values(values, args.dim)
        rows = [row for row in rows if row[0] != "components" or n < total]
        rows += [row for row in own.items() if row[0] != "components" or n == total]
        rows += [*quality(args, data, result, timer), *_geometry(args, data, result, timer)]
        _write(args, rows, timer, lambda plot: plot.diagnosis(diagnosis, result.embeddings[0], values=values), title)
    if not args.quiet:
        print_summary(rows, timer, {"report file": args.out, "figure file": args.plot})
    return 0


def _restrict(data: Any, result: Result) -> tuple[Any, Result]:
    """Return the data, the graph and the embedding of the embedded points, without the other components."""
    import jax.numpy as jnp
    import numpy as np

    from ..alignment import Alignment
    from ..neighbors import Neighbors
    from ..neighbors.graph import restrict

    embedding = result.embeddings[0]
    rows, n = np.asarray(embedding.rows), data.points.shape[0]
    if len(rows) == n:
        return data, result
    indices, blocks = result.alignment
    alignment = Alignment(restrict(Neighbors(indices, None), rows).indices, blocks[rows])
    square = data.points.shape == (n, n)  # distances, or features that the report does not use otherwise
    points = data.points[rows][:, rows] if square else data.points[rows]
    labels = None if data.labels is None else data.labels[rows]
    own = replace(embedding, rows=jnp.arange(len(rows), dtype=jnp.int32))
    result = result._replace(embeddings=(own,), neighbors=restrict(result.neighbors, rows), alignment=alignment)
    return data._replace(points=points, labels=labels), result


def _spectrum(args: argparse.Namespace, result: Result, timer: StageTimer) -> Any:
    """Return the 20 smallest singular values, the first of which are those of the embedding; None for a linear map."""
    import numpy as np

    from ..embedding import embed
    from ..warnings import JaxlleWarning

    count = min(_VALUES, result.alignment.indices.shape[0] - 1)
    if result.projection is not None or count <= args.dim:
        return None
    with timer.stage("spectrum"), warnings.catch_warnings():
        warnings.simplefilter("ignore", JaxlleWarning)  # about the last of these columns, which are not shown
        out = embed(result.alignment, count, solver=solver_of(args), options=embed_options(args))
    return np.concatenate(
        [np.asarray(result.embeddings[0].singular_values), np.asarray(out.singular_values)[args.dim :]]
    )


def _list_values(values: Any, dim: int) -> str:
    """Return singular values as text, with a bar at the gap behind those of the embedding."""
    shown = [f"{float(value):.3g}" for value in values]
    return "  ".join([*shown[:dim], "|", *shown[dim:]])


def _diagnose(args: argparse.Namespace, data: Any, result: Result, timer: StageTimer) -> Any:
    from ..embedding import diagnose

    with timer.stage("diagnosis"):
        local = {"x": data.points, "neighbors": result.neighbors} if has_coordinates(args, data) else {}
        return diagnose(result.alignment, result.embeddings[0], reg=args.reg, **local)


def _geometry(args: argparse.Namespace, data: Any, result: Result, timer: StageTimer) -> Rows:
    """Return the rows on continuity, local Procrustes statistic and intrinsic dimension, which `embed` does not compute."""
    if not has_coordinates(args, data):
        return []
    from .. import dimension, metrics

    x, y, k = data.points, result.embeddings[0].points, result.neighbors.indices.shape[1]
    rows, near = [], min(k, (len(x) - 1) // 2)
    with timer.stage("geometry") as progress:
        if near > 0:
            continuity = float(metrics.continuity(x, y, k=near, progress=progress))
            rows.append(("continuity", f"{continuity:.4f} (k = {near})"))
        if k > 1:
            statistic = float(metrics.local_procrustes(x, y, k=k))
            rows.append(
                ("local Procrustes", f"{statistic:.4f} (mean Procrustes statistic of the neighborhoods; 0 is best)")
            )
    with timer.stage("dimension"):
        estimates = {
            **({"local PCA": dimension.local_pca(x, k=k)} if k > 1 else {}),
            **({"maximum likelihood": dimension.maximum_likelihood(x, k=k)} if k > 1 else {}),
            **({"TwoNN": dimension.two_nn(x)} if len(x) > 2 else {}),
        }
    text = ", ".join(f"{float(estimate.value):.2f} by {name}" for name, estimate in estimates.items())
    return [*rows, ("dimension", text)] if text else rows


def _write(args: argparse.Namespace, rows: Rows, timer: StageTimer, draw: Callable[[Any], Any], title: str) -> None:
    """Write the files of --out and --plot. None replaces an older file before all are complete."""
    with _outputs.atomic_files() as files:
        if args.out is not None:
            temporary = files.enter_context(replacing(args.out))
            temporary.write_text("".join(f"{format_row(*row)}\n" for row in rows), encoding="utf-8")
        if args.plot is not None:
            with timer.stage("figure"):
                from .. import plot

                temporary = files.enter_context(replacing(args.plot))
                figure = draw(plot)
                figure.suptitle(title)
                figure.savefig(temporary, dpi=200)
