"""Graphs of the study: representations of the digits, and the methods that classify on a graph without a network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import lax
from jaxtyping import Array, Float, Int
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg

import jaxlle

CLASSES = 10
REG = 0.1  # of the LLE weights, as in all earlier studies of these digits
DIFFUSION = 0.99  # share of its neighbors in the label of a point (Zhou et al. 2004)


class Split(NamedTuple):
    """The digits of one seed. Those for training are the pool, of which the first `labeled` have labels."""

    pool: Int[np.ndarray, " n"]
    test: Int[np.ndarray, " m"]
    labels: Int[np.ndarray, " n"]  # of the pool; methods see the first `labeled`
    test_labels: Int[np.ndarray, " m"]
    labeled: int


class Targets(NamedTuple):
    """Probabilities of the classes of all digits of the pool, and their confidence (1 - entropy / log 10)."""

    probabilities: Float[Array, "n classes"]
    confidence: Float[Array, " n"]


class Graph(NamedTuple):
    """A key of the representations, and the number of neighbors."""

    seen: str
    k: int

    def __str__(self) -> str:
        return f"{self.seen}, k = {self.k}"


class Kernel(NamedTuple):
    """Width of the kernel of LapRLS, in mean distances to the k-th neighbor, and the weight of the graph Laplacian."""

    width: float
    weight: float

    def __str__(self) -> str:
        return f"width {self.width:g}, weight {self.weight:g}"


def draw_split(labels: np.ndarray, labeled: int, unlabeled: int, test: int, seed: int) -> Split:
    """Draw test digits and the pool, whose labeled digits are equally many of every class and come first."""
    order = np.random.default_rng(seed).permutation(len(labels))
    held, pool = order[:test], order[test:]
    chosen = np.concatenate([np.flatnonzero(labels[pool] == c)[: labeled // CLASSES] for c in range(CLASSES)])
    pool = np.concatenate([pool[chosen], np.delete(pool, chosen)])[: labeled + unlabeled]
    return Split(pool, held, labels[pool], labels[held], labeled)


def upright(x: Float[Array, "n 784"]) -> Float[Array, "n 784"]:
    """Shear each digit until its second moments show no slant, and center it (LeCun et al. 1998)."""
    row, column = jnp.mgrid[:28, :28] - 13.5

    def one(image: Float[Array, "28 28"]) -> Float[Array, "28 28"]:
        share = image / image.sum()
        down, right = (share * row).sum(), (share * column).sum()
        slant = (share * (row - down) * (column - right)).sum() / (share * (row - down) ** 2).sum()
        places = [row + down + 13.5, column + right + slant * row + 13.5]
        return jax.scipy.ndimage.map_coordinates(image, places, order=1)

    return lax.map(one, x.reshape(-1, 28, 28), batch_size=100).reshape(x.shape)


def gradients(x: Float[Array, "n 784"], directions: int = 8, cell: int = 4) -> Float[Array, "n features"]:
    """Return histograms of the directions of the gradient in overlapping cells of 8 x 8 pixels, of unit length.

    These are histograms of oriented gradients (Dalal and Triggs 2005) with weights that decrease linearly with the distance from
    the center of a cell and of a direction, and the square root of each entry.
    """
    images = np.pad(np.asarray(x).reshape(-1, 28, 28), ((0, 0), (1, 1), (1, 1)))
    down, right = images[:, 2:, 1:-1] - images[:, :-2, 1:-1], images[:, 1:-1, 2:] - images[:, 1:-1, :-2]
    size, turn = np.hypot(right, down), np.arctan2(down, right) * directions / (2 * np.pi)
    centers = np.arange(0, 28, cell) + (cell - 1) / 2
    window = np.maximum(0, 1 - np.abs(np.arange(28)[:, None] - centers) / cell).astype(np.float32)
    bins = []
    for direction in range(directions):
        distance = np.abs((turn - direction + directions / 2) % directions - directions / 2)
        bins.append(window.T @ (size * np.maximum(0, 1 - distance)) @ window)
    features = np.sqrt(np.stack(bins, axis=1).reshape(len(images), -1))
    return jnp.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))


def propagate(energy: str, x: Float[Array, "n d"], k: int, split: Split) -> Targets:
    """Propagate the labels by the LLE cost or the graph Laplacian, with class mass normalization, from exact labels.

    A graph that leaves digits without a path to a label gets one more neighbor per digit until there are none.
    """
    neighbors = jaxlle.knn(x, k)
    if energy == "LLE":
        alignment = jaxlle.weights_alignment(neighbors, jaxlle.barycentric_weights(x, neighbors, reg=REG))
    else:
        alignment = jaxlle.alignment.laplacian_alignment(neighbors)
    known, labels = np.arange(split.labeled), split.labels[: split.labeled]
    solver = jaxlle.derivatives.ConjugateGradient()
    try:
        found = jaxlle.semisupervised.classify(alignment, known, labels, solver=solver)
    except jaxlle.embedding.DisconnectedGraphError:
        return propagate(energy, x, k + 1, split)
    return Targets(found.probabilities, found.confidence)


def spread(x: Float[Array, "n d"], k: int, split: Split) -> Targets:
    """Spread the labels, F = (I - a S)^-1 Y with S = D^-1/2 A D^-1/2 (Zhou et al. 2004), the diffusion of Iscen et al. (2019)."""
    indices, n = np.asarray(jaxlle.knn(x, k).indices), len(x)
    ones = np.ones(indices.size)
    links = csr_array((ones, (np.repeat(np.arange(n), k), indices.ravel())), shape=(n, n))
    links = links + links.T
    scale = diags_array(1 / np.sqrt(links.sum(axis=1)))
    matrix = csr_array(eye_array(n) - DIFFUSION * (scale @ links @ scale))
    given = np.zeros((n, CLASSES))
    given[np.arange(split.labeled), split.labels[: split.labeled]] = 1
    out = np.stack([cg(matrix, column, rtol=1e-4, maxiter=1000)[0] for column in given.T], axis=1)
    out = np.maximum(out, 1e-12)
    p = out / out.sum(axis=1, keepdims=True)
    confidence = 1 + (p * np.log(p)).sum(axis=1) / np.log(CLASSES)
    return Targets(jnp.asarray(p, jnp.float32), jnp.asarray(confidence, jnp.float32))


def extend(
    energy: str, x: Float[Array, "n d"], new: Float[Array, "m d"], targets: Targets, k: int
) -> Int[np.ndarray, " m"]:
    """Classify new digits by the targets of their neighbors: combined by LLE weights, or else by their mean."""
    if energy == "LLE":
        return np.asarray(jaxlle.transform(new, x, targets.probabilities, k=k, reg=REG).argmax(axis=1))
    return np.asarray(targets.probabilities[jaxlle.knn(x, k, query=new).indices].mean(axis=1).argmax(axis=1))


def nearest(x: Float[Array, "n d"], new: Float[Array, "m d"], split: Split) -> Int[np.ndarray, " m"]:
    """Return the label of the nearest labeled digit."""
    return split.labels[np.asarray(jaxlle.knn(x[: split.labeled], 1, query=new).indices[:, 0])]


def laprls(
    x: Float[Array, "n d"], new: Float[Array, "m d"], graph: Graph, kernel: Kernel, split: Split
) -> Int[np.ndarray, " m"]:
    """Classify by Laplacian regularized least squares with a Gaussian kernel (Belkin, Niyogi and Sindhwani 2006).

    The coefficients of the kernel expansion solve (J K + 0.01 I + weight L K) a = J Y, with J = 1 for labeled digits.
    """
    neighbors, n = jaxlle.knn(x, graph.k), len(x)
    operator = jaxlle.alignment.laplacian_alignment(neighbors)
    assert neighbors.distances is not None  # knn returns them
    width = kernel.width * float(jnp.mean(neighbors.distances[:, -1]))
    squared = [(a**2).sum(axis=1)[:, None] - 2 * a @ x.T + (x**2).sum(axis=1) for a in (x, new)]
    grams = [jnp.exp(-values / (2 * width**2)) for values in squared]
    given = np.zeros((n, CLASSES), np.float32)
    given[np.arange(split.labeled), split.labels[: split.labeled]] = 1
    matrix = kernel.weight * np.array(operator.rmatvec(operator.matvec(grams[0])))
    matrix[: split.labeled] += np.asarray(grams[0])[: split.labeled]
    matrix[np.diag_indices(n)] += 0.01
    weights = scipy.linalg.solve(matrix, given, overwrite_a=True, check_finite=False)
    return (np.asarray(grams[1]) @ weights).argmax(axis=1)
