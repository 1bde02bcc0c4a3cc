"""The file: a row for each evaluation."""

import csv
from pathlib import Path
from typing import Any

HEAD = ("env_step", "learn_step", "return_mean", "return_std", "seconds")


class Table:
    """A CSV file that grows by rows; each is on disk at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[tuple[int, int], list[Any]] = {}  # by env steps and learn steps

    def cut_back(self, env_step: int) -> None:
        """Keep the rows up to `env_step`: a resumed run makes the later ones again."""
        kept = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.reader(file) if row and row[0].isdecimal()]
        self._rows = {(int(r[0]), int(r[1])): r for r in kept if int(r[0]) <= env_step}
        self._write()

    def add(self, env_step: int, learn_step: int, mean: float, std: float, seconds: float) -> None:
        """Write one evaluation: when, mean and standard deviation of returns, time so far.

        It takes the place of a row of the same steps: a run that was killed after its last
        checkpoint measures once more what it measured since.
        """
        row = [env_step, learn_step, round(mean, 3), round(std, 3), round(seconds, 1)]
        self._rows[env_step, learn_step] = row
        self._write()

    def _write(self) -> None:
        with self.path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEAD, *self._rows.values()])
