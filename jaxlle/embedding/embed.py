"""Stage 3: the embedding, from the bottom singular vectors of an alignment."""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.checks import check_count, is_traced, without_derivative
from ..alignment import Alignment, Components, connected_components
from ..alignment.operator import check_alignment
from ..derivatives import matching, subspace
from ..solvers import Hints, Solver, choose
from ..solvers.spectrum import TYPICAL_ROUNDING
from ..warnings import ConvergenceWarning, DisconnectedGraphWarning, GapWarning

Scaling = Literal["unit", "covariance"]
Disconnected = Literal["warn", "error", "largest"]
AnyArray = Array | np.ndarray  # an embedding taken to the host is one still
_ANGLE_LIMIT = np.deg2rad(0.1)  # expected rounding beyond this is warned of


class DisconnectedGraphError(ValueError):
    """The neighbourhood graph falls apart, and the caller asked for an error."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("points", "singular_values", "residuals", "gap", "num_components", "converged", "rows"),
    meta_fields=("solver",),
)
@dataclass(frozen=True)
class Embedding:
    """An embedding with what is known about its quality.

    Attributes:
        points: the embedding, shape (n, dim); columns by rising singular value, centred, with the sign that
            makes the entry of largest magnitude positive. Unit columns, or (1/n) Y^T Y = I: see `embed`.
        singular_values: of B, without the constant's zero, shape (dim,). Their squares are the eigenvalues of
            M = B^T B, and the sum of the squares is the embedding's cost.
        residuals: ``|B^T B v - s^2 v|`` of each unit vector v with its singular value s, shape (dim,), as
            computed in the dtype of the points.
        gap: ``(s_{dim+1} - s_dim) / |B|``, the distance from the first singular value left out, relative to (a
            bound of) the norm. In a dtype with rounding eps the embedding's subspace is off by an angle of up to
            eps / gap, whatever the solver; see `rounding_angle`. Infinite if nothing is left out.
        num_components: null vectors of B that the graph alone gives it: 1 for a connected graph. With more, the first
            columns only tell the parts of the graph from each other. `Landmark` inside jit counts the singular values
            below rounding instead, to which exactly flat data add.
        converged: whether the solver reached its tolerance.
        rows: which rows of the alignment the points are, shape (n,).
        solver: name of the solver that was used.
    """

    points: Float[AnyArray, "... n dim"]
    singular_values: Float[AnyArray, "... dim"]
    residuals: Float[AnyArray, "... dim"]
    gap: Float[AnyArray, "..."]
    num_components: Int[AnyArray, "..."]
    converged: Bool[AnyArray, "..."]
    rows: Int[AnyArray, "... n"]
    solver: str

    @property
    def rounding_angle(self) -> Float[Array, "..."]:
        """Return the angle in radians by which rounding is expected to have turned the subspace: eps / (32 gap)."""
        return jnp.minimum(TYPICAL_ROUNDING * jnp.finfo(self.points.dtype).eps / self.gap, jnp.pi / 2)


def embed(
    alignment: Alignment,
    dim: int,
    *,
    solver: Solver | Literal["auto"] = "auto",
    scaling: Scaling = "unit",
    disconnected: Disconnected = "warn",
    key: Array | None = None,
    points: Float[Any, "n d"] | None = None,
    start: Float[Any, "n c"] | None = None,
) -> Embedding:
    """Embed the points of an alignment by its bottom singular vectors.

    Minimises ``|B Y|^2`` over centred Y with orthonormal columns (Roweis and Saul 2000, equation 2). The points are
    differentiable in the blocks as a subspace, whatever the solver (`jaxlle.derivatives`): every function of them that no
    rotation changes has its derivative, also where singular values are equal. Fix the gauge of others by `metrics.procrustes`.

    Args:
        alignment: the local maps, from `lle_alignment` or made by hand.
        dim: number of columns, 1 <= dim <= n - 1.
        solver: one of `jaxlle.solvers`, or "auto", which chooses by size and device (`solvers.choose`).
        scaling: "unit" for columns of norm 1 (scikit-learn), "covariance" for (1/n) Y^T Y = I (Roweis and Saul).
        disconnected: what to do, outside jit, if the graph falls apart: "warn" and embed the whole, whose first
            columns then tell the parts from each other; "error"; or embed the "largest" part alone, with
            `Embedding.rows`. For one embedding a part see `embed_components`.
        key: seeds the solver's start; the same key gives the same answer. None: key(0).
        points: the data that the alignment is of, for solvers that choose landmarks among them, shape (n, d). They
            change the time and not the answer; `lle` passes them on.
        start: vectors to start from, for iterative solvers: an embedding of nearly the same data, shape (n, c).

    Returns:
        Embedding. Inside jit it carries num_components, gap and converged as data and warns of nothing.

    Raises:
        ValueError: for a malformed alignment, dim out of range or unknown options.
        DisconnectedGraphError: a ValueError, if asked for.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.embed(jaxlle.lle_alignment(x, k=8), 2).points.shape
        (100, 2)
    """
    _check_options(scaling, disconnected)
    dim = check_count(dim, "dim (n_components)", 1, alignment.indices.shape[0] - 1, "fewer than the points")
    key = jax.random.key(0) if key is None else key
    fixed = lax.stop_gradient(alignment)  # concrete under grad outside jit
    hints = Hints(*map(without_derivative, (points, start)))
    if is_traced(fixed, key):
        return solve(alignment, dim, solver, scaling, key, hints)
    check_alignment(fixed)
    components = connected_components(fixed)
    if len(components.sizes) > 1 or len(components.closed) > 1:
        if disconnected == "largest" and len(components.sizes) > 1:
            return _embed_rows(alignment, np.flatnonzero(components.labels == 0), dim, solver, scaling, key, hints)
        _report(components, disconnected)
    return warn_if_unreliable(_counted(solve(alignment, dim, solver, scaling, key, hints), components))


def embed_components(
    alignment: Alignment,
    dim: int,
    *,
    solver: Solver | Literal["auto"] = "auto",
    scaling: Scaling = "unit",
    key: Array | None = None,
    points: Float[Any, "n d"] | None = None,
) -> tuple[Embedding, ...]:
    """Embed every part of a disconnected graph on its own, the largest first.

    Args:
        alignment: as for `embed`; outside jit only.
        dim: number of columns of each.
        solver: as for `embed`.
        scaling: as for `embed`.
        key: as for `embed`.
        points: as for `embed`.

    Returns:
        One Embedding a part; `rows` says which points it holds. A connected graph gives one.

    Raises:
        ValueError: as `embed`; also if a part has too few points for dim.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3)).at[:40].add(100)
        >>> [part.points.shape for part in jaxlle.embedding.embed_components(jaxlle.lle_alignment(x, k=8), 2)]
        [(60, 2), (40, 2)]
    """
    _check_options(scaling, "warn")
    check_alignment(alignment)
    key = jax.random.key(0) if key is None else key
    components = connected_components(alignment)
    check_count(dim, "dim (n_components)", 1, int(components.sizes.min()) - 1, "fewer than the smallest part's points")
    parts = [np.flatnonzero(components.labels == part) for part in range(len(components.sizes))]
    return tuple(_embed_rows(alignment, rows, dim, solver, scaling, key, Hints(points)) for rows in parts)


def _check_options(scaling: str, disconnected: str) -> None:
    if scaling not in ("unit", "covariance"):
        raise ValueError(f"scaling = {scaling!r} is not known: use 'unit' or 'covariance'.")
    if disconnected not in ("warn", "error", "largest"):
        raise ValueError(f"disconnected = {disconnected!r} is not known: use 'warn', 'error' or 'largest'.")


def _embed_rows(
    alignment: Alignment, rows: np.ndarray, dim: int, solver: Any, scaling: Scaling, key: Array, hints: Hints
) -> Embedding:
    """Embed some points whose neighbourhoods do not leave them."""
    check_count(dim, "dim (n_components)", 1, len(rows) - 1, f"fewer than the part's {len(rows)} points")
    place = np.zeros(alignment.indices.shape[0], np.int32)
    place[rows] = np.arange(len(rows))
    part = Alignment(jnp.asarray(place[np.asarray(alignment.indices)[rows]]), alignment.blocks[rows])
    inner = connected_components(part)
    if len(inner.closed) > 1:
        _report(inner, "warn")
    own = Hints(*(None if values is None else values[rows] for values in hints))
    out = warn_if_unreliable(_counted(solve(part, dim, solver, scaling, key, own), inner))
    return Embedding(**{**out.__dict__, "rows": jnp.asarray(rows, jnp.int32)})


def _counted(embedding: Embedding, components: Components) -> Embedding:
    """Return the embedding with the number of null vectors that the graph has: a solver sees what rounding leaves of them."""
    count = jnp.full_like(embedding.num_components, len(components.closed))
    return Embedding(**{**embedding.__dict__, "num_components": count})


def solve(alignment: Alignment, dim: int, solver: Any, scaling: Scaling, key: Array, hints: Hints) -> Embedding:
    """Embed the points of an alignment that needs no check, and warn of nothing."""
    fixed = lax.stop_gradient(alignment)
    if solver == "auto":
        solver = choose(fixed, is_traced(fixed, key))
    elif not callable(solver):
        raise ValueError(
            f"solver = {solver!r} is not known: use 'auto' or an object of jaxlle.solvers, such as DenseQR()."
        )
    count = min(dim + 1, alignment.indices.shape[0] - 1)
    spectrum: Any = jax.tree.map(jnp.asarray, solver(fixed, count, key, hints))
    dtype = alignment.blocks.dtype
    values, vectors = spectrum.singular_values.astype(dtype), spectrum.vectors.astype(dtype)
    kept, moving = subspace(alignment, values[:dim], vectors[:, :dim], matching(solver))
    points, residuals, gap = _finish(fixed, values, moving, dim, scaling)
    return Embedding(
        points=points,
        singular_values=kept,
        residuals=residuals,
        gap=gap,
        num_components=spectrum.num_components.astype(jnp.int32),
        converged=spectrum.converged & jnp.isfinite(points).all(),
        rows=jnp.arange(alignment.indices.shape[0], dtype=jnp.int32),
        solver=type(solver).__name__,
    )


@partial(jax.jit, static_argnames=("dim", "scaling"))
def _finish(
    alignment: Alignment, values: Array, vectors: Array, dim: int, scaling: Scaling
) -> tuple[Float[Array, "n dim"], Float[Array, " dim"], Float[Array, ""]]:
    """Return points with fixed sign and scale, residuals, and the relative gap."""
    n = vectors.shape[0]
    gap = (
        (values[dim] - values[dim - 1]) / alignment.norm_bound()
        if values.shape[0] > dim
        else jnp.array(jnp.inf, values.dtype)
    )
    points, still = vectors, lax.stop_gradient(vectors)
    residuals = alignment.rmatvec(alignment.matvec(still)) - still * values[:dim] ** 2
    top = jnp.take_along_axis(points, jnp.argmax(jnp.abs(points), axis=0)[None], axis=0)
    points = points * jnp.where(top < 0, -1, 1)
    if scaling == "covariance":
        points = points * jnp.sqrt(jnp.asarray(n, points.dtype))
    return points, jnp.linalg.norm(residuals, axis=0), jnp.maximum(gap, 0)


def _report(components: Components, disconnected: Disconnected) -> None:
    sizes = components.sizes
    if len(sizes) > 1:
        listed = ", ".join(map(str, sizes[:8])) + (", ..." if len(sizes) > 8 else "")
        text = (
            f"The neighbourhood graph falls into {len(sizes)} components of {listed} points: the first columns of the "
            f"embedding only tell them apart. Raise k, take disconnected='largest', or use embed_components."
        )
    else:
        listed = ", ".join(str(len(c)) for c in components.closed[:8]) + (", ..." if len(components.closed) > 8 else "")
        text = (
            f"The neighbourhood graph has {len(components.closed)} closed classes, of {listed} points that no member's "
            f"neighbourhood leaves: the first columns of the embedding only tell them apart. Raise k."
        )
    if disconnected == "error":
        raise DisconnectedGraphError(text)
    warnings.warn(text, DisconnectedGraphWarning, stacklevel=4)


def warn_if_unreliable(embedding: Embedding) -> Embedding:
    """Warn of what the numbers say, outside jit."""
    if not bool(embedding.converged):
        warnings.warn(
            f"{embedding.solver} did not converge (residuals up to {float(embedding.residuals.max()):.2g}): the best so far is "
            f"returned. Raise its iteration limit, or try another solver.",
            ConvergenceWarning,
            stacklevel=4,
        )
    elif float(embedding.rounding_angle) > _ANGLE_LIMIT:
        dtype = embedding.points.dtype
        advice = "Raise reg or k" + (", or compute in float64 (jax_enable_x64)." if dtype == np.float32 else ".")
        warnings.warn(
            f"The gap at the cut, {float(embedding.gap):.2g}, is too small for {dtype}: rounding turns the embedding by about "
            f"{np.rad2deg(float(embedding.rounding_angle)):.2g} degrees. {advice}",
            GapWarning,
            stacklevel=4,
        )
    return embedding
