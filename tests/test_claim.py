"""The study of the founding claim: its statistics, data and networks, and a run at its small size."""

from pathlib import Path

import jax
import numpy as np
import pytest
from jax import lax
from scipy import stats

from jaxlle.cli import _catalogue

PAPERS = Path(__file__).parent.parent / "papers"


def load(name):
    return _catalogue.import_paper(_catalogue.read_paper(PAPERS, name))


claim = load("lle_improves_deep_models")


def quiet(done, results):
    pass


@pytest.mark.parametrize("rows", [10, 4])
def test_without_overlap_the_paired_test_is_the_t_test_of_student(rows):
    plain, lle = np.random.default_rng(rows).normal((0.25, 0.2), 0.02, (rows, 2)).T
    known = stats.ttest_rel(plain, lle)
    interval = known.confidence_interval()
    found = claim.effects.effect("a", plain, lle, 0.0)
    assert found["a.p"] == pytest.approx(known.pvalue, rel=1e-9)
    assert found["a.low"] * plain.mean() == pytest.approx(interval.low, rel=1e-9)
    assert found["a.reduction"] == pytest.approx(1 - lle.mean() / plain.mean(), rel=1e-9)


def test_training_sets_that_overlap_widen_the_interval_by_nadeau_and_bengios_factor():
    plain, lle = np.random.default_rng(0).normal((0.25, 0.2), 0.02, (10, 2)).T
    narrow, wide = (claim.effects.effect("a", plain, lle, share) for share in (0.0, 0.25))
    widths = [found["a.high"] - found["a.low"] for found in (narrow, wide)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt((0.1 + 0.25) / 0.1))
    assert wide["a.p"] > narrow["a.p"]


def convolved(x, kernel, stride):
    """Convolve by XLA: images (n, h, w, c), kernel (size * size * c, outputs)."""
    size = int(np.sqrt(len(kernel) / x.shape[-1]))
    shaped = kernel.reshape(size, size, x.shape[-1], -1)
    return lax.conv_general_dilated(x, shaped, (stride,) * 2, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.slow
def test_products_of_windows_are_the_convolutions():
    keys = jax.random.split(jax.random.key(0), 3)
    images = jax.random.normal(keys[0], (3, 14, 14, 1))
    first, second = jax.random.normal(keys[1], (16, 2)), jax.random.normal(keys[2], (4 * 2, 3))
    expected = convolved(convolved(images, first, 2)[:, :6, :6], second, 2)
    ours = (claim.tasks.windows(images.reshape(3, -1)) @ first).reshape(3, 9, -1) @ second
    np.testing.assert_allclose(ours, expected.reshape(ours.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_folds_partition_the_data_and_classes_alternate():
    folds = [claim.tasks.fold("digits", "", False, 300, 3, 5, f) for f in range(3)]
    tests = np.concatenate([f.test[0] for f in folds])
    assert len(np.unique(tests, axis=0)) == len(np.unique(claim.tasks.SOURCES["digits"](300).inputs, axis=0))
    for f in folds:
        parts = np.concatenate([f.x, f.validation[0], f.test[0]])
        assert len(parts) == 300
        assert len(np.unique(parts, axis=0)) == len(np.unique(tests, axis=0))
        assert set(np.asarray(f.targets[:10]).tolist()) == set(range(10))


@pytest.mark.slow
def test_wrong_neighbors_keep_the_degrees_and_weights_of_the_graph():
    right, wrong = (claim.tasks.fold("diabetes", "", shuffled, 0, 4, 5, 0) for shuffled in (False, True))
    assert not np.array_equal(right.neighbors, wrong.neighbors)
    counts = [np.sort(np.bincount(np.ravel(f.neighbors), minlength=len(f.x))) for f in (right, wrong)]
    np.testing.assert_array_equal(*counts)
    np.testing.assert_allclose(np.sort(right.weights, axis=None), np.sort(wrong.weights, axis=None))
    assert (wrong.neighbors != np.arange(len(wrong.x))[:, None]).all()


@pytest.mark.slow
def test_syllables_count_vowels_of_the_pronunciation_and_names_belong_to_one_class():
    words = claim.tasks.SOURCES["syllables"](200)
    assert words.targets.std() == pytest.approx(1, abs=1e-5)
    assert len(np.unique(words.targets)) <= 7  # counts, standardized
    names = claim.tasks.SOURCES["names"](200)
    assert np.bincount(names.targets).tolist() == [100, 100]
    assert (names.inputs[:, -1] > 0).all()  # words are right-aligned


@pytest.mark.slow
def test_the_founding_claim_at_its_small_size(tmp_path):
    out = claim.main(**claim.SMALL, report=quiet)
    claim.draw(out, str(tmp_path / "claim.png"))
    for name in claim.SMALL["rows"]:
        assert len([key for key in out if key.startswith(f"{name}.tried.plain")]) == 4
        for energy in ("lle", "laplacian"):
            assert len([key for key in out if key.startswith(f"{name}.tried.") and f" {energy} " in key[7:]]) == 4
        below = out[f"{name}.LLE below Laplacian"]
        assert below == pytest.approx(1 - out[f"{name}.with"] / out[f"{name}.with Laplacian"])
        assert out[f"{name}.LLE below Laplacian, low"] < below < out[f"{name}.LLE below Laplacian, high"]
        assert out[f"{name}.low"] < out[f"{name}.reduction"] < out[f"{name}.high"]
        assert out[f"{name}.reduction"] == pytest.approx(1 - out[f"{name}.with"] / out[f"{name}.without"])
    assert out["digits, CNN, 100 labels, attacked.without"] >= out["digits, CNN, 100 labels.without"]
    decided = ("LLE better", "Laplacian better", "LLE and Laplacian undecided")
    assert sum(out[kind] for kind in decided) == len(claim.SMALL["rows"])
    assert out["rows"] == out["rows improved"] + out["rows worsened"] + out["rows undecided"]
    assert (tmp_path / "claim.png").stat().st_size > 10_000
