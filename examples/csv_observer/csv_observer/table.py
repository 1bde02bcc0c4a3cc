"""The file: a row for each evaluation."""

import csv
from pathlib import Path

HEAD = ("env_step", "learn_step", "return_mean", "return_std", "seconds")


class Table:
    """A CSV file that grows by rows; each is on disk at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut_back(self, env_step: int) -> None:
        """Keep the rows up to `env_step`: a resumed run makes the later ones again."""
        kept = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.reader(file) if row[0].isdecimal()]
        rows = [HEAD, *(row for row in kept if int(row[0]) <= env_step)]
        with self.path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    def add(self, env_step: int, learn_step: int, mean: float, std: float, seconds: float) -> None:
        """Write one evaluation: when, mean and standard deviation of returns, time so far."""
        row = (env_step, learn_step, round(mean, 3), round(std, 3), round(seconds, 1))
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)
