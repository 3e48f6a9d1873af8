"""Mutants of estimators, commands, files, data sets, plots and sharding: see tests/benchmarks/mutants.py."""

ESTIMATORS = "tests/sklearn/test_estimator_options.py"
COMMANDS = "tests/cli/test_embed_options.py"
OPTIONS = COMMANDS + "::test_the_options_of_a_method_are_those_of_its_function"
SERVING = "tests/test_serving.py"
DEFORMED = "tests/test_deformed_digits.py"
MANIFOLDS = "tests/test_datasets.py"
RESULTS = "tests/plot/test_results.py"
SCATTER = "tests/plot/test_scatter.py"
DISTANCES = "tests/test_distances.py"
RIDGES = "tests/test_regularizers.py"
SHARDS = "tests/test_sharding.py -k three"

MUTANTS = [
    # scikit-learn
    ("jaxlle/sklearn/lle.py", "partial(lle, reg=self.reg)", "partial(lle)", ESTIMATORS + " -k 'decide or selects'"),
    (
        "jaxlle/sklearn/lle.py",
        "partial(modified_lle, reg=self.reg)",
        "partial(modified_lle)",
        ESTIMATORS + " -k selects",
    ),
    (
        "jaxlle/sklearn/lle.py",
        "return transform(X, self._fit_X, y, k=self.n_neighbors_, reg=self.reg, metric=self.metric)",
        "return transform(X, self._fit_X, y, k=self.n_neighbors_, metric=self.metric)",
        ESTIMATORS + " -k points_of",
    ),
    (
        "jaxlle/sklearn/lle.py",
        "return transform(X, self._fit_X, y, k=self.n_neighbors_, reg=self.reg, metric=self.metric)",
        "return transform(X, self._fit_X, y, k=self.n_neighbors_, reg=self.reg)",
        ESTIMATORS + " -k points_of",
    ),
    (
        "jaxlle/sklearn/lle.py",
        "self._fit_X, k=self.n_neighbors_, reg=self.reg)",
        "self._fit_X, k=self.n_neighbors_)",
        ESTIMATORS + " -k points_of",
    ),
    (
        "jaxlle/sklearn/lle.py",
        "            solver=self._solver(),\n            metric=self.metric,",
        "            solver=self._solver(),",
        ESTIMATORS + " -k decide",
    ),
    (
        "jaxlle/sklearn/lle.py",
        "SparseLU(tol=self.tol, max_iterations=self.max_iter)",
        "SparseLU(max_iterations=self.max_iter)",
        ESTIMATORS + " -k names_of",
    ),
    (
        "jaxlle/sklearn/lle.py",
        "DenseQR(max_iterations=self.max_iter)",
        "DenseQR()",
        ESTIMATORS + " -k names_of",
    ),
    (
        "jaxlle/sklearn/lle.py",
        'neighbors=None if algorithm == "auto" else knn(X, k, metric=self.metric, algorithm=algorithm),',
        "neighbors=None,",
        ESTIMATORS + " -k names_of",
    ),
    (
        "jaxlle/sklearn/lle.py",
        "return NearestNeighbors(n_neighbors=self.n_neighbors_,",
        "return NearestNeighbors(n_neighbors=self.n_neighbors_ - 1,",
        ESTIMATORS + " -k points_of",
    ),
    (
        "jaxlle/sklearn/_base.py",
        'reg: Any = getattr(self, "reg", 1e-3)',
        "reg: Any = 1e-3",
        ESTIMATORS + " -k combined",
    ),
    (
        "jaxlle/sklearn/_base.py",
        '            "reg": self.reg,\n',
        "",
        ESTIMATORS + " -k same_parameters",
    ),
    (
        "jaxlle/sklearn/_base.py",
        '            "solver": self.solver,\n',
        "",
        ESTIMATORS + " -k solver_is",
    ),
    (
        "jaxlle/sklearn/_base.py",
        "return EmbedOptions(key=jax.random.key(seed))",
        "return EmbedOptions(key=jax.random.key(0 * seed))",
        ESTIMATORS + " -k seed",
    ),
    (
        "jaxlle/sklearn/_base.py",
        "np.sum(self.result_.singular_values.astype(np.float64) ** 2)",
        "np.sum(self.result_.singular_values.astype(np.float64))",
        ESTIMATORS + " -k decide",
    ),
    (
        "jaxlle/sklearn/robust.py",
        "threshold=self.threshold, ",
        "",
        ESTIMATORS + " -k same_parameters",
    ),
    (
        "jaxlle/sklearn/geodesic.py",
        "graph_k=self.graph_neighbors, ",
        "",
        ESTIMATORS + " -k same_parameters",
    ),
    (
        "jaxlle/sklearn/landmarks.py",
        "            reg=self.reg,\n",
        "",
        ESTIMATORS + " -k same_parameters",
    ),
    (
        "jaxlle/sklearn/landmarks.py",
        "min(self.landmark_neighbors, X.shape[0] - 1 if count is None else count)",
        "self.landmark_neighbors",
        ESTIMATORS + " -k at_most",
    ),
    (
        "jaxlle/sklearn/supervised.py",
        "rule = Shift(self.alpha) if self.rule is None else self.rule",
        "rule = Shift(self.alpha)",
        ESTIMATORS + " -k rule",
    ),
    (
        "jaxlle/sklearn/kernel.py",
        "kernel, query=query, reg=self.reg)",
        "kernel, query=query)",
        ESTIMATORS + " -k combined",
    ),
    (
        "jaxlle/sklearn/kernel.py",
        "1 / (self._fit_X.shape[1] * (float(self._fit_X.var()) or 1))",
        "1 / (self._fit_X.shape[1] * (float(self._fit_X.std()) or 1))",
        ESTIMATORS + " -k bandwidth",
    ),
    (
        "jaxlle/sklearn/linear.py",
        "return npe(X, self.n_components, k=self.n_neighbors, reg=self.reg)",
        "return npe(X, self.n_components, k=self.n_neighbors)",
        ESTIMATORS + " -k same_parameters",
    ),
    (
        "jaxlle/sklearn/linear.py",
        "return onpp(X, self.n_components, k=self.n_neighbors, reg=self.reg)",
        "return npe(X, self.n_components, k=self.n_neighbors, reg=self.reg)",
        ESTIMATORS + " -k same_parameters",
    ),
    (
        "jaxlle/sklearn/linear.py",
        "np.asarray(self.map_.matrix / self.map_.unit).T",
        "np.asarray(self.map_.matrix).T",
        ESTIMATORS + " -k combined",
    ),
    # commands
    (
        "jaxlle/cli/_methods.py",
        "return lle_alignment(request.x, reg=request.args.reg, **request.graph)",
        "return lle_alignment(request.x, **request.graph)",
        OPTIONS + "[standard]",
    ),
    (
        "jaxlle/cli/_methods.py",
        "modified_alignment(request.x, request.args.dim, reg=request.args.reg, **request.graph)",
        "modified_alignment(request.x, request.args.dim, **request.graph)",
        OPTIONS + "[modified]",
    ),
    (
        "jaxlle/cli/_methods.py",
        "rule=Shift(request.args.alpha)",
        "rule=Shift(1.0)",
        OPTIONS + "[supervised]",
    ),
    (
        "jaxlle/cli/_methods.py",
        "k=request.k, reg=args.reg, solver=solver, options=options)",
        "k=request.k, solver=solver, options=options)",
        OPTIONS + "[robust]",
    ),
    (
        "jaxlle/cli/_methods.py",
        '"sparse": solvers.SparseLU(), "landmark": solvers.Landmark()',
        '"sparse": solvers.SparseLU(), "landmark": solvers.DenseQR()',
        COMMANDS + " -k solver",
    ),
    (
        "jaxlle/cli/_methods.py",
        "    options = EmbedOptions(key=jax.random.key(request.args.seed))\n",
        "    options = EmbedOptions()\n",
        COMMANDS + " -k landmarks_follow",
    ),
    (
        "jaxlle/cli/_pipeline.py",
        "neighbors = knn(request.x, request.k, metric=request.args.metric, progress=progress)",
        "neighbors = knn(request.x, request.k, progress=progress)",
        OPTIONS + "[standard]",
    ),
    (
        "jaxlle/cli/_embed.py",
        "local_condition(data.points, result.neighbors, reg=args.reg)",
        "local_condition(data.points, result.neighbors)",
        OPTIONS + "[standard]",
    ),
    (
        "jaxlle/cli/_report.py",
        "result.embeddings[0], reg=args.reg, **local)",
        "result.embeddings[0], **local)",
        "tests/cli/test_report_command.py -k prints",
    ),
    (
        "jaxlle/cli/_choose.py",
        "k, reg = grid.best(args.criterion)",
        "k, reg = grid.best()",
        "tests/cli/test_choose_command.py",
    ),
    (
        "jaxlle/cli/_choose.py",
        "regs=args.regs, ",
        "",
        "tests/cli/test_choose_command.py",
    ),
    (
        "jaxlle/cli/_summary.py",
        "near = min(result.neighbors.indices.shape[1], (len(kept) - 1) // 2)",
        "near = min(result.neighbors.indices.shape[1], len(kept) // 2)",
        "tests/cli/test_embed_command.py -k two_points",
    ),
    # files
    (
        "jaxlle/serving.py",
        "k=self.k, reg=self.reg)",
        "k=self.k)",
        SERVING + " -k saved_map",
    ),
    # data sets
    (
        "jaxlle/datasets/real.py",
        "maps = jnp.eye(2) + 0.15 * jax.random.normal(",
        "maps = jnp.eye(2) + 0.15**2 * jax.random.normal(",
        DEFORMED,
    ),
    (
        "jaxlle/datasets/real.py",
        "source = matmul(grid, linear.T) + middle + shift",
        "source = matmul(grid, linear.T) + middle - shift",
        DEFORMED + " -k shifted",
    ),
    (
        "jaxlle/datasets/real.py",
        "middle = jnp.array([h - 1, w - 1]) / 2",
        "middle = jnp.array([h, w]) / 2",
        DEFORMED + " -k shifted",
    ),
    (
        "jaxlle/datasets/real.py",
        "real.labels[np.asarray(chosen)]",
        "real.labels[np.sort(chosen)]",
        DEFORMED + " -k deviations",
    ),
    (
        "jaxlle/datasets/manifolds.py",
        "points + noise * jax.random.normal(key, points.shape)",
        "points + noise**2 * jax.random.normal(key, points.shape)",
        MANIFOLDS + " -k noise",
    ),
    (
        "jaxlle/datasets/manifolds.py",
        'cell: Int[Array, " n"] = cell + (cell >= 4)',
        'cell: Int[Array, " n"] = cell + (cell > 4)',
        MANIFOLDS + " -k hole",
    ),
    (
        "jaxlle/datasets/manifolds.py",
        "arc = (t * jnp.sqrt(1 + t**2) + jnp.arcsinh(t)) / 2",
        "arc = t * jnp.sqrt(1 + t**2) / 2",
        MANIFOLDS + " -k spiral",
    ),
    # distances and ridges
    (
        "jaxlle/distances.py",
        "return a / jnp.where(length > 0, length, 1)",
        "return a / length",
        DISTANCES + " -k zero",
    ),
    (
        "jaxlle/distances.py",
        "return _norm(_difference(unit_vector(a), unit_vector(b))) ** 2 / 2",
        "return 1 - jnp.sum(unit_vector(a) * unit_vector(b))",
        DISTANCES + " -k digits",
    ),
    (
        "jaxlle/distances.py",
        "return jnp.max(jnp.abs(_difference(a, b)))",
        "return jnp.max(_difference(a, b))",
        DISTANCES + " -k scipy",
    ),
    (
        "jaxlle/distances.py",
        "positive = ~(x <= 0)",
        "positive = x > 0",
        DISTANCES + " -k kernel",
    ),
    (
        "jaxlle/regularizers.py",
        "jnp.where(trace > 0, trace / count, 1)",
        "jnp.where(trace > 0, trace / len(gram), 1)",
        RIDGES + " -k formulas",
    ),
    (
        "jaxlle/regularizers.py",
        "jnp.asarray(self.strength, gram.dtype) / unit / unit",
        "jnp.asarray(self.strength, gram.dtype) / unit",
        RIDGES + " -k formulas",
    ),
    (
        "jaxlle/regularizers.py",
        "left = ridges[:, None] / (values + ridges[:, None])",
        "left = ridges[:, None] / (values + 2 * ridges[:, None])",
        RIDGES + " -k definition",
    ),
    (
        "jaxlle/regularizers.py",
        "scores = self.scores(lax.stop_gradient(gram), lax.stop_gradient(shares * trace))",
        "scores = self.scores(lax.stop_gradient(gram), lax.stop_gradient(shares))",
        RIDGES + " -k lowest",
    ),
    # plots
    (
        "jaxlle/plot/results.py",
        "chosen = f.argmax(axis=1) if output is None else np.full(len(f), output)",
        "chosen = f.argmax(axis=1)",
        RESULTS + " -k headings",
    ),
    (
        "jaxlle/plot/results.py",
        'np.argsort(-np.abs(shares), kind="stable")',
        'np.argsort(-shares, kind="stable")',
        RESULTS + " -k headings",
    ),
    (
        "jaxlle/plot/results.py",
        'f"gap {s[dim] - s[dim - 1]:.2g}", dim + 1,',
        'f"gap {s[dim] - s[dim - 1]:.2g}", dim,',
        RESULTS + " -k marks",
    ),
    (
        "jaxlle/plot/results.py",
        "values = np.where(grid.num_components == 1, getattr(grid, criterion), np.nan)",
        "values = getattr(grid, criterion)",
        RESULTS + " -k frames",
    ),
    (
        "jaxlle/plot/scatter.py",
        "places[ids[keep]]",
        "places[rows]",
        SCATTER + " -k one_line",
    ),
    (
        "jaxlle/plot/scatter.py",
        "ax.scatter(*places[order].T, color=colors[order], **style)",
        "ax.scatter(*places[order].T, color=colors, **style)",
        SCATTER + " -k has_its_color",
    ),
    # sharding
    (
        "jaxlle/sharding.py",
        "out = jax.tree.map(lambda a: a[:n], mapped(padded, replicated))",
        "out = mapped(padded, replicated)",
        SHARDS,
    ),
    (
        "jaxlle/sharding.py",
        "x = points.coordinates if named else ",
        "x = points.coordinates if True else ",
        SHARDS,
    ),
    (
        "jaxlle/sharding.py",
        "weights = _weights(points, neighbors, as_regularizer(reg), mesh,",
        "weights = _weights(points, neighbors, as_regularizer(1e-3), mesh,",
        SHARDS,
    ),
    (
        "jaxlle/sharding.py",
        "return _solve_weights(points.coordinates, neighbors, ridge, unit, mesh, block_bytes)",
        "return _solve_weights(points.coordinates, neighbors, ridge, jnp.ones_like(unit), mesh, block_bytes)",
        SHARDS,
    ),
]
