"""EfficientZero: MuZero that predicts sums of rewards, "value prefixes", instead of each reward.

Shape letters: B samples of a batch, K unroll steps, H steps after which a sum begins anew.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
from torch import Tensor

from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import EfficientZeroConfig
from lz_muzero.decisions import Array
from lz_muzero.monitor import ANALYSIS
from lz_muzero.policy import MuZeroPolicy
from lzcore.base import NetworkOutput, TreeSpec


class EfficientZeroPolicy(MuZeroPolicy):
    """EfficientZero (arXiv:2111.00210): the steps in which it differs from MuZero."""

    config_class: ClassVar[type[MuZeroConfig]] = EfficientZeroConfig
    models: ClassVar[Mapping[str, tuple[str, str]]] = {
        "conv": ("EfficientZeroModel", "lz_muzero.model_efficientzero"),
        "mlp": ("EfficientZeroModelMLP", "lz_muzero.model_efficientzero"),
    }
    reward_name: ClassVar[str] = "value_prefix"
    untold: ClassVar[frozenset[str]] = frozenset(ANALYSIS)

    def _tree_spec(self, num_simulations: int) -> TreeSpec:
        spec = super()._tree_spec(num_simulations)
        return attrs.evolve(spec, value_prefix=True, lstm_horizon_len=self._cfg.lstm_horizon_len)

    def _reward_target(self, reward: Array) -> Array:
        return super()._reward_target(value_prefixes(reward, self._cfg.lstm_horizon_len))

    def _imagine(self, now: NetworkOutput, action: Tensor, step: int) -> NetworkOutput:
        begins = step % self._cfg.lstm_horizon_len == 0
        memory = torch.zeros_like(now.memory) if begins else now.memory
        found: Any = self._model.recurrent_inference(now.latent_state, action, memory)
        return found


def value_prefixes(reward: Array, horizon: int) -> Array:
    """Sum rewards (B, W) from the last multiple of `horizon` (H) columns on, undiscounted.

    Source:
        arXiv:2111.00210, sec. 4.2.
    """
    batch, width = reward.shape
    padded = np.pad(reward, ((0, 0), (0, -width % horizon)))
    sums = padded.reshape(batch, -1, horizon).cumsum(axis=2)
    return sums.reshape(batch, -1)[:, :width]
