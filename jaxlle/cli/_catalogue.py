"""The catalogue of papers: where they are, what each file states about itself, and its last recorded results."""

import ast
import importlib.util
import json
import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

BEGIN, END = "<!-- papers: written by `jaxlle papers table` -->", "<!-- end of papers -->"
STATUS = {"S": "read in a public source", "R": "recomputed", "D": "derived", "M": "quoted from memory"}


class Paper(NamedTuple):
    """What a file of papers/ states about itself, read without executing it.

    Attributes:
        name: the name on the command line.
        path: the file.
        citation: the first line of its docstring.
        doi: the DOI, or "none".
        claim: the first sentence of its claim.
        published: the published value and its status (a key of STATUS) by the name of the result.
        headline: the names of the results shown in tables, by the labels under which they are shown.
    """

    name: str
    path: Path
    citation: str
    doi: str
    claim: str
    published: dict[str, tuple[float, str]]
    headline: dict[str, str]


def find_papers() -> Path:
    """Return the folder papers/ of the clone around the working directory, or of an editable installation."""
    here = Path.cwd()
    for root in (here, *here.parents, Path(__file__).parents[2]):
        if (root / "papers" / "results").is_dir() and (root / "jaxlle" / "__init__.py").is_file():
            return root / "papers"
    raise FileNotFoundError(
        "The papers are not part of the installed package: clone the repository and run this command in the clone, or "
        "install the package from the clone with pip install -e '.[papers]'."
    )


def names(folder: Path) -> list[str]:
    """Return the names of the papers: files NAME.py, or folders if they need several files. Those with _ are shared code."""
    files = [path.stem for path in folder.glob("[!_]*.py")]
    return sorted(files + [path.parent.name for path in folder.glob("*/__init__.py")])


def read_paper(folder: Path, name: str) -> Paper:
    """Parse the docstring and the constants of a paper."""
    if name not in names(folder):
        raise ValueError(f"There is no paper {name!r}. The papers are {', '.join(names(folder))}.")
    path = folder / name / "__init__.py" if (folder / name).is_dir() else folder / f"{name}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    doc = ast.get_docstring(tree) or ""
    doi = re.search(r"DOI: (10\.\S+[^\s.,;])", doc)
    claim = re.search(r"^Claim: (.+?\.)(?:\s|$)", doc, re.DOTALL | re.MULTILINE)
    return Paper(
        name,
        path,
        doc.splitlines()[0] if doc else name,
        doi.group(1) if doi else "none",
        " ".join(claim.group(1).split()) if claim else "",
        _constant(tree, "PUBLISHED"),
        _read_headlines(folder).get(name, {}),
    )


def _constant(tree: ast.Module, name: str) -> dict[str, Any]:
    """Return a dictionary that the module defines as a literal, or an empty one."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            return {} if node.value is None else ast.literal_eval(node.value)
    return {}


def _read_headlines(folder: Path) -> dict[str, dict[str, str]]:
    """Return the results that tables show, by paper and label, from `folder`/headlines.json."""
    path = folder / "headlines.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def import_paper(paper: Paper) -> ModuleType:
    """Import the file of a paper, or the package if it is a folder, as a member of the package `papers`."""
    inside = [str(paper.path.parent)] if paper.path.name == "__init__.py" else None
    package = ModuleType("papers")
    package.__path__ = [str(paper.path.parent if inside is None else paper.path.parents[1])]
    for name in [
        name for name in sys.modules if name.startswith("papers._")
    ]:  # shared code may be that of another folder
        del sys.modules[name]
    sys.modules["papers"] = package
    spec = importlib.util.spec_from_file_location(f"papers.{paper.name}", paper.path, submodule_search_locations=inside)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read_record(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the recorded run of a paper in `folder`/results, or None if there is none."""
    path = folder / "results" / f"{name}.json"
    if not path.is_file():
        return None
    types = {"results": dict, "configuration": dict, "date": str, "machine": str, "seconds": int | float}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        wrong = [name for name, type_ in types.items() if not isinstance(record[name], type_)]
        if wrong:
            raise ValueError(f"invalid {', '.join(wrong)}")
        return record
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ValueError(f"{path} is not a valid result file ({error!r}). Delete it and run the paper again.") from None


def format_number(value: float | int | None) -> str:
    """Return a value as it is shown in tables."""
    if value is None or not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def format_published(paper: Paper, name: str) -> str:
    """Return the published value of a result with its status, or an empty string."""
    if name not in paper.published:
        return ""
    value, status = paper.published[name]
    return f"{format_number(value)} [{status}]"


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, or in minutes if it is longer than two minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def make_table(folder: Path) -> str:
    """Return the table of all papers with their last full results: one row per number."""
    lines = ["| paper | claim | quantity | published | here | run |", "| --- | --- | --- | --- | --- | --- |"]
    for name in names(folder):
        paper, last = read_paper(folder, name), read_record(folder, name)
        target = paper.path.relative_to(folder).as_posix()
        title = re.split(r"(?<=\(\d{4}\)),|:", paper.citation)[0]
        source = "" if paper.doi == "none" else f", [DOI](https://doi.org/{paper.doi})"
        run = "no full run yet" if last is None else f"{last['date']}, {format_duration(last['seconds'])}"
        start = f"| [{title}]({target}){source} | {paper.claim[:1].upper()}{paper.claim[1:]} |"
        for label, key in paper.headline.items():
            ours = "" if last is None else format_number(last["results"].get(key))
            lines.append(f"{start} {label} | {format_published(paper, key)} | {ours} | {run} |")
            start, run = "| | |", ""
    return "\n".join(lines)


def replace_table(text: str, folder: Path) -> str:
    """Return the text of papers/README.md with a new table of papers between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"papers/README.md must hold the lines {BEGIN} and {END}: the table is written between them.")
    legend = ", ".join(f"[{letter}] {meaning}" for letter, meaning in STATUS.items())
    return f"{before}{BEGIN}\n\n{make_table(folder)}\n\nPublished values: {legend}.\n\n{END}{after}"
