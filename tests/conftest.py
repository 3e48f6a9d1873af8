"""Fixtures of several test files, and the configuration of the compiler and its cache."""

import gc
import os
from collections import Counter
from functools import partial
from types import SimpleNamespace

# jaxtyping imports this at its first check of a tree, which changes options of JAX and invalidates earlier traces.
import equinox.internal  # noqa: F401
import jax
import numpy as np
import pytest
from helpers import restored_cache_settings

# Tests spend most of their time on compilation, so optimization is off. JAXLLE_TEST_OPTIMIZED=1 compiles as users do.
if "JAXLLE_TEST_OPTIMIZED" not in os.environ:
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()


# Tracing makes many objects that live on, which frequent collections search in vain: 7 % of the time.
gc.set_threshold(200_000, 20, 100)


def pytest_configure(config):
    """Cache compiled programs in .pytest_cache, because test files, processes and later runs compile many of them again.

    ``pytest --cache-clear`` removes them.
    """
    if not config.pluginmanager.hasplugin("cacheprovider"):
        return
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_terminal_summary(terminalreporter):
    """Report how many inputs tests/test_every_input.py tried, and how they ended."""
    totals = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                totals.update(dict(report.user_properties).get("inputs", {}))
    if totals:
        answers, errors, documented, wrong, foreign = (
            totals[kind] for kind in ("answer", "error", "documented", "wrong", "foreign")
        )
        terminalreporter.write_line(
            f"{totals.total()} inputs: {answers} right answers, {errors} errors of jaxlle's own, {documented} documented, "
            f"{wrong} silent wrong answers, {foreign} crashes and foreign tracebacks"
        )


# Examples of these modules and functions, most of which embed a data set, take a minute together.
SLOW_EXAMPLES = (
    "jaxlle.explanation.influence",
    "jaxlle.neighbors.approximate.approximate_knn",
    "jaxlle.nn",
    "jaxlle.semisupervised",
    "jaxlle.sharding",
    "jaxlle.sklearn",
    "jaxlle.variants",
)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(config, items):
    missing = {}
    for item in items:
        if item.name.startswith(SLOW_EXAMPLES):
            item.add_marker(pytest.mark.slow)
        for name in ("slow", "exhaustive"):
            if cases := item.get_closest_marker(f"{name}_cases"):
                missing.setdefault((item.function, name), set(cases.args)).discard(item.callspec.id)
                if item.callspec.id in cases.args:
                    item.add_marker(getattr(pytest.mark, name))
        if item.name == "jaxlle.compilation.enable_compilation_cache":  # other tests share its process
            item.runtest = partial(run_and_restore, item.runtest)
    missing = {f"{function.__qualname__} ({name}_cases)": ids for (function, name), ids in missing.items() if ids}
    if missing and not config.getoption("lf") and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"Marks name cases that do not exist: {missing}")


def run_and_restore(run):
    with restored_cache_settings():
        run()


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Free the compiled programs of a file: each holds memory mappings, of which Linux allows 65,530 per process."""
    yield
    jax.clear_caches()


@pytest.fixture
def compiled():
    """Return a list of the names of the programs that are compiled, or read from the cache of compiled programs."""
    names = []

    def record(event, duration, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(details.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(record)
    yield names
    jax.monitoring.unregister_event_duration_listener(record)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)


@pytest.fixture
def pages(monkeypatch):
    """Return the arguments of the interactive pages that are written."""
    from jaxlle.plot import _page

    found = []

    def make_page(places, columns, colorings, sprites, title):
        found.append(SimpleNamespace(**locals()))
        return "<html></html>"

    monkeypatch.setattr(_page, "make_page", make_page)
    return found
