"""Interactive figures: which points, colorings, images and texts are passed to the page, and what raises."""

import io
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

import jaxlle
from jaxlle import plot
from jaxlle.metrics import diagnostics
from jaxlle.plot import _page
from jaxlle.plot._sprites import make_sprites


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.html"


def two_clusters():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    x[:10] += 1000
    return x


def test_the_embedding_of_a_component_takes_its_own_values(pages, path):
    x = two_clusters()
    out = jaxlle.lle(x, 3, k=5, options=jaxlle.EmbedOptions(disconnected="largest"))
    images = np.arange(40)[:, None, None] * np.ones((1, 2, 2))
    plot.interactive(
        out, path, x=x, color=np.arange(40) % 4, images=images, texts=list("ab" * 20), rows=np.arange(40) * 2
    )
    (page,) = pages
    np.testing.assert_array_equal(page.places, np.asarray(out.points)[:, :2])
    assert page.columns["row"].tolist() == list(range(20, 80, 2))
    assert page.columns["text"].tolist() == list("ab" * 15)
    label, *others = page.colorings
    assert (label.name, label.classes) == ("label", ("0", "1", "2", "3"))
    assert label.names.tolist() == [str(i % 4) for i in range(10, 40)]
    found = diagnostics(x, out)
    assert [coloring.name for coloring in others] == [
        "local dimension",
        "preserved neighbors",
        "reconstruction error",
        "share of the cost (log10)",
        "density (log10)",
    ]  # and no components, because there is one
    np.testing.assert_allclose(others[1].numbers, found["preservation"])
    np.testing.assert_allclose(others[3].numbers, np.log10(found["cost"]), rtol=1e-4)
    np.testing.assert_allclose(others[3].limits, np.percentile(np.log10(found["cost"]), [1, 99]), rtol=1e-4)
    sheet = np.asarray(Image.open(io.BytesIO(page.sprites.png)))
    expected = np.rint((np.arange(10, 40) - 10) * 255 / 29)  # not inverted: the borders are not black
    np.testing.assert_array_equal(sheet[::2, ::2].ravel()[:30], expected)


@pytest.mark.slow
def test_components_are_side_by_side_with_areas_in_proportion_to_their_points(pages, path):
    x = two_clusters()
    parts = jaxlle.embedding.embed_components(jaxlle.lle_alignment(x, k=5), 2)
    plot.interactive(parts, path, color={"side": x[:, 0] > 500})
    (page,) = pages
    side, component = page.colorings
    assert (side.name, side.classes, component.classes) == ("side", ("False", "True"), ("1: 30 points", "2: 10 points"))
    assert component.names.tolist() == ["1: 30 points"] * 30 + ["2: 10 points"] * 10
    assert side.names.tolist() == ["False"] * 30 + ["True"] * 10
    assert page.columns["row"].tolist() == [*range(10, 40), *range(10)]
    large, small = page.places[:30], page.places[30:]
    assert large[:, 0].max() < small[:, 0].min()
    areas = [np.prod(np.ptp(places, axis=0)) for places in (large, small)]
    assert areas[0] == pytest.approx(3 * areas[1], rel=1e-5)
    for places, part in ((large, parts[0]), (small, parts[1])):
        spread = np.ptp(places, axis=0) / np.ptp(np.asarray(part.points), axis=0)
        np.testing.assert_allclose(places - places[0], (np.asarray(part.points) - part.points[0]) * spread, atol=1e-5)


def test_many_names_and_numbers_are_on_a_continuous_scale(pages, path, cloud):
    names = np.array([f"name {i:03}" for i in range(120)])
    plot.interactive(
        cloud, path, color={"name": names, "count": np.arange(120), "value": cloud[:, 0]}, texts=["x" * 300] * 120
    )
    plot.interactive(cloud[:, :1], path)
    np.testing.assert_array_equal(pages[1].places, np.column_stack([cloud[:, 0], np.arange(120)]))
    name, count, value = pages[0].colorings
    assert [name.classes, count.classes, value.classes] == [(), (), ()]
    assert name.names.tolist() == names.tolist()
    assert (name.limits, count.limits) == ((0, 119), (0, 119))
    assert value.names is None
    assert pages[0].columns["text"][0] == "x" * 279 + "\u2026"


def test_thumbnails_are_inverted_ink_or_color_and_small_enough(monkeypatch):
    ink = np.zeros((5, 6, 4))
    ink[:, 2:4, 1:3] = np.arange(1, 6)[:, None, None]
    sprites = make_sprites(ink)
    assert (sprites.columns, sprites.height, sprites.width, sprites.sheet_width) == (3, 72, 48, 144)
    assert [values.tolist() for values in sprites.places(5)] == [[0, 48, 96, 0, 48], [0, 0, 0, 72, 72]]
    sheet = np.asarray(Image.open(io.BytesIO(sprites.png)))
    assert sheet.shape == (12, 12)
    assert sheet[[2, 2, 2, 8, 8], [1, 5, 9, 1, 5]].tolist() == [204, 153, 102, 51, 0]  # the strongest ink is black
    assert (sheet[0] == 255).all()
    color = np.zeros((3, 200, 100, 3), np.uint8)
    color[..., 0] = 128
    sprites = make_sprites(color)
    assert (sprites.height, sprites.width) == (96, 48)
    assert np.asarray(Image.open(io.BytesIO(sprites.png)))[0, 0].tolist() == [128, 0, 0]
    monkeypatch.setattr("jaxlle.plot._sprites._PIXELS", 5 * 6)
    assert Image.open(io.BytesIO(make_sprites(ink).png)).size == (
        3 * 2,
        2 * 3,
    )  # 5 images in 3 columns, of 6 pixels each


def test_a_page_is_complete_and_needs_no_network(path, cloud):
    path.write_text("old")
    plot.interactive(cloud, path, color=np.arange(120) % 3, title="</title><script>alert(1)</script>")
    page = path.read_text(encoding="utf-8")
    assert "<script src" not in page
    assert "<link" not in page
    assert "<script>alert(1)" not in page
    assert "--thumbnails" not in page.split("<body>")[0].split("</script>")[-1]
    plot.interactive(cloud, path)
    assert '"type":"object","name":"Select"' not in path.read_text(encoding="utf-8").replace(" ", "")


def test_what_cannot_be_drawn_is_named_and_leaves_no_file(tmp_path, path, cloud, monkeypatch):
    with pytest.raises(ValueError, match=r"a\.png' is not allowed: the name of the file must end in .html"):
        plot.interactive(cloud, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"color\['a'\] has shape \(119,\)"):
        plot.interactive(cloud, path, color={"a": cloud[1:, 0]})
    with pytest.raises(ValueError, match=r"color\['label'\] has shape \(121,\)"):
        plot.interactive(cloud, path, color=np.zeros(121))
    with pytest.raises(ValueError, match=r"texts has shape \(2,\)"):
        plot.interactive(cloud, path, texts=["a", "b"])
    with pytest.raises(ValueError, match="three channels"):
        plot.interactive(cloud, path, images=np.zeros((120, 2, 2, 5)))
    monkeypatch.setattr(_page, "make_page", lambda *_: "lone surrogate \ud800")
    with pytest.raises(UnicodeEncodeError):
        plot.interactive(cloud, path)
    assert list(tmp_path.iterdir()) == []


def test_without_bokeh_the_error_names_the_extra(path, cloud, monkeypatch):
    module = sys.modules["jaxlle.plot.interactive"]  # the package has a function of this name
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "bokeh" else find_spec(name))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxlle\[interactive\]'"):
        plot.interactive(cloud, path)
    assert not path.exists()
