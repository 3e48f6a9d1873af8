"""Flax NNX: an orthonormal head, and an encoder that learns to embed.

The losses need none of this: they take arrays, and a training step of one's own with them is three lines. Here are a layer
that makes collapse impossible, and `ParametricLLE`, an encoder whose `fit` is a plain loop over `train_step` to copy
and change.
"""

from ._head import OrthonormalHead
from ._parametric import ParametricLLE, train_step

__all__ = ["OrthonormalHead", "ParametricLLE", "train_step"]
