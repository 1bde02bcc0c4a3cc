"""What a match's games add up to: wins, draws and losses, score, and the difference in Elo."""

import math
from collections.abc import Sequence
from typing import Any

import attrs

_Z = 1.959963984540054  # of a normal distribution, 95 % lie within so many deviations


@attrs.frozen
class Standing:
    """Wins, draws and losses of one side."""

    wins: int
    draws: int
    losses: int

    @classmethod
    def of(cls, outcomes: Sequence[float]) -> "Standing":
        """Count outcomes: 1 a win, 0 a draw, -1 a loss."""
        wins, losses = sum(x > 0 for x in outcomes), sum(x < 0 for x in outcomes)
        return cls(wins, len(outcomes) - wins - losses, losses)

    @property
    def games(self) -> int:
        """How many games were played."""
        return self.wins + self.draws + self.losses

    @property
    def score(self) -> float:
        """Share of the points, 0 to 1: a win counts 1 and a draw one half; nan of no games."""
        return (self.wins + self.draws / 2) / self.games if self.games else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true score lies at 95 %: Wilson's interval.

        It takes the games for independent, and for as scattered as games without draws are; the
        more draws there are, the wider it is than need be.
        """
        n, s = self.games, self.score
        middle = (s + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z * math.sqrt(s * (1 - s) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
        low = 0.0 if s == 0 else middle - half
        return low, 1.0 if s == 1 else middle + half

    @property
    def elo(self) -> float:
        """Difference in Elo that makes this score the expected one; infinite at 0 and 1."""
        return elo(self.score)

    @property
    def elo_interval(self) -> tuple[float, float]:
        """The difference at both ends of the score's interval."""
        low, high = self.interval
        return elo(low), elo(high)

    def elo_text(self) -> str:
        """Return the difference for people: "+120 (+64 to +183)"."""
        low, high = map(_signed, self.elo_interval)
        return f"{_signed(self.elo)} ({low} to {high})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; infinite differences are the texts "inf" and "-inf"."""
        found: dict[str, Any] = attrs.asdict(self) | {"games": self.games}
        if self.games:
            low, high = self.elo_interval
            told = {"elo": self.elo, "elo_low": low, "elo_high": high}
            found["score"] = self.score
            found |= {name: x if math.isfinite(x) else str(x) for name, x in told.items()}
        return found


def elo(score: float) -> float:
    """Return the difference in Elo at which this score from 0 to 1 is expected."""
    if score in (0.0, 1.0):
        return math.copysign(math.inf, score - 0.5)
    return 400.0 * math.log10(score / (1.0 - score))


def _signed(number: float) -> str:
    return f"{number:+.0f}" if math.isfinite(number) else f"{'+' if number > 0 else '-'}infinite"
