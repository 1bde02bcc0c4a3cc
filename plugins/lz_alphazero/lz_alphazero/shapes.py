"""What the spaces of a game mean for AlphaZero: can it play there, and with which shapes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lzcore.base import Column, ConfigError, Spaces

_MODEL_TYPE = {1: "mlp", 3: "conv"}  # by how many axes an observation has


def reason_against(spaces: Spaces) -> str | None:
    """Return None if AlphaZero can act in these spaces, else one line that says why not."""
    if spaces.action.kind != "discrete":
        return (
            f"the actions are {spaces.action.size} continuous numbers, and AlphaZero plans in "
            "games, whose actions are numbered. Choose a policy for continuous actions"
        )
    if len(spaces.frame_shape) not in _MODEL_TYPE:
        return (
            f"its observations have the shape {spaces.frame_shape}; expected a vector or planes "
            "(channels, height, width)"
        )
    return None


def model_settings(spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `model` settings that the spaces decide.

    Args:
        spaces: of the environment, which `reason_against` has nothing against.
        given: the `model` settings of preset and user, which win.
    Raises:
        ConfigError: the given model_type cannot read such observations.
    """
    shape = spaces.frame_shape
    fits = _MODEL_TYPE[len(shape)]
    model_type = given.get("model_type", fits)
    if model_type in _MODEL_TYPE.values() and model_type != fits:
        raise ConfigError(
            f"model.model_type is {model_type!r}, but the environment shows observations of shape "
            f"{shape}, which {fits} reads; leave model_type out."
        )
    return {
        "action_space_size": spaces.action.size,
        "model_type": model_type,
        "observation_shape": shape[0] if len(shape) == 1 else shape,
        # without a second player, what is to come is a sum of rewards
        **({"value_activation": "none"} if spaces.players == 1 else {}),
    }


def counted(found: dict[str, Any], spaces: Spaces) -> dict[str, Any]:
    """Return settings with the number of actions in an `mcts` table, where the variants have it."""
    return {**found, "mcts": {"action_space_size": spaces.action.size}}


def stored_columns(
    spaces: Spaces, *, slots: int, masks: bool, searched: bool
) -> tuple[Column, ...]:
    """Return the columns of a step.

    Args:
        spaces: of the environment.
        slots: how many actions a search policy is over.
        masks: which actions were legal is stored too.
        searched: what the search thought of the position is stored too.
    """
    legal = Column("action_mask", (spaces.action.size,), bool)
    return (
        Column("observation", spaces.frame_shape, spaces.frame_dtype),
        Column("action", (), np.int64),
        Column("reward", (), np.float32),
        Column("to_play", (), np.int8),
        Column("probs", (slots,), np.float32),
        Column("outcome", (), np.float32, in_hindsight=True),
        *((legal,) if masks else ()),
        *((Column("searched_value", (), np.float32),) if searched else ()),
    )
