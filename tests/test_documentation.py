"""README, Markdown files and docstrings: sizes, links, versions, and completeness of the API reference."""

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import jaxlle

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "notebooks/README.md",
    "papers/README.md",
    "tests/benchmarks/README.md",
]
MODULES = [name for name in jaxlle.__all__ if isinstance(getattr(jaxlle, name), ModuleType)]


def public(module):
    """Return the public functions and classes of a module."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    values = {name: getattr(module, name) for name in names}
    return {name: value for name, value in values.items() if inspect.isroutine(value) or inspect.isclass(value)}


def test_the_readme_has_at_most_130_lines_and_8000_bytes():
    text = (ROOT / "README.md").read_bytes()
    assert len(text.splitlines()) <= 130
    assert len(text) <= 8000


def test_ci_finds_the_test_command_of_the_readme():
    pattern = re.search(r"sed -n 's/(\S.*)/\\1/p' README\.md", (ROOT / ".ci" / "run").read_text())[1]
    pattern = pattern.replace(r"\(", "(").replace(r"\)", ")")  # from sed's syntax to that of Python
    assert re.findall(pattern, (ROOT / "README.md").read_text(), re.MULTILINE) == ["pytest"]


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_files_and_headings(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        file = ROOT / page if not path else (ROOT / page).parent / path
        assert file.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w\- ]", "", line).lower().replace(" ", "-") for line in headings], target


def test_the_version_of_the_citation_is_that_of_the_library():
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [jaxlle.__version__]


def test_the_reference_contains_every_public_module_once():
    script = (ROOT / ".ci" / "reference" / "build").read_text()
    assert sorted(re.search(r'stages="([^"]+)"', script)[1].split()) == sorted(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_documented_and_every_function_has_an_example(name):
    module = getattr(jaxlle, name)
    assert module.__doc__
    for label, value in public(module).items():
        assert value.__doc__, label
        assert inspect.isclass(value) or ">>>" in value.__doc__, label
