"""What the benchmark scripts share: the heading of their figures, and the choice of sections."""

import os
import platform
import resource
import sys
from collections.abc import Callable, Mapping
from datetime import date


def heading() -> None:
    """Print the date, the machine and the versions."""
    import jax
    import scipy
    import sklearn

    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}"
    )


def run(sections: Mapping[str, Callable[[], None]]) -> None:
    """Run the sections that are named on the command line, or all."""
    heading()
    for name in sys.argv[1:] or sections:
        sections[name]()
    print(f"\npeak resident memory of this run: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
