"""Where wall time goes. It is told to people and kept apart from every result."""

import time
from collections.abc import Mapping


class Clock:
    """Divides time without gaps: each lap ends now and began where the one before it ended."""

    def __init__(self) -> None:
        self.total: dict[str, float] = {}  # name -> seconds since the clock was made
        self._last = self._start = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._start

    def lap(self, name: str) -> None:
        """Count the time since the last lap as spent on `name`."""
        now = time.perf_counter()
        self.total[name] = self.total.get(name, 0.0) + now - self._last
        self._last = now

    def since(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return the seconds of each name since `total` was `before`."""
        return {name: now - before.get(name, 0.0) for name, now in self.total.items()}
