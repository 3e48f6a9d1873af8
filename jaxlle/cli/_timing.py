"""The time and the progress of the stages of a command."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import _outputs


class StageTimer:
    """Records the time of every stage, and shows the running one on a terminal.

    Args:
        quiet: show nothing.

    Attributes:
        times: seconds by stage.
    """

    def __init__(self, quiet: bool):
        self.times: dict[str, float] = {}
        self.quiet = quiet

    def __enter__(self) -> "StageTimer":
        _outputs.require("rich", "cli")
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        console = _outputs.console(stderr=True)
        self.visible = console.is_terminal and not self.quiet
        self.bar = Progress(*columns, console=console, transient=True, disable=not self.visible)
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Time a stage. Yields a function (steps done, steps in total) that a stage may call to show its progress."""
        task = self.bar.add_task(name, total=None)
        start = time.perf_counter()
        yield lambda done, total: self.bar.update(task, completed=done, total=total)
        self.times[name] = time.perf_counter() - start
        self.bar.remove_task(task)
        if self.visible:
            self.bar.console.print(f"[green]✓[/] {name} [dim]{self.times[name]:.2f} s[/]", highlight=False)
