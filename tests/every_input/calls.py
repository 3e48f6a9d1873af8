"""One valid call of every public function: arrays as NumPy arrays of float64, integers and booleans, and plain numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlle
from jaxlle import losses, neighbors

from .data import (
    ALIGNMENT,
    BLOCKS,
    EMBEDDING,
    GRAPH,
    INDICES,
    LABELS,
    LENGTHS,
    NEW,
    QUERY_GRAPH,
    SINGULAR,
    WEIGHTS,
    B,
    C,
    K,
    N,
    X,
    Y,
)


@dataclass(frozen=True)
class Call:
    """A valid call.

    Attributes:
        arguments: by name.
        rows: arguments of which one row may be left out.
        columns: arguments of which one column may be left out.
        target: what to call in place of the function, with the same arguments; None for the function itself.
        fixed: arguments that are not changed.
        origin: arguments whose origin matters, so that large integers are rounded.
    """

    arguments: dict[str, Any]
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    target: Callable | None = None
    fixed: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()


def call(*, rows="", columns="", target=None, fixed="", origin="", **arguments):
    return Call(
        arguments, tuple(rows.split()), tuple(columns.split()), target, tuple(fixed.split()), tuple(origin.split())
    )


def gaussian(a, b):
    return jnp.exp(-jnp.sum((a - b) ** 2))


def square(x):
    return x**2 @ jnp.array([[1.0, 0.5], [0.0, 1.0], [2.0, 0.0]], x.dtype)


def embedding_of(x):
    return jaxlle.lle(x, C, k=K, solver=DENSE_QR).points


@cache
def mesh():
    return jax.make_mesh((1,), ("points",))


@cache
def state():
    return jaxlle.variants.incremental_lle(X.astype(np.float32), C, k=K, solver=DENSE_QR)


@cache
def grid():
    return jaxlle.choose(X.astype(np.float32), C, ks=[5, 6])


@cache
def explanation():
    return jaxlle.explanation.explain(square, NEW.astype(np.float32), X.astype(np.float32), K)


@cache
def encoder():
    from flax import nnx

    return nnx.Linear(3, C, rngs=nnx.Rngs(0))


def batches(**arguments):
    return losses.neighborhood_batches(**arguments).batch(0)


DENSE_QR = jaxlle.solvers.DenseQR()
KEY = jax.random.key(0)
BYTES = {"block_bytes": 2**20}
NEAR = (4 * Y)[GRAPH.indices[:B]]
PAIRS = {"y": 4 * Y[:B], "y_neighbors": NEAR}
ANCHORS = {**PAIRS, "weights": WEIGHTS[:B]}
WHERE = {"where": np.array([True, True, False, True, True])}
MASKS = {**WHERE, "mask": np.ones((B, K), bool)}
OUTPUTS = {"y": 4 * Y, "where": np.arange(N) > 2}
FIT = {"x": X, "dim": C, "k": K}
GIVEN = {"neighbors": GRAPH, "fixed": "k"}  # the width of the graph replaces k
SOLVED = {"solver": DENSE_QR}
PAIR = {"x": X, "y": Y}
SAMPLED = {**PAIR, "k": 5, "rows": np.arange(0, N, 2), **BYTES}
NEW_X_Y = {"x_new": NEW, "x": X, "y": Y, "k": K}
GRAM = np.einsum("nid,njd->nij", X[GRAPH.indices] - X[:, None], X[GRAPH.indices] - X[:, None])
IMPOSTORS = losses.Impostors(NEAR[::-1] + 0.5, np.ones((B, K), bool), 2.0, 0.5)
FREE_X = {"rows": "x", "columns": "x"}
LABELED = {"x": X, "labels": LABELS}
VIEWS = [X, np.concatenate([X[:, :1] ** 2, X[:, 1:]], axis=1)]
TWO = [ALIGNMENT, jaxlle.Alignment(INDICES[:, :4], np.array([1.0, -0.5, -0.25, -0.25]) * np.ones((N, 1, 1)))]
KNOWN = {"known": np.array([0, 5, 11, 17, 23]), "targets": X[[0, 5, 11, 17, 23], :C]}
MATCHES, MOVED = np.array([[0, 23], [5, 4], [11, 10], [23, 20]]), X[::-1] + 0.25
SHAPED = {"key": KEY, "n": 10, "noise": 0.1}

CALLS: dict[str, Callable[[], Call]] = {
    "alignment.connected_components": lambda: call(graph=ALIGNMENT),
    "alignment.graph_width": lambda: call(graph=ALIGNMENT),
    "alignment.laplacian_alignment": lambda: call(neighbors=GRAPH, weights=np.abs(WEIGHTS)),
    "alignment.weights_alignment": lambda: call(neighbors=GRAPH, weights=WEIGHTS),
    "choosing.choose": lambda: call(
        x=X, dim=C, ks=np.array([5, 6]), regs=np.array([1e-3, 1e-2]), **BYTES, rows="x ks regs", columns="x"
    ),
    **{
        f"datasets.{name}": lambda: call(**SHAPED)
        for name in ("broken_swiss_roll", "helix", "s_curve", "severed_sphere", "swiss_roll", "twin_peaks")
    },
    "datasets.torus": lambda: call(**SHAPED, radius=2.0, tube=1.0),
    "datasets.deformed_digits": lambda: call(key=KEY, n=3),
    "datasets.digits": lambda: call(),
    "derivatives.subspace": lambda: call(
        alignment=ALIGNMENT, values=SINGULAR, vectors=Y, linear_solver=jaxlle.derivatives.DenseInverse()
    ),
    "derivatives.tangent_solver": lambda: call(solver=DENSE_QR),
    "dimension.local_pca": lambda: call(x=X, **BYTES, k=K, threshold=0.05, **FREE_X),
    "dimension.maximum_likelihood": lambda: call(x=X, **BYTES, k=K, **FREE_X),
    "dimension.two_nn": lambda: call(x=X, **BYTES, discard=0.1, **FREE_X),
    "dimension.correlation_dimension": lambda: call(x=X, **BYTES, near=3, far=6, **FREE_X),
    **{f"distances.{name}": lambda: call(a=X[0], b=X[1]) for name in ("chebyshev", "euclidean", "manhattan", "cosine")},
    "embedding.diagnose": lambda: call(
        alignment=ALIGNMENT, embedding=EMBEDDING, x=X, neighbors=GRAPH, reg=1e-3, columns="x"
    ),
    "embedding.embed": lambda: call(alignment=ALIGNMENT, dim=C, points=X, start=Y, **SOLVED, columns="points start"),
    "embedding.embed_components": lambda: call(alignment=ALIGNMENT, dim=C, points=X, **SOLVED, columns="points"),
    "embedding.isometric_map": lambda: call(y=Y, neighbors=GRAPH, columns="y"),
    "explanation.explain": lambda: call(
        function=square, z=NEW, bank=X, k=K, reg=1e-3, **BYTES, rows="z bank", origin="z bank"
    ),
    "explanation.influence": lambda: call(function=embedding_of, x=X, row=3, origin="x", **FREE_X),
    "explanation.jacobian": lambda: call(function=square, x=X, **FREE_X, origin="x"),
    "explanation.jvp": lambda: call(function=square, x=X, directions=X[::-1], origin="x directions"),
    "extension.drift": lambda: call(z=NEW, bank=X, k=K, level=0.9, reg=1e-3, rows="z bank"),
    "extension.eigenfunction_transform": lambda: call(
        x_new=NEW, x=X, embedding=EMBEDDING, k=K, shift=16.0, reg=1e-3, **BYTES, rows="x_new"
    ),
    "extension.inverse_transform": lambda: call(
        y_new=Y[:B] + 0.01, y=Y, x=X, k=3, reg=1e-3, **BYTES, rows="y_new", columns="x", origin="x"
    ),
    "extension.kernel_map": lambda: call(**PAIR, width=1.0, k=5, num_landmarks=10, **BYTES, columns="x y", origin="y"),
    "extension.project": lambda: call(
        z=NEW, bank=X, k=K, values=Y, reg=1e-3, **BYTES, rows="z", columns="values", origin="values"
    ),
    "extension.tangent_transform": lambda: call(**NEW_X_Y, dim=2, **BYTES, rows="x_new", columns="y", origin="y"),
    "extension.training_residuals": lambda: call(x=X, k=K, reg=1e-3, **FREE_X),
    "extension.transform": lambda: call(
        **NEW_X_Y, reg=1e-3, metric="euclidean", **BYTES, rows="x_new", columns="y", origin="y"
    ),
    "losses.alignment_loss": lambda: call(
        y_neighborhoods=Y[INDICES[:B]], blocks=BLOCKS[:B], **WHERE, columns="y_neighborhoods"
    ),
    "losses.batch_lle_loss": lambda: call(x=X, y=Y, k=K, reg=1e-3, columns="x y"),
    "losses.covariance_penalty": lambda: call(**OUTPUTS, columns="y"),
    "losses.embednn_loss": lambda: call(
        **PAIRS, y_others=NEAR + 0.5, margin=2.0, **WHERE, columns="y_neighbors y_others"
    ),
    "losses.fit_reconstruction_map": lambda: call(
        x=X[:B], x_neighbors=X[GRAPH.indices[:B]], weights=WEIGHTS[:B], ridge=0.1, origin="x x_neighbors"
    ),
    "losses.isometry_loss": lambda: call(**PAIRS, distances=GRAPH.distances[:B], **MASKS),
    "losses.laplacian_loss": lambda: call(**PAIRS, affinities=np.abs(WEIGHTS[:B]), **MASKS),
    "losses.lle_loss": lambda: call(**ANCHORS, **MASKS),
    "losses.lle_margin_loss": lambda: call(**ANCHORS, impostors=IMPOSTORS, **MASKS),
    "losses.log_det_penalty": lambda: call(**OUTPUTS, eps=1e-3, columns="y"),
    "losses.margin_loss": lambda: call(y=4 * Y[:B], y_others=NEAR, margin=2.0, **MASKS),
    "losses.neighborhood_batches": lambda: call(
        x=X,
        neighbors=GRAPH,
        weights=WEIGHTS,
        batch_size=4,
        key=KEY,
        max_points=20,
        shard=0,
        num_shards=1,
        target=batches,
        columns="x",
    ),
    "losses.participation_ratio": lambda: call(**OUTPUTS, columns="y"),
    "losses.probability_lle_loss": lambda: call(
        logits=4 * Y[:B], logits_neighbors=NEAR, weights=WEIGHTS[:B], **MASKS, origin="logits logits_neighbors"
    ),
    "losses.reconstruction_loss": lambda: call(x=Y[:B], **ANCHORS, **MASKS, origin="x y y_neighbors"),
    "losses.relative_cost": lambda: call(cost=0.5, **OUTPUTS, columns="y"),
    "losses.spectral_loss": lambda: call(alignment=ALIGNMENT, dim=C, **SOLVED, key=KEY),
    "losses.variance_hinge": lambda: Call({**OUTPUTS, "target": 3.0, "eps": 1e-3}, columns=("y",)),
    "metrics.affine_residual": lambda: call(truth=X[:, :2], y=Y, columns="truth y"),
    "metrics.continuity": lambda: Call(SAMPLED, rows=("rows",), columns=("x", "y")),
    "metrics.coranking": lambda: call(**PAIR, **BYTES, columns="x y"),
    "metrics.density_divergence": lambda: call(**PAIR, sigma=0.1, **BYTES, columns="x y"),
    "metrics.diagnostics": lambda: call(**PAIR, k=K, reg=1e-3, **BYTES, columns="x y"),
    "metrics.foscttm": lambda: call(a=X, b=MOVED, pairs=MATCHES, **BYTES, rows="a b pairs", origin="a b"),
    "metrics.kmeans_agreement": lambda: call(y=Y, labels=LABELS, clusters=2, starts=2, key=KEY, columns="y"),
    "metrics.label_accuracy": lambda: call(y=Y, labels=LABELS, k=5, columns="y"),
    "metrics.local_procrustes": lambda: call(**PAIR, k=K, **BYTES, columns="x y"),
    "metrics.matching_accuracy": lambda: call(a=X, b=MOVED, k=3, pairs=MATCHES, rows="a b pairs", origin="a b"),
    "metrics.preservation_error": lambda: call(**PAIR, k=K, **BYTES, columns="x y"),
    "metrics.procrustes": lambda: call(a=X[:, :2], b=Y, origin="a b"),
    "metrics.relative_rank_errors": lambda: call(**PAIR, k=5, **BYTES, columns="x y"),
    "metrics.residual_variance": lambda: call(**PAIR, **BYTES, columns="x y"),
    "metrics.silhouette": lambda: call(y=Y, labels=LABELS, columns="y"),
    "metrics.subspace_angle": lambda: call(a=X[:, :2], b=Y, origin="a b"),
    "metrics.trustworthiness": lambda: Call(SAMPLED, rows=("rows",), columns=("x", "y")),
    "neighbors.approximate_knn": lambda: call(x=X, k=K, method=neighbors.InvertedFile(), sample=20, key=KEY, **FREE_X),
    "neighbors.as_neighbors": lambda: call(indices=GRAPH.indices, distances=GRAPH.distances),
    "neighbors.knn": lambda: call(x=X, k=K, query=NEW, metric="manhattan", algorithm="auto", **BYTES, rows="x query"),
    "neighbors.local_neighborhoods": lambda: call(x=X, k_min=3, k_max=K, detour=1.3, **BYTES, **FREE_X),
    "neighbors.prepare_points": lambda: call(x=X, metric="euclidean", **FREE_X),
    "neighbors.radius_neighbors": lambda: call(
        x=X, radius=1.5, max_neighbors=20, query=NEW, metric="euclidean", **BYTES, rows="x query"
    ),
    "nn.local_linear_attention": lambda: call(
        query=np.stack([NEW, NEW[::-1]])[:, :, None],
        key=np.stack([X, X[::-1]])[:, :, None],
        value=np.stack([Y, Y])[:, :, None],
        ridge=1e-3,
        mask=np.ones((2, N), bool),
        columns="query",  # fewer queries
    ),
    "nn.match_embedding": lambda: call(encoder=encoder(), x=X, embedding=Y, columns="x"),
    "nn.solve_last_layer": lambda: call(encoder=encoder(), x=X, alignment=ALIGNMENT, columns="x"),
    "plot.diagnosis": lambda: call(result=jaxlle.diagnose(ALIGNMENT, EMBEDDING), y=Y, columns="y"),
    "plot.diagnostic": lambda: call(y=Y, x=X, kind="cost", k=K, columns="x y"),
    "plot.embedding": lambda: call(y=Y, color=X[:, 0], columns="y"),
    "plot.explanation": lambda: call(
        found=explanation(), z=NEW, bank=X, image_shape=(1, 3), output=0, count=2, rows="bank"
    ),
    "plot.grid": lambda: call(grid=grid(), criterion="procrustes"),
    "plot.neighbor_graph": lambda: call(points=Y, neighbors=GRAPH, color=X[:, 0]),
    "plot.pairs": lambda: call(a=Y, b=Y[::-1], pairs=MATCHES, color=[X[:, 0], X[:, 1]], rows="pairs"),
    "plot.spectrum": lambda: call(values=SINGULAR, dim=1, rows="values"),
    "plot.summary": lambda: call(y=Y, x=X, color=X[:, 0], k=K, columns="x y"),
    "serving.export_map": lambda: call(function=square, features=3),
    "serving.export_onnx": lambda: call(function=square, features=3),
    "sharding.embed": lambda: call(alignment=ALIGNMENT, dim=C, mesh=mesh(), points=X, columns="points"),
    "sharding.knn": lambda: call(x=X, k=K, mesh=mesh(), metric="euclidean", **BYTES, **FREE_X),
    "sharding.lle": lambda: call(**FIT, **GIVEN, mesh=mesh(), reg=1e-3, columns="x"),
    "solvers.choose": lambda: call(alignment=ALIGNMENT),
    **{
        f"solvers.{name}_landmarks": lambda: call(points=X, count=5, key=KEY, rows="points", columns="points")
        for name in ("farthest", "kmeans", "random")
    },
    "variants.add_points": lambda: call(state=state(), x_new=NEW, far="warn", rows="x_new"),
    "variants.average_alignments": lambda: call(alignments=TWO, shares=np.array([0.25, 0.75])),
    "variants.deformed_neighbors": lambda: call(x=X, k=K, dim=2, pool=10, **BYTES, **FREE_X),
    "variants.discriminant_projection": lambda: call(
        alignment=ALIGNMENT, **LABELED, dim=1, reg=1e-3, scatter="pairs", columns="x"
    ),
    "variants.fuse_views": lambda: call(views=VIEWS, shares=np.array([0.25, 0.75]), columns="views"),
    "variants.generative_lle": lambda: call(**FIT, num_samples=1, noise=0.0, reg=1e-3, **SOLVED, **FREE_X),
    "variants.geodesic_neighbors": lambda: call(x=X, k=K, graph=GRAPH, **BYTES, columns="x"),
    "variants.guided_embed": lambda: call(
        alignment=ALIGNMENT, labels=LABELS, dim=C, guidance=0.5, modes=8, **SOLVED, points=X, columns="points"
    ),
    "variants.guided_lle": lambda: call(**FIT, labels=LABELS, guidance=0.5, reg=1e-3, **SOLVED, columns="x"),
    "variants.hessian_alignment": lambda: call(
        **FIT, metric="euclidean", **GIVEN, include_self=True, **BYTES, columns="x"
    ),
    "variants.hessian_lle": lambda: call(**FIT, metric="euclidean", include_self=True, **SOLVED, **FREE_X),
    "variants.incremental_lle": lambda: call(**FIT, reg=1e-3, tolerance=0.2, **SOLVED, **FREE_X),
    "variants.isolle": lambda: call(**FIT, graph_k=4, reg=1e-3, **SOLVED, **FREE_X),
    "variants.iterative_lle": lambda: call(**FIT, share=0.5, steps=1, reg=1e-3, **SOLVED, **FREE_X),
    "variants.kernel_alignment": lambda: call(
        x=X, kernel=gaussian, k=K, reg=1e-3, **GIVEN, **BYTES, columns="x", origin="x"
    ),
    "variants.kernel_lle": lambda: call(**FIT, kernel=gaussian, reg=1e-3, **SOLVED, **FREE_X, origin="x"),
    "variants.landmark_embed": lambda: call(
        alignment=ALIGNMENT, dim=C, points=X, num_landmarks=16, landmark_neighbors=6, columns="points"
    ),
    "variants.landmark_lle": lambda: call(**FIT, reg=1e-3, num_landmarks=16, landmark_neighbors=6, **FREE_X),
    "variants.ldr_alignment": lambda: call(**FIT, metric="euclidean", **GIVEN, **BYTES, columns="x"),
    "variants.ldr_lle": lambda: call(**FIT, metric="euclidean", **SOLVED, **FREE_X),
    "variants.linear_projection": lambda: call(alignment=ALIGNMENT, x=X, dim=2, columns="x"),
    "variants.lle": lambda: call(**FIT, reg=1e-3, metric="euclidean", **SOLVED, **FREE_X),
    "variants.lle with a graph": lambda: call(**FIT, **GIVEN, reg=1e-3, **SOLVED, columns="x"),
    "semisupervised.align": lambda: call(alignments=TWO, pairs=MATCHES, dim=C, trust=np.arange(1.0, 5.0), **SOLVED),
    "semisupervised.classify": lambda: call(
        alignment=ALIGNMENT,
        known=KNOWN["known"],
        labels=np.array([0, 1, 2, 0, 1]),
        classes=np.arange(3),
        priors=np.array([0.5, 0.25, 0.25]),
        trust=0.5,
        **SOLVED,
    ),
    "semisupervised.leave_one_out": lambda: call(
        alignment=ALIGNMENT, **KNOWN, trust=0.5, **SOLVED, **BYTES, columns="targets", origin="targets"
    ),
    "semisupervised.propagate": lambda: call(
        alignment=ALIGNMENT,
        **KNOWN,
        trust=np.array([1.0, 2.0, 1.0, 2.0, 1.0]),
        **SOLVED,
        columns="targets",
        origin="targets",
    ),
    "variants.lle_alignment": lambda: call(x=X, k=K, reg=1e-3, metric="euclidean", **GIVEN, **BYTES, columns="x"),
    "variants.lltsa": lambda: call(**FIT, **GIVEN, **BYTES, columns="x"),
    "variants.ltsa": lambda: call(**FIT, metric="euclidean", include_self=True, **SOLVED, **FREE_X),
    "variants.ltsa_alignment": lambda: call(
        **FIT, metric="euclidean", **GIVEN, include_self=True, **BYTES, columns="x"
    ),
    "variants.modified_alignment": lambda: call(**FIT, reg=1e-3, metric="euclidean", **GIVEN, **BYTES, columns="x"),
    "variants.modified_lle": lambda: call(**FIT, reg=1e-3, metric="euclidean", **SOLVED, **FREE_X),
    "variants.multiview_lle": lambda: call(
        views=VIEWS, dim=C, k=K, shares=np.array([0.25, 0.75]), reg=1e-3, **SOLVED, columns="views"
    ),
    "variants.npe": lambda: call(**FIT, reg=1e-3, **GIVEN, **BYTES, columns="x"),
    "variants.nystrom_lle": lambda: call(**FIT, reg=1e-3, num_landmarks=16, **FREE_X),
    "variants.onpp": lambda: call(**FIT, reg=1e-3, **GIVEN, **BYTES, columns="x"),
    "variants.orthogonal_projection": lambda: call(alignment=ALIGNMENT, x=X, dim=2, columns="x"),
    "variants.reconstruction_map": lambda: call(alignment=ALIGNMENT, x=X, dim=2, columns="x"),
    "variants.refit": lambda: call(state=state()),
    "variants.reliability": lambda: call(x=X, dim=2, neighbors=GRAPH, iterations=5, **BYTES, columns="x"),
    "variants.robust_lle": lambda: call(**FIT, threshold=0.3, reg=1e-3, **SOLVED, **FREE_X),
    "variants.stack_alignments": lambda: call(alignments=TWO, shares=np.array([0.25, 0.75])),
    "variants.supervised_lle": lambda: call(
        **FIT, labels=LABELS, rule=jaxlle.variants.Shift(0.1), reg=1e-3, **SOLVED, columns="x"
    ),
    "variants.supervised_neighbors": lambda: call(
        **LABELED, k=K, rule=jaxlle.variants.Shift(0.1), **BYTES, columns="x"
    ),
    "variants.weight_posterior": lambda: call(
        x=X, neighbors=GRAPH, noise=0.1, embedding=Y, reg=1e-3, **BYTES, columns="x embedding"
    ),
    "variants.weighted_alignment": lambda: call(alignment=ALIGNMENT, scores=np.linspace(0.5, 1, N)),
    "weights.barycentric_weights": lambda: call(x=X, neighbors=QUERY_GRAPH, reg=1e-3, query=NEW, **BYTES, rows="x"),
    "weights.distance_weights": lambda: call(distances=LENGTHS, neighbors=GRAPH, reg=1e-3, **BYTES, origin="distances"),
    "weights.gram_weights": lambda: call(gram=GRAM, mask=np.ones((N, K), bool), reg=1e-3, origin="gram"),
    "weights.kernel_weights": lambda: call(
        x=X, neighbors=GRAPH, kernel=gaussian, reg=1e-3, **BYTES, columns="x", origin="x"
    ),
    "weights.local_condition": lambda: call(x=X, neighbors=GRAPH, reg=1e-3, columns="x"),
    "weights.metric_weights": lambda: call(
        x=X, neighbors=GRAPH, metric=jaxlle.distances.euclidean, reg=1e-3, **BYTES, columns="x", origin="x"
    ),
    "weights.ridge_regression_weights": lambda: call(x=X, neighbors=GRAPH, reg=1e-3, **BYTES, columns="x", origin="x"),
    "weights.simplex_weights": lambda: call(x=X, neighbors=GRAPH, reg=1e-3, iterations=20, **BYTES, columns="x"),
}

FILES = "they read or write files, whose contents are attacked in the tests of the loaders"
OTHER = {  # public functions without a call, and why
    **dict.fromkeys(
        (
            "datasets.load",
            "neighbors.load",
            "neighbors.save",
            "nn.load_model",
            "nn.save_model",
            "plot.interactive",
            "serving.load_exported",
        ),
        FILES,
    ),
    **dict.fromkeys(("serving.load_map", "serving.save_map"), FILES),
    "datasets.mnist": "it has no arguments, and its data are not part of the package",
    **dict.fromkeys(
        ("compilation.cache_bytes", "compilation.default_folder", "compilation.enable_compilation_cache"),
        "its arguments are a folder and a number of bytes, which are attacked in tests/test_compilation.py",
    ),
    **dict.fromkeys(
        ("nn.fit_jointly", "nn.fit_targets", "nn.fit_with_alignment"),
        "it changes the network in place; invalid arguments are tried in tests/nn/test_semisupervised.py",
    ),
    "nn.train": "its arguments are a model, its step and batches, which have their own entries",
    "nn.train_step": "its arguments are a model and a batch of `neighborhood_batches`",
}
