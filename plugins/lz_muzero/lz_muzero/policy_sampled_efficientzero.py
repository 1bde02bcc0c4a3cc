"""Sampled EfficientZero: what Sampled MuZero and EfficientZero change, both of it."""

from collections.abc import Mapping
from typing import ClassVar

from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import SampledEfficientZeroConfig
from lz_muzero.policy_efficientzero import EfficientZeroPolicy
from lz_muzero.policy_sampled import SampledMuZeroPolicy


class SampledEfficientZeroPolicy(SampledMuZeroPolicy, EfficientZeroPolicy):
    """Drawn actions (arXiv:2104.06303) and sums of rewards (arXiv:2111.00210)."""

    config_class: ClassVar[type[MuZeroConfig]] = SampledEfficientZeroConfig
    models: ClassVar[Mapping[str, tuple[str, str]]] = {
        "conv": ("SampledEfficientZeroModel", "lz_muzero.model_sampled_efficientzero"),
        "mlp": ("SampledEfficientZeroModelMLP", "lz_muzero.model_sampled_efficientzero"),
    }
