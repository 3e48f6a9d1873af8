"""Mutants of the weights and the alignment: see tests/benchmarks/mutants.py."""

BARYCENTRIC, GRAM, KERNEL, METRIC, SIMPLEX = (
    f"jaxlle/weights/{name}.py" for name in ("barycentric", "gram", "kernel", "metric", "simplex")
)
OPERATOR, COLUMNS, CONNECTIVITY = (f"jaxlle/alignment/{name}.py" for name in ("operator", "_columns", "connectivity"))
WEIGHTS = "tests/weights/test_barycentric.py"
OPERATORS = "tests/alignment/test_operator.py"
CONNECTED = "tests/alignment/test_connectivity.py"

MUTANTS = [
    (
        METRIC,
        "(to_point[:, None] + to_point[None, :] - pairwise) / 2, jnp.ones(ids.shape, matrix.dtype)",
        "(to_point[:, None] + to_point[None, :] - pairwise), jnp.ones(ids.shape, matrix.dtype)",
        "tests/weights/test_weight_cases.py -k all_sources",
    ),
    (
        METRIC,
        "(to_point[:, None] + to_point[None, :] - pairwise) / 2, jnp.ones(ids.shape, points.dtype)",
        "(to_point[:, None] + to_point[None, :] - pairwise), jnp.ones(ids.shape, points.dtype)",
        "tests/weights/test_weight_cases.py -k all_sources",
    ),
    (
        METRIC,
        "jnp.ones(ids.shape, matrix.dtype), extent",
        "jnp.ones(ids.shape, matrix.dtype), extent / extent",
        "tests/weights/test_weight_cases.py -k all_sources",
    ),
    (
        METRIC,
        "jnp.ones(ids.shape, points.dtype), extent",
        "jnp.ones(ids.shape, points.dtype), extent / extent",
        "tests/weights/test_weight_cases.py -k all_sources",
    ),
    (
        METRIC,
        "to_point, pairwise = rows[i, ids], matrix",
        "to_point, pairwise = matrix[i, ids], matrix",
        "tests/weights/test_weight_cases.py -k queries",
    ),
    (
        METRIC,
        ".set(pairs).at[second, first].set(pairs)",
        ".set(pairs)",
        "tests/weights/test_weight_cases.py -k all_sources",
    ),
    (
        GRAM,
        "valid, ridge, unit * extents)",
        "valid, ridge, extents)",
        "tests/weights/test_weight_cases.py -k all_sources",
    ),
    (
        GRAM,
        "counts = jnp.maximum(valid.sum(axis=1), 1)",
        "counts = jnp.full(valid.shape[0], valid.shape[1])",
        "tests/weights/test_weight_cases.py -k masked",
    ),
    (
        GRAM,
        "diagonals = jnp.where(valid, ridges[:, None], 1)",
        "diagonals = ridges[:, None] + 0 * valid",
        "tests/weights/test_weight_cases.py -k no_ridge",
    ),
    (
        GRAM,
        "solutions = solve_positive(systems, targets * keep)",
        "solutions = solve_positive(systems, targets)",
        "tests/weights/test_weight_cases.py -k masked",
    ),
    (
        BARYCENTRIC,
        "values = jnp.asarray(points.values, points.dtype)",
        "values = points.coordinates",
        "tests/weights/test_weight_cases.py -k uncentered",
    ),
    (
        BARYCENTRIC,
        "return distance_weights(points, neighbors, query=query, reg=reg, block_bytes=block_bytes)",
        "return distance_weights(points, neighbors, query=query, block_bytes=block_bytes)",
        "tests/weights/test_weight_cases.py -k all_sources",
    ),
    (
        BARYCENTRIC,
        "(jnp.maximum(values[0], 0) + ridge)",
        "ridge",
        "tests/weights/test_weight_cases.py -k few_neighbors",
    ),
    (
        BARYCENTRIC,
        "unit = jnp.asarray(unit, points.dtype)",
        "unit = jnp.ones((), points.dtype)",
        "tests/weights/test_weight_cases.py -k all_sources",
    ),
    (
        KERNEL,
        "around, center = points[ids], source[i]",
        "around, center = points[ids], points[i]",
        "tests/weights/test_weight_cases.py -k queries",
    ),
    (
        SIMPLEX,
        "_projected_gradient(lax.stop_gradient(system), valid, iterations)",
        "_projected_gradient(lax.stop_gradient(system), valid, 200)",
        "tests/weights/test_weight_cases.py -k few_projected",
    ),
    (
        OPERATOR,
        "columns = jnp.zeros(self.indices.shape[0], size.dtype).at[self.indices].add(size.sum(axis=1))",
        "columns = jnp.zeros(self.indices.shape[0], size.dtype).at[self.indices].add(size.max(axis=1))",
        OPERATORS + " -k norm_bound",
    ),
    (
        OPERATOR,
        "return jnp.sqrt(columns.max() * size.sum(axis=2).max())",
        "return jnp.sqrt(columns.mean() * size.sum(axis=2).max())",
        OPERATORS + " -k norm_bound",
    ),
    (OPERATOR, "if low < 0 or high >= n:", "if high >= n:", OPERATORS + " -k malformed"),
    (OPERATOR, "row_sum > 1e-3 * size", "row_sum > 1e3 * size", OPERATORS + " -k malformed"),
    (
        OPERATOR,
        "jnp.concatenate([weights.sum(axis=1, keepdims=True), -weights], axis=1)",
        "jnp.concatenate([jnp.ones_like(weights[:, :1]), -weights], axis=1)",
        OPERATORS + " -k last_digit",
    ),
    (COLUMNS, "jnp.cumsum(beyond) - 1", "jnp.cumsum(beyond)", OPERATORS + " -k hub"),
    (
        COLUMNS,
        "jnp.where(filled[:, :, None], values[first], 0)",
        "values[first]",
        OPERATORS + " -k 'hub or products_match'",
    ),
    (
        COLUMNS,
        "return width if width * r <= UNROLL else 0",
        "return width",
        OPERATORS + " -k products",
        "the table is only slower where it is wide",
    ),
    (CONNECTIVITY, "for _ in range(2):", "for _ in range(1):", CONNECTED + " -k width"),
    (CONNECTIVITY, "both = reverse.T.tocsr() + reverse", "both = reverse", CONNECTED + " -k width"),
    (
        CONNECTIVITY,
        "((reached == own) & (_fixed_point(lowest, reached) == own))",
        "((reached == own))",
        CONNECTED + " -k closed",
    ),
]
