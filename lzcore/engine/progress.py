"""What a person sees of a run: one live line on a terminal, plain lines elsewhere."""

import math
import shutil
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any, TextIO

from lzcore.engine.evaluator import EvaluationResult
from lzcore.engine.plan import Outcome, Run
from lzcore.registry import hookimpl

# of wall time; the rest is "other"
SHARES = ("env", "search", "sample", "learn", "reanalyze", "eval")
ENDINGS = {
    "max_env_steps": "all env steps are taken",
    "max_learn_steps": "all learn steps are made",
    "max_minutes": "its time is up",
    "stop_value": "the stop value is reached",
    "interrupted": "interrupted",
    "diverged": "a loss is not a number",
    "failed": "failed",
}
QUIET = 30.0  # seconds after which a line on paper tells what a long iteration is at
RECENT = 5  # iterations that say how long the others will take
GO_FURTHER = {  # how a run is resumed that a budget has ended
    "max_env_steps": "--max-env-steps N",
    "max_minutes": "--max-minutes N",
    "stop_value": "--stop-value X",
}


class Progress:
    """Prints how far a run is, how well it does and where its time goes."""

    def __init__(self, out: TextIO | None = None, live: bool | None = None) -> None:
        """Print to `out`.

        Args:
            out: None: standard output.
            live: rewrite one line in place; None: if `out` is a terminal.
        """
        self._out = out or sys.stdout
        self._live = self._out.isatty() if live is None else live
        self._return: float | None = None  # mean of the latest collection in which an episode ended
        self._began = 0  # env step at the start of this session
        self._pace = Pace()
        self._told = 0.0  # seconds into this session, of the latest line
        self._resumed: int | None = None  # before which iteration

    @hookimpl
    def lz_run_started(self, run: Run) -> None:
        """Say what is in force and where it is kept."""
        self._began = run.counters.env_step
        resolved, counters = run.plan.resolved, run.counters
        first, *settings = resolved.in_force()
        self._print(f"{first}, seed {resolved.run.seed}")
        for setting in settings:
            self._print(f"  {setting}")
        for name, fact in {**run.facts, "directory": run.directory.path}.items():
            self._print(f"  {name}: {fact}")
        if counters.iteration:
            self._resumed = counters.iteration
            self._print(
                f"  resumed before iteration {counters.iteration}, at {counters.env_step:,} env "
                f"steps and {counters.learn_step:,} learn steps"
            )

    @hookimpl
    def lz_working(self, run: Run, doing: str, done: int, total: int | None) -> None:
        """Show what a long iteration is at; on paper only if nothing was told for long."""
        if doing == "collecting":
            self._pace.begin(run.counters.iteration, run.clock.elapsed, _share_done(run))
        if self._live or run.clock.elapsed - self._told >= QUIET:
            self._show(run, doing if total is None else f"{doing} {done:,}/{total:,}")

    @hookimpl
    def lz_collected(self, run: Run, stats: Mapping[str, Any]) -> None:
        """Show the latest returns; on paper once each `log_every` iterations."""
        if stats["return_mean"] is not None:
            self._return = stats["return_mean"]
        if self._live or run.counters.iteration % run.settings.log_every == 0:
            self._show(run)

    @hookimpl
    def lz_learned(self, run: Run) -> None:
        """Bring the live line up to date."""
        if self._live:
            self._show(run)

    @hookimpl
    def lz_evaluated(self, run: Run, result: EvaluationResult) -> None:
        """Print an evaluation on a line of its own."""
        counters, self._told = run.counters, run.clock.elapsed
        self._print(
            f"evaluation {counters.evaluation}: {result.summary()}, after {counters.env_step:,} "
            f"env steps and {counters.learn_step:,} learn steps in {_clock(run.seconds)}"
        )

    @hookimpl
    def lz_run_finished(self, run: Run, outcome: Outcome) -> None:
        """Say how it ended and where everything lies."""
        best = "" if outcome.best_return is None else f", best return {outcome.best_return:.1f}"
        self._print(
            f"ended: {ENDINGS[outcome.ended_by]}, after {outcome.env_steps:,} env steps and "
            f"{outcome.learn_steps:,} learn steps in {_clock(outcome.seconds)}{best}"
        )
        if outcome.idle:
            self._print(f"  no learn steps: {outcome.idle}")
        self._print(f"  time: {shares(run.clock.total)}")
        if outcome.ended_by in ("interrupted", "failed"):
            self._print(f"  go on with: {run.directory.go_on}")
        elif outcome.ended_by in GO_FURTHER and self._resumed == run.counters.iteration:
            limit = GO_FURTHER[outcome.ended_by]
            self._print(f"  it had ended before; go further: {run.directory.go_on} {limit}")

    def _show(self, run: Run, *doing: str) -> None:
        text = "  ".join([*doing, self.line(run)])
        self._told = run.clock.elapsed
        if not self._live:
            self._print(text)
            return
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{text[:width]}", end="", file=self._out, flush=True)

    def line(self, run: Run) -> str:
        """Return the state of a run in one line."""
        counters, elapsed = run.counters, run.clock.elapsed
        whose = "first player" if run.players == 2 else "return"  # of games against itself
        goal = run.settings.max_env_steps
        parts = [
            f"env {counters.env_step:,}" + (f"/{goal:,}" if goal else ""),
            f"learn {counters.learn_step:,}",
            f"{whose} -" if self._return is None else f"{whose} {self._return:.1f}",
            f"{(counters.env_step - self._began) / max(elapsed, 1e-9):.0f} steps/s",
            shares(run.clock.total),
        ]
        if _share_done(run) is not None:
            left = self._pace.left(elapsed)
            parts.append("left -" if left is None else f"left {_clock(left)}")
        return "  ".join(parts)

    def _print(self, text: str) -> None:
        start = "\r\x1b[K" if self._live else ""
        print(f"{start}{text}", file=self._out, flush=True)


def shares(seconds: Mapping[str, float]) -> str:
    """Return where the time went, such as "env 9 % search 60 % other 31 %"."""
    total = sum(seconds.values())
    if not total:
        return "no time yet"
    parts = {name: seconds.get(name, 0.0) / total for name in SHARES}
    parts["other"] = max(0.0, 1.0 - sum(parts.values()))
    return " ".join(f"{name} {part:.0%}" for name, part in parts.items() if part >= 0.005)


class Pace:
    """How fast whole iterations use a budget up."""

    def __init__(self) -> None:
        # (number, seconds into the session, share of the budget used) when each began
        self._begun: deque[tuple[int, float, float]] = deque(maxlen=RECENT + 1)

    def begin(self, iteration: int, elapsed: float, share: float | None) -> None:
        """Note when an iteration begins; what is said of it later is passed over.

        Args:
            iteration: its number.
            elapsed: seconds into the session.
            share: of the budget that is used; None: there is no budget.
        """
        if share is not None and (not self._begun or self._begun[-1][0] != iteration):
            self._begun.append((iteration, elapsed, share))

    def left(self, elapsed: float) -> float | None:
        """Return the seconds left, at least 1 while an iteration lasts; None: nobody knows yet."""
        if len(self._begun) < 2:
            return None
        (one, start, before), (other, latest, share) = self._begun[0], self._begun[-1]
        each, used = (latest - start) / (other - one), (share - before) / (other - one)
        if used <= 0:
            return None
        more = max(math.ceil((1.0 - share) / used - 1e-9) - 1, 0)  # after the present one
        return more * each + max(each - (elapsed - latest), 1.0)


def _share_done(run: Run) -> float | None:
    """Return how much of the budget that ends the run first is used up, 0 to 1; None: none does."""
    limits, counters = run.settings, run.counters
    used = [
        (counters.env_step, limits.max_env_steps),
        (counters.learn_step, limits.max_learn_steps),
        (run.seconds / 60.0, limits.max_minutes),
    ]
    return max((done / limit for done, limit in used if limit), default=None)


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"
