"""The scikit-learn estimators: scikit-learn's own checks, its estimator as an oracle, and the functions of the library."""

import inspect
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.manifold
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import jaxlle.sklearn
from jaxlle.sklearn import LocallyLinearEmbedding
from jaxlle.solvers import DenseQR


@pytest.fixture
def data():
    return np.random.default_rng(0).normal(size=(120, 5))


# Checks that fit data of their own shapes, for which each estimator compiles some seconds.
FITTING = (
    *("check_dont_overwrite_parameters", "check_dtype_object", "check_estimators_dtypes", "check_estimators_nan_inf"),
    *(
        "check_estimators_overwrite_params",
        "check_fit2d_1feature",
        "check_fit2d_predict1d",
        "check_fit_check_is_fitted",
    ),
    *("check_fit_idempotent", "check_fit_score_takes_y", "check_n_features_in_after_fitting"),
    *("check_positive_only_tag_during_fit", "check_transformer_preserve_dtypes"),
)


def checks_in_turn(estimators, count):
    """Parametrize with all checks of all estimators, where each check of FITTING is exhaustive for all but `count` in turn."""
    checks = parametrize_with_checks(estimators, expected_failed_checks=lambda estimator: {})
    names, cases = checks.args

    def chosen(estimator, check):
        place = FITTING.index(check.func.__name__) + estimators.index(estimator)
        return place % len(estimators) < count

    marked = [
        case
        if case[1].func.__name__ not in FITTING or chosen(*case)
        else pytest.param(*case, marks=pytest.mark.exhaustive)
        for case in cases
    ]
    return pytest.mark.parametrize(names, marked, **checks.kwargs)


@pytest.mark.slow  # repeats the checks of the defaults
@pytest.mark.filterwarnings("ignore")
@checks_in_turn([LocallyLinearEmbedding(method=method) for method in ("modified", "hessian", "ltsa")], count=1)
def test_estimator_checks_pass_for_every_method(estimator, check):
    check(estimator)


PREDICTORS = ("LocallyLinearClassifier", "LocallyLinearRegressor")  # tests/sklearn/test_semisupervised_estimators.py
VARIANTS = [name for name in jaxlle.sklearn.__all__ if name not in ("LocallyLinearEmbedding", *PREDICTORS)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@checks_in_turn([getattr(jaxlle.sklearn, name)() for name in VARIANTS], count=1)
def test_estimator_checks_pass_for_every_variant(estimator, check):
    check(estimator)


FAST = ("NeighborhoodPreservingEmbedding", "SupervisedLocallyLinearEmbedding")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in VARIANTS])
def test_variants_keep_dtype_training_rows_feature_names_and_pickles(data, name):
    x, labels = data.astype(np.float32), np.arange(120) % 2
    estimator = getattr(jaxlle.sklearn, name)(n_neighbors=10).set_output(transform="pandas")
    frame = estimator.fit(x, labels).transform(x[:9])
    assert list(frame.columns) == [f"{name.lower()}{c}" for c in range(2)]
    assert estimator.embedding_.dtype == frame.to_numpy().dtype == np.float32
    np.testing.assert_allclose(frame, estimator.embedding_[:9], atol=1e-5)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.transform(x[:3] + 0.1), estimator.transform(x[:3] + 0.1))
    wide = clone(estimator).set_output(transform="default").fit(data, labels)
    assert wide.embedding_.dtype == wide.transform(data[:3]).dtype == np.float64
    np.testing.assert_allclose(wide.transform(data[:9]), wide.embedding_[:9], atol=1e-12)


@pytest.mark.slow
def test_variants_give_the_results_of_their_functions(data, x64):
    labels = np.arange(120) % 2
    estimator = jaxlle.sklearn.SupervisedLocallyLinearEmbedding(n_neighbors=10, alpha=0.05).fit(data, labels)
    expected = jaxlle.variants.supervised_lle(data, labels, 2, k=10, rule=jaxlle.variants.Shift(0.05)).points
    assert jaxlle.metrics.subspace_angle(estimator.embedding_, expected) < 1e-6
    linear = jaxlle.sklearn.OrthogonalNeighborhoodPreservingProjection(n_neighbors=10).fit(data)
    np.testing.assert_allclose(linear.components_ @ linear.components_.T, np.eye(2), atol=1e-12)
    moved = (data[:5] - data.mean(axis=0)) @ linear.components_.T
    np.testing.assert_allclose(linear.transform(data[:5]), moved, atol=1e-10)
    kernel = jaxlle.sklearn.KernelLocallyLinearEmbedding(n_neighbors=10, kernel="linear").fit(data)
    plain = LocallyLinearEmbedding(n_neighbors=10).fit(data)
    assert jaxlle.metrics.subspace_angle(kernel.embedding_, plain.embedding_) < 1e-6
    signs = np.sign((kernel.embedding_ * plain.embedding_).sum(axis=0))
    np.testing.assert_allclose(kernel.transform(data[:4] + 0.1), plain.transform(data[:4] + 0.1) * signs, atol=1e-6)


@pytest.mark.slow
def test_partial_fit_adds_points_and_counts_refits(data, x64):
    estimator = jaxlle.sklearn.IncrementalLocallyLinearEmbedding(n_neighbors=10, tolerance=9)
    estimator.partial_fit(data[:100])
    first = estimator.embedding_
    estimator.partial_fit(data[100:])
    assert estimator.n_refits_ == 0
    np.testing.assert_array_equal(estimator.embedding_[:100], first)
    np.testing.assert_array_equal(estimator.transform(data[100:]), estimator.embedding_[100:])
    eager = jaxlle.sklearn.IncrementalLocallyLinearEmbedding(n_neighbors=10, tolerance=0).fit(data[:100])
    assert eager.partial_fit(data[100:]).n_refits_ == 1
    plain = LocallyLinearEmbedding(n_neighbors=10).fit(data)
    assert jaxlle.metrics.subspace_angle(eager.embedding_, plain.embedding_) < 1e-2


@pytest.mark.slow_cases(
    "LocallyLinearEmbedding()-check_dont_overwrite_parameters",
    "LocallyLinearEmbedding()-check_dtype_object",
    "LocallyLinearEmbedding()-check_estimators_dtypes",
    "LocallyLinearEmbedding()-check_estimators_nan_inf",
    "LocallyLinearEmbedding()-check_estimators_overwrite_params",
    "LocallyLinearEmbedding()-check_fit_check_is_fitted",
    "LocallyLinearEmbedding()-check_fit_idempotent",
    "LocallyLinearEmbedding()-check_fit_score_takes_y",
    "LocallyLinearEmbedding()-check_n_features_in_after_fitting",
    "LocallyLinearEmbedding()-check_positive_only_tag_during_fit",
    "LocallyLinearEmbedding()-check_transformer_preserve_dtypes",
)
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([LocallyLinearEmbedding()], expected_failed_checks=lambda estimator: {})
def test_estimator_checks_pass_for_the_defaults(estimator, check):
    check(estimator)


# Checks that parametrize_with_checks does not yield for this estimator.
OTHER_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_estimator_get_tags_default_keys"
    if hasattr(estimator_checks, "check_estimator_get_tags_default_keys")
    else None,
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@pytest.mark.slow_cases("check_dataframe_column_names_consistency", "check_inplace_ensure_writeable")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in OTHER_CHECKS if name and hasattr(estimator_checks, name)])
def test_checks_that_scikit_learn_does_not_yield_pass_too(name):
    getattr(estimator_checks, name)("LocallyLinearEmbedding", LocallyLinearEmbedding())


def test_most_of_the_other_checks_exist():
    assert sum(hasattr(estimator_checks, name) for name in OTHER_CHECKS if name) >= 10


def test_code_for_scikit_learn_runs_with_one_import_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", load_digits().data)
    lle = LocallyLinearEmbedding(n_components=2, n_neighbors=10, metric="euclidean")
    Y = lle.fit_transform(np.load("data.npy"))
    assert Y.shape == (1797, 2)
    theirs = sklearn.manifold.LocallyLinearEmbedding(n_components=2, n_neighbors=10).fit_transform(np.load("data.npy"))
    quality = [sklearn.manifold.trustworthiness(np.load("data.npy"), y, n_neighbors=10) for y in (Y, theirs)]
    assert abs(quality[0] - quality[1]) < 0.02  # the digits have neighbors at equal distances, any of which is right


def test_the_constructor_has_the_parameters_of_scikit_learn_and_a_metric():
    ours = inspect.signature(LocallyLinearEmbedding).parameters
    theirs = inspect.signature(sklearn.manifold.LocallyLinearEmbedding).parameters
    assert {n: p.default for n, p in ours.items() if n != "metric"} == {n: p.default for n, p in theirs.items()}
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in ours.values())


@pytest.mark.slow_cases("float32-auto", "float32-dense")
@pytest.mark.parametrize("solver", ["auto", "arpack", "dense", DenseQR()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_solver_keeps_the_dtype_and_matches_scikit_learn(data, solver, dtype):
    ours = LocallyLinearEmbedding(n_neighbors=8, eigen_solver=solver, random_state=0).fit(data.astype(dtype))
    theirs = sklearn.manifold.LocallyLinearEmbedding(n_neighbors=8, eigen_solver="dense").fit(data)
    assert ours.embedding_.dtype == dtype
    cosines = np.linalg.svd(np.linalg.qr(ours.embedding_)[0].T @ np.linalg.qr(theirs.embedding_)[0])[1]
    assert cosines.min() > 0.9999
    np.testing.assert_allclose(ours.reconstruction_error_, theirs.reconstruction_error_, rtol=1e-3)
    signs = np.sign((ours.embedding_ * theirs.embedding_).sum(axis=0))
    np.testing.assert_allclose(ours.transform(data[:9] + 0.1), theirs.transform(data[:9] + 0.1) * signs, atol=1e-3)


def test_float64_is_kept_without_x64_and_without_a_warning(data):
    assert not jax.config.jax_enable_x64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lle = LocallyLinearEmbedding(n_neighbors=8).fit(data)
    assert lle.transform(data).dtype == np.float64
    np.testing.assert_array_equal(lle.transform(data), lle.embedding_)


@pytest.mark.slow
def test_the_metric_decides_the_neighbors(data):
    from scipy.spatial.distance import cdist

    base = LocallyLinearEmbedding(n_neighbors=8).fit(data)
    far = cdist(data, data)
    known = LocallyLinearEmbedding(n_neighbors=8, metric="precomputed").fit(far)
    np.testing.assert_allclose(known.reconstruction_error_, base.reconstruction_error_, rtol=1e-6)
    np.testing.assert_allclose(known.transform(far), known.embedding_, atol=1e-12)
    with pytest.raises(ValueError, match="needs the data"):
        known.inverse_transform(known.embedding_)
    same = LocallyLinearEmbedding(n_neighbors=8, metric=lambda a, b: jnp.sum((a - b) ** 2)).fit(data)
    np.testing.assert_allclose(same.embedding_, base.embedding_, atol=1e-9)
    assert not np.allclose(
        LocallyLinearEmbedding(n_neighbors=8, metric="chebyshev").fit_transform(data), base.embedding_
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
def test_pipelines_grid_searches_clones_and_pickles_work():
    x, y = load_digits(n_class=4, return_X_y=True)
    x, y = x[:200], y[:200]
    pipeline = make_pipeline(LocallyLinearEmbedding(n_neighbors=8), KNeighborsClassifier(3))
    grid = GridSearchCV(pipeline, {"locallylinearembedding__n_components": [2, 5]}, cv=2).fit(x, y)
    assert grid.best_score_ > 0.8
    lle = clone(grid.best_estimator_[0]).fit(x)
    again = pickle.loads(pickle.dumps(lle))
    np.testing.assert_array_equal(again.transform(x[:5]), lle.embedding_[:5])


def test_data_frames_keep_their_column_names_and_index(data):
    import pandas
    import polars

    columns = list("abcde")
    lle = LocallyLinearEmbedding(n_neighbors=8).set_output(transform="pandas")
    out = lle.fit_transform(pandas.DataFrame(data, columns=columns, index=range(5, 125)))
    assert list(out.columns) == ["locallylinearembedding0", "locallylinearembedding1"]
    assert out.index[0] == 5
    assert list(lle.feature_names_in_) == columns
    assert isinstance(
        lle.set_output(transform="polars").transform(polars.DataFrame(data, schema=columns)), polars.DataFrame
    )
    with pytest.raises(ValueError, match="feature names"):
        lle.transform(pandas.DataFrame(data, columns=columns[::-1]))


@pytest.mark.slow
def test_inverse_transform_maps_the_embedding_to_the_data(data):
    lle = LocallyLinearEmbedding(n_neighbors=8, n_components=4).fit(data)
    np.testing.assert_array_equal(lle.inverse_transform(lle.embedding_), data)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["ltsa", *(pytest.param(method, marks=pytest.mark.slow) for method in ("modified", "hessian"))]
)
def test_every_method_is_close_to_scikit_learn_and_transforms_new_points(method):
    from sklearn.datasets import make_s_curve

    x = make_s_curve(600, random_state=0)[0]
    ours = LocallyLinearEmbedding(n_neighbors=12, method=method).fit(x)
    theirs = sklearn.manifold.LocallyLinearEmbedding(n_neighbors=12, method=method, eigen_solver="dense").fit(x)
    cosines = np.linalg.svd(np.linalg.qr(ours.embedding_)[0].T @ np.linalg.qr(theirs.embedding_)[0])[1]
    # "modified" has the same operator; the others also include each point in its own neighborhood.
    assert cosines.min() > 0.999
    np.testing.assert_array_equal(ours.transform(x[:9]), ours.embedding_[:9])
    held_out = LocallyLinearEmbedding(n_neighbors=12, method=method).fit(x[20:])
    joint = np.concatenate([held_out.transform(x[:20]), held_out.embedding_])
    cosines = np.linalg.svd(np.linalg.qr(ours.embedding_)[0].T @ np.linalg.qr(joint - joint.mean(axis=0))[0])[1]
    assert cosines.min() > 0.999


@pytest.mark.slow
def test_automatic_n_neighbors_is_the_best_of_choose(data):
    lle = LocallyLinearEmbedding(n_neighbors="auto", random_state=0).fit(data)
    key = jax.random.key(0)
    with jax.enable_x64(True):
        expected = jaxlle.choose(data, 2, ks=(6, 8, 10, 12, 16, 20, 24, 32), criteria=["procrustes"], key=key).best()[0]
    assert lle.n_neighbors_ == expected
    same = LocallyLinearEmbedding(n_neighbors=expected, random_state=0).fit(data)
    np.testing.assert_array_equal(lle.embedding_, same.embedding_)
    np.testing.assert_array_equal(lle.transform(data[:9]), lle.embedding_[:9])
    assert clone(lle).n_neighbors == "auto"
    with pytest.raises(ValueError, match="give a number with 'ltsa'"):
        LocallyLinearEmbedding(n_neighbors="auto", method="ltsa").fit(data)
    with pytest.raises(ValueError, match="'n_neighbors' parameter"):
        LocallyLinearEmbedding(n_neighbors="many").fit(data)


@pytest.mark.slow
def test_an_unknown_method_raises(data):
    with pytest.raises(ValueError, match="'method' parameter"):
        LocallyLinearEmbedding(method="isomap").fit(data)
