"""The last layer of an encoder in closed form: its features are fixed, and a linear map of them has an exact best."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from ..alignment import Alignment
from ..variants.linear import linear_projection


class Features(NamedTuple):
    """What goes into a last layer, taken apart: ``H = 1 mean^T + left right^+``, left orthonormal and centred.

    Attributes:
        left: columns that span the features on the points, shape (n, r).
        right: the linear map of centred features that gives them, shape (width, r).
        mean: shape (width,).
    """

    left: Float[np.ndarray, "n r"]
    right: Float[np.ndarray, "width r"]
    mean: Float[np.ndarray, " width"]


def split_last(encoder: Any) -> tuple[nnx.Module, nnx.Linear]:
    """Return what comes before an encoder's last linear layer, and that layer."""
    layers = [encoder]
    while layers and type(layers[-1]) is nnx.Sequential:
        layers[-1:] = list(layers[-1].layers)
    if not layers or type(layers[-1]) is not nnx.Linear:  # a subclass may compute something else
        end = type(layers[-1]).__name__ if layers else "nothing"
        raise ValueError(
            f"The encoder ends in {end}, but only an nnx.Linear has a closed form: an encoder that is one, or an nnx.Sequential "
            f"that ends in one, such as nnx.Sequential(network, nnx.Linear(width, dim, rngs=rngs))."
        )
    return nnx.Sequential(_same, *layers[:-1]), layers[-1]


def decompose(body: nnx.Module, x: Any, dim: int, block: int = 4096) -> Features:
    """Take the features of points apart, in float64 on the host."""
    rows = [_apply(body, jnp.asarray(x[i : i + block])) for i in range(0, x.shape[0], block)]
    eps = float(jnp.finfo(rows[0].dtype).eps)
    features = np.concatenate([np.asarray(a, np.float64) for a in rows])
    if not np.isfinite(features).all():
        raise ValueError("The encoder's features contain NaN or infinity: train again, at a lower learning rate.")
    mean = features.mean(axis=0)
    left, sizes, axes = np.linalg.svd(features - mean, full_matrices=False)
    # What lies below is rounding in the precision that the network computes in.
    floor = eps * np.sqrt(len(mean)) * np.hypot(sizes[0], np.sqrt(len(left)) * np.linalg.norm(mean))
    count = int((sizes > floor).sum())
    if count < dim:
        raise ValueError(
            f"The features that go into the last layer span {count} dimensions on these points, but dim = {dim} asks for as "
            f"many: use more points, or a wider or less saturated network."
        )
    return Features(left[:, :count], axes[:count].T / sizes[:count], mean)


def least_cost(features: Features, alignment: Alignment, dim: int) -> tuple[np.ndarray, float]:
    """Return the matrix of white outputs of least cost, and that cost, the mean over the points."""
    with jax.enable_x64(True):
        wide = Alignment(jnp.asarray(alignment.indices), jnp.asarray(alignment.blocks, jnp.float64))
        made = linear_projection(wide, features.left, dim)
        matrix, values = np.asarray(made.matrix / made.unit), np.asarray(made.values)
    return features.right @ matrix * np.sqrt(len(features.left)), float((values**2).sum())


def least_squares(features: Features, embedding: Any) -> tuple[np.ndarray, float]:
    """Return the matrix whose outputs are nearest to an embedding made white, and the share of it that they miss."""
    target = np.asarray(embedding, np.float64)
    n, dim = target.shape
    target = target - target.mean(axis=0)
    spread = np.sqrt((target**2).mean(axis=0))
    target = target / np.where(spread > 0, spread, 1)
    covariance = target.T @ target / n
    if np.linalg.matrix_rank(covariance, hermitian=True) < dim:
        raise ValueError(f"The embedding spans fewer than its {dim} dimensions: drop constant and repeated columns.")
    white = np.linalg.solve(np.linalg.cholesky(covariance), target.T).T
    inside = features.left.T @ white
    missed = ((white - features.left @ inside) ** 2).sum() / (white**2).sum()
    return features.right @ inside, float(missed)


def put(layer: nnx.Linear, matrix: np.ndarray, mean: np.ndarray) -> None:
    """Give a layer its matrix, and a bias that centres the outputs if it has one."""
    layer.kernel[...] = jnp.asarray(matrix, layer.kernel[...].dtype)
    if layer.bias is not None:
        layer.bias[...] = jnp.asarray(-mean @ matrix, layer.bias[...].dtype)


def _same(x: Array) -> Array:
    return x


@nnx.jit
def _apply(body: nnx.Module, x: Array) -> Array:
    return body(x)  # pyright: ignore[reportCallIssue]
