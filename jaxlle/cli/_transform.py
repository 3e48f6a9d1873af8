"""`jaxlle transform`: embed new data by a saved model, and compare them with the data of the model."""

import argparse
import warnings
from pathlib import Path
from typing import Any

from .._core.atomic import replacing
from . import _outputs
from ._arguments import add_cache_arguments, add_file_arguments
from ._data import load_data
from ._model import LEVEL, Model, load_model
from ._results import SUFFIXES, check_writer, coordinate_columns, row_columns, write_results
from ._summary import Rows, describe_reading, print_summary
from ._timing import StageTimer

_FEW = 5  # residuals above the quantile that are no sign of drift, however few rows there are
_LISTED = 10  # rows in a warning


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("transform", help="embed new data by a saved model", description=run.__doc__)
    # The columns and the scaling are those of the model, and not options.
    fixed = {"columns": None, "drop": [], "text": None, "scale": "none", "metric": "euclidean", "precision": "data"}
    command.set_defaults(run=run, points=None, seed=0, **fixed)
    command.add_argument("model", type=Path, help="model file of jaxlle embed --save, or of jaxlle.serving.save_map")
    new = "new data of the kind of the model's data: a file, a folder of images, - for a table from standard input, or the name "
    new += "of a built-in data set; the columns of a table and their scaling are those of the model"
    command.add_argument("data", help=new)
    out = "write row numbers, labels, coordinates, residuals and drift to a .csv, .parquet or .npz file"
    command.add_argument("--out", type=Path, help=out)
    command.add_argument("--quiet", action="store_true", help="print neither progress nor the report")
    add_cache_arguments(command)
    add_file_arguments(command.add_argument_group("files"), ["error", "drop"])


def run(args: argparse.Namespace) -> int:
    """Embed new data by a model of jaxlle embed --save, and compare them with the data of the model.

    The residual of a row is its distance to the best affine combination of its neighbors among the data of the model. Its drift
    is the share of the model's own rows with smaller residuals. There is a warning for rows whose residual is more than twice as
    large as 99 % of those of the model's own rows, because their coordinates are extrapolated.
    """
    for source in (args.data, str(args.model)):
        _outputs.check_output(args.out, SUFFIXES, "--out", source)
    check_writer(args.out)
    with StageTimer(args.quiet) as timer:
        with timer.stage("model"):
            model = load_model(args.model)
        with _outputs.print_warnings("data" if model.wide else "float32"):
            rows = _transform(args, model, timer)
    if not args.quiet:
        print_summary(rows, timer, {"embedding file": args.out})
    return 0


def _transform(args: argparse.Namespace, model: Model, timer: StageTimer) -> Rows:
    """Read, embed and compare the new data, write the file, and return the rows of the report."""
    import jax
    import numpy as np

    data = _read_new(args, model, timer)
    with jax.enable_x64(model.wide):
        with timer.stage("transform"):
            embedded = np.asarray(model.transform(data.points))
        with timer.stage("drift"):
            found, far = jax.tree.map(np.asarray, model.drift(data.points))
    everything = np.arange(len(embedded))
    columns = row_columns(data, everything)
    _warn_of_drift(int(found.outside.sum()), columns["row"], far)
    with _outputs.atomic_files() as files:
        if args.out is not None:
            measures = {"residual": found.residuals, "drift": found.quantiles}
            table = {**columns, **coordinate_columns(embedded), **measures}
            labels = {"labels": columns["label"]} if "label" in columns else {}
            arrays = {"points": embedded, "rows": columns["row"], **labels, "residuals": found.residuals}
            write_results(files.enter_context(replacing(args.out)), table, {**arrays, "drift": found.quantiles})
    (n, d), method = model.known.points.shape, "" if model.method is None else f"{model.method}, "
    share = f"{100 * float(found.rate):.3g} % of the residuals are above 99 % of the model's own (1 % without drift)"
    return [
        ("model", f"{args.model.name}: {method}{n} x {d} to {embedded.shape[1]} dimensions, k = {model.known.k}"),
        ("data", f"{data.name}: {len(embedded)} x {d}, {data.points.dtype}; computed in {embedded.dtype}"),
        *describe_reading(data),
        ("drift", f"median {float(np.median(found.quantiles)):.3g} (0.5 without drift); {share}"),
    ]


def _read_new(args: argparse.Namespace, model: Model, timer: StageTimer) -> Any:
    """Return the new data with the columns and in the units of the model; raise if they are of another kind."""
    from ..datasets.reading import TABLES
    from ..datasets.selection import apply_scaling

    names = model.columns
    if names is not None:
        if args.data != "-" and Path(args.data).suffix.lower() not in TABLES:
            raise ValueError(
                f"{args.data} has no columns with names, but the model {args.model} uses the columns {_listed(names)}: give a "
                f"table ({', '.join(TABLES)})."
            )
        args.text, args.vocabulary = (names[0], model.vocabulary) if model.vocabulary is not None else (None, None)
        args.columns = list(names) if model.vocabulary is None else None
    try:
        data, _ = load_data(args, timer)
    except ValueError as error:
        text = str(error).replace(" or --missing mean", "")  # the model has no means
        if names is None or "has no column" not in text:
            raise ValueError(text) from error
        raise ValueError(f"{text} The model {args.model} uses the columns {_listed(names)}.") from error
    shape, features = model.image_shape, model.known.points.shape[1]
    if shape is not None and data.image_shape is not None and tuple(data.image_shape) != shape:
        raise ValueError(
            f"{args.data} has images of {_sides(data.image_shape)}, but those of the model {args.model} have {_sides(shape)}: "
            f"resize a folder of images by --size {shape[1]}x{shape[0]}, or convert them."
        )
    if data.points.shape[1] != features:
        raise ValueError(
            f"{args.data} has {data.points.shape[1]} features ({_listed(data.columns or ('without names',))}), but the model "
            f"{args.model} needs {features}: give the same features in the same order."
        )
    sparse = [hasattr(points, "tocsr") for points in (data.points, model.known.points)]
    if sparse[0] != sparse[1]:
        kinds = [("dense", "sparse")[flag] for flag in sparse]
        raise ValueError(
            f"{args.data} is {kinds[0]}, but the points of the model {args.model} are {kinds[1]}: give data of the same kind, "
            f"such as {'a matrix of scipy.sparse.save_npz' if sparse[1] else 'an array of numpy.save'}."
        )
    if model.scaling is None:
        return data
    return data._replace(points=apply_scaling(data.points, model.scaling), scaling=model.scaling)


def _warn_of_drift(outside: int, rows: Any, far: Any) -> None:
    """Warn of rows that are far from the data of the model, or if too many residuals are outside of the usual range."""
    from ..warnings import JaxlleWarning

    numbers, count = rows[far], len(rows)
    if len(numbers):
        more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
        listed = ", ".join(map(str, numbers[:_LISTED])) + more
        warnings.warn(
            f"New rows are far from the data of the model: {len(numbers)} of {count} have a residual that is more than twice as "
            f"large as 99 % of the model's own (row {listed}). Their coordinates are extrapolated.",
            JaxlleWarning,
            stacklevel=2,
        )
    elif outside > max(_FEW, 3 * (1 - LEVEL) * count):
        warnings.warn(
            f"The new data may differ from the data of the model: the residuals of {outside} of {count} rows are above 99 % of "
            f"the model's own.",
            JaxlleWarning,
            stacklevel=2,
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])} and {len(names) - 10} more"


def _sides(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels" + (" in color" if len(shape) == 3 else " in gray")
