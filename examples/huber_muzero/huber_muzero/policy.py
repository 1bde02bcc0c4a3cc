"""MuZero with another loss: the settings and the one step in which it differs."""

import attrs
import torch.nn.functional as F
from attrs import validators as v
from lz_muzero.config import MuZeroConfig, MuZeroModelSettings
from lz_muzero.policy import MuZeroPolicy
from torch import Tensor

from lzcore.base import Only, setting
from lzcore.base.model import Support


@attrs.frozen(kw_only=True)
class HuberModelSettings(MuZeroModelSettings):
    """MuZero's `model` table, with heads that tell plain numbers."""

    categorical_distribution: bool = setting(
        False, "Bins for value and reward.", check=Only("a Huber loss is one of plain numbers")
    )


@attrs.frozen(kw_only=True)
class HuberMuZeroConfig(MuZeroConfig):
    """MuZero's settings and one more."""

    model: HuberModelSettings = setting(attrs.Factory(HuberModelSettings), "The network.")
    huber_delta: float = setting(1.0, "Errors beyond this count linearly.", check=v.gt(0.0))


class HuberMuZeroPolicy(MuZeroPolicy):
    """MuZero, less impressed by values and rewards that are far off."""

    config_class = HuberMuZeroConfig
    models = {"mlp": ("HuberMuZeroModel", "huber_muzero.model")}

    def _head_loss(self, output: Tensor, scalars: Tensor, support: Support) -> Tensor:
        """Return the loss of numbers (..., 1) against targets (...,), one for each: (...,)."""
        delta = self._cfg.huber_delta
        return F.huber_loss(output.squeeze(-1), scalars, reduction="none", delta=delta)
