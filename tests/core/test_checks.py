"""Checks of arguments that all stages share."""

import subprocess
import sys
import warnings

import pytest

from jaxlle import JaxlleWarning, distances
from jaxlle._core.checks import check_dim


def test_as_many_neighbors_as_dimensions_are_sufficient_and_fewer_give_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_dim(3, 3, (20, 5), distances.euclidean) == 3
        assert check_dim(1, 1, (1, 5), distances.PRECOMPUTED) == 1
    with pytest.warns(JaxlleWarning, match="k = 2 neighbors cannot span dim = 3"):
        check_dim(3, 2, (20, 5), distances.euclidean)
    for dim, shape, metric in ((6, (20, 5), distances.euclidean), (20, (20, 20), distances.PRECOMPUTED)):
        with pytest.raises(ValueError, match=r"dim \(n_components\) = "):
            check_dim(dim, 30, shape, metric)


def test_a_warning_has_the_location_of_the_line_that_called_the_library(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import warnings, numpy as np, jaxlle\n"
        "x = np.random.default_rng(0).normal(size=(30, 3))\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    jaxlle.knn(x, 3)\n"
        "    jaxlle.lle(x.astype(np.float32) + 9 * (np.arange(30) > 14)[:, None].astype(np.float32), 2, k=1)\n"
        "print([(w.filename == __file__, w.lineno, w.category.__name__) for w in caught])\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    wanted = [(5, "PrecisionWarning"), (6, "JaxlleWarning"), (6, "DisconnectedGraphWarning"), (6, "GapWarning")]
    assert run.stdout.strip() == str([(True, *warning) for warning in wanted])
