"""`jaxlle embed`: a data set or a file, embedded, judged and drawn."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import _outputs
from ._outputs import PICTURES
from ._watch import Watch, load


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("embed", help="embed a built-in data set or a file", description=run.__doc__)
    command.set_defaults(run=run)
    command.add_argument("data", help="mnist, digits, swiss_roll, s_curve, ... or a .npy, .npz or .csv file")
    methods = ["standard", "modified", "hessian", "ltsa"]
    command.add_argument("--method", default="standard", choices=methods, help="variant of LLE (standard)")
    command.add_argument("--dim", type=int, default=2, help="dimensions of the embedding (2)")
    command.add_argument("--k", type=int, default=12, help="neighbours a point (12)")
    command.add_argument("--reg", type=float, default=1e-3, help="strength of the regularizer (1e-3)")
    metrics = "euclidean, cosine, manhattan, chebyshev or precomputed (euclidean)"
    command.add_argument("--metric", default="euclidean", help=metrics)
    command.add_argument("--solver", default="auto", choices=["auto", "dense", "sparse", "landmark"], help="(auto)")
    parts, apart = ["warn", "error", "largest", "separate"], "what to do with a graph that falls apart (warn)"
    command.add_argument("--components", default="warn", choices=parts, help=apart)
    kinds = ["data", "float32", "float64"]
    command.add_argument("--precision", default="data", choices=kinds, help="(the data's own)")
    command.add_argument("--points", type=int, help="size of a built-in manifold (2000)")
    command.add_argument("--seed", type=int, default=0, help="of built-in manifolds and of the solver's start (0)")
    command.add_argument("--labels", help="array (.npz) or column (.csv) with the labels")
    command.add_argument("--out", type=Path, help="write the embedding and its quality to a .npz file")
    command.add_argument("--plot", type=Path, help=f"draw it to a {', '.join(PICTURES)} file")
    command.add_argument("--cache", type=Path, help="folder that keeps compiled programs for the next run")
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

        if options.cache is not None:
            jax.config.update("jax_compilation_cache_dir", str(options.cache))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        with jax.enable_x64(x64):
            parts, neighbors = _compute(options, data.points, watch)
            rows = _describe(options, data, parts) + _quality(options, data, parts[0], neighbors, watch)
        _write(options, data, parts, watch)
    for message in dict.fromkeys(caught):
        print(f"jaxlle: warning: {message}", file=sys.stderr)
    if not options.quiet:
        _print_report(options, rows, watch)
    return 0


def _compute(options: argparse.Namespace, x: Any, watch: Watch) -> tuple[tuple, Any]:
    """Run the three stages; return the embeddings, one unless the parts are separate, and the neighbours."""
    import jax

    from .. import solvers
    from ..distances import PRECOMPUTED
    from ..embedding import embed, embed_components
    from ..neighbors import knn
    from ..variants.standard import check_dim, warn_of_copies

    named = {"dense": solvers.DenseQR(), "sparse": solvers.SparseLU(), "landmark": solvers.Landmark()}
    solver = named.get(options.solver, "auto")
    k, metric, key = options.k, options.metric, jax.random.key(options.seed)
    check_dim(options.dim, k, x.shape, metric)
    with watch.stage("neighbours") as progress:
        neighbors = jax.block_until_ready(knn(x, k, metric=metric, progress=progress))
        warn_of_copies(neighbors)
    with watch.stage("weights"):
        alignment = jax.block_until_ready(_align(options, x, neighbors))
    points = None if metric == PRECOMPUTED else x
    with watch.stage("embedding"):
        if options.components == "separate":
            parts = embed_components(alignment, options.dim, solver=solver, key=key, points=points)
        else:
            apart = options.components
            parts = (embed(alignment, options.dim, solver=solver, disconnected=apart, key=key, points=points),)
        return jax.block_until_ready(parts), neighbors


def _align(options: argparse.Namespace, x: Any, neighbors: Any) -> Any:
    """Return the alignment of the method that was asked for."""
    from ..variants import hessian, ltsa, modified, standard

    common = {"k": options.k, "metric": options.metric, "neighbors": neighbors}
    if options.method == "standard":
        return standard.lle_alignment(x, reg=options.reg, **common)
    if options.method == "modified":
        return modified.modified_alignment(x, options.dim, reg=options.reg, **common)
    return (hessian.hessian_alignment if options.method == "hessian" else ltsa.ltsa_alignment)(x, options.dim, **common)


def _describe(options: argparse.Namespace, data: Any, parts: tuple) -> list[tuple[str, str]]:
    """Return the report's rows on the data and on the spectrum of the first part."""
    import numpy as np

    out, (n, d) = parts[0], data.points.shape
    components = str(int(out.num_components))
    if len(parts) > 1:
        components = f"{len(parts)}, embedded one by one; below, the largest, of {len(out.rows)} points"
    elif len(out.rows) < n:
        components = f"the largest alone is embedded: {len(out.rows)} of {n} points"
    values = "  ".join(f"{float(s):.3g}" for s in out.singular_values[:6]) + "  ..." * (options.dim > 6)
    turned = f"rounding turns the embedding by about {np.rad2deg(float(out.rounding_angle)):.2g} degrees"
    return [
        ("method", options.method),
        ("data", f"{data.name}: {n} x {d}, {data.points.dtype}; computed in {out.points.dtype}"),
        ("solver", out.solver + ("" if bool(out.converged) else ", NOT converged")),
        ("components", components),
        ("singular values", values),
        ("gap", f"{float(out.gap):.3g} ({turned})"),
    ]


def _quality(options: argparse.Namespace, data: Any, out: Any, neighbors: Any, watch: Watch) -> list[tuple[str, str]]:
    """Return the report's rows on how good an embedding is."""
    import numpy as np

    from .. import metrics
    from ..weights import local_condition

    rows, kept, y = [], np.asarray(out.rows), np.asarray(out.points)
    with watch.stage("quality") as progress:
        near = min(options.k, (len(kept) - 1) // 2)
        if options.metric != "precomputed":
            condition = np.asarray(local_condition(data.points, neighbors, reg=options.reg))
            rows.append(("local condition", f"median {np.median(condition):.3g}, largest {condition.max():.3g}"))
        if options.metric != "precomputed" and near > 0:
            value = float(metrics.trustworthiness(data.points[kept], y, k=near, progress=progress))
            rows.append(("trustworthiness", f"{value:.4f} (k = {near})"))
        if data.labels is not None and data.labels.dtype.kind != "f" and len(kept) > 10:
            value = metrics.label_accuracy(y, data.labels[kept], k=10)
            rows.append(("label accuracy", f"{value:.4f} (10 nearest neighbours in {options.dim} dimensions)"))
    return rows


def _write(options: argparse.Namespace, data: Any, parts: tuple, watch: Watch) -> None:
    """Write what was asked for; no file takes its place before all of them are complete."""
    import numpy as np

    with ExitStack() as files:
        if options.out is not None:
            temporary = files.enter_context(_outputs.whole(options.out))
            with temporary.open("wb") as file:  # np.savez would add to a name that ends in .NPZ
                np.savez(file, **_arrays(parts, options.components == "separate"))
        if options.plot is not None:
            with watch.stage("picture"):
                _draw(options, data, parts, files.enter_context(_outputs.whole(options.plot)))


def _arrays(parts: tuple, separate: bool) -> dict[str, Any]:
    """Return the fields to save; separate parts one after the other, with each point's `part`."""
    import numpy as np

    fields = ("points", "singular_values", "residuals", "gap", "num_components", "converged", "rows")
    if not separate:
        return {field: np.asarray(getattr(parts[0], field)) for field in fields}
    stacked = {f: np.concatenate([np.atleast_1d(getattr(part, f)) for part in parts]) for f in fields}
    return {**stacked, "part": np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])}


def _draw(options: argparse.Namespace, data: Any, parts: tuple, path: Path) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    from .. import plot

    shown = parts[:4]
    figure = Figure(figsize=(9 * min(len(shown), 2), 8), layout="constrained")  # unknown to pyplot: no window
    if len(parts) > len(shown):
        figure.suptitle(f"the {len(shown)} largest of {len(parts)} parts")
    for ax, part in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        kept = np.asarray(part.rows)
        images = None if data.image_shape is None else data.points[kept].reshape(-1, *data.image_shape)
        color = None if data.labels is None else data.labels[kept]
        reg = f", reg = {options.reg:g}" if options.method in ("standard", "modified") else ""
        title = f"{data.name}, {options.method}: {len(kept)} points, k = {options.k}{reg}"
        plot.embedding(part, color=color, images=images, image_count=120, title=title, ax=ax)
    figure.savefig(path, dpi=130)


def _print_report(options: argparse.Namespace, rows: list[tuple[str, str]], watch: Watch) -> None:
    from rich.console import Console
    from rich.text import Text

    times = ", ".join(f"{name} {t:.2f} s" for name, t in watch.times.items())
    rows = [*rows, ("time", f"{times}; in all {sum(watch.times.values()):.2f} s")]
    files = (("embedding in", options.out), ("picture in", options.plot))
    rows += [(name, str(path)) for name, path in files if path is not None]
    console = Console()
    for name, value in rows:
        console.print(Text.assemble((f"{name:<17}", "bold"), value), soft_wrap=True)
