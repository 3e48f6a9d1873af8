"""Verdicts on calls with changed arguments."""

import inspect
from functools import cache
from importlib import import_module

import jax
import numpy as np

import jaxlle

from .attacks import Attack, converted, invalid, leaves_of, replaced, valid
from .calls import CALLS, OTHER, Call
from .documented import DOCUMENTED
from .outcomes import equal, finite, outcome

RELATED = {"query", "x_new", "x_neighbors", "directions", "weights", "batch_size"}  # arguments in the space of x
TOLERANCE = {"float64": 2e-3, "same": 1e-5}


def public_functions() -> dict:
    """Return the public functions of all public modules by their names, such as "neighbors.knn"."""
    found = {}
    for module in jaxlle.__all__:
        namespace = getattr(jaxlle, module)
        if not inspect.ismodule(namespace):
            continue
        for name in getattr(namespace, "__all__", None) or [n for n in vars(namespace) if not n.startswith("_")]:
            value = getattr(namespace, name)
            home = getattr(value, "__module__", None) or ""
            own = hasattr(namespace, "__all__") or home == namespace.__name__
            if callable(value) and not inspect.isclass(value) and home.startswith("jaxlle") and own:
                found[f"{module}.{name}"] = value
    return found


@cache
def built(name: str) -> Call:
    return CALLS[name]()


def function_of(name: str):
    module, attribute = name.split()[0].split(".")
    return built(name).target or getattr(import_module(f"jaxlle.{module}"), attribute)


def answer(name: str, arguments: dict, wide: bool):
    """Call a function, in float64 or in float32, whose arrays of float64 are then converted."""
    if not wide:
        return outcome(function_of(name), arguments)
    with jax.enable_x64(True):
        return outcome(function_of(name), arguments)


@cache
def plain_answer(name: str, wide: bool):
    arguments = built(name).arguments
    return answer(name, arguments if wide else converted(arguments, np.float32), wide)


def attacks(name: str, kind: str):
    """Yield the changes of the arguments of a function: "invalid" or "valid" ones."""
    call = built(name)
    for path, leaf in leaves_of(call.arguments):
        argument = path[0]
        if argument not in call.fixed and kind == "valid":
            # An offset of one of several arrays in the same space is not invariant.
            moved = path == ("x",) and "x" not in call.origin and not RELATED & set(call.arguments)
            yield from valid(path, leaf, not moved)
        elif argument not in call.fixed:
            yield from invalid(path, leaf, argument in call.rows, argument in call.columns)


def assess(name: str, attack: Attack, wide: bool) -> tuple[str, str]:
    """Return the verdict on a call with a changed argument, one of those that `attack` counts, and what happened."""
    call = built(name)
    plain = call.arguments if wide else converted(call.arguments, np.float32)
    kind, found = answer(name, replaced(plain, attack.path, attack.value), wide)
    verdict = _verdict(name, attack, wide, kind, found)
    if verdict in ("wrong", "foreign") and documented(name, attack):
        return "documented", str(found)
    return verdict, str(found)[:300]


def documented(name: str, attack: Attack) -> bool:
    return any(
        name.startswith(case.function)
        and attack.path[: len(case.path)] == case.path
        and (attack.name in case.changes or not case.changes)
        for case in DOCUMENTED
    )


def _verdict(name, attack, wide, kind, found):
    if kind == "foreign":
        return kind
    if kind == "error":
        return "wrong" if attack.answers else "error"
    if attack.plain is None:
        return "wrong"
    if attack.like in ("finite", "number"):
        return "answer" if finite(found, attack.like == "number") else "wrong"
    known = plain_answer(name, True)
    if attack.plain is not leaf_at(built(name).arguments, attack.path):
        in_double = attack.like == "float64" or wide
        given = replaced(built(name).arguments, attack.path, attack.plain)
        known = answer(name, given if in_double else converted(given, np.float32), in_double)
    return "answer" if known[0] == "answer" and equal(found, known[1], TOLERANCE[attack.like]) else "wrong"


def leaf_at(value, path):
    for step in path:
        value = value[step] if isinstance(value, dict | list) else getattr(value, step)
    return value


def missing_entries() -> set:
    return set(public_functions()) - {name.split()[0] for name in CALLS} - set(OTHER)


def stale_entries() -> set:
    return ({name.split()[0] for name in CALLS} | set(OTHER)) - set(public_functions())
