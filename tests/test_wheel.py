"""The wheel is built from the source distribution, installed into a folder, and run outside the repository."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def run(*command, cwd, **environment):
    """Run a command in a folder and return the completed process."""
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "jaxlle", source / "jaxlle", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = run(sys.executable, "-m", "build", "--outdir", "dist", ".", cwd=source)  # the wheel from the sdist
    assert built.returncode == 0, built.stdout + built.stderr
    assert len(list((source / "dist").glob("*.tar.gz"))) == 1
    (wheel,) = (source / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return a function that runs a command with the installed wheel in an empty folder, and that folder."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(site))
    found = run(sys.executable, "-m", "pip", "install", *options, str(wheel), cwd=empty)
    assert found.returncode == 0, found.stderr
    programs = {"jaxlle": site / "bin" / "jaxlle", "python": sys.executable}

    def call(command, *arguments):
        return run(programs[command], *arguments, cwd=empty, PYTHONPATH=str(site))

    assert call("python", "-c", "import jaxlle; print(jaxlle.__file__)").stdout.startswith(str(site))
    return call, empty


def test_the_wheel_contains_only_the_package_and_its_license(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    kinds = (".py", ".pyi", ".html", ".js")  # the last two are the parts of interactive figures
    sources = [path for path in (ROOT / "jaxlle").rglob("*") if path.suffix in kinds or path.name == "py.typed"]
    expected = {path.relative_to(ROOT).as_posix() for path in sources}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_first_command_of_the_readme_draws_the_digits(installed):
    call, empty = installed
    command = re.search(r"^pip install \S+ && (jaxlle .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)[1]
    found = call(*command.split())
    assert found.returncode == 0, found.stderr
    assert (empty / "mnist.png").stat().st_size > 10_000


def test_the_snippets_of_the_readme_run(installed):
    call, empty = installed
    shutil.copy(ROOT / "README.md", empty)
    found = call("python", "-m", "doctest", "-o", "ELLIPSIS", "-o", "NORMALIZE_WHITESPACE", "README.md")
    assert (found.returncode, found.stdout) == (0, "")


def test_doctor_reports_the_installation(installed):
    call, _ = installed
    found = call("jaxlle", "doctor")
    assert found.returncode == 0, found.stderr
    assert "jaxlle" in found.stdout


@pytest.mark.parametrize("arguments", [("papers",), ("papers", "run", "roweis_saul_2000"), ("papers", "table")])
def test_commands_that_need_a_clone_print_that_they_do(installed, arguments):
    call, _ = installed
    found = call("jaxlle", *arguments)
    assert found.returncode != 0
    assert len(found.stderr.strip().splitlines()) == 1
    assert "clone" in found.stderr or "checkout" in found.stderr
