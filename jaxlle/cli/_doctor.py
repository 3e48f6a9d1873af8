"""`jaxlle doctor`: what is installed."""

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    about = "show versions, devices, precision and optional packages"
    command = commands.add_parser("doctor", help=about, description=run.__doc__)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show versions, devices, precision and which optional packages are installed."""
    import platform
    from importlib import metadata

    import jax

    from .. import __version__

    config: Any = jax.config
    wrong = 0
    print(f"jaxlle {__version__}, Python {platform.python_version()}, {platform.platform()}")
    try:
        for device in jax.devices():
            print(f"device: {device.platform} {device.id}, {device.device_kind}")
    except RuntimeError as error:  # the backend that JAX_PLATFORMS names does not start
        wrong += 1
        print(f"device: none, {' '.join(str(error).split())}")
    how = "JAX_ENABLE_X64=1 turns it on; the command turns it on by itself for float64 data"
    print(f"float64: {'on' if config.jax_enable_x64 else 'off'} ({how})")
    cache = config.jax_compilation_cache_dir or "none (JAX_COMPILATION_CACHE_DIR=FOLDER keeps compiled code)"
    print(f"compilation cache: {cache}")
    needed = dict.fromkeys(("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "jaxtyping"), "")
    extras = {
        "scikit-learn": "sklearn",
        "matplotlib": "plot",
        "mlxtend": "data",
        "rich": "cli",
        "pynndescent": "approximate",
        "orbax-checkpoint": "train",
        "tensorboardX": "train",
        "flatbuffers": "serve",
    }
    for name, extra in {**needed, **extras}.items():
        try:
            print(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            wrong += not extra
            cure = f": pip install 'jaxlle[{extra}]'" if extra else ", but needed: pip install jaxlle"
            print(f"{name} is not installed{cure}")
    return 1 if wrong else 0
