"""What several test files share: data, oracles and comparisons."""

import jax
import numpy as np
import pytest


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)


def swiss_roll(n, seed=0):
    from sklearn.datasets import make_swiss_roll

    return make_swiss_roll(n, random_state=seed)[0]
