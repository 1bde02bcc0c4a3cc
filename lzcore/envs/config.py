"""Settings of a Gymnasium environment: the `env` table of a run."""

from typing import Any, Literal, Self

import attrs
from attrs import validators as v

from lzcore.base.config import Settings, setting


@attrs.frozen(kw_only=True)
class GymSettings(Settings):
    """How an environment is made, and what stands between it and the policy."""

    kwargs: dict[str, Any] = setting(
        attrs.Factory(dict),
        "Arguments of the environment's constructor, such as map_name of FrozenLake-v1.",
    )
    max_episode_steps: int | None = setting(
        None,
        "Steps after which an episode is truncated; none: the environment's own limit.",
        unit="steps",
        check=v.optional(v.ge(1)),
    )
    frame_skip: int | None = setting(
        None,
        "How often each action is applied in one step; none: 4 times in an Atari game, else once. "
        "Atari games are built without a skip of their own, so it is applied exactly once.",
        unit="frames",
        check=v.optional(v.ge(1)),
    )
    image_size: int | None = setting(
        None,
        "Side of the square that pictures are scaled to; none: as they come.",
        unit="pixels",
        check=v.optional(v.ge(1)),
    )
    gray: bool = setting(False, "Turn colour pictures grey; those without three channels stay.")
    channels: Literal["auto", "first", "last"] = setting(
        "auto",
        "Where observations with three axes have their channels; auto: the axis that differs from "
        "two equal ones, else the shorter of first and last.",
        check=v.in_(("auto", "first", "last")),
    )
    reward_clip: bool = setting(
        False, "Learn from the sign of the reward; returns stay unclipped. Off in evaluation."
    )
    episodic_life: bool = setting(
        False,
        "End the episode when a life is lost (info['lives']); the next one is a new game. "
        "Off in evaluation.",
    )
    noop_max: int = setting(
        30,
        "Atari games: an episode starts with 1 to this many frames without an action, drawn from "
        "its seed; 0 switches that off.",
        unit="frames",
        check=v.ge(0),
    )
    sticky_actions: float = setting(
        0.0,
        "Atari games: chance that a frame repeats the previous action instead of the chosen one.",
        unit="probability",
        check=[v.ge(0.0), v.lt(1.0)],
    )

    def for_evaluation(self) -> Self:
        """Return the same settings without what only learning may see: clip and lost lives."""
        return attrs.evolve(self, reward_clip=False, episodic_life=False)
