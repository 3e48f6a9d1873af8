"""Locally linear embedding in JAX: every stage a pure function, jit, vmap and grad-able, on CPU, GPU and TPU.

    >>> import jax, jaxlle
    >>> points = jaxlle.datasets.swiss_roll(jax.random.key(0), 500).points
    >>> jaxlle.lle(points, 2, k=12).points.shape
    (500, 2)

The public names are listed in ``__init__.pyi`` and loaded on first use: `import jaxlle` itself imports neither JAX nor any
optional package.
"""

import lazy_loader as _lazy_loader

__version__ = "0.1.0"

_load, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)

_LOCATIONS = {  # module: names that users may look for at the top level
    "alignment": "Components connected_components graph_width laplacian_alignment",
    "choosing": "Grid",
    "distances": "KernelDistance",
    "embedding": "Diagnosis DisconnectedGraphError embed_components isometric_map",
    "extension": (
        "Drift KernelMap Projection drift eigenfunction_transform kernel_map project tangent_transform "
        "training_residuals"
    ),
    "losses": "NeighborhoodBatch NeighborhoodBatches",
    "metrics": "CoRanking coranking",
    "neighbors": "ApproximateNeighbors approximate_knn as_neighbors local_neighborhoods radius_neighbors",
    "semisupervised": "Classification LeaveOneOut Propagation align classify leave_one_out propagate",
    "variants": (
        "GenerativeEmbedding GuidedEmbedding IncrementalEmbedding IterativeEmbedding LandmarkEmbedding "
        "LinearMap Shift Warp WeightPosterior add_points average_alignments "
        "deformed_neighbors discriminant_projection fuse_views generative_lle geodesic_neighbors guided_embed "
        "guided_lle incremental_lle isolle iterative_lle kernel_alignment kernel_lle landmark_embed "
        "landmark_lle linear_projection lltsa multiview_lle npe nystrom_lle onpp orthogonal_projection "
        "reconstruction_map refit reliability robust_lle "
        "stack_alignments supervised_lle supervised_neighbors weight_posterior weighted_alignment"
    ),
    "warnings": (
        "ConvergenceWarning DataWarning DisconnectedGraphWarning DuplicateWarning GapWarning PrecisionWarning RankWarning "
        "RecallWarning"
    ),
    "weights": (
        "distance_weights gram_weights kernel_weights local_condition metric_weights ridge_regression_weights "
        "simplex_weights"
    ),
}


def __getattr__(name: str) -> object:
    for module, names in _LOCATIONS.items():
        if name in names.split():
            raise AttributeError(f"module 'jaxlle' has no attribute {name!r}: use jaxlle.{module}.{name}.")
    return _load(name)
