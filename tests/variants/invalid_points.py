"""Points that every variant rejects, and what the message must contain."""

import numpy as np

INVALID = {
    "NaN": (lambda x: np.where(np.arange(x.shape[1]) == 1, np.nan, x).astype(x.dtype), "NaN or infinity"),
    "infinity": (lambda x: np.where(np.arange(x.shape[1]) == 1, np.inf, x).astype(x.dtype), "NaN or infinity"),
    "no samples": (lambda x: x[:0], r"0 sample\(s\)"),
    "no features": (lambda x: x[:, :0], r"0 feature\(s\)"),
    "one sample": (lambda x: x[:1], r"sample\(s\)|n_samples = 1|between|points"),
    "1-D": (lambda x: x[0], "Expected 2D array, got 1D array"),
    "3-D": (lambda x: x[None], "Expected 2D array, got 3D array"),
    "all equal": (lambda x: np.ones_like(x), "degenerate"),
    "strings": (lambda x: x.astype(str), "not numeric"),
    "objects": (lambda x: np.array([["a", "b"]] * len(x), object), "not numbers"),
    "complex": (lambda x: x + 1j, "Complex data not supported"),
}
