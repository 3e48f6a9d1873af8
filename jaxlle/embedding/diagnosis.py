"""What an embedding rests on, in one report: its graph, its local problems, its spectrum, and where it tears."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .._core.checks import is_traced
from ..alignment import Alignment, connected_components
from ..alignment.operator import check_alignment
from ..neighbors import Neighbors
from ..weights import local_condition
from .embed import Embedding


class Diagnosis(NamedTuple):
    """Facts on an alignment and its embedding, on the host; `str` of it is the report, `jaxlle.plot.diagnosis` its picture.

    Attributes:
        sizes: of the parts of the graph, the largest first, shape (parts,).
        closed_classes: null vectors that the graph gives B; more than the embedding's one is a warning.
        in_degree: how many other points' neighbourhoods each point is in, shape (n,). Points with none are held by
            their own equations alone; hubs pull on many.
        condition: of the regularised local Gram matrices, shape (n,); None without the data. Weights are off by about this
            times the dtype's rounding.
        singular_values: of the embedding, shape (dim,).
        gap: see `Embedding`.
        rounding_angle: degrees by which rounding is expected to have turned the embedding.
        residuals: of the singular vectors, shape (dim,).
        participation: on how many points each column lives, ``1 / sum_i y_i^4`` of unit columns, shape (dim,): n for equal
            magnitudes, n / 1.8 for a uniform coordinate, 1 for a column that is one point.
        error: every point's share of the cost, ``|block_i y|^2`` summed over unit columns, shape (n,). Where it is large the
            map tears or folds.
        converged: whether the solver did.
        solver: its name.
    """

    sizes: Int[np.ndarray, " parts"]
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
        """Return the report as names and texts."""
        parts = ", ".join(map(str, self.sizes[:8])) + (", ..." if len(self.sizes) > 8 else "")
        worst = np.argsort(-self.error, kind="stable")[:5]
        share = self.error[worst].sum() / max(self.error.sum(), np.finfo(self.error.dtype).tiny)
        turned = f"{self.gap:.3g}; rounding turns the embedding by about {self.rounding_angle:.2g} degrees"
        return [
            ("components", f"{len(self.sizes)} of {parts} points; closed classes: {self.closed_classes}"),
            ("in-degree", f"{_spread(self.in_degree)}; in nobody's neighbourhood: {(self.in_degree == 0).sum()}"),
            *([] if self.condition is None else [("local condition", _spread(self.condition))]),
            ("solver", self.solver + ("" if self.converged else ", NOT converged")),
            ("singular values", _listed(self.singular_values)),
            ("residuals", _listed(self.residuals)),
            *([] if np.isnan(self.gap) else [("gap", turned)]),  # none where a linear map was solved for
            ("participation", f"{_listed(self.participation)} of {len(self.error)} points"),
            ("error", f"{_spread(self.error)}; the five worst have {share:.0%}: {', '.join(map(str, worst))}"),
        ]

    def __str__(self) -> str:
        """Return the report, a line for each fact."""
        return "\n".join(f"{name:<17}{value}" for name, value in self.rows())


def diagnose(
    alignment: Alignment,
    embedding: Embedding,
    *,
    x: Any = None,
    neighbors: Neighbors | None = None,
    reg: Real[ArrayLike, ""] = 1e-3,
) -> Diagnosis:
    """Collect what is known about an embedding of an alignment.

    Args:
        alignment: of any variant.
        embedding: of all its points, from `embed` or a pipeline.
        x: the data, shape (n, d), and
        neighbors: their neighbourhoods, for the condition of the local Gram matrices; without both it is left out.
        reg: strength of the trace ridge of the weights.

    Returns:
        Diagnosis.

    Raises:
        ValueError: for a malformed alignment, or an embedding of other points or of a part of them.
        TypeError: inside jit.

    Example:
        >>> import jax, jaxlle
        >>> x = jaxlle.datasets.s_curve(jax.random.key(0), 200).points
        >>> alignment = jaxlle.lle_alignment(x, k=10)
        >>> facts = jaxlle.diagnose(alignment, jaxlle.embed(alignment, 2))
        >>> print(str(facts).splitlines()[0])
        components       1 of 200 points; closed classes: 1
    """
    if is_traced(alignment, embedding):
        raise TypeError("diagnose reports on the host: call it outside jit.")
    check_alignment(alignment)
    n, y = alignment.indices.shape[0], jnp.asarray(embedding.points)
    if y.shape[0] != n:
        raise ValueError(
            f"The embedding has {y.shape[0]} points and the alignment {n}: diagnose needs an embedding of all points."
        )
    y = y / jnp.linalg.norm(y, axis=0)
    components = connected_components(alignment)
    condition = None
    if x is not None and neighbors is not None:
        condition = np.asarray(local_condition(x, neighbors, reg=reg))
    return Diagnosis(
        sizes=components.sizes,
        closed_classes=len(components.closed),
        in_degree=_in_degree(alignment),
        condition=condition,
        singular_values=np.asarray(embedding.singular_values),
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
