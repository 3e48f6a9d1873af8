"""Arguments that several commands share."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._outputs import FIGURE_SUFFIXES, PAGE_SUFFIXES


def add_data_arguments(command: Any) -> None:
    """Add the arguments that name the data and the dimension of the embedding."""
    files = "a .npy, .npz, .csv, .tsv, .parquet or .feather file, a folder of PNG or JPEG images, or - for "
    files += "a table from standard input"
    command.add_argument("data", help=f"mnist, digits, swiss_roll, s_curve, ..., {files}")
    command.add_argument("--dim", type=int, default=2, help="dimension of the embedding (default: %(default)s)")
    command.add_argument("--points", type=int, help="number of points of a generated manifold (default: 2000)")
    seed = "seed of generated manifolds and of the solver's start (default: %(default)s)"
    command.add_argument("--seed", type=int, default=0, help=seed)
    add_cache_arguments(command)
    group = command.add_argument_group("files")
    add_file_arguments(group, ["error", "drop", "mean"])
    _add_column_arguments(group)


def add_cache_arguments(command: Any) -> None:
    """Add --cache and --no-cache."""
    kept = command.add_mutually_exclusive_group()
    cache = "folder in which to keep compiled programs for the next run (default: a cache folder, see jaxlle doctor)"
    kept.add_argument("--cache", type=Path, help=cache)
    kept.add_argument("--no-cache", action="store_true", help="do not keep compiled programs")


def add_embedding_arguments(command: Any, methods: Sequence[str], components: Sequence[str]) -> None:
    """Add the arguments that select the variant, its parameters, the solver and the precision."""
    command.add_argument("--method", default="standard", choices=methods, help="variant of LLE (default: %(default)s)")
    neighbors = "number of neighbors per point, or auto (default: %(default)s)"
    command.add_argument("--k", type=_integer_or_auto, default=12, help=neighbors)
    command.add_argument("--reg", type=float, default=1e-3, help="strength of the regularizer (default: 1e-3)")
    alpha = "separation of the classes by supervised, from 0 (none) to 1 (complete) (default: 1)"
    command.add_argument("--alpha", type=float, default=1.0, help=alpha)
    metric = "euclidean, cosine, manhattan, chebyshev or precomputed (default: euclidean, or cosine with --text)"
    command.add_argument("--metric", help=metric)
    solvers = ["auto", "dense", "sparse", "landmark"]
    command.add_argument("--solver", default="auto", choices=solvers, help="eigensolver (default: %(default)s)")
    disconnected = (
        "what to do if the graph is disconnected: embed all components separately or the largest, by their number "
    )
    disconnected += "(auto), always one of these, embed all points together (warn), or fail (error) (default: auto)"
    command.add_argument("--components", default="auto", choices=components, help=disconnected)
    precision = "precision of the computation (default: %(default)s, the precision of the data)"
    command.add_argument("--precision", default="data", choices=["data", "float32", "float64"], help=precision)


def add_output_arguments(command: Any, content: str, interactive: bool = False) -> None:
    """Add --out, whose help names the content of the file, --plot and --quiet."""
    command.add_argument("--out", type=Path, help=f"write {content}")
    add_plot_argument(command, interactive)
    command.add_argument("--quiet", action="store_true", help="print neither progress nor the report")


def add_plot_argument(command: Any, interactive: bool = False) -> None:
    """Add --plot, also for interactive figures or not."""
    text = f"write a figure to a {' or '.join(FIGURE_SUFFIXES)} file"
    if interactive:
        text += f", or an interactive one for a browser to a {' or '.join(PAGE_SUFFIXES)} file"
    command.add_argument("--plot", type=Path, help=text)
    command.set_defaults(figures=FIGURE_SUFFIXES + PAGE_SUFFIXES * interactive)


def _integer_or_auto(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}, give a whole number or auto") from None


def _names(text: str) -> list[str]:
    """Return the names in a list with commas; a name that contains a comma is in quotation marks."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def add_file_arguments(group: Any, missing: Sequence[str]) -> None:
    """Add the arguments that say how a file is read; `missing` are the treatments of missing values."""
    labels = "array of a .npz file or column of a table that holds the labels; it is not used as a feature"
    group.add_argument("--labels", help=labels)
    group.add_argument("--array", metavar="NAME", help="array of a .npz file that holds the points or images")
    meanings = {"error": "an error", "drop": "left out", "mean": "filled with the column's mean"}
    listed = ", or ".join([", ".join(meanings[name] for name in missing[:-1]), meanings[missing[-1]]])
    cells = f"rows with empty cells, NA or NaN, without entries (sparse), and damaged images: {listed} (default: error)"
    group.add_argument("--missing", default="error", choices=missing, help=cells)
    size = "resize the images of a folder to this size, for example 64 or 64x48 (width x height)"
    group.add_argument("--size", type=_size, help=size)
    group.add_argument("--encoding", default="utf-8", help="encoding of a table of text (default: %(default)s)")


def _add_column_arguments(group: Any) -> None:
    """Add the arguments that select the columns of a table and their units."""
    columns = "columns of a table to use, by name or number from 0, separated by commas (default: all columns of numbers but the "
    columns += "labels and those that look like identifiers or row numbers)"
    group.add_argument("--columns", type=_names, action="extend", metavar="NAMES", help=columns)
    drop = "columns of a table not to use, separated by commas"
    group.add_argument("--drop", type=_names, action="extend", default=[], metavar="NAMES", help=drop)
    text = "column of a table that holds documents, which become TF-IDF vectors; the other columns are not used"
    group.add_argument("--text", metavar="COLUMN", help=text)
    scale = "columns with mean 0 and variance 1 (standard), median 0 and interquartile range 1 (robust), "
    scale += "or minimum 0 and maximum 1 (unit) (default: none)"
    group.add_argument("--scale", default="none", choices=["none", "standard", "robust", "unit"], help=scale)


def _size(text: str) -> tuple[int, int]:
    """Return the height and width in a size like 64 or 64x48, where the width is first."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"invalid size: {text!r}, give for example 64 or 64x48 (width x height)")
    return int(sides[-1]), int(sides[0])
