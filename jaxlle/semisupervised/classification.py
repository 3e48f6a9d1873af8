"""Classes of all points from those of a few."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from .._core.arrays import read_floats
from .._core.checks import is_traced
from .._core.labels import number_labels, read_labels
from .._core.missing import read_host
from ..alignment import Alignment
from ..derivatives import LinearSolver
from ..solvers import SolverLike
from .propagation import Propagation, prepare_problem, solve_problem


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("probabilities", "confidence", "codes", "converged"),
    meta_fields=("classes",),
)
@dataclass(frozen=True)
class Classification:
    """Classes of all points.

    Attributes:
        probabilities: of each class, shape (n, c); the rows sum to 1.
        confidence: 1 minus the entropy of the probabilities divided by its maximum log(c), in [0, 1], shape (n,). It is a weight
            for training on the classes (Iscen, Tolias, Avrithis and Chum 2019, CVPR; cited from memory).
        codes: position in `classes` of the most probable class, shape (n,).
        converged: as of `Propagation`.
        classes: the distinct labels, in order.
    """

    probabilities: Float[Array, "... n c"]
    confidence: Float[Array, "... n"]
    codes: Int[Array, "... n"]
    converged: Bool[Array, "..."]
    classes: tuple

    @property
    def labels(self) -> np.ndarray:
        """Return the most probable class of each point, on the host."""
        return np.asarray(self.classes)[np.asarray(self.codes)]


def classify(
    alignment: Alignment,
    known: Any,
    labels: Any,
    *,
    classes: Any = None,
    priors: Any = "labeled",
    trust: Real[ArrayLike, ""] | Real[ArrayLike, " m"] | None = None,
    solver: SolverLike | LinearSolver = "auto",
) -> Classification:
    """Classify all points of an alignment, given the classes of some.

    The columns of the identity matrix that stand for the classes are propagated, and cut off at 0 and 1: those of LLE may be
    slightly outside, those of the graph Laplacian are not. With class mass normalization each column is then scaled so that the
    unknown points have the class proportions `priors`, and the rows are divided by their sums (Zhu, Ghahramani and Lafferty
    2003, Semi-supervised learning using Gaussian fields and harmonic functions, ICML, p. 912; cited from memory).

    Args:
        alignment: as for `propagate`.
        known: as for `propagate`.
        labels: their classes, shape (m,), of any type that NumPy can sort.
        classes: the distinct labels, each with at least one known point; None to read them from the labels, which is only
            possible outside jit.
        priors: proportions of the classes among the unknown points: "labeled" for those of the known points, an array of shape
            (c,), or None for no normalization.
        trust: as for `propagate`; None keeps the known classes.
        solver: as for `propagate`.

    Returns:
        Classification. The probabilities of new points are `jaxlle.transform` of these, which interpolates them by LLE weights.

    Raises:
        ValueError: as `propagate`; for missing labels; fewer than two classes; a class without a known point; a label that is not
            in `classes`; priors that are not positive, or not one per class.
        DisconnectedGraphError: as `propagate`.

    Warns:
        ConvergenceWarning: as `propagate`.

    Example:
        >>> import jax.numpy as jnp, jaxlle
        >>> x = jnp.concatenate([jnp.linspace(0, 1, 20), jnp.linspace(1.5, 3, 20)])[:, None]
        >>> alignment = jaxlle.lle_alignment(x, k=3, reg=0.1)
        >>> out = jaxlle.semisupervised.classify(alignment, [0, 39], ["low", "high"])
        >>> out.labels[[5, 35]].tolist()
        ['low', 'high']
        >>> new = jaxlle.transform(jnp.array([[0.33]]), x, out.probabilities, k=3)
        >>> out.classes[int(new[0].argmax())]
        'low'
    """
    names, members = _read_members(labels, classes)
    shares = _read_priors(priors, len(names))
    one_hot = jax.nn.one_hot(members, len(names))
    problem = prepare_problem(alignment, known, one_hot, trust, solver, spanning=False)
    out = solve_problem(problem)
    if shares is None and isinstance(priors, str):
        shares = one_hot.mean(axis=0)
    return _classification(out, problem.system.known, shares, names)


def _read_members(labels: Any, classes: Any) -> tuple[tuple, Any]:
    """Return the distinct labels, and the number of the label of each known point."""
    if classes is None:
        if is_traced(labels):
            raise TypeError("classify reads the classes from the labels outside jit only: pass classes inside jit.")
        names, members = number_labels(_read_labels(labels))
        known = names
    else:
        names = read_host(classes, "classes", "leave them out")
        if names.ndim != 1 or len(np.unique(names)) < len(names):
            raise ValueError(f"classes must list every distinct label once, got an array of shape {names.shape}.")
        if is_traced(labels):
            if names.dtype.kind not in "biuf":
                raise TypeError("Labels inside jit are numbers, but classes are not: pass codes and their numbers.")
            return tuple(names.tolist()), jnp.argmax(labels[:, None] == jnp.asarray(names), axis=1)
        values = _read_labels(labels)
        matches = values[:, None] == names
        if not matches.any(axis=1).all():
            stranger = values[~matches.any(axis=1)][0]
            raise ValueError(f"The label {stranger!s} is not one of the classes {names.tolist()}.")
        members, known = matches.argmax(axis=1), names[matches.any(axis=0)]
    if len(names) < 2:
        raise ValueError(
            f"The labels have {len(names)} class, {names.tolist()}, but there must be at least two: give the label of a point of "
            f"another class."
        )
    if len(known) < len(names):
        missing = [name for name in names.tolist() if name not in known.tolist()]
        raise ValueError(
            f"No known point has the class {missing[0]!s}: give the label of one, or leave it out of classes."
        )
    return tuple(names.tolist()), members


def _read_labels(labels: Any) -> np.ndarray:
    values = read_labels(labels, "leave those points out of known")
    if values.ndim != 1:
        raise ValueError(f"labels has shape {values.shape}, but it must hold one label per known point, shape (m,).")
    return values


def _read_priors(priors: Any, count: int) -> Array | None:
    if priors is None or (isinstance(priors, str) and priors == "labeled"):
        return None
    if isinstance(priors, str):
        raise ValueError(f"priors = {priors!r} is not known: use 'labeled', None, or one proportion per class.")
    shares = read_floats(priors, "priors")
    if shares.shape != (count,):
        raise ValueError(
            f"priors has shape {shares.shape}, but there are {count} classes: give one proportion per class."
        )
    if not is_traced(shares) and not bool((shares > 0).all()):
        raise ValueError(f"priors must be positive, got {np.asarray(shares).tolist()}.")
    return shares / shares.sum()


@partial(jax.jit, static_argnames="names")
def _classification(out: Propagation, known: Array, shares: Array | None, names: tuple) -> Classification:
    # With exact labels the rows of the known points stay those of the identity matrix.
    p = jnp.clip(out.targets, 0, 1)
    if shares is not None:
        unknown = jnp.ones((len(p), 1), p.dtype).at[known].set(0)
        mass = jnp.sum(unknown * p, axis=0)
        p = p * jnp.where(mass > 0, shares.astype(p.dtype) / jnp.where(mass > 0, mass, 1), 1)
    p = p / p.sum(axis=1, keepdims=True)
    entropy = -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0), axis=1)
    confidence = jnp.clip(1 - entropy / np.log(len(names)), 0, 1)
    return Classification(p, confidence, p.argmax(axis=1), out.converged, names)
