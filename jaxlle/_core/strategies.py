"""Registration of strategy objects, which are frozen dataclasses and arguments of compiled functions, as pytrees."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jax.tree_util import GetAttrKey, register_pytree_with_keys

T = TypeVar("T")


def register_strategy(data_fields: Sequence[str], meta_fields: Sequence[str] = ()) -> Callable[[type[T]], type[T]]:
    """Return a decorator that registers a dataclass as a pytree whose structure differs from that of every other class.

    With `jax.tree_util.register_dataclass` (jax 0.10 to 0.12) the structures of two classes whose fields agree are equal. Their
    hashes differ, so that a compiled function usually distinguishes them, but where the hashes collide, it runs the program of
    one for the other.
    """

    def register(cls: type[T]) -> type[T]:
        def values(x: T, fields: Sequence[str]) -> tuple[Any, ...]:
            return tuple(getattr(x, name) for name in fields)

        register_pytree_with_keys(
            cls,
            lambda x: (tuple((GetAttrKey(name), getattr(x, name)) for name in data_fields), values(x, meta_fields)),
            lambda meta, data: cls(
                **dict(zip(meta_fields, meta, strict=True)), **dict(zip(data_fields, data, strict=True))
            ),
            lambda x: (values(x, data_fields), values(x, meta_fields)),
        )
        return cls

    return register
