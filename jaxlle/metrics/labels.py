"""How well nearest neighbors in an embedding predict labels."""

from typing import Any

import numpy as np

from .._core.checks import embedding_points, is_traced
from .._core.points import as_points
from ..neighbors import knn


def label_accuracy(y: Any, labels: Any, *, k: int = 10) -> float:
    """Return the share of points whose label is the majority's among their k nearest other points.

    Args:
        y: points, an Embedding or shape (n, c).
        labels: one label a point, of any kind that NumPy can sort.
        k: neighbours that vote; among equal counts the smallest label wins.

    Returns:
        Leave-one-out accuracy in [0, 1].

    Raises:
        ValueError: for bad points, or labels that are not one a point.
        TypeError: inside jit.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.label_accuracy(jnp.array([[0.0], [1.0], [5.0], [6.0]]), ["a", "a", "b", "b"], k=1)
        1.0
    """
    if is_traced(y, labels):
        raise TypeError("label_accuracy sorts labels of any kind on the host: call it outside jit.")
    y = as_points(embedding_points(y), "y")
    _, classes = np.unique(np.asarray(labels), return_inverse=True)
    if classes.shape != (y.shape[0],):
        raise ValueError(f"labels has shape {np.shape(labels)}, but there must be one for each of {y.shape[0]} points.")
    votes = np.sort(classes[np.asarray(knn(y, k).indices)], axis=1)
    counts = np.stack([(votes == votes[:, [j]]).sum(axis=1) for j in range(votes.shape[1])], axis=1)
    chosen = votes[np.arange(len(votes)), counts.argmax(axis=1)]
    return float((chosen == classes).mean())
