"""The options of the command in place of the arguments of Python, in messages of the library."""

import re

_PHRASES = (
    (
        r"pass options=EmbedOptions\(disconnected='largest'\), or use jaxlle\.embedding\.embed_components",
        "or choose --components largest or --components separate",
    ),
    (r"pass options=EmbedOptions\(dedupe=True\)", "remove the copies"),
    (r"Raise its iteration limit, or use another solver", "Choose another --solver"),
    (r"use another solver", "choose another --solver"),
    (r"compute in float64 \(jax_enable_x64\)", "use --precision float64"),
    (r"use k > dim", "use --k > --dim"),
    (r"\bk \(n_neighbors\)", "--k"),
    (r"\bdim \(n_components\)", "--dim"),
    (r"\b([Rr]aise|[Ll]ower) reg or k\b", r"\1 --reg or --k"),
    (r"\b([Rr]aise|[Ll]ower) (k|reg|dim)\b", r"\1 --\2"),
    (r'ReadOptions\((\w+)="([^"]*)"\)', r"--\1 \2"),
    (r"ReadOptions\.(\w+)", r"--\1"),
)


def with_options(message: str) -> str:
    """Return a message of the library with the options of the command in place of the arguments of Python."""
    for pattern, replacement in _PHRASES:
        message = re.sub(pattern, replacement, message)
    return message
