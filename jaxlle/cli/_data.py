"""Loading of the data that a command names: a built-in data set, a generated manifold, or a file."""

import argparse
from pathlib import Path
from typing import Any

from ._cache import keep_programs
from ._timing import StageTimer


def load_data(args: argparse.Namespace, timer: StageTimer) -> tuple[Any, bool]:
    """Return the data set and whether to compute in float64."""
    import numpy as np

    with timer.stage("load"):
        keep_programs(args)
        from .. import datasets

        data = _generate(args) if args.data in datasets.MANIFOLDS else _read(args)
        if args.precision == "float64" and data.points.dtype.kind == "f":
            data = data._replace(points=data.points.astype(np.float64))
        # For float32 the points are not cast here: they are centered in their own precision first.
        return data, args.precision != "float32" and data.points.dtype != np.float32


def _generate(args: argparse.Namespace) -> Any:
    import jax
    import numpy as np

    from .. import datasets
    from .._core.checks import check_count

    _check_no_labels(args)
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
        _check_no_labels(args)
        return datasets.REAL[name]()
    if Path(name).suffix or Path(name).exists():
        return datasets.load(name, labels=args.labels)
    known = ", ".join([*datasets.REAL, *datasets.MANIFOLDS])
    raise ValueError(f"{name!r} is neither a built-in data set ({known}) nor a file.")


def _check_no_labels(args: argparse.Namespace) -> None:
    if args.labels is not None:
        raise ValueError(
            f"--labels names an array or a column of a file, and {args.data} is a built-in data set: remove --labels."
        )
