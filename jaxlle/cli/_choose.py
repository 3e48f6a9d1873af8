"""`jaxlle choose`: compare embeddings over a grid of k and reg."""

import argparse
import sys
from typing import Any

from . import _outputs
from ._arguments import add_data_arguments, add_plot_argument
from ._data import is_sparse, load_data
from ._timing import StageTimer


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("choose", help="compare values of k and reg", description=run.__doc__)
    command.set_defaults(run=run, precision="data", metric="euclidean")
    add_data_arguments(command)
    ks, regs = "numbers of neighbors to compare (default: 6 8 12 16 24)", "values of reg to compare (default: 1e-3)"
    command.add_argument("--ks", type=int, nargs="+", default=[6, 8, 12, 16, 24], help=ks)
    command.add_argument("--regs", type=float, nargs="+", default=[1e-3], help=regs)
    criteria = ["procrustes", "residual_variance", "preservation"]
    criterion = "criterion of the best embedding (default: %(default)s)"
    command.add_argument("--criterion", default="procrustes", choices=criteria, help=criterion)
    add_plot_argument(command)


def run(args: argparse.Namespace) -> int:
    """Embed a data set by LLE for every k and reg of a grid, and print how well each embedding preserves the geometry."""
    _outputs.check_plot(args)
    with _outputs.print_warnings(args.precision), StageTimer(quiet=False) as timer:
        data, x64 = load_data(args, timer)
        if is_sparse(data):
            raise ValueError(
                f"choose needs dense points, and {data.name} is sparse: reduce the columns by TruncatedSVD of scikit-learn and "
                f"save the result by numpy.save."
            )
        import jax

        from ..choosing import choose, edges_of_grid

        with jax.enable_x64(x64), timer.stage("grid") as progress:
            key = jax.random.key(args.seed)
            grid = choose(data.points, args.dim, ks=args.ks, regs=args.regs, key=key, progress=progress)
    k, reg = grid.best(args.criterion)
    print(f"{grid}\nbest by {args.criterion}: --k {k} --reg {reg:.6g}")
    for name, value, direction in edges_of_grid(grid, args.criterion):
        text = f"the best {name} = {value:g} is at the end of the grid: add {direction} values to --{name}s."
        print(f"jaxlle: warning: {text}", file=sys.stderr)
    if args.plot is not None:
        from matplotlib.figure import Figure

        from .. import plot

        figure = Figure(figsize=(7, 5), layout="constrained")
        plot.grid(grid, args.criterion, ax=figure.subplots())
        with _outputs.atomic_write(args.plot) as temporary:
            figure.savefig(temporary, dpi=200)
    return 0
