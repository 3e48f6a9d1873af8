import subprocess
import sys
from importlib.metadata import metadata

import jaxlle


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_loads_no_framework_and_no_optional_package():
    code = "import sys, jaxlle; print([m for m in ('jax', 'flax', 'sklearn', 'matplotlib', 'optax', 'rich') if m in sys.modules])"
    assert run(code) == "[]"


def test_the_core_loads_no_optional_package():
    code = (
        "import sys, jaxlle; [getattr(jaxlle, n) for n in jaxlle.__all__ if n not in ('nn', 'sklearn', 'plot')];"
        "print([m for m in ('flax', 'sklearn', 'matplotlib', 'mlxtend', 'rich') if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_every_public_name_is_there_and_documented():
    for name in jaxlle.__all__:
        assert getattr(jaxlle, name).__doc__, name
    assert set(jaxlle.__all__) <= set(dir(jaxlle))
    assert not hasattr(jaxlle, "no_such_name")


def test_the_version_is_the_distribution_s():
    assert metadata("jaxlle")["Version"] == jaxlle.__version__


def test_every_public_function_has_an_example():
    for name in jaxlle.__all__:
        value = getattr(jaxlle, name)
        if callable(value) and not isinstance(value, type):
            assert ">>>" in value.__doc__, name
