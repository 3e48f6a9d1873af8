"""A report on an embedding: its graph, its local problems, its spectrum, and the distribution of its cost."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .._core.arrays import read_floats
from .._core.checks import is_traced
from .._core.points import prepare_points
from ..alignment import Alignment, connected_components
from ..alignment.operator import prepare_alignment
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ..regularizers import check_reg
from ..weights import local_condition
from .embed import Embedding


class Diagnosis(NamedTuple):
    """Properties of an alignment and its embedding, on the host; `str` gives the report, `jaxlle.plot.diagnosis` a figure.

    Attributes:
        sizes: sizes of the connected components of the graph, the largest first, shape (components,).
        closed_classes: number of null vectors of B that the graph causes, 1 for a reliable embedding.
        in_degree: number of neighborhoods of other points that contain each point, shape (n,). Points of in-degree 0 are
            determined by their own equations only; hubs influence many others.
        condition: condition numbers of the regularized local Gram matrices, shape (n,); None without the data. The relative
            error of the weights is about the condition number times the rounding of the dtype.
        singular_values: singular values of the embedding, shape (dim,).
        gap: see `Embedding`.
        rounding_angle: angle in degrees by which rounding is expected to have rotated the embedding.
        residuals: residuals of the singular vectors, shape (dim,).
        participation: participation ratio of each column, ``1 / sum_i y_i^4`` of unit columns, shape (dim,): n for equal
            magnitudes, n / 1.8 for a uniform coordinate, 1 for the indicator of a point.
        error: contribution of each point to the cost, ``|block_i y|^2`` summed over unit columns, shape (n,). It is large where
            the map tears or folds.
        converged: whether the solver converged.
        solver: name of the solver.
    """

    sizes: Int[np.ndarray, " components"]
    closed_classes: int
    in_degree: Int[np.ndarray, " n"]
    condition: Float[np.ndarray, " n"] | None
    singular_values: Float[np.ndarray, " dim"]
    gap: float
    rounding_angle: float
    residuals: Float[np.ndarray, " dim"]
    participation: Float[np.ndarray, " dim"]
    error: Float[np.ndarray, " n"]
    converged: Bool[np.ndarray, ""]
    solver: str

    def rows(self) -> list[tuple[str, str]]:
        """Return the report as pairs of a name and a text."""
        sizes = ", ".join(map(str, self.sizes[:8])) + (", ..." if len(self.sizes) > 8 else "")
        worst = np.argsort(-self.error, kind="stable")[:5]
        share = self.error[worst].sum() / max(self.error.sum(), np.finfo(self.error.dtype).tiny)
        gap = f"{self.gap:.3g}; rounding rotates the embedding by about {self.rounding_angle:.2g} degrees"
        return [
            ("components", f"{len(self.sizes)} of {sizes} points; closed classes: {self.closed_classes}"),
            ("in-degree", f"{_spread(self.in_degree)}; in no neighborhood: {(self.in_degree == 0).sum()}"),
            *([] if self.condition is None else [("local condition", _spread(self.condition))]),
            ("solver", self.solver + ("" if self.converged else ", NOT converged")),
            ("singular values", _listed(self.singular_values)),
            ("residuals", _listed(self.residuals)),
            *([] if np.isnan(self.gap) else [("gap", gap)]),  # linear maps have no gap
            ("participation", f"{_listed(self.participation)} of {len(self.error)} points"),
            ("error", f"{_spread(self.error)}; the five largest make up {share:.0%}: {', '.join(map(str, worst))}"),
        ]

    def __str__(self) -> str:
        """Return the report, one line per property."""
        return "\n".join(f"{name:<17}{value}" for name, value in self.rows())


def diagnose(
    alignment: Alignment,
    embedding: Embedding,
    *,
    x: Any = None,
    neighbors: Neighbors | None = None,
    reg: Real[ArrayLike, ""] = 1e-3,
) -> Diagnosis:
    """Collect the properties of an embedding that show how reliable it is.

    Args:
        alignment: the alignment of any variant.
        embedding: the embedding of all its points, from `embed` or a variant.
        x: the data, shape (n, d). The condition of the local Gram matrices is computed if x and neighbors are given.
        neighbors: the neighborhoods of the data.
        reg: strength of the trace ridge of the weights.

    Returns:
        Diagnosis.

    Raises:
        ValueError: if the alignment is malformed, or the embedding has another number of points.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> alignment = jaxlle.lle_alignment(x, k=10)
        >>> diagnosis = jaxlle.diagnose(alignment, jaxlle.embed(alignment, 2))
        >>> print(str(diagnosis).splitlines()[0])
        components       1 of 200 points; closed classes: 1
    """
    if is_traced(alignment, embedding):
        raise TypeError("diagnose reports on the host: call it outside jit.")
    alignment = prepare_alignment(alignment)
    n, y = alignment.indices.shape[0], read_floats(embedding.points, "embedding.points", "n c")
    values = np.asarray(read_floats(embedding.singular_values, "embedding.singular_values", "dim"))
    if values.shape != y.shape[1:]:
        raise ValueError(
            f"The embedding has {y.shape[1]} columns and {len(values)} singular values: there must be one each."
        )
    if y.shape[0] != n:
        raise ValueError(
            f"The embedding has {y.shape[0]} points and the alignment {n}: diagnose needs an embedding of all points."
        )
    y = y / jnp.linalg.norm(y, axis=0)
    components = connected_components(alignment)
    condition = None
    check_reg(reg, 1, 1)
    if neighbors is not None:
        neighbors = prepare_graph(neighbors, n)
    if x is not None:
        x = prepare_points(x)
        if x.shape[0] != n:
            raise ValueError(
                f"x has {x.shape[0]} rows, but the alignment has {n} points: pass the data of these points."
            )
    if x is not None and neighbors is not None:
        condition = np.asarray(local_condition(x, neighbors, reg=reg))
    return Diagnosis(
        sizes=components.sizes,
        closed_classes=len(components.closed),
        in_degree=_in_degree(alignment),
        condition=condition,
        singular_values=values,
        gap=float(embedding.gap),
        rounding_angle=float(np.rad2deg(embedding.rounding_angle)),
        residuals=np.asarray(embedding.residuals),
        participation=np.asarray(1 / jnp.sum(y**4, axis=0)),
        error=np.asarray(_error(alignment, y)),
        converged=np.asarray(embedding.converged),
        solver=embedding.solver,
    )


def _in_degree(alignment: Alignment) -> np.ndarray:
    ids, n = np.asarray(alignment.indices), alignment.indices.shape[0]
    counted = (np.abs(np.asarray(alignment.blocks)).max(axis=1) > 0) & (ids != np.arange(n)[:, None])
    return np.bincount(ids[counted], minlength=n)


def _error(alignment: Alignment, y: Float[Array, "n c"]) -> Float[Array, " n"]:
    n, r, _ = alignment.blocks.shape
    return jnp.sum(alignment.matvec(y).reshape(n, r * y.shape[1]) ** 2, axis=1)


def _spread(values: np.ndarray) -> str:
    return f"median {np.median(values):.3g}, largest {values.max():.3g}"


def _listed(values: np.ndarray) -> str:
    return "  ".join(f"{float(v):.3g}" for v in values[:6]) + "  ..." * (len(values) > 6)
