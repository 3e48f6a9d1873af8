"""He, Cai, Yan and Zhang (2005), Neighborhood preserving embedding. ICCV 2:1208-1213.

DOI: 10.1109/ICCV.2005.167. The recognition experiments: nearest-neighbor error against the dimension.

Claim: classification after a linear map fitted to the LLE cost (NPE) has a lower error than after PCA. The map also applies to
new points, which LLE itself does not. In the supervised form the neighbors are those of the same class.

Found: the claim holds only in part. At 4 and 6 dimensions the error of NPE is below that of PCA by less than one percentage
point; from 15 dimensions on it is larger, with and without supervision. At 30 dimensions it is twice that of PCA: the outputs
of NPE are white, so directions of small variance count as much as the first ones. The orthogonal map fitted to the same cost,
whose outputs are not white, is better there; it selects the directions of smallest variance first and is much worse in few
dimensions.

Differs from the paper: its face images are not part of any package. The data here are the 1,797 digits of 8 x 8 pixels in
scikit-learn, half of them for training, so that no number is comparable. As in the paper, the maps are fitted after a PCA that
keeps 98 % of the variance. k = 10.

Run: jaxlle papers run he_cai_yan_zhang_2005 --full
"""

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier

import jaxlle

from ._report import Report

PUBLISHED: dict[str, tuple[float, str]] = {}  # measured on other data
SMALL = {"dims": (2, 6), "splits": 2}

METHODS = ("PCA", "NPE", "supervised NPE", "orthogonal NPE")


def main(
    dims: Sequence[int] = (2, 4, 6, 9, 15, 20, 30), k: int = 10, splits: int = 10, *, report: Report = print
) -> dict[str, float]:
    """Classify the digits of every split in the reduced spaces and by all 64 pixels."""
    data = jaxlle.datasets.digits()
    assert data.labels is not None
    folds = StratifiedShuffleSplit(splits, train_size=len(data.labels) // 2, random_state=0)
    rows = []
    for number, (train, test) in enumerate(folds.split(data.points, data.labels), start=1):
        rows.append(_row(data.points[train], data.labels[train], data.points[test], data.labels[test], dims, k))
        report(f"split {number} of {splits}", {})
    out = {f"{key}: error, %": float(np.mean([row[key] for row in rows])) for key in rows[0]}
    report("all splits", out)
    return out


def draw(results: dict[str, float], figure: str) -> None:
    """Draw the errors against the dimension."""
    from matplotlib.figure import Figure

    offsets = {"supervised NPE": 7, "NPE": -5, "PCA": 4, "orthogonal NPE": 0}  # points, where lines end close together
    picture = Figure(figsize=(6.4, 3.8), layout="constrained")
    panel = picture.subplots()
    for method in METHODS:
        keys = [key for key in results if key.startswith(f"{method}, ")]
        dims, errors = [int(key.split()[-4]) for key in keys], [results[key] for key in keys]
        (line,) = panel.semilogy(dims, errors, "o-")
        style = {"color": line.get_color(), "va": "center", "textcoords": "offset points"}
        panel.annotate(method, (dims[-1], errors[-1]), (7, offsets[method]), **style)
    pixels = results["all pixels: error, %"]
    panel.axhline(pixels, color="0.5", linestyle="--", lw=1)
    panel.annotate("all 64 pixels", (2, pixels), (0, 3), textcoords="offset points", color="0.4")
    panel.set(xlabel="dimensions", ylabel="nearest-neighbor error, %", xlim=(0, 39))
    panel.set_yticks((1, 2, 5, 10, 20, 50), ("1", "2", "5", "10", "20", "50"))
    panel.minorticks_off()
    picture.savefig(figure)


def _row(
    x: np.ndarray, labels: np.ndarray, new: np.ndarray, truth: np.ndarray, dims: Sequence[int], k: int
) -> dict[str, float]:
    """Return the errors of one split in percent."""
    first = PCA(0.98).fit(x)
    x, new = first.transform(x).astype(np.float32), first.transform(new).astype(np.float32)
    graphs = {"NPE": jaxlle.knn(x, k), "supervised NPE": jaxlle.variants.supervised_neighbors(x, labels, k)}
    maps = {name: jaxlle.variants.npe(x, max(dims), k=k, neighbors=near).transform for name, near in graphs.items()}
    maps["orthogonal NPE"] = jaxlle.variants.onpp(x, max(dims), k=k, neighbors=graphs["NPE"]).transform
    reduced = {"PCA": (x, new)} | {name: (np.asarray(f(x)), np.asarray(f(new))) for name, f in maps.items()}
    row = {"all pixels": _error(x, labels, new, truth)}
    for name, (known, queries) in reduced.items():
        for dim in dims:  # a map with fewer outputs consists of the first columns of one with more
            row[f"{name}, {dim} dimensions"] = _error(known[:, :dim], labels, queries[:, :dim], truth)
    return row


def _error(x: np.ndarray, labels: np.ndarray, new: np.ndarray, truth: np.ndarray) -> float:
    return 100 * float(np.mean(KNeighborsClassifier(1).fit(x, labels).predict(new) != truth))
