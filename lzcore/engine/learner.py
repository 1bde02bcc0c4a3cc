"""Learning: how many steps an iteration owes, and making them.

Shape letters: B sampled positions.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from lzcore.base.config import LoopSettings
from lzcore.base.errors import DivergedError
from lzcore.base.policy import Policy
from lzcore.base.ranks import ALONE, Ranks
from lzcore.base.replay import Buffer, Windows
from lzcore.engine.checkpoint import save_file
from lzcore.engine.clock import Clock
from lzcore.engine.plain import loosely
from lzcore.engine.plan import Counters

PRIORITY = "value_priority_orig"  # (B,) in what learning returns: what the buffer is told


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
        self._batch_size = batch_size
        self._diverged = diverged
        self._ranks = ranks
        self._use_priority = policy.replay_settings().use_priority

    def ready(self) -> bool:
        """Whether every rank's buffer holds enough for its share of a batch."""
        return self._ranks.every(self._buffer.can_sample(self._batch_size))

    def learn(self, steps: int, clock: Clock) -> dict[str, float]:
        """Make learn steps and tell the policy that they are made.

        Args:
            steps: how many, at least 1.
            clock: counts "sample" and "learn".
        Returns:
            The mean of each number that the policy returned, over steps and ranks.
        Raises:
            DivergedError: a loss is not a number; the batch that caused it is saved.
        """
        sums: dict[str, float] = {}
        for _ in range(steps):
            told = self._step(clock)
            for name, value in told.items():
                if name != PRIORITY:
                    sums[name] = sums.get(name, 0.0) + float(value)
        self._policy.after_learning()
        clock.lap("learn")
        return self._ranks.mean({name: total / steps for name, total in sums.items()})

    def _step(self, clock: Clock) -> Mapping[str, Any]:
        drawing: Any = _Drawing(self._policy)
        batch = self._buffer.sample(self._batch_size, drawing)
        clock.lap("sample")
        try:
            told: Mapping[str, Any] = self._policy.learn_mode.forward(batch)
            _require_finite(told)
        except DivergedError as err:
            raise self._saved(err, batch) from err
        clock.lap("learn")
        if self._use_priority:
            drawn = drawing.windows
            self._buffer.update_priority(drawn.index, told[PRIORITY], drawn.stamp)
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
