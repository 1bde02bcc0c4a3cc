"""Settings of Gymnasium environments and of games: the `env` table of a run."""

from collections.abc import Iterator
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


@attrs.frozen(kw_only=True)
class GameSettings(Settings):
    """How episodes of a game whose rules are known begin and end, and who plays them."""

    max_moves: int | None = setting(
        None,
        "Plies after which a game is truncated and counts as drawn; none: the game's own end.",
        unit="plies",
        check=v.optional(v.ge(1)),
    )
    opening_moves: int = setting(
        0,
        "Plies at the beginning of each game that are drawn uniformly, from the episode's seed.",
        unit="plies",
        check=v.ge(0),
    )
    bot: str | None = setting(
        None,
        "An opponent that plays the other side, such as random: a step is then the agent's move "
        "and the answer, and the episode's seed says which side begins. none: whoever acts plays "
        "both sides.",
        check=v.optional(v.min_len(1)),
    )

    def conflicts(self) -> Iterator[str]:
        """Yield a line if no move would be left to the agent."""
        if self.max_moves is not None and self.opening_moves >= self.max_moves:
            yield (
                f"opening_moves is {self.opening_moves} and max_moves {self.max_moves}, which "
                "leaves no move to anyone. Make max_moves larger."
            )
