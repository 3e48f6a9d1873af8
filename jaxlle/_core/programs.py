"""Exported programs in files: a checksum over the file, and the operations that a program may contain.

A program is not data: it can call any function that is registered with XLA by its name, among them calls of Python functions by
their address in memory. Programs are therefore searched for such names before they are compiled. The checksum detects damage. It
is not a signature, because anyone can compute it.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from jax import export
from jax.extend.mlir import ir
from jax.interpreters import mlir

_MARK = (
    b"jaxlle export 1\n"  # the last bytes of a file, after the checksum; flatbuffers ignore what follows the program
)

_DIALECTS = {"builtin", "func", "stablehlo"}
_TRANSFERS = {
    f"stablehlo.{name}" for name in ("infeed", "outfeed", "send", "recv")
}  # wait for a host or another device
_FACTORIZATIONS = ("geqrf", "orgqr", "potrf", "syevd")
_CPU = {f"lapack_{kind}{name}_ffi" for kind in "sd" for name in (*_FACTORIZATIONS, "gesdd", "trsm")}
_GPU = {
    f"{library}_{name}_ffi" for library in ("cusolver", "hipsolver") for name in (*_FACTORIZATIONS, "gesvd", "gesvdj")
}
_TPU = {"Qr", "ProductOfElementaryHouseholderReflectors", "Eigh"}

# What the functions of jaxlle contain when they are exported: factorizations, and the check of a number of rows.
CUSTOM_CALLS = frozenset({*_CPU, *_GPU, *_TPU, "shape_assertion"})


def seal(program: bytes) -> bytes:
    """Return the content of a file: a serialized program with its checksum behind it."""
    return program + hashlib.sha256(program).digest() + _MARK


def unseal(content: bytes, path: Path) -> bytes:
    """Return the serialized program in a file; raise a ValueError if it is not the one that was exported."""
    length = len(content) - len(_MARK) - hashlib.sha256().digest_size
    if length < 0 or not content.endswith(_MARK):
        raise ValueError(
            f"{path} is not an exported function with a checksum: it is truncated, was not written by "
            f"jaxlle.serving.export_map, or is of an earlier format. Export the function again."
        )
    program = content[:length]
    if content[length : -len(_MARK)] != hashlib.sha256(program).digest():
        raise ValueError(f"{path} is damaged: its checksum does not match. Export the function again.")
    return program


class Operations(NamedTuple):
    """The operations of a program: the targets of its custom calls, and the names of operations that are not allowed."""

    called: set[str]
    others: set[str]


def check_operations(
    loaded: export.Exported, operations: Operations, path: Path, custom_calls: Collection[str]
) -> None:
    """Raise a ValueError unless a program is a pure function whose operations are allowed.

    Args:
        loaded: the deserialized program, not yet compiled.
        operations: its operations.
        path: its file, for the message.
        custom_calls: targets of custom calls that are allowed beside `CUSTOM_CALLS`.
    """
    if loaded.has_vjp() or loaded.ordered_effects or loaded.unordered_effects or loaded.nr_devices != 1:
        raise ValueError(
            f"{path} holds a program with effects, a derivative or several devices, which jaxlle.serving.export_map does not "
            f"write: it is not loaded."
        )
    if operations.others:
        raise ValueError(
            f"{path} holds a program with the operations {', '.join(sorted(operations.others))}, which "
            f"jaxlle.serving.export_map does not write: it is not loaded."
        )
    unknown = sorted(operations.called - CUSTOM_CALLS - set(custom_calls))
    if unknown:
        raise ValueError(
            f"{path} holds a program with the custom calls {', '.join(unknown)}, which no function of jaxlle contains; a custom "
            f"call can run code outside of JAX. If you exported the function yourself and it needs them, pass "
            f"custom_calls={tuple(unknown)}."
        )


def operations(loaded: export.Exported) -> Operations:
    """Return the operations of a program, without compiling it."""
    called: set[str] = set()
    others: set[str] = set()

    def visit(operation: Any) -> ir.WalkResult:
        name = operation.name
        if name == "stablehlo.custom_call":
            called.add(operation.attributes["call_target_name"].value)
        elif name.split(".")[0] not in _DIALECTS or name in _TRANSFERS:
            others.add(name)
        return ir.WalkResult.ADVANCE

    with mlir.make_ir_context():
        loaded.mlir_module(serialized=False).operation.walk(visit)
    return Operations(called, others)
