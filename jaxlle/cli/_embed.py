"""`jaxlle embed`: embed a data set or a file, and report on, save and draw the result."""

import argparse
from pathlib import Path
from typing import Any

from .._core.atomic import replacing
from . import _outputs
from ._arguments import add_data_arguments, add_embedding_arguments, add_output_arguments
from ._figures import draw
from ._methods import METHODS
from ._model import check_save, save_model
from ._pipeline import Result, run_stages
from ._results import SUFFIXES, check_writer, write_embedding
from ._summary import Rows, describe, print_summary, quality
from ._timing import StageTimer


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("embed", help="embed a built-in data set or a file", description=run.__doc__)
    command.set_defaults(run=run, separable=True)
    add_data_arguments(command)
    add_embedding_arguments(command, list(METHODS), ["auto", "separate", "largest", "warn", "error"])
    content = (
        "the embedding with row numbers and labels to a .csv or .parquet file, or also its diagnostics to a .npz file"
    )
    add_output_arguments(command, content, interactive=True)
    save = "write a model to a .npz file, by which jaxlle transform embeds new data"
    command.add_argument("--save", type=Path, help=save)


def run(args: argparse.Namespace) -> int:
    """Embed a data set, print a report, and write the embedding and a figure. Files are written completely or not at all."""
    check_writer(args.out)
    check_save(args)
    with run_stages(args, SUFFIXES) as (data, result, timer):
        rows = [*describe(args, data, result), *_spectrum(args, result), *_local_condition(args, data, result)]
        rows += quality(args, data, result, timer)
        _write(args, data, result, timer)
    if not args.quiet:
        print_summary(rows, timer, {"embedding file": args.out, "model file": args.save, "figure file": args.plot})
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
    """Write the files of --out, --save and --plot. None replaces an older file before all are complete."""
    with _outputs.atomic_files() as files:
        if args.out is not None:
            write_embedding(files.enter_context(replacing(args.out)), data, result, args.components == "separate")
        if args.save is not None:
            with timer.stage("model"):
                save_model(files.enter_context(replacing(args.save)), args, data, result)
        if args.plot is not None:
            with timer.stage("figure"):
                draw(args, data, result, files.enter_context(replacing(args.plot)))
