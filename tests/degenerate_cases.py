"""Differentiable functions and data sets on which eigenvalues, singular values or points are equal, for gradient tests.

Every function takes the points and a `Setting`, and returns an array. Embeddings are returned as Gram matrices, and linear maps
as projectors, because they are defined up to a rotation where singular values are equal.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle
from jaxlle import derivatives, explanation, extension, losses, metrics, semisupervised, variants, weights
from jaxlle.embedding import isometric_map
from jaxlle.losses import Impostors

N = 48


class Setting(NamedTuple):
    """What the functions need beside the points: the graph, the dimensions, and other data of the same size."""

    graph: jaxlle.Neighbors
    dim: int
    other: jax.Array
    queries: jax.Array

    @property
    def k(self):
        return self.graph.indices.shape[1]

    @property
    def labels(self):
        return np.arange(N) // 16

    @property
    def weights(self):
        return jnp.full((N, self.k), 1 / self.k)

    @property
    def alignment(self):
        return jaxlle.weights_alignment(self.graph, self.weights)


def grid():
    return np.stack(np.meshgrid(np.arange(1.0, 9), np.arange(1.0, 7)), -1).reshape(-1, 2)


def circle():
    angle = 2 * np.pi * np.arange(N) / N
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def sphere():
    """Return one orbit of the octahedral group."""
    signs = itertools.product((1, -1), repeat=3)
    points = [np.multiply(s, p) for s, p in itertools.product(signs, itertools.permutations((1.0, 1.7, 2.9)))]
    return np.array(points) / np.linalg.norm(points[0])


def duplicates():
    """Return points of which six are repeated, none of them at the edge of the ten nearest neighbors of another."""
    x = np.random.default_rng(32).normal(size=(N, 3))
    x[N // 2 : N // 2 + 6] = x[:6]
    return x


# The points and the dimension of the embedding, at which the spectrum of the embedding has a gap.
DATA = {"grid": (grid, 2), "circle": (circle, 2), "sphere": (sphere, 3), "duplicates": (duplicates, 2)}


def setting(name, k=10):
    """Return the points of a data set and their setting."""
    make, dim = DATA[name]
    x = jnp.asarray(make())
    rng = np.random.default_rng(3)
    other, queries = rng.normal(size=(N, dim)), rng.normal(size=(5, x.shape[1]))
    return x, Setting(jaxlle.knn(x, k), dim, jnp.asarray(other), jnp.asarray(x[:5] + 0.05 * queries))


def gram(embedding):
    return embedding.points @ embedding.points.T


def cost(alignment, s):
    return jnp.sum(alignment.matvec(s.other) ** 2)


def span(fitted):
    """Return what a linear map determines where its singular values are equal."""
    return fitted.matrix @ fitted.matrix.T


def nearby(x, s):
    return x[s.graph.indices]


def precomputed(x):
    squares = ((x[:, None] - x[None]) ** 2).sum(-1)
    return jnp.sqrt(jnp.where(squares > 0, squares, 1)) * (squares > 0)


def squared_kernel(a, b):
    return (1 + a @ b) ** 2


def mean_map(x):
    return jnp.sin(x) @ jnp.ones((x.shape[1], 2))


OPTIONS = jaxlle.EmbedOptions(key=jax.random.key(0))

ALIGNMENTS = {
    "lle_alignment": lambda x, s: cost(jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), s),
    "ltsa_alignment": lambda x, s: cost(jaxlle.ltsa_alignment(x, s.dim, k=s.k, neighbors=s.graph), s),
    "ltsa_alignment, one dimension less": lambda x, s: cost(
        jaxlle.ltsa_alignment(x, s.dim - 1, k=s.k, neighbors=s.graph), s
    ),
    "hessian_alignment": lambda x, s: cost(jaxlle.hessian_alignment(x, s.dim, k=s.k, neighbors=s.graph), s),
    "hessian_alignment, one dimension less": lambda x, s: cost(
        jaxlle.hessian_alignment(x, s.dim - 1, k=s.k, neighbors=s.graph), s
    ),
    "ldr_alignment": lambda x, s: cost(variants.ldr_alignment(x, s.dim, k=s.k, neighbors=s.graph), s),
    "modified_alignment": lambda x, s: cost(jaxlle.modified_alignment(x, s.dim, k=s.k, neighbors=s.graph), s),
    "kernel_alignment": lambda x, s: cost(variants.kernel_alignment(x, squared_kernel, k=s.k, neighbors=s.graph), s),
    "ltsa_alignment, of distances": lambda x, s: cost(
        jaxlle.ltsa_alignment(precomputed(x), s.dim, k=s.k, neighbors=s.graph, metric="precomputed"), s
    ),
    "average_alignments": lambda x, s: cost(
        variants.average_alignments([jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), s.alignment]), s
    ),
    "stack_alignments": lambda x, s: cost(
        variants.stack_alignments([jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), s.alignment]), s
    ),
    "weighted_alignment": lambda x, s: cost(variants.weighted_alignment(s.alignment, jnp.exp(x[:, 0])), s),
    "reliability": lambda x, s: variants.reliability(x, 1, s.graph),
    "weight_posterior": lambda x, s: variants.weight_posterior(x, s.graph).mean,
}
WEIGHTS = {
    "barycentric_weights": lambda x, s: weights.barycentric_weights(x, s.graph),
    "ridge_regression_weights": lambda x, s: weights.ridge_regression_weights(x, s.graph),
    "simplex_weights": lambda x, s: weights.simplex_weights(x, s.graph),
    "kernel_weights": lambda x, s: weights.kernel_weights(x, s.graph, squared_kernel),
    "metric_weights": lambda x, s: weights.metric_weights(x, s.graph, jaxlle.distances.euclidean),
    "distance_weights": lambda x, s: weights.distance_weights(precomputed(x), s.graph),
    "gram_weights": lambda x, s: weights.gram_weights(
        jnp.einsum("nkd,nld->nkl", nearby(x, s) - x[:, None], nearby(x, s) - x[:, None])
    ),
}
EMBEDDINGS = {
    "lle": lambda x, s: gram(jaxlle.lle(x, s.dim, k=s.k, neighbors=s.graph)),
    "ltsa": lambda x, s: gram(jaxlle.ltsa(x, s.dim, k=s.k, neighbors=s.graph)),
    "hessian_lle": lambda x, s: gram(jaxlle.hessian_lle(x, s.dim, k=s.k, neighbors=s.graph)),
    "ldr_lle": lambda x, s: gram(variants.ldr_lle(x, s.dim, k=s.k, neighbors=s.graph)),
    "modified_lle": lambda x, s: gram(jaxlle.modified_lle(x, s.dim, k=s.k, neighbors=s.graph)),
    "kernel_lle": lambda x, s: gram(variants.kernel_lle(x, s.dim, squared_kernel, k=s.k, neighbors=s.graph)),
    "embed, singular values": lambda x, s: jaxlle.embed(
        jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), s.dim
    ).singular_values.sum(),
    "guided_embed": lambda x, s: gram(
        variants.guided_embed(
            jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), s.labels, s.dim, modes=2 * s.dim
        ).embedding
    ),
    "align": lambda x, s: gram(
        semisupervised.align(
            [jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), s.alignment],
            np.arange(0, N, 6)[:, None].repeat(2, 1),
            s.dim,
        )[0]
    ),
    "propagate": lambda x, s: (
        semisupervised.propagate(
            jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), np.arange(0, N, 4), s.other[::4]
        ).targets
    ),
    "leave_one_out": lambda x, s: (
        semisupervised.leave_one_out(
            jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), np.arange(0, N, 4), s.other[::4], trust=0.1
        ).residuals
    ),
    "classify": lambda x, s: (
        semisupervised.classify(
            jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), np.arange(0, N, 4), np.arange(0, N, 4) % 3
        ).probabilities
    ),
    "procrustes, of lle": lambda x, s: (
        metrics.procrustes(jaxlle.lle(x, s.dim, k=s.k, neighbors=s.graph), s.other).aligned
    ),
    "spectral_loss": lambda x, s: losses.spectral_loss(jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph), s.dim),
}
MAPS = {
    "npe": lambda x, s: span(variants.npe(x, s.dim, k=s.k, neighbors=s.graph)),
    "npe, one dimension less": lambda x, s: span(variants.npe(x, s.dim - 1, k=s.k, neighbors=s.graph)),
    "onpp": lambda x, s: span(variants.onpp(x, s.dim, k=s.k, neighbors=s.graph)),
    "lltsa": lambda x, s: span(variants.lltsa(x, s.dim, k=s.k, neighbors=s.graph)),
    "linear_projection": lambda x, s: span(variants.linear_projection(s.alignment, x, s.dim)),
    "orthogonal_projection": lambda x, s: span(variants.orthogonal_projection(s.alignment, x, s.dim)),
    "linear_projection, values": lambda x, s: variants.linear_projection(s.alignment, x, s.dim).values.sum(),
    "reconstruction_map": lambda x, s: variants.reconstruction_map(s.alignment, x).matrix,
    "reconstruction_map, low rank": lambda x, s: variants.reconstruction_map(s.alignment, x, 1).matrix,
    "discriminant_projection": lambda x, s: span(variants.discriminant_projection(s.alignment, x, s.labels, 2)),
    "discriminant_projection, pairs": lambda x, s: span(
        variants.discriminant_projection(s.alignment, x, s.labels, 2, scatter="pairs")
    ),
}
EXTENSIONS = {
    "transform": lambda x, s: extension.transform(s.queries, x, s.other, k=5),
    "inverse_transform": lambda x, s: extension.inverse_transform(s.queries, x, s.other, k=5),
    "project": lambda x, s: extension.project(s.queries, x, 5).points,
    "kernel_map": lambda x, s: extension.kernel_map(x, s.other, k=s.k, num_landmarks=8).transform(s.queries),
    "tangent_transform": lambda x, s: extension.tangent_transform(s.queries, x, s.other, k=s.k, dim=s.dim),
    "training_residuals": lambda x, s: extension.training_residuals(x, s.k),
}
LOSSES = {
    "alignment_loss": lambda x, s: losses.alignment_loss(x[s.alignment.indices], s.alignment.blocks),
    "batch_lle_loss": lambda x, s: losses.batch_lle_loss(x, x, k=s.k, neighbors=s.graph, weight_gradient=True),
    "covariance_penalty": lambda x, s: losses.covariance_penalty(x),
    "embednn_loss": lambda x, s: losses.embednn_loss(x, nearby(x, s)[:, :3], nearby(x, s)[:, 3:], margin=2.5),
    "fit_reconstruction_map": lambda x, s: losses.fit_reconstruction_map(x, nearby(x, s), s.weights),
    "isometry_loss": lambda x, s: losses.isometry_loss(x, nearby(x, s), s.graph.distances + 0.5),
    "laplacian_loss": lambda x, s: losses.laplacian_loss(x, nearby(x, s)),
    "lle_loss": lambda x, s: losses.lle_loss(x, nearby(x, s), s.weights),
    "lle_margin_loss": lambda x, s: losses.lle_margin_loss(
        x, nearby(x, s), s.weights, Impostors(nearby(x, s)[:, :3], margin=2.5)
    ),
    "log_det_penalty": lambda x, s: losses.log_det_penalty(x),
    "margin_loss": lambda x, s: losses.margin_loss(x, nearby(x, s), margin=2.5),
    "participation_ratio": lambda x, s: losses.participation_ratio(x),
    "probability_lle_loss": lambda x, s: losses.probability_lle_loss(x, nearby(x, s), s.weights),
    "reconstruction_loss": lambda x, s: losses.reconstruction_loss(x, x, nearby(x, s), s.weights),
    "relative_cost": lambda x, s: losses.relative_cost(jnp.ones(()), x),
    "variance_hinge": lambda x, s: losses.variance_hinge(x, target=2.7),
}
METRICS = {
    "affine_residual, of y": lambda x, s: metrics.affine_residual(s.other, x),
    "affine_residual, of truth": lambda x, s: metrics.affine_residual(x, s.other),
    "procrustes": lambda x, s: metrics.procrustes(x[:, : s.dim], s.other[:, : x.shape[1]]).aligned,
    "residual_variance": lambda x, s: metrics.residual_variance(s.other, x),
    "subspace_angle": lambda x, s: metrics.subspace_angle(x[:, : s.dim], s.other),
    "isometric_map": lambda x, s: (lambda a: a @ a.T)(isometric_map(x, s.graph)),
}


def bottom_values(x, s):
    alignment = jaxlle.lle_alignment(x, k=s.k, neighbors=s.graph)
    found = jaxlle.embed(jax.lax.stop_gradient(alignment), s.dim)
    solver = derivatives.DenseInverse()
    return derivatives.subspace(alignment, found.singular_values, found.points, solver)[0].sum()


OTHERS = {
    "subspace": bottom_values,
    "jacobian": lambda x, s: explanation.jacobian(mean_map, x),
    "jvp": lambda x, s: explanation.jvp(mean_map, x, jnp.ones_like(x)),
    "explain": lambda x, s: explanation.explain(mean_map, s.queries, x, 5).weights,
}
FUNCTIONS = {**WEIGHTS, **ALIGNMENTS, **EMBEDDINGS, **MAPS, **EXTENSIONS, **LOSSES, **METRICS, **OTHERS}


def contracted(name, s):
    """Return a scalar function of the points: the output of a function, contracted with a fixed array."""

    def scalar(x):
        out = jnp.asarray(FUNCTIONS[name](x, s))
        mix = np.random.default_rng(out.size).normal(size=out.shape) if out.ndim else 1.0
        return jnp.sum(mix * out)

    return scalar
