"""What the observers of a distribution promise: they watch a run, whatever happens in it.

In a run, an observer that raises is left out; here it fails.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pluggy

from lzcore.base.config import PolicySettings
from lzcore.engine.clock import Clock
from lzcore.engine.config import RunSettings
from lzcore.engine.evaluator import EvaluationResult
from lzcore.engine.match import MatchResult
from lzcore.engine.metrics import JsonLines
from lzcore.engine.plan import Counters, Outcome, Plan, Run
from lzcore.engine.rundir import RunDirectory
from lzcore.engine.settings import Resolved
from lzcore.envs.config import GymSettings
from lzcore.registry.faults import FAULTS
from lzcore.registry.relay import call, new_manager
from lzcore.testing.promises import in_one_line, promise, require
from lzcore.testing.subject import Subject

HOOKS = (
    "lz_run_started",
    "lz_working",
    "lz_collected",
    "lz_learned",
    "lz_evaluated",
    "lz_checkpoint_saved",
    "lz_run_finished",
)
Event = tuple[str, dict[str, Any]]  # a hook, and what it is told beside the run

_COLLECTED = {
    "mode": "collect",
    "episodes": 2,
    "env_steps": 40,
    "return_mean": 20.0,
    "return_min": 18.0,
    "return_max": 22.0,
    "length_mean": 20.0,
}
_NO_EPISODE = dict.fromkeys(("return_mean", "return_min", "return_max", "length_mean"))
_AT = {"env_step": 40, "learn_step": 10}


class Watched:
    """A run that observers of a distribution are told of, in a directory of its own."""

    def __init__(self, subject: Subject, place: Path, players: int = 1) -> None:
        """Make the run's records; nothing is told yet."""
        self.relay = _relay(subject)
        self.run = _run(subject, place, players)
        self.place = place

    def tell(self, events: Iterator[Event]) -> None:
        """Call what implements each hook, as a run would; what an observer raises goes through."""
        for hook, given in events:
            for implementation in getattr(self.relay.hook, hook).get_hookimpls():
                try:
                    call(implementation, hook, "the observer", {"run": self.run, **given})
                except FAULTS as err:  # an observer may raise anything, and exit
                    raise AssertionError(
                        f"{hook} raised {type(err).__name__}: {in_one_line(err)} Expected no "
                        "error: in a run the observer would be left out from there on."
                    ) from err

    def close(self) -> None:
        """Let go of the run's files."""
        self.run.metrics.close()
        self.run.times.close()


def _relay(subject: Subject) -> Any:
    """Return a hook manager with the plugins of the subject's distribution and no others."""
    manager = new_manager()
    for plugin in subject.registry.plugins:
        if plugin.distribution == subject.distribution and plugin.module is not None:
            with suppress(pluggy.PluginValidationError):  # the checks of the distribution tell why
                manager.register(plugin.module, plugin.key)
    return manager


def watches(subject: Subject) -> list[str]:
    """Return the hooks of a run that the subject's distribution implements."""
    manager = _relay(subject)
    return [name for name in HOOKS if getattr(manager.hook, name).get_hookimpls()]


def _run(subject: Subject, place: Path, players: int) -> Run:
    resolved = Resolved(
        policy_name="a_policy",
        env_id="CartPole-v1",
        env_kind=subject.registry.spec("envs", "gymnasium"),
        policy=PolicySettings(),
        env=GymSettings(),
        run=RunSettings(),
    )
    return Run(
        plan=Plan(resolved=resolved, directory=place, registry=subject.registry),
        directory=RunDirectory(place),
        counters=Counters(),
        clock=Clock(),
        metrics=JsonLines(place / "metrics.jsonl", 0),
        times=JsonLines(place / "times.jsonl", 0),
        facts={"tree": "a_tree"},
        players=players,
    )


def _usual(place: Path) -> Iterator[Event]:
    """Yield what is told of a run of one iteration."""
    yield "lz_run_started", {}
    for doing in ("collecting", "learning", "evaluating"):
        yield "lz_working", {"doing": doing, "done": 0, "total": 4}
    yield "lz_collected", {"stats": dict(_COLLECTED)}
    yield "lz_learned", {"metrics": {"total_loss": 0.5, "cur_lr": 0.001}}
    yield "lz_evaluated", {"result": _result(EvaluationResult)}
    yield "lz_checkpoint_saved", {"path": place / "000001.pt"}
    yield "lz_run_finished", {"outcome": _outcome(place)}


def _rare(place: Path) -> Iterator[Event]:
    """Yield what a run may leave open: no episode ended, no total, a match, a failure."""
    match = _result(MatchResult, opponent="random", players=(1, 2))
    yield "lz_run_started", {}
    yield "lz_working", {"doing": "collecting", "done": 0, "total": None}
    yield "lz_collected", {"stats": {**_COLLECTED, **_NO_EPISODE, "episodes": 0, "segments": 3}}
    yield "lz_learned", {"metrics": {"total_loss": math.nan}}
    yield "lz_evaluated", {"result": match}
    failed = {"ended_by": "failed", "error": "the disk is full", "best_return": None}
    yield "lz_run_finished", {"outcome": attrs.evolve(_outcome(place), **failed)}  # type: ignore[arg-type]


def _result(kind: Any, **given: Any) -> Any:
    return kind(returns=(1.0, -1.0), lengths=(5, 6), at=_AT, **given)


def _outcome(place: Path) -> Outcome:
    return Outcome(
        ended_by="max_env_steps",
        directory=place,
        iterations=1,
        env_steps=40,
        learn_steps=10,
        best_return=25.0,
        last_return=25.0,
        seconds=1.0,
    )


# --- the checks -----------------------------------------------------------------------------------


@promise("observer")
def check_it_implements_a_hook_of_runs(subject: Subject) -> None:
    """The distribution has an implementation of one hook at least that a run calls."""
    require(
        watches(subject),
        f"none of its modules implements a hook of a run; expected one of {', '.join(HOOKS)}.",
    )


@promise("observer")
def check_it_watches_a_run_to_its_end(subject: Subject) -> None:
    """No hook raises in a run of one iteration, nor in another run after it."""
    for _ in range(2):
        _watch(subject, _usual)


@promise("observer")
def check_it_bears_what_a_run_leaves_open(subject: Subject) -> None:
    """No hook raises where no episode ended, a loss is not a number, or the run failed."""
    _watch(subject, _rare, players=2)


@promise("observer")
def check_it_changes_nothing_of_the_run(subject: Subject) -> None:
    """What observers are shown is the same after they saw it."""

    def shown(place: Path) -> Iterator[Event]:
        for hook, given in _usual(place):
            before = deepcopy({k: v for k, v in given.items() if isinstance(v, Mapping)})
            yield hook, given
            for name, value in before.items():
                require(
                    given[name] == value,
                    f"{hook} changed {name} to {given[name]}; expected {value}, as it was shown.",
                )

    _watch(subject, shown)


def _watch(subject: Subject, events: Any, players: int = 1) -> None:
    """Tell of a run, and compare its counters afterwards."""
    with TemporaryDirectory() as place:
        watched = Watched(subject, Path(place), players)
        before = attrs.asdict(watched.run.counters)
        try:
            watched.tell(events(Path(place)))
        finally:
            watched.close()
        after = attrs.asdict(watched.run.counters)
        require(after == before, f"it changed the run's counters to {after}; expected {before}.")
