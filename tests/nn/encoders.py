"""An ellipse and a linear encoder of it, shared by the tests of training."""

import numpy as np
import optax
from flax import nnx

from jaxlle.nn import ParametricLLE

N = 64


def ellipse():
    """Return an ellipse in space, unevenly sampled: its embedding in the plane is very nearly a linear map of it."""
    t = 2 * np.pi * (np.arange(N) + 0.2 * np.random.default_rng(0).random(N)) / N
    return np.stack([2 * np.cos(t), np.sin(t), np.sin(t) + np.cos(t)], axis=1).astype(np.float32)


def linear_model(**options):
    options = {"k": 6, "optimizer": optax.adam(3e-2), **options}
    return ParametricLLE(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), 2, **options)
