"""`python -m jaxlle` is the command `jaxlle`."""

import sys

from .cli import main

sys.exit(main())
