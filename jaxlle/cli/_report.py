"""`jaxlle report`: diagnose an embedding, as text and as a figure."""

import argparse
from typing import Any

from .._core.atomic import replacing
from . import _outputs
from ._arguments import add_data_arguments, add_embedding_arguments, add_output_arguments
from ._methods import METHODS
from ._pipeline import Result, run_stages
from ._summary import Rows, describe, format_row, print_summary, quality
from ._timing import StageTimer


def add(commands: Any) -> None:
    """Add the command to the parser."""
    summary = "diagnose an embedding: graph, local problems, spectrum, quality"
    command = commands.add_parser("report", help=summary, description=run.__doc__)
    command.set_defaults(run=run)
    add_data_arguments(command)
    methods = [name for name, method in METHODS.items() if method.align is not None]
    add_embedding_arguments(command, methods, ["warn", "error"])
    add_output_arguments(command, "the report to a .txt file")


def run(args: argparse.Namespace) -> int:
    """Embed a data set, and report on its graph, its local problems, its spectrum, its quality and the data's dimension.

    Files are written completely or not at all.
    """
    with run_stages(args, ".txt") as (data, result, timer):
        diagnosis = _diagnose(args, data, result, timer)
        # The diagnosis has its own rows on these two.
        rows = [row for row in describe(args, data, result) if row[0] not in ("solver", "components")]
        rows += [*diagnosis.rows(), *quality(args, data, result, timer), *_geometry(args, data, result, timer)]
        _write(args, f"{data.name}, {args.method}", result, diagnosis, rows, timer)
    if not args.quiet:
        print_summary(rows, timer, {"report file": args.out, "figure file": args.plot})
    return 0


def _diagnose(args: argparse.Namespace, data: Any, result: Result, timer: StageTimer) -> Any:
    from ..embedding import diagnose

    with timer.stage("diagnosis"):
        local = {} if args.metric == "precomputed" else {"x": data.points, "neighbors": result.neighbors}
        return diagnose(result.alignment, result.embeddings[0], reg=args.reg, **local)


def _geometry(args: argparse.Namespace, data: Any, result: Result, timer: StageTimer) -> Rows:
    """Return the rows on continuity, local Procrustes statistic and intrinsic dimension, which `embed` does not compute."""
    if args.metric == "precomputed":
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


def _write(args: argparse.Namespace, title: str, result: Result, diagnosis: Any, rows: Rows, timer: StageTimer) -> None:
    """Write the files of --out and --plot. None replaces an older file before all are complete."""
    with _outputs.atomic_files() as files:
        if args.out is not None:
            temporary = files.enter_context(replacing(args.out))
            temporary.write_text("".join(f"{format_row(*row)}\n" for row in rows), encoding="utf-8")
        if args.plot is not None:
            with timer.stage("figure"):
                from .. import plot

                temporary = files.enter_context(replacing(args.plot))
                figure = plot.diagnosis(diagnosis, result.embeddings[0])
                figure.suptitle(title)
                figure.savefig(temporary, dpi=200)
