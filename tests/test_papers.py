"""The papers: each runs at its small size and keeps the contract; the table in papers/README.md matches the results."""

import ast
import inspect
import json
from pathlib import Path

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial.distance import cdist

import jaxlle
from jaxlle.cli import _catalogue, _papers

PAPERS = Path(__file__).parent.parent / "papers"
NAMES = _catalogue.names(PAPERS)


def load(name):
    return _catalogue.import_paper(_catalogue.read_paper(PAPERS, name))


@pytest.mark.parametrize("name", NAMES)
def test_a_paper_states_what_it_reproduces(name):
    paper = _catalogue.read_paper(PAPERS, name)
    doc = paper.path.read_text().split('"""')[1]
    for word in ("DOI", "Claim", "Differs", f"jaxlle papers run {name} --full"):
        assert word in doc
    assert paper.citation.endswith(".")
    assert paper.claim
    assert 1 <= len(paper.headline) <= 8
    assert all(status in _catalogue.STATUS for _, status in paper.published.values())


def test_the_table_in_the_readme_matches_the_recorded_results():
    readme = (PAPERS / "README.md").read_text(encoding="utf-8")
    assert _catalogue.replace_table(readme, PAPERS) == readme, "run jaxlle papers table"


@pytest.mark.parametrize("path", sorted(PAPERS.rglob("*.py")), ids=lambda path: path.relative_to(PAPERS).as_posix())
def test_files_are_short_functions_have_few_parameters_and_no_paper_imports_another(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            assert len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs) <= 8, ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.level:  # inside the folder of one paper, or shared code
            folder = path.parents[node.level - 1]
            assert folder.is_relative_to(PAPERS)
            assert (folder / f"{node.module}.py").is_file()
            assert folder != PAPERS or str(node.module).startswith("_")
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else names
        assert not {str(name).split(".")[0] for name in names if name} & {*NAMES, "papers"}


def test_all_full_runs_took_less_than_two_hours_together():
    last = [_catalogue.read_record(PAPERS, name) for name in NAMES]
    assert sum(saved["seconds"] for saved in last if saved is not None) < 2 * 3600


@pytest.mark.parametrize("name", [name for name in NAMES if _catalogue.read_record(PAPERS, name) is not None])
def test_a_recorded_result_is_complete_of_the_full_size_and_has_its_headline_and_figure(name):
    saved = json.loads((PAPERS / "results" / f"{name}.json").read_text())
    assert (saved["paper"], saved["size"], saved["complete"]) == (name, "full", True)
    assert {"machine", "date", "seconds", "configuration"} <= set(saved)
    assert set(_catalogue.read_paper(PAPERS, name).headline.values()) <= set(saved["results"])
    assert (PAPERS / "figures" / f"{name}.png").stat().st_size < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_paper_runs_at_its_small_size(name, tmp_path):
    module = load(name)
    parameters = inspect.signature(module.main).parameters
    assert "report" in parameters
    assert set(module.SMALL) <= set(parameters)
    reported = {}
    path = tmp_path / "figure.png"
    out = module.main(**module.SMALL, report=lambda done, results: reported.update(results))
    configuration = _papers.flattened({**_papers.defaults(module.main), **module.SMALL})
    _papers.draw_figure(module, out, configuration, PAPERS / "papers.mplstyle", path)
    assert out
    assert all(np.isfinite(float(value)) for value in out.values())
    assert matplotlib.image.imread(path).std() > 0
    CHECKS.get(name, lambda out: None)(out)


def check_belkin_niyogi_sindhwani_2006(out):
    assert out["Laplacian, gamma_I = 1: error, %"] < 0.6 * out["no graph: error, %"]


def check_chang_yeung_2006(out):
    # Without outliers robust LLE differs from LLE only by the weights of the cost. It finds most uniform outliers.
    assert out["Swiss roll, 5% outliers: outliers found reliable, %"] < 60
    assert out["Swiss roll, 5% outliers: clean points found unreliable, %"] < 20
    assert out["S-curve, 0% outliers: LLE, trustworthiness"] > 0.95


def check_donoho_grimes_2003(out):
    assert out["hessian: median"] < 0.03 < out["lle: median"]
    assert out["ltsa: median"] < 0.03


def check_few_targets(out):
    cell = "object, 15 labels, {}: {}: error"
    assert out[cell.format("mlp", "lle")] < 0.5 * out[cell.format("mlp", "laplacian")]
    assert out[cell.format("mlp", "lle")] == out[cell.format("mlp", "best")]  # the only member of the family
    assert out["object, all labels, mlp: all labels: error"] < out[cell.format("graph", "laplacian")]


def check_goldberg_ritov_2008(out):
    change = {name: out[f"noise 0.1, {name}: change of the weights"] for name in ("LLE, reg 1e-3", "LDR-LLE")}
    assert change["LDR-LLE"] < 0.3 * change["LLE, reg 1e-3"]


def check_he_cai_yan_zhang_2005(out):
    assert out["all pixels: error, %"] < 3
    assert out["NPE, 6 dimensions: error, %"] < 12  # chance: 90 %
    assert out["NPE, 6 dimensions: error, %"] < out["NPE, 2 dimensions: error, %"]


def check_kouropteva_okun_pietikainen_2002(out):
    least = out["twin peaks, least affine residual"]
    assert out["twin peaks, residual variance: affine residual at its k"] < 3 * least + 0.05


def check_lin_2021(out):
    assert out["isometric, no ridge: not a projection"] < 1e-8 < 0.1 < out["isometric, reg 1e-3: not a projection"]
    assert out["isometric, reg 1e-3: affine residual"] < 0.9 * out["isometric, no ridge: affine residual"]


def check_local_linear_attention_2025(out):
    error = {name: out[f"linear functions, {name}: error"] for name in ("linear", "softmax", "local linear")}
    assert error["local linear"] < 0.5 * error["softmax"] < 0.5 * error["linear"]
    assert (
        out["locally linear functions, local linear, Gaussian: error"] < out["locally linear functions, softmax: error"]
    )


def check_markov_lipschitz_2020(out):
    assert out["truth.k-max"] < 1.05
    assert out["encoder.success"] == out["ball.success"] == 1
    assert out["ball.k-max"] < 1.2
    assert out["encoder.k-max"] < 2.14
    assert out["encoder.trust"] > 0.9998


def check_moor_2020(out):
    trained = ("topological autoencoder", "LLE and isometric autoencoder")
    for name in ("PCA", "t-SNE", "Isomap", "LLE", "modified LLE", "LTSA", "Hessian LLE", *trained):
        assert 0.4 < out[f"{name}: Trust"] < 1
        assert 0 < out[f"{name}: KL.01"] < 5
    assert 0.5 < out["PCA: MSE"] < 1.2  # of standardized features


def check_roweis_saul_2000(out):
    assert 0 < out["affine residual: best"] <= out["affine residual: worst"] < 0.5
    assert out["trustworthiness: best"] >= out["trustworthiness: worst"] > 0.9


def check_scikit_learn_digits(out):
    assert out["hessian: cost"] == out["ltsa: cost"]
    assert out["modified: label accuracy"] > 0.9


def check_self_supervised_digits(out):
    assert out["LLE over the memory: weight"] == 1.0  # the only one tried
    assert max(value for key, value in out.items() if key.endswith(": error, %")) < 45  # chance: 90 %


def check_shaham_2018(out):
    assert out["spectral clustering: accuracy"] == 1
    assert out["SpectralNet: accuracy"] > out["k-means: accuracy"]


def check_vladymyrov_carreira_perpinan_2013(out):
    assert out["LLL, L = 400: error"] < 1
    assert out["Nystrom, L = 400: error"] < out["Nystrom, L = 100: error"] < 1


def check_weston_ratle_collobert_2008(out):
    assert 3 < out["Bayes rule: error, %"] < 7
    assert out["EmbedNN: error, %"] < out["network: error, %"]
    assert out["LLE network: error, %"] < out["network: error, %"]


def check_wu_wu_2018(out):
    assert out["error against the circulant"] < 1e-9
    # Ratios, because with 40 neighbors the sums still differ from the integrals that give the constants.
    for m in (2, 3, 4):
        assert out[f"none: m = {m}"] / out["none: m = 2"] == pytest.approx((m**4 - m**2) / 12, rel=0.06)
        assert out[f"heavy: m = {m}"] / out["heavy: m = 1"] == pytest.approx(m**2, rel=0.12)


def check_zhang_wang_2006(out):
    for surface in ("S-curve",):
        assert out[f"{surface}, modified LLE: worst k"] < 0.02 < out[f"{surface}, LLE: worst k"]


def check_zhang_zha_2004(out):
    assert out["six members: difference of the alignment matrices"] < 1e-12
    assert out["n = 800, noise 0: LTSA"] < out["n = 800, noise 0: LLE"]


CHECKS = {name.removeprefix("check_"): value for name, value in list(globals().items()) if name.startswith("check_")}


def test_the_growth_exponent_is_the_slope_of_the_logarithms():
    rows = [{"n": n, "eigen": 3e-6 * n**1.25} for n in (100, 1_000, 50_000)]
    assert load("scaling").exponent(rows, "eigen") == pytest.approx(1.25)


@pytest.mark.slow
def test_the_scaling_study_compares_the_libraries_and_reports_what_was_stopped(tmp_path):
    out = load("scaling").main({"swiss_roll": (500,), "no such data": (10,)}, limit=120, out=str(tmp_path))
    assert out["swiss_roll 500: smallest cosine with scikit-learn"] > 0.9999
    rows = json.loads((tmp_path / "scaling.json").read_text())["rows"]
    assert [r["system"] for r in rows if "total" in r][:2] == ["jaxlle", "scikit-learn"]  # tapkee where it is installed
    assert all("is not one of" in r["stopped"] for r in rows if r["data"] == "no such data")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


def test_the_tree_of_the_topological_penalty_is_a_minimum_spanning_tree():
    d = cdist(x := np.random.default_rng(0).normal(size=(40, 3)), x)
    first, second = np.asarray(load("moor_2020")._spanning_tree(jnp.asarray(d, jnp.float32)))
    assert d[first, second].sum() == pytest.approx(minimum_spanning_tree(d).sum(), rel=1e-5)
    assert connected_components(coo_array((np.ones(39), (first, second)), shape=d.shape))[0] == 1


def test_metrics_from_one_ranking_equal_those_of_the_library():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = (x[:, :2] + 0.3 * rng.normal(size=(60, 2))).astype(np.float32)
    out = load("moor_2020")._by_ranks(x, y, [5, 8], block=25)
    trust = [jaxlle.metrics.trustworthiness(x, y, k=k) for k in (5, 8)]
    cont = [jaxlle.metrics.continuity(x, y, k=k) for k in (5, 8)]
    errors = [np.mean(jaxlle.metrics.relative_rank_errors(x, y, k=k)) for k in (5, 8)]
    assert out["Trust"] == pytest.approx(np.mean(trust), rel=1e-5)
    assert out["Cont"] == pytest.approx(np.mean(cont), rel=1e-5)
    assert out["MRRE"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert out["RMSE"] == pytest.approx(np.sqrt(np.mean((cdist(x, x) - cdist(y, y)) ** 2)), rel=1e-5)
