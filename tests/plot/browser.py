"""A headless browser for the tests of interactive figures."""

import shutil
import time

import pytest

_IDLE = "return !!window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle"
_PLACES = """
const figure = Bokeh.documents[0].roots()[0].children[0]
const view = Bokeh.index.find_one(figure)
const {x, y, row} = figure.renderers[0].data_source.data
const box = view.canvas_view.el.getBoundingClientRect()
const [across, down] = [view.frame.x_scale, view.frame.y_scale]
return Object.fromEntries(Array.from(row, (number, i) =>
  [String(number), [box.left + across.compute(x[i]), box.top + down.compute(y[i])]]))
"""
_FIND = """
const found = []
const search = (node) => {
  for (const child of [...(node.shadowRoot?.children ?? []), ...node.children]) {
    if (child.matches(arguments[0])) {
      found.push(child)
    }
    search(child)
  }
}
search(document.body)
return found
"""  # Bokeh's elements are in shadow trees, which selectors do not enter


class Browser:
    """A browser with one page."""

    def __init__(self):
        selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
        program = shutil.which("chromium") or shutil.which("google-chrome")
        driver = shutil.which("chromedriver")
        if program is None or driver is None:
            pytest.skip("Chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
        options = selenium.ChromeOptions()
        options.binary_location = program
        # Without a graphics card, WebGL is computed by SwiftShader; root cannot use Chromium's sandbox.
        flags = "headless=new no-sandbox disable-dev-shm-usage use-angle=swiftshader enable-unsafe-swiftshader"
        for flag in [*flags.split(), "window-size=1000,700", "hide-scrollbars"]:
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = selenium.Chrome(options=options, service=selenium.ChromeService(driver))

    def open(self, path):
        """Open a file and return the time until the drawing is complete, in seconds, by the clock of the page."""
        self.driver.get(path.as_uri())
        self.wait(lambda: self.driver.execute_script(_IDLE))
        return self.driver.execute_script("return performance.now()") / 1000

    def wait(self, condition, seconds=120):
        """Wait until a condition is true, and return its value."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end, "the page did not reach the expected state"
            time.sleep(0.02)
        return value

    def find(self, selector):
        """Return the elements of the page that match a CSS selector."""
        return self.driver.execute_script(_FIND, selector)

    def text(self, selector):
        """Return the text of the elements that match."""
        return "\n".join(self.driver.execute_script("return arguments[0].innerText", e) for e in self.find(selector))

    def places(self):
        """Return where each point is on the page, by its row."""
        return self.driver.execute_script(_PLACES)

    def drag(self, places):
        """Press the mouse at the first place, move it to the others, and release it."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        actions = ActionBuilder(self.driver, duration=20)
        for i, (x, y) in enumerate(places):
            actions.pointer_action.move_to_location(round(x), round(y))
            if i == 0:
                actions.pointer_action.pointer_down()
        actions.pointer_action.pointer_up()
        actions.perform()

    def point(self, place):
        """Move the mouse to a place, from beside it."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        actions = ActionBuilder(self.driver, duration=20)
        for shift in (25, 0):
            actions.pointer_action.move_to_location(round(place[0]) + shift, round(place[1]) + shift)
        actions.perform()

    def errors(self):
        """Return what the page has reported as errors and warnings."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
