"""Stage 3: the embedding, from the bottom singular vectors of an alignment."""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.blocks import BLOCK_BYTES
from .._core.checks import check_count, is_traced, without_derivative
from .._core.points import prepare_points
from ..alignment import Alignment, Components, connected_components
from ..alignment.operator import check_alignment
from ..derivatives import subspace, tangent_solver
from ..solvers import Hints, Solver, choose
from ..solvers.spectrum import TYPICAL_ROUNDING
from ..warnings import ConvergenceWarning, DisconnectedGraphWarning, GapWarning

Scaling = Literal["unit", "covariance"]
Disconnected = Literal["warn", "error", "largest"]
AnyArray = Array | np.ndarray  # embeddings may be moved to the host

_ANGLE_LIMIT = np.deg2rad(0.1)  # a larger expected rounding error is warned of


class DisconnectedGraphError(ValueError):
    """The neighborhood graph is disconnected, and `EmbedOptions.disconnected` is "error"."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("key",),
    meta_fields=("scaling", "disconnected", "dedupe", "block_bytes"),
)
@dataclass(frozen=True)
class EmbedOptions:
    """Options that every embedding takes, in one value.

    Attributes:
        scaling: "unit" for columns of norm 1 (scikit-learn), "covariance" for (1/n) Y^T Y = I (Roweis and Saul).
        disconnected: what to do, outside jit, if the graph is disconnected: "warn" and embed all points, so that the first
            columns only separate the components; "error"; or embed the "largest" component alone, with `Embedding.rows`. For
            one embedding per component see `embed_components`.
        dedupe: embed each distinct point once and give its copies the same position; outside jit, and only in functions that
            are given the points and find their neighbors.
        key: seed of the start of the solver, a `jax.random.key`; the same key gives the same result. None: key(0).
        block_bytes: memory that one block of points may take.

    Raises:
        ValueError: for an unknown scaling or disconnected.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> y = jaxlle.lle(x, 2, k=8, options=jaxlle.EmbedOptions(scaling="covariance")).points
        >>> bool(jax.numpy.allclose(y.T @ y / 100, jax.numpy.eye(2), atol=1e-5))
        True
    """

    scaling: Scaling = "unit"
    disconnected: Disconnected = "warn"
    dedupe: bool = False
    key: Array | None = None
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        """Validate the names."""
        if self.scaling not in ("unit", "covariance"):
            raise ValueError(f"scaling = {self.scaling!r} is not known: use 'unit' or 'covariance'.")
        if self.disconnected not in ("warn", "error", "largest"):
            raise ValueError(f"disconnected = {self.disconnected!r} is not known: use 'warn', 'error' or 'largest'.")

    @property
    def random_key(self) -> Array:
        """Return the key, or key(0)."""
        return jax.random.key(0) if self.key is None else self.key


DEFAULTS = EmbedOptions()


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("points", "singular_values", "residuals", "gap", "num_components", "converged", "rows"),
    meta_fields=("solver",),
)
@dataclass(frozen=True)
class Embedding:
    """An embedding with its diagnostics.

    Attributes:
        points: the embedding, shape (n, dim); columns in order of increasing singular value, centered, with the sign that
            makes the entry of largest magnitude positive. Unit columns, or (1/n) Y^T Y = I: see `EmbedOptions`.
        singular_values: of B, without the zero of the constant vector, shape (dim,). Their squares are the eigenvalues of
            M = B^T B, and the sum of the squares is the cost of the embedding.
        residuals: ``|B^T B v - s^2 v|`` of each unit vector v with its singular value s, shape (dim,), as
            computed in the dtype of the points.
        gap: ``(s_{dim+1} - s_dim) / |B|``, the distance to the first omitted singular value, relative to (a
            bound of) the norm. In a dtype with rounding eps the subspace of the embedding is off by an angle of up to
            eps / gap, whatever the solver; see `rounding_angle`. Infinite if no singular value is omitted.
        num_components: number of null vectors of B that follow from the graph: 1 for a connected graph. With more, the first
            columns only separate the components. `Landmark` inside jit counts the singular values below rounding
            instead, which exactly flat data increase.
        converged: whether the solver reached its tolerance.
        rows: indices of the points in the alignment, shape (n,).
        solver: name of the solver.
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
        """Return the angle in radians by which rounding is expected to have rotated the subspace: eps / (32 gap)."""
        return jnp.minimum(TYPICAL_ROUNDING * jnp.finfo(self.points.dtype).eps / self.gap, jnp.pi / 2)


def embed(
    alignment: Alignment,
    dim: int,
    *,
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
    points: Any = None,
    start: Float[Any, "n c"] | None = None,
) -> Embedding:
    """Embed the points of an alignment by its bottom singular vectors.

    Minimizes ``|B Y|^2`` over centered Y with orthonormal columns (Roweis and Saul 2000, equation 2). The points are
    differentiable in the blocks as a subspace, whatever the solver (`jaxlle.derivatives`): every function of them that is
    invariant to rotation has its derivative, also where singular values are equal. For other functions fix the gauge by
    `metrics.procrustes`.

    Args:
        alignment: the local maps, from `lle_alignment` or made by hand.
        dim: number of columns, 1 <= dim <= n - 1.
        solver: one of `jaxlle.solvers`, or "auto", which chooses by size and device (`solvers.choose`).
        options: scaling, what to do with a disconnected graph, and the random key.
        points: the data of the alignment, shape (n, d), or a `Points` value, for solvers that choose landmarks among them.
            They affect the time and not the result; `lle` passes them on.
        start: initial vectors for iterative solvers: an embedding of nearly the same data, shape (n, c).

    Returns:
        Embedding. Inside jit it carries num_components, gap and converged as data, and no warning is issued.

    Raises:
        ValueError: for a malformed alignment, dim out of range, an unknown solver, points of another number, or options.dedupe.
        DisconnectedGraphError: a ValueError, if options.disconnected is "error".

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.embed(jaxlle.lle_alignment(x, k=8), 2).points.shape
        (100, 2)
    """
    if options.dedupe:
        raise ValueError(
            "dedupe=True is not available here: it drops copies of points before the neighbors are found. Use lle, or drop them."
        )
    dim = check_count(dim, "dim (n_components)", 1, alignment.indices.shape[0] - 1, "less than the number of points")
    fixed = lax.stop_gradient(alignment)  # concrete under grad outside jit
    hints = _hints(alignment, points, start)
    if is_traced(fixed, options.random_key):
        return solve(alignment, dim, solver, options, hints)
    check_alignment(fixed)
    components = connected_components(fixed)
    if len(components.sizes) > 1 or len(components.closed) > 1:
        if options.disconnected == "largest" and len(components.sizes) > 1:
            return _embed_component(alignment, np.flatnonzero(components.labels == 0), dim, solver, options, hints)
        _report_disconnected(components, options.disconnected)
    out = _count_components(solve(alignment, dim, solver, options, hints), components)
    warn_if_unreliable(out)
    return out


def embed_components(
    alignment: Alignment,
    dim: int,
    *,
    solver: Solver | Literal["auto"] = "auto",
    options: EmbedOptions = DEFAULTS,
    points: Any = None,
) -> tuple[Embedding, ...]:
    """Embed every component of a disconnected graph separately, the largest first.

    Args:
        alignment: as for `embed`; outside jit only.
        dim: number of columns of each embedding.
        solver: as for `embed`.
        options: as for `embed`; `disconnected` is not used.
        points: as for `embed`.

    Returns:
        One Embedding per component; its `rows` are the indices of its points. A connected graph gives one.

    Raises:
        ValueError: as `embed`; also if a component has too few points for dim.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3)).at[:40].add(100)
        >>> [part.points.shape for part in jaxlle.embedding.embed_components(jaxlle.lle_alignment(x, k=8), 2)]
        [(60, 2), (40, 2)]
    """
    check_alignment(alignment)
    components = connected_components(alignment)
    check_count(
        dim, "dim (n_components)", 1, int(components.sizes.min()) - 1, "less than the size of the smallest component"
    )
    hints = _hints(alignment, points, None)
    parts = [np.flatnonzero(components.labels == part) for part in range(len(components.sizes))]
    return tuple(_embed_component(alignment, rows, dim, solver, options, hints) for rows in parts)


def _hints(alignment: Alignment, points: Any, start: Any) -> Hints:
    """Return what may speed up a solver, without derivatives."""
    coordinates = None if points is None else prepare_points(points).coordinates
    n = alignment.indices.shape[0]
    if coordinates is not None and coordinates.shape[0] != n:
        raise ValueError(f"points has {coordinates.shape[0]} rows, but the alignment has {n} points.")
    return Hints(*without_derivative((coordinates, start)))


def _embed_component(
    alignment: Alignment, rows: np.ndarray, dim: int, solver: Any, options: EmbedOptions, hints: Hints
) -> Embedding:
    """Embed some points whose neighborhoods contain no others."""
    check_count(dim, "dim (n_components)", 1, len(rows) - 1, f"less than the {len(rows)} points of the component")
    position = np.zeros(alignment.indices.shape[0], np.int32)
    position[rows] = np.arange(len(rows))
    part = Alignment(jnp.asarray(position[np.asarray(alignment.indices)[rows]]), alignment.blocks[rows])
    inner = connected_components(part)
    if len(inner.closed) > 1:
        _report_disconnected(inner, "warn")
    own = Hints(*(None if values is None else values[rows] for values in hints))
    out = _count_components(solve(part, dim, solver, options, own), inner)
    warn_if_unreliable(out)
    return replace(out, rows=jnp.asarray(rows, jnp.int32))


def _count_components(embedding: Embedding, components: Components) -> Embedding:
    """Return the embedding with the number of null vectors that the graph has: solvers count them up to rounding only."""
    return replace(embedding, num_components=jnp.full_like(embedding.num_components, len(components.closed)))


def solve(alignment: Alignment, dim: int, solver: Any, options: EmbedOptions, hints: Hints) -> Embedding:
    """Embed the points of a valid alignment without checks of its graph and without warnings: the traceable part of `embed`."""
    key, fixed = options.random_key, lax.stop_gradient(alignment)
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
    kept, moving = subspace(alignment, values[:dim], vectors[:, :dim], tangent_solver(solver))
    points, residuals, gap = _finish(fixed, values, moving, dim, options.scaling)
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


def _report_disconnected(components: Components, disconnected: Disconnected) -> None:
    sizes = components.sizes
    if len(sizes) > 1:
        listed = ", ".join(map(str, sizes[:8])) + (", ..." if len(sizes) > 8 else "")
        text = (
            f"The neighborhood graph is disconnected: it has {len(sizes)} components of {listed} points, and the first columns "
            f"of the embedding only separate them. Raise k, pass options=EmbedOptions(disconnected='largest'), or use "
            f"jaxlle.embedding.embed_components."
        )
    else:
        listed = ", ".join(str(len(c)) for c in components.closed[:8]) + (", ..." if len(components.closed) > 8 else "")
        text = (
            f"The neighborhood graph has {len(components.closed)} closed classes of {listed} points, whose neighborhoods "
            f"contain no other points: the first columns of the embedding only separate them. Raise k."
        )
    if disconnected == "error":
        raise DisconnectedGraphError(text)
    warnings.warn(text, DisconnectedGraphWarning, stacklevel=4)


def warn_if_unreliable(embedding: Embedding) -> None:
    """Warn, outside jit, if the solver did not converge or if rounding turns the embedding noticeably."""
    if not bool(embedding.converged):
        warnings.warn(
            f"{embedding.solver} did not converge (residuals up to {float(embedding.residuals.max()):.2g}): its best result so far "
            f"is returned. Raise its iteration limit, or use another solver.",
            ConvergenceWarning,
            stacklevel=4,
        )
    elif float(embedding.rounding_angle) > _ANGLE_LIMIT:
        dtype = embedding.points.dtype
        advice = "Raise reg or k" + (", or compute in float64 (jax_enable_x64)." if dtype == np.float32 else ".")
        warnings.warn(
            f"The gap at the cut, {float(embedding.gap):.2g}, is too small for {dtype}: rounding rotates the embedding by about "
            f"{np.rad2deg(float(embedding.rounding_angle)):.2g} degrees. {advice}",
            GapWarning,
            stacklevel=4,
        )
