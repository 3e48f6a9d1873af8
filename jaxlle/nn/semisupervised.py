"""Training a network with few targets: on propagated targets, with the cost of an alignment in the loss, or jointly.

Train on propagated targets (`fit_targets`) first: it is the simplest, needs no weight to be tuned, and had the lowest error
wherever papers/few_targets compares the three. The cost in the loss (`fit_with_alignment`) suits data that arrive in batches, or
change; with LLE its error was 1.2 to 3.4 times as large at equal effort, because smooth errors have a small cost and take many
steps. The joint problem (`fit_jointly`) lets the network correct the propagated targets, and was at best as good.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .._core.arrays import read_floats
from .._core.checks import check_count
from ..alignment import Alignment
from ..losses import alignment_loss
from ..semisupervised import propagate
from ..semisupervised.propagation import check_known
from .evaluation import BLOCK_ROWS, evaluate_blocks
from .objectives import DEFAULT_STEPS, SQUARED_ERROR, Loss, Steps, run_steps


@dataclass(frozen=True)
class Coupling:
    """The weights of the joint problem of `fit_jointly`.

    Attributes:
        smoothness: weight of the cost of the alignment.
        closeness: weight of the distance between the targets and the outputs of the network.
        rounds: number of rounds, each with all steps of training.
    """

    smoothness: float
    closeness: float
    rounds: int = 5

    def __post_init__(self) -> None:
        """Validate the numbers."""
        for name, value in (("smoothness", self.smoothness), ("closeness", self.closeness)):
            if not value > 0 or not np.isfinite(value):
                raise ValueError(f"{name} = {value} is not allowed: it must be positive and finite.")
        check_count(self.rounds, "rounds", 1, None, "a number of alternations between targets and network")


class JointFit(NamedTuple):
    """The result of `fit_jointly`.

    Attributes:
        targets: of all points after the last round, shape (n, c).
        losses: of every step of every round, shape (rounds * steps,).
    """

    targets: Float[Array, "n c"]
    losses: Float[Array, " s"]


def fit_targets(
    model: nnx.Module,
    x: Any,
    targets: Any,
    *,
    confidence: Any = None,
    loss: Loss = SQUARED_ERROR,
    options: Steps = DEFAULT_STEPS,
) -> Float[Array, " steps"]:
    """Train a network on the targets of all points, such as those of `jaxlle.semisupervised.propagate`.

    This is label propagation followed by training (Iscen, Tolias, Avrithis and Chum 2019, CVPR). The same in a plain loop:

        state = optimizer.init(params)
        for rows in batches:
            gradient = jax.grad(lambda p: jnp.mean(confidence[rows] * loss(apply(p, x[rows]), targets[rows])))(params)
            updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)

    Args:
        model: from points to outputs, shape (b, ...) to (b, c); changed in place.
        x: inputs of the network, shape (n, ...).
        targets: shape (n, c); probabilities with `CrossEntropy`.
        confidence: nonnegative weight of each point, shape (n,), such as `Classification.confidence`; None for equal weights.
        loss: `SquaredError` or `CrossEntropy`.
        options: number of steps, size of batches and optimizer.

    Returns:
        The loss of every step.

    Raises:
        ValueError: if x, targets and confidence do not have the same number of rows, are not finite numbers, or confidence is
            negative; or if the network does not return c outputs.
        FloatingPointError: if the loss is not finite.

    Example:
        >>> import jax, jaxlle
        >>> from flax import nnx
        >>> curve = jaxlle.datasets.s_curve(jax.random.key(0), 300)
        >>> known = jax.numpy.arange(0, 300, 15)
        >>> out = jaxlle.semisupervised.propagate(
        ...     jaxlle.ltsa_alignment(curve.points, 2, k=10), known, curve.parameters[known]
        ... )
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Linear(3, 64, rngs=rngs), jax.nn.relu, nnx.Linear(64, 2, rngs=rngs))
        >>> losses = jaxlle.nn.fit_targets(model, curve.points, out.targets)
        >>> bool(losses[-10:].mean() < 0.1 * losses[:10].mean())
        True
    """
    x, targets = _read(model, x, targets)
    weights = jnp.ones(len(x)) if confidence is None else _read_confidence(confidence, len(x))
    return run_steps(model, _supervised_step, (x, targets, weights), (loss,), options)


def fit_with_alignment(
    model: nnx.Module,
    x: Any,
    alignment: Alignment,
    known: Any,
    targets: Any,
    *,
    weight: float,
    loss: Loss = SQUARED_ERROR,
    options: Steps = DEFAULT_STEPS,
) -> Float[Array, " steps"]:
    """Train a network on the known targets and the cost of an alignment: ``mean loss(known) + weight * mean_i |block_i f|^2``.

    Every step evaluates the network at the known points (a random batch of them if there are more) and at the neighborhoods of
    as many random points, which gives an unbiased gradient of the cost. The cost acts on the outputs of `SquaredError` and on
    the probabilities of `CrossEntropy`.

    Args:
        model: as for `fit_targets`.
        x: as for `fit_targets`.
        alignment: of all points, by any variant.
        known: indices of the points whose targets are known, shape (m,).
        targets: the known targets, shape (m, c); probabilities with `CrossEntropy`.
        weight: of the cost of the alignment. Costs of smooth functions are small, so that it is of the order of 10 to 1000.
        loss: as for `fit_targets`.
        options: as for `fit_targets`; `batch_size` is both the number of known points and of neighborhoods per step.

    Returns:
        The loss of every step.

    Raises:
        ValueError: as for `fit_targets`; if the alignment has another number of points than x; if known is not as long as
            targets, or out of range; or if weight is negative.
        FloatingPointError: if the loss is not finite.

    Example:
        >>> import jax, jaxlle
        >>> from flax import nnx
        >>> from jaxlle.nn import Steps, fit_with_alignment
        >>> curve = jaxlle.datasets.s_curve(jax.random.key(0), 300)
        >>> known = jax.numpy.arange(0, 300, 15)
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Linear(3, 64, rngs=rngs), jax.nn.relu, nnx.Linear(64, 2, rngs=rngs))
        >>> losses = fit_with_alignment(
        ...     model, curve.points, jaxlle.ltsa_alignment(curve.points, 2, k=10), known, curve.parameters[known],
        ...     weight=10.0, options=Steps(300, 32)
        ... )
        >>> bool(losses[-10:].mean() < losses[:10].mean())
        True
    """
    if not weight >= 0 or not np.isfinite(weight):
        raise ValueError(f"weight = {weight} is not allowed: it must be at least 0, and finite.")
    x = read_floats(x, "x")
    _check_alignment(alignment, len(x))
    rows = check_known(known, len(targets), len(x))
    given, targets = _read(model, x[rows], targets)
    data = (x, given, targets, alignment.indices, alignment.blocks)
    return run_steps(model, _term_step, data, (loss, jnp.float32(weight)), options)


def fit_jointly(
    model: nnx.Module,
    x: Any,
    alignment: Alignment,
    known: Any,
    targets: Any,
    coupling: Coupling,
    *,
    loss: Loss = SQUARED_ERROR,
    options: Steps = DEFAULT_STEPS,
) -> JointFit:
    """Train a network and propagate targets in turn: ``sum_known |f - y|^2 + a |B f|^2 + b |f - net(x)|^2``.

    The weights a and b are `smoothness` and `closeness`. For a fixed network the targets f are a linear system, which
    `jaxlle.semisupervised.propagate` solves with all points known inexactly; for fixed f the network is trained on them (the
    method of auxiliary coordinates: Carreira-Perpinan and Vladymyrov 2015, NIPS 28; cited from memory). The first round
    propagates without the network.

    Args:
        model: as for `fit_targets`.
        x: as for `fit_targets`.
        alignment: of all points, by any variant.
        known: indices of the points whose targets are known, shape (m,).
        targets: the known targets, shape (m, c); probabilities with `CrossEntropy`.
        coupling: the weights, and the number of rounds. With `CrossEntropy` the targets are close to the probabilities.
        loss: as for `fit_targets`.
        options: as for `fit_targets`, for each round.

    Returns:
        JointFit.

    Raises:
        ValueError: as for `fit_targets` and `propagate`.
        FloatingPointError: if the loss is not finite.

    Example:
        >>> import jax, jaxlle
        >>> from flax import nnx
        >>> from jaxlle.nn import Coupling, Steps, fit_jointly
        >>> curve = jaxlle.datasets.s_curve(jax.random.key(0), 300)
        >>> known = jax.numpy.arange(0, 300, 15)
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Linear(3, 64, rngs=rngs), jax.nn.relu, nnx.Linear(64, 2, rngs=rngs))
        >>> out = fit_jointly(
        ...     model, curve.points, jaxlle.ltsa_alignment(curve.points, 2, k=10), known, curve.parameters[known],
        ...     Coupling(smoothness=100.0, closeness=0.01, rounds=2), options=Steps(200)
        ... )
        >>> out.targets.shape, out.losses.shape
        ((300, 2), (400,))
    """
    smoothness, closeness = coupling.smoothness, coupling.closeness
    x, rows = read_floats(x, "x"), check_known(known, len(targets), len(x))
    _check_alignment(alignment, len(x))
    _, given = _read(model, x[rows], targets)
    is_known = jnp.zeros((len(x), 1)).at[rows].set(1)
    f = propagate(alignment, rows, given, trust=1 / smoothness).targets
    losses = []
    for number in range(coupling.rounds):
        if number:
            outputs = loss.predictions(jnp.concatenate(list(evaluate_blocks(model, x, BLOCK_ROWS))))
            trust = is_known + closeness
            mixed = (jnp.zeros_like(f).at[rows].set(given) + closeness * outputs) / trust
            f = propagate(alignment, np.arange(len(x)), mixed, trust=trust[:, 0] / smoothness).targets
        losses.append(fit_targets(model, x, loss.admissible(f), loss=loss, options=options))
    return JointFit(f, jnp.concatenate(losses))


def _read(model: nnx.Module, x: Any, targets: Any) -> tuple[Array, Array]:
    """Return validated inputs and targets, after a check of the outputs of the network."""
    x, targets = read_floats(x, "x"), read_floats(targets, "targets", "n c")
    if x.ndim < 2 or len(x) != len(targets) or len(x) == 0:
        raise ValueError(
            f"x has shape {x.shape} and targets has shape {targets.shape}, but they must be (n, ...) and (n, c): give one row of "
            f"targets per row of x."
        )
    found = jax.eval_shape(lambda a: model(a), jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)).shape  # pyright: ignore
    if found != (1, targets.shape[1]):
        raise ValueError(
            f"The network returns outputs of shape {found} for one point, but targets with {targets.shape[1]} columns require "
            f"(1, {targets.shape[1]})."
        )
    return x, targets


def _read_confidence(confidence: Any, n: int) -> Array:
    values = read_floats(confidence, "confidence")
    if values.shape != (n,) or bool((values < 0).any()) or not bool((values > 0).any()):
        raise ValueError(
            f"confidence must be one nonnegative weight for each of the {n} points, not all zero; got shape {values.shape} with "
            f"values from {float(values.min()) if values.size else 0:.3g} to {float(values.max()) if values.size else 0:.3g}."
        )
    return values / values.mean()


def _check_alignment(alignment: Alignment, n: int) -> None:
    if alignment.shape[1] != n:
        raise ValueError(
            f"The alignment has {alignment.shape[1]} points, but x has {n} rows: pass that of the rows of x."
        )


@nnx.jit(static_argnames="loss")
def _supervised_step(model: Any, optimizer: Any, data: tuple, rows: tuple, loss: Loss) -> Array:
    x, targets, weights = data

    def objective(model: Any) -> Array:
        ids = rows[0]
        return jnp.mean(weights[ids] * loss.losses(model(x[ids]), targets[ids]))

    value, gradient = nnx.value_and_grad(objective)(model)
    optimizer.update(model, gradient)
    return value


@nnx.jit(static_argnames="loss")
def _term_step(model: Any, optimizer: Any, data: tuple, rows: tuple, loss: Loss, weight: Any) -> Array:
    x, given, targets, indices, blocks = data
    anchors, known = rows
    around = indices[anchors]

    def objective(model: Any) -> Array:
        inputs = jnp.concatenate([given[known], x[around.ravel()]])
        outputs = model(inputs)
        fit = jnp.mean(loss.losses(outputs[: len(known)], targets[known]))
        near = loss.predictions(outputs[len(known) :]).reshape(*around.shape, -1)
        return fit + weight * alignment_loss(near, blocks[anchors])

    value, gradient = nnx.value_and_grad(objective)(model)
    optimizer.update(model, gradient)
    return value
