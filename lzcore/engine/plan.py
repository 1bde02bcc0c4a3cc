"""What a runner is asked for, what is true of a run while it goes on, and what comes of it."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from lzcore.engine.clock import Clock
from lzcore.engine.config import RunSettings
from lzcore.engine.metrics import JsonLines
from lzcore.engine.rundir import RunDirectory
from lzcore.engine.settings import Resolved
from lzcore.registry import Registry

Ending: TypeAlias = Literal[
    "max_env_steps",
    "max_learn_steps",
    "max_minutes",
    "stop_value",
    "interrupted",
    "diverged",
    "failed",
]


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """What a runner needs to carry a run out."""

    resolved: Resolved  # policy, environment and every setting
    directory: Path
    registry: Registry
    runner: str = "local"  # a registered one
    resume: bool = False  # go on from the directory's latest checkpoint
    observers: tuple[object, ...] = ()  # watch this run beside the plugins': the display
    make_env: Callable[..., Any] | None = None  # used instead of the environment's id
    command: tuple[str, ...] = ()  # what was typed, for run.json


@attrs.define
class Counters:
    """How far a run has come; part of every checkpoint."""

    iteration: int = 0  # the next one
    env_step: int = 0
    learn_step: int = 0
    episode: int = 0  # begun in collection so far
    ratio_steps: int = 0  # env steps that replay_ratio counts
    ratio_updates: int = 0  # learn steps owed for them
    reanalyze_iterations: int = 0  # those that buffer_reanalyze_freq counts
    cut_steps: int = 0  # learn steps owed that max_learn_steps did not let be made
    evaluation: int = 0  # made so far
    evaluated_at: int = 0  # learn step of the last one
    last_return: float | None = None  # its mean
    best_return: float | None = None
    best_learn_step: int | None = None
    best_env_step: int | None = None
    pending: list[dict[str, Any]] = attrs.Factory(list)  # evaluation points of eval_offline
    seconds: float = 0.0  # spent in this and earlier sessions


@attrs.define(kw_only=True, eq=False)
class Run:
    """A run that goes on: what observers are shown. They read it and change nothing."""

    plan: Plan
    directory: RunDirectory
    counters: Counters
    clock: Clock  # of this session
    metrics: JsonLines
    times: JsonLines
    facts: Mapping[str, str]  # what people should know is in force: preset, overrides, tree
    players: int = 1  # who move in the environment; of two, returns are the first one's
    _view: "Run | None" = attrs.field(default=None, init=False, repr=False)

    @property
    def settings(self) -> RunSettings:
        """The `run` table."""
        return self.plan.resolved.run

    @property
    def seconds(self) -> float:
        """Seconds spent on this run, earlier sessions included."""
        return self.counters.seconds + self.clock.elapsed

    def for_observers(self) -> "Run":
        """Return the run for others to look at: one object, whose counters are copies."""
        if self._view is None:
            self._view = attrs.evolve(self)
        self._view.counters = deepcopy(self.counters)
        return self._view


@attrs.frozen(kw_only=True)
class Outcome:
    """How a run ended."""

    ended_by: Ending
    directory: Path
    iterations: int
    env_steps: int
    learn_steps: int
    best_return: float | None  # mean return of the best evaluation
    last_return: float | None  # of the last one
    seconds: float
    error: str = ""  # what stopped a run that failed
    idle: str = ""  # why it made no learn step, if it made none

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for logs."""
        return {**attrs.asdict(self), "directory": str(self.directory)}
