"""Helpers of several test files: data, indices out of range, and the environment of other processes."""

import os

import jax
import numpy as np


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
