"""`jaxlle papers`, on a clone made for the test whose papers take no time."""

import json
import os
import textwrap
from pathlib import Path

import pytest

from jaxlle import cli
from jaxlle.cli import _catalogue

PAPER = '''
    """Doe (1999), On squares. Journal of Squares 1:1.

    DOI: 10.1000/182. Table 1.

    Claim: squares are never
    negative. This sentence is not part of it.

    Differs: nothing. Run: jaxlle papers run toy --full
    """

    from pathlib import Path

    PUBLISHED = {"square": (9.0, "S"), "never run": (1.0, "M")}
    SMALL = {"x": 2.0}

    def main(x: float = 3.0, *, report=print):
        report("the square", {"square": x**2})
        REST
        return {"square": x**2, "root": x**0.5, "unknown": float("nan")}

    def draw(results, figure, x=0.0):
        DRAW
        Path(figure).write_text(f"{results} at {x}")
'''


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A clone with one paper, as the working directory."""
    root = tmp_path / "checkout"
    (root / "papers" / "results").mkdir(parents=True)
    (root / "jaxlle").mkdir()
    (root / "jaxlle" / "__init__.py").touch()
    (root / "papers" / "README.md").write_text(f"# Title\n\n{_catalogue.BEGIN}\n{_catalogue.END}\n\nEnd.\n")
    (root / "papers" / "headlines.json").write_text('{"toy": {"the square": "square", "its root": "root"}}')
    write(root)
    monkeypatch.chdir(root)
    return root


def write(root, rest="", name="toy", top="", draw=""):
    text = textwrap.dedent(PAPER).lstrip().replace("REST", rest or "pass").replace("DRAW", draw or "pass")
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


def test_full_is_the_configuration_of_the_paper_and_a_small_run_does_not_replace_it(checkout, capsys):
    assert run(capsys, "run", "toy", "--full", "--out", "papers")[0] == 0
    before = Path("papers/results/toy.json").read_text()
    assert json.loads(before)["results"]["square"] == 9
    status, _, err = run(capsys, "run", "toy", "--out", "papers")
    assert (status, err.count("\n")) == (1, 1)
    assert "holds a full result" in err
    assert Path("papers/results/toy.json").read_text() == before


def test_the_list_shows_what_was_last_measured(checkout, capsys):
    assert "no full run yet" in run(capsys)[1]
    run(capsys, "run", "toy", "--full", "--out", "papers")
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert "toy: Doe (1999)" in out
    assert "jax " in out
    assert "published 9 [S]" in out
    assert "1 full runs, 0 minutes in total." in out


def test_the_list_is_readable_at_the_width_of_the_terminal(checkout, capsys, monkeypatch):
    label = "a label that is longer than the column of the labels, which is why it is written on more than one line"
    Path("papers/headlines.json").write_text(json.dumps({"toy": {label: "square", "root": "root"}}))
    path = checkout / "papers" / "toy.py"
    path.write_text(path.read_text().replace("On squares.", "On squares, " + 30 * "and on squares, " + "again."))
    run(capsys, "run", "toy", "--full", "--out", "papers")
    shown = {}
    for columns, width in ((100, 100), (60, 80), (300, 100)):
        monkeypatch.setenv("COLUMNS", str(columns))
        shown[columns] = run(capsys, "list")[1]
        assert 0.7 * width < max(map(len, shown[columns].splitlines())) <= width
        values = [line.index(value) + len(value) for line in shown[columns].splitlines()
                  for value in ("  9   published", "  1.732") if value in line]  # fmt: skip
        assert len(values) == 2
    assert label in " ".join(shown[100].split())
    assert shown[300] == run(capsys)[1]


def test_the_table_is_written_from_the_results_and_checked(checkout, capsys):
    run(capsys, "run", "toy", "--full", "--out", "papers")
    assert "run jaxlle papers table" in run(capsys, "table", "--check")[2]
    assert run(capsys, "table")[0] == 0
    readme = Path("papers/README.md").read_text()
    first = next(line for line in readme.splitlines() if "toy.py" in line)
    assert first.startswith(
        "| [Doe (1999)](toy.py), [DOI](https://doi.org/10.1000/182) | Squares are never negative. |"
    )
    assert "| the square | 9 [S] | 9 | " in first
    assert "| | | its root |  | 1.732 |  |" in readme
    assert readme.endswith("\n\nEnd.\n")
    assert run(capsys, "table", "--check")[0] == 0
    assert run(capsys, "table")[0] == 0
    assert Path("papers/README.md").read_text() == readme


def test_a_figure_is_drawn_from_recorded_results_with_their_configuration(checkout, capsys):
    run(capsys, "run", "toy", "--full", "--out", "papers")
    figure, record = Path("papers/figures/toy.png"), Path("papers/results/toy.json").read_text()
    assert "'square': 9.0" in figure.read_text()
    assert figure.read_text().endswith("at 3.0")
    figure.unlink()
    write(checkout, rest="raise ValueError('draw must not run main')")
    assert run(capsys, "draw", "toy")[0] == 0
    assert "'unknown': nan" in figure.read_text()
    assert figure.read_text().endswith("at 3.0")
    assert Path("papers/results/toy.json").read_text() == record
    status, _, err = run(capsys, "draw", "toy", "--out", "elsewhere")
    assert (status, err.count("\n")) == (1, 1)
    assert "there are no results to draw" in err


def test_a_configuration_dataclass_is_recorded_by_its_fields(checkout, capsys):
    path = checkout / "papers" / "toy.py"
    text = path.read_text().replace(
        "def main(x: float = 3.0, ",
        "@dataclass(frozen=True)\nclass Study:\n    x: float = 3.0\n\ndef main(study=Study(), ",
    )
    text = (
        text.replace("x**", "study.x**")
        .replace('{"x": 2.0}', "{}")
        .replace("from pathlib", "from dataclasses import dataclass\nfrom pathlib")
    )
    path.write_text(text)
    assert run(capsys, "run", "toy")[0] == 0
    assert json.loads(Path("jaxlle-papers/results/toy.json").read_text())["configuration"] == {"x": 3.0}
    assert Path("jaxlle-papers/figures/toy.png").read_text().endswith("at 3.0")


def test_a_paper_may_be_a_folder_whose_files_import_each_other(checkout, capsys):
    folder = checkout / "papers" / "large"
    folder.mkdir()
    (checkout / "papers" / "toy.py").rename(folder / "toy.py")
    text = textwrap.dedent(PAPER).lstrip().split("from pathlib")[0]
    (folder / "__init__.py").write_text(text + "from .toy import PUBLISHED, SMALL, draw, main\n")
    assert run(capsys, "run", "large")[0] == 0
    assert files("jaxlle-papers") == ["figures/large.png", "results/large.json"]
    assert run(capsys)[1].startswith("large: Doe (1999)")


@pytest.mark.parametrize(
    ("spoiled", "status", "message", "kept"),
    [
        (
            {"rest": "raise KeyboardInterrupt"},
            130,
            "interrupted; the results so far are in jaxlle-papers/results/toy.partial.json",
            {"square": 4},
        ),
        ({"rest": "raise ValueError('no luck')"}, 1, "no luck", {"square": 4}),
        (
            {"rest": "import no_such_module"},
            1,
            "needs no_such_module, which is not installed: pip install 'jaxlle[papers]'",
            {"square": 4},
        ),
        ({"draw": "return"}, 1, "wrote no figure", {"square": 4, "root": 2**0.5, "unknown": None}),
        ({"draw": "raise KeyboardInterrupt"}, 130, "interrupted", {"square": 4, "root": 2**0.5, "unknown": None}),
    ],
)
def test_a_run_that_ends_early_keeps_what_it_has_measured_and_nothing_else(
    checkout, capsys, spoiled, status, message, kept
):
    run(capsys, "run", "toy")
    before = Path("jaxlle-papers/results/toy.json").read_text()
    write(checkout, **spoiled)
    code, _, err = run(capsys, "run", "toy")
    assert (code, err.count("\n")) == (status, 1)
    assert message in err
    assert files("jaxlle-papers") == ["figures/toy.png", "results/toy.json", "results/toy.partial.json"]
    assert Path("jaxlle-papers/results/toy.json").read_text() == before
    partial = json.loads(Path("jaxlle-papers/results/toy.partial.json").read_text())
    assert (partial["complete"], partial["results"]) == (False, kept)
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


def test_matplotlib_is_required_before_the_work(checkout, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else True)
    status, out, err = run(capsys, "run", "toy")
    assert (status, out) == (1, "")
    assert "pip install 'jaxlle[plot]'" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nothing"), "There is no paper 'nothing'. The papers are toy."),
        (("run", "../papers/toy"), "There is no paper"),
        (("run", "toy", "--out", "papers/README.md"), "--out papers/README.md: the folder cannot be created"),
        (("run", "toy", "--out", "papers/README.md/inside"), "the folder cannot be created"),
    ],
)
def test_bad_input_is_one_line(checkout, capsys, arguments, message):
    status, out, err = run(capsys, *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err


def test_a_folder_without_write_permission_raises_before_the_work(checkout, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    status, out, err = run(capsys, "run", "toy")
    assert (status, out) == (1, "")
    assert "cannot be written to" in err


@pytest.mark.parametrize(
    "text", ["{", "3", "[]", "{}", '{"results": []}', "[" * 10**5, "\0"], ids=lambda text: text[:9]
)
def test_an_invalid_record_is_named(checkout, capsys, text):
    Path("papers/results/toy.json").write_text(text)
    status, _, err = run(capsys)
    assert status == 1
    assert "papers/results/toy.json is not a valid result file" in err


def test_a_readme_without_its_markers_raises(checkout, capsys):
    Path("papers/README.md").write_text("nothing here")
    assert "must hold the lines" in run(capsys, "table")[2]


def test_without_a_clone_the_message_states_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_catalogue, "__file__", str(tmp_path / "site-packages" / "jaxlle" / "cli" / "_catalogue.py"))
    status, _, err = run(capsys)
    assert status == 1
    assert "clone the repository" in err


def test_the_clone_is_found_from_a_folder_inside_it_and_from_an_editable_install(checkout, monkeypatch, tmp_path):
    (checkout / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(checkout / "deep" / "er")
    assert _catalogue.find_papers() == checkout / "papers"
    monkeypatch.chdir(tmp_path)
    assert _catalogue.find_papers() == Path(_catalogue.__file__).parents[2] / "papers"
