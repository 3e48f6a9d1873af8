"""`jaxlle embed`: a data set or a file, embedded, judged and drawn."""

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
    command = commands.add_parser("embed", help="embed a built-in data set or a file", description=run.__doc__)
    command.set_defaults(run=run)
    add_options(command, list(METHODS), ["warn", "error", "largest", "separate"])
    command.add_argument("--out", type=Path, help="write the embedding and its quality to a .npz file")
    command.add_argument("--plot", type=Path, help=f"draw it to a {', '.join(PICTURES)} file")
    command.add_argument("--quiet", action="store_true", help="no progress and no report")


def run(options: argparse.Namespace) -> int:
    """Embed a data set, report on it, and write result and picture; files appear whole or not at all."""
    _outputs.check_output(options.out, (".npz",), "--out", options.data)
    _outputs.check_output(options.plot, PICTURES, "--plot", options.data)
    if options.plot is not None:
        _outputs.require("matplotlib", "plot")
    with Watch(options.quiet) as watch, _outputs.collected_warnings(options.precision) as caught:
        data, x64 = load(options, watch)
        import jax

        use_cache(options.cache)
        with jax.enable_x64(x64):
            made = compute(options, data, watch)
            rows = [*describe(options, data, made), *_spectrum(options, made), *_local(options, data, made)]
            rows += quality(options, data, made, watch)
        _write(options, data, made, watch)
    for message in dict.fromkeys(caught):
        print(f"jaxlle: warning: {message}", file=sys.stderr)
    if not options.quiet:
        print_rows(rows, watch, (("embedding in", options.out), ("picture in", options.plot)))
    return 0


def _spectrum(options: argparse.Namespace, made: Made) -> list[tuple[str, str]]:
    """Return the rows on the spectrum of the first part."""
    import numpy as np

    out = made.parts[0]
    values = "  ".join(f"{float(s):.3g}" for s in out.singular_values[:6]) + "  ..." * (options.dim > 6)
    rows = [("singular values", values)]
    if not np.isnan(out.gap):
        turned = f"rounding turns the embedding by about {np.rad2deg(float(out.rounding_angle)):.2g} degrees"
        rows.append(("gap", f"{float(out.gap):.3g} ({turned})"))
    return rows


def _local(options: argparse.Namespace, data: Any, made: Made) -> list[tuple[str, str]]:
    """Return the row on the local problems."""
    import numpy as np

    from ..weights import local_condition

    if options.metric == "precomputed":
        return []
    condition = np.asarray(local_condition(data.points, made.neighbors, reg=options.reg))
    return [("local condition", f"median {np.median(condition):.3g}, largest {condition.max():.3g}")]


def _write(options: argparse.Namespace, data: Any, made: Made, watch: Watch) -> None:
    """Write what was asked for; no file takes its place before all of them are complete."""
    import numpy as np

    with ExitStack() as files:
        if options.out is not None:
            temporary = files.enter_context(_outputs.whole(options.out))
            with temporary.open("wb") as file:  # np.savez would add to a name that ends in .NPZ
                np.savez(file, **_arrays(made, options.components == "separate"))
        if options.plot is not None:
            with watch.stage("picture"):
                _draw(options, data, made, files.enter_context(_outputs.whole(options.plot)))


def _arrays(made: Made, separate: bool) -> dict[str, Any]:
    """Return the fields to save; separate parts one after the other, with each point's `part`; a linear map's own."""
    import numpy as np

    parts, projection = made.parts, {} if made.projection is None else made.projection._asdict()

    fields = ("points", "singular_values", "residuals", "gap", "num_components", "converged", "rows")
    if not separate:
        own = {f"map_{name}": np.asarray(value) for name, value in projection.items()}
        return {**{field: np.asarray(getattr(parts[0], field)) for field in fields}, **own}
    stacked = {f: np.concatenate([np.atleast_1d(getattr(part, f)) for part in parts]) for f in fields}
    return {**stacked, "part": np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])}


def _draw(options: argparse.Namespace, data: Any, made: Made, path: Path) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    from .. import plot

    parts, k = made.parts, made.neighbors.indices.shape[1]
    shown = parts[:4]
    figure = Figure(figsize=(9 * min(len(shown), 2), 8), layout="constrained")  # unknown to pyplot: no window
    if len(parts) > len(shown):
        figure.suptitle(f"the {len(shown)} largest of {len(parts)} parts")
    for ax, part in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        kept = np.asarray(part.rows)
        images = None if data.image_shape is None else data.points[kept].reshape(-1, *data.image_shape)
        color = None if data.labels is None else data.labels[kept]
        reg = f", reg = {options.reg:g}" if METHODS[options.method].uses_reg else ""
        title = f"{data.name}, {options.method}: {len(kept)} points, k = {k}{reg}"
        plot.embedding(part, color=color, images=images, image_count=120, title=title, ax=ax)
    figure.savefig(path, dpi=130)
