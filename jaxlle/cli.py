"""The command `jaxlle`: embed a data set or a file, and look at the installation."""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

_PICTURES = (".png", ".pdf", ".svg")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line; argparse would print the usage first."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 for bad data, 2 for bad usage, 130 if interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written.", 130)
    except (ValueError, TypeError, NotImplementedError, OSError, ImportError, MemoryError) as error:
        return _fail(" ".join(str(error).split()) or type(error).__name__, 1)


def _fail(message: str, status: int) -> int:
    print(f"jaxlle: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="jaxlle", description="Locally linear embedding in JAX.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    embed = commands.add_parser("embed", help="embed a built-in data set or a file", description=_embed.__doc__)
    embed.set_defaults(run=_embed)
    embed.add_argument("data", help="mnist, digits, swiss_roll, s_curve, ... or a .npy, .npz or .csv file")
    embed.add_argument("--dim", type=int, default=2, help="dimensions of the embedding (2)")
    embed.add_argument("--k", type=int, default=12, help="neighbours a point (12)")
    embed.add_argument("--reg", type=float, default=1e-3, help="strength of the regularizer (1e-3)")
    embed.add_argument("--metric", default="euclidean", help="euclidean, cosine, manhattan, chebyshev or precomputed")
    embed.add_argument("--solver", default="auto", choices=["auto", "dense", "sparse"], help="(auto)")
    embed.add_argument("--components", default="warn", choices=["warn", "error", "largest", "separate"], help="what to do with a graph that falls apart (warn)")
    embed.add_argument("--precision", default="data", choices=["data", "float32", "float64"], help="(the data's own)")
    embed.add_argument("--points", type=int, default=2000, help="size of a built-in manifold (2000)")
    embed.add_argument("--seed", type=int, default=0, help="of built-in manifolds and of the solver's start (0)")
    embed.add_argument("--labels", help="array (.npz) or column (.csv) with the labels")
    embed.add_argument("--out", type=Path, help="write the embedding and its quality to a .npz file")
    embed.add_argument("--plot", type=Path, help=f"draw it to a {', '.join(_PICTURES)} file")
    embed.add_argument("--quiet", action="store_true", help="no progress and no report")
    doctor = commands.add_parser("doctor", help="show versions, devices, precision and optional packages", description=_doctor.__doc__)
    doctor.set_defaults(run=_doctor)
    return parser


def _embed(options: argparse.Namespace) -> int:
    """Embed a data set, report on it, and write the result and a picture; outputs appear whole or not at all."""
    _check_output(options.out, (".npz",), "--out")
    _check_output(options.plot, _PICTURES, "--plot")
    if options.plot is not None:
        _require("matplotlib", "plot")
    with _Watch(options.quiet) as watch:
        data, x64 = _load(options, watch)
        import jax

        with jax.enable_x64(x64), _collected_warnings() as caught:
            parts, rows = _run(options, data, watch)
        _write(options, data, parts, watch)
    for message in dict.fromkeys(caught):
        print(f"jaxlle: warning: {message}", file=sys.stderr)
    if not options.quiet:
        _print_report(options, rows, watch)
    return 0


class _Watch:
    """Shows the stage that is running and keeps the time that each took."""

    def __init__(self, quiet: bool):
        self.times: dict[str, float] = {}
        self.quiet = quiet

    def __enter__(self) -> "_Watch":
        _require("rich", "cli")
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self.console = Console(stderr=True)
        self.bar = Progress(*columns, console=self.console, transient=True, disable=self.quiet)
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
        if not self.quiet:
            self.bar.console.print(f"[green]✓[/] {name} [dim]{self.times[name]:.2f} s[/]", highlight=False)


def _load(options: argparse.Namespace, watch: _Watch) -> tuple[Any, bool]:
    """Return the data set and whether to compute in float64."""
    import numpy as np

    with watch.stage("load"):
        import jax

        from . import datasets

        wide = options.precision == "float64"
        if options.data in datasets.REAL:
            data, color = datasets.REAL[options.data](), None
        elif options.data in datasets.MANIFOLDS:
            made = datasets.MANIFOLDS[options.data](jax.random.key(options.seed), options.points)
            color = np.asarray(made.parameters[:, 0])
            data = datasets.Data(np.asarray(made.points), color, None, options.data)
        elif Path(options.data).suffix or Path(options.data).exists():
            data = datasets.load(options.data, labels=options.labels)
        else:
            known = ", ".join([*datasets.REAL, *datasets.MANIFOLDS])
            raise ValueError(f"{options.data!r} is neither a built-in data set ({known}) nor a file.")
        if options.precision == "float32":
            data = data._replace(points=data.points.astype(np.float32))
        return data, wide or (options.precision == "data" and data.points.dtype != np.float32)


def _run(options: argparse.Namespace, data: Any, watch: _Watch) -> tuple[tuple, list[tuple[str, str]]]:
    """Run the stages; return the embeddings, one unless the parts are separate, and the report's rows."""
    import jax
    import numpy as np

    from . import metrics, solvers
    from .embedding import embed, embed_components
    from .neighbors import knn
    from .variants.standard import check_dim, lle_alignment, warn_of_copies
    from .weights import local_condition

    solver = {"auto": "auto", "dense": solvers.DenseQR(), "sparse": solvers.SparseLU()}[options.solver]
    x, key = data.points, jax.random.key(options.seed)
    if options.precision == "float64":
        x = x.astype(np.float64)
    check_dim(options.dim, options.k, x.shape, options.metric)
    with watch.stage("neighbours") as progress:
        neighbors = jax.block_until_ready(knn(x, options.k, metric=options.metric, progress=progress))
        warn_of_copies(neighbors)
    with watch.stage("weights"):
        alignment = jax.block_until_ready(
            lle_alignment(x, k=options.k, reg=options.reg, metric=options.metric, neighbors=neighbors)
        )
    with watch.stage("embedding"):
        if options.components == "separate":
            parts = embed_components(alignment, options.dim, solver=solver, key=key)
        else:
            parts = (embed(alignment, options.dim, solver=solver, disconnected=options.components, key=key),)
        jax.block_until_ready(parts)
    out = parts[0]
    kept, y = np.asarray(out.rows), np.asarray(out.points)
    rows = [
        ("data", f"{data.name}: {x.shape[0]} x {x.shape[1]}, {x.dtype}"),
        ("solver", f"{out.solver}{'' if bool(out.converged) else ', NOT converged'}"),
        ("components", f"{int(out.num_components)}" if len(parts) == 1 else f"{len(parts)}, embedded one by one; below, the largest ({len(kept)} points)"),
        ("singular values", "  ".join(f"{float(s):.3g}" for s in out.singular_values[:6]) + ("  ..." if options.dim > 6 else "")),
        ("gap", f"{float(out.gap):.3g} (rounding turns the embedding by about {np.rad2deg(float(out.rounding_angle)):.2g} degrees)"),
    ]
    with watch.stage("quality") as progress:
        if options.metric != "precomputed":
            condition = np.asarray(local_condition(x, neighbors, reg=options.reg))
            rows.append(("local condition", f"median {np.median(condition):.3g}, largest {condition.max():.3g}"))
            near = min(options.k, (len(kept) - 1) // 2)
            value = float(metrics.trustworthiness(x[kept], y, k=near, progress=progress))
            rows.append(("trustworthiness", f"{value:.4f} (k = {near})"))
        if data.labels is not None and data.labels.dtype.kind != "f" and len(kept) > 10:
            value = metrics.label_accuracy(y, data.labels[kept], k=10)
            rows.append(("label accuracy", f"{value:.4f} (10 nearest neighbours in {options.dim} dimensions)"))
    return parts, rows


def _write(options: argparse.Namespace, data: Any, parts: tuple, watch: _Watch) -> None:
    import numpy as np

    if options.out is not None:
        fields = ("points", "singular_values", "residuals", "gap", "num_components", "converged", "rows")
        stacked = len(parts) > 1  # parts one after the other, with their number for each point
        arrays = {f: np.concatenate([np.atleast_1d(getattr(p, f)) for p in parts]) if stacked else np.asarray(getattr(parts[0], f)) for f in fields}
        if stacked:
            arrays["part"] = np.repeat(np.arange(len(parts)), [len(p.rows) for p in parts])
        with _whole(options.out) as temporary:
            np.savez(temporary, **arrays)
    if options.plot is not None:
        with watch.stage("picture"), _whole(options.plot) as temporary:
            _draw(options, data, parts, temporary)


def _draw(options: argparse.Namespace, data: Any, parts: tuple, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    from . import plot

    figure, axes = plt.subplots(1, len(parts[:4]), figsize=(9 * min(len(parts), 2), 8), layout="constrained", squeeze=False)
    for ax, part in zip(axes[0], parts, strict=False):
        kept = np.asarray(part.rows)
        images = None if data.image_shape is None else data.points[kept].reshape(-1, *data.image_shape)
        color = None if data.labels is None else data.labels[kept]
        title = f"{data.name}: locally linear embedding of {len(kept)} points, k = {options.k}, reg = {options.reg:g}"
        plot.embedding(part, color=color, images=images, image_count=120, title=title, ax=ax)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _print_report(options: argparse.Namespace, rows: list[tuple[str, str]], watch: _Watch) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for name, value in rows:
        table.add_row(f"[bold]{name}[/]", value)
    total = sum(watch.times.values())
    table.add_row("[bold]time[/]", ", ".join(f"{name} {t:.2f} s" for name, t in watch.times.items()) + f"; in all {total:.2f} s")
    for name, path in (("embedding in", options.out), ("picture in", options.plot)):
        if path is not None:
            table.add_row(f"[bold]{name}[/]", str(path))
    Console().print(table, highlight=False)


def _doctor(options: argparse.Namespace) -> int:
    """Show versions, devices, precision and which optional packages are installed."""
    import platform
    from importlib import metadata

    import jax

    from . import __version__

    print(f"jaxlle {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for device in jax.devices():
        print(f"device: {device.platform} {device.id}, {device.device_kind}")
    print(f"float64: {'on' if jax.config.jax_enable_x64 else 'off'} (JAX_ENABLE_X64=1 turns it on; files of float64 turn it on by themselves)")
    print(f"compilation cache: {jax.config.jax_compilation_cache_dir or 'none (JAX_COMPILATION_CACHE_DIR=FOLDER keeps compiled code)'}")
    needed = {"jax": "", "jaxlib": "", "flax": "", "optax": "", "numpy": "", "scipy": "", "jaxtyping": ""}
    extras = {"scikit-learn": "sklearn", "matplotlib": "plot", "mlxtend": "data", "rich": "cli"}
    missing = 0
    for name, extra in {**needed, **extras}.items():
        try:
            print(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing += not extra
            print(f"{name} is not installed" + (f": pip install 'jaxlle[{extra}]'" if extra else ", but needed: pip install jaxlle"))
    return 1 if missing else 0


def _require(module: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise ModuleNotFoundError(f"{module} is not installed: pip install 'jaxlle[{extra}]'.")


def _check_output(path: Path | None, suffixes: tuple[str, ...], option: str) -> None:
    """Find out before the work whether its result can be written."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} {path}: the name must end in {' or '.join(suffixes)}.")
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(f"{option} {path}: the folder {folder} does not exist or cannot be written to.")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` that takes its place once it is complete."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    from ._warnings import JaxlleWarning

    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", JaxlleWarning)
        yield messages
    messages.extend(str(w.message) for w in caught if issubclass(w.category, JaxlleWarning))
