"""Loading of the data that a command names: a built-in data set, a generated manifold, or a file."""

import argparse
import warnings
from pathlib import Path
from typing import Any

from ._cache import keep_programs
from ._timing import StageTimer
from ._wording import with_options


def load_data(args: argparse.Namespace, timer: StageTimer) -> tuple[Any, bool]:
    """Return the data set and whether to compute in float64."""
    import numpy as np

    if args.metric is None:
        args.metric = "euclidean" if args.text is None else "cosine"
    with timer.stage("load"):
        keep_programs(args)
        from .. import datasets

        data = _generate(args) if args.data in datasets.MANIFOLDS else _read(args)
        if args.precision == "float64" and data.points.dtype.kind == "f":
            data = data._replace(points=data.points.astype(np.float64))
        # For float32 the points are not cast here: they are centered in their own precision first.
        return data, args.precision != "float32" and data.points.dtype != np.float32


def has_coordinates(args: argparse.Namespace, data: Any) -> bool:
    """Return whether the points have dense coordinates: they are neither precomputed distances nor a sparse matrix."""
    return args.metric != "precomputed" and not is_sparse(data)


def is_sparse(data: Any) -> bool:
    """Return whether the points are a sparse matrix."""
    return hasattr(data.points, "tocsr")


def _generate(args: argparse.Namespace) -> Any:
    import jax
    import numpy as np

    from .. import datasets
    from .._core.checks import check_count

    _check_no_reading(args)
    size = 2000 if args.points is None else args.points
    check_count(size, "--points", 1, 2**31 - 1, "row numbers are int32")
    sample = jax.block_until_ready(datasets.MANIFOLDS[args.data](jax.random.key(args.seed), size))
    return datasets.Data(np.asarray(sample.points), np.asarray(sample.parameters[:, 0]), None, args.data)


def _read(args: argparse.Namespace) -> Any:
    from .. import datasets

    name = args.data
    if args.points is not None:
        raise ValueError(f"--points is the size of a generated manifold, and {name} is not one: remove --points.")
    if name in datasets.REAL:
        _check_no_reading(args)
        return datasets.REAL[name]()
    if name == "-" or Path(name).suffix or Path(name).exists():
        return _load(args)
    known = ", ".join([*datasets.REAL, *datasets.MANIFOLDS])
    raise ValueError(f"{name!r} is neither a built-in data set ({known}) nor a file.")


def _load(args: argparse.Namespace) -> Any:
    """Return the content of a file; errors and warnings name the options of the command."""
    from .. import datasets
    from ..warnings import DataWarning

    if args.metric == "precomputed" and args.scale != "none":
        raise ValueError(f"--scale {args.scale} changes the units of features, not of distances: remove --scale.")
    options = datasets.ReadOptions(**_given(args))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        try:
            data = datasets.load(args.data, labels=args.labels, options=options)
        except ValueError as error:
            raise ValueError(with_options(str(error))) from error
    for warning in caught:
        warnings.warn(with_options(str(warning.message)), warning.category, stacklevel=2)
    return data


def _check_no_reading(args: argparse.Namespace) -> None:
    if args.labels is not None:
        raise ValueError(
            f"--labels names an array or a column of a file, and {args.data} is a built-in data set: remove --labels."
        )
    for name in _given(args):
        raise ValueError(f"--{name} applies to files, and {args.data} is a built-in data set: remove --{name}.")


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options for reading files that are given, by name."""
    from dataclasses import fields

    from .. import datasets

    found = {
        field.name: (getattr(args, field.name, field.default), field.default) for field in fields(datasets.ReadOptions)
    }
    return {name: value for name, (value, default) in found.items() if value not in (default, [], None)}
