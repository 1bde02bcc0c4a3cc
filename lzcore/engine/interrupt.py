"""Ctrl-C: the first asks a run to end after its iteration, the second ends it at once."""

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self


class Interrupts:
    """Listens for Ctrl-C inside a `with` block of the main thread."""

    def __init__(self, quiet: bool = False) -> None:
        """Prepare to listen; `quiet` leaves it to another process to say what happens."""
        self._quiet = quiet
        self.asked = False  # whether Ctrl-C was pressed
        self._before: Any = None
        self._listens = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._listens:
            self._before = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(self, *_: object) -> None:
        if self._listens:
            signal.signal(signal.SIGINT, self._before)

    def _pressed(self, signum: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if not self._quiet:
            print(
                "\nlz: finishing this iteration, then saving. Ctrl-C again stops at once.",
                file=sys.stderr,
            )
