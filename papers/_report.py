"""The form in which a reproduction reports what it has found so far."""

from collections.abc import Callable

Report = Callable[[str, dict[str, float]], None]
"""Called with the name of a row and its figures as soon as they are known, such as `print`."""
