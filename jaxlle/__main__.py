"""Run the command `jaxlle` as `python -m jaxlle`."""

import sys

from .cli import main

sys.exit(main())
