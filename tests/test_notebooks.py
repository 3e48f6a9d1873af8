"""The notebooks: their form, and (slow) that each runs from top to bottom without an error or a warning.

`python tests/test_notebooks.py [NAME ...]` executes notebooks and writes them back with their outputs, without what differs
from one run to the next.
"""

import base64
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def execute(path):
    """Return the notebook with fresh outputs, run in an empty folder and compiled as users compile."""
    import nbformat
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    with tempfile.TemporaryDirectory() as folder:
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc")
        client = NotebookClient(notebook, km=kernel, timeout=1200, resources={"metadata": {"path": folder}})
        client.execute(env={**environment, "JAX_PLATFORMS": "cpu"})
    return notebook


def complaints(notebook):
    """Return what a run wrote to standard error: warnings go there."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.text for output in outputs if output.get("name") == "stderr"]


def write(notebook, path):
    """Write a notebook without times, versions and empty fields, so that another run changes little."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    path.write_text(json.dumps(_lines(notebook), indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def _joined(outputs):
    """Return the outputs with what was printed in one piece: in how many pieces it came is chance."""
    kept = []
    for output in outputs:
        if "metadata" in output:
            output.metadata = {}
        if kept and output.output_type == kept[-1].output_type == "stream" and output.name == kept[-1].name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def _lines(value):
    """Return the notebook's texts as lists of lines, as Jupyter writes them: a change then shows in its line alone."""
    if isinstance(value, list):
        return [_lines(item) for item in value]
    if not isinstance(value, dict):
        return value
    texts = ("source", "text", "text/plain", "text/html")
    return {
        name: item.splitlines(True) if name in texts and isinstance(item, str) else _lines(item)
        for name, item in value.items()
    }


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_without_errors_or_warnings(path):
    assert complaints(execute(path)) == []


if __name__ == "__main__":
    for name in sys.argv[1:] or [path.stem for path in PATHS]:
        chosen = NOTEBOOKS / f"{name}.ipynb"
        made = execute(chosen)
        write(made, chosen)
        print(name, *complaints(made))
