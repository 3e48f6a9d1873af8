"""Errors for calls that do not fit the signature of a function: they name the argument that was probably meant.

Users of scikit-learn write `n_neighbors` where jaxlle has `k`, and pass by position what has to be passed by name. Python's own
message for such a call names neither the right argument nor the way to pass it. The signatures stay plain: each public module
calls `explain_calls` at its end, which replaces its functions by ones that behave the same, except for the text of the error.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import wraps
from types import FunctionType
from typing import Any

_SYNONYMS = (
    ("k", "n_neighbors", "num_neighbors", "K", "ks"),
    ("dim", "n_components", "num_components", "n_dims", "ndim", "dims", "dimensions", "d"),
    ("key", "random_state", "seed", "rng", "rngs", "prng_key"),
    ("solver", "eigen_solver", "eigensolver"),
    ("reg", "ridge", "regularization", "regularizer"),
    ("x", "X", "data", "points", "values"),
    ("y", "Y", "embedding", "z", "Z"),
    ("x_new", "X_new", "query", "queries"),
    ("labels", "y", "target", "targets", "classes"),
    ("weights", "W", "w"),
    ("neighbors", "graph", "knn_graph"),
    ("metric", "distance", "affinity"),
    ("radius", "eps"),
    ("num_landmarks", "n_landmarks"),
    ("block_bytes", "chunk_size", "block_size", "max_bytes", "memory"),
    ("n", "n_samples", "num_points", "size"),
)
_EXAMPLES = {"key": "jax.random.key(0)"}  # of arguments whose values differ from those of scikit-learn
_VARIANTS = "each variant is a function of its own, such as jaxlle.modified_lle, jaxlle.hessian_lle and jaxlle.ltsa"


def explain_calls(module: str, names: Sequence[str] = ()) -> None:
    """Let the public functions and constructors of a module, or those named, explain calls that do not fit their signature."""
    namespace = vars(sys.modules[module])
    public = names or namespace.get("__all__") or [name for name in namespace if not name.startswith("_")]
    for name in public:
        value = namespace[name]
        home = getattr(value, "__module__", "")
        if not home.startswith("jaxlle.") or hasattr(value, "_explains_calls"):
            continue
        if isinstance(value, FunctionType):
            namespace[name] = explained = _explained(value, name)
            setattr(sys.modules[home], name, explained)  # pickle looks there for the function
        elif isinstance(value, type) and isinstance(vars(value).get("__init__"), FunctionType):
            setattr(value, "__init__", _explained(value.__init__, name))  # noqa: B010


def _explained(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the function with an explanation in place of Python's error for a call that does not fit its signature."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (TypeError, AttributeError):
            explanation = _explain(function, name, args, kwargs)
            if explanation is None:
                raise
        raise TypeError(explanation)

    setattr(call, "_explains_calls", True)  # noqa: B010
    return call


def _explain(function: Callable[..., Any], name: str, args: tuple, kwargs: dict[str, Any]) -> str | None:
    """Return what to change in a call that does not fit a signature, and None for another call."""
    signature = inspect.signature(function)
    parameters = signature.parameters
    options = parameters.get("options")
    if options is not None and is_dataclass(options.default) and "options" in kwargs:
        kind, given = type(options.default).__name__, kwargs["options"]
        if not isinstance(given, type(options.default)):
            return f"options is of type {type(given).__name__}, but must be of type {kind}: pass {kind}(...)."
    try:
        signature.bind(*args, **kwargs)
        return None
    except TypeError:
        names = [parameter for parameter in parameters if parameter != "self"]
        unknown = [given for given in kwargs if given not in parameters]
        if unknown:
            hints = "; ".join(f"{given}{_hint(given, parameters)}" for given in unknown)
            return f"{name} has no argument {hints}. Its arguments are {_listed(names)}."
        return _explain_positions(name, parameters, args)


def _hint(given: str, parameters: Mapping[str, inspect.Parameter]) -> str:
    """Return what to write in place of the name of an unknown argument."""
    meant = [other for group in _SYNONYMS if given in group for other in group if other != given]
    for other in meant:
        if other in parameters:
            example = f", as in {other}={_EXAMPLES[other]}" if other in _EXAMPLES else ""
            return f": it is called {other} here{example}"
    if given in _SYNONYMS[0] and "neighbors" in parameters:
        return ": pass neighbors=jaxlle.knn(x, k)"
    options = parameters.get("options")
    if options is not None and is_dataclass(options.default):
        kind = type(options.default).__name__
        for field in fields(options.default):
            if field.name in (given, *meant):
                return f": pass options={kind}({field.name}={_EXAMPLES.get(field.name, '...')})"
    if given in ("method", "variant") and "dim" in parameters:
        return f": {_VARIANTS}"
    close = get_close_matches(given, list(parameters), 1)
    return f" (is {close[0]} meant?)" if close else ""


def _explain_positions(name: str, parameters: Mapping[str, inspect.Parameter], args: tuple) -> str | None:
    """Return what to change if too many arguments are passed by position, and None if that is not the problem."""
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters.values()):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [parameter.name for parameter in parameters.values() if parameter.kind in kinds]
    if len(args) <= len(places):
        return None
    extra, others = args[len(places) :], [other for other in parameters if other not in places]
    places, args = (places[1:], args[1:]) if places[:1] == ["self"] else (places, args)
    taken = (
        f"{name} takes {f'only {_listed(places)}' if places else 'nothing'} by position, but got {len(args)} arguments"
    )
    if not others:
        return f"{taken}."
    value = repr(extra[0]) if isinstance(extra[0], int | float | str) else "..."
    return f"{taken}: pass the others by name, such as {others[0]}={value}. They are {_listed(others)}."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
