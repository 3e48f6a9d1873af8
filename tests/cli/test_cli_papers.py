"""`jaxlle papers`, on a checkout of its own with papers that take no time."""

import json
import os
import textwrap
from pathlib import Path

import pytest

from jaxlle import cli
from jaxlle.cli import _shelf

PAPER = '''
    """Doe (1999), On squares. Journal of Squares 1:1.

    DOI: 10.1000/182. Table 1.

    Claim: squares are never
    negative. More is said there.

    Differs: nothing. Run: jaxlle papers run toy --full
    """

    from pathlib import Path

    PUBLISHED = {"square": (9.0, "S"), "never run": (1.0, "M")}
    HEADLINE = ("square", "root")
    SMALL = {"x": 2.0}

    def main(x: float = 3.0, *, report=print, figure=None):
        report("the square", {"square": x**2})
        REST
        Path(figure).write_bytes(b"picture")
        return {"square": x**2, "root": x**0.5, "unknown": float("nan")}
'''


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one paper, as the working directory."""
    root = tmp_path / "checkout"
    (root / "papers" / "results").mkdir(parents=True)
    (root / "jaxlle").mkdir()
    (root / "jaxlle" / "__init__.py").touch()
    (root / "README.md").write_text(f"# Title\n\n{_shelf.BEGIN}\n{_shelf.END}\n\nEnd.\n")
    write(root)
    monkeypatch.chdir(root)
    return root


def write(root, rest="", name="toy", top=""):
    text = textwrap.dedent(PAPER).lstrip().replace("REST", rest or "pass")
    (root / "papers" / f"{name}.py").write_text(text.replace("from pathlib", f"{top}\nfrom pathlib", 1))


def run(capsys, *arguments):
    try:
        status = cli.main(["papers", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_a_run_writes_results_and_figure_and_shows_the_published_values(checkout, capsys):
    status, out, err = run(capsys, "run", "toy")
    assert (status, err) == (0, "")
    assert files("jaxlle-papers") == ["figures/toy.png", "results/toy.json"]
    saved = json.loads(Path("jaxlle-papers/results/toy.json").read_text())
    assert saved["results"] == {"square": 4, "root": 2**0.5, "unknown": None}
    assert (saved["size"], saved["complete"], saved["configuration"]) == ("small", True, {"x": 2.0})
    assert "the square: square 4" in out
    assert "published 9 [S]" in out


def test_full_is_the_paper_s_own_configuration_and_a_small_run_does_not_replace_it(checkout, capsys):
    assert run(capsys, "run", "toy", "--full", "--out", "papers")[0] == 0
    before = Path("papers/results/toy.json").read_text()
    assert json.loads(before)["results"]["square"] == 9
    status, _, err = run(capsys, "run", "toy", "--out", "papers")
    assert (status, err.count("\n")) == (1, 1)
    assert "holds a full result" in err
    assert Path("papers/results/toy.json").read_text() == before


def test_the_list_shows_what_was_last_measured(checkout, capsys):
    assert "not run in full yet" in run(capsys)[1]
    run(capsys, "run", "toy", "--full", "--out", "papers")
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert "toy: Doe (1999)" in out
    assert "jax " in out
    assert "published 9 [S]" in out
    assert "1 full runs, 0 minutes together." in out


def test_the_readme_s_table_is_written_from_the_results_and_checked(checkout, capsys):
    run(capsys, "run", "toy", "--full", "--out", "papers")
    assert "run jaxlle papers table" in run(capsys, "table", "--check")[2]
    assert run(capsys, "table")[0] == 0
    readme = Path("README.md").read_text()
    row = next(line for line in readme.splitlines() if "toy.py" in line)
    assert row.startswith("| [Doe (1999), On squares. Journal of Squares 1:1](https://doi.org/10.1000/182) |")
    assert "| squares are never negative. | square 9 [S] | square 9; root 1.732 (" in row
    assert readme.endswith("\n\nEnd.\n")
    assert run(capsys, "table", "--check")[0] == 0
    assert run(capsys, "table")[0] == 0
    assert Path("README.md").read_text() == readme


@pytest.mark.parametrize(
    ("rest", "status", "message"),
    [
        (
            "raise KeyboardInterrupt",
            130,
            "interrupted; the results so far are in jaxlle-papers/results/toy.partial.json",
        ),
        ("raise ValueError('no luck')", 1, "no luck"),
        ("import no_such_module", 1, "needs no_such_module, which is not installed: pip install 'jaxlle[papers]'"),
        ("return {'square': 1.0}", 1, "wrote no figure"),
    ],
)
def test_a_run_that_ends_early_keeps_what_it_has_measured_and_nothing_else(checkout, capsys, rest, status, message):
    run(capsys, "run", "toy")
    before = Path("jaxlle-papers/results/toy.json").read_text()
    write(checkout, rest)
    code, _, err = run(capsys, "run", "toy")
    assert (code, err.count("\n")) == (status, 1)
    assert message in err
    assert files("jaxlle-papers") == ["figures/toy.png", "results/toy.json", "results/toy.partial.json"]
    assert Path("jaxlle-papers/results/toy.json").read_text() == before
    partial = json.loads(Path("jaxlle-papers/results/toy.partial.json").read_text())
    assert (partial["complete"], partial["results"]) == (False, {"square": 4})
    write(checkout)
    assert run(capsys, "run", "toy")[0] == 0
    assert files("jaxlle-papers") == ["figures/toy.png", "results/toy.json"]


def test_an_interruption_before_the_first_result_writes_nothing(checkout, capsys):
    write(checkout, top="raise KeyboardInterrupt")
    code, _, err = run(capsys, "run", "toy")
    assert (code, err) == (130, "jaxlle: interrupted; nothing was written.\n")
    assert files("jaxlle-papers") == []


def test_a_missing_package_is_named_and_does_not_hide_the_other_papers(checkout, capsys):
    write(checkout, name="other", top="import no_such_module")
    assert "needs no_such_module" in run(capsys, "run", "other")[2]
    assert "other: Doe" in run(capsys)[1]
    assert run(capsys, "run", "toy")[0] == 0


def test_matplotlib_is_asked_for_before_the_work(checkout, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else True)
    status, out, err = run(capsys, "run", "toy")
    assert (status, out) == (1, "")
    assert "pip install 'jaxlle[plot]'" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nothing"), "There is no paper 'nothing': there are toy."),
        (("run", "../papers/toy"), "There is no paper"),
        (("run", "toy", "--out", "README.md"), "--out README.md: the folder cannot be made"),
        (("run", "toy", "--out", "README.md/inside"), "the folder cannot be made"),
    ],
)
def test_bad_input_is_one_line(checkout, capsys, arguments, message):
    status, out, err = run(capsys, *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(checkout, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    status, out, err = run(capsys, "run", "toy")
    assert (status, out) == (1, "")
    assert "cannot be written to" in err


def test_a_spoilt_record_is_named(checkout, capsys):
    Path("papers/results/toy.json").write_text("{")
    status, _, err = run(capsys)
    assert status == 1
    assert "papers/results/toy.json is not a result" in err


def test_a_readme_without_its_markers_is_refused(checkout, capsys):
    Path("README.md").write_text("nothing here")
    assert "must hold the lines" in run(capsys, "table")[2]


def test_without_a_checkout_the_command_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_shelf, "__file__", str(tmp_path / "site-packages" / "jaxlle" / "cli" / "_shelf.py"))
    status, _, err = run(capsys)
    assert status == 1
    assert "clone the repository" in err


def test_the_checkout_is_found_from_a_folder_inside_it_and_from_an_editable_install(checkout, monkeypatch, tmp_path):
    (checkout / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(checkout / "deep" / "er")
    assert _shelf.find_papers() == checkout / "papers"
    monkeypatch.chdir(tmp_path)
    assert _shelf.find_papers() == Path(_shelf.__file__).parents[2] / "papers"
