"""`jaxlle doctor`: show what is installed."""

import argparse
from typing import Any

_REQUIRED = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "jaxtyping", "lazy_loader", "filelock", "platformdirs")
_EXTRAS = {  # optional package: extra that installs it
    "scikit-learn": "sklearn",
    "matplotlib": "plot",
    "mlxtend": "data",
    "polars": "tables",
    "pillow": "images",
    "rich": "cli",
    "pynndescent": "approximate",
    "pymetis": "metis",
    "orbax-checkpoint": "train",
    "tensorboardX": "train",
    "flatbuffers": "serve",
}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    summary = "show versions, devices, precision and optional packages"
    command = commands.add_parser("doctor", help=summary, description=run.__doc__)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show versions, devices, precision and which optional packages are installed."""
    import platform
    from importlib import metadata

    import jax

    from .. import __version__, compilation

    config: Any = jax.config
    problems = 0
    print(f"jaxlle {__version__}, Python {platform.python_version()}, {platform.platform()}")
    try:
        for device in jax.devices():
            print(f"device: {device.platform} {device.id}, {device.device_kind}")
    except RuntimeError as error:  # the backend named by JAX_PLATFORMS cannot be initialized
        problems += 1
        print(f"device: none, {' '.join(str(error).split())}")
    enabling = "set JAX_ENABLE_X64=1 to enable it; the commands enable it themselves for float64 data"
    print(f"float64: {'on' if config.jax_enable_x64 else 'off'} ({enabling})")
    cache = config.jax_compilation_cache_dir or str(compilation.default_folder())
    size = compilation.cache_bytes(cache) / 2**20
    print(
        f"compilation cache: {cache} ({size:.1f} MB; used by the commands, and by jaxlle.enable_compilation_cache in Python)"
    )
    for name in (*_REQUIRED, *_EXTRAS):
        try:
            print(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            problems += name in _REQUIRED
            remedy = (
                f": pip install 'jaxlle[{_EXTRAS[name]}]'" if name in _EXTRAS else " but required: pip install jaxlle"
            )
            print(f"{name} is not installed{remedy}")
    return 1 if problems else 0
