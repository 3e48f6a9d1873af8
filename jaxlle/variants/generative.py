"""Generative LLE: weights as random variables, and the embeddings that follow from them."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real

from .._core.arrays import check_number
from .._core.blocks import BLOCK_BYTES, map_rows
from .._core.checks import check_bytes, check_count, check_dim, is_traced
from .._core.linear import matmul
from .._core.points import check_spread, prepare_points
from .._core.spectral import inverse_root
from ..alignment import weights_alignment
from ..distances import square_root
from ..embedding import Embedding, EmbedOptions, embed
from ..embedding.embed import DEFAULTS, solve
from ..metrics import procrustes
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ..solvers import Hints, Solver, SolverLike, SparseLU, choose
from ..weights import barycentric_weights
from ..weights.gram import check_reg, local_gram, require_finite_weights
from ._pipeline import find_neighbors, reject_largest


class WeightPosterior(NamedTuple):
    """Gaussian distribution of the weights of n points, on the plane of weights that sum to one.

    Attributes:
        mean: the weights of LLE, shape (n, k).
        factor: symmetric matrices F of the covariances ``F F^T``, shape (n, k, k); their columns sum to zero.
    """

    mean: Float[Array, "n k"]
    factor: Float[Array, "n k k"]

    def sample(self, key: Array) -> Float[Array, "n k"]:
        """Draw weights of all points: ``w = mean + F z`` with z standard normal.

        Args:
            key: a `jax.random.key`.

        Returns:
            Weights, shape (n, k); rows sum to 1.

        Example:
            >>> import jax, jaxlle
            >>> x = jax.random.normal(jax.random.key(0), (50, 3))
            >>> jaxlle.variants.weight_posterior(x, jaxlle.knn(x, 6)).sample(jax.random.key(1)).shape
            (50, 6)
        """
        z = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.einsum("nkl,nl->nk", self.factor, z, precision=lax.Precision.HIGHEST)


class GenerativeEmbedding(NamedTuple):
    """Embeddings with weights drawn from their posterior distribution.

    Attributes:
        embedding: the embedding with the mean weights, which is that of LLE.
        samples: embeddings with drawn weights, each aligned with `embedding` by rotation, scaling and translation, shape (s,
            n, dim).
        spread: root mean squared distance of the samples of each point from its position in `embedding`, shape (n,). It is
            large where the embedding depends on weights that the data do not determine.
        converged: whether the solver converged, for each sample, shape (s,).
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
    """Compute the posterior distribution of reconstruction weights: a Gaussian with the weights of LLE as its mean.

    The model is ``x_i = sum_j w_ij x_j + e`` with normal noise e of variance s_i^2 per feature and the prior of w_i that
    corresponds to the ridge. With the regularized local Gram matrix C, the density of the weights that sum to one is
    proportional to ``exp(-w^T C w / (2 s^2))``, with the mean ``w = C^-1 1 / (1^T C^-1 1)`` and the covariance
    ``s^2 (C^-1 - C^-1 1 1^T C^-1 / (1^T C^-1 1))``. Expectation maximization of s_i^2 would iterate
    ``s^2 <- (w^T C w + (k - 1) s^2) / (d + k - 1)``; its fixed point ``s_i^2 = w_i^T C w_i / d`` is computed directly.

    The method follows generative LLE (Ghojogh, Ghodsi, Karray and Crowley 2021, arXiv 2104.01525). The published code draws
    from a Gaussian with the weights of LLE as its mean and the covariance ``(X_N^T X_N + Y_N^T Y_N)^-1`` of the neighbors in
    the data and in the embedding, without the constraint that weights sum to one. Here all terms are relative to the point,
    so that the result does not depend on the origin of the data and B 1 = 0 for every sample. With `embedding`, its local
    Gram matrix is added to C, as in that code, each divided by its own trace.

    Args:
        x: points, shape (n, d), or a `Points` value.
        neighbors: neighborhoods of all points, without a mask.
        noise: s of all points, in units of the root mean squared distance of a point to its neighbors; may be traced. None:
            the maximum-likelihood value of each point.
        embedding: embedding of the points, shape (n, c), that the weights are to reconstruct as well; None: the data only.
        reg: strength of the ridge, relative to the trace of the local Gram matrix.
        block_bytes: memory limit of one block of points, in bytes.

    Returns:
        WeightPosterior.

    Raises:
        ValueError: as `barycentric_weights`; also if neighbors has a mask, noise < 0, or embedding has another number of
            rows.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> posterior = jaxlle.variants.weight_posterior(x, jaxlle.knn(x, 2), noise=0.1)
        >>> jnp.abs(posterior.sample(jax.random.key(0)).sum(axis=1) - 1).max() < 1e-5
        Array(True, dtype=bool)
    """
    points = prepare_points(x)
    n, d = points.shape
    neighbors, block_bytes = prepare_graph(neighbors, n), check_bytes(block_bytes)
    check_reg(reg, neighbors.indices.shape[1], d)
    if neighbors.mask is not None:
        raise ValueError(
            "weight_posterior needs neighborhoods of equal size, without a mask: use the neighbors of knn."
        )
    if noise is not None:
        check_number(noise, "noise", "at least 0, relative to the distances of the neighbors", lambda value: value >= 0)
    mean = barycentric_weights(points, neighbors, reg=reg, block_bytes=block_bytes)
    positions = None
    if embedding is not None:
        positions = prepare_points(embedding, name="embedding").coordinates
        if positions.shape[0] != n:
            raise ValueError(f"embedding has {positions.shape[0]} rows, but x has {n}: one row per point is needed.")
    factor = _factors(points.coordinates, positions, neighbors, mean, noise, reg, d, block_bytes)
    return WeightPosterior(mean, require_finite_weights(factor, reg))


def generative_lle(
    x: Any,
    dim: int,
    *,
    k: int,
    num_samples: int = 20,
    noise: Real[ArrayLike, ""] | None = None,
    reg: Real[ArrayLike, ""] = 1e-3,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
) -> GenerativeEmbedding:
    """Embed points by LLE with weights drawn from their posterior distribution, as a measure of the uncertainty.

    A sample minimizes ``|(I - W) Y|^2`` over centered Y with orthonormal columns, with W drawn from `weight_posterior`
    (Ghojogh, Ghodsi, Karray and Crowley 2021, arXiv 2104.01525), and is aligned with the embedding of the mean weights by
    `metrics.procrustes`. For a given graph embed samples one by one:
    ``embed(weights_alignment(graph, weight_posterior(x, graph).sample(key)), dim)``.

    Args:
        x: points, shape (n, d), or a `Points` value.
        dim: dimensions of the embedding, at most d.
        k: neighbors per point.
        num_samples: number of embeddings to draw.
        noise: as for `weight_posterior`.
        reg: strength of the ridge of the weights, relative to the trace of the local Gram matrix.
        solver: an object of `jaxlle.solvers`, or "auto".
        options: scaling, disconnected graphs, memory limit, and the random key that draws the weights; see `EmbedOptions`.
            `dedupe` and `disconnected="largest"` are not available.

    Returns:
        GenerativeEmbedding. Samples and spread are differentiable: for a given key the same normal numbers are drawn for any
        x.

    Raises:
        ValueError: as `lle` and `weight_posterior`; also if num_samples < 1, or for an option that is not available.

    Warns:
        JaxlleWarning: as `lle`, about the embedding of the mean weights. Samples report `converged` only.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> options = jaxlle.EmbedOptions(key=jax.random.key(1))
        >>> jaxlle.variants.generative_lle(x, 2, k=10, num_samples=3, options=options).samples.shape
        (3, 200, 2)
    """
    points = prepare_points(x)
    dim = check_dim(dim, k, points.shape, points.metric)
    num_samples = check_count(num_samples, "num_samples", 1, None, "number of embeddings to draw")
    reject_largest(options)
    check_spread(points)
    neighbors = find_neighbors(points, k, None, options.block_bytes)
    posterior = weight_posterior(points, neighbors, noise=noise, reg=reg, block_bytes=options.block_bytes)
    alignment = weights_alignment(neighbors, posterior.mean)
    out = embed(alignment, dim, solver=solver, options=options, points=points)
    fixed = lax.stop_gradient(alignment)  # concrete under grad outside jit
    selected = choose(fixed, is_traced(fixed, options.random_key)) if solver == "auto" else solver
    draw = partial(_draw, neighbors, posterior, out.points, dim, selected, points.coordinates)
    keys = jax.random.split(options.random_key, num_samples)
    if isinstance(selected, SparseLU):  # runs on the host and cannot be traced
        draws = [draw(sample_key) for sample_key in keys]
        samples, converged = jnp.stack([y for y, _ in draws]), jnp.stack([done for _, done in draws])
    else:
        samples, converged = lax.map(draw, keys)
    spread = square_root(jnp.mean(jnp.sum((samples - out.points) ** 2, axis=2), axis=0))
    return GenerativeEmbedding(out, samples, spread, converged)


def _draw(
    neighbors: Neighbors,
    posterior: WeightPosterior,
    positions: Any,
    dim: int,
    solver: Solver,
    coordinates: Any,
    key: Array,
) -> tuple[Float[Array, "n dim"], Array]:
    """Return one sample of the embedding, aligned, and whether its solver converged."""
    alignment = weights_alignment(neighbors, posterior.sample(key))
    out = solve(alignment, dim, solver, EmbedOptions(key=key), Hints(lax.stop_gradient(coordinates)))
    return procrustes(out.points, positions).aligned, jnp.asarray(out.converged)


@partial(jax.jit, static_argnames=("features", "block_bytes"))
def _factors(
    points: Float[Array, "n d"],
    positions: Float[Array, "n c"] | None,
    neighbors: Neighbors,
    mean: Float[Array, "n k"],
    noise: Any,
    reg: Any,
    features: int,
    block_bytes: int,
) -> Float[Array, "n k k"]:
    """Return F of every point: the scaled square root of the inverse of C on the plane of zero sums."""
    n, k = neighbors.indices.shape
    # The reflection that maps the constant vector to the first axis; its other columns are an orthonormal basis of the plane.
    normal = jnp.full(k, k**-0.5, points.dtype).at[0].add(1)
    normal = normal / jnp.linalg.norm(normal)
    basis = (jnp.eye(k, dtype=points.dtype) - 2 * jnp.outer(normal, normal))[:, 1:]

    def one(row: tuple[Array, Array, Array]) -> Array:
        i, ids, w = row
        gram = _normalized_gram(points, i, ids)
        system = gram + reg * jnp.eye(k, dtype=gram.dtype)
        if positions is not None:
            system = system + _normalized_gram(positions, i, ids)
        if noise is None:
            square = matmul(w, matmul(gram + reg * jnp.eye(k, dtype=gram.dtype), w)) / features
        else:
            square = jnp.asarray(noise, gram.dtype) ** 2 / k
        root = inverse_root(matmul(basis.T, matmul(system, basis)))
        return jnp.sqrt(square) * matmul(basis, matmul(root, basis.T))

    row = 2 * k * (points.shape[1] + 4 * k) * points.dtype.itemsize
    return map_rows(one, (jnp.arange(n), neighbors.indices, mean), block_bytes, row)


def _normalized_gram(points: Float[Array, "n d"], i: Array, ids: Array) -> Float[Array, "k k"]:
    """Return the local Gram matrix divided by its trace."""
    gram = local_gram(points, points[i], ids)[0]
    trace = jnp.trace(gram)
    return gram / jnp.where(trace > 0, trace, 1)
