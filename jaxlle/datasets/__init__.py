"""Manifolds with known parameters, handwritten digits, and points in files.

The generators are pure functions of a JAX key. The loaders return NumPy arrays; nothing is downloaded and no pickle is loaded.
"""

from .._core.calls import explain_calls
from .data import Data, Scaling, Vocabulary
from .manifolds import MANIFOLDS as MANIFOLDS
from .manifolds import (
    Manifold,
    broken_swiss_roll,
    helix,
    s_curve,
    severed_sphere,
    swiss_roll,
    torus,
    twin_peaks,
)
from .options import ReadOptions
from .reading import load
from .real import REAL as REAL
from .real import deformed_digits, digits, mnist

__all__ = [
    "Data",
    "Manifold",
    "ReadOptions",
    "Scaling",
    "Vocabulary",
    "broken_swiss_roll",
    "deformed_digits",
    "digits",
    "helix",
    "load",
    "mnist",
    "s_curve",
    "severed_sphere",
    "swiss_roll",
    "torus",
    "twin_peaks",
]

explain_calls(__name__)
