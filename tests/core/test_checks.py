"""Checks of arguments that all stages share."""

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
