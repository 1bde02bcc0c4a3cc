"""What every runner promises: it carries a plan out to its end, is heard of, and can go on.

It runs the first installed policy that can be made small, on `env` and under `settings` if they are
given. Another spread of the work may learn otherwise: what is learned is not looked at.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from lzcore.engine.plan import Outcome, Plan
from lzcore.engine.rundir import RunDirectory
from lzcore.engine.settings import Resolved
from lzcore.registry import hookimpl, made
from lzcore.registry.faults import FAULTS
from lzcore.testing.promises import in_one_line, promise, require, short
from lzcore.testing.subject import Subject
from lzcore.testing.trial import Trial

_FIRST = 50  # env steps that a run is let go to; resumed, it goes one iteration on
_SETTINGS = {"run.eval_episodes": 1, "run.tensorboard": False}


class _Ear:
    """Hears of a run, and keeps what it heard in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.began_at = 0  # env steps
        self.outcome: Outcome | None = None

    @hookimpl
    def lz_run_started(self, run: Any) -> None:
        self.heard.append("lz_run_started")
        self.began_at = run.counters.env_step

    @hookimpl
    def lz_collected(self, run: Any, stats: Any) -> None:
        self.heard.append("lz_collected")

    @hookimpl
    def lz_run_finished(self, run: Any, outcome: Any) -> None:
        self.heard.append("lz_run_finished")
        self.outcome = outcome


Carry = Callable[..., tuple[Any, _Ear]]  # what carries a plan out: its outcome, and who heard of it


@contextmanager
def _running(subject: Subject) -> Iterator[tuple[Path, Carry]]:
    """Give a run directory, and what runs a plan in it to so many env steps."""
    trial = _trial(subject)
    if isinstance(trial, str):
        raise AssertionError(f"no installed policy can be run: {trial} See env= and settings=.")
    resolved = trial.resolved
    with TemporaryDirectory() as folder:
        place = Path(folder, "run")

        def carry(max_env_steps: int, *, resume: bool = False) -> tuple[Any, _Ear]:
            ear, run = _Ear(), attrs.evolve(resolved.run, max_env_steps=max_env_steps)
            plan = Plan(
                resolved=attrs.evolve(resolved, run=run),
                directory=place,
                registry=subject.registry,
                runner=subject.name,
                resume=resume,
                observers=(ear,),
            )
            return made(subject.cls, (), plan), ear

        yield place, carry


def _trial(subject: Subject) -> Trial | str:
    """Return the first policy that can be made small, with its settings, or why there is none."""
    if "trial" not in subject.memory:
        subject.memory["trial"] = _first_trial(subject)
    return subject.memory["trial"]  # type: ignore[no-any-return]


def _first_trial(subject: Subject) -> Trial | str:
    known = [c for c in subject.registry.components("policies") if c.state != "broken"]
    given: dict[str, Any] = {"env": subject.env, "settings": {**_SETTINGS, **subject.settings}}
    reason = "none is there."
    for component in known:
        trial = Trial(_policy(subject, component.qualified, given))
        try:
            trial.make()
        except FAULTS as err:  # its own checks tell why, if it is at fault
            reason = in_one_line(err)
        else:
            return trial
    return reason


def _policy(subject: Subject, name: str, given: dict[str, Any]) -> Subject:
    return Subject(name, "policy", registry=subject.registry, **given)


def _nothing_to_run(subject: Subject) -> str | None:
    if subject.env or subject.settings or isinstance(_trial(subject), Trial):
        return None
    return "no policy is installed that it could run"


@promise("runner", left_out=_nothing_to_run)
def check_it_carries_a_plan_out(subject: Subject) -> None:
    """It returns an Outcome, ends where the budget does, and leaves a run directory."""
    with _running(subject) as (place, carry):
        found, _ = carry(_FIRST)
        require(
            isinstance(found, Outcome),
            f"it returned {type(found).__name__}; expected a lzcore.engine.plan.Outcome.",
        )
        require(
            found.ended_by == "max_env_steps" and found.env_steps >= _FIRST,
            f"its run was ended by {found.ended_by} after {found.env_steps} env steps; expected "
            f"max_env_steps, after {_FIRST} or a few more.",
        )
        require(
            found.directory == place,
            f"its outcome names the directory {found.directory.name!r}; expected the plan's.",
        )
        _require_kept(subject, place)


def _require_kept(subject: Subject, place: Path) -> None:
    directory, trial = RunDirectory.open(place), _trial(subject)
    kept = Resolved.from_toml(directory.read_config(), subject.registry)
    expected = trial.resolved.policy  # type: ignore[union-attr]
    require(kept.policy == expected, "its config.toml holds other settings than the plan's.")
    checkpoints = [file.name for file in directory.checkpoints.glob("*.pt")]
    require(checkpoints, "it left no checkpoint in the run directory; expected some.")


@promise("runner", left_out=_nothing_to_run)
def check_observers_hear_of_the_whole_run(subject: Subject) -> None:
    """The plan's observers are told that it begins, of what is collected, and how it ended."""
    with _running(subject) as (_, carry):
        found, ear = carry(_FIRST)
        heard = ear.heard
        require(
            heard[:1] == ["lz_run_started"]
            and heard[-1:] == ["lz_run_finished"]
            and "lz_collected" in heard,
            f"an observer of the plan was told {short(heard)}; expected lz_run_started, "
            "lz_collected once at least, and at last lz_run_finished.",
        )
        require(
            ear.outcome == found,
            f"lz_run_finished tells {short(ear.outcome)}; expected the outcome that it returns.",
        )


@promise("runner", left_out=_nothing_to_run)
def check_a_run_goes_on_where_it_ended(subject: Subject) -> None:
    """A plan with `resume` begins at the counts of the latest checkpoint, and ends later."""
    with _running(subject) as (_, carry):
        first, _ = carry(_FIRST)
        second, ear = carry(first.env_steps + 1, resume=True)
        require(
            ear.began_at == first.env_steps,
            f"resumed after {first.env_steps} env steps it began at {ear.began_at}; expected to "
            "go on from there.",
        )
        require(
            second.env_steps > first.env_steps and second.iterations > first.iterations,
            f"resumed, it ended after {second.env_steps} env steps of {second.iterations} "
            f"iterations; expected more than {first.env_steps} of {first.iterations}.",
        )
