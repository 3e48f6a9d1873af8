"""Mutants of the variants, the dimension and the selection of k: see tests/benchmarks/mutants.py."""

PIPELINE, SUPERVISED, ROBUST, FUSION, GENERATIVE, GEODESIC, GUIDED, INCREMENTAL = (
    f"jaxlle/variants/{name}.py"
    for name in ("_pipeline", "supervised", "robust", "fusion", "generative", "geodesic", "guided", "incremental")
)
ITERATIVE, KERNEL, LANDMARKS, LINEAR, DEFORMED, DISCRIMINANT = (
    f"jaxlle/variants/{name}.py" for name in ("iterative", "kernel", "landmarks", "linear", "deformed", "discriminant")
)
DIMENSION, CHOOSING = "jaxlle/dimension.py", "jaxlle/choosing.py"
T = "tests/variants/test_"
FRAMES, FRAME_TESTS = "jaxlle/weights/frames.py", "tests/variants/test_tangent_variants.py"
SMALL, ADDED = T + "small_cases.py", T + "added_points.py"

MUTANTS = [
    (
        PIPELINE,
        "distinct = prepare_points(points.values[first[order]], metric=points.metric, drop_constant=True)",
        "distinct = prepare_points(points.values[first[order]], drop_constant=True)",
        SMALL + " -k copies_are_removed",
    ),
    (
        PIPELINE,
        "rows = np.flatnonzero(position[copies] >= 0)",
        "rows = np.arange(len(copies))",
        SMALL + " -k outside_the_largest",
    ),
    (PIPELINE, 'if options.disconnected == "largest":', "if False:", SMALL + " -k need_all_points"),
    (PIPELINE, "if points.metric is not euclidean:", "if False:", SMALL + " -k another_metric"),
    (
        PIPELINE,
        'strength = float(getattr(as_regularizer(reg), "strength", 1e-3))',
        "strength = 1e-3",
        SMALL + " -k automatic_k",
    ),
    (ROBUST, "keep.sum() / 2", "keep.sum()", T + "robust.py -k reweighted"),
    (ROBUST, "at[ids].add(keep.astype(points.dtype))", "at[ids].add(1)", T + "robust.py -k reweighted"),
    (
        ROBUST,
        "fixed > threshold * jnp.median(fixed)",
        "fixed > threshold * jnp.mean(fixed)",
        T + "robust.py -k weighted_alignment",
    ),
    (
        ROBUST,
        "embed(weighted_alignment(alignment, scores), dim",
        "embed(alignment, dim",
        T + "robust.py -k weighted_alignment",
    ),
    (
        ROBUST,
        "other = ids != jnp.arange(n, dtype=ids.dtype)[:, None]",
        "other = require_distances(found) > 0",
        T + "robust.py -k weighted_alignment",
    ),
    (
        ROBUST,
        "square_root(scores)",
        "scores",
        T + "robust.py -k weighted",
    ),
    (
        ROBUST,
        "weights = lax.fori_loop(0, iterations, reweight, keep)",
        "weights = lax.fori_loop(0, 30, reweight, keep)",
        T + "robust.py -k reweighted",
    ),
    (ROBUST, "far = distances_from_plane(weights)", "far = distances_from_plane(keep)", T + "robust.py -k reweighted"),
    (
        FUSION,
        "alignment = average_alignments(alignments, shares=shares)",
        "alignment = average_alignments(alignments)",
        SMALL + " -k given_shares",
    ),
    (GENERATIVE, "system = system + _normalized_gram(positions, i, ids)", "pass", SMALL + " -k posterior"),
    (GENERATIVE, "return procrustes(out.points, positions).aligned", "return out.points", SMALL + " -k generated"),
    (
        GENERATIVE,
        "keys = jax.random.split(options.random_key, num_samples)",
        "keys = jax.random.split(jax.random.key(0), num_samples)",
        SMALL + " -k generated",
    ),
    (
        GENERATIVE,
        "jnp.mean(jnp.sum((samples - out.points) ** 2, axis=2), axis=0)",
        "jnp.sum(jnp.sum((samples - out.points) ** 2, axis=2), axis=0)",
        SMALL + " -k generated",
    ),
    (
        GENERATIVE,
        "noise=noise, reg=reg, block_bytes=options.block_bytes)",
        "reg=reg, block_bytes=options.block_bytes)",
        SMALL + " -k generated",
    ),
    (
        GEODESIC,
        "keep = np.ones(ids.shape, bool) if graph.mask is None else np.asarray(graph.mask)",
        "keep = np.ones(ids.shape, bool)",
        T + "geodesic.py -k no_edges",
    ),
    (
        GEODESIC,
        "neighbors = geodesic_neighbors(fixed, k, graph_k=graph_k, block_bytes=options.block_bytes)",
        "neighbors = geodesic_neighbors(fixed, k, block_bytes=options.block_bytes)",
        SMALL + " -k isolle",
    ),
    (
        GUIDED,
        "size = jnp.sqrt(jnp.asarray(y.shape[0], y.dtype)) if covariance else 1",
        "size = 1",
        SMALL + " -k scales_its_columns",
    ),
    (
        GUIDED,
        "left = levels[dim] - levels[dim - 1]",
        "left = levels[dim - 1] - levels[0]",
        SMALL + " -k scales_its_columns",
    ),
    (GUIDED, "kept.sum(axis=0) / jnp.maximum(known.sum(), 1)", "kept.mean(axis=0)", SMALL + " -k scales_its_columns"),
    (GUIDED, "features[plain.rows],", "features[: len(plain.rows)],", SMALL + " -k guided_lle_of"),
    (
        INCREMENTAL,
        "other = own.indices != jnp.arange(n, n + q, dtype=own.indices.dtype)[:, None]",
        "other = jnp.broadcast_to(jnp.arange(k + 1) > 0, own.indices.shape)",
        ADDED + " -k copies",
    ),
    (
        INCREMENTAL,
        "order = jnp.argsort(dist, axis=1, stable=True)[:, :k]",
        "order = jnp.argsort(dist, axis=1)[:, ::-1][:, :k]",
        ADDED + " -k copies",
    ),
    (
        INCREMENTAL,
        "_FAR * float(require_distances(state.neighbors)[:n, -1].max())",
        "float(require_distances(state.neighbors)[:n, -1].max())",
        ADDED + " -k farther",
    ),
    (INCREMENTAL, "far=np.concatenate([state.far, is_far])", "far=is_far", ADDED + " -k farther"),
    (
        INCREMENTAL,
        "bool(angle > state.settings.tolerance) or total > 2 * fitted",
        "bool(angle > state.settings.tolerance)",
        ADDED + " -k refit",
    ),
    (
        INCREMENTAL,
        "bool(angle > state.settings.tolerance) or total > 2 * fitted",
        "total > 2 * fitted",
        ADDED + " -k refit",
    ),
    (INCREMENTAL, "cost / jnp.maximum(jnp.sum(values**2)", "cost / jnp.maximum(jnp.sum(values)", ADDED + " -k growth"),
    (INCREMENTAL, "return jnp.linalg.qr(y - y.mean(axis=0))[0]", "return jnp.linalg.qr(y)[0]", ADDED + " -k centered"),
]
