"""How well nearest neighbors in an embedding predict labels."""

from typing import Any

import numpy as np

from .._core.checks import embedding_points
from .._core.labels import read_labels
from .._core.points import prepare_points
from ..neighbors import knn
from ._inputs import require_concrete

_ADVICE = "leave out those points, or give them a label of their own"


def label_accuracy(y: Any, labels: Any, *, k: int = 10) -> float:
    """Return the leave-one-out accuracy of classification by the k nearest neighbors.

    A point counts as correct if its label is the most frequent one among its k nearest other points (Cover and Hart 1967, IEEE
    Transactions on Information Theory 13:21).

    Args:
        y: points, an Embedding or shape (n, c).
        labels: one label per point, shape (n,), of any type that NumPy can sort.
        k: number of neighbors that vote; the smallest label wins a tie.

    Returns:
        Accuracy in [0, 1], on the host.

    Raises:
        ValueError: if y is not an array of finite numbers, there is not one label per point, a label is missing or masked, or k
            is out of range.
        TypeError: inside jit.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.label_accuracy(jnp.array([[0.0], [1.0], [5.0], [6.0]]), ["a", "a", "b", "b"], k=1)
        1.0
    """
    require_concrete("label_accuracy", y, labels)
    points = prepare_points(embedding_points(y), name="y")
    n = points.shape[0]
    values = read_labels(labels, _ADVICE)
    _, classes = np.unique(values, return_inverse=True)
    if classes.shape != (n,):
        raise ValueError(f"labels has shape {np.shape(labels)}, but there must be one for each of {n} points.")
    votes = np.sort(classes[np.asarray(knn(points, k).indices)], axis=1)
    counts = np.stack([(votes == votes[:, [j]]).sum(axis=1) for j in range(votes.shape[1])], axis=1)
    predicted = votes[np.arange(n), counts.argmax(axis=1)]  # the first of equal counts, hence the smallest label
    return float((predicted == classes).mean())
