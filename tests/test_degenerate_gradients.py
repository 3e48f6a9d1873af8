"""Gradients of all differentiable public functions where eigenvalues or points are equal, against finite differences."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from degenerate_cases import DATA, FUNCTIONS, contracted, setting

from jaxlle import derivatives, embedding, explanation, extension, losses, metrics, semisupervised, variants, weights

# Public functions of the packages below whose results have no derivative, or that the functions of the table consist of.
EXCLUDED = {
    "results are ranks, counts or labels": {
        *(
            "continuity",
            "coranking",
            "foscttm",
            "kmeans_agreement",
            "label_accuracy",
            "matching_accuracy",
            "relative_rank_errors",
            "trustworthiness",
            "neighborhood_batches",
        ),
    },
    "the result is on the host": {
        "density_divergence",
        "diagnose",
        "diagnostics",
        "drift",
        "embed_components",
        "silhouette",
    },
    "the result is a graph": {"deformed_neighbors", "geodesic_neighbors", "supervised_neighbors"},
    "it raises under differentiation, or is computed on the host": {
        *("add_points", "incremental_lle", "landmark_embed", "landmark_lle", "nystrom_lle", "refit"),
    },
    "it searches neighbors, which jump between equal distances, and consists of functions in the table": {
        *("generative_lle", "guided_lle", "isolle", "iterative_lle", "multiview_lle", "robust_lle", "supervised_lle"),
        *("local_procrustes", "preservation_error"),
    },
    "it is linear in its input, or returns an object without values": {"fuse_views", "tangent_solver"},
    "it consists of functions in the table": {"influence", "eigenfunction_transform"},
    "it is a diagnostic": {"local_condition"},
}

# Where a function jumps or has a kink, there is nothing to compare with; the derivative must be finite.
SEARCHES = {"kernel_map", "training_residuals"}  # the nearest neighbors jump between points at equal distances
QUADRICS = {"hessian_alignment", "hessian_lle"}  # the points satisfy a quadratic equation: see the docstring
# The cut separates equal singular values, or one of them is the unit of the cost.
EQUAL_VALUES = {"npe, one dimension less", "reconstruction_map, low rank", "guided_embed"}
EQUAL_SCORES = {"reliability"}  # the largest of equal scores
JUMPS = {
    "grid": SEARCHES | EQUAL_SCORES,
    "circle": SEARCHES | EQUAL_SCORES | EQUAL_VALUES | QUADRICS,
    "sphere": SEARCHES | EQUAL_SCORES | EQUAL_VALUES | QUADRICS,
    "duplicates": {"explain"},  # the order of two copies among the neighbors
}
# A function that differs on two copies only has no Hessian, so that the cut separates singular values of 0.
UNDETERMINED = {("duplicates", "hessian_lle")}

QUICK = [("grid", "hessian_alignment"), ("grid", "modified_alignment")]
CASES = [
    pytest.param(data, name, marks=() if (data, name) in QUICK else pytest.mark.exhaustive)
    for data in DATA
    for name in FUNCTIONS
    if (data, name) not in UNDETERMINED
]


@pytest.mark.slow_cases("grid-modified_alignment")
@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize(("data", "name"), CASES)
def test_gradients_on_degenerate_data_match_finite_differences(x64, data, name):
    x, s = setting(data)
    function = contracted(name, s)
    along = jnp.asarray(np.random.default_rng(2).normal(size=x.shape))
    slope = jnp.sum(jax.grad(function)(x) * along)
    if name in JUMPS.get(data, ()):
        assert np.isfinite(slope)
        return
    h = 1e-5
    expected = (function(x + h * along) - function(x - h * along)) / (2 * h)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.exhaustive_cases("hessian_alignment")  # which is a function of the subspaces of ltsa_alignment
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ltsa_alignment", "hessian_alignment", "modified_alignment"])
def test_second_derivatives_and_float32_on_a_grid(x64, name):
    x, s = setting("grid")
    along = jnp.asarray(np.random.default_rng(2).normal(size=x.shape))

    def slope(function, x, along):
        return jnp.sum(jax.grad(function)(x) * along)

    double, h = contracted(name, s), 1e-5
    slopes = [float(slope(double, x + step * along, along)) for step in (-h, 0, h)]
    second = jax.jvp(lambda x: slope(double, x, along), (x,), (along,))[1]
    np.testing.assert_allclose(second, (slopes[2] - slopes[0]) / (2 * h), rtol=1e-4)
    graph = s.graph._replace(distances=s.graph.distances.astype(jnp.float32))
    single = contracted(name, s._replace(graph=graph, other=s.other.astype(jnp.float32)))
    pair = jnp.stack([x, x + 1]).astype(jnp.float32)
    batched = jax.vmap(lambda x: slope(single, x, along.astype(jnp.float32)))(pair)
    np.testing.assert_allclose(batched, slopes[1], rtol=1e-3)


def test_every_public_function_has_a_case_or_a_reason_to_have_none():
    packages = (weights, variants, embedding, extension, semisupervised, losses, metrics, derivatives, explanation)
    public = {
        name
        for package in packages
        for name in package.__all__
        if inspect.isfunction(inspect.unwrap(getattr(package, name)))
    }
    covered = {name.split(",")[0] for name in FUNCTIONS}
    excluded = set().union(*EXCLUDED.values())
    assert not covered & excluded
    assert public - covered - excluded == set()
    assert (covered | excluded) - public - {"subspace"} == set()
