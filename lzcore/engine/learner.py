"""Learning: how many steps an iteration owes, and making them.

Shape letters: B sampled positions.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from lzcore.base.config import LoopSettings
from lzcore.base.errors import DivergedError
from lzcore.base.policy import Policy
from lzcore.base.ranks import ALONE, Ranks
from lzcore.base.replay import Buffer, Windows
from lzcore.engine.answers import PRIORITY, learned, priorities
from lzcore.engine.checkpoint import save_file
from lzcore.engine.clock import Clock
from lzcore.engine.plain import loosely
from lzcore.engine.plan import Counters


def steps_owed(loop: LoopSettings, counters: Counters, new_steps: int) -> int:
    """Return the learn steps that an iteration owes for its `new_steps` env steps.

    With `replay_ratio` the fraction left over is carried on exactly: after any number of
    iterations, floor(replay_ratio * env steps) learn steps have been owed. Only iterations that
    may learn count, so that a late start is not followed by a burst.
    """
    if loop.update_per_collect is not None:
        return loop.update_per_collect
    counters.ratio_steps += new_steps
    owed = math.floor(Fraction(str(loop.replay_ratio)) * counters.ratio_steps)
    due = owed - counters.ratio_updates
    counters.ratio_updates = owed
    return due


def steps_allowed(owed: int, limit: int | None, counters: Counters) -> int:
    """Return how many owed learn steps are made now; a run with a higher limit makes the others.

    Args:
        owed: by this iteration; those that an earlier one could not make come on top.
        limit: `max_learn_steps`; None: no limit.
        counters: of the run.
    """
    owed += counters.cut_steps
    allowed = owed if limit is None else min(owed, limit - counters.learn_step)
    counters.cut_steps = owed - allowed
    return allowed


def reanalyses_due(loop: LoopSettings, counters: Counters, transitions: float) -> int:
    """Return how often the buffer is reanalyzed while an iteration learns.

    Only iterations count that learn from a buffer with enough transitions, the first of them with
    at least one reanalysis. After n of them, buffer_reanalyze_freq * n were due, rounded up.

    Args:
        loop: how often, and from how many transitions on.
        counters: of the run; this iteration is counted in them.
        transitions: in the buffer, of several ranks in the one that has least.
    """
    if not loop.buffer_reanalyze_freq or transitions <= loop.reanalyze_start_after_transitions:
        return 0
    freq, before = Fraction(str(loop.buffer_reanalyze_freq)), counters.reanalyze_iterations
    counters.reanalyze_iterations += 1
    return math.ceil(freq * (before + 1)) - math.ceil(freq * before)


class _Drawing:
    """Stands between buffer and policy for one batch, and remembers which rows were drawn."""

    windows: Windows

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def make_batch(self, windows: Windows) -> Any:
        self.windows = windows
        return self._policy.make_batch(windows)


class _Means:
    """Averages numbers by name."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, float] = {}

    def add(self, told: Mapping[str, Any]) -> None:
        """Count what was told once; priorities are no numbers."""
        self._count += 1
        for name, value in told.items():
            if name != PRIORITY:
                self._sums[name] = self._sums.get(name, 0.0) + value

    def told(self) -> dict[str, float]:
        """Return the means."""
        return {name: total / self._count for name, total in self._sums.items()}


class Learner:
    """Makes learn steps on batches of the buffer."""

    def __init__(
        self,
        policy: Policy,
        buffer: Buffer,
        batch_size: int,
        diverged: Path,
        ranks: Ranks = ALONE,
    ) -> None:
        """Prepare learning.

        Args:
            policy: learns.
            buffer: is drawn from, and told of priorities.
            batch_size: B, this rank's share of a batch.
            diverged: where a batch is saved whose loss is not a number.
            ranks: that make each learn step together.
        """
        self._policy = policy
        self._buffer = buffer
        self.batch_size = batch_size
        self._diverged = diverged
        self._ranks = ranks
        self._use_priority = policy.replay_settings().use_priority
        self._loop = policy.loop_settings()

    def ready(self) -> bool:
        """Whether every rank's buffer holds enough for its share of a batch."""
        return self._ranks.every(self._buffer.can_sample(self.batch_size))

    def learn(
        self,
        steps: int,
        clock: Clock,
        reanalyses: int = 0,
        tell: Callable[[int], None] = lambda done: None,
    ) -> dict[str, float]:
        """Make learn steps and tell the policy that they are made.

        Args:
            steps: how many, at least 1.
            clock: counts "sample", "learn" and "reanalyze".
            reanalyses: how often the buffer is reanalyzed: before the first step, and in between.
            tell: is told after each step how many are made.
        Returns:
            The mean of each number that the policy returned, over steps and ranks.
        Raises:
            DivergedError: a loss is not a number; the batch that caused it is saved.
        """
        steps_told, reanalyses_told = _Means(), _Means()
        due = [k * steps // reanalyses for k in range(reanalyses)]
        for step in range(steps):
            for _ in range(due.count(step)):
                reanalyses_told.add(self._reanalyze(clock))
            steps_told.add(self._step(clock))
            tell(step + 1)
        self._policy.after_learning()
        clock.lap("learn")
        return self._ranks.mean({**steps_told.told(), **reanalyses_told.told()})

    def _reanalyze(self, clock: Clock) -> dict[str, float]:
        loop = self._loop
        told = self._buffer.revisit(
            loop.reanalyze_batch_size, loop.reanalyze_partition, self._policy
        )
        clock.lap("reanalyze")
        return learned(self._policy, "reanalyze", told)

    def _step(self, clock: Clock) -> dict[str, Any]:
        drawing: Any = _Drawing(self._policy)
        batch = self._buffer.sample(self.batch_size, drawing)
        clock.lap("sample")
        try:
            told = self._policy.learn_mode.forward(batch)
            told = learned(self._policy, "_forward_learn", told)
            _require_finite(told)
        except DivergedError as err:
            raise self._saved(err, batch) from err
        clock.lap("learn")
        if self._use_priority:
            drawn = drawing.windows
            new = priorities(self._policy, told, len(drawn.index))
            self._buffer.update_priority(drawn.index, new, drawn.stamp)
            clock.lap("sample")
        return told

    def _saved(self, err: DivergedError, batch: Any) -> DivergedError:
        save_file(self._diverged, {"kind": "batch", "batch": loosely(batch)})
        return DivergedError(
            f"{err} The batch that caused it is saved in {self._diverged}. "
            "Start again with a lower learning rate; the checkpoints of this run stand."
        )


def _require_finite(told: Mapping[str, Any]) -> None:
    for name, value in told.items():
        if name.endswith("loss") and not math.isfinite(value):
            raise DivergedError(f"Learning diverged: {name} is {value}.")
