"""`jaxlle report`: what an embedding rests on, its quality and the data's dimension, as text and picture."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import _outputs
from ._methods import METHODS
from ._outputs import PICTURES
from ._pipeline import Made, add_options, compute, describe, print_rows, quality, use_cache
from ._watch import Watch, load


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    about = "diagnose an embedding: graph, local problems, spectrum, quality"
    command = commands.add_parser("report", help=about, description=run.__doc__)
    command.set_defaults(run=run)
    add_options(command, [name for name, method in METHODS.items() if method.align is not None], ["warn", "error"])
    command.add_argument("--out", type=Path, help="write the report to a .txt file")
    command.add_argument("--plot", type=Path, help=f"draw it to a {', '.join(PICTURES)} file")
    command.add_argument("--quiet", action="store_true", help="no progress and no printed report")


def run(options: argparse.Namespace) -> int:
    """Embed a data set and report on all that its embedding rests on; files appear whole or not at all."""
    _outputs.check_output(options.out, (".txt",), "--out", options.data)
    _outputs.check_output(options.plot, PICTURES, "--plot", options.data)
    if options.plot is not None:
        _outputs.require("matplotlib", "plot")
    with Watch(options.quiet) as watch, _outputs.collected_warnings(options.precision) as caught:
        data, x64 = load(options, watch)
        import jax

        use_cache(options.cache)
        with jax.enable_x64(x64):
            made = compute(options, data, watch)
            facts = _diagnose(options, data, made, watch)
            head = [row for row in describe(options, data, made) if row[0] not in ("solver", "components")]
            rows = [*head, *facts.rows(), *quality(options, data, made, watch), *_more(options, data, made, watch)]
        _write(options, data, made, facts, rows, watch)
    for message in dict.fromkeys(caught):
        print(f"jaxlle: warning: {message}", file=sys.stderr)
    if not options.quiet:
        print_rows(rows, watch, (("report in", options.out), ("picture in", options.plot)))
    return 0


def _diagnose(options: argparse.Namespace, data: Any, made: Made, watch: Watch) -> Any:
    from ..embedding import diagnose

    with watch.stage("diagnosis"):
        local = {} if options.metric == "precomputed" else {"x": data.points, "neighbors": made.neighbors}
        return diagnose(made.alignment, made.parts[0], reg=options.reg, **local)


def _more(options: argparse.Namespace, data: Any, made: Made, watch: Watch) -> list[tuple[str, str]]:
    """Return the rows that take a while: continuity, local shape, the data's dimension."""
    if options.metric == "precomputed":
        return []
    from .. import dimension, metrics

    x, y, k = data.points, made.parts[0].points, made.neighbors.indices.shape[1]
    rows, near = [], min(k, (len(x) - 1) // 2)
    with watch.stage("shape") as progress:
        if near > 0:
            rows.append(
                ("continuity", f"{float(metrics.continuity(x, y, k=near, progress=progress)):.4f} (k = {near})")
            )
        if k > 1:
            shape = float(metrics.local_procrustes(x, y, k=k))
            rows.append(("local shape", f"{shape:.4f} of neighbourhoods is no similarity (Procrustes statistic)"))
    with watch.stage("dimension"):
        found = {
            **({"local PCA": dimension.local_pca(x, k=k)} if k > 1 else {}),
            **({"maximum likelihood": dimension.maximum_likelihood(x, k=k)} if k > 1 else {}),
            **({"two nearest": dimension.two_nn(x)} if len(x) > 2 else {}),
        }
    listed = ", ".join(f"{float(estimate.value):.2f} by {name}" for name, estimate in found.items())
    return [*rows, ("dimension", listed)] if listed else rows


def _write(
    options: argparse.Namespace, data: Any, made: Made, facts: Any, rows: list[tuple[str, str]], watch: Watch
) -> None:
    """Write what was asked for; no file takes its place before all of them are complete."""
    with ExitStack() as files:
        if options.out is not None:
            temporary = files.enter_context(_outputs.whole(options.out))
            temporary.write_text("".join(f"{name:<17}{value}\n" for name, value in rows), encoding="utf-8")
        if options.plot is not None:
            with watch.stage("picture"):
                from .. import plot

                temporary = files.enter_context(_outputs.whole(options.plot))
                figure = plot.diagnosis(facts, made.parts[0])
                figure.suptitle(f"{data.name}, {options.method}")
                figure.savefig(temporary, dpi=130)
