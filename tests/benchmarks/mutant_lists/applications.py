"""Mutants of the losses, the networks, the metrics, the extensions and the explanations: see tests/benchmarks/mutants.py."""

LOSSES = "tests/losses/test_loss_options.py"
FORMULAS = "tests/losses/test_losses.py"
BATCHES = "tests/losses/test_batches.py"
STEP = "tests/nn/test_train_step.py"
HEAD = "tests/nn/test_head.py"
LAST = "tests/nn/test_last_layer.py -k new_last_layer"

MUTANTS = [
    # losses
    (
        "jaxlle/losses/lle.py",
        "weights = weights if weight_gradient else lax.stop_gradient(weights)\n",
        "weights = jnp.asarray(weights)\n",
        LOSSES + " -k on_request",
    ),
    (
        "jaxlle/losses/lle.py",
        "weights = weights if weight_gradient else lax.stop_gradient(weights)\n",
        "weights = lax.stop_gradient(weights)\n",
        LOSSES + " -k on_request",
    ),
    (
        "jaxlle/losses/lle.py",
        "blocks = blocks if block_gradient else lax.stop_gradient(blocks)\n",
        "blocks = jnp.asarray(blocks)\n",
        LOSSES + " -k on_request",
    ),
    (
        "jaxlle/losses/lle.py",
        "return reduce_anchors(jnp.sum(errors**2, axis=1), where, reduction, axis_name)",
        'return reduce_anchors(jnp.sum(errors**2, axis=1), where, "mean", axis_name)',
        LOSSES + " -k 'sum_and_the_mean or absent'",
    ),
    (
        "jaxlle/losses/lle.py",
        "jnp.sum(errors**2, axis=(1, 2)), where, reduction, axis_name)",
        "jnp.mean(errors**2, axis=(1, 2)), where, reduction, axis_name)",
        FORMULAS + " -k dense_product",
    ),
    (
        "jaxlle/losses/lle.py",
        "weights = barycentric_weights(x, neighbors, reg=reg)",
        "weights = barycentric_weights(x, neighbors)",
        LOSSES + " -k within",
    ),
    (
        "jaxlle/losses/lle.py",
        "        mask=neighbors.mask,\n        weight_gradient=weight_gradient,",
        "        weight_gradient=weight_gradient,",
        LOSSES + " -k within",
    ),
    (
        "jaxlle/losses/lle.py",
        "        weight_gradient=weight_gradient,\n        reduction=reduction,\n        axis_name=axis_name,",
        "        weight_gradient=weight_gradient,\n        reduction=reduction,",
        LOSSES + " -k within",
    ),
    (
        "jaxlle/losses/lle.py",
        "check_weights(weights, mask if where is None else _anchors_in_mask(mask, where, weights))",
        "check_weights(weights, mask)",
        FORMULAS + " -k lle_loss_is_its_formula",
    ),
    (
        "jaxlle/losses/lle.py",
        "p = jax.nn.softmax(mask_out(logits, where), axis=-1)",
        "p = jax.nn.softmax(mask_out(logits, where), axis=0)",
        FORMULAS + " -k instead_of_logits",
    ),
    (
        "jaxlle/losses/pairs.py",
        "costs = squares.sum(axis=1) / _neighbor_counts(mask, squares)",
        "costs = squares.mean(axis=1)",
        LOSSES + " -k absent",
    ),
    (
        "jaxlle/losses/pairs.py",
        'jnp.sum(counted(affinities, "affinities", where, mask) * squares, axis=1)',
        'jnp.mean(counted(affinities, "affinities", where, mask) * squares, axis=1)',
        FORMULAS + " -k laplacian_and_margin",
    ),
    (
        "jaxlle/losses/pairs.py",
        "_squared_distances(y, y_others, mask)), 0) ** 2",
        "_squared_distances(y, y_others, mask)), 0)",
        FORMULAS + " -k laplacian_and_margin",
    ),
    (
        "jaxlle/losses/pairs.py",
        "margin_loss(y, y_others, margin=margin, where=where,",
        "margin_loss(y, y_others, where=where,",
        LOSSES + " -k impostors",
    ),
    (
        "jaxlle/losses/pairs.py",
        "laplacian_loss(y, y_neighbors, where=where, reduction=reduction, axis_name=axis_name)",
        "laplacian_loss(y, y_neighbors, where=where, reduction=reduction)",
        LOSSES + " -k per_device",
    ),
    (
        "jaxlle/losses/pairs.py",
        'hinge = _margin_loss(y, y_others, "impostors.outputs", margin, others, where,',
        'hinge = _margin_loss(y, y_others, "impostors.outputs", margin, mask, where,',
        LOSSES + " -k impostors",
    ),
    (
        "jaxlle/losses/pairs.py",
        "return error + strength * hinge",
        "return error + hinge",
        LOSSES + " -k impostors",
    ),
    (
        "jaxlle/losses/pairs.py",
        "mask, where, reduction, axis_name)\n\n\ndef isometry_loss",
        "None, where, reduction, axis_name)\n\n\ndef isometry_loss",
        LOSSES + " -k absent",
    ),
    (
        "jaxlle/losses/reconstruction.py",
        'weights = lax.stop_gradient(counted(weights, "weights", where, mask))',
        'weights = counted(weights, "weights", where, mask)',
        LOSSES + " -k on_request",
    ),
    (
        "jaxlle/losses/reconstruction.py",
        "jnp.sqrt(jnp.asarray(ridge * b, x.dtype))",
        "jnp.sqrt(jnp.asarray(ridge, x.dtype))",
        FORMULAS + " -k minimizes_the_reconstruction",
    ),
    (
        "jaxlle/losses/reduce.py",
        'return total if reduction == "sum" else total / count_anchors(errors, where, axis_name)',
        'return total if reduction == "sum" else total / count_anchors(errors, None, axis_name)',
        LOSSES + " -k 'sum_and_the_mean or absent'",
    ),
    (
        "jaxlle/losses/reduce.py",
        "return jnp.maximum(sum_over_devices(count, axis_name), 1)",
        "return jnp.maximum(count, 1)",
        LOSSES + " -k per_device",
    ),
    (
        "jaxlle/losses/reduce.py",
        "wrong = ~(np.abs(sums - 1) <= _SUM_TOLERANCE) & present",
        "wrong = (sums - 1 > _SUM_TOLERANCE) & present",
        FORMULAS + " -k bad_batches",
    ),
    (
        "jaxlle/losses/guards.py",
        "jnp.maximum(target - jnp.sqrt(variances + eps), 0)",
        "jnp.maximum(1.0 + 0 * target - jnp.sqrt(variances + eps), 0)",
        LOSSES + " -k guards",
    ),
    (
        "jaxlle/losses/guards.py",
        "c = c + jnp.asarray(eps, c.dtype) * jnp.eye(d, dtype=c.dtype)",
        "c = c + 1e-4 * jnp.eye(d, dtype=c.dtype)",
        LOSSES + " -k guards",
    ),
    (
        "jaxlle/losses/guards.py",
        "sum_over_devices(matmul(centered.T, centered), axis_name) / count",
        "sum_over_devices(matmul(centered.T, centered), axis_name) / (count - 1)",
        FORMULAS + " -k guards_are",
    ),
    (
        "jaxlle/losses/guards.py",
        "centered = mask_out(y - sum_over_devices(y.sum(axis=0), axis_name) / count, where)",
        "centered = y - sum_over_devices(y.sum(axis=0), axis_name) / count",
        LOSSES + " -k anchors_are_the_same",
    ),
    (
        "jaxlle/losses/spectral.py",
        "embed(lax.stop_gradient(alignment), dim, solver=solver,",
        "embed(lax.stop_gradient(alignment), dim + 1, solver=solver,",
        FORMULAS + " -k spectral",
    ),
    (
        "jaxlle/losses/batches.py",
        "positions = step * self.batch_size + self.shard * size + np.arange(size)",
        "positions = step * self.batch_size + np.arange(size)",
        BATCHES + " -k shards",
    ),
    (
        "jaxlle/losses/batches.py",
        "np.random.default_rng([*seed, epoch])",
        "np.random.default_rng([*seed, 0])",
        BATCHES + " -k every_epoch",
    ),
    (
        "jaxlle/losses/batches.py",
        "weights=jnp.where(mask, weights, 0),",
        "weights=weights,",
        BATCHES + " -k do_not_fit",
    ),
    (
        "jaxlle/losses/batches.py",
        "where=where & fits,",
        "where=where,",
        BATCHES + " -k do_not_fit",
    ),
    (
        "jaxlle/losses/batches.py",
        ", max_points)\n        return replace(self",
        ", None)\n        return replace(self",
        BATCHES + " -k do_not_fit",
    ),
    (
        "jaxlle/losses/batches.py",
        "weights, batch_size // num_shards, max_points)",
        "weights, batch_size, max_points)",
        BATCHES + " -k do_not_fit",
    ),
    # networks
    (
        "jaxlle/nn/parametric.py",
        "z = model.head(features, anchors)",
        "z = model.head(features)",
        STEP + " -k step_computes",
    ),
    (
        "jaxlle/nn/parametric.py",
        "error = jnp.sum(jnp.where(anchors, errors, 0)) / jnp.maximum(anchors.sum(), 1)",
        "error = jnp.mean(errors)",
        STEP + " -k step_computes",
    ),
    (
        "jaxlle/nn/parametric.py",
        "model.penalty(model.step[...]) * error",
        "model.penalty(model.step[...] + 1) * error",
        STEP + " -k step_computes",
    ),
    (
        "jaxlle/nn/parametric.py",
        "directions = participation_ratio(features, where=anchors)",
        "directions = participation_ratio(features)",
        STEP + " -k step_computes",
    ),
    (
        "jaxlle/nn/parametric.py",
        "return neighbors, barycentric_weights(x, neighbors, reg=self.reg)",
        "return neighbors, barycentric_weights(x, neighbors)",
        STEP + " -k graph_of",
    ),
    (
        "jaxlle/nn/parametric.py",
        "neighbors, weights = self.graph(x) if graph is None else graph",
        "neighbors, weights = self.graph(x)",
        STEP + " -k graph_of",
    ),
    (
        "jaxlle/nn/head.py",
        "mean = sum_over_devices(mask_out(y, where).sum(axis=0), self.axis_name) / count",
        "mean = sum_over_devices(y.mean(axis=0), self.axis_name)",
        STEP + " -k rows_that_count",
    ),
    (
        "jaxlle/nn/head.py",
        "spread = covariance(y, where, self.axis_name)",
        "spread = covariance(y, None, self.axis_name)",
        STEP + " -k rows_that_count",
    ),
    (
        "jaxlle/nn/head.py",
        "jnp.maximum(1 / (self.count[...] + 1.0), 1 - self.momentum)",
        "jnp.maximum(1 / (self.count[...] + 1.0), self.momentum)",
        STEP + " -k rows_that_count",
    ),
    (
        "jaxlle/nn/head.py",
        "ridge = eps * jnp.trace(spread) / d + ",
        "ridge = eps * jnp.trace(spread) + ",
        STEP + " -k rows_that_count",
    ),
    (
        "jaxlle/nn/head.py",
        "return lax.stop_gradient(z - batch_z) + batch_z",
        "return z",
        HEAD + " -k favor",
    ),
    (
        "jaxlle/nn/training.py",
        'loop["waited"] >= options.patience',
        'loop["waited"] > options.patience',
        STEP + " -k stops",
    ),
    (
        "jaxlle/nn/training.py",
        'metrics["cost"] < loop["best"]',
        'metrics["cost"] <= loop["best"]',
        STEP + " -k stops",
    ),
    (
        "jaxlle/nn/training.py",
        "(epoch + 1) % options.checkpoint_every == 0",
        "epoch % options.checkpoint_every == 0",
        STEP + " -k multiples",
    ),
    ("jaxlle/nn/training.py", "        model.train()\n", "", STEP + " -k every_training"),
    (
        "jaxlle/nn/training.py",
        "    model.eval()\n    return history",
        "    return history",
        STEP + " -k every_training",
    ),
    (
        "jaxlle/nn/parametric.py",
        "evaluate_blocks(self, x, block)",
        "evaluate_blocks(self, x, 4096)",
        STEP + " -k step_computes",
    ),
    (
        "jaxlle/nn/last_layer.py",
        "return features.right @ matrix * np.sqrt(len(features.left)),",
        "return features.right @ matrix,",
        LAST,
    ),
    (
        "jaxlle/nn/last_layer.py",
        "jnp.asarray(-mean @ matrix, layer.bias[...].dtype)",
        "jnp.asarray(mean @ matrix, layer.bias[...].dtype)",
        LAST,
    ),
    (
        "jaxlle/nn/last_layer.py",
        "    target = target - target.mean(axis=0)\n",
        "",
        LAST,
    ),
]
