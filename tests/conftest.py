"""Fixtures of several test files, and the configuration of the compiler and its cache."""

import os
from collections import Counter
from functools import partial

# jaxtyping imports this at its first check of a tree, which changes options of JAX and invalidates earlier traces.
import equinox.internal  # noqa: F401
import jax
import numpy as np
import pytest
from helpers import restored_cache_settings

# Tests spend most of their time on compilation, so optimization is off. JAXLLE_TEST_OPTIMIZED=1 compiles as users do.
if "JAXLLE_TEST_OPTIMIZED" not in os.environ:
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()


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


# Examples that compile for ten seconds or more, with Numba or for several devices.
SLOW_EXAMPLES = {
    "jaxlle.neighbors.approximate.approximate_knn",
    "jaxlle.sharding",
    "jaxlle.sharding.ShardedLandmark",
    "jaxlle.sharding.lle",
}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.name in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)
        if item.name == "jaxlle.compilation.enable_compilation_cache":  # other tests share its process
            item.runtest = partial(run_and_restore, item.runtest)


def run_and_restore(run):
    with restored_cache_settings():
        run()


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Free the compiled programs of a file: each holds memory mappings, of which Linux allows 65,530 per process."""
    yield
    jax.clear_caches()


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
