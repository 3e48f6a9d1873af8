"""What the commands share: data, the time and progress of stages."""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import _outputs


class Watch:
    """Keeps the time that each stage took, and shows on a terminal which is running."""

    def __init__(self, quiet: bool):
        self.times: dict[str, float] = {}
        self.quiet = quiet

    def __enter__(self) -> "Watch":
        _outputs.require("rich", "cli")
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        self.shown = console.is_terminal and not self.quiet
        self.bar = Progress(*columns, console=console, transient=True, disable=not self.shown)
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Time a stage; yields what to call with (done, in all) for those that can tell."""
        task = self.bar.add_task(name, total=None)
        start = time.perf_counter()
        yield lambda done, total: self.bar.update(task, completed=done, total=total)
        self.times[name] = time.perf_counter() - start
        self.bar.remove_task(task)
        if self.shown:
            self.bar.console.print(f"[green]✓[/] {name} [dim]{self.times[name]:.2f} s[/]", highlight=False)


def load(options: argparse.Namespace, watch: Watch) -> tuple[Any, bool]:
    """Return the data set and whether to compute in float64."""
    import numpy as np

    with watch.stage("load"):
        import jax

        from .. import datasets
        from .._core.checks import check_count

        name, manifold = options.data, options.data in datasets.MANIFOLDS
        if options.points is not None and not manifold:
            raise ValueError(f"--points is the size of a built-in manifold, and {name} has its own: leave it out.")
        if options.labels is not None and (manifold or name in datasets.REAL):
            raise ValueError(f"--labels names an array or a column of a file, and {name} is built in: leave it out.")
        if manifold:
            size = 2000 if options.points is None else options.points
            check_count(size, "--points", 1, 2**31 - 1, "row numbers are int32")
            made = jax.block_until_ready(datasets.MANIFOLDS[name](jax.random.key(options.seed), size))
            data = datasets.Data(np.asarray(made.points), np.asarray(made.parameters[:, 0]), None, name)
        elif name in datasets.REAL:
            data = datasets.REAL[name]()
        elif Path(name).suffix or Path(name).exists():
            data = datasets.load(name, labels=options.labels)
        else:
            known = ", ".join([*datasets.REAL, *datasets.MANIFOLDS])
            raise ValueError(f"{name!r} is neither a built-in data set ({known}) nor a file.")
        if options.precision == "float64" and data.points.dtype.kind == "f":
            data = data._replace(points=data.points.astype(np.float64))
        # With float32 asked for, the points stay as they are: they are centred before they are cast.
        return data, options.precision != "float32" and data.points.dtype != np.float32
