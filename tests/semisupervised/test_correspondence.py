"""Aligned sets: comparison with dense eigenproblems, limits, invariances, derivatives, new points, and invalid pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.linalg import block_diag, eigh

import jaxlle
from jaxlle import EmbedOptions, JaxlleWarning
from jaxlle.embedding import DisconnectedGraphError
from jaxlle.metrics import affine_residual, foscttm, matching_accuracy, subspace_angle
from jaxlle.semisupervised import align
from jaxlle.solvers import DenseQR, Landmark, SparseLU
from jaxlle.warnings import DisconnectedGraphWarning

SIZES = 40, 33, 28
RNG = np.random.default_rng(0)
CLOUDS = [RNG.normal(size=(n, d)) for n, d in zip(SIZES, (3, 4, 2), strict=True)]
FIRST = np.stack([RNG.choice(SIZES[0], 6, replace=False), RNG.choice(SIZES[1], 6, replace=False)], axis=1)
SECOND = np.stack([FIRST[:4, 1], RNG.choice(SIZES[2], 4, replace=False)], axis=1)
CHAIN = {(0, 1): FIRST, (1, 2): SECOND, (2, 0): np.stack([SECOND[:2, 1], FIRST[:2, 0]], axis=1)}  # two cycles
TRUST = np.random.default_rng(1).uniform(0.1, 3, 6)


def alignments(count=2):
    """Return alignments of different variants, of one and of several rows per block, and of different k."""
    makers = (
        lambda x: jaxlle.lle_alignment(x, k=7),
        lambda x: jaxlle.ltsa_alignment(x, 2, k=8),
        lambda x: jaxlle.lle_alignment(x, k=6),
    )
    return [make(jnp.asarray(x)) for make, x in zip(makers[:count], CLOUDS, strict=False)]


def joint_numbers(pairs, sizes):
    """Return the pairs of all sets in one numbering of their points."""
    starts = np.cumsum([0, *sizes])
    pairs = pairs if isinstance(pairs, dict) else {(0, 1): pairs}
    return np.concatenate([np.asarray(rows) + starts[list(key)] for key, rows in pairs.items()])


def stacked(out):
    return np.concatenate([e.points for e in out])


def oracle(sets, pairs, trust=None, sizes=SIZES):
    """Return the eigenvalues and vectors of the dense joint problem, with one unknown per group of exact pairs."""
    dense = [np.asarray(a.to_dense(), np.float64) for a in sets]
    cost = block_diag(*(b.T @ b for b in dense))
    links = joint_numbers(pairs, sizes)
    join = np.eye(len(cost))
    if trust is None:
        label = np.arange(len(cost))
        for _ in sets:  # the least number of a group reaches all of its members
            for a, b in links:
                label[[a, b]] = min(label[a], label[b])
        join = (label[:, None] == np.unique(label)).astype(float)
    else:
        for (a, b), weight in zip(links, np.broadcast_to(trust, len(links)), strict=True):
            edge = np.zeros(len(cost))
            edge[a], edge[b] = 1, -1
            cost += weight * np.outer(edge, edge)
    values, vectors = eigh(join.T @ cost @ join, join.T @ join)
    assert abs(values[0]) < 1e-10
    return np.sqrt(values[1:3]), (join @ vectors)[:, 1:3]


@pytest.mark.parametrize(
    "solver", [SparseLU(), *(pytest.param(s, marks=pytest.mark.slow) for s in (DenseQR(), Landmark()))]
)
def test_exact_pairs_give_the_bottom_vectors_of_the_dense_problem_with_merged_points(x64, solver):
    sets = alignments()
    values, vectors = oracle(sets, FIRST)
    out = align(sets, FIRST, 2, solver=solver)
    assert [e.points.shape for e in out] == [(40, 2), (33, 2)]
    assert [e.rows.tolist() for e in out] == [list(range(40)), list(range(33))]
    assert subspace_angle(stacked(out), vectors) < 1e-6
    np.testing.assert_allclose(out[0].singular_values, values, rtol=1e-9)
    np.testing.assert_array_equal(out[0].points[FIRST[:, 0]], out[1].points[FIRST[:, 1]])
    np.testing.assert_allclose(stacked(out).T @ stacked(out), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(stacked(out).sum(axis=0), 0, atol=1e-9)
    assert out[1].converged
    assert out[1].num_components == 1


@pytest.mark.parametrize("trust", [0.3, TRUST], ids=["one", "each"])
def test_soft_pairs_give_the_bottom_vectors_of_the_dense_problem_with_their_cost(x64, trust):
    sets = alignments()
    values, vectors = oracle(sets, FIRST, trust)
    out = align(sets, FIRST, 2, trust=trust)
    assert subspace_angle(stacked(out), vectors) < 1e-8
    np.testing.assert_allclose(out[1].singular_values, values, rtol=1e-9)
    assert np.abs(out[0].points[FIRST[:, 0]] - out[1].points[FIRST[:, 1]]).max() > 1e-3


def test_soft_pairs_tend_to_exact_ones(x64):
    sets = alignments()
    exact = stacked(align(sets, FIRST, 2))
    angles = [float(subspace_angle(exact, stacked(align(sets, FIRST, 2, trust=t)))) for t in (1e3, 1e5, 1e7)]
    assert angles[0] < 0.05
    np.testing.assert_allclose(
        np.array(angles[:-1]) / angles[1:], 100, rtol=0.05
    )  # the error is that of first order in 1 / trust


def test_three_sets_with_cycles_of_pairs_give_the_vectors_of_the_dense_problem(x64):
    sets = alignments(3)
    for trust, each in (
        (None, None),
        (0.3, 0.3),
        ({(0, 1): TRUST, (1, 2): 0.5, (2, 0): [0.2, 7]}, [*TRUST, *[0.5] * 4, 0.2, 7]),
    ):
        values, vectors = oracle(sets, CHAIN, each)
        out = align(sets, CHAIN, 2, trust=trust)
        assert subspace_angle(stacked(out), vectors) < 1e-8
        np.testing.assert_allclose(out[2].singular_values, values, rtol=1e-9)


def test_with_trust_a_point_may_have_several_partners(x64):
    sets, pairs = alignments(), np.array([[3, 1], [3, 2], [3, 9], [5, 9], [20, 30], [21, 30]])
    values, vectors = oracle(sets, pairs, 0.4)
    for rows in (pairs, pairs[::-1]):
        out = align(sets, rows, 2, trust=0.4)
        assert subspace_angle(stacked(out), vectors) < 1e-8
        np.testing.assert_allclose(out[0].singular_values, values, rtol=1e-9)


def test_the_order_of_sets_and_pairs_does_not_matter(x64):
    sets = alignments()
    for trust in (None, TRUST):
        out = align(sets, FIRST, 2, trust=trust)
        turned = align(sets[::-1], FIRST[::-1, ::-1], 2, trust=None if trust is None else trust[::-1])
        assert subspace_angle(stacked(out), stacked(turned[::-1])) < 1e-9
        keyed = align(sets, {(1, 0): FIRST[:, ::-1]}, 2, trust=trust)
        np.testing.assert_allclose(stacked(keyed), stacked(out), atol=1e-9)


@pytest.mark.parametrize("trust", [None, pytest.param(0.3, marks=pytest.mark.slow)])
def test_results_under_jit_and_vmap_are_those_without(x64, trust):
    def align_views(x, solver="auto"):
        sets = [jaxlle.lle_alignment(x, k=7), jaxlle.lle_alignment(x[5:35, :2], k=8)]
        out = align(sets, np.stack([np.arange(0, 30, 5)] * 2, axis=1), 2, trust=trust, solver=solver)
        y = jnp.concatenate([e.points for e in out])
        return y @ y.T

    clouds = jnp.stack([CLOUDS[0], CLOUDS[0][::-1] + 0.1 * CLOUDS[0]])
    traced = jax.jit(jax.vmap(lambda x: align_views(x, DenseQR())))(clouds)
    np.testing.assert_allclose(traced, jnp.stack([align_views(x) for x in clouds]), atol=1e-8)


@pytest.mark.parametrize("trust", [(), pytest.param((TRUST,), marks=pytest.mark.slow)], ids=["exact", "soft"])
def test_derivatives_in_blocks_and_trust_are_those_of_differences(x64, trust):
    sets = alignments()

    def distances(blocks, trust=None):
        parts = [a._replace(blocks=b - b.mean(axis=2, keepdims=True)) for a, b in zip(sets, blocks, strict=True)]
        y = jnp.concatenate([e.points for e in align(parts, FIRST, 2, trust=trust, solver=DenseQR())])
        return jnp.sum((y[1] - y[FIRST[1, 0]]) ** 2) + jnp.sum((y[2] - y[60]) ** 2)

    check_grads(
        distances, ([a.blocks for a in sets], *map(jnp.asarray, trust)), order=1, modes=["rev"], rtol=1e-4, eps=1e-6
    )


def two_views(n, own, seed=0):
    """Return two surfaces over one rectangle: n common points, followed by `own` further points of each, sampled apart."""
    rng = np.random.default_rng(seed)
    common, *others = (rng.uniform(size=(count, 2)) * [3.0, 1.5] for count in (n, own, own // 2))
    (s, t), (u, v) = (np.concatenate([common, other]).T for other in others)
    arch = np.stack([np.sin(s), np.cos(s), t], axis=1)
    wave = np.stack([u, np.sin(v), np.cos(v), 0.3 * np.sin(2 * u), 0.3 * np.cos(2 * u)], axis=1)
    return [(jnp.asarray(x), jnp.stack(places, axis=1)) for x, places in ((arch, (s, t)), (wave, (u, v)))]


def test_ten_pairs_align_differently_sampled_views_of_one_surface_and_map_new_points():
    (arch, places), (wave, _) = two_views(300, 300)
    sets = [jaxlle.ltsa_alignment(x, 2, k=10) for x in (arch, wave)]
    known = np.arange(10)[:, None].repeat(2, axis=1)
    first, second = align(sets, known, 2)
    others = np.arange(10, 300)[:, None].repeat(2, axis=1)
    assert matching_accuracy(first, second, pairs=others) > 0.95
    assert foscttm(first, second, pairs=others) < 0.01
    assert affine_residual(places, first) < 0.01
    (new_arch, _), (new_wave, _) = two_views(40, 2, seed=1)
    y = jaxlle.transform(new_arch[:40], arch, first.points, k=10)
    z = jaxlle.transform(new_wave[:40], wave, second.points, k=10)
    assert matching_accuracy(y, z, k=2) > 0.9
    found = jaxlle.inverse_transform(y, second.points, wave, k=10)  # from the features of one set to those of the other
    assert np.linalg.norm(found - new_wave[:40], axis=1).mean() < 0.1


@pytest.mark.slow
def test_of_two_views_of_2000_points_with_10_pairs_nine_in_ten_partners_are_among_the_ten_nearest():
    for seed in range(3):
        (arch, _), (wave, _) = two_views(2000, 2, seed)
        sets = [jaxlle.ltsa_alignment(x[:2000], 2, k=12) for x in (arch, wave)]
        known = np.random.default_rng(seed).choice(2000, 10, replace=False)
        others = np.setdiff1d(np.arange(2000), known)
        first, second = align(sets, known[:, None].repeat(2, axis=1), 2)
        assert matching_accuracy(first, second, pairs=others[:, None].repeat(2, axis=1)) >= 0.9


@pytest.mark.slow
def test_halves_of_digits_with_200_pairs_are_close_to_halves_of_the_same_class():
    digits = jaxlle.datasets.digits()
    images, labels = digits.points.reshape(-1, 8, 8) / 16, np.asarray(digits.labels)
    sets = [jaxlle.lle_alignment(half.reshape(-1, 32), k=12, reg=0.1) for half in (images[:, :, :4], images[:, :, 4:])]
    known = np.random.default_rng(0).choice(len(labels), 200, replace=False)
    others = np.setdiff1d(np.arange(len(labels)), known)
    left, right = align(sets, known[:, None].repeat(2, axis=1), 10)
    assert foscttm(left, right, pairs=others[:, None].repeat(2, axis=1)) < 0.12
    nearest = np.asarray(jaxlle.knn(right.points, 1, query=left.points[others]).indices)[:, 0]
    assert (labels[nearest] == labels[others]).mean() > 0.8


def test_a_dtype_in_common_is_used(x64):
    sets = alignments()
    mixed = [sets[0]._replace(blocks=sets[0].blocks.astype(np.float32)), sets[1]]
    assert align(mixed, FIRST, 2)[0].points.dtype == np.float64


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (FIRST + np.array([0, 33]), r"pairs ranges from .* in column 1, but that set has 33 points \(0 to 32\)"),
        (FIRST - np.array([40, 0]), r"pairs ranges from -.* in column 0, but that set has 40 points"),
        (np.zeros((0, 2), int), "pairs lists no pair: give at least one"),
        (FIRST.astype(float), r"pairs must be integer row numbers of shape \(m, 2\)"),
        (FIRST[:, 0], r"pairs must be integer row numbers of shape \(m, 2\)"),
        ({}, "pairs has no entry"),
        ({(0, 2): FIRST}, r"pairs has the key \(0, 2\), but keys are tuples"),
        ({(1, 1): FIRST}, r"pairs has the key \(1, 1\), but keys are tuples"),
        ({"a": FIRST}, "pairs has the key 'a', but keys are tuples"),
        ([[3, 5], [4, 6], [3, 5]], r"pairs lists point 3 of alignments\[0\] with point 5 of alignments\[1\] 2 times"),
        ({(0, 1): [[3, 5]], (1, 0): [[5, 3]]}, "2 times: list every pair once"),
        ([[3, 5], [3, 6], [7, 8]], r"would join points 5 and 6 of alignments\[1\], .* pass trust"),
    ],
)
def test_invalid_pairs_raise(pairs, message):
    with pytest.raises(ValueError, match=message):
        align(alignments(), pairs, 2)


def test_pairs_that_contradict_each_other_through_a_third_set_raise():
    pairs = {(0, 1): [[0, 0]], (1, 2): [[0, 0]], (0, 2): [[1, 0]]}
    with pytest.raises(ValueError, match=r"would join points 0 and 1 of alignments\[0\]"):
        align(alignments(3), pairs, 2)
    with pytest.raises(TypeError, match=r"pairs of 3 sets must be a dictionary"):
        align(alignments(3), FIRST, 2)


@pytest.mark.parametrize(
    ("trust", "message"),
    [
        (np.nan, "trust = nan is not allowed"),
        (np.inf, "trust = inf is not allowed: .* or None for exact pairs"),
        (0.0, "trust = 0.0 is not allowed"),
        ([1, 1, 1, 1, 1, -2.0], "trust = -2.0 is not allowed"),
        ([1.0, 2.0], "one for each of the 6 pairs"),
    ],
)
def test_invalid_trust_raises(trust, message):
    with pytest.raises(ValueError, match=message):
        align(alignments(), FIRST, 2, trust=trust)
    with pytest.raises(ValueError, match="trust has the keys"):
        align(alignments(), {(0, 1): FIRST}, 2, trust={(1, 0): 1.0})


def test_other_invalid_arguments_raise():
    one, two = alignments()
    with pytest.raises(ValueError, match=r"dim \(n_components\) = 33 is not allowed: it must be between 1 and 32"):
        align([one, two], FIRST, 33)
    with pytest.raises(
        TypeError, match="alignments must be a list of two or more Alignment values, one per set, got 1 in a list"
    ):
        align([one], FIRST, 2)
    with pytest.raises(TypeError, match="pairs is traced"):
        jax.jit(lambda pairs: align([one, two], pairs, 2))(FIRST)
    mixed = {(0, 1): None, (1, 2): 0.5, (2, 0): 0.5}
    with pytest.raises(ValueError, match="trust is None for some sets and a number for others"):
        align(alignments(3), CHAIN, 2, trust=mixed)


def test_too_few_pairs_warn():
    sets = alignments()
    with pytest.warns(
        JaxlleWarning, match=r"of alignments\[0\] have no more than 2 paired points, .* at least 3 of its points"
    ):
        align(sets, FIRST[:2], 2)
    jaxlle.semisupervised.align(sets, FIRST[:3], 2)


def graph(neighbors):
    """Return the alignment of equal weights of two neighbors per point."""
    indices = np.concatenate([np.arange(len(neighbors))[:, None], neighbors], axis=1)
    return jaxlle.Alignment(jnp.asarray(indices), jnp.tile(jnp.array([1.0, -0.5, -0.5]), (len(neighbors), 1, 1)))


def rings(*sizes):
    """Return the neighbors of points on separate rings."""
    starts = np.cumsum([0, *sizes])
    return np.concatenate(
        [start + (np.arange(n)[:, None] + [-1, 1]) % n for start, n in zip(starts, sizes, strict=False)]
    )


def test_closed_classes_without_pairs_warn_or_raise():
    sets = [
        graph(np.concatenate([rings(30, 30), [[0, 30]]])),
        graph(rings(40)),
    ]  # the last point has neighbors in both rings
    message = (
        r"1 of 2 closed classes of the .* of alignments\[0\] have no paired point, such as that of point 30 \(30 points"
    )
    with pytest.warns(DisconnectedGraphWarning, match=message):
        out = align(sets, np.arange(0, 30, 10)[:, None].repeat(2, axis=1), 1)
    assert out[0].singular_values[0] < 1e-4
    with pytest.raises(DisconnectedGraphError, match=message):
        align(sets, [[0, 0], [1, 1]], 1, options=EmbedOptions(disconnected="error"))


def test_components_without_pairs_raise_or_are_left_out():
    sets = [graph(rings(40, 90)), graph(rings(60))]
    near, far = ([[start + i, i] for i in (0, 7, 20)] for start in (0, 40))
    with pytest.raises(
        DisconnectedGraphError, match=r"1 of 2 components of the .* of alignments\[0\] have no paired point"
    ):
        align(sets, near, 2)
    kept, other = align(sets, far, 2, options=EmbedOptions(disconnected="largest"))
    np.testing.assert_array_equal(kept.rows, np.arange(40, 130))
    np.testing.assert_array_equal(other.rows, np.arange(60))
    vectors = oracle([graph(rings(90)), sets[1]], {(0, 1): near}, sizes=(90, 60))[1]
    assert subspace_angle(stacked([kept, other]), jnp.asarray(vectors, jnp.float32)) < 1e-2
    np.testing.assert_array_equal(kept.points[np.array([0, 7, 20])], other.points[np.array([0, 7, 20])])
    with pytest.raises(DisconnectedGraphError, match=r"alignments\[1\] has no point in the largest component"):
        align([graph(rings(40, 190)), sets[1]], near, 2, options=EmbedOptions(disconnected="largest"))
