"""A progress bar that counts trainings and says which one is at work."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from adqc.tables import progress_bar


class TrainingsBar:
    """Shown while it is entered; at other times what it is told is passed over.

    Args:
        show: True shows it, False does not, None shows it where stderr is a terminal.
    """

    def __init__(self, show: bool | None) -> None:
        self.show = show
        self._bar: Any = None
        self._task: Any = None
        self._total = 0

    def __enter__(self) -> TrainingsBar:
        self._bar, self._total = progress_bar(self.show), 0
        self._bar.__enter__()
        self._task = self._bar.add_task("trainings", total=0, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        bar, self._bar = self._bar, None
        bar.__exit__(kind, error, trace)

    def tell(self, sentence: str) -> None:
        """Say what is going on."""
        if self._bar is not None:
            self._bar.update(self._task, note=sentence)

    def expect(self, count: int) -> None:
        """So many trainings more are to come."""
        self._total += count
        self._bar.update(self._task, total=self._total)

    def advance(self) -> None:
        """One of them is done."""
        self._bar.advance(self._task)
