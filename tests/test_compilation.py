"""The cache of compiled programs: a second process loads what the first has compiled; limits and invalid arguments."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxlle
from jaxlle.solvers import Landmark, SparseLU

CODE = """
import sys, jax, jax.numpy as jnp, jaxlle
jax.jit(lambda x: x + 1)(1.0)  # the cache can be enabled after a first compilation
found = []
jax.monitoring.register_event_listener(lambda name, **_: found.append(name))
jaxlle.enable_compilation_cache(sys.argv[1])
jax.jit(lambda x: jnp.sin(x) * 3)(2.0)
print(sum("cache_hits" in name for name in found), sum("cache_misses" in name for name in found))
"""


@pytest.mark.slow
def test_a_second_process_loads_the_programs_of_the_first(tmp_path):
    folder = tmp_path / "programs"
    counts = []
    for _ in range(2):
        command = [sys.executable, "-W", "error", "-c", CODE, str(folder)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, cwd=Path(jaxlle.__file__).parents[1]
        )
        assert done.returncode == 0, done.stderr
        counts.append(tuple(map(int, done.stdout.split())))
    assert counts[0][0] == 0
    assert counts[0][1] >= 1
    assert counts[1] == (counts[0][1], 0)
    assert jaxlle.compilation.cache_bytes(folder) > 1000
    assert jaxlle.compilation.cache_bytes(tmp_path / "none") == 0


def test_the_default_folder_is_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jaxlle.compilation.default_folder().parts[-2:] == ("jaxlle", "compiled")


def test_invalid_limits_and_folders_raise(tmp_path):
    with pytest.raises(ValueError, match="max_bytes = 0"):
        jaxlle.enable_compilation_cache(tmp_path / "a", max_bytes=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        jaxlle.enable_compilation_cache(tmp_path / "file" / "folder")


@pytest.mark.parametrize(("solver", "most"), [(SparseLU(), 9), (Landmark(landmarks=20, max_iterations=50), 10)])
def test_a_fit_compiles_few_programs_and_another_one_of_the_same_shape_none(compiled, solver, most):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(331, 3)) @ rng.normal(size=(3, 20)) + 0.01 * rng.normal(size=(331, 20))).astype(np.float32)
    jax.clear_caches()
    jaxlle.lle(x, 2, k=8, solver=solver)
    assert 3 < len(compiled) <= most, compiled
    compiled.clear()
    jaxlle.lle(x + 1, 2, k=8, solver=solver)
    assert compiled == []
