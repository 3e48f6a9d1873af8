"""Semi-supervised classification and regression as scikit-learn estimators."""

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from .. import distances
from .._core.checks import warn_user
from ..alignment import Alignment
from ..alignment.laplacian import laplacian_alignment
from ..extension import transform
from ..neighbors import knn
from ..semisupervised import classify, propagate
from ..variants.hessian import hessian_alignment
from ..variants.ltsa import ltsa_alignment
from ..variants.modified import modified_alignment
from ..variants.standard import lle_alignment
from ._base import FLOAT_DTYPES, WEIGHT_CONSTRAINTS, precision_of

_METHODS = ("standard", "modified", "hessian", "ltsa", "laplacian")


class _Propagator(BaseEstimator):
    """Base class: the alignment of the training points, and the interpolation of their targets at new points."""

    _fit_X: np.ndarray
    _parameter_constraints: dict = WEIGHT_CONSTRAINTS | {
        "method": [StrOptions(set(_METHODS))],
        "trust": [None, Interval(Real, 0, None, closed="neither")],
        "metric": [StrOptions(set(distances.METRICS)), callable],
        "solver": [StrOptions({"auto"}), callable],
    }

    def __init__(
        self,
        *,
        n_neighbors=10,
        n_components=2,
        reg=1e-3,
        method="standard",
        trust=None,
        metric="euclidean",
        solver="auto",
    ):
        self.n_neighbors: Any = n_neighbors
        self.n_components = n_components
        self.reg: Any = reg
        self.method = method
        self.trust: Any = trust
        self.metric: Any = metric
        self.solver: Any = solver

    def _align(self, X: np.ndarray) -> Alignment:
        k, metric = self.n_neighbors, self.metric
        if self.method == "laplacian":
            return laplacian_alignment(knn(X, k, metric=metric))
        if self.method == "standard":
            return lle_alignment(X, k=k, reg=self.reg, metric=metric)
        variants: dict[str, Callable] = {
            "modified": partial(modified_alignment, reg=self.reg),
            "hessian": partial(hessian_alignment, include_self=True),
            "ltsa": partial(ltsa_alignment, include_self=True),
        }
        return variants[self.method](X, self.n_components, k=k, metric=metric)

    def _interpolate(self, X: Any, values: np.ndarray) -> np.ndarray:
        """Combine the values of the nearest training points by barycentric weights; training points keep theirs."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, dtype=FLOAT_DTYPES, reset=False))
        with precision_of(self._fit_X):
            X = X.astype(self._fit_X.dtype, copy=False)
            out = transform(X, self._fit_X, jnp.asarray(values), k=self.n_neighbors, reg=self.reg, metric=self.metric)
            return np.asarray(out)


class LocallyLinearClassifier(ClassifierMixin, _Propagator):
    """Classification with few labels: those of all training points are propagated by LLE, and new points are interpolated.

    It follows the contract of `sklearn.semi_supervised.LabelSpreading`: y = -1 means that a point has no label (unless y
    consists of -1 and one other number, which gives a warning). If all points have labels, new points are classified by their
    LLE weights. See `jaxlle.semisupervised.classify`.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the manifold, for "modified", "hessian" and "ltsa".
        reg: strength of the regularizer of the weights.
        method: the alignment: "standard" (LLE), "modified", "hessian", "ltsa", or "laplacian" for harmonic functions.
        trust: weight of the given labels, which may then change; None to keep them.
        priors: proportions of the classes, as for `jaxlle.semisupervised.classify`.
        metric: as for `LocallyLinearEmbedding`, but not "precomputed".
        solver: as for `jaxlle.semisupervised.classify`.

    Attributes:
        classes_: the distinct labels.
        label_distributions_: probabilities of the training points, shape (n_samples, n_classes).
        transduction_: label of each training point.
        confidence_: as `jaxlle.semisupervised.Classification.confidence`.
        n_features_in_: number of features seen in fit.
        feature_names_in_: names of the features, if X has names.

    Example:
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from jaxlle.sklearn import LocallyLinearClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> few = np.where(np.arange(len(y)) < 100, y, -1)
        >>> model = LocallyLinearClassifier(n_neighbors=10).fit(X[:1500], few[:1500])
        >>> bool((model.transduction_ == y[:1500]).mean() > 0.9), bool(model.score(X[1500:], y[1500:]) > 0.85)
        (True, True)
    """

    _parameter_constraints: dict = _Propagator._parameter_constraints | {
        "priors": [None, StrOptions({"labeled"}), "array-like"]
    }

    def __init__(
        self,
        *,
        n_neighbors=10,
        n_components=2,
        reg=1e-3,
        method="standard",
        trust=None,
        priors="labeled",
        metric="euclidean",
        solver="auto",
    ):
        common = {"method": method, "trust": trust, "metric": metric, "solver": solver}
        super().__init__(n_neighbors=n_neighbors, n_components=n_components, reg=reg, **common)
        self.priors = priors

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> "LocallyLinearClassifier":
        """Propagate labels.

        Args:
            X: array-like of shape (n_samples, n_features).
            y: one label per sample, -1 for none; at least two classes.

        Returns:
            self.
        """
        X, y = validate_data(self, X, y, dtype=FLOAT_DTYPES, ensure_min_samples=2)
        check_classification_targets(y)
        known = np.flatnonzero(_has_label(y))
        if len(known) == 0:
            raise ValueError(
                "All labels are -1, which means that no point has a label: give the labels of some points."
            )
        self.classes_, members = np.unique(y[known], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"The labels have one class, {self.classes_[0]!s}, but a classifier needs at least two classes."
            )
        self._fit_X = X
        p, confidence = np.eye(len(self.classes_), dtype=X.dtype)[members], np.ones(len(members), X.dtype)
        if self.trust is not None or len(known) < len(y):
            with precision_of(X):
                options = {"priors": self.priors, "trust": self.trust, "solver": self.solver}
                found = classify(self._align(X), known, members, **options)
                p, confidence = np.asarray(found.probabilities), np.asarray(found.confidence)
        self.label_distributions_ = p
        self.transduction_ = self.classes_[p.argmax(axis=1)]
        self.confidence_ = confidence
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes of new points, shape (n_queries, n_classes); training points keep theirs."""
        check_is_fitted(self)
        p = np.clip(self._interpolate(X, self.label_distributions_), 0, 1)
        return p / p.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of new points, shape (n_queries,)."""
        p = self.predict_proba(X)
        return self.classes_[p.argmax(axis=1)]


class LocallyLinearRegressor(RegressorMixin, _Propagator):
    """Regression with few targets: those of all training points are propagated by LLE, and new points are interpolated.

    NaN in y means that a point has no target. If all points have targets, new points are predicted by their LLE weights. See
    `jaxlle.semisupervised.propagate`.

    Args:
        n_neighbors: number of neighbors per point.
        n_components: dimension of the manifold, for "modified", "hessian" and "ltsa".
        reg: strength of the regularizer of the weights.
        method: the alignment: "standard" (LLE), "modified", "hessian", "ltsa", or "laplacian", which is flat between targets.
        trust: weight of the given targets, for noisy ones; None to keep them.
        metric: as for `LocallyLinearEmbedding`, but not "precomputed".
        solver: as for `jaxlle.semisupervised.propagate`.

    Attributes:
        transduction_: targets of the training points, in the shape of y.
        n_features_in_: number of features seen in fit.
        feature_names_in_: names of the features, if X has names.

    Example:
        >>> import numpy as np
        >>> from sklearn.datasets import make_swiss_roll
        >>> from jaxlle.sklearn import LocallyLinearRegressor
        >>> X, t = make_swiss_roll(1000, random_state=0)
        >>> few = np.where(np.arange(1000) < 30, t, np.nan)
        >>> model = LocallyLinearRegressor(n_neighbors=12, method="modified").fit(X, few)
        >>> bool(model.score(X[30:], t[30:]) > 0.99)
        True
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> "LocallyLinearRegressor":
        """Propagate targets.

        Args:
            X: array-like of shape (n_samples, n_features).
            y: targets, array-like of shape (n_samples,) or (n_samples, n_targets); a row of NaN for a point without targets.

        Returns:
            self.
        """
        X = np.asarray(validate_data(self, X, dtype=FLOAT_DTYPES, ensure_min_samples=2))
        y = _read_targets(y).astype(X.dtype)
        check_consistent_length(X, y)
        columns = y.reshape(len(y), -1)
        missing = np.isnan(columns)
        if (missing.any(axis=1) != missing.all(axis=1)).any():
            row = int(np.flatnonzero(missing.any(axis=1) != missing.all(axis=1))[0])
            raise ValueError(
                f"Row {row} of y has some targets and lacks others (NaN): give all targets of a row or none, or fit one "
                f"estimator per target."
            )
        known = np.flatnonzero(~missing[:, 0])
        if len(known) == 0:
            raise ValueError(
                "All of y is NaN, which means that no point has a target: give the targets of some points."
            )
        self._fit_X = X
        if self.trust is not None or len(known) < len(y):
            with precision_of(X):
                options = {"trust": self.trust, "solver": self.solver}
                columns = np.asarray(propagate(self._align(X), known, columns[known], **options).targets)
        self.transduction_ = columns.reshape(y.shape)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the targets of new points, in the shape of y in fit; training points keep theirs."""
        check_is_fitted(self)
        values = self.transduction_
        return self._interpolate(X, values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _has_label(y: np.ndarray) -> np.ndarray:
    """Return which labels are not -1; labels that are texts are all present."""
    labeled = np.ones(len(y), bool) if y.dtype.kind in "US" else np.asarray(y != -1)
    if not labeled.all() and len(np.unique(y[labeled])) == 1:
        warn_user(
            f"y consists of -1 and {y[labeled][0]!s} only, so that -1 is a class here: to leave points without a label, give "
            f"labels of at least two classes.",
        )
        labeled[:] = True
    return labeled


def _read_targets(y: Any) -> np.ndarray:
    if y is None:
        raise ValueError("This LocallyLinearRegressor requires y to be passed, but the target y is None.")
    options: dict[str, Any] = {"dtype": np.float64, "ensure_2d": False, "ensure_all_finite": "allow-nan"}
    values = check_array(y, input_name="y", **options)
    if values.ndim > 2:
        raise ValueError(f"y has shape {values.shape}, but it must be (n_samples,) or (n_samples, n_targets).")
    return values
