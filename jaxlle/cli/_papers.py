"""`jaxlle papers`: list the papers that the repository reproduces, run one, draw its figure, and write the table."""

import argparse
import json
import os
import platform
import shutil
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

from . import _catalogue, _outputs

STYLE = "papers.mplstyle"  # in papers/


def add(commands: Any) -> None:
    """Add the command to the parser."""
    about = "list the reproduced papers, or run one"
    command = commands.add_parser("papers", help=about, description=show.__doc__)
    command.set_defaults(run=show)
    actions = command.add_subparsers(title="actions", metavar="ACTION")
    listing = actions.add_parser("list", help="list the papers, as without an action", description=show.__doc__)
    listing.set_defaults(run=show)
    one = actions.add_parser("run", help="run one paper", description=run.__doc__)
    one.set_defaults(run=run)
    one.add_argument("name", help="name of the paper, as listed by `jaxlle papers`")
    one.add_argument("--full", action="store_true", help="use the paper's own size; the default size takes seconds")
    folder = "folder for results/NAME.json and figures/NAME.png (default: jaxlle-papers)"
    one.add_argument("--out", type=Path, default=Path("jaxlle-papers"), help=folder)
    picture = actions.add_parser("draw", help="draw the figure of recorded results", description=draw.__doc__)
    picture.set_defaults(run=draw)
    picture.add_argument("name", help="name of the paper, as listed by `jaxlle papers`")
    folder = "folder with results/NAME.json, for figures/NAME.png (default: papers/ of the clone)"
    picture.add_argument("--out", type=Path, help=folder)
    readme = actions.add_parser("table", help="write the table in papers/README.md", description=table.__doc__)
    readme.set_defaults(run=table)
    readme.add_argument("--check", action="store_true", help="write nothing; fail if the table is out of date")


def show(options: argparse.Namespace) -> int:
    """List the papers of the clone with the results of the last full run and the published values."""
    folder, took = _catalogue.find_papers(), []
    for name in _catalogue.names(folder):
        paper, last = _catalogue.read_paper(folder, name), _catalogue.read_record(folder, name)
        _print_wrapped(f"{name}: {paper.citation}", "")
        if last is None:
            print("    no full run yet\n")
            continue
        took.append(last["seconds"])
        duration = _catalogue.format_duration(last["seconds"])
        _print_wrapped(f"full run of {last['date']}, {duration}, {last['machine']}", "    ")
        _print_results(paper, last["results"], paper.headline)
        print()
    print(f"{len(took)} full runs, {sum(took) / 60:.0f} minutes in total.")
    print("Run one with: jaxlle papers run NAME [--full] [--out FOLDER]")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run a paper, report progress, and write its results and its figure. The results of an interrupted run are kept."""
    _outputs.require("matplotlib", "plot")
    folder = _catalogue.find_papers()
    paper = _catalogue.read_paper(folder, options.name)
    record = _Record(options.out, paper.name, "full" if options.full else "small")
    try:
        with _named_if_missing(paper):
            module = _catalogue.import_paper(paper)
            chosen = {} if options.full else module.SMALL
            configuration = flattened({**defaults(module.main), **chosen})
            record.start(configuration)
            results = module.main(**chosen, report=record.report)
            record.finish(results, lambda: draw_figure(module, results, configuration, folder / STYLE, record.figure))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {record.kept()}.") from None
    kept = record.fields["results"]
    _print_results(paper, kept, {key: key for key in kept})
    print(f"results in {_outputs.short_path(record.path)}\nfigure in {_outputs.short_path(record.figure)}")
    return 0


def draw(options: argparse.Namespace) -> int:
    """Draw the figure of a paper from its recorded results. Figures of embeddings compute those of one sample again."""
    _outputs.require("matplotlib", "plot")
    folder = _catalogue.find_papers()
    paper = _catalogue.read_paper(folder, options.name)
    out = folder if options.out is None else options.out
    record = _catalogue.read_record(out, paper.name)
    if record is None:
        raise FileNotFoundError(
            f"{out / 'results' / f'{paper.name}.json'} does not exist: there are no results to draw. Run the paper with "
            f"jaxlle papers run {paper.name} --out {out}."
        )
    results = {key: float("nan") if value is None else value for key, value in record["results"].items()}
    figure = _Record.place(out, "figures", f"{paper.name}.png")
    with _named_if_missing(paper):
        module = _catalogue.import_paper(paper)
        draw_figure(module, results, record["configuration"], folder / STYLE, figure)
    print(f"figure in {_outputs.short_path(figure)}")
    return 0


def table(options: argparse.Namespace) -> int:
    """Write the table of papers/README.md from the recorded results of the clone."""
    folder = _catalogue.find_papers()
    path = folder / "README.md"
    old = path.read_text(encoding="utf-8")
    new = _catalogue.replace_table(old, folder)
    if options.check and new != old:
        raise ValueError(f"The table in {path} does not match the results in papers/results: run jaxlle papers table.")
    if new != old:
        with _outputs.atomic_write(path) as temporary:
            temporary.write_text(new, encoding="utf-8")
    print(f"{_outputs.short_path(path)}: {len(_catalogue.names(folder))} papers")
    return 0


class _Record:
    """Writes the results of a run. Files are complete or absent; an unfinished run has a file name of its own."""

    def __init__(self, out: Path, name: str, size: str):
        self.path, self.figure = self.place(out, "results", f"{name}.json"), self.place(out, "figures", f"{name}.png")
        self.partial = self.path.with_name(f"{name}.partial.json")
        self.fields: dict[str, Any] = {"paper": name, "size": size, "complete": False}
        self.began = time.perf_counter()
        if size == "small" and self.path.exists() and '"size": "full"' in self.path.read_text(encoding="utf-8"):
            raise ValueError(f"{self.path} holds a full result: add --full, or name another folder with --out.")

    @staticmethod
    def place(out: Path, folder: str, name: str) -> Path:
        """Return the path of a file to write, in a folder that is made here, or raise."""
        path = out / folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"--out {out}: the folder cannot be created ({error.strerror}).") from None
        _outputs.check_output(path, (path.suffix,), "--out", "")
        return path

    def start(self, configuration: dict[str, Any]) -> None:
        self.began = time.perf_counter()
        self.fields |= {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "seconds": 0.0}
        self.fields |= {"configuration": configuration, "results": {}}

    def report(self, done: str, results: dict[str, float]) -> None:
        """Print what has been computed and write its results to the file of the unfinished run."""
        shown = "  ".join(f"{key} {_catalogue.format_number(float(value))}" for key, value in results.items())
        print(f"[{time.perf_counter() - self.began:7.1f} s] {done}" + (f": {shown}" if shown else ""), flush=True)
        if results:
            self.fields["results"] |= {key: _plain(value) for key, value in results.items()}
            self._write(self.partial)

    def finish(self, results: dict[str, float], draw: Any) -> None:
        """Draw the figure, then replace the file of the unfinished run by the complete results."""
        self.fields["results"] = {key: _plain(value) for key, value in results.items()}
        self._write(self.partial)
        draw()
        self.fields["complete"] = True
        self._write(self.path)
        self.partial.unlink(missing_ok=True)

    def kept(self) -> str:
        """Return where the results of an unfinished run are."""
        return f"the results so far are in {self.partial}" if self.fields.get("results") else "nothing was written"

    def _write(self, path: Path) -> None:
        self.fields["seconds"] = round(time.perf_counter() - self.began, 1)
        with _outputs.atomic_write(path) as temporary:
            text = json.dumps(self.fields, indent=1, default=str, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")


@contextmanager
def _named_if_missing(paper: _catalogue.Paper) -> Iterator[None]:
    """Name the extra to install if the paper imports a package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None:  # raised by the library, with the command that installs the package
            raise
        raise ModuleNotFoundError(
            f"Paper {paper.name} needs {error.name}, which is not installed: pip install 'jaxlle[papers]'."
        ) from error


def draw_figure(
    module: ModuleType, results: dict[str, float], configuration: dict[str, Any], style: Path, figure: Path
) -> None:
    """Draw the figure of a paper. Its `draw` may have parameters of its `main`, which are passed by name."""
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    wanted = {name: configuration[name] for name in signature(module.draw).parameters if name in configuration}
    with _outputs.atomic_write(figure) as picture, plt.style.context([style] if style.is_file() else []):
        module.draw(results, str(picture), **wanted)
        if not picture.stat().st_size:
            raise ValueError(f"Paper {module.__name__.removeprefix('papers.')} wrote no figure.")


def machine() -> str:
    """Describe the machine and the versions that a result depends on."""
    import jax

    from .. import __version__

    device = jax.devices()[0]
    kind = "" if device.platform == "cpu" else f", {device.device_kind}"
    versions = f"Python {platform.python_version()}, jax {jax.__version__}, jaxlle {__version__}"
    return f"{platform.machine()}, {os.cpu_count()} cores{kind}, {versions}"


def _plain(value: float) -> float | None:
    number = float(value)
    return number if abs(number) < float("inf") else None  # JSON has neither NaN nor infinity


def defaults(function: Any) -> dict[str, Any]:
    """Return the default values of a function's parameters, without those that receive reports."""
    parameters = signature(function).parameters.items()
    return {name: value.default for name, value in parameters if name != "report"}


def flattened(arguments: dict[str, Any]) -> dict[str, Any]:
    """Replace a configuration dataclass among the arguments by its fields."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        flat |= asdict(value) if is_dataclass(value) and not isinstance(value, type) else {name: value}
    return flat


def _print_results(paper: _catalogue.Paper, results: dict[str, Any], labels: dict[str, str]) -> None:
    """Print one result per line, with the values in a column and long labels on several lines."""
    width = _width() - 45  # of a label, beside its value and the published one
    for label, key in labels.items():
        known = _catalogue.format_published(paper, key)
        value = _catalogue.format_number(results.get(key))
        *above, last = textwrap.wrap(label, width, subsequent_indent="  ")
        for line in above:
            print(f"    {line}")
        print(f"    {last:<{width}} {value:>10}" + (f"   published {known}" if known else ""))


def _print_wrapped(text: str, indent: str) -> None:
    """Print a text on lines that are not broken inside words, the first of which has an indentation."""
    lines = textwrap.wrap(text, _width(), initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False)
    print("\n".join(lines))


def _width() -> int:
    """Return the columns of the terminal, between 80 and 100."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 80), 100)
