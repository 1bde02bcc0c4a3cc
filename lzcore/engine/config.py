"""Settings of a run that concern no algorithm: the `run` table."""

from typing import Literal

import attrs
from attrs import validators as v

from lzcore.base.config import Settings, setting


@attrs.frozen(kw_only=True)
class RunSettings(Settings):
    """How long a run goes on, how it is measured, and what is kept of it."""

    seed: int = setting(0, "Seed of everything that is drawn in the run.", check=v.ge(0))
    max_env_steps: int | None = setting(
        None,
        "End once this many environment steps are collected; none: no limit.",
        unit="env steps",
        check=v.optional(v.ge(1)),
    )
    max_learn_steps: int | None = setting(
        None,
        "End after this many learn steps; none: no limit.",
        unit="learn steps",
        check=v.optional(v.ge(1)),
    )
    max_minutes: float | None = setting(
        None,
        "End after this much time, earlier parts of a resumed run included; none: no limit.",
        unit="minutes",
        check=v.optional(v.gt(0.0)),
    )
    stop_value: float | None = setting(
        None, "End when the mean return of an evaluation reaches this; none: never for that reason."
    )
    eval_episodes: int = setting(20, "Episodes of an evaluation.", unit="episodes", check=v.ge(1))
    eval_every: int | None = setting(
        None,
        "Learn steps between evaluations; none: the policy's eval_freq.",
        unit="learn steps",
        check=v.optional(v.ge(1)),
    )
    eval_at_start: bool = setting(False, "Evaluate before the first step too.")
    opponent: str = setting(
        "random", "Who a two-player game is evaluated against: `lz list` names them."
    )
    opening_plies: int = setting(
        2,
        "Moves that each game of an evaluation against the opponent begins with.",
        unit="plies",
        check=v.ge(0),
    )
    openings: Literal["random", "all"] = setting(
        "random",
        "Whether these moves are random; all: every line of them equally often with both colours, "
        "in at least eval_episodes games.",
    )
    buffer: str | None = setting(
        None, "The replay buffer, a name that `lz list` shows; none: the policy's own."
    )
    checkpoint_every: int = setting(
        1, "Iterations between checkpoints.", unit="iterations", check=v.ge(1)
    )
    keep_checkpoints: int = setting(
        2, "Newest checkpoints that are kept, besides the best.", unit="checkpoints", check=v.ge(1)
    )
    log_every: int = setting(
        1, "Iterations between lines of the log.", unit="iterations", check=v.ge(1)
    )
    threads: int = setting(1, "Threads that torch uses; results depend on it.", check=v.ge(1))
    tensorboard: bool = setting(True, "Write TensorBoard events.")
