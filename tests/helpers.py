"""Helpers of several test files: data, indices out of range, and the environment of other processes."""

import os
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache


def swiss_roll(n, seed=0):
    from sklearn.datasets import make_swiss_roll

    return make_swiss_roll(n, random_state=seed)[0]


def indices_out_of_range(neighbors):
    """Yield the indices of a graph with one that is negative, too large, or in range only after a cast to 32 bits."""
    n = len(neighbors.indices)
    for wrong in (-1, n, 2**32 + 3):
        indices = np.array(neighbors.indices, np.int64)
        indices[-2, -1] = wrong
        yield indices


@contextmanager
def restored_cache_settings():
    """Restore the configuration of JAX's cache of compiled programs."""
    names = (
        *("jax_compilation_cache_dir", "jax_compilation_cache_max_size"),
        *("jax_persistent_cache_min_compile_time_secs", "jax_persistent_cache_min_entry_size_bytes"),
    )
    before = {name: getattr(jax.config, name) for name in names}
    try:
        yield
    finally:
        if before != {name: getattr(jax.config, name) for name in names}:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()


def compiled_as_users_do():
    """Return the environment of a process that compiles with optimization and shares the cache of the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    kept = jax.config.jax_compilation_cache_dir
    return {**environment, **(keeping_programs(kept) if kept else {})}


def keeping_programs(folder):
    """Return the environment variables with which JAX caches every compiled program in a folder."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONWARNINGS": "ignore:Error reading persistent compilation cache entry",  # another process is writing it
    }
