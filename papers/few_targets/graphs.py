"""The graphs of the study: the energies that are compared, their settings, and the targets that they propagate."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import jaxlle
from jaxlle.derivatives import LinearSolver, SparseInverse

from .data import Data

METHODS = ("laplacian", "iterated", "lle", "modified", "hessian", "ltsa")
FAMILY = ("lle", "modified", "hessian", "ltsa")


class Setting(NamedTuple):
    """The number of neighbors and the second parameter of a method: reg, the dimension of tangent spaces, or heat weights."""

    k: int
    second: float

    def __str__(self) -> str:
        return f"k = {self.k}, {self.second:g}"


class Grid(NamedTuple):
    """The settings of a data set. Every method has equally many."""

    near: tuple[int, ...] = (5, 7, 10)  # neighbors for the Laplacian
    wide: tuple[int, ...] = (9, 12, 18)  # for all other methods
    regs: tuple[float, ...] = (1e-3, 1e-2)
    dims: tuple[int, ...] = (2, 3)

    def settings(self, method: str) -> list[Setting]:
        """Return the settings of a method."""
        second = {"laplacian": (0.0, 1.0), "iterated": (0.0, 1.0), "lle": self.regs}.get(method, self.dims)
        return [Setting(k, v) for k in (self.near if method == "laplacian" else self.wide) for v in second]

    def neighbors(self, x: Float[Array, "n pixels"]) -> jaxlle.Neighbors:
        """Find as many neighbors as any setting needs."""
        return jaxlle.knn(x, max(self.near + self.wide))


def align(method: str, x: Float[Array, "n pixels"], neighbors: jaxlle.Neighbors, setting: Setting) -> jaxlle.Alignment:
    """Return the alignment of a method, whose energy of white noise is 1 per point."""
    k, second = setting
    if neighbors.distances is None:
        raise ValueError("neighbors has no distances, which the heat weights need: search them by jaxlle.knn.")
    distances = neighbors.distances[:, :k]
    near = jaxlle.Neighbors(neighbors.indices[:, :k], distances)
    if method in ("laplacian", "iterated"):
        heat = jnp.exp(-second * distances**2 / (2 * jnp.median(distances) ** 2))  # equal weights for 0
        heat = heat / heat.sum(axis=1, keepdims=True)
        build = jaxlle.alignment.laplacian_alignment if method == "laplacian" else jaxlle.alignment.weights_alignment
        alignment = build(near, heat)
    elif method == "lle":
        alignment = jaxlle.lle_alignment(x, k=k, reg=second, neighbors=near)
    else:
        build = {
            "modified": jaxlle.modified_alignment,
            "hessian": jaxlle.hessian_alignment,
            "ltsa": jaxlle.ltsa_alignment,
        }
        alignment = build[method](x, int(second), k=k, neighbors=near)
    scale = jnp.sqrt(jnp.sum(alignment.blocks**2, axis=(1, 2)).mean())
    return alignment._replace(blocks=alignment.blocks / scale)


def propagate(
    alignment: jaxlle.Alignment,
    targets: Float[Array, "m c"],
    trust: Float[Array, " m"] | None = None,
    solver: LinearSolver | None = None,
) -> Float[Array, "n c"]:
    """Return the targets of all points from those of the first m, which are exact without trust."""
    solver = SparseInverse() if solver is None else solver
    known = np.arange(len(targets))
    return jaxlle.semisupervised.propagate(alignment, known, targets, trust=trust, solver=solver).targets


def align_widened(
    method: str,
    x: Float[Array, "n pixels"],
    neighbors: jaxlle.Neighbors,
    setting: Setting,
    targets: Float[Array, "m c"],
) -> tuple[jaxlle.Alignment, Float[Array, "n c"]]:
    """Return the alignment and what it propagates from the labels.

    Neighbors are added one by one while the tangent spaces or the targets are not determined.
    """
    width = neighbors.indices.shape[1]
    for k in range(setting.k, width + 1):
        try:
            alignment = align(method, x, neighbors, setting._replace(k=k))
            return alignment, propagate(alignment, targets)
        except ValueError:
            if k == width:
                raise
    raise ValueError(f"k = {setting.k} exceeds the {width} neighbors of the graph.")


def extend(data: Data, targets: Float[Array, "n c"], k: int = 12) -> Float[Array, "m c"]:
    """Return the targets of the new images, each reconstructed from its neighbors in the pool."""
    return jaxlle.transform(data.new_x, data.x, targets, k=k, reg=1e-2)
