"""`jaxlle choose`: a grid of k and reg, measured."""

import argparse
from pathlib import Path
from typing import Any

from . import _outputs
from ._outputs import PICTURES
from ._watch import Watch, load


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("choose", help="measure a grid of k and reg", description=run.__doc__)
    command.set_defaults(run=run)
    command.add_argument("data", help="as for embed")
    command.add_argument("--dim", type=int, default=2, help="dimensions of the embedding (2)")
    command.add_argument("--ks", type=int, nargs="+", default=[6, 8, 12, 16, 24], help="(6 8 12 16 24)")
    command.add_argument("--regs", type=float, nargs="+", default=[1e-3], help="(1e-3)")
    criteria = ["procrustes", "residual_variance", "preservation"]
    command.add_argument("--criterion", default="procrustes", choices=criteria, help="decides the best (procrustes)")
    command.add_argument("--points", type=int, help="size of a built-in manifold (2000)")
    command.add_argument("--seed", type=int, default=0, help="of built-in manifolds and of the solver's start (0)")
    command.add_argument("--labels", help="column (.csv) or array (.npz) with labels, which are left out")
    command.add_argument("--plot", type=Path, help=f"draw the grid to a {', '.join(PICTURES)} file")
    command.set_defaults(precision="data")


def run(options: argparse.Namespace) -> int:
    """Embed a data set by LLE for every k and reg, and print how well each embedding keeps the geometry."""
    _outputs.check_output(options.plot, PICTURES, "--plot", options.data)
    if options.plot is not None:
        _outputs.require("matplotlib", "plot")
    with Watch(False) as watch:
        data, x64 = load(options, watch)
        import jax

        from ..choosing import choose

        with jax.enable_x64(x64), watch.stage("grid") as progress:
            key = jax.random.key(options.seed)
            grid = choose(data.points, options.dim, ks=options.ks, regs=options.regs, key=key, progress=progress)
    k, reg = grid.best(options.criterion)
    print(f"{grid}\nbest by {options.criterion}: --k {k} --reg {reg:.6g}")
    if options.plot is not None:
        from matplotlib.figure import Figure

        from .. import plot

        figure = Figure(figsize=(7, 6), layout="constrained")
        plot.grid(grid, options.criterion, ax=figure.subplots())
        with _outputs.whole(options.plot) as temporary:
            figure.savefig(temporary, dpi=130)
    return 0
