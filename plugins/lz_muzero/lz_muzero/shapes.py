"""What an environment's spaces mean for MuZero: can it play there, and with which shapes.

Shape letters: A actions, C channels of one frame, O numbers of one frame, S stacked frames.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lzcore.base import Column, ConfigError, Spaces
from lzcore.base.toml import show

_MODEL_TYPE = {"vector": "mlp", "image": "conv", "board": "conv"}


def reason_against(spaces: Spaces, *, takes_vectors: bool = False) -> str | None:
    """Return None if MuZero can act in these spaces, else one line that says why not.

    Args:
        spaces: of the environment.
        takes_vectors: whether the variant also searches over continuous actions.
    """
    if spaces.action.kind != "discrete" and not takes_vectors:
        return (
            f"the actions are {spaces.action.size} continuous numbers, and MuZero searches over "
            "a finite set. Choose a policy for continuous actions, such as sampled_muzero, or make "
            "the actions discrete"
        )
    return None


def env_type(spaces: Spaces) -> str:
    """Return what the setting env_type calls environments with so many players."""
    return "board_games" if spaces.players == 2 else "not_board_games"


def check_players(spaces: Spaces, said: str) -> None:
    """Refuse spaces for another number of players than `said`, the setting env_type, names.

    Raises:
        ConfigError: it names the other one.
    """
    if said != env_type(spaces):
        raise ConfigError(
            f'env_type = "{said}", but the environment has {spaces.players} '
            f"player{'s' * (spaces.players > 1)}; leave env_type out, or set it to "
            f'"{env_type(spaces)}".'
        )


def model_settings(spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `model` settings that the spaces decide.

    Args:
        spaces: of the environment.
        given: the `model` settings of preset and user, which win.
    Raises:
        ConfigError: the given model_type cannot read such observations.
    """
    shape = spaces.frame_shape
    model_type = given.get("model_type", _MODEL_TYPE[spaces.kind])
    found = {"action_space_size": spaces.action.size, "model_type": model_type}
    if model_type.startswith("mlp"):
        if len(shape) != 1:
            raise _unreadable(model_type, shape, "vectors. Use conv")
        return found | {"observation_shape": shape[0]}
    if len(shape) != 3:
        raise _unreadable(model_type, shape, "images (channels, height, width). Use mlp")
    stacked = (shape[0] * given.get("frame_stack_num", 1), *shape[1:])
    return found | {"observation_shape": stacked, "image_channel": shape[0]}


def _unreadable(model_type: str, shape: tuple[int, ...], expected: str) -> ConfigError:
    return ConfigError(
        f"model.model_type is {model_type!r}, but the environment shows observations of shape "
        f"{shape}; that type reads {expected}, or leave model_type out."
    )


def stacked_shape(model: Any) -> tuple[int, ...]:
    """Return the shape of one stacked observation: (S*C, H, W), or (S*O,)."""
    shape = model.observation_shape
    if model.model_type.startswith("mlp"):
        return (frame_width(model) * model.frame_stack_num,)
    return tuple(shape)


def frame_width(model: Any) -> int:
    """Return the length of the first axis of one frame: C of an image, O of a vector."""
    if not model.model_type.startswith("mlp"):
        return model.image_channel
    shape = model.observation_shape
    return shape if isinstance(shape, int) else int(np.prod(shape))


def num_slots(model: Any) -> int:
    """Return how many actions a node of a search over sampled actions has."""
    slots: int = model.num_of_sampled_actions or 20
    return slots if model.continuous_action_space else min(slots, model.action_space_size)


def check_jpeg(spaces: Spaces, *, gray: bool) -> None:
    """Refuse frames that replay cannot keep as JPEG.

    Args:
        spaces: of the environment.
        gray: whether frames are said to have one channel.
    Raises:
        ConfigError: they are no uint8 pictures of one or three channels, or `gray` is wrong.
    """
    shape, dtype = spaces.frame_shape, spaces.frame_dtype
    if dtype != np.uint8 or len(shape) != 3 or shape[0] not in (1, 3):
        raise ConfigError(
            f"transform2string keeps uint8 pictures of 1 or 3 channels as JPEG, and the "
            f"environment shows {dtype} {shape}; set transform2string to false."
        )
    if gray != (shape[0] == 1):
        raise ConfigError(
            f"gray_scale is {show(gray)}, and the environment shows frames of {shape[0]} "
            f"channel{'s' * (shape[0] > 1)}; leave gray_scale out, or set it to {show(not gray)}."
        )


def stored_columns(spaces: Spaces, *, reanalyzed: bool, jpeg: bool = False) -> tuple[Column, ...]:
    """Return the columns of a step.

    Args:
        spaces: of the environment.
        reanalyzed: search results are rewritten.
        jpeg: frames are kept as JPEG.
    """
    actions = (spaces.action.size,)
    vectors = spaces.action.kind == "continuous"
    masks = () if vectors else (Column("action_mask", actions, bool),)
    return (
        Column("observation", spaces.frame_shape, spaces.frame_dtype, jpeg=jpeg),
        Column("action", actions, np.float32) if vectors else Column("action", (), np.int64),
        Column("reward", (), np.float32),
        Column("child_visit", actions, np.float32, changing=reanalyzed),
        # NaN where no search has valued the row: closing rows and random collection
        Column("root_value", (), np.float32, pad=float("nan"), changing=reanalyzed),
        Column("predicted_value", (), np.float32),
        Column("to_play", (), np.int8),
        *masks,
    )
