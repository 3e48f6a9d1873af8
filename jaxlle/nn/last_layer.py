"""The last layer of an encoder in closed form: for fixed features the best linear map of them can be computed exactly."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .._core.points import as_points
from ..alignment import Alignment
from ..alignment.operator import prepare_alignment
from ..variants.linear import linear_projection
from .evaluation import evaluate_blocks


def solve_last_layer(encoder: nnx.Module, x: Any, alignment: Alignment) -> float:
    """Set the last layer of an encoder to the one of least cost for its features, in closed form.

    With H the features that are the input of the layer, its matrix minimizes ``|B H A|^2`` over white ``H A``: neighborhood
    preserving embedding (`linear_projection`) in feature space. No training of this layer reaches a lower cost. A wide
    network needs little training: apply this function after a short training, or to random features.

    Args:
        encoder: an `nnx.Linear`, or an `nnx.Sequential` that ends in one, in evaluation mode; changed in place.
        x: points, shape (n, D).
        alignment: of these points, by any variant.

    Returns:
        The cost of the white outputs, the mean over the points.

    Raises:
        ValueError: for bad points, an alignment of other points, an encoder that does not end in an `nnx.Linear`, or features
            that span fewer dimensions than the layer has outputs.

    Example:
        >>> import jax, jaxlle
        >>> from flax import nnx
        >>> from jaxlle.nn import solve_last_layer
        >>> x = jaxlle.datasets.swiss_roll(jax.random.key(0), 300).points / 10
        >>> network = nnx.Sequential(nnx.Linear(3, 64, rngs=nnx.Rngs(0)), jax.numpy.tanh)
        >>> encoder = nnx.Sequential(network, nnx.Linear(64, 2, rngs=nnx.Rngs(1)))
        >>> solve_last_layer(encoder, x, jaxlle.lle_alignment(x, k=12)) < 1e-3
        True
    """
    body, layer = _split(encoder)
    features = _decompose(body, as_points(x), layer.out_features)
    matrix, cost = _least_cost(features, alignment, layer.out_features)
    _assign(layer, matrix, features.mean)
    return cost


def match_embedding(encoder: nnx.Module, x: Any, embedding: Any) -> float:
    """Set the last layer of an encoder to the one whose outputs are closest to a given embedding, by least squares.

    A network trained on the cost of `lle` may deviate from the exact embedding where this lowers the cost elsewhere. If the
    features can represent the exact embedding, this function reproduces it, and the encoder maps new points accordingly.
    The outputs are white: they take the span of the embedding, not its scale.

    Args:
        encoder: an `nnx.Linear`, or an `nnx.Sequential` that ends in one, in evaluation mode; changed in place.
        x: points, shape (n, D).
        embedding: of these points, by any method, shape (n, dim).

    Returns:
        The share of the variance of the whitened embedding that the outputs do not explain.

    Raises:
        ValueError: for bad points, an embedding of another shape or with linearly dependent columns, and as for
            `solve_last_layer`.

    Example:
        >>> import jax, jaxlle
        >>> from flax import nnx
        >>> from jaxlle.nn import match_embedding
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> encoder = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
        >>> match_embedding(encoder, x, x[:, :2] + x[:, 1:]) < 1e-9  # a linear map of the points
        True
    """
    with jax.enable_x64(True):  # the least-squares problem is solved on the host in float64
        embedding = np.asarray(as_points(embedding, "embedding"))
    (body, layer), x = _split(encoder), as_points(x)
    if embedding.shape != (required := (x.shape[0], layer.out_features)):
        raise ValueError(
            f"embedding has shape {embedding.shape}, but these points with dim = {layer.out_features} require {required}."
        )
    features = _decompose(body, x, layer.out_features)
    matrix, unexplained = _least_squares(features, embedding)
    _assign(layer, matrix, features.mean)
    return unexplained


class _Features(NamedTuple):
    """The input of a last layer, decomposed: ``H = 1 mean^T + left right^+``, left orthonormal and centered.

    Attributes:
        left: columns that span the centered features of the points, shape (n, r).
        right: the linear map from centered features to these columns, shape (width, r).
        mean: mean of the features, shape (width,).
    """

    left: Float[np.ndarray, "n r"]
    right: Float[np.ndarray, "width r"]
    mean: Float[np.ndarray, " width"]


def _split(encoder: Any) -> tuple[nnx.Module, nnx.Linear]:
    """Return the part of an encoder before its last linear layer, and that layer."""
    layers = [encoder]
    while layers and type(layers[-1]) is nnx.Sequential:
        layers[-1:] = list(layers[-1].layers)
    if not layers or type(layers[-1]) is not nnx.Linear:  # a subclass may compute another function
        end = type(layers[-1]).__name__ if layers else "nothing"
        raise ValueError(
            f"The encoder ends in {end}, but only an nnx.Linear has a closed form: use an nnx.Linear, or an nnx.Sequential "
            f"that ends in one, such as nnx.Sequential(network, nnx.Linear(width, dim, rngs=rngs))."
        )
    return nnx.Sequential(_identity, *layers[:-1]), layers[-1]


def _decompose(body: nnx.Module, x: Any, dim: int) -> _Features:
    """Compute the singular value decomposition of the centered features, in float64 on the host."""
    blocks = list(evaluate_blocks(body, x))
    eps = float(jnp.finfo(blocks[0].dtype).eps)
    features = np.concatenate([np.asarray(block, np.float64) for block in blocks])
    if not np.isfinite(features).all():
        raise ValueError("The encoder's features contain NaN or infinity: train again with a lower learning rate.")
    mean = features.mean(axis=0)
    left, sizes, axes = np.linalg.svd(features - mean, full_matrices=False)
    # Singular values below this are rounding errors in the precision of the network.
    floor = eps * np.sqrt(len(mean)) * np.hypot(sizes[0], np.sqrt(len(left)) * np.linalg.norm(mean))
    count = int((sizes > floor).sum())
    if count < dim:
        raise ValueError(
            f"The features that are the input of the last layer span {count} dimensions on these points, but dim = {dim} "
            f"requires at least as many: use more points, or a wider or less saturated network."
        )
    return _Features(left[:, :count], axes[:count].T / sizes[:count], mean)


def _least_cost(features: _Features, alignment: Alignment, dim: int) -> tuple[np.ndarray, float]:
    """Return the matrix whose white outputs have the least cost, and this cost, the mean over the points."""
    with jax.enable_x64(True):
        alignment = prepare_alignment(alignment)
        alignment = alignment._replace(blocks=alignment.blocks.astype(jnp.float64))
        projection = linear_projection(alignment, features.left, dim)
        matrix, values = np.asarray(projection.matrix / projection.unit), np.asarray(projection.values)
    return features.right @ matrix * np.sqrt(len(features.left)), float((values**2).sum())


def _least_squares(features: _Features, embedding: Float[np.ndarray, "n dim"]) -> tuple[np.ndarray, float]:
    """Return the matrix whose outputs are closest to a whitened embedding, and the share of it not explained."""
    target = np.asarray(embedding, np.float64)
    n, dim = target.shape
    target = target - target.mean(axis=0)
    deviation = np.sqrt((target**2).mean(axis=0))
    target = target / np.where(deviation > 0, deviation, 1)
    covariance = target.T @ target / n
    if np.linalg.matrix_rank(covariance, hermitian=True) < dim:
        raise ValueError(f"The embedding spans fewer than its {dim} dimensions: drop constant and repeated columns.")
    white = np.linalg.solve(np.linalg.cholesky(covariance), target.T).T
    coefficients = features.left.T @ white
    unexplained = ((white - features.left @ coefficients) ** 2).sum() / (white**2).sum()
    return features.right @ coefficients, float(unexplained)


def _assign(layer: nnx.Linear, matrix: np.ndarray, mean: np.ndarray) -> None:
    """Set the matrix of a layer, and the bias, if there is one, such that the outputs are centered."""
    layer.kernel[...] = jnp.asarray(matrix, layer.kernel[...].dtype)
    if layer.bias is not None:
        layer.bias[...] = jnp.asarray(-mean @ matrix, layer.bias[...].dtype)


def _identity(x: Array) -> Array:
    return x
