"""How well clusters in an embedding agree with classes. Thin wrappers of scikit-learn."""

import importlib
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from .._core.checks import check_count, check_key, embedding_points
from .._core.labels import number_labels, read_labels
from .._core.points import prepare_points
from ._inputs import require_concrete

_ADVICE = "leave out those points, or give them a label of their own"


class ClusterAgreement(NamedTuple):
    """Agreement of clusters with classes, independent of how either is numbered.

    Attributes:
        adjusted_rand: adjusted Rand index: 1 for equal partitions, 0 in expectation for random ones; it may be negative.
        mutual_information: mutual information divided by the arithmetic mean of the two entropies, in [0, 1]; that of random
            partitions is larger than 0, and grows with the number of clusters.
    """

    adjusted_rand: float
    mutual_information: float


def silhouette(y: Any, labels: Any) -> float:
    """Return the mean silhouette of classes in an embedding: how close points are to their own and to the nearest other class.

    ``s_i = (b_i - a_i) / max(a_i, b_i)``, where a_i is the mean distance of point i to the other points of its class and b_i
    the smallest mean distance to the points of another class (Rousseeuw 1987, Journal of Computational and Applied
    Mathematics 20:53); s_i = 0 for the only point of a class. Computed by `sklearn.metrics.silhouette_score` in blocks, at a
    cost of n^2 distances.

    Args:
        y: points, an Embedding or shape (n, c).
        labels: one label per point, shape (n,), of any type that NumPy can sort.

    Returns:
        Mean of s_i, in [-1, 1]; near 1 if the classes are compact and separated, below 0 if many points are closer to another
        class than to their own.

    Raises:
        ValueError: if y is not an array of finite numbers, there is not one label per point, a label is missing or masked, or
            there are not between 2 and n - 1 classes.
        TypeError: inside jit.
        ModuleNotFoundError: if scikit-learn is not installed (``pip install 'jaxlle[sklearn]'``).

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.silhouette(jnp.array([[0.0], [1.0], [10.0], [11.0]]), ["a", "a", "b", "b"])
        0.8997...
    """
    require_concrete("silhouette", y, labels)
    points, classes, count = _read(y, labels)
    if not 2 <= count < len(points):
        raise ValueError(
            f"labels has {count} classes for {len(points)} points, but a silhouette needs between 2 and {len(points) - 1}."
        )
    return float(_sklearn("metrics").silhouette_score(points, classes))


def kmeans_agreement(
    y: Any, labels: Any, *, clusters: int | None = None, starts: int = 10, key: Array | None = None
) -> ClusterAgreement:
    """Cluster an embedding by k-means, and compare the clusters with classes.

    The adjusted Rand index compares how many pairs of points are together in both partitions with the number expected for
    random partitions of the same sizes (Hubert and Arabie 1985, Journal of Classification 2:193). The mutual information is
    normalized by the arithmetic mean of the entropies (Vinh, Epps and Bailey 2010, JMLR 11:2837). k-means favors compact
    clusters of similar size: a low agreement does not show that classes overlap. Computed by `sklearn.cluster.KMeans`.

    Args:
        y: points, an Embedding or shape (n, c).
        labels: one label per point, shape (n,), of any type that NumPy can sort.
        clusters: number of clusters; by default the number of classes.
        starts: random starts of k-means, of which the one of lowest cost is used.
        key: random key of the starts; None means `jax.random.key(0)`.

    Returns:
        ClusterAgreement.

    Raises:
        ValueError: if y is not an array of finite numbers, there is not one label per point, a label is missing or masked, or
            clusters is larger than n.
        TypeError: inside jit, or if key is no random key.
        ModuleNotFoundError: if scikit-learn is not installed (``pip install 'jaxlle[sklearn]'``).

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> jaxlle.metrics.kmeans_agreement(jnp.array([[0.0], [1.0], [10.0], [11.0]]), ["a", "a", "b", "b"])
        ClusterAgreement(adjusted_rand=1.0, mutual_information=1.0)
    """
    require_concrete("kmeans_agreement", y, labels)
    points, classes, count = _read(y, labels)
    clusters = check_count(count if clusters is None else clusters, "clusters", 1, len(points), "one point per cluster")
    starts = check_count(starts, "starts", 1, None, "random starts of k-means")
    seed = int(np.asarray(jax.random.key_data(check_key(key))).ravel()[-1] % 2**31)
    means = _sklearn("cluster").KMeans(clusters, n_init=starts, random_state=seed)
    with warnings.catch_warnings():  # if there are fewer distinct points than clusters, some clusters are empty
        warnings.simplefilter("ignore", _sklearn("exceptions").ConvergenceWarning)
        found = means.fit_predict(points)
    metrics = _sklearn("metrics")
    return ClusterAgreement(
        float(metrics.adjusted_rand_score(classes, found)), float(metrics.normalized_mutual_info_score(classes, found))
    )


def _read(y: Any, labels: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the points in float64, centered and scaled, the number of the class of each, and the number of classes."""
    points = np.asarray(prepare_points(embedding_points(y), name="y").coordinates, np.float64)
    values = read_labels(labels, _ADVICE)
    if values.shape != (len(points),):
        raise ValueError(f"labels has shape {values.shape}, but there must be one for each of {len(points)} points.")
    names, classes = number_labels(values)
    return points, classes, len(names)


def _sklearn(module: str) -> Any:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "This metric is computed by scikit-learn, which is not installed: pip install 'jaxlle[sklearn]'."
        ) from error
