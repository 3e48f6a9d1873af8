"""The losses of training with few targets, and the loop of random mini-batches."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from .._core.checks import check_count
from .metrics_log import show_line

_SECONDS = 1.0  # between two lines of progress


@dataclass(frozen=True)
class SquaredError:
    """Regression: the outputs of the network are the targets."""

    def predictions(self, outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return the outputs, to which the cost of the alignment applies."""
        return outputs

    def losses(self, outputs: Float[Array, "n c"], targets: Float[Array, "n c"]) -> Float[Array, " n"]:
        """Return the squared distance of each output from its target."""
        return jnp.sum((outputs - targets) ** 2, axis=1)

    def admissible(self, targets: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return the targets."""
        return targets


@dataclass(frozen=True)
class CrossEntropy:
    """Classification: the outputs of the network are logits, and the targets are probabilities."""

    def predictions(self, outputs: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return the probabilities, to which the cost of the alignment applies."""
        return jax.nn.softmax(outputs)

    def losses(self, outputs: Float[Array, "n c"], targets: Float[Array, "n c"]) -> Float[Array, " n"]:
        """Return the cross-entropy of each output relative to its target."""
        return optax.softmax_cross_entropy(outputs, targets)

    def admissible(self, targets: Float[Array, "n c"]) -> Float[Array, "n c"]:
        """Return propagated targets, cut off at 0 and 1, as probabilities."""
        p = jnp.clip(targets, 0, 1)
        return p / jnp.maximum(p.sum(axis=1, keepdims=True), 1e-6)


Loss = SquaredError | CrossEntropy


@dataclass(frozen=True)
class Steps:
    """Number and size of the steps of training, and the optimizer.

    Attributes:
        steps: number of steps.
        batch_size: points per step; all if there are fewer.
        optimizer: None for Adam with a rate that decays from 1e-3 to 0 as a cosine.
        seed: of the random batches.
        progress: whether to print a line of progress on a terminal.
    """

    steps: int = 1000
    batch_size: int = 128
    optimizer: optax.GradientTransformation | None = None
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        """Validate the numbers."""
        check_count(self.steps, "steps", 1, None, "a number of optimization steps")
        check_count(self.batch_size, "batch_size", 1, None, "a number of points per step")


SQUARED_ERROR = SquaredError()
DEFAULT_STEPS = Steps()


def run_steps(
    model: nnx.Module, step: Callable[..., Array], data: tuple, settings: tuple, options: Steps
) -> Float[Array, " steps"]:
    """Train a model, in training mode, by steps on random rows of the first two arrays of the data; return the losses."""
    optimizer = nnx.Optimizer(model, options.optimizer or _default_optimizer(options.steps), wrt=nnx.Param)
    rng, losses, last = np.random.default_rng(options.seed), [], time.monotonic()
    model.train()
    for number in range(options.steps):
        rows = tuple(rng.choice(len(a), min(options.batch_size, len(a)), replace=False) for a in data[:2])
        losses.append(step(model, optimizer, data, rows, *settings))
        done = number + 1 == options.steps
        if options.progress and (done or time.monotonic() - last > _SECONDS):
            last = time.monotonic()
            show_line(f"step {number + 1}/{options.steps}  loss {float(losses[-1]):.4g}", done)
    model.eval()
    out = jnp.asarray(np.array(jax.device_get(losses)))
    if not bool(jnp.isfinite(out).all()):
        first = int(np.flatnonzero(~np.isfinite(out))[0])
        raise FloatingPointError(f"The loss is {float(out[first])} in step {first + 1}: lower the learning rate.")
    return out


@cache  # compiled steps are kept as long as the optimizer is the same object
def _default_optimizer(steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(1e-3, steps))
