"""The classifier and the regressor: scikit-learn's checks, the functions of the library, few labels, and invalid targets."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_swiss_roll
from sklearn.model_selection import GridSearchCV
from sklearn.semi_supervised import LabelSpreading
from sklearn.utils.estimator_checks import parametrize_with_checks

import jaxlle
from jaxlle.semisupervised import classify, propagate
from jaxlle.sklearn import LocallyLinearClassifier, LocallyLinearRegressor


@pytest.mark.slow_cases(
    "LocallyLinearClassifier()-check_classifier_data_not_an_array",
    "LocallyLinearClassifier()-check_classifiers_classes",
    "LocallyLinearClassifier()-check_classifiers_train",
    "LocallyLinearClassifier()-check_estimators_dtypes",
    "LocallyLinearClassifier()-check_methods_subset_invariance",
    "LocallyLinearRegressor()-check_methods_subset_invariance",
    "LocallyLinearRegressor()-check_regressors_int",
)
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [LocallyLinearClassifier(), LocallyLinearRegressor()], expected_failed_checks=lambda estimator: {}
)
def test_estimator_checks_pass(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    few = np.where(np.arange(len(y)) < 60, y, -1)
    return x, y, few


@pytest.fixture(scope="module")
def roll():
    x, t = make_swiss_roll(400, random_state=0)
    return x, t, np.where(np.arange(400) % 20 == 0, t, np.nan)


@pytest.mark.slow
def test_few_labels_give_a_lower_error_than_label_spreading_and_new_points_are_interpolated(digits):
    x, y, few = digits
    model = LocallyLinearClassifier(reg=0.1).fit(x[:1400], few[:1400])
    spreading = LabelSpreading(kernel="knn", n_neighbors=10).fit(x[:1400], few[:1400])
    unlabeled = few[:1400] == -1
    errors = [(m.transduction_ != y[:1400])[unlabeled].mean() for m in (model, spreading)]
    assert errors[0] < 0.1
    assert errors[0] < errors[1]
    assert model.score(x[1400:], y[1400:]) > 0.85
    np.testing.assert_allclose(model.predict_proba(x[1400:]).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(x[:50]), model.transduction_[:50])
    np.testing.assert_allclose(model.predict_proba(x[:50]), model.label_distributions_[:50], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["standard", "modified", "hessian", "ltsa", "laplacian"])
def test_every_method_gives_the_result_of_its_function(roll, x64, method):
    x, _, few = roll
    align = {
        "standard": lambda: jaxlle.lle_alignment(x, k=9, reg=1e-2),
        "modified": lambda: jaxlle.modified_alignment(x, 2, k=9, reg=1e-2),
        "hessian": lambda: jaxlle.hessian_alignment(x, 2, k=9),
        "ltsa": lambda: jaxlle.ltsa_alignment(x, 2, k=9),
        "laplacian": lambda: jaxlle.alignment.laplacian_alignment(jaxlle.knn(x, 9)),
    }[method]()
    known = np.arange(0, 400, 20)
    options = {"n_neighbors": 9, "reg": 1e-2, "method": method, "trust": 0.3}
    model = LocallyLinearRegressor(**options).fit(x, few)
    expected = propagate(align, known, few[known, None], trust=0.3).targets[:, 0]
    np.testing.assert_allclose(model.transduction_, expected, atol=1e-6)
    new = x[:5] + 0.1
    np.testing.assert_allclose(
        model.predict(new), jaxlle.transform(new, x, expected[:, None], k=9, reg=1e-2)[:, 0], atol=1e-6
    )
    labels = np.where(np.isnan(few), -1, np.arange(400) // 20 % 3)
    classes = LocallyLinearClassifier(**options, priors=[0.5, 0.25, 0.25]).fit(x, labels)
    expected = classify(align, known, labels[known], trust=0.3, priors=[0.5, 0.25, 0.25])
    np.testing.assert_allclose(classes.label_distributions_, expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(classes.confidence_, expected.confidence, atol=1e-6)


@pytest.mark.slow
def test_dtypes_pickles_and_several_targets_are_kept(roll):
    x, t, few = roll
    two = np.stack([few, 2 * few + 1], axis=1).astype(np.float32)
    model = LocallyLinearRegressor(n_neighbors=12, method="modified").fit(x.astype(np.float32), two)
    assert model.transduction_.dtype == model.predict(x[:3]).dtype == np.float32
    assert model.predict(x[:3]).shape == (3, 2)
    np.testing.assert_allclose(2 * model.transduction_[:, 0] + 1, model.transduction_[:, 1], atol=1e-3)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x[:3] + 0.1), model.predict(x[:3] + 0.1))
    single = clone(model).fit(x, few)
    assert single.transduction_.shape == (400,)
    assert single.score(x, t) > clone(model).set_params(method="laplacian").fit(x, few).score(x, t)
    complete = LocallyLinearRegressor(n_neighbors=12).fit(x[::2], t[::2])
    assert complete.score(x[1::2], t[1::2]) > 0.9  # without propagation


@pytest.mark.slow
def test_a_grid_search_selects_parameters(digits):
    x, y, _ = digits
    search = GridSearchCV(LocallyLinearClassifier(), {"n_neighbors": [5, 10], "reg": [1e-3, 0.1]}, cv=3)
    assert search.fit(x[:300], y[:300]).best_score_ > 0.85


@pytest.mark.parametrize(
    ("estimator", "y", "message"),
    [
        (LocallyLinearClassifier(), np.full(30, -1), "All labels are -1"),
        (LocallyLinearClassifier(), np.full(30, 3), "The labels have one class, 3"),
        (LocallyLinearClassifier(priors=[0.5, 0.5]), np.arange(30) % 4 - 1, "priors has shape"),
        (LocallyLinearClassifier(trust=0.0), np.arange(30) % 4 - 1, "trust"),
        (LocallyLinearRegressor(), np.full(30, np.nan), "All of y is NaN"),
        (LocallyLinearRegressor(), np.where(np.arange(60).reshape(30, 2) == 7, np.nan, 1.0), "Row 3 of y has some targets"),
        (LocallyLinearRegressor(), np.ones((30, 2, 2)), "Found array with dim 3"),
        (LocallyLinearRegressor(), np.ones(29), "inconsistent numbers of samples"),
    ],
)  # fmt: skip
def test_invalid_targets_raise(estimator, y, message):
    x = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(ValueError, match=message):
        estimator.fit(x, y)


def test_the_coding_minus_one_and_one_gives_a_warning_and_two_classes():
    x = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.warns(jaxlle.JaxlleWarning, match="-1 is a class here"):
        model = LocallyLinearClassifier().fit(x, np.where(x[:, 0] > 0, 1, -1))
    assert model.classes_.tolist() == [-1, 1]


@pytest.mark.slow
def test_a_component_without_a_label_is_named():
    x = np.random.default_rng(0).normal(size=(60, 3)) + 100 * (np.arange(60) >= 30)[:, None]
    y = np.where(np.arange(60) < 8, np.arange(60) % 2, -1)
    with pytest.raises(ValueError, match=r"no known point, such as that of point 30 \(30 points\)"):
        LocallyLinearClassifier(n_neighbors=6).fit(x, y)
