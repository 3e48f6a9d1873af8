"""Mutants of the padding of new points, and of the extensions at rows of the data: see tests/benchmarks/mutants.py."""

LADDER, ROWS = "jaxlle/_core/ladder.py", "jaxlle/extension/_rows.py"
LADDERS, TRAINING_ROWS = "tests/core/test_ladder.py", "tests/extension/test_training_rows.py"
COUNTS = "tests/extension/test_row_counts.py"

MUTANTS = [
    (LADDER, "size = 112 * (size + 1) // 100", "size = 113 * (size + 1) // 100", LADDERS),
    (LADDER, "np.broadcast_to(host[:1]", "np.broadcast_to(0 * host[:1]", LADDERS),
    (
        "jaxlle/neighbors/blockwise.py",
        "pad_rows(query, padded_count(total))",
        "query",
        COUNTS + " -k same_programs",
    ),
    (
        ROWS,
        "jnp.where(primals[0][:, None], tangents[1], 0) + tangents[2]",
        "jnp.where(primals[0][:, None], tangents[1], tangents[2])",
        TRAINING_ROWS,
    ),
    ("jaxlle/extension/eigenfunction.py", "mapped * factors + rest)", "mapped * factors)", TRAINING_ROWS),
    (
        "jaxlle/extension/tangent.py",
        "level = jnp.where(same[:, None], rows[:, 0], rows.mean(axis=1))",
        "level = rows.mean(axis=1)",
        TRAINING_ROWS,
    ),
]
