"""The papers of a checkout: where they are, what each says of itself, and what its last full run gave."""

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
STATUS = {"S": "read in a public source", "R": "re-run", "D": "derived", "M": "from memory"}


class Paper(NamedTuple):
    """What a file of papers/ says of itself, read without running it.

    Attributes:
        path: the file.
        citation: first line of its docstring.
        doi: or "none".
        claim: first sentence of its claim.
        published: by result's name, the published value and its status, a key of STATUS.
        headline: names of the results that a table shows.
    """

    path: Path
    citation: str
    doi: str
    claim: str
    published: dict[str, tuple[float, str]]
    headline: tuple[str, ...]


def find_papers() -> Path:
    """Return the folder of the papers: of the checkout around the working directory, or of an editable install."""
    here = Path.cwd()
    for root in (here, *here.parents, Path(__file__).parents[2]):
        if (root / "papers" / "results").is_dir() and (root / "jaxlle" / "__init__.py").is_file():
            return root / "papers"
    raise FileNotFoundError(
        "The papers are not part of the installed package: clone the repository and run this in its folder, or install it "
        "from there with pip install -e '.[papers]'."
    )


def names(folder: Path) -> list[str]:
    """Return the names of the papers."""
    return sorted(path.stem for path in folder.glob("*.py"))


def read(folder: Path, name: str) -> Paper:
    """Read what a paper says of itself."""
    if name not in names(folder):
        raise ValueError(f"There is no paper {name!r}: there are {', '.join(names(folder))}.")
    path = folder / f"{name}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    doc = ast.get_docstring(tree) or ""
    doi = re.search(r"DOI: (10\.\S+[^\s.,;])", doc)
    claim = re.search(r"^Claim: (.+?\.)(?:\s|$)", doc, re.DOTALL | re.MULTILINE)
    return Paper(
        path,
        doc.splitlines()[0] if doc else name,
        doi.group(1) if doi else "none",
        " ".join(claim.group(1).split()) if claim else "",
        _constant(tree, "PUBLISHED", {}),
        tuple(_constant(tree, "HEADLINE", ())),
    )


def _constant(tree: ast.Module, name: str, default: Any) -> Any:
    """Return a literal of the module's own, by name."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            return default if node.value is None else ast.literal_eval(node.value)
    return default


def load(paper: Paper) -> ModuleType:
    """Import a paper's file; a package that is missing is named with what to install."""
    spec = importlib.util.spec_from_file_location(f"paper_{paper.path.stem}", paper.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def record(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the last full result, or None."""
    path = folder / "results" / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a result ({error}): delete it, and run the paper again.") from None


def number(value: float | int | None) -> str:
    """Return a value as tables show it."""
    if value is None or not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def published(paper: Paper, name: str) -> str:
    """Return a published value with its status, or nothing."""
    if name not in paper.published:
        return ""
    value, status = paper.published[name]
    return f"{number(value)} [{status}]"


def table(folder: Path) -> str:
    """Return the README's table of all papers and their last full results."""
    lines = ["| paper | file | what it shows | published | here |", "| --- | --- | --- | --- | --- |"]
    for name in names(folder):
        paper, last = read(folder, name), record(folder, name)
        told = paper.citation.rstrip(".")
        told = told if paper.doi == "none" else f"[{told}](https://doi.org/{paper.doi})"
        known = "; ".join(f"{key} {published(paper, key)}" for key in paper.headline if key in paper.published)
        ours = "not run in full yet"
        if last is not None:
            shown = (f"{key} {number(last['results'].get(key))}" for key in paper.headline)
            ours = f"{'; '.join(shown)} ({last['date']}, {number(last['seconds'])} s)"
        lines.append(f"| {told} | [papers/{name}.py](papers/{name}.py) | {paper.claim} | {known or 'none'} | {ours} |")
    return "\n".join(lines)


def with_table(readme: str, folder: Path) -> str:
    """Return the README with its table of papers made anew."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md must hold the lines {BEGIN} and {END}: the table goes between them.")
    legend = ", ".join(f"[{letter}] {meaning}" for letter, meaning in STATUS.items())
    return f"{before}{BEGIN}\n\n{table(folder)}\n\nPublished values are {legend}.\n\n{END}{after}"
