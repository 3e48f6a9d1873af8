"""Mutants of the points, the neighbor search and the graphs: see tests/benchmarks/mutants.py."""

POINTS, INTEGERS = "jaxlle/_core/points.py", "jaxlle/_core/integers.py"
LINEAR = "jaxlle/_core/linear.py"
BLOCKWISE, TREE, PROJECTION = (f"jaxlle/neighbors/{name}.py" for name in ("blockwise", "_kdtree", "_projection"))
GRAPH, RADIUS, LOCAL = (f"jaxlle/neighbors/{name}.py" for name in ("graph", "radius", "local"))
APPROXIMATE = "jaxlle/neighbors/approximate.py"
EXACT = "tests/neighbors/test_exact.py"
BOUNDS = "tests/neighbors/test_search_bounds.py"
PRECISE = "tests/test_precision.py -k source"
GRAPHS = "tests/neighbors/test_graph.py"

MUTANTS = [
    (RADIUS, "require_distances(found) <= limit", "require_distances(found) < limit", EXACT + " -k radius"),
    (RADIUS, "most = n - 1 if query is None else n", "most = n - 1", BOUNDS + " -k within_the_radius"),
    (LINEAR, "jnp.dot(a, b, precision=lax.Precision.HIGHEST)", "jnp.dot(a, b)", PRECISE),
    (
        LINEAR,
        'jnp.einsum("...ij,...j->...i", system, u, precision=lax.Precision.HIGHEST)',
        'jnp.einsum("...ij,...j->...i", system, u)',
        PRECISE,
    ),
    (
        LINEAR,
        "pivot = jnp.where(a[j, j] > 0, a[j, j], jnp.nan)",
        "pivot = a[j, j]",
        "tests/core/test_linear.py -k not_positive",
    ),
    (LINEAR, "kept = square > uncertain[j]", "kept = square > 0", "tests/core/test_linear.py -k reflections"),
    (
        LINEAR,
        "jnp.asarray(tol, columns.dtype) ** 2 * jnp.sum",
        "jnp.asarray(tol, columns.dtype) * jnp.sum",
        "tests/core/test_linear.py -k reflections",
    ),
    (
        LINEAR,
        "sign = jnp.where(entry > 0, 1, -1)",
        "sign = jnp.where(entry > 0, -1, 1)",
        "tests/core/test_linear.py -k cancel",
    ),
    (
        POINTS,
        "return np.round(center / grid) * grid if extent > 0 else center",
        "return center",
        EXACT + " -k 'ties_of_integers'",
    ),
    (
        POINTS,
        "center = jnp.round(center / grid) * grid  # see _round_center",
        "center = center + 0 * grid",
        BOUNDS + " -k ties",
    ),
    (
        POINTS,
        "unit = _power_of_two(extent) if bool((high > low).any()) else np.inf",
        "unit = _power_of_two(extent)",
        BOUNDS + " -k equal_points",
    ),
    (POINTS, "jnp.where(equal, jnp.inf, fine)", "fine", BOUNDS + " -k equal_points"),
    (
        POINTS,
        "-(2**24) <= x.min() <= x.max() <= 2**24",
        "-(2**25) <= x.min() <= x.max() <= 2**25",
        "tests/core/test_integers.py -k consecutive",
    ),
    (
        INTEGERS,
        "limit = 2 ** _digits(dtype)",
        "limit = 2 ** (_digits(dtype) + 1)",
        "tests/core/test_integers.py -k consecutive",
    ),
    (INTEGERS, " or int(x.min()) < -limit", "", "tests/core/test_integers.py -k neighbors"),
    (
        POINTS,
        "out[block] = (rows - center) / unit",
        "out[block] = (rows.astype(dtype) - center) / unit",
        EXACT + " -k offset",
    ),
    ("jaxlle/_core/checks.py", "if k < dim:", "if k <= dim:", "tests/core/test_checks.py"),
    (
        "jaxlle/_core/host.py",
        "if b.dtype != jnp.float64:",
        "if b.dtype != jnp.int8:",
        "tests/test_derivatives.py -k bits",
    ),
    (
        "jaxlle/_core/missing.py",
        "missing.reshape(len(missing), -1).any(axis=1)",
        "missing.reshape(len(missing), -1).all(axis=1)",
        "tests/core/test_points.py -k masked",
    ),
    (
        BLOCKWISE,
        "shrunk = 1 - (m + 8) * np.finfo(np.float32).eps",
        "shrunk = np.float32(1)",
        BOUNDS + " -k 'clusters or rounding'",
    ),
    (
        BLOCKWISE,
        "bound = shrunk * queries.squares - 2 * order[:, -1]",
        "bound = queries.squares - 2 * order[:, -1]",
        BOUNDS + " -k 'clusters or rounding'",
    ),
    (
        BLOCKWISE,
        "product - shrunk / 2 * prepared.squares",
        "product - prepared.squares / 2",
        BOUNDS + " -k 'clusters or rounding'",
    ),
    (
        BLOCKWISE,
        "certain = (dist[:, k - 1] ** 2 < bound)",
        "certain = (dist[:, k - 1] < bound)",
        BOUNDS + " -k loose_bounds",
    ),
    (
        BLOCKWISE,
        "dist = jnp.where(others, dist, jnp.inf)",
        "dist = jnp.where(dist > 0, dist, jnp.inf)",
        BOUNDS + " -k only_copy",
    ),
    (
        BLOCKWISE,
        "jnp.where(itself, jnp.inf, dist), options.k",
        "jnp.where(dist > 0, dist, jnp.inf), options.k",
        BOUNDS + " -k only_copy",
    ),
    (
        BLOCKWISE,
        "jnp.where((jnp.arange(n) == own) & exclude_self, jnp.inf, row)",
        "jnp.where((row == 0) & exclude_self, jnp.inf, row)",
        BOUNDS + " -k precomputed",
    ),
    (
        BLOCKWISE,
        "jnp.where((jnp.arange(n) == own) & exclude_self, jnp.inf, row)",
        "jnp.where(jnp.arange(n) == own, jnp.inf, row)",
        BOUNDS + " -k precomputed",
    ),
    (BLOCKWISE, "jnp.finfo(dtype).tiny * 1e8", "jnp.finfo(dtype).tiny * 0", BOUNDS + " -k underflow"),
    (
        BLOCKWISE,
        "with jax.enable_x64(wide):",
        "with jax.enable_x64(False):",
        BOUNDS + " -k concurrently",
    ),
    (
        BLOCKWISE,
        "fixed, fixed_query = lax.stop_gradient((points, query))",
        "fixed, fixed_query = points, query",
        BOUNDS + " -k inside_jit",
        "only the indices are used, which have no derivative; it saves the differentiation of the selection",
    ),
    (BLOCKWISE, "uncertain[remaining], options, report", "remaining, options, report", BOUNDS + " -k leaves_uncertain"),
    (BLOCKWISE, "constant_values=jnp.inf", "constant_values=0", EXACT + " -k 'match_brute_force'"),
    (TREE, "keep = indices != ids[:, None]", "keep = dist > 0", BOUNDS + " -k only_copy"),
    (
        TREE,
        "rank = np.lexsort((indices, dist), axis=1)",
        "rank = np.argsort(dist, axis=1)",
        EXACT + " -k 'own_neighbor or ties_of_integers'",
    ),
    (
        TREE,
        "width = min(available, k + 1)",
        "width = min(available, k)",
        EXACT + " -k 'own_neighbor or ties_of_integers'",
    ),
    (PROJECTION, "np.maximum(left, 0) + 1e-12 * total", "0 * left", EXACT + " -k projection"),
    (
        PROJECTION,
        "return kept / np.sqrt(1 + np.linalg.norm(kept.T @ kept - np.eye(width)))",
        "return kept",
        BOUNDS + " -k basis",
    ),
    (
        PROJECTION,
        "np.quantile(below, share)) - k",
        "np.quantile(below, share) * 0) - k",
        EXACT + " -k projection",
        "the number of candidates changes the time only: rows without enough of them are searched again",
    ),
    (
        GRAPH,
        "if ids.min() < 0 or ids.max() >= n:",
        "if ids.min() < 0 or ids.max() > n:",
        "tests/alignment/test_operator.py -k indices",
    ),
    (
        GRAPH,
        "if num_points is None and (valid & (ids == own)).any():",
        "if (valid & (ids == own)).any():",
        GRAPHS + " -k queries",
    ),
    (GRAPH, "keep[keep.all(axis=1), -1] = False", "keep[:, 0] = False", GRAPHS + " -k itself"),
    (
        GRAPH,
        "(distances[:, -1] == 0).sum()",
        "(distances[:, 0] == 0).sum()",
        "tests/variants/test_standard.py -k dedupe",
    ),
    (
        GRAPH,
        "not float(limits.tiny) <= unit <= float(limits.max)",
        "not unit <= float(limits.max)",
        EXACT + " -k scale",
    ),
    (GRAPH, "listed if mask is None else np.where(mask, listed, -1)", "listed", BOUNDS + " -k saved_graph"),
    (LOCAL, "listed | listed.T", "listed", "tests/neighbors/test_local.py"),
    (
        LOCAL,
        "detour * lengths[0, 1:]) | first",
        "detour * lengths[0, 1:])",
        "tests/neighbors/test_local.py",
        "a point among the k_min nearest has an edge, whose length is the straight distance",
    ),
    (
        "jaxlle/neighbors/_selection.py",
        "_top(-jnp.where(jnp.isnan(dist), jnp.inf, dist), k)",
        "_top(-dist, k)",
        EXACT + " -k not_finite",
    ),
    (APPROXIMATE, "jnp.sqrt(squares) * points.unit", "jnp.sqrt(squares)", "tests/neighbors/test_approximate.py"),
    (
        APPROXIMATE,
        "own[~own.any(axis=1), -1] = True",
        "own[:, -1] |= ~own.any()",
        BOUNDS + " -k recall",
    ),
    (
        APPROXIMATE,
        "jnp.where(jnp.arange(len(norms)) == i, jnp.inf, jnp.maximum(squares, 0))",
        "jnp.where(squares == 0, jnp.inf, jnp.maximum(squares, 0))",
        BOUNDS + " -k only_copy",
    ),
]
