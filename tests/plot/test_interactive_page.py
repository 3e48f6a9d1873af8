"""Interactive figures in a headless browser: hover, lasso, colorings, and the time to open."""

import jax
import numpy as np
import pytest
from browser import Browser

import jaxlle
from jaxlle import plot

NAMES = ["<b>ant</b>", "bee & $x", "cat @y"]


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Forty points on a grid of 8 x 5, with names that must be escaped, gray images whose size is the row, and texts."""
    path = tmp_path_factory.mktemp("page") / "grid.html"
    rows = np.arange(40)
    points = np.column_stack([rows % 8, rows // 8]).astype(np.float32)
    images = np.zeros((40, 7, 6))
    for i in rows:
        images[i, 1, 1 : 1 + i % 5] = 255
    texts = [f"</script><i>text {i}</i> " + "long " * 100 for i in rows]
    color = {"kind <1>": np.array(NAMES)[rows % 3], "height": points[:, 1]}
    plot.interactive(points, path, color=color, images=images, texts=texts, rows=rows + 100, title="a <grid>")
    return path


def colors_of(browser):
    """The column that determines the colors, and the visible names and color bars."""
    return browser.driver.execute_script(
        """
        const figure = Bokeh.documents[0].roots()[0].children[0]
        const [points, ...names] = figure.renderers
        const bars = figure.right.filter((bar) => bar.type == "ColorBar" && bar.visible)
        return [points.glyph.fill_color.field, points.nonselection_glyph.fill_color.field,
                names.map((renderer) => renderer.visible), bars.length]
        """
    )


def test_a_page_shows_points_and_lists_those_in_a_lasso(browser, page):
    browser.open(page)
    places = browser.places()
    assert len(places) == 40
    assert browser.driver.title == "a <grid>"
    assert "lasso" in browser.text("div.bk-clearfix")

    browser.point(places["113"])
    (shown,) = browser.wait(lambda: browser.find(".point"))
    text = browser.text(".point")
    assert "row 113" in text
    assert f"kind <1>: {NAMES[13 % 3]}" in text
    assert "height: 1" in text
    assert "<i>text 13</i>" in text
    assert "long" in text
    assert text.endswith("\u2026")
    assert browser.driver.execute_script("return arguments[0].querySelectorAll('b, i').length", shown) == 1  # the row
    script = """
        const style = getComputedStyle(arguments[0].firstChild)
        return [style.backgroundImage.slice(0, 9), style.backgroundPosition, style.width, style.height]
    """
    columns = 7  # of the sheet of 40 images of 7 x 6 pixels
    left, top = 13 % columns * 60, 13 // columns * 70
    assert browser.driver.execute_script(script, shown) == ['url("blob', f"-{left}px -{top}px", "60px", "70px"]

    (lasso,) = browser.find("[title='Lasso Select']")
    lasso.click()
    (left, top), (right, bottom) = places["132"], places["110"]  # the corners of three by four points
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    margin = 12 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    browser.drag((np.array(corners) + margin).tolist())
    browser.wait(lambda: browser.find("textarea"))
    inside = [100 + 8 * r + c for r in range(1, 5) for c in range(3)]
    (listed,) = browser.find("textarea")
    assert listed.get_attribute("value") == ", ".join(map(str, inside))
    text = browser.text("div.bk-clearfix")
    assert "12 of 40 points" in text
    for c, name in enumerate(NAMES):
        assert f"{sum((row - 100) % 3 == c for row in inside)}\t{name}" in text
    assert len(browser.find(".images span")) == 12
    assert "<i>text 8</i>" in text
    assert browser.errors() == []


@pytest.mark.slow
def test_the_coloring_of_a_page_is_chosen_in_it(browser, page):
    browser.open(page)
    assert colors_of(browser) == ["color0", "color0", [True, True], 0]
    (choice,) = browser.find("select")
    for value, expected in (
        ("height", ["color1", "color1", [False, False], 1]),
        ("kind <1>", ["color0", "color0", [True, True], 0]),
    ):
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))"
        browser.driver.execute_script(script, choice, value)
        browser.wait(lambda expected=expected: colors_of(browser) == expected)
    assert browser.errors() == []


@pytest.mark.slow
def test_five_thousand_digits_are_a_small_file_and_fifty_thousand_points_can_be_selected(browser, tmp_path):
    data = jaxlle.datasets.mnist()
    y = np.asarray(jax.random.normal(jax.random.key(0), (50_000, 2)))
    images = data.points.reshape(-1, 28, 28)
    plot.interactive(y[:5000], tmp_path / "digits.html", x=data.points, color=data.labels, images=images)
    assert (tmp_path / "digits.html").stat().st_size < 8e6
    seconds = browser.open(tmp_path / "digits.html")
    print(f"5,000 digits with thumbnails are drawn after {seconds:.2f} s")

    plot.interactive(y, tmp_path / "many.html", color=np.arange(50_000) % 7, images=np.tile(images, (10, 1, 1)))
    assert (tmp_path / "many.html").stat().st_size < 16e6
    print(f"50,000 points with thumbnails are drawn after {browser.open(tmp_path / 'many.html'):.2f} s")
    places = np.array(list(browser.places().values()))
    browser.find("[title='Lasso Select']")[0].click()
    low, high = places.min(axis=0) - 5, places.max(axis=0) + 5
    browser.drag([low.tolist(), [high[0], low[1]], high.tolist(), [low[0], high[1]]])
    browser.wait(lambda: browser.find("textarea"))
    assert "50,000 of 50,000 points" in browser.text("div.bk-clearfix")
    assert browser.errors() == []
