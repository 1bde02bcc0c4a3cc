"""Every setting, with its default, bounds and meaning."""

import attrs
from attrs import validators as v

from lzcore.base import ModelSettings, PolicySettings, setting


@attrs.frozen(kw_only=True)
class NetworkSettings(ModelSettings):
    """The `model` table."""

    observation_size: int = setting(1, "Numbers in an observation.", check=v.ge(1), spaces=True)
    num_actions: int = setting(1, "Number of actions.", check=v.ge(1), spaces=True)
    hidden: int = setting(64, "Width of the hidden layer.", check=v.ge(1))


@attrs.frozen(kw_only=True)
class CrossEntropyConfig(PolicySettings):
    """The settings of the policy; the training loop reads those of the first group."""

    collector_env_num: int = setting(16, "Environments that collect.", check=v.ge(1))
    evaluator_env_num: int = setting(20, "Environments that evaluate.", check=v.ge(1))
    n_episode: int = setting(16, "Episodes of an iteration.", check=v.ge(1))
    batch_size: int = setting(256, "Steps of a learn step.", check=v.ge(1))
    update_per_collect: int = setting(20, "Learn steps of an iteration.", check=v.ge(1))
    eval_freq: int = setting(200, "Learn steps between evaluations.", check=v.ge(1))

    model: NetworkSettings = setting(attrs.Factory(NetworkSettings), "The network.")
    replay_buffer_size: int = setting(
        5000, "Steps of the latest episodes that are remembered.", check=v.ge(1)
    )
    elite: float = setting(
        0.3, "Share of the episodes that is imitated.", check=[v.gt(0.0), v.le(1.0)]
    )
    learning_rate: float = setting(0.01, "Of Adam.", check=v.gt(0.0))
