"""The notebooks: their format, and (slow) that each runs from top to bottom without an error or a warning.

`python tests/test_notebooks.py [NAME ...]` executes notebooks and writes them back with their outputs, without metadata
that differs between runs.
"""

import base64
import io
import json
import re
import sys
import tempfile
from pathlib import Path

import pytest
from helpers import compiled_as_users_do

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
MACHINE = re.compile(r"(/home|/root|/tmp|/Users|/work|/var|site-packages|ipykernel)[/_]|[A-Z]:\\")
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def execute(path):
    """Execute the notebook in an empty folder, with the compiler options of users, and return it with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],
            timeout=1200,
            startup_timeout=300,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env={**compiled_as_users_do(), "JAX_PLATFORMS": "cpu"})
    return notebook


def write(notebook, path):
    """Write a notebook without times, versions and empty fields, so that another run changes few lines."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs, alternative_text(cell.source))
    path.write_text(json.dumps(in_lines(notebook), indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def alternative_text(source):
    """Return the alternative text of the figure of a cell, a comment above `plt.show()`."""
    found = re.search(r"^# Alternative text: (.*\n(?:# .*\n)*)", source, re.MULTILINE)
    return "" if found is None else " ".join(found.group(1).replace("\n# ", " ").split())


def joined(outputs, alternative):
    """Return the outputs with consecutive pieces of a stream joined, because their division is arbitrary.

    Pictures keep the size at which they are shown, half of their pixels in each direction, and get their alternative text.
    """
    kept = []
    for output in outputs:
        if "metadata" in output:
            shown = output.metadata.get("image/png", {})
            output.metadata = {}
        if "image/png" in output.get("data", {}):
            output.data["image/png"] = compact(output.data["image/png"])
            size = {name: shown[name] for name in ("width", "height") if name in shown}
            output.metadata = {"image/png": {**size, "alt": alternative}}
        if kept and output.output_type == kept[-1].output_type == "stream" and output.name == kept[-1].name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def compact(picture):
    """Return a picture with a palette of 256 colors, which reduces its size to a third without visible loss."""
    from PIL import Image

    packed = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def in_lines(value):
    """Return the texts of a notebook as lists of lines, as Jupyter writes them, so that differences are by line."""
    if isinstance(value, list):
        return [in_lines(item) for item in value]
    if not isinstance(value, dict):
        return value
    texts = ("source", "text", "text/plain")
    return {
        name: item.splitlines(True) if name in texts and isinstance(item, str) else in_lines(item)
        for name, item in value.items()
    }


def read(path):
    """Return the cells of a notebook and the outputs of all code cells."""
    cells = json.loads(path.read_text())["cells"]
    return cells, [output for cell in cells for output in cell.get("outputs", [])]


def words(cells, outputs):
    """Return all text of a notebook, without pictures."""
    printed = [output.get("text", []) for output in outputs]
    shown = [text for output in outputs for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return "".join("".join(lines) for lines in [*(cell["source"] for cell in cells), *printed, *shown])


def test_notebooks_are_numbered_without_gaps_and_listed_in_the_readme():
    assert [path.stem[:3] for path in PATHS] == [f"{i:02d}_" for i in range(len(PATHS))]
    listed = re.findall(r"\((\d\d_\w+\.ipynb)\)", (NOTEBOOKS / "README.md").read_text())
    assert listed == [path.name for path in PATHS]


@each_notebook
def test_a_notebook_is_short_and_begins_with_what_you_will_learn(path):
    cells, _ = read(path)
    assert len(cells) <= 15
    assert path.stat().st_size <= 700_000
    assert cells[0]["cell_type"] == "markdown"
    assert "".join(cells[0]["source"]).startswith(f"# {path.stem[:2]} ")
    assert "**What you will learn**" in "".join(cells[0]["source"])


@each_notebook
def test_a_notebook_contains_the_outputs_of_one_complete_run(path):
    cells, outputs = read(path)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert outputs
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert all(output.get("name", "stdout") == "stdout" for output in outputs)


@each_notebook
def test_every_figure_has_twice_the_pixels_of_its_size_and_an_alternative_text(path):
    from PIL import Image

    for cell in read(path)[0]:
        pictures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        assert len(pictures) == "".join(cell["source"]).count("plt.show()")
        for output in pictures:
            shown = output["metadata"]["image/png"]
            with Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))) as image:
                assert image.format == "PNG"
                assert [side // 2 for side in image.size] == [shown["width"], shown["height"]]
            assert len(shown["alt"]) > 60
            assert shown["alt"] == alternative_text("".join(cell["source"]))
            assert shown["alt"].endswith(".")


@each_notebook
def test_a_notebook_links_to_the_api_reference(path):
    cells, _ = read(path)
    links = re.findall(r"\[(jaxlle[.\w]*)\]\(\.\./([\w/]+\.py)\)", "".join(cells[0]["source"]))
    assert links
    for module, file in links:
        assert file in (f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py")


@each_notebook
def test_a_notebook_contains_no_machine_paths_and_no_broken_links(path):
    cells, outputs = read(path)
    assert MACHINE.search(words(cells, outputs)) is None
    assert not any(cell["metadata"] for cell in cells)
    prose = words([cell for cell in cells if cell["cell_type"] == "markdown"], [])
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", prose):
        assert (NOTEBOOKS / link).exists(), link


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_without_errors_or_warnings(path):
    outputs = [output for cell in execute(path).cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


if __name__ == "__main__":
    for stem in sys.argv[1:] or [path.stem for path in PATHS]:
        chosen = NOTEBOOKS / f"{stem}.ipynb"
        write(execute(chosen), chosen)
