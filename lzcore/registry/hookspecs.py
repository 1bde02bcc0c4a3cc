"""Every hook that a plugin can implement, and the marker for doing so.

A plugin is a module that an entry point of the group `lzcore` names:

    from lzcore.registry import PolicySpec, hookimpl

    LZ_API = 1  # the version of this file that the module was written for

    @hookimpl
    def lz_register_policies():
        return [PolicySpec(name="...", policy="pkg.policy:MyPolicy", config="...", summary="...")]

The module imports nothing heavy: `lz --help` and `lz list` load it. A hook may leave out the
arguments it does not need. Each implementation is called on its own: one that raises is reported
with its distribution and leaves every other working. Hook wrappers are refused for that reason.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from lzcore.registry.specs import (
    BufferSpec,
    EnvSpec,
    ModelSpec,
    OpponentSpec,
    PolicySpec,
    RunnerSpec,
    SearchTreeSpec,
)

if TYPE_CHECKING:
    import click

API = 1  # rises when a hook's meaning changes or one is taken away
PROJECT = "lzcore"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# --- components: called once, when the registry is first asked for anything -----------------------


@hookspec
def lz_register_policies() -> Sequence[PolicySpec]:  # type: ignore[empty-body]
    """Name the policies (algorithms) that this distribution provides.

    Returns:
        Specs, not classes: a spec names its classes as "package.module:Class", so that listing
        what is installed imports neither them nor torch.
    """


@hookspec
def lz_register_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """Name the models (networks) that this distribution provides.

    Returns:
        Specs whose class is an nn.Module with `initial_inference` and `recurrent_inference`,
        made with the policy's `model` settings as keyword arguments.
    """


@hookspec
def lz_register_trees() -> Sequence[SearchTreeSpec]:  # type: ignore[empty-body]
    """Name the search trees that this distribution provides.

    Returns:
        Specs whose class is a `lzcore.base.Tree`. A policy whose `tree` is "auto" takes a
        compiled one that supports its search, else another.
    """


@hookspec
def lz_register_buffers() -> Sequence[BufferSpec]:  # type: ignore[empty-body]
    """Name the replay buffers that this distribution provides.

    Returns:
        Specs whose class is a `lzcore.base.Buffer`.
    """


@hookspec
def lz_register_envs() -> Sequence[EnvSpec]:  # type: ignore[empty-body]
    """Name the kinds of environments that this distribution provides.

    Returns:
        Specs whose class is a `lzcore.base.Env`. The kind answers to the environment ids that
        begin with its `prefix` and a slash; ids that no prefix claims go to Gymnasium.
    """


@hookspec
def lz_register_opponents() -> Sequence[OpponentSpec]:  # type: ignore[empty-body]
    """Name the opponents for two-player games that this distribution provides.

    Returns:
        Specs whose class is a `lzcore.base.Opponent`, made as `Class(simulator, argument)`: of
        "mcts:1000" the argument is "1000". Runs name one in `run.opponent`.
    """


@hookspec
def lz_register_runners() -> Sequence[RunnerSpec]:  # type: ignore[empty-body]
    """Name the runners that this distribution provides.

    Returns:
        Specs whose class or function is called as `runner(plan)` and returns the outcome.
    """


# --- commands ------------------------------------------------------------------------------------


@hookspec
def lz_cli(group: "click.Group") -> None:
    """Add commands to `lz`.

    Called when `lz` shows its help, or is given a command that is not the core's.

    Args:
        group: of click; call `group.add_command(command)`. The core's own names are taken.
    """


# --- a run, in the order of its life --------------------------------------------------------------
# Observers see the run and change nothing in it: counters and dicts that they get are copies. One
# that raises is reported once, with its distribution, and left out for the rest of that run; the
# run goes on. One that takes a tenth of the time, and more than a second, is reported once. With
# `lz run --json`, what they print goes to stderr.


@hookspec
def lz_run_started(run: Any) -> None:
    """Called once everything is built, before the first step; also when a run is resumed.

    Args:
        run: `lzcore.engine.plan.Run`: its `plan` and `settings`, its `directory`, its `counters`
            (iteration, env_step, learn_step, episode, ...) and the `seconds` spent so far. The
            same object comes with every later call.
    """


@hookspec
def lz_working(run: Any, doing: str, done: int, total: int | None) -> None:
    """Called when a part of an iteration begins, and a few times a second at most while it lasts.

    Args:
        run: as in `lz_run_started`.
        doing: "collecting", "learning" or "evaluating".
        done: episodes (or segments) or learn steps so far; 0 when the part begins.
        total: how many there will be; None: not told.
    """


@hookspec
def lz_collected(run: Any, stats: Mapping[str, Any]) -> None:
    """Called after each collection.

    Args:
        run: as in `lz_run_started`.
        stats: of this collection: mode ("collect" or "random"), episodes, env_steps,
            return_mean, return_min, return_max (rewards unclipped), length_mean, and means of
            what the policy tells of its decisions. Where an iteration counts segments, also
            segments; then no episode may have ended in it, and these four are None. Where players
            may resign and games ended, also resigned and resign_wrong, shares of them; the latter
            may be None.
    """


@hookspec
def lz_learned(run: Any, metrics: Mapping[str, float]) -> None:
    """Called after the learn steps of an iteration.

    Args:
        run: as in `lz_run_started`.
        metrics: name -> number, what the policy says of its learning: losses, learning rate,
            gradient norm, ...
    """


@hookspec
def lz_evaluated(run: Any, result: Any) -> None:
    """Called after each evaluation.

    Args:
        run: as in `lz_run_started`.
        result: `lzcore.engine.evaluator.EvaluationResult`: the `returns` and `lengths` of its
            episodes, their `mean` and `std`, and `at`, the steps after which the weights were
            taken. In a game for two, `lzcore.engine.match.MatchResult`, which is one and tells
            wins, draws and losses too.
    """


@hookspec
def lz_checkpoint_saved(run: Any, path: Path) -> None:
    """Called when a checkpoint is complete on disk.

    Args:
        run: as in `lz_run_started`.
        path: of the checkpoint. Later ones replace it, so copy what is to be kept.
    """


@hookspec
def lz_run_finished(run: Any, outcome: Any) -> None:
    """Called last, however the run ended, unless the process was killed.

    Args:
        run: as in `lz_run_started`.
        outcome: `lzcore.engine.plan.Outcome`: what it was `ended_by`, steps, best and last mean
            return, seconds, and the `error` if it failed.
    """
