"""`jaxlle papers`: the papers that the repository reproduces, their last results, and running one."""

import argparse
import json
import os
import platform
import time
from inspect import signature
from pathlib import Path
from typing import Any

from . import _outputs, _shelf


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    about = "list the papers that are reproduced, or run one"
    command = commands.add_parser("papers", help=about, description=show.__doc__)
    command.set_defaults(run=show)
    actions = command.add_subparsers(title="actions", metavar="ACTION")
    one = actions.add_parser("run", help="run one paper", description=run.__doc__)
    one.set_defaults(run=run)
    one.add_argument("name", help="of the paper, as `jaxlle papers` lists it")
    one.add_argument("--full", action="store_true", help="at the paper's size; without it at a size that takes seconds")
    folder = "folder for results/NAME.json and figures/NAME.png (jaxlle-papers)"
    one.add_argument("--out", type=Path, default=Path("jaxlle-papers"), help=folder)
    readme = actions.add_parser("table", help="write the README's table", description=table.__doc__)
    readme.set_defaults(run=table)
    readme.add_argument("--check", action="store_true", help="write nothing; fail if the table is not current")


def show(options: argparse.Namespace) -> int:
    """List the papers of the checkout with the results of their last full run, beside the published ones."""
    folder, took = _shelf.find_papers(), []
    for name in _shelf.names(folder):
        paper, last = _shelf.read(folder, name), _shelf.record(folder, name)
        print(f"{name}: {paper.citation}")
        if last is None:
            print("    not run in full yet")
            continue
        took.append(last["seconds"])
        print(f"    {last['date']}, {_shelf.number(last['seconds'])} s, {last['machine']}")
        _print_rows(paper, last["results"], paper.headline)
    print(f"\n{len(took)} full runs, {sum(took) / 60:.0f} minutes together.")
    print("jaxlle papers run NAME [--full] [--out FOLDER] runs one.")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run a paper with progress, and write its results and its figure; what an interrupted run has measured is kept."""
    _outputs.require("matplotlib", "plot")
    folder = _shelf.find_papers()
    paper = _shelf.read(folder, options.name)
    keeper = _Keeper(options.out, options.name, "full" if options.full else "small")
    try:
        import matplotlib

        matplotlib.use("Agg")
        module = _shelf.load(paper)
        chosen = {} if options.full else module.SMALL
        keeper.start({**_defaults(module.main), **chosen})
        with _outputs.whole(keeper.figure) as picture:
            results = module.main(**chosen, report=keeper.report, figure=str(picture))
            if not picture.stat().st_size:
                raise ValueError(f"papers/{options.name}.py wrote no figure.")
            keeper.finish(results)
    except ModuleNotFoundError as error:
        if error.name is None:  # the library's own, which says what to install
            raise
        raise ModuleNotFoundError(
            f"papers/{options.name}.py needs {error.name}, which is not installed: pip install 'jaxlle[papers]'."
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {keeper.kept()}.") from None
    _print_rows(paper, keeper.fields["results"], tuple(keeper.fields["results"]))
    print(f"results in {keeper.path}\nfigure in {keeper.figure}")
    return 0


def table(options: argparse.Namespace) -> int:
    """Write the README's table of papers from the results that the repository keeps."""
    folder = _shelf.find_papers()
    path = folder.parent / "README.md"
    old = path.read_text(encoding="utf-8")
    new = _shelf.with_table(old, folder)
    if options.check and new != old:
        raise ValueError(f"The table of papers in {path} is not that of papers/results: run jaxlle papers table.")
    if new != old:
        with _outputs.whole(path) as temporary:
            temporary.write_text(new, encoding="utf-8")
    print(f"{path}: {len(_shelf.names(folder))} papers")
    return 0


class _Keeper:
    """Writes what a run has measured: whole files only, those of an unfinished run under a name of their own."""

    def __init__(self, out: Path, name: str, size: str):
        self.path, self.figure = out / "results" / f"{name}.json", out / "figures" / f"{name}.png"
        self.partial = self.path.with_name(f"{name}.partial.json")
        self.fields: dict[str, Any] = {"paper": name, "size": size, "complete": False}
        self.began = time.perf_counter()
        try:
            for path in (self.path, self.figure):
                path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"--out {out}: the folder cannot be made ({error.strerror}).") from None
        for path in (self.path, self.figure):
            _outputs.check_output(path, (path.suffix,), "--out", "")
        if size == "small" and self.path.exists() and '"size": "full"' in self.path.read_text(encoding="utf-8"):
            raise ValueError(f"{self.path} holds a full result: add --full, or name another folder with --out.")

    def start(self, configuration: dict[str, Any]) -> None:
        self.began = time.perf_counter()
        self.fields |= {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "seconds": 0.0}
        self.fields |= {"configuration": configuration, "results": {}}

    def report(self, done: str, results: dict[str, float]) -> None:
        """Say what is done, and keep its results at once."""
        told = "  ".join(f"{key} {_shelf.number(float(value))}" for key, value in results.items())
        print(f"[{time.perf_counter() - self.began:7.1f} s] {done}" + (f": {told}" if told else ""), flush=True)
        if results:
            self.fields["results"] |= {key: _plain(value) for key, value in results.items()}
            self._write(self.partial)

    def finish(self, results: dict[str, float]) -> None:
        self.fields["results"] = {key: _plain(value) for key, value in results.items()}
        self.fields["complete"] = True
        self._write(self.path)
        self.partial.unlink(missing_ok=True)

    def kept(self) -> str:
        """Return where the results of an unfinished run are."""
        return f"the results so far are in {self.partial}" if self.fields.get("results") else "nothing was written"

    def _write(self, path: Path) -> None:
        self.fields["seconds"] = round(time.perf_counter() - self.began, 1)
        with _outputs.whole(path) as temporary:
            text = json.dumps(self.fields, indent=1, default=str, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")


def machine() -> str:
    """Return what a result depends on, in words."""
    import jax

    from .. import __version__

    device = jax.devices()[0]
    kind = "" if device.platform == "cpu" else f", {device.device_kind}"
    versions = f"Python {platform.python_version()}, jax {jax.__version__}, jaxlle {__version__}"
    return f"{platform.machine()}, {os.cpu_count()} cores{kind}, {versions}"


def _plain(value: float) -> float | None:
    number = float(value)
    return number if abs(number) < float("inf") else None  # JSON has neither NaN nor infinity


def _defaults(function: Any) -> dict[str, Any]:
    parameters = signature(function).parameters.items()
    return {name: value.default for name, value in parameters if name not in ("report", "figure")}


def _print_rows(paper: _shelf.Paper, results: dict[str, Any], chosen: tuple[str, ...]) -> None:
    for key in chosen:
        known = _shelf.published(paper, key)
        print(f"    {key:<40} {_shelf.number(results.get(key)):>10}" + (f"   published {known}" if known else ""))
