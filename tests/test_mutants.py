"""The lists of the mutation tests: each mutant still applies, and the tests that must detect it exist."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from benchmarks.mutants import load_mutants

ROOT = Path(__file__).parents[1]
MUTANTS = load_mutants()


@cache
def source(file):
    return (ROOT / file).read_text(encoding="utf-8")


@cache
def names_in(file):
    """Return the names of the tests of a file, or of the functions with doctests of a module."""
    nodes = ast.walk(ast.parse(source(file)))
    names = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return names if file.startswith("jaxlle") else [name for name in names if name.startswith("test_")]


def missing(tests):
    """Return the files, tests and words of a pytest selection that do not exist."""
    arguments = shlex.split(tests)
    words = arguments[arguments.index("-k") + 1] if "-k" in arguments else ""
    named = [argument for argument in arguments if argument.endswith(".py") or "::" in argument]
    files = {argument.partition("::")[0] for argument in named}
    absent = [file for file in files if not (ROOT / file).is_file()]
    if absent or not named:
        return absent or [tests]
    found = [name for file in files for name in names_in(file)]
    functions = [argument.split("::")[-1].partition("[")[0] for argument in named if "::" in argument]
    parts = set(re.findall(r"\w+", words)) - {"and", "or", "not"}
    return [f for f in functions if f not in found] + [p for p in parts if not any(p in name for name in found)]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.number)
def test_a_mutant_applies_exactly_once_and_its_tests_exist(mutant):
    assert mutant.applied_to(source(mutant.file)) not in (None, source(mutant.file))
    assert missing(mutant.tests) == []


def test_no_mutant_is_listed_twice():
    changes = [(m.file, m.old, m.new) for m in MUTANTS]
    assert len(changes) == len(set(changes))
