"""Settings of RND, which rewards novelty: the `rnd` table."""

from collections.abc import Iterator
from typing import Literal

import attrs
from attrs import validators as v

from lzcore.base import Settings, setting


@attrs.frozen(kw_only=True)
class RndSettings(Settings):
    """Random network distillation, with use_rnd_model: what it sees, learns and rewards."""

    intrinsic_reward_type: Literal["add", "new", "assign"] = setting(
        "add",
        "Add weighted novelty to the reward, put novelty in its place (assign), or only learn and "
        "log it (new).",
        extension=True,
    )
    input_type: Literal["obs", "latent_state", "obs_latent_state"] = setting(
        "obs",
        "What the random network and its predictor see: observations, latent states of a copy of "
        "the model, or one the former and the other the latter.",
        extension=True,
    )
    hidden_size_list: tuple[int, ...] = setting(
        (64, 64, 128),
        "Widths of their layers; for maps the last one is that of their features, and those "
        "before it are channels of convolutions that halve the map.",
        check=v.deep_iterable(v.ge(1)),
        extension=True,
    )
    input_norm: bool = setting(
        True, "Standardise what they see by its running mean and deviation.", extension=True
    )
    input_norm_clamp_max: float = setting(
        1.0,
        "Largest size of a standardised number.",
        unit="standard deviations",
        check=v.gt(0.0),
        extension=True,
    )
    learning_rate: float = setting(
        1e-3, "Step size of the predictor.", check=v.ge(0.0), extension=True
    )
    weight_decay: float = setting(
        1e-4, "Decay of the predictor's weights.", check=v.ge(0.0), extension=True
    )
    extrinsic_reward_norm: bool = setting(
        True, "Divide the environment's reward by extrinsic_reward_norm_max.", extension=True
    )
    extrinsic_reward_norm_max: float = setting(
        1.0, "Reward that then counts as 1.", unit="reward", check=v.gt(0.0), extension=True
    )

    def conflicts(self) -> Iterator[str]:
        """The networks have a layer at least."""
        yield from super().conflicts()
        if not self.hidden_size_list:
            yield "hidden_size_list is empty; expected at least the width of the features."
