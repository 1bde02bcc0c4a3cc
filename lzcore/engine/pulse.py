"""What an iteration is at, told often enough to be seen and rarely enough to be cheap."""

import time
from collections.abc import Callable
from typing import TypeAlias

Tell: TypeAlias = Callable[[str, int, int | None], None]  # (doing, done, total), as lz_working
SECONDS = 0.2  # between two tellings of one part, at least


class Pulse:
    """Passes on how far a part of an iteration has come, a few times a second at most."""

    def __init__(self, tell: Tell) -> None:
        """Tell nothing yet; `tell` will be told."""
        self._tell = tell

    def begin(self, doing: str, total: int | None = None) -> None:
        """Tell that a part begins."""
        self._doing, self._total = doing, total
        self._pass_on(0)

    def at(self, done: int) -> None:
        """Tell how far it has come, unless something was told just before."""
        if time.perf_counter() >= self._next:
            self._pass_on(done)

    def _pass_on(self, done: int) -> None:
        self._tell(self._doing, done, self._total)
        self._next = time.perf_counter() + SECONDS
