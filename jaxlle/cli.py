"""The command `jaxlle`: embed a data set or a file, and look at the installation."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from . import _outputs

_PICTURES = (".png", ".pdf", ".svg")
_EXPECTED = (ValueError, TypeError, ArithmeticError, NotImplementedError, OSError, ImportError, MemoryError)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line; argparse would print the usage first."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, 1 for bad data, or 130 if interrupted. Bad usage exits with 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written.", 130)
    except _EXPECTED as error:
        return _fail(" ".join(str(error).split()) or type(error).__name__, 1)
    except RuntimeError as error:  # JAX's own: out of memory is RESOURCE_EXHAUSTED on a GPU, INTERNAL on a CPU
        text = str(error)
        if "RESOURCE_EXHAUSTED" not in text and "out of memory" not in text.lower():
            raise
        reason = text.splitlines()[0].split(": ")[-1].strip(". ")
        advice = "try --solver sparse, --precision float32, fewer points, or JAX_PLATFORMS=cpu"
        return _fail(f"the device's memory does not suffice ({reason}): {advice}.", 1)


def _fail(message: str, status: int) -> int:
    print(f"jaxlle: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="jaxlle", description="Locally linear embedding in JAX.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    embed = commands.add_parser("embed", help="embed a built-in data set or a file", description=_embed.__doc__)
    embed.set_defaults(run=_embed)
    embed.add_argument("data", help="mnist, digits, swiss_roll, s_curve, ... or a .npy, .npz or .csv file")
    methods = ["standard", "modified", "hessian", "ltsa"]
    embed.add_argument("--method", default="standard", choices=methods, help="variant of LLE (standard)")
    embed.add_argument("--dim", type=int, default=2, help="dimensions of the embedding (2)")
    embed.add_argument("--k", type=int, default=12, help="neighbours a point (12)")
    embed.add_argument("--reg", type=float, default=1e-3, help="strength of the regularizer (1e-3)")
    metrics = "euclidean, cosine, manhattan, chebyshev or precomputed (euclidean)"
    embed.add_argument("--metric", default="euclidean", help=metrics)
    embed.add_argument("--solver", default="auto", choices=["auto", "dense", "sparse", "landmark"], help="(auto)")
    parts, apart = ["warn", "error", "largest", "separate"], "what to do with a graph that falls apart (warn)"
    embed.add_argument("--components", default="warn", choices=parts, help=apart)
    kinds = ["data", "float32", "float64"]
    embed.add_argument("--precision", default="data", choices=kinds, help="(the data's own)")
    embed.add_argument("--points", type=int, help="size of a built-in manifold (2000)")
    embed.add_argument("--seed", type=int, default=0, help="of built-in manifolds and of the solver's start (0)")
    embed.add_argument("--labels", help="array (.npz) or column (.csv) with the labels")
    embed.add_argument("--out", type=Path, help="write the embedding and its quality to a .npz file")
    embed.add_argument("--plot", type=Path, help=f"draw it to a {', '.join(_PICTURES)} file")
    embed.add_argument("--cache", type=Path, help="folder that keeps compiled programs for the next run")
    embed.add_argument("--quiet", action="store_true", help="no progress and no report")
    choose = commands.add_parser("choose", help="measure a grid of k and reg", description=_choose.__doc__)
    choose.set_defaults(run=_choose)
    choose.add_argument("data", help="as for embed")
    choose.add_argument("--dim", type=int, default=2, help="dimensions of the embedding (2)")
    choose.add_argument("--ks", type=int, nargs="+", default=[6, 8, 12, 16, 24], help="(6 8 12 16 24)")
    choose.add_argument("--regs", type=float, nargs="+", default=[1e-3], help="(1e-3)")
    criteria = ["procrustes", "residual_variance", "preservation"]
    choose.add_argument("--criterion", default="procrustes", choices=criteria, help="decides the best (procrustes)")
    choose.add_argument("--points", type=int, help="size of a built-in manifold (2000)")
    choose.add_argument("--seed", type=int, default=0, help="of built-in manifolds and of the solver's start (0)")
    choose.add_argument("--labels", help="column (.csv) or array (.npz) with labels, which are left out")
    choose.add_argument("--plot", type=Path, help=f"draw the grid to a {', '.join(_PICTURES)} file")
    choose.set_defaults(precision="data", quiet=True)
    about = "show versions, devices, precision and optional packages"
    doctor = commands.add_parser("doctor", help=about, description=_doctor.__doc__)
    doctor.set_defaults(run=_doctor)
    return parser


def _embed(options: argparse.Namespace) -> int:
    """Embed a data set, report on it, and write result and picture; files appear whole or not at all."""
    _outputs.check_output(options.out, (".npz",), "--out", options.data)
    _outputs.check_output(options.plot, _PICTURES, "--plot", options.data)
    if options.plot is not None:
        _outputs.require("matplotlib", "plot")
    with _Watch(options.quiet) as watch, _outputs.collected_warnings(options.precision) as caught:
        data, x64 = _load(options, watch)
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


def _choose(options: argparse.Namespace) -> int:
    """Embed a data set by LLE for every k and reg, and print how well each embedding keeps the geometry."""
    _outputs.check_output(options.plot, _PICTURES, "--plot", options.data)
    if options.plot is not None:
        _outputs.require("matplotlib", "plot")
    with _Watch(True) as watch:
        data, x64 = _load(options, watch)
        import jax

        from ._choosing import choose

        with jax.enable_x64(x64):
            key = jax.random.key(options.seed)
            grid = choose(data.points, options.dim, ks=options.ks, regs=options.regs, key=key)
    k, reg = grid.best(options.criterion)
    print(f"{grid}\nbest by {options.criterion}: --k {k} --reg {reg:.6g}")
    if options.plot is not None:
        from matplotlib.figure import Figure

        from . import plot

        figure = Figure(figsize=(7, 6), layout="constrained")
        plot.grid(grid, options.criterion, ax=figure.subplots())
        with _outputs.whole(options.plot) as temporary:
            figure.savefig(temporary, dpi=130)
    return 0


class _Watch:
    """Keeps the time that each stage took, and shows on a terminal which is running."""

    def __init__(self, quiet: bool):
        self.times: dict[str, float] = {}
        self.quiet = quiet

    def __enter__(self) -> "_Watch":
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


def _load(options: argparse.Namespace, watch: _Watch) -> tuple[Any, bool]:
    """Return the data set and whether to compute in float64."""
    import numpy as np

    with watch.stage("load"):
        import jax

        from . import _inputs, datasets

        name, manifold = options.data, options.data in datasets.MANIFOLDS
        if options.points is not None and not manifold:
            raise ValueError(f"--points is the size of a built-in manifold, and {name} has its own: leave it out.")
        if options.labels is not None and (manifold or name in datasets.REAL):
            raise ValueError(f"--labels names an array or a column of a file, and {name} is built in: leave it out.")
        if manifold:
            size = 2000 if options.points is None else options.points
            _inputs.check_count(size, "--points", 1, 2**31 - 1, "row numbers are int32")
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


def _compute(options: argparse.Namespace, x: Any, watch: _Watch) -> tuple[tuple, Any]:
    """Run the three stages; return the embeddings, one unless the parts are separate, and the neighbours."""
    import jax

    from . import solvers
    from .distances import PRECOMPUTED
    from .embedding import embed, embed_components
    from .neighbors import knn
    from .variants.standard import check_dim, warn_of_copies

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
    from .variants import hessian, ltsa, modified, standard

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


def _quality(options: argparse.Namespace, data: Any, out: Any, neighbors: Any, watch: _Watch) -> list[tuple[str, str]]:
    """Return the report's rows on how good an embedding is."""
    import numpy as np

    from . import metrics
    from .weights import local_condition

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


def _write(options: argparse.Namespace, data: Any, parts: tuple, watch: _Watch) -> None:
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

    from . import plot

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


def _print_report(options: argparse.Namespace, rows: list[tuple[str, str]], watch: _Watch) -> None:
    from rich.console import Console
    from rich.text import Text

    times = ", ".join(f"{name} {t:.2f} s" for name, t in watch.times.items())
    rows = [*rows, ("time", f"{times}; in all {sum(watch.times.values()):.2f} s")]
    files = (("embedding in", options.out), ("picture in", options.plot))
    rows += [(name, str(path)) for name, path in files if path is not None]
    console = Console()
    for name, value in rows:
        console.print(Text.assemble((f"{name:<17}", "bold"), value), soft_wrap=True)


def _doctor(options: argparse.Namespace) -> int:
    """Show versions, devices, precision and which optional packages are installed."""
    import platform
    from importlib import metadata

    import jax

    from . import __version__

    config: Any = jax.config
    wrong = 0
    print(f"jaxlle {__version__}, Python {platform.python_version()}, {platform.platform()}")
    try:
        for device in jax.devices():
            print(f"device: {device.platform} {device.id}, {device.device_kind}")
    except RuntimeError as error:  # the backend that JAX_PLATFORMS names does not start
        wrong += 1
        print(f"device: none, {' '.join(str(error).split())}")
    how = "JAX_ENABLE_X64=1 turns it on; the command turns it on by itself for float64 data"
    print(f"float64: {'on' if config.jax_enable_x64 else 'off'} ({how})")
    cache = config.jax_compilation_cache_dir or "none (JAX_COMPILATION_CACHE_DIR=FOLDER keeps compiled code)"
    print(f"compilation cache: {cache}")
    needed = dict.fromkeys(("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "jaxtyping"), "")
    extras = {"scikit-learn": "sklearn", "matplotlib": "plot", "mlxtend": "data", "rich": "cli"}
    for name, extra in {**needed, **extras}.items():
        try:
            print(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            wrong += not extra
            cure = f": pip install 'jaxlle[{extra}]'" if extra else ", but needed: pip install jaxlle"
            print(f"{name} is not installed{cure}")
    return 1 if wrong else 0
