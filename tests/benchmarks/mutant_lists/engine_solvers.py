"""Mutants of the solvers, the embedding and its derivatives: see tests/benchmarks/mutants.py."""

DENSE, LANDMARK, COARSE, SMOOTHING, ROWS, LINEAR, SPARSE, FACTORS = (
    f"jaxlle/solvers/{name}.py"
    for name in ("dense", "landmark", "coarse", "_smoothing", "rows", "linear", "sparse", "_factors")
)
DEFLATION, PRESCRIBED, CHOICE = (f"jaxlle/solvers/{name}.py" for name in ("_deflation", "prescribed", "_choice"))
EMBED, ISOMETRY, DIAGNOSIS = (f"jaxlle/embedding/{name}.py" for name in ("embed", "isometry", "diagnosis"))
DERIVATIVES = "jaxlle/derivatives.py"
EMBEDDING = "tests/embedding/test_embed.py"
OPTIONS = "tests/solvers/test_options.py"
PARTS = "tests/solvers/test_parts.py"
LANDMARKS = "tests/solvers/test_landmark.py"
PLACES = "tests/semisupervised/test_propagation.py"
DERIVED = "tests/test_derivatives.py"

MUTANTS = [
    (
        DENSE,
        'triangle = _lift_null_pivots(jnp.linalg.qr(reduced, mode="r"))',
        'triangle = jnp.linalg.qr(reduced, mode="r")',
        PARTS + " -k rings",
    ),
    (DENSE, "jnp.where(null[0] < 0, -1, 1)", "1", PARTS + " -k first_axis"),
    (
        DENSE,
        "tol = 50 * jnp.finfo(dtype).eps if options.tol is None else options.tol",
        "tol = 50 * jnp.finfo(dtype).eps",
        OPTIONS + " -k larger_tolerance",
    ),
    (
        DENSE,
        "size = min(count + options.oversample, n - 1)",
        "size = min(count + 6, n - 1)",
        OPTIONS + " -k more_iterated",
    ),
    (DENSE, "s.step < options.max_iterations", "s.step < 60", EMBEDDING + " -k missing_convergence"),
    (
        DENSE,
        "return found._replace(num_components=num_closed_classes(alignment))",
        "return found",
        EMBEDDING + " -k 'components or closed'",
    ),
    (DENSE, "state.change <= state.limit)", "state.change <= 2)", EMBEDDING + " -k missing_convergence"),
    (DENSE, "wanted = max(1, count - 1)", "wanted = 1", EMBEDDING + " -k 'grid or dense_svd'"),
    (
        LANDMARK,
        "if hints.start is None else _pad_with_random(keys[4], hints.start, size, rows)",
        "",
        OPTIONS + " -k options_of",
    ),
    (
        LANDMARK,
        "tol = (3e-4 if values.dtype == jnp.float32 else 1e-6) if options.tol is None else options.tol",
        "tol = 3e-4 if values.dtype == jnp.float32 else 1e-6",
        OPTIONS + " -k options_of",
    ),
    (
        LANDMARK,
        "options.landmarks, options.landmark_neighbors, options.choice",
        "options.landmarks, 8, options.choice",
        OPTIONS + " -k options_of",
    ),
    (
        LANDMARK,
        "options.landmarks, options.landmark_neighbors, options.choice",
        "options.landmarks, options.landmark_neighbors, random_landmarks",
        OPTIONS + " -k options_of",
    ),
    (
        LANDMARK,
        "for solve in (deflation.correct, coarse.correct, deflation.correct, smoother):",
        "for solve in (coarse.correct, smoother):",
        LANDMARKS + " -k few_iterations",
    ),
    (
        EMBED,
        "converged & jnp.isfinite(points).all(), rows",
        "converged, rows",
        OPTIONS + " -k not_finite",
    ),
    (
        EMBED,
        "    try:\n        found = solver(fixed, count, key, hints)",
        "    try:\n        found = solver(fixed, count, key, Hints(hints.points))",
        OPTIONS + " -k receives",
    ),
    (
        EMBED,
        "jnp.minimum(rounding / gap, jnp.pi / 2)",
        "jnp.minimum(rounding * gap, jnp.pi / 2)",
        EMBEDDING + " -k gap_too_small",
    ),
]
