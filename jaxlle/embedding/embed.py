"""Stage 3: the embedding, from the bottom singular vectors of an alignment."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import read_floats
from .._core.blocks import BLOCK_BYTES
from .._core.checks import (
    check_bytes,
    check_count,
    check_key,
    check_solver,
    is_traced,
    to_host_if_cheap,
    warn_user,
    without_derivative,
)
from .._core.points import prepare_points
from ..alignment import Alignment, Components, connected_components
from ..alignment.operator import check_alignment, prepare_alignment
from ..derivatives import subspace, tangent_solver
from ..distances import PRECOMPUTED
from ..solvers import Hints, SolverLike, choose
from ..solvers.spectrum import TYPICAL_ROUNDING, cut_spectrum
from ..warnings import ConvergenceWarning, DisconnectedGraphWarning, GapWarning

Scaling = Literal["unit", "covariance"]
Disconnected = Literal["warn", "error", "largest"]
AnyArray = Array | np.ndarray  # embeddings may be moved to the host

_ANGLE_LIMIT = np.deg2rad(0.1)  # expected rotation by rounding errors above which a warning is issued


class DisconnectedGraphError(ValueError):
    """Raised if the neighborhood graph is disconnected and `EmbedOptions.disconnected` is "error"."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("key",),
    meta_fields=("scaling", "disconnected", "dedupe", "block_bytes"),
)
@dataclass(frozen=True)
class EmbedOptions:
    """Options shared by all embedding functions.

    Attributes:
        scaling: "unit" for columns of norm 1 (scikit-learn), "covariance" for (1/n) Y^T Y = I (Roweis and Saul).
        disconnected: treatment of a disconnected graph, outside jit. "warn" embeds all points with a warning; the first columns
            then only separate the components. "error" raises `DisconnectedGraphError`. "largest" embeds the largest component
            alone, whose points are given by `Embedding.rows`. For one embedding per component see `embed_components`.
        dedupe: whether to embed each distinct point once and give its copies the same position; outside jit, and only in
            functions that compute the neighbors from the points.
        key: `jax.random.key` that seeds the solver and other random choices; the same key gives the same result. None means
            key(0).
        block_bytes: memory limit of one block of points, in bytes.

    Raises:
        ValueError: if scaling or disconnected is unknown, or block_bytes < 1.

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
        """Validate scaling and disconnected."""
        if self.scaling not in ("unit", "covariance"):
            raise ValueError(f"scaling = {self.scaling!r} is not known: use 'unit' or 'covariance'.")
        if self.disconnected not in ("warn", "error", "largest"):
            raise ValueError(f"disconnected = {self.disconnected!r} is not known: use 'warn', 'error' or 'largest'.")
        check_bytes(self.block_bytes)

    @property
    def random_key(self) -> Array:
        """Return `key`, or key(0) if it is None."""
        return check_key(self.key)


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
        points: the embedding, shape (n, dim). The columns are centered and in order of increasing singular value, with the sign
            that makes the entry of largest magnitude positive. They have norm 1, or (1/n) Y^T Y = I: see `EmbedOptions`.
        singular_values: smallest singular values of B, without the zero of the constant vector, shape (dim,). Their squares are
            the eigenvalues of M = B^T B, and the sum of the squares is the cost of the embedding.
        residuals: ``|B^T B v - s^2 v|`` for each unit vector v with singular value s, shape (dim,), computed in the dtype of
            the points.
        gap: ``(s_{dim+1} - s_dim) / |B|``, the distance to the first omitted singular value, relative to an upper bound of the
            norm. In a dtype with machine epsilon eps, rounding errors rotate the subspace of the embedding by an angle of up to
            eps / gap, whatever the solver; see `rounding_angle`. Infinite if no singular value is omitted.
        num_components: number of null vectors of B that follow from the graph, 1 for a connected graph. If it is larger, the
            first columns only separate the components. Inside jit, `Landmark` counts the singular values below rounding error
            instead, which can be more for exactly flat data.
        converged: whether the solver reached its tolerance and the points are finite.
        rows: indices of the embedded points in the alignment, shape (n,).
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
        """Return the expected rotation of the subspace by rounding errors, in radians: eps / (32 gap)."""
        rounding, gap = TYPICAL_ROUNDING * float(jnp.finfo(self.points.dtype).eps), to_host_if_cheap(self.gap)
        if not isinstance(gap, np.ndarray):
            return _rounding_angle(gap, rounding)
        with np.errstate(divide="ignore"):  # infinite where there is no gap
            return jax.device_put(np.minimum(rounding / gap, np.pi / 2).astype(gap.dtype))


@jax.jit
def _rounding_angle(gap: Any, rounding: Any) -> Array:
    return jnp.minimum(rounding / gap, jnp.pi / 2)


def embed(
    alignment: Alignment,
    dim: int,
    *,
    solver: SolverLike = "auto",
    options: EmbedOptions = DEFAULTS,
    points: Any = None,
    start: Float[Any, "n c"] | None = None,
) -> Embedding:
    """Embed the points of an alignment by its bottom singular vectors.

    Minimizes ``|B Y|^2`` over centered Y with orthonormal columns (Roweis and Saul 2000, equation 2). The embedding is
    differentiable with respect to the blocks as a subspace, whatever the solver (`jaxlle.derivatives`): functions of the points
    that are invariant to rotation have correct derivatives, also where singular values are equal. For other functions, align
    the embedding to a reference first, by `jaxlle.metrics.procrustes`.

    Args:
        alignment: the local maps, from a function such as `lle_alignment` or constructed directly.
        dim: number of columns, 1 <= dim <= n - 1.
        solver: an object of `jaxlle.solvers`, or "auto", which selects one by size and device (`jaxlle.solvers.choose`).
        options: scaling, disconnected graphs and random key; see `EmbedOptions`.
        points: the data of the alignment, shape (n, d), or a `Points` value, for solvers that choose landmarks among the
            points. They affect the run time but not the result; `lle` passes them automatically.
        start: initial vectors for iterative solvers, shape (n, c), such as an embedding of similar data.

    Returns:
        Embedding. Inside jit no warning is issued: see its fields num_components, gap and converged.

    Raises:
        ValueError: if the alignment is invalid, dim is out of range, the solver is unknown, points has another number of rows
            than the alignment, or options.dedupe is True.
        DisconnectedGraphError: a ValueError, if the graph is disconnected and options.disconnected is "error".

    Warns:
        DisconnectedGraphWarning: if options.disconnected is not "error" and all points of a disconnected graph are embedded, or
            a graph has several closed classes, which are sets of points whose neighborhoods contain no other points.
        ConvergenceWarning: if the solver does not reach its tolerance.
        GapWarning: if rounding errors are expected to rotate the embedding by more than 0.1 degrees.

    Example:
        >>> import jax, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> jaxlle.embed(jaxlle.lle_alignment(x, k=8), 2).points.shape
        (100, 2)
    """
    _reject_dedupe(options)
    alignment = prepare_alignment(alignment)
    dim = check_count(dim, "dim (n_components)", 1, alignment.indices.shape[0] - 1, "less than the number of points")
    fixed = lax.stop_gradient(alignment)  # concrete under grad outside jit
    hints = _hints(alignment, points, start, options)
    if is_traced(fixed, options.random_key):
        return solve(alignment, dim, solver, options, hints)
    if is_traced(alignment):
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
    alignment: Alignment, dim: int, *, solver: SolverLike = "auto", options: EmbedOptions = DEFAULTS, points: Any = None
) -> tuple[Embedding, ...]:
    """Embed every component of a disconnected graph separately, the largest first.

    Minimizes ``|B Y|^2`` as `embed` does (Roweis and Saul 2000, equation 2), over the points of one component at a time. The
    positions and rotations of the embeddings are independent of each other.

    Args:
        alignment: as for `embed`; outside jit only.
        dim: number of columns of each embedding.
        solver: as for `embed`.
        options: as for `embed`; `disconnected` and `dedupe` are not used.
        points: as for `embed`.

    Returns:
        One Embedding per component, with the indices of its points in `rows`. A connected graph gives one.

    Raises:
        ValueError: as for `embed`; also if a component has too few points for dim.

    Warns:
        DisconnectedGraphWarning, ConvergenceWarning, GapWarning: as for `embed`, for each component.

    Example:
        >>> import jax, jax.numpy as jnp, jaxlle
        >>> x = jax.random.normal(jax.random.key(0), (100, 3)).at[:40].add(100)
        >>> [out.points.shape for out in jaxlle.embedding.embed_components(jaxlle.lle_alignment(x, k=8), 2)]
        [(60, 2), (40, 2)]
    """
    _reject_dedupe(options)
    alignment = prepare_alignment(alignment)
    components = connected_components(alignment)
    check_count(
        dim, "dim (n_components)", 1, int(components.sizes.min()) - 1, "less than the size of the smallest component"
    )
    hints = _hints(alignment, points, None, options)
    members = [np.flatnonzero(components.labels == label) for label in range(len(components.sizes))]
    return tuple(_embed_component(alignment, rows, dim, solver, options, hints) for rows in members)


def _reject_dedupe(options: EmbedOptions) -> None:
    if options.dedupe:
        raise ValueError(
            "dedupe=True is not available here, because copies are dropped before the neighbors are computed: pass it to "
            "lle, or drop the copies first."
        )


def _hints(alignment: Alignment, points: Any, start: Any, options: EmbedOptions) -> Hints:
    """Return the optional inputs of solvers, without derivatives; no coordinates of large memory maps."""
    coordinates, n = None, alignment.indices.shape[0]
    prepared = None if points is None else prepare_points(points)
    if prepared is not None and prepared.metric != PRECOMPUTED:
        if prepared.shape[0] != n:
            raise ValueError(f"points has {prepared.shape[0]} rows, but the alignment has {n} points.")
        coordinates = None if prepared.is_streamed(options.block_bytes) else prepared.coordinates
    if start is not None:
        start = read_floats(start, "start", "n c")
        if start.shape[0] != n or start.shape[1] == 0:
            raise ValueError(
                f"start has shape {start.shape}, but must have one row for each of the {n} points, and a column."
            )
    return Hints(*without_derivative((coordinates, start)))


def _embed_component(
    alignment: Alignment, rows: np.ndarray, dim: int, solver: Any, options: EmbedOptions, hints: Hints
) -> Embedding:
    """Embed the points of one component, whose neighborhoods contain no other points."""
    check_count(dim, "dim (n_components)", 1, len(rows) - 1, f"less than the {len(rows)} points of the component")
    position = np.zeros(alignment.indices.shape[0], np.int32)
    position[rows] = np.arange(len(rows))
    component = Alignment(jnp.asarray(position[np.asarray(alignment.indices)[rows]]), alignment.blocks[rows])
    inner = connected_components(component)
    if len(inner.closed) > 1:
        _report_disconnected(inner, "warn")
    own = Hints(*(None if values is None else values[rows] for values in hints))
    out = _count_components(solve(component, dim, solver, options, own), inner)
    warn_if_unreliable(out)
    return replace(out, rows=jnp.asarray(rows, jnp.int32))


def _count_components(embedding: Embedding, components: Components) -> Embedding:
    """Set num_components to the number of null vectors that follow from the graph, which solvers know only up to rounding."""
    return replace(embedding, num_components=_number(len(components.closed)))


def _number(value: Array | int) -> Array:
    """Return an integer on the device, without compiling a program if it is one of Python."""
    return value.astype(jnp.int32) if isinstance(value, jax.Array) else jax.device_put(np.int32(value))


def solve(alignment: Alignment, dim: int, solver: Any, options: EmbedOptions, hints: Hints) -> Embedding:
    """Embed the points of a valid alignment, without checks of the graph and warnings: the traceable part of `embed`."""
    key, fixed = options.random_key, lax.stop_gradient(alignment)
    automatic = isinstance(solver, str) and solver == "auto"
    if automatic:
        solver = choose(fixed, is_traced(fixed, key))
    else:
        solver = check_solver(solver, "an object of jaxlle.solvers, such as DenseQR()")
    count = min(dim + 1, alignment.indices.shape[0] - 1)
    try:
        found = solver(fixed, count, key, hints)
    except np.linalg.LinAlgError:  # of a sparse factorization, where B is singular beyond the constant vector
        if not automatic:
            raise
        solver = choose(fixed, traced=True)  # a solver without factorization
        found = solver(fixed, count, key, hints)
    values, leading, vectors = cut_spectrum(found, dim, fixed.blocks)
    singular_values, basis = subspace(alignment, leading, vectors, tangent_solver(solver))
    # An array may be distributed over several hosts, where it cannot be moved.
    reached = found.converged if isinstance(found.converged, jax.Array) else jax.device_put(found.converged)
    points, residuals, gap, converged, rows = _finish(fixed, values, basis, reached, dim, options.scaling)
    return Embedding(
        points=points,
        singular_values=singular_values,
        residuals=residuals,
        gap=gap,
        num_components=_number(found.num_components),
        converged=converged,
        rows=rows,
        solver=type(solver).__name__,
    )


@partial(jax.jit, static_argnames=("dim", "scaling"))
def _finish(
    alignment: Alignment, values: Array, vectors: Array, converged: Array, dim: int, scaling: Scaling
) -> tuple[Float[Array, "n dim"], Float[Array, " dim"], Float[Array, ""], Bool[Array, ""], Int[Array, " n"]]:
    """Return points with normalized signs and scale, residuals, the relative gap, convergence to finite points, and rows."""
    n = vectors.shape[0]
    gap = (
        (values[dim] - values[dim - 1]) / alignment.norm_bound()
        if values.shape[0] > dim
        else jnp.array(jnp.inf, values.dtype)
    )
    points, fixed = vectors, lax.stop_gradient(vectors)
    residuals = alignment.rmatvec(alignment.matvec(fixed)) - fixed * values[:dim] ** 2
    top = jnp.take_along_axis(points, jnp.argmax(jnp.abs(points), axis=0)[None], axis=0)
    points = points * jnp.where(top < 0, -1, 1)
    if scaling == "covariance":
        points = points * jnp.sqrt(jnp.asarray(n, points.dtype))
    norms = jnp.linalg.norm(residuals, axis=0)
    rows = jnp.arange(n, dtype=jnp.int32)
    return points, norms, jnp.maximum(gap, 0), converged & jnp.isfinite(points).all(), rows


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
    warn_user(text, DisconnectedGraphWarning)


def warn_if_unreliable(embedding: Embedding) -> None:
    """Warn, outside jit, if the solver did not converge or rounding errors rotate the embedding noticeably."""
    if not bool(embedding.converged):
        warn_user(
            f"{embedding.solver} did not converge (residuals up to {float(embedding.residuals.max()):.2g}): the best result so "
            f"far is returned. Raise its iteration limit, or use another solver.",
            ConvergenceWarning,
        )
    elif float(embedding.rounding_angle) > _ANGLE_LIMIT:
        dtype = embedding.points.dtype
        advice = "Raise reg or k" + (", or compute in float64 (jax_enable_x64)." if dtype == np.float32 else ".")
        warn_user(
            f"The relative gap after the last column, {float(embedding.gap):.2g}, is too small for {dtype}: rounding errors "
            f"rotate the embedding by about {np.rad2deg(float(embedding.rounding_angle)):.2g} degrees. {advice}",
            GapWarning,
        )
