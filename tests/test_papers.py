import importlib.util
import json
from pathlib import Path

import pytest

PAPERS = Path(__file__).parent.parent / "papers"


def load(name):
    spec = importlib.util.spec_from_file_location(name, PAPERS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_paper_is_in_the_readme():
    readme = (PAPERS.parent / "README.md").read_text()
    for path in PAPERS.glob("*.py"):
        assert f"papers/{path.name}" in readme


def test_the_swiss_roll_of_roweis_and_saul_unrolls(tmp_path):
    out = load("roweis_saul_2000").main(figure=str(tmp_path / "roll.png"))
    assert out["affine residual"] < 0.13
    assert out["trustworthiness"] > 0.97
    assert (tmp_path / "roll.png").stat().st_size > 10_000


@pytest.mark.parametrize("path", sorted(PAPERS.glob("*.py")), ids=lambda p: p.stem)
def test_a_paper_says_what_it_reproduces(path):
    doc = load(path.stem).__doc__
    for word in ("DOI", "Claim", "Differs", "Run:"):
        assert word in doc


def test_the_growth_exponent_is_the_slope_of_the_logarithms():
    rows = [{"n": n, "eigen": 3e-6 * n**1.25} for n in (100, 1_000, 50_000)]
    assert load("scaling").exponent(rows, "eigen") == pytest.approx(1.25)


@pytest.mark.slow
def test_the_study_of_scaling_compares_both_systems_and_says_what_was_stopped(tmp_path):
    out = load("scaling").main({"swiss_roll": (500,), "no such data": (10,)}, limit=120, out=str(tmp_path))
    assert out["swiss_roll 500: smallest cosine"] > 0.9999
    rows = json.loads((tmp_path / "scaling.json").read_text())["rows"]
    assert [r["system"] for r in rows if "total" in r] == ["jaxlle", "scikit-learn"]
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
