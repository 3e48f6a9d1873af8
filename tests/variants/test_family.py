"""Every kind of invalid or difficult input, for every variant: an error, a warning, or the correct result."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from invalid_points import INVALID
from jax.test_util import check_grads

import jaxlle
from jaxlle import JaxlleWarning
from jaxlle.embedding import DisconnectedGraphError
from jaxlle.metrics import subspace_angle
from jaxlle.warnings import DisconnectedGraphWarning

DIM, K = 2, 8
KEY = jax.random.key(0)
KEYED = jaxlle.EmbedOptions(key=KEY)


def labels_of(x):
    return np.arange(x.shape[0]) % 2


def incremented(x, dim, **options):
    half = jaxlle.variants.incremental_lle(x[: x.shape[0] - 4], dim, **options)
    return jaxlle.variants.add_points(half, x[x.shape[0] - 4 :]).points


# Each takes points, dim and k and returns an embedding. EMBEDDINGS solve an eigenproblem; MAPS fit a map.
EMBEDDINGS = {
    "lle": lambda x, dim, **o: jaxlle.lle(x, dim, **o).points,
    "modified": lambda x, dim, **o: jaxlle.modified_lle(x, dim, **o).points,
    "hessian": lambda x, dim, **o: jaxlle.hessian_lle(x, dim, **o).points,
    "ltsa": lambda x, dim, **o: jaxlle.ltsa(x, dim, **o).points,
    "ldr": lambda x, dim, **o: jaxlle.variants.ldr_lle(x, dim, **o).points,
    "kernel": lambda x, dim, **o: jaxlle.variants.kernel_lle(x, dim, jnp.dot, **o).points,
    "supervised": lambda x, dim, **o: (
        jaxlle.variants.supervised_lle(x, labels_of(x), dim, rule=jaxlle.variants.Shift(0.02), **o).points
    ),
    "robust": lambda x, dim, **o: jaxlle.variants.robust_lle(x, dim, **o).points,
    "guided": lambda x, dim, **o: jaxlle.variants.guided_lle(x, labels_of(x), dim, guidance=0.2, **o).embedding.points,
    "geodesic": lambda x, dim, **o: jaxlle.variants.isolle(x, dim, graph_k=5, **o).points,
    "views": lambda x, dim, **o: jaxlle.variants.multiview_lle([x, x], dim, **o).points,
    "iterative": lambda x, dim, **o: jaxlle.variants.iterative_lle(x, dim, steps=1, **o).embedding.points,
    "generative": lambda x, dim, **o: (
        jaxlle.variants.generative_lle(x, dim, num_samples=1, **{"options": KEYED, **o}).embedding.points
    ),
    "incremental": incremented,
}
MAPS = {
    "landmarks": lambda x, dim, **o: jaxlle.variants.landmark_lle(x, dim, num_landmarks=30, **o).embedding.points,
    "nystrom": lambda x, dim, **o: jaxlle.variants.nystrom_lle(x, dim, num_landmarks=40, **o).embedding.points,
    "npe": lambda x, dim, **o: jaxlle.variants.npe(x, dim, **o).transform(x),
    "onpp": lambda x, dim, **o: jaxlle.variants.onpp(x, dim, **o).transform(x),
    "lltsa": lambda x, dim, **o: jaxlle.variants.lltsa(x, dim, **o).transform(x),
}
FAMILY = {**EMBEDDINGS, **MAPS}
DISCONNECTABLE = [name for name in EMBEDDINGS if name != "geodesic"]
# Incremental and landmark LLE have no derivative: new points are placed on the host, and landmarks are not exact.
DIFFERENTIABLE = {name: make for name, make in FAMILY.items() if name not in ("incremental", "landmarks")} | {
    "nystrom": lambda x, dim, **o: jaxlle.variants.nystrom_lle(x, dim, num_landmarks=20, **o).embedding.points,
    "generative": lambda x, dim, **o: jaxlle.variants.generative_lle(
        x, dim, num_samples=2, **{"options": KEYED, **o}
    ).samples[1],
    "spread": lambda x, dim, **o: jaxlle.variants.generative_lle(
        x, dim, num_samples=2, **{"options": KEYED, **o}
    ).spread[:, None],
}
# A kernel is evaluated at the points as given, without centering or scaling.
SCALE_INVARIANT = [name for name in FAMILY if name != "kernel"]


def cases(names, quick=("lle",)):
    """Return names as test parameters, all but `quick` marked as slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def in_turn(names, options, quick=("lle",)):
    """Return pairs of names and options: all options of `quick`, and one of each other name in turn, which is slow.

    The others are exhaustive.
    """

    def marks(i, j):
        return (pytest.mark.slow, *[pytest.mark.exhaustive] * ((i - j) % len(options) != 0))

    return [
        pytest.param(name, option, marks=() if name in quick else marks(i, j))
        for i, name in enumerate(names)
        for j, option in enumerate(options)
    ]


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize("bad", INVALID)
@pytest.mark.parametrize("name", FAMILY)
def test_every_variant_raises_for_invalid_points(points, name, bad):
    spoil, message = INVALID[bad]
    with pytest.raises(ValueError, match=message):
        FAMILY[name](spoil(points), 1, k=K)


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize("name", cases(FAMILY, quick=("ltsa", "npe")))
def test_every_variant_raises_for_invalid_arguments(points, name):
    for k in (0, 60):
        with pytest.raises(ValueError, match=r"k \(n_neighbors\) = |num_landmarks = "):
            FAMILY[name](points, 1, k=k)
    check_dimensions(name, points)
    if name != "lle":  # which accepts sparse points
        with pytest.raises(TypeError, match="must be dense"):
            FAMILY[name](scipy.sparse.csr_array(points), 1, k=K)
    if name not in ("hessian", "ldr", "ltsa", "lltsa"):
        with pytest.raises(ValueError, match="reg = -1"):
            FAMILY[name](points, DIM, k=K, reg=-1.0)


def check_dimensions(name, points):
    with pytest.raises(ValueError, match=r"dim|output dimension"):
        FAMILY[name](points, {"kernel": 60, "views": 9}.get(name, 5), k=20)
    with pytest.raises(ValueError, match=r"dim|modes"):
        FAMILY[name](points, 0, k=K)


TOO_SMALL = {
    "hessian": (4, r"more than dim \(dim \+ 3\) / 2 = 5 members"),
    "ltsa": (2, r"dim \+ 1 = 3 affine functions"),
    "lltsa": (2, r"dim \+ 1 = 3 affine functions"),
    "ldr": (2, "more neighbors than coordinates"),
    "modified": (1, "n_neighbors >= n_components = 2"),
}


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize("name", TOO_SMALL)
def test_k_too_small_for_the_method_raises_with_the_required_number(points, name):
    k, message = TOO_SMALL[name]
    with pytest.raises(ValueError, match=message):
        FAMILY[name](points, 2, k=k)


@pytest.mark.parametrize(
    "name", cases([n for n in EMBEDDINGS if n not in (*TOO_SMALL, "robust", "kernel", "incremental")])
)
def test_fewer_neighbors_than_dimensions_give_a_warning(points, name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        FAMILY[name](points, 3, k=2) if name != "geodesic" else jaxlle.variants.isolle(points, 3, k=2, graph_k=2)
    assert any("cannot span dim = 3" in str(w.message) for w in caught)


@pytest.mark.filterwarnings("ignore::jaxlle.warnings.GapWarning")
@pytest.mark.parametrize("name", cases(FAMILY))
def test_embeddings_of_repeated_points_are_finite(points, name):
    x = np.concatenate([points, points[:5]])
    y = np.asarray(FAMILY[name](x, DIM, k=K))
    assert y.shape == (65, 2)
    assert np.isfinite(y).all()


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize("name", cases(FAMILY))
def test_more_copies_than_neighbors_raise_or_give_a_finite_embedding(points, name):
    x = np.concatenate([points, np.repeat(points[:1], 12, axis=0)])
    try:
        y = np.asarray(FAMILY[name](x, DIM, k=K))
    except ValueError as error:
        assert "copies" in str(error) or "components" in str(error) or "not finite" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(y).all()


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize(("name", "dtype"), in_turn(FAMILY, [np.float16, np.int64, np.uint8, object]))
def test_other_dtypes_are_cast_first(name, dtype):
    x = np.random.default_rng(0).integers(0, 200, (60, 4))
    expected = FAMILY[name](x.astype(np.float32), DIM, k=K)
    found = FAMILY[name](x.astype(dtype), DIM, k=K)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize(("name", "change"), in_turn(SCALE_INVARIANT, ["1e-20", "1e15", "offset"]))
def test_embeddings_are_invariant_to_scale_and_offset(name, change):
    # Integers, whose differences are exact at an offset of 1e8 in float64; the cast to float32 follows the centering.
    x = np.random.default_rng(0).integers(-100, 100, (60, 4)).astype(np.float64)
    moved = {"1e-20": x * 2.0**-66, "1e15": x * 2.0**50, "offset": x + 1e8}[change]
    expected, found = FAMILY[name](x, DIM, k=K), FAMILY[name](moved, DIM, k=K)
    assert subspace_angle(found - found.mean(axis=0), expected - expected.mean(axis=0)) < 5e-3


@pytest.mark.parametrize("name", cases(DISCONNECTABLE))
def test_a_disconnected_graph_gives_a_warning_or_raises_on_request(points, name):
    x = points.copy()
    x[::2] += 50  # these are the classes of labels_of, so that labels do not connect the components
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        FAMILY[name](x, DIM, k=6)
    messages = [str(w.message) for w in caught if w.category is DisconnectedGraphWarning]
    assert any("components of" in text for text in messages)
    if name not in ("generative",):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(DisconnectedGraphError, match="components of"):
                FAMILY[name](x, DIM, k=6, options=jaxlle.EmbedOptions(disconnected="error"))


@pytest.mark.filterwarnings("ignore::jaxlle.JaxlleWarning")
@pytest.mark.parametrize("name", cases([*DIFFERENTIABLE], quick=()))
def test_derivatives_of_embeddings_match_finite_differences(x64, name):
    x, mix = np.random.default_rng(0).normal(size=(30, 3)), np.random.default_rng(1).normal(size=(30, 30))

    def invariant(x):  # under rotations of the embedding, which are arbitrary
        y = DIFFERENTIABLE[name](x, 2, k=K)
        return jnp.sum(mix * (y @ y.T))

    check_grads(invariant, (jnp.asarray(x),), order=1, modes=["rev"], eps=1e-6, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted({*FAMILY} - {*DIFFERENTIABLE}))
def test_variants_without_a_derivative_raise(points, name):
    with pytest.raises(TypeError, match=r"no derivative|outside jit"):
        jax.grad(lambda x: jnp.sum(FAMILY[name](x, 2, k=K)))(points)


def test_components_too_small_for_k_neighbors_along_paths_raise(points):
    x = np.concatenate([points, points[:6] + 100])
    with pytest.raises(ValueError, match="smallest of 6 points, in which paths do not reach k = 8 other points"):
        jaxlle.variants.isolle(x, 2, k=8, graph_k=5)


@pytest.mark.filterwarnings("ignore::jaxlle.warnings.GapWarning")
@pytest.mark.parametrize("name", cases(["modified", "hessian", "ltsa", "lltsa"], quick=("ltsa",)))
def test_neighborhoods_of_deficient_rank_give_a_warning(name):
    line = np.outer(np.arange(60.0), [1.0, 2.0, 3.0, 4.0]).astype(np.float32)
    line[::10, 1] += 0.5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        FAMILY[name](line, 2, k=K)
    assert any(w.category is jaxlle.warnings.RankWarning for w in caught)


@pytest.mark.parametrize(
    "fit",
    [
        lambda x, labels: jaxlle.variants.supervised_lle(x, labels, 2, k=K),
        lambda x, labels: jaxlle.variants.guided_lle(x, labels, 2, k=K),
        lambda x, labels: jaxlle.variants.discriminant_projection(jaxlle.lle_alignment(x, k=K), x, labels, 1),
    ],
)
def test_missing_labels_and_wrong_numbers_of_labels_raise(points, fit):
    y = labels_of(points)
    with pytest.raises(ValueError, match=r"labels has (shape \(59,\)|59 rows)"):
        fit(points, y[1:])
    with pytest.raises(ValueError, match=r"missing"):
        fit(points, np.where(y == 1, np.nan, y.astype(float)))
    with pytest.raises(ValueError, match=r"missing"):
        fit(points, [None, *y[1:]])


def test_uninformative_labels_raise_and_small_classes_give_a_warning(points):
    with pytest.raises(ValueError, match="nothing to guide"):
        jaxlle.variants.guided_lle(points, np.zeros(60, int), 2, k=K)
    with pytest.raises(ValueError, match="nothing to guide"):
        jaxlle.variants.guided_lle(points, np.full(60, -1), 2, k=K)
    with pytest.warns(JaxlleWarning, match="no more than k = 8 members"):
        jaxlle.variants.supervised_neighbors(points, np.arange(60) < 5, K)


def test_kernels_that_are_not_positive_definite_raise(points):
    with pytest.raises(ValueError, match="not positive definite"):
        jaxlle.variants.kernel_lle(points, 2, lambda a, b: -jnp.dot(a, b), k=K)
    with pytest.raises(ValueError, match=r"NaN or infinity|not finite"):
        jaxlle.variants.kernel_lle(points, 2, lambda a, b: jnp.sqrt(jnp.dot(a, b)), k=K)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxlle.warnings.GapWarning")
def test_new_points_far_from_the_data_give_a_warning_or_raise(points):
    state = jaxlle.variants.incremental_lle(points, 2, k=K)
    new = np.concatenate([points[:3] + 0.01, points[:2] + 1000]).astype(np.float32)
    with pytest.warns(JaxlleWarning, match="2 of 5 new points are up to .* from the data"):
        more = jaxlle.variants.add_points(state, new)
    np.testing.assert_array_equal(more.far, [False, False, False, True, True])
    assert np.isfinite(more.points).all()
    with pytest.raises(ValueError, match="2 of 5 new points"):
        jaxlle.variants.add_points(state, new, far="error")
    with pytest.raises(ValueError, match="x_new has 3 features"):
        jaxlle.variants.add_points(state, new[:, :3])
    with pytest.raises(ValueError, match="x_new contains NaN"):
        jaxlle.variants.add_points(state, np.full((1, 4), np.nan, np.float32))
