"""Every public function, found by introspection, with changed arguments: the right answer, or an error of jaxlle's own.

A changed argument is an array with NaN, of another rank, dtype, layout or scale, an index out of range, or a number that is
negative, NaN, or no number at all. ``pytest tests/test_every_input.py -m "exhaustive or not exhaustive" -n 0`` tries all of
them and reports how many were tried; the default run tries those for which no answer exists, because they need no compilation.
"""

from collections import Counter

import jaxtyping
import numpy as np
import pytest
from every_input import attacks, verdicts
from every_input.calls import CALLS, OTHER
from every_input.documented import DOCUMENTED
from hypothesis import given, settings
from hypothesis import strategies as st

# Some of their invalid arguments are valid after all, or they load data: they compile or read for several seconds.
LONG = {
    "choosing.choose",
    "datasets.deformed_digits",
    "nn.solve_last_layer",
    "plot.diagnosis",
    "plot.explanation",
    "plot.grid",
}


@pytest.fixture(autouse=True, scope="module")
def as_users_call():
    """Switch the run-time checks of annotations off, which users do not have, and which would answer for the library."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def named(names, long):
    return [pytest.param(name, marks=pytest.mark.exhaustive if name in long else ()) for name in names]


def attack(name, kind, wide, record_property):
    """Assess all changes of one kind; fail with those that are wrong answers or errors of another library."""
    counts, failures = Counter(), []
    for change in verdicts.attacks(name, kind):
        verdict, found = verdicts.assess(name, change, wide)
        counts[verdict] += 1
        if verdict in ("wrong", "foreign"):
            failures.append(f"{'.'.join(map(str, change.path))}, {change.name}: {verdict}: {found}")
    record_property("inputs", dict(counts))
    assert not failures, "\n".join(failures)


def test_every_public_function_has_a_call_or_a_reason():
    assert verdicts.missing_entries() == set()
    assert verdicts.stale_entries() == set()
    assert all(OTHER.values())
    assert all(case.reason for case in DOCUMENTED)


@pytest.mark.slow_cases(
    "metrics.diagnostics",
    "nn.local_linear_attention",
    "plot.diagnostic",
    "plot.summary",
    "semisupervised.propagate",
    "variants.add_points",
    "variants.kernel_alignment",
    "variants.kernel_lle",
    "variants.multiview_lle",
    "variants.npe",
    "variants.robust_lle",
    "variants.stack_alignments",
    "variants.supervised_lle",
    "variants.weight_posterior",
    "weights.barycentric_weights",
    "weights.simplex_weights",
)
@pytest.mark.parametrize("name", named(CALLS, LONG))
def test_arguments_without_an_answer_raise(name, record_property):
    attack(name, "invalid", False, record_property)


@pytest.mark.exhaustive
@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_arguments_with_an_answer_give_it(name, wide, record_property):
    attack(name, "valid", wide, record_property)


NUMBERS = [
    pytest.param(name, path, id=f"{name}-{'.'.join(map(str, path))}")
    for name in ("losses.isometry_loss", "losses.margin_loss", "losses.log_det_penalty", "variants.weighted_alignment")
    for path, leaf in attacks.leaves_of(verdicts.built(name).arguments)
    if np.asarray(leaf).dtype.kind == "f"
]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "path"), NUMBERS)
@settings(max_examples=50, deadline=None, derandomize=True)
@given(number=st.floats(width=32))
def test_any_number_in_any_place_gives_the_answer_of_float64_or_raises(name, path, number):
    leaf = verdicts.leaf_at(verdicts.built(name).arguments, path)
    value = attacks.with_entry(leaf, number) if isinstance(leaf, np.ndarray) else number
    # Numbers far from 1 need not have an answer in float32, but NaN would hide that.
    change = attacks.Attack(path, "any number", value, value, like="float64" if 1e-3 < abs(number) < 1e3 else "number")
    verdict, found = verdicts.assess(name, change, False)
    assert verdict in ("answer", "error"), found
