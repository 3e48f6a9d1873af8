"""The operator of all variants: a small local map for every point.

Every variant of LLE is a set of blocks. The block of point i is an r x m matrix that acts on the m points of its neighborhood,
and the embedding consists of the bottom right singular vectors of the stacked maps B, ``(B y)_i = block_i @ y[indices_i]``. In
LLE r = 1 and the block is ``[1, -w]``, so that B = I - W. ``M = B^T B`` is never formed, because squaring loses half of the
digits.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int, Real

from .._core.arrays import read_array, read_floats
from .._core.blocks import gather_rows, take_rows
from .._core.checks import all_finite, is_traced, to_host_if_cheap
from ..neighbors import Neighbors
from ..neighbors.graph import prepare_graph
from ._columns import UNROLL, Columns, by_columns

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import LinearOperator


class Alignment(NamedTuple):
    """The local maps of n points: `blocks[i]` acts on the rows `indices[i]`. The rows of every block sum to zero.

    Attributes:
        indices: the m points of each neighborhood, shape (n, m). The entries of a repeated index are added.
        blocks: the local maps, shape (n, r, m).

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> ring = jnp.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
        >>> b = jaxlle.Alignment(ring, jnp.tile(jnp.array([[[1.0, -0.5, -0.5]]]), (3, 1, 1)))
        >>> b.matvec(jnp.array([0.0, 0.0, 1.0]))
        Array([-0.5, -0.5,  1. ], dtype=float32)
    """

    indices: Int[Array, "n m"]
    blocks: Float[Array, "n r m"]

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape (n r, n) of B."""
        n, r, _ = self.blocks.shape
        return n * r, n

    def matvec(self, y: Real[Array, "n *c"]) -> Float[Array, "nr *c"]:
        """Return B y, shape (n r,) or (n r, c)."""
        return _matvec(self, y)

    def rmatvec(self, z: Real[Array, "nr *c"]) -> Float[Array, "n *c"]:
        """Return B^T z, shape (n,) or (n, c). For many products with the same alignment, call `prepare` once."""
        return _rmatvec_once(self, _as_floats(z))

    def prepare(self) -> "PreparedAlignment":
        """Return the alignment with its entries sorted by column, for fast repeated products with B^T."""
        return prepare_rows(self, self.indices.shape[0])

    def row_sums(self) -> Float[Array, "n r"]:
        """Return B 1, which is zero up to rounding."""
        return self.blocks.sum(axis=2)

    def norm_bound(self) -> Float[Array, ""]:
        """Return sqrt(|B|_1 |B|_inf), an upper bound of the largest singular value that is tight up to a small factor."""
        size = jnp.abs(self.blocks)
        columns = jnp.zeros(self.indices.shape[0], size.dtype).at[self.indices].add(size.sum(axis=1))
        return jnp.sqrt(columns.max() * size.sum(axis=2).max())

    def to_dense(self) -> Float[Array, "nr n"]:
        """Return B as a dense matrix of n r x n entries, for small n."""
        n, r, _ = self.blocks.shape
        rows = jnp.arange(n)[:, None, None] * r + jnp.arange(r)[None, :, None]
        dense = jnp.zeros(self.shape, self.blocks.dtype)
        return dense.at[rows, self.indices[:, None, :]].add(self.blocks)

    def to_scipy(self) -> "csr_array":
        """Return B as a SciPy sparse array on the host, without explicit zeros."""
        from scipy.sparse import csr_array

        n, r, m = self.blocks.shape
        columns = np.repeat(np.asarray(self.indices), r, axis=0).ravel()
        data = np.array(self.blocks).ravel()  # a copy, because the buffers of JAX are read-only and sorting is in place
        matrix = csr_array((data, columns, np.arange(n * r + 1) * m), shape=self.shape)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix

    def linear_operator(self) -> "LinearOperator":
        """Return B as a SciPy LinearOperator on the host, for SciPy's iterative solvers."""
        from scipy.sparse.linalg import aslinearoperator

        return aslinearoperator(self.to_scipy())


class PreparedAlignment(NamedTuple):
    """An alignment, or some of its rows, with the entries also sorted by column: see `Alignment.prepare`."""

    alignment: Alignment
    columns: Columns

    def matvec(self, y: Real[Array, "n *c"]) -> Float[Array, "nr *c"]:
        """Return B y."""
        return self.alignment.matvec(y)

    def rmatvec(self, z: Real[Array, "nr *c"]) -> Float[Array, "n *c"]:
        """Return B^T z, the same bits in every run on a device."""
        return _rmatvec_prepared(self, _as_floats(z))

    def gram(self, y: Float[Array, "n *c"]) -> Float[Array, "n *c"]:
        """Return B^T (B y), the product with M, without forming M."""
        return self.rmatvec(self.matvec(y))


def prepare_rows(rows: Alignment, num_points: int) -> PreparedAlignment:
    """Prepare some rows of an alignment of `num_points` points."""
    return PreparedAlignment(rows, by_columns(rows.indices, lax.stop_gradient(rows.blocks), num_points))


def prepare_alignment(alignment: Any, num_points: int | None = None) -> Alignment:
    """Validate an alignment, of `num_points` points if given, and return its arrays on the device.

    Raises:
        TypeError: if it is not an `Alignment` value.
        ValueError: if its arrays are not integers and real numbers of matching shapes, if it has another number of points, or,
            outside jit, if it is malformed.
    """
    if not (hasattr(alignment, "indices") and hasattr(alignment, "blocks")):
        raise TypeError(
            f"alignment is of type {type(alignment).__name__}, but must be an Alignment value, such as that of lle_alignment."
        )
    indices = read_array(alignment.indices, "alignment.indices")
    blocks = read_floats(alignment.blocks, "alignment.blocks", "n r m", finite=False)
    if np.dtype(indices.dtype).kind not in "iu" or 0 in blocks.shape:
        raise ValueError(
            f"The alignment has indices of dtype {indices.dtype} and blocks of shape {blocks.shape}, but needs integers, and "
            f"blocks of at least one row and column."
        )
    found = Alignment(indices, blocks)
    if not is_traced(found):
        check_alignment(found)
        found = Alignment(jnp.asarray(indices, jnp.int32), blocks)
    if num_points is not None and indices.shape[0] != num_points:
        raise ValueError(
            f"The alignment has {indices.shape[0]} points, but there are {num_points}: pass that of these points."
        )
    return found


def check_alignment(alignment: Any) -> None:
    """Raise if an alignment is malformed, outside jit."""
    indices, blocks = alignment.indices, alignment.blocks
    if indices.ndim != 2 or blocks.ndim != 3 or blocks.shape[::2] != indices.shape:
        raise ValueError(
            f"An alignment needs indices of shape (n, m) and blocks of shape (n, r, m), got {indices.shape} and {blocks.shape}."
        )
    n, indices, blocks = indices.shape[0], to_host_if_cheap(indices), to_host_if_cheap(blocks)
    low, high = map(int, _range(indices) if isinstance(indices, jax.Array) else (indices.min(), indices.max()))
    if low < 0 or high >= n:
        raise ValueError(f"The alignment's indices run from {low} to {high}, but it has {n} points (0 to {n - 1}).")
    if not all_finite(blocks):
        raise ValueError("The alignment's blocks contain NaN or infinity: check the weights that they were made from.")
    measure = _row_sum_and_size if isinstance(blocks, jax.Array) else partial(_measure_rows, np)
    row_sum, size = map(float, measure(blocks))
    if size == 0:
        raise ValueError("All entries of the alignment's blocks are zero, so that they determine no embedding.")
    if row_sum > 1e-3 * size:
        raise ValueError(
            f"The rows of the alignment's blocks must sum to zero (each point minus an affine combination), but one sums "
            f"to {row_sum:.3g}: normalize the weights to sum to one."
        )


@jax.jit
def _range(indices: Array) -> tuple[Array, Array]:
    return indices.min(), indices.max()


def _measure_rows(xp: Any, blocks: Any) -> tuple[Any, Any]:
    """Return the largest row sum and the largest absolute row sum."""
    return xp.abs(blocks.sum(axis=2)).max(), xp.abs(blocks).sum(axis=2).max()


_row_sum_and_size = jax.jit(partial(_measure_rows, jnp))


@jax.jit
def _matvec(alignment: Alignment, y: Array) -> Array:
    indices, blocks = alignment
    n, r, m = blocks.shape
    flat = y.reshape(y.shape[0], -1)
    if m <= UNROLL:
        # The barriers keep the sum in one kernel. Otherwise XLA merges the terms with what y is computed from or what the result
        # is used for, or moves parts of them out of loops, and compiles one or two kernels for each term.
        # One barrier each: with a common one, a derivative in the blocks would regard y as a tangent too.
        indices, blocks, flat = (lax.optimization_barrier(a) for a in (indices, blocks, flat))
        # Halving and doubling is exact, and makes this pass three times faster than XLA on a CPU compiles the plain sum.
        factors = lax.split(blocks / 2, (1,) * m, axis=2)
        ids = lax.split(indices, (1,) * m, axis=1)
        out = 2 * sum(a * gather_rows(flat, i)[:, None, :] for a, i in zip(factors, ids, strict=True))
        out = lax.optimization_barrier(out)
    else:
        out = jnp.einsum("nrm,nmc->nrc", blocks, take_rows(flat, indices), precision=lax.Precision.HIGHEST)
    return jnp.reshape(out, (n * r, *y.shape[1:]))


def _as_floats(z: Real[Array, "nr *c"]) -> Float[Array, "nr *c"]:
    z = jnp.asarray(z)
    return z if jnp.issubdtype(z.dtype, jnp.inexact) else z.astype(jnp.result_type(float))


@jax.jit
def _rmatvec_once(alignment: Alignment, z: Array) -> Array:
    """Return B^T z, by a function that can be transposed, as the rules for derivatives need it.

    On a CPU a scatter is deterministic, and faster than sorting the entries by column for one product.
    """
    size = alignment.indices.shape[0]

    def sort_and_gather(alignment: Alignment, z: Array) -> Array:
        return _by_columns(by_columns(*alignment, size), alignment, z, fixed=True)

    return lax.platform_dependent(alignment, z, cpu=partial(_rmatvec_by_scatter, size=size), default=sort_and_gather)


def _rmatvec_by_scatter(alignment: Alignment, z: Array, size: int) -> Array:
    """Return B^T z as a sum of one scatter for each position in the neighborhoods."""
    indices, blocks = alignment
    n, r, _ = blocks.shape
    flat = z.reshape(n, r, -1)

    def add(total: Array, entries: tuple[Array, Array]) -> tuple[Array, None]:
        ids, values = entries
        return total.at[ids].add(jnp.einsum("nr,nrc->nc", values, flat, precision=lax.Precision.HIGHEST)), None

    start = jnp.zeros((size, flat.shape[2]), jnp.promote_types(blocks.dtype, z.dtype))
    total, _ = lax.scan(add, start, (indices.T, jnp.moveaxis(blocks, 2, 0)))
    return total.reshape(size, *z.shape[1:])


def _by_columns(columns: Columns, alignment: Alignment, z: Array, fixed: bool = False) -> Array:
    n, r, _ = alignment.blocks.shape
    out = columns.product(z.reshape(n, r, -1), fixed)
    return jnp.reshape(out, (len(out), *z.shape[1:]))


@jax.custom_jvp
def _rmatvec_prepared(prepared: PreparedAlignment, z: Array) -> Array:
    return _by_columns(prepared.columns, prepared.alignment, z)


@partial(_rmatvec_prepared.defjvp, symbolic_zeros=True)
def _rmatvec_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """Differentiate B^T z by a loop that JAX can transpose, unlike the loops over the slabs that have entries."""
    (prepared, z), (moved, z_moved) = primals, tangents
    out, alignment = _rmatvec_prepared(prepared, z), prepared.alignment
    tangent = jnp.zeros_like(out)
    if not isinstance(z_moved, SymbolicZero):
        tangent += _rmatvec_by_scatter(alignment, z_moved, len(out))
    if not isinstance(moved.alignment.blocks, SymbolicZero):
        tangent += _rmatvec_by_scatter(alignment._replace(blocks=moved.alignment.blocks), z, len(out))
    return out, tangent


def weights_alignment(neighbors: Neighbors, weights: Float[Any, "n k"]) -> Alignment:
    """Return the alignment B = I - W of neighborhoods and their weights.

    Args:
        neighbors: the neighborhoods of all points.
        weights: weights whose rows sum to 1 (or to 0 for a point without neighbors), 0 where masked, shape (n, k).

    Returns:
        Alignment with blocks ``[1, -w]`` on the points ``[i, neighbors of i]``.

    Raises:
        ValueError: if weights and indices have different shapes, or, outside jit, if indices are out of range.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.array([[0.0], [1.0], [3.0]])
        >>> neighbors = jaxlle.knn(x, 2)
        >>> jaxlle.weights_alignment(neighbors, jnp.full((3, 2), 0.5)).to_dense()
        Array([[ 1. , -0.5, -0.5],
               [-0.5,  1. , -0.5],
               [-0.5, -0.5,  1. ]], dtype=float32)
    """
    neighbors = prepare_graph(neighbors)
    return _from_weights(neighbors, read_weights(weights, neighbors))


def read_weights(weights: Any, neighbors: Neighbors) -> Float[Array, "n k"]:
    """Return validated weights, one per neighbor."""
    weights = read_floats(weights, "weights")
    if weights.shape != neighbors.indices.shape:
        raise ValueError(
            f"weights has shape {tuple(weights.shape)}, but the indices of neighbors have shape "
            f"{tuple(neighbors.indices.shape)}: pass one weight per neighbor."
        )
    return weights


@jax.jit
def _from_weights(neighbors: Neighbors, weights: Float[Array, "n k"]) -> Alignment:
    n = neighbors.indices.shape[0]
    own = jnp.arange(n, dtype=neighbors.indices.dtype)[:, None]
    # The sum of the weights, 1 up to rounding, replaces the 1, so that B 1 = 0 as accurately as the dtype allows.
    blocks = jnp.concatenate([weights.sum(axis=1, keepdims=True), -weights], axis=1)
    return Alignment(jnp.concatenate([own, neighbors.indices], axis=1), blocks[:, None, :])
