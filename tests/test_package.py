"""The package as a whole: public names, imports, sizes of files and functions, and the language of the prose."""

import ast
import json
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import metadata
from pathlib import Path
from types import ModuleType

import pytest

import jaxlle

ROOT = Path(__file__).parents[1]
OPTIONAL = ("flax", "sklearn", "matplotlib", "mlxtend", "optax", "rich")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_imports_neither_jax_nor_an_optional_package():
    # tests/cli/test_startup.py checks `jaxlle --help`.
    assert run(f"import sys, jaxlle; print([m for m in ('jax', *{OPTIONAL}) if m in sys.modules])") == "[]"


@pytest.mark.slow
def test_the_core_imports_no_optional_package():
    code = (
        "import sys, jaxlle; [getattr(jaxlle, n) for n in jaxlle.__all__ if n not in ('nn', 'sklearn', 'plot')];"
        "print([m for m in ('flax', 'sklearn', 'matplotlib', 'mlxtend', 'rich') if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_every_public_name_exists_and_is_documented():
    for name in jaxlle.__all__:
        assert getattr(jaxlle, name).__doc__, name
    assert set(jaxlle.__all__) <= set(dir(jaxlle))
    assert not hasattr(jaxlle, "no_such_name")


def test_the_version_is_that_of_the_distribution():
    assert metadata("jaxlle")["Version"] == jaxlle.__version__


def test_every_public_function_has_an_example():
    for name in jaxlle.__all__:
        value = getattr(jaxlle, name)
        if callable(value) and not isinstance(value, type):
            assert ">>>" in value.__doc__, name


def test_the_top_level_has_at_most_40_names_beside_the_modules():
    names = [name for name in jaxlle.__all__ if not isinstance(getattr(jaxlle, name), ModuleType)]
    assert len(names) <= 40


MOVED = [(module, name) for module, names in jaxlle._LOCATIONS.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), MOVED)
def test_a_name_of_a_module_raises_at_the_top_level_with_its_location(module, name):
    assert hasattr(getattr(jaxlle, module), name)
    with pytest.raises(AttributeError, match=rf"use jaxlle\.{module}\.{name}\."):
        getattr(jaxlle, name)


def sources(*folders):
    """Return the Python files of folders of the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def tree(path):
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def dotted(path):
    """Return the name of the module in a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path):
    """Yield the full dotted names that a file imports, those inside functions included."""
    package = package_of(path)
    for node in tree(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def package_of(path):
    return list(path.relative_to(ROOT).parent.parts)


def module_graph():
    """Return for every module of jaxlle the modules that it imports."""
    paths = {dotted(path): path for path in sources("jaxlle")}
    graph = {}
    for module, path in paths.items():
        names = [name if name in paths else name.rpartition(".")[0] for name in imports(path)]
        graph[module] = {name for name in names if name in paths and name != module}
    return graph


def package_graph():
    """Return for every package and module directly in jaxlle those that it imports."""
    graph = {}
    for module, imported in module_graph().items():
        graph.setdefault(unit(module), set()).update(map(unit, imported))
    return {name: others - {name, "jaxlle"} for name, others in graph.items() if name != "jaxlle"}


def unit(module):
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("graph", [module_graph, package_graph])
def test_imports_have_no_cycle(graph):
    imported = graph()
    assert len(imported) > 20
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' <- '.join(error.args[1])}")


def private_imports(path):
    """Yield the names of jaxlle that a file imports although they are private to another package or module."""
    package = package_of(path)
    for name in imports(path):
        parts = name.split(".")
        for i, part in enumerate(parts):
            private = part.startswith("_") and not part.startswith("__")
            shared = part == "_core" and package[0] == "jaxlle"
            if parts[0] == "jaxlle" and private and not shared and parts[:i] != package[:i]:
                yield name


def test_private_names_are_imported_only_inside_their_package():
    found = {dotted(path): [*private_imports(path)] for path in sources("jaxlle", "papers")}
    assert {module: names for module, names in found.items() if names} == {}


def test_no_file_exceeds_400_lines():
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources("jaxlle", "papers", "tests")
    }
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_no_function_has_more_than_8_parameters():
    """Constructors are excepted: scikit-learn and Flax require every setting to be a parameter."""
    long = {}
    for path in sources("jaxlle", "papers"):
        for node in tree(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = sum(argument.arg not in ("self", "cls") for argument in arguments)
                if count > 8:
                    long[f"{dotted(path)}.{node.name}"] = count
    assert long == {}


PHRASES = re.compile(
    r"\b("
    r"(neighbou?rs?|vectors?|numbers?|rows?|columns?|labels?|bytes|weights?|values?|files?|points?|images?|seconds) an? "
    r"(point|row|column|class|feature|paper|landmark|host|device|digit|image|neighbou?rhood)"
    r"|doors?|that is none|(fall|falls|fell|falling|fallen) apart|cr(y|ies) for|(when|where) one is due"
    r"|say why it cannot|rules? by (its|their)|right in float\d*|errs? on|honest(ly)?|says? so|in a row"
    r"|is said|refus(e|es|ed|al|ing)|told|tells?|judg(e|es|ed|ing)|the ones"
    r"|restore map|two nearest|pull loss|push loss|tell rank"
    r")\b",
    re.IGNORECASE,
)
BRITISH = re.compile(
    r"\w*(neighbour|centre|centring|labell|colour|behaviour|honour|favour|"
    r"(normal|regular|standard|optim|minim|maxim|random|general|parametr|factor|recogn|organ|initial|vector|penal|summar)"
    r"is(e|es|ed|er|ing|ation|ations)(?![a-z]))\w*",
    re.IGNORECASE,
)


def prose():
    """Return the files of the project that contain prose, without this one."""
    folders = ("jaxlle", "papers", "tests", "notebooks")
    found = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md", ".ipynb")
    ]
    hidden = [path for path in found if any(part.startswith(".") for part in path.relative_to(ROOT).parts)]
    return sorted({*ROOT.glob("*.md"), *found} - {Path(__file__), *hidden})


def text_of(path):
    """Return the text of a file, of a notebook without its pictures."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    printed = [output.get("text", []) for output in outputs]
    return "\n".join("".join(lines) for lines in [*(cell["source"] for cell in cells), *printed])


def occurrences(pattern, text):
    """Return the matches of a pattern with what surrounds them; line breaks, comment signs and underscores are spaces."""
    text = re.sub(r"[\s#_]+", " ", text)
    return [text[max(match.start() - 30, 0) : match.end() + 30] for match in pattern.finditer(text)]


@pytest.mark.parametrize("path", prose(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_is_plain_english_in_american_spelling(path):
    text = text_of(path)
    if path.name != "CHANGELOG.md":  # which lists names that were replaced
        assert occurrences(PHRASES, text) == []
    assert occurrences(BRITISH, text) == []
