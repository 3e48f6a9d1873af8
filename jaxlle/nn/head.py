"""A layer whose outputs are white, in training and in evaluation."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, ArrayLike, Bool, Float

from ..losses.guards import covariance
from ..losses.reduce import AxisName, at_least_float32, count_anchors, mask_out, sum_over_devices
from .evaluation import evaluate_blocks


class OrthonormalHead(nnx.Module):
    """Whiten features: ``z = (y - m) L^-T`` with ``L L^T = C``, so that (1/n) Z^T Z = I and the outputs cannot collapse.

    The layer imposes the constraint of locally linear embedding. (SpectralNet, Shaham et al. 2018, orthonormalizes each batch by
    its own statistics in training, and by those of the last batch afterwards.) The mean m and the covariance C are running
    averages that include the current batch; they are used in training and in evaluation, so that both compute the same
    function. The Jacobian is that of whitening by the statistics of the batch alone, which is zero in all directions that
    only transform y linearly. The Jacobian of whitening by running averages would favor features that grow faster than the
    averages follow, without bound. A ridge proportional to the trace of C makes its Cholesky factor exist for constant and
    repeated features as well. All computations are in float32 or higher.

    Attributes:
        use_running_average: True in evaluation; set by `model.eval()` and `model.train()`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxlle.nn import OrthonormalHead
        >>> z = OrthonormalHead(2)(5 + jax.random.normal(jax.random.key(0), (100, 2)) @ jnp.array([[3.0, 1.0], [0.0, 0.1]]))
        >>> bool(jnp.allclose(z.T @ z / 100, jnp.eye(2), atol=0.1))
        True
    """

    def __init__(self, width: int, *, momentum: float = 0.9, eps: float = 1e-4, axis_name: AxisName = None):
        """Create the head.

        Args:
            width: number of features, in and out.
            momentum: weight of the past in the running averages, once there are enough steps. Averages over more steps than
                the features take to change are inaccurate.
            eps: ridge added to the covariance, relative to its mean diagonal entry.
            axis_name: name of a mapped axis of devices whose batches are treated as one.
        """
        self.width, self.momentum, self.eps, self.axis_name = width, momentum, eps, axis_name
        self.use_running_average = False
        self.mean = nnx.BatchStat(jnp.zeros(width))
        self.covariance = nnx.BatchStat(jnp.eye(width))
        self.count = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def __call__(self, y: Float[Array, "b d"], where: Bool[ArrayLike, " b"] | None = None) -> Float[Array, "b d"]:
        """Whiten features; in training, update the running averages first.

        Args:
            y: features, shape (b, width).
            where: True where a row counts for the statistics, shape (b,); all rows are whitened.

        Returns:
            White features in at least float32, shape (b, width).

        Raises:
            ValueError: for features of another width, or in training for a batch smaller than the width.
        """
        (y,) = at_least_float32(y=y)
        if y.ndim != 2 or y.shape[1] != self.width:
            raise ValueError(f"The head whitens {self.width} features, but got outputs of shape {y.shape}.")
        if self.use_running_average:
            return _whiten(y, self.mean[...], self.covariance[...], self.eps)
        if y.shape[0] < self.width and self.axis_name is None:
            raise ValueError(
                f"A batch of {y.shape[0]} rows cannot span {self.width} features: use a larger batch or a narrower head."
            )
        count = count_anchors(y, where, self.axis_name)
        mean = sum_over_devices(mask_out(y, where).sum(axis=0), self.axis_name) / count
        spread = covariance(y, where, self.axis_name)
        # The first steps are averaged with equal weights: the initial values are not statistics of any features.
        share = jnp.maximum(1 / (self.count[...] + 1.0), 1 - self.momentum)
        new_mean = self.mean[...] + share * (mean - self.mean[...])
        new_spread = self.covariance[...] + share * (spread - self.covariance[...])
        self.mean[...], self.covariance[...] = lax.stop_gradient(new_mean), lax.stop_gradient(new_spread)
        self.count[...] = self.count[...] + 1
        z, batch_z = _whiten(y, new_mean, new_spread, self.eps), _whiten(y, mean, spread, self.eps)
        return lax.stop_gradient(z - batch_z) + batch_z  # the value of z with the derivative of batch_z


def calibrate(head: OrthonormalHead, encoder: nnx.Module, x: Any) -> None:
    """Replace the running averages of a head by the statistics of all points.

    Running averages include features of earlier steps, of a network that has changed since.

    Args:
        head: changed in place.
        encoder: in evaluation mode; its outputs are the features of the head.
        x: points, shape (n, D).
    """
    calibrate_by(head, evaluate_blocks(encoder, x))


def calibrate_by(head: OrthonormalHead, blocks: Iterable[Any]) -> None:
    """Replace the running averages of a head by the statistics of features, given in blocks of rows."""
    count, total, square = 0, 0.0, 0.0
    for block in blocks:
        y = np.asarray(block, np.float64)
        count, total, square = count + len(y), total + y.sum(axis=0), square + y.T @ y
    mean = total / count
    spread = square / count - np.outer(mean, mean)
    head.mean[...], head.covariance[...] = jnp.float32(mean), jnp.float32(spread)


def _whiten(y: Float[Array, "b d"], mean: Array, spread: Array, eps: float) -> Float[Array, "b d"]:
    d = y.shape[1]
    # The second term makes the covariance positive definite if all features are constant.
    ridge = eps * jnp.trace(spread) / d + jnp.finfo(spread.dtype).tiny ** 0.5
    factor = jnp.linalg.cholesky(spread + ridge * jnp.eye(d, dtype=spread.dtype))
    return solve_triangular(factor, (y - mean).T, lower=True).T
