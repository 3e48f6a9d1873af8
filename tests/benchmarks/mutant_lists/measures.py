"""Mutants of the extensions, the explanations, the metrics and saved maps: see tests/benchmarks/mutants.py."""

EXTENSION = "tests/extension/test_extension_options.py"
BARYCENTRIC = "tests/extension/test_extension_barycentric.py"
EXPLANATION = "tests/test_explanation.py"
BLOCKS = "tests/test_block_bytes.py::test_a_small_block_bounds_every_array_of_a_traced_computation"
SERVING = "tests/test_serving.py"
TRUST = "tests/metrics/test_trustworthiness.py"
CORANKING = "tests/metrics/test_coranking.py"
GEOMETRY = "tests/metrics/test_geometry.py"
FORMULAS = GEOMETRY + "::test_the_measures_agree_with_their_formulas[2]"
PROCRUSTES = "tests/metrics/test_procrustes.py"
PRECISION = "tests/test_precision.py -k in_the_source"

MUTANTS = [
    # new points
    (
        "jaxlle/extension/barycentric.py",
        "weights = barycentric_weights(points, neighbors, query=x_new, reg=reg,",
        "weights = barycentric_weights(points, neighbors, query=x_new,",
        EXTENSION + " -k transforms_use",
    ),
    (
        "jaxlle/extension/barycentric.py",
        "points = prepare_points(x, metric=metric)",
        "points = prepare_points(x)",
        EXTENSION + " -k transforms_use",
    ),
    (
        "jaxlle/extension/barycentric.py",
        "return transform(y_new, y, x, k=k, reg=reg, block_bytes=block_bytes)",
        "return transform(y_new, y, x, k=k, block_bytes=block_bytes)",
        EXTENSION + " -k transforms_use",
    ),
    (
        "jaxlle/extension/barycentric.py",
        "return transform(y_new, y, x, k=k, reg=reg, block_bytes=block_bytes)",
        "return transform(y_new, y, x, k=k, reg=reg)",
        BLOCKS + "[inverse_transform]",
    ),
    (
        "jaxlle/extension/barycentric.py",
        "require_distances(neighbors)[:, 0] == 0",
        "require_distances(neighbors)[:, 0] < 0",
        BARYCENTRIC + " -k own_embedding",
    ),
    (
        "jaxlle/extension/bank.py",
        "weights = barycentric_weights(points, found, query=z, reg=reg,",
        "weights = barycentric_weights(points, found, query=z,",
        EXTENSION + " -k projection",
    ),
    (
        "jaxlle/extension/bank.py",
        "    if found is None:\n        found = knn(",
        "    if True:\n        found = knn(",
        EXTENSION + " -k projection",
    ),
    (
        "jaxlle/extension/drift.py",
        'side="left"',
        'side="right"',
        EXTENSION + " -k training_residuals",
    ),
    (
        "jaxlle/extension/drift.py",
        "below.astype(residuals.dtype) / reference.shape[0]",
        "below.astype(residuals.dtype) / (reference.shape[0] - 1)",
        EXTENSION + " -k training_residuals",
    ),
    (
        "jaxlle/extension/drift.py",
        "quantiles >= level",
        "quantiles > level",
        EXTENSION + " -k training_residuals",
    ),
    (
        "jaxlle/extension/drift.py",
        "residuals = project(z, bank, k, reg=reg).residuals",
        "residuals = project(z, bank, k).residuals",
        EXTENSION + " -k training_residuals",
    ),
    (
        "jaxlle/extension/drift.py",
        "reference = training_residuals(bank, k, reg=reg) if reference is None",
        "reference = training_residuals(bank, k) if reference is None",
        EXTENSION + " -k training_residuals",
    ),
    (
        "jaxlle/extension/drift.py",
        "return project(points.values, points, k, reg=reg, neighbors=knn(points, k)).residuals",
        "return project(points.values, points, k, neighbors=knn(points, k)).residuals",
        EXTENSION + " -k training_residuals",
    ),
    (
        "jaxlle/extension/drift.py",
        "return project(points.values, points, k, reg=reg, neighbors=knn(points, k)).residuals",
        "return project(points.values, points, k, reg=reg).residuals",
        EXTENSION + " -k training_residuals",
    ),
    (
        "jaxlle/extension/eigenfunction.py",
        "(shift - 1) / (shift - values)",
        "shift / (shift - values)",
        EXTENSION + " -k eigenfunction",
    ),
    (
        "jaxlle/extension/eigenfunction.py",
        "k=k, reg=reg, block_bytes=block_bytes)",
        "k=k, block_bytes=block_bytes)",
        EXTENSION + " -k eigenfunction",
    ),
    (
        "jaxlle/extension/kernel.py",
        "widths = width * jnp.where(radii > 0, radii, 1)",
        "widths = jnp.where(radii > 0, radii, 1)",
        EXTENSION + " -k kernel_map",
    ),
    (
        "jaxlle/extension/kernel.py",
        "[chosen, -1]",
        "[chosen, 0]",
        EXTENSION + " -k kernel_map",
    ),
    (
        "jaxlle/extension/kernel.py",
        "/ widths[:, None]) ** 2, axis=1) / 2)",
        "/ widths[:, None]) ** 2, axis=1))",
        EXTENSION + " -k kernel_map",
    ),
    (
        "jaxlle/extension/tangent.py",
        "dim = min(y.shape[1], d) if dim is None else dim",
        "dim = min(y.shape[1], d)",
        EXTENSION + " -k tangent",
    ),
    (
        "jaxlle/extension/tangent.py",
        't = source.patch(ids, keep, dim, "mean").coordinates',
        't = source.patch(ids, keep, dim, "point").coordinates',
        EXTENSION + " -k tangent",
    ),
    # explanations
    (
        "jaxlle/explanation.py",
        "jnp.zeros_like(y).at[row].set(e)",
        "jnp.zeros_like(y).at[0].set(e)",
        EXPLANATION + " -k influence",
    ),
    (
        "jaxlle/explanation.py",
        "found = project(z, bank, k, reg=reg, neighbors=neighbors, block_bytes=block_bytes)",
        "found = project(z, bank, k, reg=reg, block_bytes=block_bytes)",
        EXPLANATION + " -k given_neighbors",
    ),
    (
        "jaxlle/explanation.py",
        "found = project(z, bank, k, reg=reg, neighbors=neighbors, block_bytes=block_bytes)",
        "found = project(z, bank, k, neighbors=neighbors, block_bytes=block_bytes)",
        EXPLANATION + " -k their_formulas",
    ),
    (
        "jaxlle/explanation.py",
        "differences = jnp.where(valid[:, None], differences / extent, 0)",
        "differences = differences / extent",
        EXPLANATION + " -k given_neighbors",
    ),
    (
        "jaxlle/explanation.py",
        "jnp.where(valid[..., None], changes, 0) ** 2",
        "changes**2",
        EXPLANATION + " -k given_neighbors",
    ),
    (
        "jaxlle/explanation.py",
        "system = gram + reg * jnp.where(trace > 0, trace, 1)",
        "system = gram + reg * jnp.where(trace > 0, trace / len(gram), 1)",
        EXPLANATION + " -k their_formulas",
    ),
    (
        "jaxlle/explanation.py",
        "        block_bytes,\n        2 * ids.shape[1]",
        "        BLOCK_BYTES,\n        2 * ids.shape[1]",
        BLOCKS + "[explain]",
    ),
    # precision
    (
        "jaxlle/explanation.py",
        'jnp.einsum("qk,qkc->qc", weights, changes, precision=lax.Precision.HIGHEST)',
        'jnp.einsum("qk,qkc->qc", weights, changes)',
        PRECISION,
    ),
    (
        "jaxlle/losses/lle.py",
        "weights, y[:, None] - y_neighbors, precision=lax.Precision.HIGHEST)",
        "weights, y[:, None] - y_neighbors)",
        PRECISION,
    ),
    (
        "jaxlle/losses/lle.py",
        "blocks, y - y[:, :1], precision=lax.Precision.HIGHEST)",
        "blocks, y - y[:, :1])",
        PRECISION,
    ),
    (
        "jaxlle/losses/reconstruction.py",
        "weights, x_neighbors - x[:, None], precision=lax.Precision.HIGHEST)",
        "weights, x_neighbors - x[:, None], precision=lax.Precision.DEFAULT)",
        PRECISION,
    ),
    # saved maps
    (
        "jaxlle/serving.py",
        '"reg": _reg_to_json(known.reg)}',
        '"reg": _reg_to_json(1e-3)}',
        SERVING + " -k saved_map",
    ),
    # metrics
    (
        "jaxlle/metrics/trustworthiness.py",
        "(n * k * (2 * n - 3 * k - 1)), base.dtype)",
        "(n * k * (2 * n - 3 * k)), base.dtype)",
        TRUST + " -k matches_scikit",
    ),
    (
        "jaxlle/metrics/trustworthiness.py",
        "return 1 - 2 * mean / (2 * n - 3 * k - 1)",
        "return 1 - 2 * mean / (2 * n - 3 * k)",
        TRUST + " -k nor_jit",
    ),
    (
        "jaxlle/metrics/trustworthiness.py",
        "return _rank_score(embedding.coordinates, data, k, block_bytes, progress)",
        "return _rank_score(data.coordinates, embedding, k, block_bytes, progress)",
        TRUST + " -k continuity",
    ),
    (
        "jaxlle/metrics/_ranks.py",
        "limit = jnp.where(columns < index[:, None], above[:, None], key[:, None])",
        "limit = jnp.where(columns <= index[:, None], above[:, None], key[:, None])",
        TRUST + " -k ties",
    ),
    (
        "jaxlle/metrics/_ranks.py",
        "yield np.minimum(ids, n - 1), ids < n",
        "yield np.minimum(ids, n - 1), ids <= n",
        "tests/metrics/test_density.py -k agrees",
    ),
    (
        "jaxlle/metrics/coranking.py",
        "int(lcmc.argmax()) + 1",
        "int(lcmc.argmax())",
        CORANKING + " -k curves",
    ),
    (
        "jaxlle/metrics/coranking.py",
        "weights=1 / sizes[:-1]",
        "weights=None",
        CORANKING + " -k curves",
    ),
    (
        "jaxlle/metrics/density.py",
        "1 / (sigma * largest)",
        "1 / (sigma**2 * largest)",
        "tests/metrics/test_density.py -k agrees",
    ),
    (
        "jaxlle/metrics/rank_errors.py",
        "np.abs(2 * ranks - n - 1)",
        "np.abs(2 * ranks - n)",
        "tests/metrics/test_rank_errors.py -k agree",
    ),
    (
        "jaxlle/metrics/geometry.py",
        "average = jnp.full(n, 1 / (n - 1), x.dtype)",
        "average = jnp.full(n, 1 / n, x.dtype)",
        FORMULAS,
    ),
    (
        "jaxlle/metrics/geometry.py",
        "return jnp.mean(kept + gained) / 2 / jnp.mean",
        "return jnp.mean(kept + gained) / jnp.mean",
        FORMULAS,
    ),
    (
        "jaxlle/metrics/geometry.py",
        "return jnp.sqrt(size + 2 * area)",
        "return jnp.sqrt(size + area)",
        FORMULAS,
    ),
    (
        "jaxlle/metrics/geometry.py",
        "data, embedding = prepare_pair(x, y, 2)",
        "data, embedding = prepare_pair(x, y)",
        GEOMETRY + " -k two_points",
    ),
    (
        "jaxlle/metrics/procrustes.py",
        "ratio = jnp.sum(cross * rotation) / size_a",
        "ratio = jnp.sqrt(size_b / size_a)",
        PROCRUSTES + " -k agrees_with_scipy",
    ),
    (
        "jaxlle/metrics/procrustes.py",
        "return jnp.mean(jnp.sum(residual**2, axis=0) / total)",
        "return jnp.sum(residual**2) / jnp.sum(total)",
        PROCRUSTES + " -k one_minus",
    ),
    (
        "jaxlle/metrics/labels.py",
        "votes = np.sort(classes[np.asarray(knn(points, k).indices)], axis=1)",
        "votes = classes[np.asarray(knn(points, k).indices)]",
        "tests/metrics/test_labels.py -k tie",
    ),
]
