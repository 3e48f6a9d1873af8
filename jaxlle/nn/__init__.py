"""Flax NNX: an orthonormal head, and an encoder that learns to embed.

The losses need none of this: they take arrays, and a training step of one's own with them is three lines. Here are a layer
that makes collapse impossible, and `ParametricLLE`, an encoder whose `fit` is a plain loop over `train_step` to copy
and change, and whose last layer has an exact best (`ParametricLLE.solve_last_layer`, `ParametricLLE.match_embedding`);
`save_model` and `load_model` keep what was learned.
"""

from .head import OrthonormalHead
from .parametric import ParametricLLE, train_step
from .saving import load_model, save_model

__all__ = [
    "OrthonormalHead",
    "ParametricLLE",
    "load_model",
    "save_model",
    "train_step",
]
