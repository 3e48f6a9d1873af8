"""The figures of `jaxlle embed`: disconnected graphs, and interactive pages."""

import importlib.util
import os

import matplotlib.figure
import numpy as np
import pytest
from cli_helpers import ROLL, assert_fails, row, run, two_clusters
from PIL import Image

from jaxlle import plot
from jaxlle.cli._wording import with_options
from jaxlle.plot import _page


@pytest.fixture
def titles(monkeypatch):
    """The titles and the texts of the static figures that are written."""
    found = []

    def savefig(figure, path, dpi):
        (ax, *_) = figure.axes
        found.append((ax.get_title(), [text.get_text() for text in ax.texts]))
        Image.new("RGB", (2, 2)).save(path)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)
    return found


def clusters(tmp_path, count):
    """Write clusters of 12, 11, ... points, so distant that the graph of 5 neighbors is disconnected."""
    sizes = 12 - np.arange(count)
    x = np.random.default_rng(0).normal(size=(sizes.sum(), 3))
    x[:, 0] += 1000 * np.repeat(np.arange(count), sizes)
    np.savez(tmp_path / "x.npz", x=x, y=np.repeat(np.arange(count), sizes))
    return tmp_path / "x.npz"


def test_the_components_of_a_disconnected_graph_are_drawn_side_by_side(capsys, tmp_path, titles):
    np.savez(tmp_path / "two.npz", x=two_clusters(), y=np.repeat([0, 1], [10, 30]))
    command = ("embed", tmp_path / "two.npz", "--k", 5)
    status, out, err = run(capsys, *command, "--plot", tmp_path / "a.png", "--out", tmp_path / "a.npz")
    assert status == 0
    assert err == (
        "jaxlle: warning: The neighborhood graph is disconnected: it has 2 components of 30, 10 points. Each is embedded "
        "separately. Raise --k to connect them, or choose by --components.\n"
    )
    assert row(out, "components").startswith("2, embedded separately")
    title, texts = titles[0]
    assert title == "the 2 components of the neighborhood graph, embedded separately"
    assert sorted(texts) == ["0", "1", "10 points", "30 points"]  # two colors, not one per panel
    with np.load(tmp_path / "a.npz") as saved:
        np.testing.assert_array_equal(saved["component"], [0] * 30 + [1] * 10)
    assert "--components largest" not in err
    _, _, err = run(capsys, *command, "--components", "warn")
    assert "Raise --k, or choose --components largest or --components separate." in err


@pytest.mark.slow
def test_of_many_components_the_largest_is_embedded_and_named_in_the_title(capsys, tmp_path, titles):
    path = clusters(tmp_path, 5)
    status, out, err = run(capsys, "embed", path, "--k", 5, "--plot", tmp_path / "a.png")
    assert status == 0
    assert "5 components of 12, 11, 10, 9, 8 points. Only the largest is embedded, 12 of 50 points." in err
    assert titles[0][0] == "the largest component, 12 of 50 points"
    assert run(capsys, "embed", path, "--k", 5, "--components", "separate", "--plot", tmp_path / "a.png")[0] == 0
    assert titles[1][0] == "the 4 largest of 5 components, embedded separately: 42 of 50 points"
    status, out, _ = run(capsys, "embed", tmp_path / "x.npz", "--k", 5, "--save", tmp_path / "model.npz")
    assert row(out, "components") == "only the largest is embedded: 12 of 50 points"  # a model has one embedding
    status, out, err = run(capsys, "embed", path, "--k", 5, "--method", "robust", "--plot", tmp_path / "a.png")
    assert (status, titles[2][0]) == (0, "the largest component, 12 of 50 points")


def test_an_interactive_figure_has_labels_and_diagnostics(capsys, tmp_path, pages):
    x = two_clusters(distance=0)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(40) % 3)
    command = ("embed", tmp_path / "x.npz", "--k", 5, "--plot", tmp_path / "a.HTML")
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    (page,) = pages
    assert [coloring.name for coloring in page.colorings] == [
        "label",
        *[f"{plot.pointwise.TITLES[kind]}" for kind in ("dimension", "preservation", "reconstruction")],
        "share of the cost (log10)",
        "density (log10)",
    ]
    assert page.title == "x"
    assert row(out, "figure file").endswith("a.HTML")
    np.save(tmp_path / "d.npy", np.linalg.norm(x[:, None] - x, axis=2))
    options = ("--metric", "precomputed", "--k", 5, "--plot", tmp_path / "a.html")
    assert run(capsys, "embed", tmp_path / "d.npy", *options)[0] == 0
    assert [coloring.name for coloring in pages[1].colorings] == [
        "local dimension",
        "preserved neighbors",
        "density (log10)",
    ]


def test_an_interactive_figure_shows_images_rows_and_components(capsys, tmp_path, pages):
    images = np.random.default_rng(0).integers(0, 255, (40, 6, 6), np.uint8)
    images[:10] = 255 - images[:10] // 20
    images[10:] //= 20
    np.save(tmp_path / "images.npy", images)
    status, _, err = run(capsys, "embed", tmp_path / "images.npy", "--k", 5, "--plot", tmp_path / "a.html")
    assert status == 0
    assert "2 components" in err
    (page,) = pages
    assert page.columns["row"].tolist() == [*range(10, 40), *range(10)]
    assert page.sprites is not None
    assert page.colorings[-1].classes == ("1: 30 points", "2: 10 points")
    assert page.title == "images: the 2 components of the neighborhood graph, embedded separately"


def test_a_page_is_written_completely_or_not_at_all(capsys, tmp_path, monkeypatch):
    status, _, err = run(capsys, *ROLL, "--plot", tmp_path / "a.html")
    assert (status, err) == (0, "")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").endswith("</html>")
    before = (tmp_path / "a.html").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_page, "make_page", fail)
    assert "No space left" in assert_fails(capsys, *ROLL, "--plot", tmp_path / "a.html")
    assert os.listdir(tmp_path) == ["a.html"]
    assert (tmp_path / "a.html").read_bytes() == before


def test_pages_need_bokeh_and_are_figures_of_embed_only(capsys, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bokeh" else find(name))
    path = tmp_path / "a.html"
    message = assert_fails(capsys, *ROLL, "--plot", path)
    assert message == "jaxlle: bokeh is not installed: pip install 'jaxlle[interactive]'.\n"
    assert "must end in .png or .pdf or .svg." in assert_fails(capsys, "choose", "helix", "--plot", path)
    assert "must end in .png or .pdf or .svg." in assert_fails(capsys, "report", "helix", "--plot", path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Raise reg or k, or compute in float64 (jax_enable_x64).", "Raise --reg or --k, or use --precision float64."),
        ("k = 2 neighbors cannot span dim = 3: use k > dim.", "k = 2 neighbors cannot span dim = 3: use --k > --dim."),
        ("raise k, lower dim, or remove duplicates.", "raise --k, lower --dim, or remove duplicates."),
        ("raise k, or pass options=EmbedOptions(dedupe=True).", "raise --k, or remove the copies."),
        ("Raise its iteration limit, or use another solver.", "Choose another --solver."),
        ("k (n_neighbors) = 9 is not allowed", "--k = 9 is not allowed"),
        ('ReadOptions(missing="drop"), or ReadOptions.columns', "--missing drop, or --columns"),
    ],
)
def test_messages_name_the_options_of_the_command(message, expected):
    assert with_options(message) == expected
