"""Generative LLE: weights as random variables, and the embeddings that they give."""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import check_count, check_dim, is_traced
from .._core.linear import inverse_root, matmul
from .._core.points import check_spread, prepare_points
from ..alignment import weights_alignment
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS, solve
from ..metrics import procrustes
from ..neighbors import Neighbors
from ..neighbors.graph import check_indices
from ..solvers import Hints, Solver, SparseLU, choose
from ..weights import barycentric_weights
from ..weights.gram import check_reg, local_gram, require_finite_weights
from ._pipeline import find_neighbors


class WeightPosterior(NamedTuple):
    """Gaussian weights of n points, on the plane where they sum to one.

    Attributes:
        mean: the weights of LLE, shape (n, k).
        factor: F, symmetric, with the covariance ``F F^T``, shape (n, k, k); the columns sum to zero.
    """

    mean: Float[Array, "n k"]
    factor: Float[Array, "n k k"]

    def sample(self, key: Array) -> Float[Array, "n k"]:
        """Draw weights of all points: ``w = mean + F z``, z standard normal."""
        z = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.einsum("nkl,nl->nk", self.factor, z, precision=lax.Precision.HIGHEST)


class GenerativeEmbedding(NamedTuple):
    """Embeddings by weights drawn from their posterior.

    Attributes:
        embedding: by the mean weights, which is LLE's own.
        samples: each brought as near to it as rotation, scale and shift can, shape (s, n, dim).
        spread: root mean squared distance of each point's samples from its place, shape (n,): where the embedding hangs on
            weights that the data leave open.
        converged: whether the solver did, for each sample, shape (s,).
    """

    embedding: Embedding
    samples: Float[Array, "s n dim"]
    spread: Float[Array, " n"]
    converged: Array


def weight_posterior(
    x: Any,
    neighbors: Neighbors,
    *,
    noise: Real[ArrayLike, ""] | None = None,
    embedding: Any = None,
    reg: Real[ArrayLike, ""] = 1e-3,
    block_bytes: int = BLOCK_BYTES,
) -> WeightPosterior:
    """Return the posterior of reconstruction weights: a Gaussian about those of LLE.

    A point is ``x_i = sum_j w_ij x_j + e`` with normal e of variance s_i^2 a feature, and w_i has the prior that the ridge
    stands for. With C the regularised local Gram matrix, the density of the weights that sum to one is proportional to
    ``exp(-w^T C w / (2 s^2))``: mean ``w = C^-1 1 / (1^T C^-1 1)``, covariance ``s^2 (C^-1 - C^-1 1 1^T C^-1 / (1^T C^-1 1))``.
    Expectation maximisation of s_i^2 alternates ``s^2 <- (w^T C w + (k - 1) s^2) / (d + k - 1)``, and its fixed point is taken
    at once: ``s_i^2 = w_i^T C w_i / d``.

    After generative LLE (Ghojogh, Ghodsi, Karray and Crowley 2021, arXiv 2104.01525), whose published code draws from a Gaussian
    about LLE's weights with the covariance ``(X_N^T X_N + Y_N^T Y_N)^-1`` of the neighbours in data and embedding, not confined
    to weights that sum to one. Here all is relative to the point, so that the data may be shifted, and B 1 = 0 for every draw;
    `embedding` adds its local Gram matrix to C, each in units of its own trace, as there.

    Args:
        x: points, shape (n, d).
        neighbors: neighbourhoods of all points, without a mask.
        noise: s in units of the root mean squared distance of a point's neighbours, for all points; None: by the maximum of the
            likelihood for each. It may be traced.
        embedding: places of the points, shape (n, c), that the weights shall rebuild too.
        reg: strength of the ridge, relative to the trace of the local Gram matrix.
        block_bytes: memory that one block of points may take.

    Returns:
        WeightPosterior.

    Raises:
        ValueError: as `barycentric_weights`; also for a mask, or noise < 0.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> posterior = jaxlle.variants.weight_posterior(x, jaxlle.knn(x, 2), noise=0.1)
        >>> jnp.abs(posterior.sample(jax.random.key(0)).sum(axis=1) - 1).max() < 1e-5
        Array(True, dtype=bool)
    """
    points = prepare_points(x)
    (n, d), k = points.shape, neighbors.indices.shape[1]
    check_reg(reg, k, d)
    check_indices(neighbors, n, n)
    if neighbors.mask is not None:
        raise ValueError("weight_posterior needs neighbourhoods of equal size: use knn, as a mask is not honoured.")
    if noise is not None and not is_traced(noise) and not float(jnp.asarray(noise)) >= 0:
        raise ValueError(f"noise = {noise} is not allowed: it must be at least 0, in distances of the neighbours.")
    mean = barycentric_weights(points, neighbors, reg=reg, block_bytes=block_bytes)
    places = None
    if embedding is not None:
        places = prepare_points(embedding, name="embedding").coordinates
        if places.shape[0] != n:
            raise ValueError(f"embedding has {places.shape[0]} rows and x has {n}: one row for each point is needed.")
    factor = _factors(points.coordinates, places, neighbors, mean, noise, reg, d, block_bytes)
    return WeightPosterior(mean, require_finite_weights(factor, reg))


def generative_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    num_samples: int = 20,
    noise: Real[ArrayLike, ""] | None = None,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
) -> GenerativeEmbedding:
    """Embed points by LLE with weights drawn from their posterior, many times: the embedding with its own uncertainty.

    See `weight_posterior`; a sample is the bottom of ``|(I - W) Y|`` with W drawn (Ghojogh et al. 2021, arXiv 2104.01525),
    brought by Procrustes to the embedding of the mean weights.

    Args:
        x: points, shape (n, d).
        dim: dimensions of the embedding, at most d.
        k: neighbours a point.
        num_samples: how many embeddings.
        noise: as for `weight_posterior`.
        reg: strength of the regularizer of the weights.
        solver: one of `jaxlle.solvers`, or "auto".
        neighbors: a ready graph to use in place of `knn`.
        options: scaling, disconnected graphs, memory, and the random key that draws the weights: see `EmbedOptions`.

    Returns:
        GenerativeEmbedding. Warnings are those of the mean weights. Samples and spread have derivatives too: a key draws
        the same normal numbers whatever x is.

    Raises:
        ValueError: as `lle` and `weight_posterior`.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> jaxlle.variants.generative_lle(x, 2, k=10, key=jax.random.key(1), num_samples=3).samples.shape
        (3, 200, 2)
    """
    points = prepare_points(x)
    dim = check_dim(dim, k, points.shape, points.metric)
    num_samples = check_count(num_samples, "num_samples", 1, None, "embeddings to draw")
    if options.disconnected == "largest":
        raise ValueError("disconnected = 'largest' drops points, but the samples are of all points: drop them before.")
    check_spread(points)
    neighbors = find_neighbors(points, k, None, options.block_bytes)
    posterior = weight_posterior(points, neighbors, noise=noise, reg=reg, block_bytes=options.block_bytes)
    alignment = weights_alignment(neighbors, posterior.mean)
    out = embed(alignment, dim, solver=solver, options=options, points=points)
    fixed = lax.stop_gradient(alignment)  # concrete under grad outside jit
    chosen = choose(fixed, is_traced(fixed, options.random_key)) if solver == "auto" else solver
    draw = partial(_draw, neighbors, posterior, out.points, dim, chosen, points.coordinates)
    keys = jax.random.split(options.random_key, num_samples)
    if isinstance(chosen, SparseLU):  # on the host, one after the other
        many = [draw(one) for one in keys]
        samples, converged = jnp.stack([y for y, _ in many]), jnp.stack([done for _, done in many])
    else:
        samples, converged = lax.map(draw, keys)
    square = jnp.mean(jnp.sum((samples - out.points) ** 2, axis=2), axis=0)
    spread = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return GenerativeEmbedding(out, samples, spread, converged)


def _draw(
    neighbors: Neighbors,
    posterior: WeightPosterior,
    places: Any,
    dim: int,
    solver: Solver,
    coordinates: Any,
    key: Array,
) -> tuple[Float[Array, "n dim"], Array]:
    """Return one embedding, aligned, and whether its solver converged."""
    alignment = weights_alignment(neighbors, posterior.sample(key))
    out = solve(alignment, dim, solver, EmbedOptions(key=key), Hints(lax.stop_gradient(coordinates)))
    return procrustes(out.points, places).aligned, jnp.asarray(out.converged)


@partial(jax.jit, static_argnames=("features", "block_bytes"))
def _factors(
    points: Float[Array, "n d"],
    places: Float[Array, "n c"] | None,
    neighbors: Neighbors,
    mean: Float[Array, "n k"],
    noise: Any,
    reg: Any,
    features: int,
    block_bytes: int,
) -> Float[Array, "n k k"]:
    """Return F of every point: the root of the inverse of C on the plane of zero sums."""
    n, k = neighbors.indices.shape
    # An orthonormal basis of that plane: a reflection maps the constant onto the first axis.
    mirror = jnp.full(k, k**-0.5, points.dtype).at[0].add(1)
    mirror = mirror / jnp.linalg.norm(mirror)
    plane = (jnp.eye(k, dtype=points.dtype) - 2 * jnp.outer(mirror, mirror))[:, 1:]

    def one(row: tuple[Array, Array, Array]) -> Array:
        i, ids, w = row
        gram = _unit_gram(points, i, ids)
        system = gram + reg * jnp.eye(k, dtype=gram.dtype)
        if places is not None:
            system = system + _unit_gram(places, i, ids)
        if noise is None:
            square = jnp.dot(w, matmul(gram + reg * jnp.eye(k, dtype=gram.dtype), w)) / features
        else:
            square = jnp.asarray(noise, gram.dtype) ** 2 / k
        root = inverse_root(matmul(plane.T, matmul(system, plane)))
        return jnp.sqrt(square) * matmul(plane, matmul(root, plane.T))

    row = 2 * k * (points.shape[1] + 4 * k) * points.dtype.itemsize
    return map_rows(one, (jnp.arange(n), neighbors.indices, mean), block_bytes, row)


def _unit_gram(points: Float[Array, "n d"], i: Array, ids: Array) -> Float[Array, "k k"]:
    """Return the local Gram matrix divided by its trace."""
    gram = local_gram(points, points[i], ids)[0]
    trace = jnp.trace(gram)
    return gram / jnp.where(trace > 0, trace, 1)
