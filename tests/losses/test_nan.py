"""NaN in the losses: visible wherever an entry counts, in every argument of every loss, and without effect where it is masked."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_cases import CASES, MASK, MASKED, PAIRS, counts, options

from jaxlle import losses

ARGUMENTS = [
    pytest.param(case, name, masked, id=f"{case}-{name}" + "-masked" * masked)
    for case, (_, arrays, masks) in CASES.items()
    for name in arrays
    for masked in (False, True)
    if masks or not masked
]


def test_every_loss_has_a_case():
    functions = {name for name in losses.__all__ if inspect.isfunction(getattr(losses, name))}
    assert {case.split()[0] for case in CASES} == functions - {"neighborhood_batches"}


@pytest.mark.slow_cases(
    "batch_lle_loss with a graph-x",
    "batch_lle_loss-x",
    "batch_lle_loss-y",
    "probability_lle_loss-logits",
    "spectral_loss-blocks",
)
@pytest.mark.parametrize(("case", "name", "masked"), ARGUMENTS)
def test_nan_at_an_entry_that_counts_raises_and_gives_nan_inside_jit(case, name, masked):
    function, arrays, _ = CASES[case]
    given = options(case) if masked else {}
    counted = counts(case, name) if masked else np.ones(np.shape(arrays[name]), bool)
    at = tuple(np.argwhere(counted)[-1]) if counted.ndim else ()
    bad = {**arrays, name: jnp.asarray(arrays[name]).at[at].set(jnp.nan)}
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        function(**bad, **given)
    run = jax.jit(lambda arrays: function(**arrays, **given))
    assert np.isfinite(run(arrays)).all()
    assert np.isnan(run(bad)).any()


@pytest.mark.parametrize("case", MASKED)
def test_masked_entries_may_be_nan_and_affect_neither_value_nor_gradient(case):
    function, arrays, _ = CASES[case]
    given = options(case)
    hidden = {name: jnp.where(counts(case, name), a, jnp.nan) for name, a in arrays.items()}
    run = jax.jit(jax.value_and_grad(lambda arrays: function(**arrays, **given)))
    (value, slope), (again, same) = run(arrays), run(hidden)
    assert np.isfinite(value)
    np.testing.assert_array_equal(again, value)
    np.testing.assert_allclose(function(**hidden, **given), value, rtol=1e-6)
    for name in arrays:
        assert np.isfinite(slope[name]).all()
        assert (np.asarray(slope[name])[~counts(case, name)] == 0).all()
        np.testing.assert_array_equal(same[name], slope[name])


@pytest.mark.parametrize("case", PAIRS)
def test_an_anchor_without_neighbors_counts(case):
    function, arrays, _ = CASES[case]
    first = next(iter(arrays))  # of shape (b, d) in every case
    mask = jnp.asarray(MASK).at[1].set(False)
    run = jax.jit(lambda arrays: function(**arrays, mask=mask))
    assert np.isfinite(run(arrays))
    assert np.isnan(run({**arrays, first: arrays[first].at[1, 0].set(jnp.nan)}))


def test_a_cost_of_nan_is_visible_where_all_outputs_are_equal():
    assert np.isnan(jax.jit(losses.relative_cost)(jnp.nan, jnp.ones((4, 2))))


def test_logits_may_be_minus_infinity():
    y = jnp.array([[0.0, -jnp.inf], [-jnp.inf, 1.0]])
    assert losses.probability_lle_loss(y, y[::-1, None], jnp.ones((2, 1))) == 2
